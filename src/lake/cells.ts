import {
  type AggregateState,
  type InputType,
  type InputValue,
  isInSlice,
  states,
} from '../aggregate/index.ts'
import { type Cell, canonicalKey, type KeyValue, keyText, type ScanRequest } from '../query/index.ts'
import type { ColumnType } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

/** The cells of one scan, put together from several readings: of other files, or of other states of the same rows. */
export class Cells {
  readonly #request: ScanRequest
  readonly #keys: readonly { readonly type: ColumnType; readonly scale: number | null }[]
  readonly #cells = new Map<
    string,
    {
      readonly bucket: Instant | null
      readonly keys: readonly KeyValue[]
      readonly states: (AggregateState | undefined)[]
    }
  >()

  constructor(request: ScanRequest) {
    this.#request = request
    this.#keys = request.by.map(({ ref }) => {
      const column = request.dataset.columns[ref.column]!
      return { type: column.type === 'jsonb' ? 'text' : column.type, scale: column.scale }
    })
  }

  /**
   * The states of a cell, to be filled or changed in place; undefined where nothing is known yet.
   *
   * @param keys In any form of their types.
   * @throws TidemarkError TM_LIMIT when it is one more than there may be.
   */
  at(bucket: Instant | null, keys: readonly unknown[]): (AggregateState | undefined)[] {
    const canonical = keys.map(
      (key, i) => canonicalKey(this.#keys[i]!.type, key, this.#keys[i]!.scale) as KeyValue,
    )
    const { slice } = this.#request
    const types = this.#keys.map(({ type }) => type as InputType)
    // what is not asked for is taken and forgotten
    if (slice && !isInSlice(types, canonical as (InputValue | null)[], slice))
      return this.#request.states.map(() => undefined)
    let text = keyText(bucket)
    for (const key of canonical) text += keyText(key)
    let cell = this.#cells.get(text)
    if (!cell) {
      if (this.#cells.size >= this.#request.maxCells) throw tooManyCells(this.#request.maxCells)
      cell = { bucket, keys: canonical, states: this.#request.states.map(() => undefined) }
      this.#cells.set(text, cell)
    }
    return cell.states
  }

  /** Adds a state to what the cell has. */
  merge(cell: (AggregateState | undefined)[], target: number, state: AggregateState): void {
    const held = cell[target]
    cell[target] =
      held === undefined ? state : states[this.#request.states[target]!.spec.kind].merge(held, state)
  }

  /** Adds the cells of other files; their states are used up. */
  take(other: Cells): void {
    for (const { bucket, keys, states: held } of other.#cells.values()) {
      const cell = this.at(bucket, keys)
      for (const [target, state] of held.entries()) if (state) this.merge(cell, target, state)
    }
  }

  clear(): void {
    this.#cells.clear()
  }

  all(): Cell[] {
    const specs = this.#request.states.map(({ spec }) => spec)
    return [...this.#cells.values()].map(({ bucket, keys, states: held }) => ({
      bucket,
      keys,
      states: held.map((state, i) => state ?? states[specs[i]!.kind].create(specs[i]!)),
    }))
  }
}

export function tooManyCells(maxCells: number): TidemarkError<'TM_LIMIT'> {
  return new TidemarkError('TM_LIMIT', {
    what: 'cells',
    value: `more than ${maxCells}`,
    limit: String(maxCells),
    todo: 'ask for a coarser bucket, fewer groups or a shorter range',
  })
}
