import type { Sql } from '../util/sql.ts'
import type { AggregateFunction, AggregateState, EngineState, FinishOptions } from './contract.ts'

/**
 * How a state lies in a row of a PostgreSQL table: a few typed columns where SQL can work with them, otherwise its canonical bytes.
 * Equal states are equal columns.
 */
export interface StoredState {
  /** `suffix` is appended to the state's name; empty for the only column. `type` is PostgreSQL's. All are null where a state is not known. */
  readonly columns: readonly { readonly suffix: string; readonly type: string }[]
  /** One value for each column, in the form that postgres/ writes; never all null. */
  write(state: AggregateState): readonly unknown[]
  /** The same, as postgres/ reads them. */
  read(values: readonly unknown[]): AggregateState
  /** Aggregates over the columns of many cells that give the columns of one; null: only TypeScript merges them. */
  readonly merge: ((columns: readonly Sql[]) => readonly Sql[]) | null
  /** The finished value of one cell in SQL, null where the state is not known; null: there is no such function in SQL. */
  readonly finish:
    | ((fn: AggregateFunction, columns: readonly Sql[], options: FinishOptions) => Sql | null)
    | null
  /** How a view computes the state from rows, and the stored columns from what that gives; null: only TypeScript computes it. */
  readonly rows: {
    readonly shape: Exclude<EngineState, { shape: 'ordered' }>
    readonly store: (computed: readonly Sql[]) => readonly Sql[]
  } | null
}
