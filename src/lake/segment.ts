import { rm } from 'node:fs/promises'
import type { DuckDBConnection } from '@duckdb/node-api'
import { createCopyEncoder, type RowSlots } from '../postgres/index.ts'
import type { CanonicalValue, HypertableDefinition } from '../schema/index.ts'
import { formatInstant, type TimeRange } from '../time/index.ts'
import { identifier, printSqlInline, raw, type Sql, sql } from '../util/sql.ts'
import { completeFile, contentOf, copyStatement, throttled, writeProblem } from './complete-file.ts'
import type { LakeFilesOptions, WriteProgress, WrittenFile } from './contract.ts'
import { cancelled, copyHeader } from './copy-stream.ts'
import { type Borrowed, borrow } from './duckdb.ts'
import { createFeeds, type Feeds } from './feed.ts'
import { RowTally } from './row-decoder.ts'
import { RowSpool } from './row-spool.ts'
import { ColumnPool, type SlotStage } from './slot-stage.ts'

export interface SegmentRequest {
  readonly definition: HypertableDefinition
  readonly signal: AbortSignal | null
}

/** Values of one column of some rows. */
export interface SegmentColumn {
  readonly numbers: Float64Array | null
  readonly texts: readonly string[] | null
}

/** A file with the rows of one chunk. */
export interface SegmentFile {
  readonly range: TimeRange
  readonly file: WrittenFile
}

/**
 * Rows of any chunks, in any order, on their way into one file for each chunk. In memory, and what is more than some 64 MB in
 * a temporary table of DuckDB, which spills.
 */
export interface LakeSegment {
  readonly rowCount: number
  /** As COPY BINARY has its rows, wherever they are. */
  readonly bytes: number
  /** How many files it becomes. */
  readonly chunks: number
  /**
   * Canonical values of all columns in declared order, jsonb as PostgreSQL prints it. `range`: of the chunk, which holds the
   * row's time; always the same object for the same chunk.
   */
  addRow(range: TimeRange, values: readonly CanonicalValue[]): void
  /** The same from slots, which may be filled anew afterwards: numbers, and texts as spans or values. */
  addSlots(range: TimeRange, slots: RowSlots): void
  /**
   * Rows of one chunk column by column, none of them null: numbers as in slots, or texts. False: the table has a type that
   * has to come otherwise, and none was taken.
   */
  addColumns(range: TimeRange, rows: number, columns: readonly SegmentColumn[]): boolean
  /** To be awaited before more rows come; null: there is room. */
  relieve(): Promise<void> | null
  /**
   * Writes the files, in the order of time: each is durable in the store, and was read back. Once.
   * @throws TidemarkError TM_LAKE, TM_CANCELLED; nothing is left then.
   */
  write(onProgress?: (progress: WriteProgress) => void): Promise<readonly SegmentFile[]>
  /** Gives back what it holds; also after `write`, and more than once. */
  dispose(): Promise<void>
}

export interface LakeSegments {
  open(request: SegmentRequest): LakeSegment
}

/**
 * @example
 * const segment = createLakeSegments({ duckdb, store }).open({ definition, signal: null })
 * segment.addRow(range, [1767225600000000n, 'host_1', 0.5])
 * const [{ file }] = await segment.write()
 */
export function createLakeSegments(options: LakeFilesOptions): LakeSegments {
  const feeds = createFeeds()
  const pools = new WeakMap<HypertableDefinition, ColumnPool>()
  return {
    open(request) {
      const pool = pools.get(request.definition) ?? new ColumnPool(pooledBlocks)
      pools.set(request.definition, pool)
      return new Segment(options, feeds, pool, request)
    },
  }
}

/** Some 50 MB of blocks with a dozen columns. */
const pooledBlocks = 256

/** Rows that are encoded before they are taken apart: enough to make the calls cheap, few enough to stay in the cache. */
const batchRows = 512
const batchBytes = 1024 * 1024

/** From here on rows are sorted once by time, instead of being looked through for each chunk. */
const fewChunks = 8

class Segment implements LakeSegment {
  readonly #options: LakeFilesOptions
  readonly #definition: HypertableDefinition
  readonly #signal: AbortSignal | null
  readonly #spool: RowSpool
  readonly #encoder: ReturnType<typeof createCopyEncoder>
  readonly #stage: SlotStage | null
  readonly #tallies = new Map<TimeRange, RowTally>()
  /** Of the rows that are encoded. */
  readonly #targets: RowTally[] = new Array(batchRows)
  #lastRange: TimeRange | null = null
  #lastTally = new RowTally()
  #rowCount = 0
  #bytes = 0
  #lent: Promise<Borrowed> | null = null
  #writing: Promise<unknown> | null = null
  #disposing: Promise<void> | null = null

  constructor(
    options: LakeFilesOptions,
    feeds: Feeds,
    pool: ColumnPool,
    { definition, signal }: SegmentRequest,
  ) {
    this.#options = options
    this.#definition = definition
    this.#signal = signal
    this.#spool = new RowSpool(definition, () => this.#connect(), feeds)
    this.#stage = this.#spool.slotStage(pool)
    this.#encoder = createCopyEncoder(Object.values(definition.columns).map(({ type }) => type))
  }

  get rowCount(): number {
    return this.#rowCount
  }

  get bytes(): number {
    return this.#bytes + (this.#stage?.bytes ?? 0)
  }

  get chunks(): number {
    return this.#tallies.size
  }

  addRow(range: TimeRange, values: readonly CanonicalValue[]): void {
    this.#encoder.addRow(values)
    this.#added(range)
  }

