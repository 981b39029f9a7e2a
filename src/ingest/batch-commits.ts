import type { BatchInsert, BatchWriter, WrittenCounts } from '../hot/index.ts'
import type { CanonicalValue, StoredDefinition } from '../schema/index.ts'
import { type Instant, parseInstant } from '../time/index.ts'
import { type ErrorParams, isTidemarkError, type TidemarkError } from '../util/errors.ts'
import type { DeadLimit } from './dead-limit.ts'
import type { Batch, MakeRow } from './import-batch.ts'
import { commitBatch, type DeadLetter, type ImportClaim } from './ledger.ts'
import type { ResolvedImportOptions } from './options.ts'
import { showJson } from './record-batches.ts'

/** Rows of a batch that a constraint may refuse; with more the import stops with the constraint's error. */
const maxRefusedRows = 100

/** Rolls back what was only tried. */
class ProbePassed extends Error {}

function isConstraint(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && error.code === 'TM_CONSTRAINT'
}

function isBusy(error: unknown): boolean {
  return isTidemarkError(error) && error.code === 'TM_BUSY'
}

function isExpired(error: unknown): error is TidemarkError<'TM_EXPIRED'> {
  return isTidemarkError(error) && error.code === 'TM_EXPIRED'
}

export interface BatchCommitsOptions {
  readonly writer: BatchWriter
  readonly definition: StoredDefinition
  readonly file: string
  readonly claim: ImportClaim
  readonly rules: Pick<ResolvedImportOptions, 'onConflict' | 'strict'>
  /** Batches that are written at the same time. */
  readonly connections: number
  readonly deadLimit: DeadLimit
  readonly makeRow: MakeRow
  readonly signal: AbortSignal
}

/** Writes batches, several at once, each with its place in the ledger in one transaction. */
export class BatchCommits {
  readonly #options: BatchCommitsOptions
  readonly #ready: Batch[] = []
  /** Something was in their way, perhaps our own other batches: each is written once more, alone. */
  readonly #held: Batch[] = []
  readonly #inFlight = new Set<Promise<void>>()
  #failure: { readonly error: unknown } | null = null
  #rows: number
  #dead: number
  #inserted = 0
  #updated = 0
  #ignored = 0
  /** Null: nothing of the kind was declared. */
  #merged: number | null = null

  constructor(options: BatchCommitsOptions) {
    this.#options = options
    this.#rows = options.claim.rows
    this.#dead = options.claim.dead
  }

