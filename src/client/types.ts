import type { QueryInput } from '../query/index.ts'
import type { ColumnNames, ColumnTypeOf, InsertRow, TidemarkConfig } from '../schema/index.ts'

export interface CallOptions {
  readonly signal?: AbortSignal
}

type Stored<C extends TidemarkConfig> = C['datasets'][number]
type Queryable<C extends TidemarkConfig> = Stored<C> | C['aggregates'][number]

/** Names of tables and hypertables, `schema.table`. */
export type StoredName<C extends TidemarkConfig> = Stored<C>['name']
/** The same and continuous aggregates. */
export type QueryableName<C extends TidemarkConfig> = Queryable<C>['name']

/** What is declared by that name. */
export type Named<C extends TidemarkConfig, Name extends string> = string extends Name
  ? Queryable<C>
  : Extract<Queryable<C>, { readonly name: Name }>

/** A row as it goes in: as for the library, but a timestamp is a Date or text, because JSON has no microseconds. */
export type ClientRow<D> =
  string extends ColumnNames<D>
    ? Readonly<Record<string, unknown>>
    : {
        readonly [K in keyof InsertRow<D>]: K extends ColumnNames<D>
          ? ColumnTypeOf<D, K> extends 'timestamptz'
            ? Exclude<InsertRow<D>[K], bigint>
            : InsertRow<D>[K]
          : InsertRow<D>[K]
      }

export type ClientQuery<C extends TidemarkConfig, Name extends string> = QueryInput<Named<C, Name>>
