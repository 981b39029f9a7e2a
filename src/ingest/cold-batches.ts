import {
  type BatchInsert,
  type BatchWriter,
  ChunkRouter,
  type ColumnValues,
  loadChunkMap,
  type OpenBatch,
  type WrittenCounts,
} from '../hot/index.ts'
import type { LakeSegment } from '../lake/index.ts'
import type { Database, RowSlots } from '../postgres/index.ts'
import type { CanonicalValue, HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { unreachable } from '../util/unreachable.ts'
import type { ColdLake } from './cold-port.ts'
import type { ImportClaim } from './ledger.ts'
import { type StagedFile, stageFiles } from './staged-files.ts'

/**
 * Encoded bytes of a batch at most. So much may have to be read again after a kill, and lies in DuckDB's memory or spilled on
 * disk; with less, rows that are in no order become more and smaller files.
 */
const maxSegmentBytes = 4 * 1024 ** 3

/** Share of rows that may go back to chunks that others have followed, in a file that counts as ordered. */
const strayShare = 0.01

export interface ColdBatchesOptions {
  readonly db: Database
  readonly lake: ColdLake
  readonly definition: HypertableDefinition
  readonly claim: ImportClaim
  /** Of earlier runs. */
  readonly staged: readonly StagedFile[]
  readonly signal: AbortSignal | null
  readonly segmentBytes?: number
}

/**
 * Batches that become files of the lake, one for each chunk that they have rows of. In a file in the order of time (up or
 * down) a batch ends where a chunk does, so each chunk is one file; in one without an order batches are large.
 */
export class ColdBatches implements BatchWriter {
  readonly #options: ColdBatchesOptions
  readonly #order: RowOrder
  readonly #open = new Set<ColdBatch>()
  #router: ChunkRouter | null = null

  constructor(options: ColdBatchesOptions) {
    this.#options = options
    this.#order = new RowOrder()
  }

  async batches(
    definition: HypertableDefinition,
    _onConflict: BatchInsert['onConflict'],
    { batchRows = 1 }: { readonly batchRows?: number } = {},
  ): Promise<(first?: number) => OpenBatch> {
    if (this.#router === null) {
      const router = new ChunkRouter(definition, await loadChunkMap(this.#options.db, definition))
      for (const { file } of this.#options.staged) this.#order.knows(router.rangeOf(file.minTime))
      this.#router = router
    }
    const router = this.#router
    return (first = unreachable('a batch of the lake has a first record')) => {
      const batch = new ColdBatch(this.#options, router, this.#order, first, batchRows, () => {
        this.#open.delete(batch)
      })
      this.#open.add(batch)
      return batch
    }
  }

  insertBatch(): Promise<WrittenCounts> {
    return unreachable('no constraint refuses rows on their way into the lake')
  }

  /** Waits until everything that batches hold has been given back. */
  async close(): Promise<void> {
    await Promise.allSettled([...this.#open].map((batch) => batch.dispose()))
  }
}

/** Whether rows come in the order of time, more or less. */
class RowOrder {
  readonly #known = new Set<TimeRange>()
  #rows = 0
  #strays = 0

  knows(range: TimeRange): void {
    this.#known.add(range)
  }

  /** Of a chunk that rows go on with; whether it has been left before. */
  enter(range: TimeRange): boolean {
    if (this.#known.has(range)) return true
    this.#known.add(range)
    return false
  }

  add(rows: number, isStray: boolean): void {
    this.#rows += rows
    if (isStray) this.#strays += rows
  }

  get isOrdered(): boolean {
    return this.#strays <= this.#rows * strayShare
  }
}

class ColdBatch implements OpenBatch {
  readonly #options: ColdBatchesOptions
  readonly #router: ChunkRouter
  readonly #order: RowOrder
  readonly #first: number
  readonly #batchRows: number
  readonly #onEnd: () => void
  readonly #segment: LakeSegment
  readonly #timeIndex: number
  readonly #ranges = new Set<TimeRange>()
  #last: TimeRange | null = null
  #isStray = false
  /** Rows since the last change of chunk. */
  #run = 0

  constructor(
    options: ColdBatchesOptions,
    router: ChunkRouter,
    order: RowOrder,
    first: number,
    batchRows: number,
    onEnd: () => void,
  ) {
    const { definition, lake, signal } = options
    this.#options = options
    this.#router = router
    this.#order = order
    this.#first = first
    this.#batchRows = batchRows
    this.#onEnd = onEnd
    this.#segment = lake.segments.open({ definition, signal })
    this.#timeIndex = Object.keys(definition.columns).indexOf(definition.time)
  }

  get rows(): number {
    return this.#segment.rowCount
  }

  get mayGrow(): boolean {
    return this.#segment.bytes < (this.#options.segmentBytes ?? maxSegmentBytes)
  }

  add(row: readonly CanonicalValue[]): boolean {
    const range = this.#router.rangeOf(row[this.#timeIndex] as Instant)
    if (range !== this.#last && !this.#enter(range)) return false
    this.#segment.addRow(range, row)
    this.#run += 1
    return true
  }

  addSlots(row: RowSlots): boolean {
    const range = this.#router.rangeOfMicros(row.numbers[this.#timeIndex]!)
    if (range !== this.#last && !this.#enter(range)) return false
    this.#segment.addSlots(range, row)
    this.#run += 1
    return true
  }

  addColumns(rows: number, columns: readonly ColumnValues[]): boolean {
    const times = columns[this.#timeIndex]!.numbers!
    let min = Number.POSITIVE_INFINITY
    let max = Number.NEGATIVE_INFINITY
    for (const time of times) {
      if (time < min) min = time
      if (time > max) max = time
    }
    const range = this.#router.rangeOfMicros(min)
    if (this.#router.rangeOfMicros(max) !== range) return false
    if (range !== this.#last && !this.#enter(range)) return false
    if (!this.#segment.addColumns(range, rows, columns)) return false
    this.#run += rows
    return true
  }

  /** False: the batch ends before the row. */
  #enter(range: TimeRange): boolean {
    this.#order.add(this.#run, this.#isStray)
    this.#run = 0
    if (!this.#ranges.has(range)) {
      if (this.rows >= this.#batchRows && this.#order.isOrdered) return false
      this.#ranges.add(range)
    }
    this.#isStray = this.#order.enter(range)
    this.#last = range
    return true
  }

  relieve(): Promise<void> | null {
    return this.#segment.relieve()
  }

  async commit({ inTransaction }: Pick<BatchInsert, 'inTransaction' | 'signal'>): Promise<WrittenCounts> {
    const { db, lake, definition, claim } = this.#options
    this.#order.add(this.#run, this.#isStray)
    this.#run = 0
    const written = { inserted: this.rows, updated: 0, ignored: 0 }
    const files = await this.#segment.write()
    await lake.note(definition, files)
    await db.transaction({ mode: 'read committed' }, async (connection) => {
      await lake.takeNotes(connection, files)
      await stageFiles(connection, claim.id, this.#first, files)
      await inTransaction(connection, written)
    })
    return written
  }

  release(): void {
    // awaited by close()
    this.dispose().catch(() => {})
  }

  async dispose(): Promise<void> {
    await this.#segment.dispose()
    this.#onEnd()
  }
}
