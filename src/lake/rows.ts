import type { DuckDBDataChunk } from '@duckdb/node-api'
import { createRowDigester } from '../postgres/index.ts'
import {
  type ColumnRef,
  compareRowKeys,
  evaluateFilter,
  everything,
  type Operand,
  type RowOrder,
  type RowPosition,
  type RowsRequest,
  type RowsResult,
  type RowValue,
  rowOrder,
} from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { LakeFile } from './contract.ts'
import { readPlan } from './file-plan.ts'
import { type FileGroup, groupByLayout } from './file-scope.ts'
import { filterToDuckDB, necessaryFilter } from './filter-sql.ts'
import { filesFor } from './prune.ts'
import {
  allOrStop,
  fromFiles,
  InexactError,
  inStatements,
  type LakeAccess,
  streamFiles,
} from './read-files.ts'
import { columnReader, rowReader } from './read-row.ts'
import { RowEncoder } from './row-encoder.ts'
import { timeRangeConditions } from './scan-group.ts'
import { namesInFilter, operandReader } from './scan-rows.ts'

/** A row of an answer, and what it is ordered by behind its time: the rest of the key, or the digest. */
interface PlacedRow {
  readonly values: readonly RowValue[]
  readonly keys: readonly RowValue[]
  /** That its values take in memory, about. */
  readonly bytes: number
}

/**
 * A page of rows in the row order (src/query/row-order.ts).
 *
 * Files are opened in order of time, as many as a page may need and twice as many when a filter left too few. DuckDB orders by
 * time alone; what is left of the order is put right here, and only where it matters: in rows with a key, where pages are merged,
 * and in the instant in which a page ends, which is read by itself, so that memory is bounded by the page however many
 * rows an instant has.
 *
 * `maxBytes` ends a page early, at least after one row; the next one then goes on as after a full one.
 */
export async function readRows(
  access: LakeAccess,
  request: RowsRequest,
  dataset: HypertableDefinition,
  catalog: readonly LakeFile[],
  maxBytes: number,
): Promise<RowsResult> {
  const order = rowOrder(dataset)
  const page = new Page(request, maxBytes)
  const columns = columnsOfRows(request, dataset, order)
  const reading: PageReading = { access, request, dataset, order, columns, page, opened: new Set() }
  const { after, direction } = request
  let range: TimeRange = request.range ?? everything
  const leave = (instant: Instant): void => {
    range = direction === 'asc' ? { from: instant + 1n, to: range.to } : { from: range.from, to: instant }
  }
  const files = filesFor(dataset, catalog, range, request.where)
  const result = (end: RowPosition | null): RowsResult => ({
    rows: page.rows,
    keys: request.withKeys ? page.keys : null,
    end,
    rowsRead: page.rowsRead,
    bytesRead: [...reading.opened].reduce((sum, file) => sum + file.bytes, 0),
    detail: { files: reading.opened.size, summaries: 0 },
  })
  /** The last instant of which the page, or one before it, has every row. */
  let whole: Instant | null = null
  if (after) {
    const time = after.keys[0] as Instant
    if (after.keys.length === order.keys.length) {
      const end = await readInstant(reading, files, time, range, after)
      if (end) return result(end)
    }
    whole = time
    leave(time)
  }
  for (const batch of batchesOf(files, direction, request)) {
    for (;;) {
      const found = await readBatch(reading, batch, range)
      let cut = found.horizon
      for (const [time, rows] of found.instants) {
        if (page.isFull) return result({ keys: [whole], seen: 1 })
        if (rows.length > page.left) {
          cut = time
          break
        }
        for (const row of rows) page.add(row)
        whole = time
      }
      if (cut === null) break
      if (page.isFull) return result({ keys: [whole], seen: 1 })
      const end = await readInstant(reading, batch, cut, range, null)
      if (end) return result(end)
      whole = cut
      leave(cut)
    }
  }
  return result(null)
}

interface PageReading {
  readonly access: LakeAccess
  readonly request: RowsRequest
  readonly dataset: HypertableDefinition
  readonly order: RowOrder
  /** The declared columns that are looked at. */
  readonly columns: ReadonlySet<string>
  readonly page: Page
  readonly opened: Set<LakeFile>
}

function columnsOfRows(request: RowsRequest, dataset: HypertableDefinition, order: RowOrder): Set<string> {
  // the digest is of all columns
  if (!order.isUnique) return new Set(Object.keys(dataset.columns))
  const names = new Set([dataset.time, ...request.columns, ...(dataset.primaryKey ?? [])])
  if (request.where) namesInFilter(request.where, names)
  return names
}