  addSlots(range: TimeRange, slots: RowSlots): void {
    if (this.#stage !== null) {
      if (range !== this.#lastRange) this.#enter(range)
      this.#stage.add(slots, this.#lastTally)
      this.#rowCount += 1
      return
    }
    this.#encoder.addSlots(slots)
    this.#added(range)
  }

  addColumns(range: TimeRange, rows: number, columns: readonly SegmentColumn[]): boolean {
    if (this.#stage === null) return false
    if (range !== this.#lastRange) this.#enter(range)
    this.#stage.addColumns(rows, columns, this.#lastTally)
    this.#rowCount += rows
    return true
  }

  #added(range: TimeRange): void {
    if (range !== this.#lastRange) this.#enter(range)
    const encoder = this.#encoder
    this.#targets[encoder.rows - 1] = this.#lastTally
    this.#rowCount += 1
    if (encoder.rows === batchRows || encoder.bytes > batchBytes) this.#decode()
  }

  #enter(range: TimeRange): void {
    let tally = this.#tallies.get(range)
    if (tally === undefined) {
      tally = new RowTally()
      this.#tallies.set(range, tally)
    }
    this.#lastRange = range
    this.#lastTally = tally
  }

  #decode(): void {
    const encoder = this.#encoder
    const { decoder } = this.#spool
    const rows = encoder.rows
    const pieces = encoder.finish()
    // a row may lie in two of them
    const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = copyHeader.length
    for (let row = 0; row < rows; row += 1) {
      let end = at + 2
      for (let fields = view.getInt16(at); fields > 0; fields -= 1) {
        const size = view.getInt32(end)
        end += size > 0 ? 4 + size : 4
      }
      decoder.tally = this.#targets[row]!
      decoder.add(bytes, view, at, end)
      this.#bytes += end - at
      at = end
    }
    encoder.reset()
  }

  relieve(): Promise<void> | null {
    return this.#spool.relieve()
  }

  async write(onProgress?: (progress: WriteProgress) => void): Promise<readonly SegmentFile[]> {
    const work = this.#write(onProgress)
    this.#writing = work
    this.#disposing = null
    try {
      return await work
    } finally {
      await this.dispose()
    }
  }

  async #write(onProgress?: (progress: WriteProgress) => void): Promise<readonly SegmentFile[]> {
    if (this.#encoder.rows > 0) this.#decode()
    this.#spool.decoder.finish()
    this.#stage?.finish()
    const report = throttled(onProgress)
    const chunks = [...this.#tallies].sort(([a], [b]) => (a.from < b.from ? -1 : 1))
    const written: SegmentFile[] = []
    const layout = chunks.length > 0 ? this.#spool.layout() : null
    if (layout === null) return written
    const time = identifier(`c${layout.order.indexOf(layout.time)}`)
    let done = 0
    try {
      for (const [range, tally] of chunks) {
        const what = `the file for ${this.#definition.name} from ${formatInstant(range.from)}`
        const localFile = await this.#options.store.temporaryFile()
        try {
          const content = contentOf(what, range, tally, layout)
          report('write', done)
          const copy = (source: Sql): Sql =>
            copyStatement(source, layout, localFile, this.#spool.hasMinusZero)
          if (chunks.length === 1) await this.#spool.use(copy)
          else {
            const rows = await this.#sorted(chunks.length, time)
            await this.#run(
              copy(
                sql`(from ${rows} where ${time} >= ${instant(range.from)} and ${time} < ${instant(range.to)})`,
              ),
            )
          }
          const file = await completeFile(this.#options, {
            definition: this.#definition,
            from: range.from,
            what,
            localFile,
            content,
            signal: this.#signal,
            report: (stage, rows) => report(stage, done + rows),
          })
          written.push({ range, file })
          done += content.rowCount
        } catch (error) {
          throw this.#signal?.aborted ? cancelled(this.#signal, `writing ${what}`) : writeProblem(what, error)
        } finally {
          await rm(localFile, { force: true })
        }
      }
    } catch (error) {
      for (const { file } of written) {
        // strays cost space only: what went wrong first is what has to be said
        await this.#options.store.remove(file.path).catch(() => {})
        if (file.summary !== null) await this.#options.store.remove(file.summary.path).catch(() => {})
      }
      throw error
    }
    return written
  }

  #sortedRows: Promise<Sql> | null = null

  #sorted(chunks: number, time: Sql): Promise<Sql> {
    this.#sortedRows ??= this.#spool.settle(chunks > fewChunks ? time : null)
    return this.#sortedRows
  }

  async #run(statement: Sql): Promise<void> {
    await (await this.#connect()).run(printSqlInline(statement))
  }

  async #connect(): Promise<DuckDBConnection> {
    this.#lent ??= borrow(this.#options.duckdb, this.#signal)
    return (await this.#lent).connection
  }

  /** Once, and never under the hands of `write`: what is given back is somebody else's. */
  dispose(): Promise<void> {
    this.#disposing ??= Promise.allSettled([this.#writing]).then(() => this.#giveBack())
    return this.#disposing
  }

  async #giveBack(): Promise<void> {
    let isClean = true
    try {
      await this.#spool.dispose()
    } catch {
      // interrupted, as everything on it was: its tables go with the connection, and what went wrong first is what has to be said
      isClean = false
    }
    const lent = this.#lent
    this.#lent = null
    const borrowed = await lent?.catch(() => null)
    borrowed?.giveBack(isClean)
  }
}

function instant(micros: bigint): Sql {
  return raw(`make_timestamptz(${micros}::bigint)`)
}
