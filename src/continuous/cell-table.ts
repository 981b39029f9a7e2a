import { type StoredState, storedState } from '../aggregate/index.ts'
import type { Materialization } from '../query/index.ts'

/** Schema of the tables of cells. */
export const cellSchema = 'tidemark_aggregates'
export const bucketColumn = 'bucket'

/**
 * How cells lie in their table: `bucket`, `key_0` …, `state_0` …. Names of people's are only in the view. A cell is unique by
 * bucket and keys, nulls not distinct.
 */
export interface CellTable {
  readonly keys: readonly { readonly column: string; readonly type: string }[]
  readonly states: readonly {
    readonly stored: StoredState
    readonly columns: readonly { readonly column: string; readonly type: string }[]
  }[]
}

export function cellTableOf({ base, keys, states }: Materialization): CellTable {
  return {
    keys: keys.map(({ ref }, i) => ({
      column: `key_${i}`,
      type: ref.path.length > 0 ? 'text' : (base.columns[ref.column]?.type ?? 'text'),
    })),
    states: states.map(({ spec }, i) => {
      const stored = storedState(spec)
      return {
        stored,
        columns: stored.columns.map(({ suffix, type }) => ({
          column: suffix === '' ? `state_${i}` : `state_${i}_${suffix}`,
          type,
        })),
      }
    }),
  }
}
