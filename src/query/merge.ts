import { type AggregateState, type ResultType, type StateDefinition, states } from '../aggregate/index.ts'
import type { Instant } from '../time/index.ts'
import { assertWithin } from './limits.ts'
import type { AggregateQueryNode } from './nodes.ts'
import { columnOf, typeOfGroup } from './references.ts'
import type { Cell, StateRequest } from './tier.ts'
import { canonicalKey, keyText } from './values.ts'

export interface MergedCell {
  readonly bucket: Instant | null
  /** Canonical. */
  readonly keys: readonly unknown[]
  readonly states: AggregateState[]
}

/** Puts the cells of all parts together: one for each bucket and group, whichever part they came from. */
export interface CellMerger {
  add(cells: readonly Cell[]): void
  cells(): readonly MergedCell[]
}

export function createCellMerger(
  node: AggregateQueryNode,
  requests: readonly StateRequest[],
  maxCells: number,
): CellMerger {
  const definitions: readonly StateDefinition[] = requests.map(({ spec }) => states[spec.kind])
  const groups: readonly { readonly type: ResultType; readonly scale: number | null }[] = node.by.map(
    ({ ref }) => ({
      type: typeOfGroup(node.dataset, ref),
      scale: columnOf(node.dataset, ref.column)?.scale ?? null,
    }),
  )
  const merged = new Map<string | Instant | null, MergedCell>()
  const ungrouped = groups.length === 0

  function addOne(cell: Cell): void {
    let keys: readonly unknown[] = cell.keys
    let id: string | Instant | null = cell.bucket
    if (!ungrouped) {
      // Tiers may tell 1.0 from 1.00 or 0 from -0; here they are one group.
      keys = groups.map(({ type, scale }, i) => canonicalKey(type, cell.keys[i], scale))
      let text = cell.bucket === null ? '' : `${cell.bucket};`
      for (const key of keys) text += keyText(key)
      id = text
    }
    const known = merged.get(id)
    if (known === undefined) {
      merged.set(id, { bucket: cell.bucket, keys, states: [...cell.states] })
      return
    }
    for (let i = 0; i < definitions.length; i++)
      known.states[i] = (definitions[i] as StateDefinition).merge(
        known.states[i] as AggregateState,
        cell.states[i] as AggregateState,
      )
  }

  return {
    add(cells) {
      for (const cell of cells) addOne(cell)
      assertWithin(
        'the number of cells (buckets x groups)',
        merged.size,
        maxCells,
        'ask for a wider bucket, a shorter range, fewer groups or a narrower filter, or raise limits.maxCells',
      )
    },
    cells: () => [...merged.values()],
  }
}

/** The one cell of an empty query without bucket and groups: SQL's `select count(*)` of nothing is one row. */
export function emptyCell(requests: readonly StateRequest[]): MergedCell {
  return { bucket: null, keys: [], states: requests.map(({ spec }) => states[spec.kind].create(spec)) }
}
