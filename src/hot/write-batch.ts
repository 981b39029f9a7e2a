import { type HypertableRecord, TouchedCells } from '../changelog/index.ts'
import { type CopyEncoder, createCopyEncoder, type RowSlots, slotHow } from '../postgres/index.ts'
import type { CanonicalValue, HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type ChunkMap, rangesOf } from './chunk-map.ts'
import { newChunkRange, rangeIndex } from './chunk-ranges.ts'
import { absenceOf, presentIndexes, type WritableTable } from './writable-table.ts'

/** Rows with the same columns for the same chunk, as a COPY stream. */
export interface CopyGroup {
  /** The chunk's range; null for plain tables and for rows that are not routed. */
  readonly range: TimeRange | null
  readonly absence: string
  readonly indexes: readonly number[]
  readonly encoder: CopyEncoder
}

interface Route {
  readonly range: TimeRange | null
  /** Its chunk was not there when the batch was begun. */
  readonly isNew: boolean
  readonly byAbsence: Map<string, CopyGroup>
}

/** Where rows of a hypertable go, and how wide the cells are that they touch: as the database has it. */
export interface Routing {
  readonly map: ChunkMap
  readonly hypertable: HypertableRecord
}

/** Small, because rows may be scattered over many chunks; a chunk's stream is as many of them as it takes. */
const encoderChunkBytes = 64 * 1024
const maxSpareEncoders = 64

/** Encoders that have been sent are used again: their buffers are most of what a batch allocates. */
export class EncoderPool {
  readonly #spare = new Map<string, CopyEncoder[]>()

  take(table: WritableTable, absence: string, indexes: readonly number[]): CopyEncoder {
    const spare = this.#spare.get(`${table.definition.name} ${absence}`)?.pop()
    return (
      spare ??
      createCopyEncoder(
        indexes.map((i) => table.types[i]!),
        { chunkBytes: encoderChunkBytes },
      )
    )
  }

  give(table: WritableTable, group: CopyGroup): void {
    group.encoder.reset()
    const key = `${table.definition.name} ${group.absence}`
    const spare = this.#spare.get(key)
    if (spare === undefined) this.#spare.set(key, [group.encoder])
    else if (spare.length < maxSpareEncoders) spare.push(group.encoder)
  }
}

/**
 * Rows of one transaction, encoded as they come: routed to the chunks that are there or would be made, with the cells
 * they touch.
 */
export class WriteBatch {
  readonly table: WritableTable
  readonly cells: TouchedCells | null
  rows = 0
  readonly #map: ChunkMap | null
  readonly #pool: EncoderPool
  /** Ascending. */
  readonly #routes: Route[] = []
  readonly #ranges: TimeRange[] = []
  #last: Route | null = null
  #lastGroup: CopyGroup | null = null
  /** The last route's range in numbers; empty where they would not be exact. */
  #from = 0
  #to = 0

  /** @param routing null: rows are not routed. */
  constructor(table: WritableTable, routing: Routing | null, pool: EncoderPool) {
    this.table = table
    this.#map = routing?.map ?? null
    this.#pool = pool
    this.cells = routing === null ? null : new TouchedCells(routing.hypertable.cellMicros)
  }

  /** The last row went into a chunk that is still to be made. */
  get isFillingNew(): boolean {
    return this.#last?.isNew === true
  }

