import type { Sql } from '../util/sql.ts'
import type { AggregateFunction, AggregateState, FinishOptions, StateInput } from './contract.ts'
import type { KeyedRows } from './keyed.ts'

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
  /** The finished value of one cell in SQL, null where the state is not known; null: the function is not made of this state. */
  readonly finish: (fn: AggregateFunction, columns: readonly Sql[], options: FinishOptions) => Sql | null
  /** How a view computes the state from rows. */
  readonly rows: ColumnsOfRows | StatementOfRows
}

/** Aggregates beside those of other states. */
export interface ColumnsOfRows {
  readonly shape: 'columns'
  readonly columns: (input: StateInput) => readonly Sql[]
  /** The stored columns from what `columns` give. */
  readonly store: (computed: readonly Sql[]) => readonly Sql[]
}

/** A whole SELECT by itself: the cells' columns in order, then `width` columns; a row for each cell that has a value. */
export interface StatementOfRows {
  readonly shape: 'statement'
  readonly statement: (input: StateInput, rows: KeyedRows) => Sql
  readonly width: number
  /** The stored columns from those; they are all null for a cell without a row. */
  readonly store: (computed: readonly Sql[]) => readonly Sql[]
}