/** Rows so far, and whether there is room for more. */
class Page {
  readonly rows: (readonly RowValue[])[] = []
  readonly keys: (readonly RowValue[])[] = []
  rowsRead = 0
  readonly maxBytes: number
  readonly #limit: number
  #bytes = 0

  constructor(request: RowsRequest, maxBytes: number) {
    this.#limit = request.limit
    this.maxBytes = maxBytes
  }

  get left(): number {
    return this.#limit - this.rows.length
  }

  get bytesLeft(): number {
    return this.maxBytes - this.#bytes
  }

  get isFull(): boolean {
    return this.left === 0 || (this.#bytes >= this.maxBytes && this.rows.length > 0)
  }

  add(row: PlacedRow): void {
    this.rows.push(row.values)
    this.keys.push(row.keys)
    this.#bytes += row.bytes
  }
}

/** Rows that are looked at first where a filter may leave few of them: what one statement reads in its fixed time. */
const firstRows = 500_000

/** Files that are read together, in the order of reading: neighbours in time, and more of them each time. */
function* batchesOf(
  files: readonly LakeFile[],
  direction: 'asc' | 'desc',
  { limit, where }: RowsRequest,
): Generator<readonly LakeFile[]> {
  const sorted = [...files].sort((a, b) =>
    direction === 'asc' ? compare(a.minTime, b.minTime) : compare(b.maxTime, a.maxTime),
  )
  let wanted = where ? Math.max(limit + 1, firstRows) : limit + 1
  let at = 0
  while (at < sorted.length) {
    const batch = [sorted[at++]!]
    let rows = liveRows(batch[0]!)
    let edge = direction === 'asc' ? batch[0]!.maxTime : batch[0]!.minTime
    for (; at < sorted.length; at++) {
      const next = sorted[at]!
      const overlaps = direction === 'asc' ? next.minTime <= edge : next.maxTime >= edge
      if (!overlaps && rows >= wanted) break
      batch.push(next)
      rows += liveRows(next)
      if (direction === 'asc' ? next.maxTime > edge : next.minTime < edge)
        edge = direction === 'asc' ? next.maxTime : next.minTime
    }
    yield batch
    wanted = Math.max(wanted, rows * 2)
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function liveRows(file: LakeFile): number {
  return file.rowCount - file.deletedRows
}

interface Batch {
  /** In the order of reading, each with all of its rows. */
  readonly instants: readonly (readonly [Instant, readonly PlacedRow[]])[]
  /** The instant behind them, of which not all rows were read; null: there are no more rows. */
  readonly horizon: Instant | null
}

/** Rows in order of time, until there are as many as the page takes and one more. */
async function readBatch(reading: PageReading, files: readonly LakeFile[], range: TimeRange): Promise<Batch> {
  const { request, page } = reading
  const parts = await readParts(reading, files, range, {
    limit: page.left + 1,
    bytes: Math.max(0, page.bytesLeft),
  })
  const isBefore = (a: Instant, b: Instant): boolean => (request.direction === 'asc' ? a < b : a > b)
  let horizon: Instant | null = null
  for (const { cut } of parts) if (cut !== null && (horizon === null || isBefore(cut, horizon))) horizon = cut
  const byTime = new Map<Instant, PlacedRow[]>()
  for (const { rows } of parts)
    for (const row of rows) {
      const time = row.keys[0] as Instant
      if (horizon !== null && !isBefore(time, horizon)) continue
      const known = byTime.get(time)
      if (known) known.push(row)
      else byTime.set(time, [row])
    }
  const instants = [...byTime].sort(([a], [b]) => (isBefore(a, b) ? -1 : 1))
  if (isInOrder(reading)) {
    const ascending = compareRowKeys(reading.order)
    const sign = request.direction === 'asc' ? 1 : -1
    for (const [, rows] of instants) rows.sort((a, b) => ascending(a.keys, b.keys) * sign)
  }
  return { instants, horizon }
}

/** Whether the rows of every instant are put in order, not only of the one that ends a page. */
function isInOrder({ order, request }: PageReading): boolean {
  return order.isUnique || request.withKeys
}

interface Part {
  readonly rows: readonly PlacedRow[]
  /** The instant of the last row when more rows follow; it may have more. */
  readonly cut: Instant | null
}

async function readParts(
  reading: PageReading,
  files: readonly LakeFile[],
  range: TimeRange,
  until: { readonly limit: number; readonly bytes: number },
): Promise<Part[]> {
  return allOrStop(
    reading.access,
    statementsOf(reading, files, range).map(([group, part]) => async (access: LakeAccess): Promise<Part> => {
      const rows: PlacedRow[] = []
      let bytes = 0
      let isCut = false
      await readGroup({ ...reading, access }, group, part, {
        range,
        instant: null,
        limit: until.limit,
        withKeys: isInOrder(reading),
        restart: () => {
          rows.length = 0
          bytes = 0
          isCut = false
        },
        take: (row) => {
          rows.push(row)
          bytes += row.bytes
          isCut = rows.length >= until.limit || bytes > until.bytes
          return !isCut
        },
      })
      return { rows, cut: isCut ? (rows.at(-1)!.keys[0] as Instant) : null }
    }),
  )
}

function statementsOf(
  { dataset, columns, opened }: PageReading,
  files: readonly LakeFile[],
  range: TimeRange,
): (readonly [FileGroup, readonly LakeFile[]])[] {
  const wanted = files.filter((file) => file.minTime < range.to && file.maxTime >= range.from)
  for (const file of wanted) opened.add(file)
  return groupByLayout(dataset, wanted, columns).flatMap((group) =>
    inStatements(group.files).map((part) => [group, part] as const),
  )
}

/**
 * Adds the rows of one instant in the full order, from `after` on, as many as there is room for. The place where the page
 * ends then; null when there are no more of them.
 */
async function readInstant(
  reading: PageReading,
  files: readonly LakeFile[],
  instant: Instant,
  range: TimeRange,
  after: RowPosition | null,
): Promise<RowPosition | null> {
  const { page, order, request, access } = reading
  if (instant < range.from || instant >= range.to) return null
  const ascending = compareRowKeys(order)
  const sign = request.direction === 'asc' ? 1 : -1
  const inOrder = (a: PlacedRow, b: PlacedRow): number => ascending(a.keys, b.keys) * sign
  const count = page.left + (after?.seen ?? 0) + 1
  const alone: TimeRange = { from: instant, to: instant + 1n }
  const found = await allOrStop(
    access,
    statementsOf(reading, files, alone).map(([group, part]) => async (inner: LakeAccess) => {
      const least = new LeastRows(inOrder, count, page.maxBytes)
      await readGroup({ ...reading, access: inner }, group, part, {
        range: alone,
        instant,
        limit: null,
        withKeys: true,
        restart: () => least.clear(),
        take: (row) => {
          const place = after ? ascending(row.keys, after.keys) * sign : 1
          if (place > 0 || (place === 0 && !(order.isUnique && after!.seen > 0))) least.add(row)
          return true
        },
      })
      return least.sorted()
    }),
  )
  let position = after
  // identical rows that were shown before
  let passed = after !== null && !order.isUnique ? after.seen : 0
  for (const row of found.flat().sort(inOrder)) {
    const isSame =
      position !== null &&
      position.keys.length === row.keys.length &&
      ascending(row.keys, position.keys) === 0
    if (passed > 0 && isSame) {
      passed--
      continue
    }
    passed = 0
    if (page.isFull) return position
    page.add(row)
    position = { keys: row.keys, seen: isSame && position ? position.seen + 1 : 1 }
  }
  return null
}

/** The first rows of an order, as many as a page may take: memory does not grow with what is looked at. */
class LeastRows {
  readonly #compare: (a: PlacedRow, b: PlacedRow) => number
  readonly #count: number
  readonly #maxBytes: number
  #rows: PlacedRow[] = []
  #bytes = 0

  constructor(inOrder: (a: PlacedRow, b: PlacedRow) => number, count: number, maxBytes: number) {
    this.#compare = inOrder
    this.#count = count
    this.#maxBytes = maxBytes
  }

  add(row: PlacedRow): void {
    this.#rows.push(row)
    this.#bytes += row.bytes
    if (this.#rows.length >= 2 * this.#count + 1000 || this.#bytes > 4 * this.#maxBytes) this.#trim()
  }

  clear(): void {
    this.#rows = []
    this.#bytes = 0
  }

  sorted(): readonly PlacedRow[] {
    this.#trim()
    return this.#rows
  }

  /** What one page takes, and a row that tells that more follow. */
  #trim(): void {
    this.#rows.sort(this.#compare)
    let bytes = 0
    let length = 0
    while (length < this.#rows.length && length < this.#count && bytes <= 2 * this.#maxBytes)
      bytes += this.#rows[length++]!.bytes
    if (length < this.#rows.length) length++
    this.#rows.length = length
    this.#bytes = bytes
  }
}

interface GroupReading {
  readonly range: TimeRange
  /** Only rows of it, in any order; null: in order of time. */
  readonly instant: Instant | null
  readonly limit: number | null
  /** Whether rows get all keys of the order; otherwise the time alone. */
  readonly withKeys: boolean
  /** What was taken does not count: the rows come again. */
  restart(): void
  /** False: no more. */
  take(row: PlacedRow): boolean
}

/** Rows of files whose columns lie alike. */
async function readGroup(
  reading: PageReading,
  group: FileGroup,
  files: readonly LakeFile[],
  how: GroupReading,
): Promise<void> {
  const { where } = reading.request
  const said = where && !reading.access.onlyTypeScript ? filterToDuckDB(where, group) : null
  if (!where || said) {
    try {
      return await readWith(reading, group, files, how, said, false)
    } catch (error) {
      if (!(error instanceof InexactError)) throw error
      how.restart()
    }
  }
  const necessary = reading.access.onlyTypeScript || said ? null : necessaryFilter(where, group)
  return readWith(reading, group, files, how, necessary, true)
}

async function readWith(
  reading: PageReading,
  group: FileGroup,
  files: readonly LakeFile[],
  how: GroupReading,
  condition: Sql | null,
  isFiltered: boolean,
): Promise<void> {
  const { access, request, dataset, order, page } = reading
  const { where, direction } = request
  const digest = how.withKeys && !order.isUnique ? digestReader(group) : null
  const keyNames = order.keys.flatMap((key) => (key.kind === 'column' ? [key.column] : []))
  const names = [...request.columns, ...(how.withKeys ? keyNames : [dataset.time])]
  const values = rowReader(group, names, true)
  // what is filtered here has jsonb as its text
  const filtered = new Set<string>()
  if (isFiltered && where) namesInFilter(where, filtered)
  const operandNames = [...filtered]
  const inner = rowReader(group, operandNames, false)
  const operands = operandReader(group, new Map(operandNames.map((name, i) => [name, i])))

  const selected = [
    ...(digest && digest.width > 0 ? [digest.columns] : []),
    ...values.columns,
    ...inner.columns,
  ]
  const valuesAt = digest?.width ?? 0
  const innerAt = valuesAt + values.columns.length
  const physical = [...reading.columns].flatMap((name) => columnReader(group, name).columns)
  const conditions = timeRangeConditions(group, files, how.range)
  if (condition) conditions.push(condition)
  const isBounded = how.limit !== null && !isFiltered
  const limit = isBounded ? sql` limit ${raw(String(how.limit))}` : raw('')
  const statement = sql`
    select ${join(selected, ', ')}
    from ${await fromFiles(access, files, physical)}
    ${conditions.length > 0 ? sql`where ${join(conditions, ' and ')}` : raw('')}
    ${how.instant === null ? sql`order by ${identifier(dataset.time)} ${raw(direction)}` : raw('')}${limit}`
  const width = request.columns.length
  const take = (chunk: DuckDBDataChunk): boolean => {
    const digests = digest?.read(chunk)
    for (const [i, row] of chunk.getRows().entries()) {
      page.rowsRead++
      if (isFiltered && where) {
        const own = inner.read(row.slice(innerAt))
        const operandOf = (ref: ColumnRef): Operand => operands(own, ref)
        if (evaluateFilter(where, operandOf) !== true) continue
      }
      const read = values.read(valuesAt === 0 ? row : row.slice(valuesAt))
      const keys = read.slice(width)
      read.length = width
      if (digests) keys.push(digests[i]!)
      if (!how.take({ values: read, keys, bytes: bytesOf(read) })) return false
    }
    return true
  }
  await streamFiles(access, statement, take, isBounded)
}

interface DigestReader {
  /** They have to be the first that are selected. */
  readonly columns: Sql
  readonly width: number
  read(chunk: DuckDBDataChunk): readonly string[]
}

/** The digest of whole rows as they are declared, from the bytes that a thaw would send. */
function digestReader(group: FileGroup): DigestReader {
  const columns = Object.entries(group.dataset.columns).map(([name, { type }]) => ({ name, type }))
  const { select, encoded } = readPlan(group.dataset.name, group.layout, columns)
  const encoder = new RowEncoder(encoded, { reuse: true })
  const digestOf = createRowDigester(columns.map(({ type }) => type))
  return {
    columns: select,
    width: columns.reduce((sum, { name }) => sum + columnReader(group, name).columns.length, 0),
    read(chunk) {
      const { bytes, rows, ends } = encoder.encode(chunk)
      const digests: string[] = []
      let from = 0
      for (let row = 0; row < rows; row++) {
        const end = ends[row]!
        digests.push(digestOf(bytes.subarray(from, end)))
        from = end
      }
      return digests
    },
  }
}

/** What a value takes in memory, near enough to bound a page. */
function bytesOf(value: unknown): number {
  if (typeof value === 'string') return 16 + value.length
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 16
  if (Array.isArray(value)) for (const inner of value) bytes += 8 + bytesOf(inner)
  else for (const [key, inner] of Object.entries(value)) bytes += 8 + key.length + bytesOf(inner)
  return bytes
}
