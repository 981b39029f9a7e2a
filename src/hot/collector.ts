import type { RowSlots } from '../postgres/index.ts'
import type { CanonicalValue } from '../schema/index.ts'
import { type Instant, overlaps, type TimeRange } from '../time/index.ts'
import type { OnConflict } from './batch-contract.ts'
import { type ChunkMap, chunkAt, rangesOf } from './chunk-map.ts'
import { newChunkRange } from './chunk-ranges.ts'
import type { RowLane } from './row-lane.ts'
import { absenceOf, encodeRow, keyOf, type WritableTable } from './writable-table.ts'
import { type CopyGroup, type EncoderPool, type Routing, WriteBatch } from './write-batch.ts'

export interface CollectorOptions {
  readonly routing: Routing | null
  /** Chunks of a hypertable, as far as they are known. */
  readonly map: ChunkMap | null
  readonly pool: EncoderPool
  readonly smallRows: number
  /**
   * Rows after which it is full. While they go on into a chunk that is still to be made it takes more, up to the border
   * of that chunk or `maxFillBytes`: such a chunk is filled quickest at once (load-chunks.ts). Default: never full.
   */
  readonly batchRows?: number
}

/** Bytes of encoded rows from which a batch is full in any case. */
const maxBytes = 32 * 1024 * 1024
/** The same for one that fills a new chunk. */
const maxFillBytes = 64 * 1024 * 1024

/** Rows on their way into one transaction: kept as they are while they are few or keys are compared, encoded beyond. */
export class Collector {
  readonly table: WritableTable
  readonly onConflict: OnConflict
  /** Rows that a later row of the call with the same key took the place of: as if they had been updated. */
  replaced = 0
  /** Rows whose key an earlier row of the call has, where conflicts are ignored: PostgreSQL's sort would take any of them. */
  passedOver = 0
  readonly #options: CollectorOptions
  readonly #batchRows: number
  readonly #lane: RowLane | null
  #rows: (readonly CanonicalValue[])[] = []
  /** Memory of the rows that are kept. */
  #keptBytes = 0
  readonly #byKey = new Map<string, number>()
  readonly #buckets = new Map<Instant, Instant>()
  #bucket: TimeRange = { from: 0n, to: 0n }
  #batch: WriteBatch | null = null
  #count = 0
  /** Rows of these ranges are written in another way. */
  #leftOut: readonly TimeRange[] = []

  constructor(table: WritableTable, onConflict: OnConflict, options: CollectorOptions) {
    this.table = table
    this.onConflict = onConflict
    this.#options = options
    this.#batchRows = options.batchRows ?? Number.POSITIVE_INFINITY
    this.#lane = onConflict === 'error' ? table.lane : null
  }

  get rows(): number {
    return this.#count
  }

