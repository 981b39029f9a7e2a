import { sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { StateDefinition } from './contract.ts'
import { filtered, valueWhere } from './filtered.ts'

export interface CountState {
  count: number
}

/** Rows, or values that are not null. Exact to 2^53. */
export const countState: StateDefinition<CountState> = {
  kind: 'count',
  exactness: 'exact',
  create: () => ({ count: 0 }),
  add(state) {
    state.count += 1
    return state
  },
  merge(into, other) {
    into.count += other.count
    return into
  },
  encode: (state) => writeState().count(state.count).finish(),
  decode(bytes) {
    const reader = readState(bytes)
    const state = { count: reader.count() }
    reader.end()
    return state
  },
  postgres: () => ({
    shape: 'columns',
    columns: ({ value, filter }) => [filtered(value === null ? sql`count(*)` : sql`count(${value})`, filter)],
    read: ([count]) => ({ count: Number(count ?? 0) }) satisfies CountState,
  }),
  duckdb: (spec) => ({
    ...countState.postgres(spec),
    shape: 'columns',
    columns: ({ value, filter }) => [
      value === null && filter === null ? sql`count(*)` : sql`count(${valueWhere(value ?? sql`1`, filter)})`,
    ],
  }),
}
