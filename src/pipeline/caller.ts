import type { WrittenCounts } from '../hot/index.ts'
import type { CanonicalRow } from '../schema/index.ts'
import { tenantOf } from './batch-tenant.ts'
import type { IngestBatch, IngestReport, RejectedRow } from './contract.ts'
import type { DeadRow, DeadRows } from './dead-letters.ts'
import type { Refusal } from './refusals.ts'
import type { CheckedRows } from './row-checker.ts'
import type { SpoolMark } from './spool-position.ts'

/** Rejected rows that a report lists; the others are counted, and kept as dead letters. */
export const maxListed = 100

/** One who waits for an answer, with what is left to be written of its batch. */
export class Caller {
  readonly batch: IngestBatch
  /** Of the rows, where there is an idempotency key. */
  readonly fingerprint: Uint8Array | null
  readonly bytes: number
  readonly done: Promise<IngestReport>
  /** Where it was read from, when it comes out of a spool. */
  readonly mark: SpoolMark | null
  /** Aborting gives up what has not been begun. */
  signal: AbortSignal | null
  /** How often it could not be known whether its transaction was committed. */
  unknown = 0
  #rows: readonly CanonicalRow[]
  #places: readonly number[]
  #dead: DeadRow[]
  readonly #checked: CheckedRows
  #duplicates = 0
  #isSettled = false
  #resolve!: (report: IngestReport) => void
  #reject!: (error: unknown) => void

  constructor(
    batch: IngestBatch,
    checked: CheckedRows,
    fingerprint: Uint8Array | null,
    bytes: number,
    mark: SpoolMark | null = null,
  ) {
    this.batch = batch
    this.mark = mark
    this.fingerprint = fingerprint
    this.bytes = bytes
    this.signal = batch.signal
    this.#checked = checked
    this.#rows = checked.rows
    this.#places = checked.places
    this.#dead = [...checked.dead]
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** That fit, and are not known to be stored. */
  get rows(): readonly CanonicalRow[] {
    return this.#rows
  }

  get isSettled(): boolean {
    return this.#isSettled
  }

  /** To be kept as dead letters; none where the batch keeps them itself. */
  get dead(): readonly DeadRows[] {
    const { definition, source, onConflict, inTransaction, scope } = this.batch
    if (inTransaction !== undefined) return []
    const tenant = tenantOf(scope)
    const told = this.#checked.dead.length
    const refused = this.mark === null ? source : 'spool'
    return [
      { definition, tenant, source, onConflict, rows: this.#dead.slice(0, told) },
      { definition, tenant, source: refused, onConflict, rows: this.#dead.slice(told) },
    ].filter(({ rows }) => rows.length > 0)
  }

  /** Rows that a declaration refuses which has changed since the batch was acknowledged. */
  refuseRows(dead: readonly DeadRow[]): void {
    this.#dead.push(...dead)
  }

  /** Takes all rows away, for one reason. */
  refuseAll(reason: DeadRow['reason'], message: string): void {
    this.refuse(this.#rows.map((_, at) => ({ at, column: null, value: null, reason, message })))
  }

  /** Rows of it were refused that had been taken before. */
  get isRefused(): boolean {
    return this.#dead.length > this.#checked.dead.length
  }

  get rejected(): readonly RejectedRow[] {
    return this.#dead.map(withoutRow)
  }

  /** Takes rows away that an earlier transaction has written. */
  passOver(isSeen: (row: CanonicalRow) => boolean): void {
    const before = this.#rows.length
    this.#keep((row) => !isSeen(row))
    this.#duplicates += before - this.#rows.length
  }

  /** Takes rows away that the database refuses; `at` is a place in `rows`. */
  refuse(refused: readonly Refusal[]): void {
    for (const { at, ...why } of refused) {
      const index = this.#places[at]!
      this.#dead.push({ ...why, index, row: this.#checked.given[index] })
    }
    const places = new Set(refused.map(({ at }) => at))
    this.#keep((_, at) => !places.has(at))
  }

  #keep(isKept: (row: CanonicalRow, at: number) => boolean): void {
    const rows: CanonicalRow[] = []
    const places: number[] = []
    this.#rows.forEach((row, at) => {
      if (!isKept(row, at)) return
      rows.push(row)
      places.push(this.#places[at]!)
    })
    this.#rows = rows
    this.#places = places
  }

  /** What it is answered when `written` became of its rows; `twins` of them have the event id of another in their transaction. */
  report(written: WrittenCounts, twins: number): IngestReport {
    const duplicates = this.#duplicates + twins
    const { inserted, updated, ignored, merged = 0 } = written
    const dead = [...this.#dead].sort((a, b) => a.index - b.index)
    return Object.freeze({
      accepted: inserted + updated + ignored + merged + duplicates,
      inserted,
      updated,
      ignored,
      merged,
      duplicates,
      rejected: Object.freeze({
        count: dead.length,
        rows: Object.freeze(dead.slice(0, maxListed).map(withoutRow)),
      }),
      dropped: this.#checked.dropped,
      isReplayed: false,
      isQueued: false,
    })
  }

  resolve(report: IngestReport): void {
    this.#isSettled = true
    this.#resolve(report)
  }

  reject(error: unknown): void {
    this.#isSettled = true
    this.#reject(error)
  }
}

function withoutRow({ index, column, value, reason, message }: DeadRow): RejectedRow {
  return Object.freeze({ index, column, value, reason, message })
}