  get bytes(): number {
    return (this.#batch?.bytes ?? 0) + this.#keptBytes
  }

  /** It has taken as many rows as it should. */
  get isFull(): boolean {
    const count = this.#count
    // Bytes are looked up from time to time: they are added up over the streams.
    if (count < this.#batchRows) return (count & 0x3ff) === 0 && count > 0 && this.bytes > maxBytes
    return !this.mayGrow
  }

  /** Though it has its rows: they go on into a chunk that is still to be made. */
  get mayGrow(): boolean {
    if (this.#batch === null || !this.#batch.isFillingNew) return false
    return (this.#count & 0x3ff) !== 0 || this.bytes <= maxFillBytes
  }

  /** false: it ends before this row, which belongs to the next one. */
  add(row: readonly CanonicalValue[]): boolean {
    if (this.#count >= this.#batchRows && this.#batch?.endsBefore(row[this.table.timeIndex] as Instant))
      return false
    this.#count += 1
    if (this.onConflict === 'update') {
      const key = keyOf(this.table, row)
      const before = key === null ? undefined : this.#byKey.get(key)
      if (before !== undefined) {
        this.#keptBytes += bytesOf(row) - bytesOf(this.#rows[before]!)
        this.#rows[before] = row
        this.replaced += 1
        return true
      }
      if (key !== null) this.#byKey.set(key, this.#rows.length)
      this.#keep(row)
      return true
    }
    if (this.onConflict === 'ignore' && this.table.keyIndexes.length > 0) {
      const key = keyOf(this.table, row)
      if (key !== null && this.#byKey.has(key)) {
        this.passedOver += 1
        return true
      }
      if (key !== null) this.#byKey.set(key, this.#rows.length)
    }
    if (this.#batch !== null) {
      this.#noteBucket(row)
      this.#batch.add(row)
      return true
    }
    this.#keep(row)
    if (this.#rows.length > this.#options.smallRows) this.batch()
    return true
  }

  /** A row as it was given; `index` is its place in the call, for the error. As `add`. */
  addObject(row: unknown, index: number): boolean {
    const lane = this.#lane
    if (lane !== null && this.#batch !== null && lane.readObject(row)) return this.addSlots(lane.slots)
    return this.add(encodeRow(this.table, row, index))
  }

  /** As `add`, when no keys are compared. */
  addSlots(row: RowSlots): boolean {
    const batch = this.batch()
    if (this.#count >= this.#batchRows && batch.endsBefore(row.numbers[this.table.timeIndex]!)) return false
    this.#count += 1
    batch.addSlots(row)
    return true
  }

  /** The rows by absence while they are few; null when there are too many for one statement. */
  small(): ReadonlyMap<string, readonly (readonly CanonicalValue[])[]> | null {
    if (this.#batch !== null || this.#rows.length > this.#options.smallRows) return null
    const groups = new Map<string, (readonly CanonicalValue[])[]>()
    for (const row of this.#rows) {
      if (this.#isLeftOut(row)) continue
      const absence = absenceOf(this.table, row)
      const group = groups.get(absence)
      if (group === undefined) groups.set(absence, [row])
      else group.push(row)
    }
    return groups
  }

  /** Times whose chunks hold the rows; one of each chunk once the rows are encoded. */
  times(): Instant[] {
    const { timeIndex } = this.table
    if (this.#batch !== null) return [...this.#buckets.values()]
    return this.#rows.filter((row) => !this.#isLeftOut(row)).map((row) => row[timeIndex] as Instant)
  }

  /** Encoded rows by chunk. */
  groups(): CopyGroup[] {
    return [...this.batch().groups()].filter(
      ({ range }) => range === null || !this.#leftOut.some((one) => holds(one, range)),
    )
  }

  /**
   * From now on rows of the ranges, which are whole chunks, are given by `within` only; those of an earlier call are not any more left
   * out. False: rows were put together that lie only partly in one of them, and cannot be told apart.
   */
  leaveOut(ranges: readonly TimeRange[]): boolean {
    this.#leftOut = ranges
    // what is not routed has no ranges, and need not have any when nothing is left out
    if (this.#batch === null || ranges.length === 0) return true
    return [...this.#batch.groups()].every(
      ({ range }) => range !== null && ranges.every((one) => !overlaps(one, range) || holds(one, range)),
    )
  }

  /** All rows that lie in the ranges, whether they are left out or not; of encoded ones the groups that have some. */
  within(ranges: readonly TimeRange[]): {
    readonly rows: readonly (readonly CanonicalValue[])[]
    readonly groups: readonly CopyGroup[]
  } {
    const { timeIndex } = this.table
    if (this.#batch === null)
      return { rows: this.#rows.filter((row) => isAt(ranges, row[timeIndex] as Instant)), groups: [] }
    const groups = [...this.#batch.groups()].filter(
      ({ range }) => range !== null && ranges.some((one) => overlaps(one, range)),
    )
    return { rows: [], groups }
  }

  /** Whether rows, also those that are left out, may lie in one of the ranges; where keys are compared, by one time of each chunk. */
  mayTouch(ranges: readonly TimeRange[]): boolean {
    if (ranges.length === 0) return false
    if (this.#batch !== null && this.#options.routing !== null) {
      for (const { range } of this.#batch.groups())
        if (ranges.some(({ from, to }) => range!.from < to && range!.to > from)) return true
      return false
    }
    const { timeIndex } = this.table
    if (this.#batch === null) return this.#rows.some((row) => isAt(ranges, row[timeIndex] as Instant))
    return this.times().some((time) => isAt(ranges, time))
  }

  #isLeftOut(row: readonly CanonicalValue[]): boolean {
    return this.#leftOut.length > 0 && isAt(this.#leftOut, row[this.table.timeIndex] as Instant)
  }

  #keep(row: readonly CanonicalValue[]): void {
    this.#rows.push(row)
    this.#keptBytes += bytesOf(row)
  }

  #noteBucket(row: readonly CanonicalValue[]): void {
    const { definition, timeIndex } = this.table
    const { routing, map } = this.#options
    if (definition.kind !== 'hypertable' || map === null || routing !== null) return
    const time = row[timeIndex] as Instant
    if (time >= this.#bucket.from && time < this.#bucket.to) return
    this.#bucket = chunkAt(map, time)?.range ?? newChunkRange(definition.chunk, rangesOf(map), time)
    this.#buckets.set(this.#bucket.from, time)
  }

  batch(): WriteBatch {
    if (this.#batch === null) {
      const { routing, pool } = this.#options
      this.#batch = new WriteBatch(this.table, routing, pool)
      for (const row of this.#rows) {
        this.#noteBucket(row)
        this.#batch.add(row)
      }
      this.#rows = []
      this.#keptBytes = 0
    }
    return this.#batch
  }

  release(): void {
    this.#batch?.release()
    this.#batch = null
    this.#rows = []
    this.#keptBytes = 0
    this.#byKey.clear()
  }
}

function isAt(ranges: readonly TimeRange[], time: Instant): boolean {
  return ranges.some(({ from, to }) => time >= from && time < to)
}

function holds(outer: TimeRange, inner: TimeRange): boolean {
  return outer.from <= inner.from && inner.to <= outer.to
}

/** Memory of a row that is kept: 16 bytes for a value, and two for each character of a text. */
function bytesOf(row: readonly CanonicalValue[]): number {
  let bytes = row.length * 16
  for (const value of row) {
    if (typeof value === 'string') bytes += value.length * 2
    else if (Array.isArray(value)) for (const item of value) bytes += 16 + (item?.length ?? 0) * 2
  }
  return bytes
}
