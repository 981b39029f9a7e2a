import type { ColumnType as KyselyColumn } from 'kysely'
import type { AggregateShapeOf, Columns, InsertRow, OutputOf, Row, UpdateRow } from './infer.ts'
import type { ViewColumnsOf } from './view.ts'

/** A declared table as Kysely's types see it: what is selected, inserted and updated in each column. */
export type KyselyTable<D> = {
  [K in keyof Row<D>]: KyselyColumn<
    Row<D>[K],
    K extends keyof InsertRow<D> ? InsertRow<D>[K] : never,
    K extends keyof UpdateRow<D> ? Exclude<UpdateRow<D>[K], undefined> : never
  >
}

/** A view: it can be selected from, not written to. */
export type KyselyView<C> = { [K in keyof C]: KyselyColumn<OutputOf<C[K]>, never, never> }

/** The view of a continuous aggregate: finished values. */
export type KyselyAggregate<A> = {
  [K in keyof AggregateShapeOf<A>['row']]: KyselyColumn<AggregateShapeOf<A>['row'][K], never, never>
}

type Named = { readonly name: string }

/**
 * Kysely's `Database` of a configuration.
 *
 * @example
 * import { Kysely } from 'kysely'
 * import type { Database } from 'tidemark/schema'
 * const db = new Kysely<Database<typeof config>>({ dialect })
 * db.selectFrom('metrics.cpu').select(['time', 'usage'])
 */
export type Database<
  Config extends {
    readonly datasets: readonly Named[]
    readonly aggregates?: readonly Named[]
    readonly views?: readonly Named[]
  },
> = string extends Config['datasets'][number]['name']
  ? UnknownDatabase
  : {
      [D in Config['datasets'][number] as D['name']]: KyselyTable<D>
    } & {
      [A in NonNullable<Config['aggregates']>[number] as A['name']]: KyselyAggregate<A>
    } & {
      [V in NonNullable<Config['views']>[number] as V['name']]: KyselyView<
        ViewColumnsOf<V> extends infer C extends Columns ? C : never
      >
    }

/**
 * Of a configuration that TypeScript knows nothing of: Kysely is invariant in its database, so nothing narrower would take
 * the engine of a known configuration where any engine will do.
 */
// biome-ignore lint/suspicious/noExplicitAny: see above
type UnknownDatabase = any
