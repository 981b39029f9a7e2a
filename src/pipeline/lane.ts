import type { Caller } from './caller.ts'
import type { IngestBatch } from './contract.ts'

export interface GroupLimits {
  readonly maxGroupRows: number
  readonly maxGroupBytes: number
}

/** What waits to be written to one dataset, in the order of coming. */
export class Lane {
  /** Transactions under way. */
  active = 0
  #waiting: Caller[] = []

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  add(caller: Caller): void {
    this.#waiting.push(caller)
  }

  /** False: it is being written already. */
  remove(caller: Caller): boolean {
    const before = this.#waiting.length
    this.#waiting = this.#waiting.filter((other) => other !== caller)
    return this.#waiting.length < before
  }

  /** All who wait. */
  clear(): readonly Caller[] {
    return this.#waiting.splice(0)
  }

  /** The next group: one caller at least, and those behind it that go with it, up to the limits. */
  take({ maxGroupRows, maxGroupBytes }: GroupLimits): readonly Caller[] {
    let rows = 0
    let bytes = 0
    let count = 0
    for (const caller of this.#waiting) {
      rows += caller.rows.length
      bytes += caller.bytes
      if (count > 0 && (rows > maxGroupRows || bytes > maxGroupBytes)) break
      if (count > 0 && !(mayJoin(caller) && mayJoin(this.#waiting[0]!))) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }
}

/**
 * Where keys are compared, each batch goes alone: what became of its rows is known for a transaction as a whole, and one that
 * waits for the rows of somebody's open transaction holds up nobody else.
 */
export function mayJoin({
  batch: { definition, onConflict, inTransaction },
}: {
  readonly batch: Pick<IngestBatch, 'definition' | 'onConflict' | 'inTransaction'>
}): boolean {
  if (inTransaction !== undefined) return false
  if (onConflict === 'error') return true
  // nothing to compare: 'ignore' is the same as 'error'
  return (
    onConflict === 'ignore' &&
    definition.primaryKey === null &&
    !definition.indexes.some(({ unique }) => unique)
  )
}