  /** Rows and dead letters that are committed, with those of earlier runs. */
  get committed(): { readonly rows: number; readonly dead: number } {
    return { rows: this.#rows, dead: this.#dead }
  }

  /** Of this run alone: what became of its rows in the table. */
  get written(): WrittenCounts {
    return {
      inserted: this.#inserted,
      updated: this.#updated,
      ignored: this.#ignored,
      ...(this.#merged === null ? {} : { merged: this.#merged }),
    }
  }

  add(batch: Batch): void {
    this.#ready.push(batch)
  }

  /** Starts what is ready; true when there is room for more (`untilEmpty`: when nothing is left). */
  start(untilEmpty: boolean): boolean {
    this.assertGoing()
    if (this.#held.length > 0) {
      if (this.#inFlight.size === 0) this.#start(this.#held.shift()!, true)
    } else
      while (this.#ready.length > 0 && this.#inFlight.size < this.#options.connections)
        this.#start(this.#ready.shift()!, false)
    return this.#ready.length + this.#held.length === 0 && (!untilEmpty || this.#inFlight.size === 0)
  }

  /** Resolves when one of those under way has ended. */
  async next(): Promise<void> {
    await Promise.race(this.#inFlight)
  }

  /** Throws what a batch has failed with. */
  assertGoing(): void {
    if (this.#failure) throw this.#failure.error
  }

  /** Waits for what is under way, whatever becomes of it: an import that failed leaves nothing running. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#inFlight)
  }

  #start(batch: Batch, isAlone: boolean): void {
    const work = this.#write(batch, isAlone)
      .catch((error: unknown) => {
        this.#failure ??= { error }
      })
      .finally(() => {
        this.#inFlight.delete(work)
      })
    this.#inFlight.add(work)
  }

  async #write(batch: Batch, isAlone: boolean): Promise<void> {
    const open = batch.open!
    const { signal, rules } = this.#options
    let isHeld = false
    try {
      await this.#commit(batch, batch.rows.length, batch.dead, (inTransaction) =>
        open.commit({ inTransaction, signal }),
      )
    } catch (error) {
      if (isBusy(error) && !isAlone && this.#options.connections > 1) {
        isHeld = true
        this.#held.push(batch)
        return
      }
      if (!(isConstraint(error) || isExpired(error)) || rules.strict) throw error
      await this.#writeRest(batch, error)
    } finally {
      if (!isHeld) {
        batch.open = null
        open.release()
      }
    }
  }

  /** Without the rows that cannot be written, which become dead letters. */
  async #writeRest(batch: Batch, first: TidemarkError): Promise<void> {
    const all = batch.rows.all(this.#options.makeRow)
    let places: readonly number[] = all.map((_, i) => i)
    const letters: DeadLetter[] = []
    const refused = new Set<number>()
    const refuse = (index: number, reason: 'constraint' | 'expired', message: string): void => {
      refused.add(index)
      const line = batch.rows.lineOf(index)
      letters.push({ line, column: null, value: null, reason, message, raw: showJson(all[index]) })
    }
    let error = first
    for (;;) {
      const before = refused.size
      if (isExpired(error)) this.#findExpired(all, places, error, refuse)
      else await this.#findRefused(all, places, error, refuse)
      if (refused.size === before) throw error
      places = places.filter((index) => !refused.has(index))
      const tooMany = this.#options.deadLimit.add(letters.slice(before), null)
      if (tooMany) throw tooMany
      const rows = places.map((index) => all[index]!)
      try {
        return await this.#commit(batch, rows.length, [...batch.dead, ...letters], (inTransaction) =>
          this.#insert(rows, inTransaction),
        )
      } catch (next) {
        // one more dropped chunk, or a constraint beside
        if (!isConstraint(next) && !isExpired(next)) throw next
        error = next
      }
    }
  }

  async #commit(
    batch: Batch,
    rows: number,
    dead: readonly DeadLetter[],
    write: (inTransaction: BatchInsert['inTransaction']) => Promise<WrittenCounts>,
  ): Promise<void> {
    const { definition, file, claim } = this.#options
    const written = await write((connection) =>
      commitBatch(connection, definition.name, file, claim, batch.first, rows, dead),
    )
    this.#inserted += written.inserted
    this.#updated += written.updated
    this.#ignored += written.ignored
    if (written.merged !== undefined) this.#merged = (this.#merged ?? 0) + written.merged
    this.#rows += rows
    this.#dead += dead.length
  }

  #insert(
    rows: readonly CanonicalValue[][],
    inTransaction: BatchInsert['inTransaction'],
  ): Promise<WrittenCounts> {
    const { writer, definition, rules, signal } = this.#options
    return writer.insertBatch({ definition, rows, onConflict: rules.onConflict, inTransaction, signal })
  }

  /** Rows of the dropped range that the error names. */
  #findExpired(
    all: readonly CanonicalValue[][],
    places: readonly number[],
    error: TidemarkError<'TM_EXPIRED'>,
    refuse: (index: number, reason: 'expired', message: string) => void,
  ): void {
    const { definition } = this.#options
    const { from, to } = error.params as ErrorParams<'TM_EXPIRED'>
    const [least, end] = [parseInstant(from), parseInstant(to)]
    const place =
      definition.kind === 'hypertable' ? Object.keys(definition.columns).indexOf(definition.time) : -1
    for (const index of places) {
      const time = all[index]![place] as Instant
      if (time >= least && time < end) refuse(index, 'expired', error.message)
    }
  }

  /**
   * Rows that a constraint of the table refuses. They are found by halving, in transactions that are rolled back: some
   * 2 * log2(batchRows) for each, so only for a few in a batch.
   */
  async #findRefused(
    all: readonly CanonicalValue[][],
    places: readonly number[],
    error: TidemarkError,
    refuse: (index: number, reason: 'constraint', message: string) => void,
  ): Promise<void> {
    let found = 0
    const search = async (from: number, to: number): Promise<void> => {
      const problem = await this.#probe(places.slice(from, to).map((index) => all[index]!))
      if (problem === null) return
      if (to - from === 1) {
        refuse(places[from]!, 'constraint', problem.message)
        found += 1
        if (found > maxRefusedRows) throw error
        return
      }
      const middle = (from + to) >> 1
      await search(from, middle)
      await search(middle, to)
    }
    await search(0, places.length)
  }

  /** What a constraint says to the rows; they are not written. */
  async #probe(rows: readonly CanonicalValue[][]): Promise<TidemarkError | null> {
    try {
      await this.#insert(rows, () => Promise.reject(new ProbePassed()))
    } catch (error) {
      if (isConstraint(error)) return error
      if (!(error instanceof ProbePassed)) throw error
    }
    return null
  }
}
