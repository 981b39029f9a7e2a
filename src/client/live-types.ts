import type { CheckedQuery, QueryInput, RowsInput } from '../query/index.ts'
import type { ColumnNames } from '../schema/index.ts'

type Sorted<Names extends string> = Names | `-${Names}`

/** Rows of a plain table in an order of the caller's choice; `-` before columns that descend, nulls last either way. */
export type LiveListInput<D> = D extends { readonly kind: 'table' }
  ? Omit<RowsInput<D>, 'from' | 'to' | 'zone' | 'cursor' | 'direction'> & {
      readonly order: readonly Sorted<ColumnNames<D>>[] | Sorted<ColumnNames<D>>
    }
  : never

/** What can be subscribed to: what can be asked, and lists of plain tables in an order. */
export type LiveInput<D> = QueryInput<D> | LiveListInput<D>

/** The query itself where every name in it is known: `query: Q & CheckedLive<D, Q>`. */
export type CheckedLive<D, Q> = Q extends { readonly select: unknown }
  ? CheckedQuery<D, Q>
  : Q extends { readonly order: unknown }
    ? D extends { readonly kind: 'table' }
      ? CheckedQuery<D, Omit<Q, 'order'>> & Pick<LiveListInput<D>, 'order'>
      : never
    : CheckedQuery<D, Q>
