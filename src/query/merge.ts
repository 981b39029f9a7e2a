import { type AggregateState, type StateDefinition, states } from '../aggregate/index.ts'
import type { Instant } from '../time/index.ts'
import { assertWithin } from './limits.ts'
import { type Cell, type StateRequest, unknownState } from './tier.ts'
import { keyText } from './values.ts'

/**
 * Puts the cells of all parts together: one for each bucket and group, whichever part they came from. A part has each
 * of its cells once, so those of a single one are the answer as they are. The states are used up.
 */
export function mergeCells(
  parts: readonly (readonly Cell[])[],
  requests: readonly StateRequest[],
  maxCells: number,
): readonly Cell[] {
  const [only, second] = parts
  if (only && !second) return only
  const definitions: readonly StateDefinition[] = requests.map(({ spec }) => states[spec.kind])
  const merged = new Map<string | Instant | null, Cell & { readonly states: AggregateState[] }>()
  for (const cells of parts) {
    for (const { bucket, keys, states: added } of cells) {
      const id = keys.length === 0 ? bucket : keyText(bucket) + keys.map(keyText).join('')
      const known = merged.get(id)
      if (known === undefined) {
        merged.set(id, { bucket, keys, states: [...added] })
        continue
      }
      for (const [i, definition] of definitions.entries()) {
        const into = known.states[i] as AggregateState
        const other = added[i] as AggregateState
        known.states[i] =
          into === unknownState || other === unknownState ? unknownState : definition.merge(into, other)
      }
    }
    assertWithin(
      'the number of cells (buckets x groups)',
      merged.size,
      maxCells,
      'ask for a wider bucket, a shorter range, fewer groups or a narrower filter, or raise limits.maxCells',
    )
  }
  return [...merged.values()]
}

/** The one cell of an empty query without bucket and groups: SQL's `select count(*)` of nothing is one row. */
export function emptyCell(requests: readonly StateRequest[]): Cell {
  return { bucket: null, keys: [], states: requests.map(({ spec }) => states[spec.kind].create(spec)) }
}