  /** Whether a row of this time lies beyond the new chunk into which the last one went. */
  endsBefore(time: Instant | number): boolean {
    const last = this.#last
    if (last === null || !last.isNew) return false
    if (typeof time === 'number') return !(time >= this.#from && time < this.#to)
    return time < last.range!.from || time >= last.range!.to
  }

  get bytes(): number {
    let bytes = 0
    for (const group of this.groups()) bytes += group.encoder.bytes
    return bytes
  }

  add(row: readonly CanonicalValue[]): void {
    const { table, cells } = this
    if (cells !== null) {
      const time = row[table.timeIndex] as Instant
      const range = this.#last?.range
      if (range == null || time < range.from || time >= range.to) {
        this.#enter(time)
      }
      const micros = Number(time)
      const tenant = table.tenantIndex < 0 ? null : (row[table.tenantIndex] as string | null)
      cells.add(tenant, Number.isSafeInteger(micros) ? micros : time)
    } else this.#last ??= this.#addRoute(null, false, 0)
    const absence = table.hasSqlDefaults ? absenceOf(table, row) : ''
    let group = this.#lastGroup
    if (group === null || group.absence !== absence) {
      group = this.#groupOf(this.#last!, absence)
      this.#lastGroup = group
    }
    if (absence === '') group.encoder.addRow(row)
    else group.encoder.addRowFrom(row, group.indexes)
    this.rows += 1
  }

  /** As `add`, for a row without absent columns whose time, when it has one, is a number. */
  addSlots(row: RowSlots): void {
    const { table, cells } = this
    if (cells !== null) {
      const micros = row.numbers[table.timeIndex]!
      if (!(micros >= this.#from && micros < this.#to)) this.#enter(BigInt(micros))
      cells.add(table.tenantIndex < 0 ? null : textOf(row, table.tenantIndex), micros)
    } else this.#last ??= this.#addRoute(null, false, 0)
    let group = this.#lastGroup
    if (group === null || group.absence !== '') {
      group = this.#groupOf(this.#last!, '')
      this.#lastGroup = group
    }
    group.encoder.addSlots(row)
    this.rows += 1
  }

  #enter(time: Instant): void {
    this.#last = this.#routeOf(time)
    this.#lastGroup = null
    const { from, to } = this.#last.range!
    this.#from = Number(from)
    this.#to = Number(to)
    if (!Number.isSafeInteger(this.#from) || !Number.isSafeInteger(this.#to)) this.#from = this.#to = 0
  }

  *groups(): Iterable<CopyGroup> {
    for (const route of this.#routes) yield* route.byAbsence.values()
  }

  /** After it was sent, or given up. */
  release(): void {
    for (const group of this.groups()) this.#pool.give(this.table, group)
    this.#routes.length = 0
  }

  #routeOf(time: Instant): Route {
    const known = rangeIndex(this.#ranges, time)
    if (known >= 0) return this.#routes[known]!
    const definition = this.table.definition as HypertableDefinition
    const map = this.#map!
    const chunks = rangesOf(map)
    const chunk = rangeIndex(chunks, time)
    const range = chunk >= 0 ? chunks[chunk]! : newChunkRange(definition.chunk, this.#withNew(chunks), time)
    // More than can ever be attached: say so before memory is spent on it.
    if (this.#routes.length >= map.maxChunks)
      throw new TidemarkError('TM_CHUNK_CAP', {
        table: definition.name,
        needed: this.#routes.length + 1,
        cap: map.maxChunks,
      })
    let at = this.#ranges.length
    while (at > 0 && this.#ranges[at - 1]!.from > time) at -= 1
    this.#ranges.splice(at, 0, range)
    return this.#addRoute(range, chunk < 0, at)
  }

  #withNew(chunks: readonly TimeRange[]): TimeRange[] {
    const added = this.#ranges.filter((range) => rangeIndex(chunks, range.from) < 0)
    return [...chunks, ...added].sort((a, b) => (a.from < b.from ? -1 : 1))
  }

  #addRoute(range: TimeRange | null, isNew: boolean, at: number): Route {
    const route: Route = { range, isNew, byAbsence: new Map() }
    this.#routes.splice(at, 0, route)
    return route
  }

  #groupOf(route: Route, absence: string): CopyGroup {
    let group = route.byAbsence.get(absence)
    if (group === undefined) {
      const indexes = presentIndexes(this.table, absence)
      const encoder = this.#pool.take(this.table, absence, indexes)
      group = { range: route.range, absence, indexes, encoder }
      route.byAbsence.set(absence, group)
    }
    return group
  }
}

function textOf(row: RowSlots, index: number): string | null {
  switch (row.how[index]) {
    case slotHow.null:
      return null
    case slotHow.span:
      return row.source.slice(row.from[index], row.to[index])
    default:
      return row.values[index] as string
  }
}
