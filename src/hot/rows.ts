import { type RowPiece, type RowPieces, rowDigestSql } from '../postgres/index.ts'
import { everything, type RowPosition, type RowsRequest, type RowsResult, rowOrder } from '../query/index.ts'
import type { ColumnType, DatasetDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { filterToSql, parameter } from './filter-sql.ts'
import { instantSql, rangeConditions, relationSql, whereSql } from './instant-sql.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'
import { timeColumn } from './scan.ts'

/**
 * Rows of the first piece, before anything is known of their width: few where a value may be large, because all of them are in
 * memory before the first is looked at. PostgreSQL's statistics do not tell: of a value that is stored apart they count the
 * 18 bytes that say where. What may be more comes through a cursor: a second statement would begin the scan and the sort anew
 * (37,000 rows of 432,000: 28 ms for each of two statements, 33 ms for all of them in one).
 */
const firstBatch = { wide: 16, narrow: 20_000 }
/** Rows of one instant that wait for the end of it; where it has more, they are read in the full order. */
const largeInstant = 250
/** How many times as many rows as have come already the next piece may have: those that follow may be larger than any before. */
const growth = 4
const wideTypes: readonly ColumnType[] = ['jsonb', 'text[]', 'text']
/** Whose values take 8 bytes whatever they are. */
const numberTypes: readonly ColumnType[] = ['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'timestamptz']

/** The order of rows (src/query/row-order.ts) in SQL. */
interface RowOrderSql {
  readonly keys: readonly { readonly expression: Sql; readonly type: ColumnType | 'digest' }[]
  readonly isUnique: boolean
}

/**
 * A page of rows, read from where the one before ended.
 *
 * With a primary key the order is time, then the other columns of the key (text by bytes). Without one it is time,
 * then all columns; only the rows of the instant in which a page ends are ordered by their digest, and identical ones
 * counted, so that rows that come to any place between two pages neither hide a row nor show one twice. (Ordering every
 * row by its digest takes three times the time of the whole query: 36,000 of 432,000 rows 30 ms by all columns, 90 ms
 * by digest.) Rows that are merged with those of another tier are all in order of their digests.
 *
 * Only the time has to be in an index: PostgreSQL walks that of one chunk after the other (ordered append), sorts what
 * has the same instant (incremental sort), and stops when the page is full.
 *
 * `maxBytes` ends a page early, at least after one row; the next one then goes on as after a full one.
 */
export async function readRows(
  request: RowsRequest,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
  maxBytes: number,
): Promise<RowsResult> {
  const order = rowOrderSql(request.dataset)
  const page = new Page(request, order, maxBytes)
  const pieces: Pieces = (statement) => piecesOf(statement, page, snapshot, signal)
  if (request.dataset.kind === 'hypertable' && !order.isUnique && !request.withKeys)
    await readInstants(request, order, page, pieces)
  else await readOrdered(request, order, page, pieces, request.after, null)
  return page.result()
}

/** Gives the next rows of a statement with each call. */
type Pieces = (statement: (limit: number) => Sql) => () => Promise<RowPiece>

/**
 * As many rows at once as the page has room for. The statement is for one row more than the page takes, which tells
 * whether something follows; so its own limit is never the end of the rows.
 */
function piecesOf(
  statement: (limit: number) => Sql,
  page: Page,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
): () => Promise<RowPiece> {
  const limit = page.left + 1
  let left = limit
  let cursor: RowPieces | null = null
  return async () => {
    const wanted = Math.min(page.wanted, left)
    let rows: RowPiece['rows']
    let isEnd: boolean
    if (cursor === null && wanted === limit) {
      rows = (await snapshot.query(statement(limit), signal)).rows
      isEnd = rows.length < limit
    } else {
      cursor ??= snapshot.cursor(statement(limit), signal)
      const piece = await cursor.next(wanted)
      rows = piece.rows
      isEnd = piece.isEnd && rows.length < left
    }
    left -= rows.length
    page.look(rows)
    return { rows, isEnd }
  }
}

/** Columns that name something: an index of PostgreSQL takes no value of more than 2.7 kB, and the names of series are short. */
function narrowColumns(dataset: DatasetDefinition): ReadonlySet<string> {
  const { tenant, primaryKey, indexes } = dataset
  const series = dataset.kind === 'hypertable' ? dataset.orderBy : []
  const indexed = indexes
    .filter(({ method }) => method === 'btree')
    .flatMap(({ columns }) => columns.map(({ column }) => column))
  return new Set([...(tenant === null ? [] : [tenant]), ...series, ...(primaryKey ?? []), ...indexed])
}

/** Rows so far, and whether there is room for more. */
class Page {
  readonly rows: (readonly unknown[])[] = []
  /** Behind the last row, once it is known that rows follow. */
  end: RowPosition | null = null
  rowsRead = 0
  readonly #keys: (readonly unknown[])[] | null
  readonly #order: RowOrderSql
  readonly #limit: number
  readonly #maxBytes: number
  readonly #width: number
  /** Where in a row there are values of other sizes than that of a number. */
  readonly #sized: readonly number[]
  readonly #firstBatch: number
  #bytes = 0
  #widest = 1

  constructor(request: RowsRequest, order: RowOrderSql, maxBytes: number) {
    this.#keys = request.withKeys ? [] : null
    this.#order = order
    this.#limit = request.limit
    this.#maxBytes = maxBytes
    this.#width = request.columns.length
    const types = request.columns.map((name) => request.dataset.columns[name]!.type)
    this.#sized = types.flatMap((type, i) => (numberTypes.includes(type) ? [] : [i]))
    const narrow = narrowColumns(request.dataset)
    const isWide = request.columns.some((name, i) => wideTypes.includes(types[i]!) && !narrow.has(name))
    this.#firstBatch = isWide ? firstBatch.wide : firstBatch.narrow
  }

  get left(): number {
    return this.#limit - this.rows.length
  }

  /** Rows have come. The first are weighed at once: those of an instant are added only when it is whole. */
  look(rows: readonly (readonly unknown[])[]): void {
    for (let i = 0; i < rows.length && this.rowsRead + i < largeInstant; i++)
      this.#widest = Math.max(this.#widest, this.#bytesOf(rows[i]!))
    this.rowsRead += rows.length
  }

  /** Whether so many rows of one instant are too many to wait with. */
  isLarge(rows: number): boolean {
    return rows >= largeInstant || rows * this.#widest >= this.#maxBytes
  }

  get isFull(): boolean {
    return this.left === 0 || (this.#bytes >= this.#maxBytes && this.rows.length > 0)
  }

  /** How many rows to ask for: one more than is wanted tells whether something follows. */
  get wanted(): number {
    if (this.rowsRead === 0) return Math.min(this.#firstBatch, this.left + 1)
    const room = Math.ceil((this.#maxBytes - this.#bytes) / this.#widest)
    return Math.max(2, Math.min(room, this.left + 1, this.rowsRead * growth))
  }

  #bytesOf(row: readonly unknown[]): number {
    let bytes = 8 * (this.#width - this.#sized.length)
    for (const at of this.#sized) bytes += roughBytes(row[at])
    return bytes
  }

  add(row: readonly unknown[]): void {
    const values = row.length === this.#width ? row : row.slice(0, this.#width)
    const bytes = this.#bytesOf(values)
    this.#bytes += bytes
    if (bytes > this.#widest) this.#widest = bytes
    this.rows.push(values)
    this.#keys?.push(this.keysOf(row))
  }

  /** Behind the requested columns. */
  keysOf(row: readonly unknown[]): readonly unknown[] {
    return row.slice(this.#width).map((value, i) => {
      const isDigest = this.#order.keys[i]!.type === 'digest'
      return isDigest ? Buffer.from(value as Uint8Array).toString('hex') : value
    })
  }

  result(): RowsResult {
    return { rows: this.rows, end: this.end, keys: this.#keys, rowsRead: this.rowsRead }
  }
}

/** Adds rows in the full order, those of one instant or all; true when there are no more of them. */
async function readOrdered(
  request: RowsRequest,
  order: RowOrderSql,
  page: Page,
  pieces: Pieces,
  start: RowPosition | null,
  instant: Instant | null,
): Promise<boolean> {
  let after = start
  const next = pieces((limit) => orderedSql(request, order, start, instant, limit))
  for (;;) {
    const { rows, isEnd } = await next()
    for (const row of rows) {
      if (page.isFull) {
        page.end = after
        return false
      }
      page.add(row)
      after = positionAt(page.keysOf(row), after)
    }
    if (isEnd) return true
  }
}

/** Adds whole instants, and of the one in which the page ends the first rows in the full order. */
async function readInstants(
  request: RowsRequest,
  order: RowOrderSql,
  page: Page,
  pieces: Pieces,
): Promise<void> {
  const timeAt = timePlace(request)
  const timeOf = (row: readonly unknown[]): Instant => row[timeAt] as Instant
  const { after } = request
  /** The last instant of which the page, or one before it, has every row. */
  let whole = null as Instant | null
  if (after) {
    const time = after.keys[0] as Instant
    const isInside = after.keys.length === order.keys.length
    if (isInside && !(await readOrdered(request, order, page, pieces, after, time))) return
    whole = time
  }
  const behind = (time: Instant | null) => pieces((limit) => instantsSql(request, timeAt, time, limit))
  let next = behind(whole)
  /** Rows of the instant in which the piece before ended. */
  let rest: RowPiece['rows'] = []
  for (;;) {
    const piece = await next()
    const { isEnd } = piece
    const rows = rest.length > 0 ? [...rest, ...piece.rows] : piece.rows
    rest = []
    let at = 0
    while (at < rows.length) {
      const time = timeOf(rows[at]!)
      let end = at + 1
      while (end < rows.length && timeOf(rows[end]!) === time) end++
      if (page.isFull) {
        page.end = { keys: [whole], seen: 1 }
        return
      }
      const isWhole = end < rows.length || isEnd
      if (isWhole && end - at <= page.left) {
        for (; at < end; at++) page.add(rows[at]!)
        whole = time
        continue
      }
      // The page ends in this instant, or the piece does: then what follows tells, unless there is too much of it.
      if (!isWhole && !page.isLarge(end - at) && end - at <= page.left) {
        rest = rows.slice(at)
        break
      }
      if (!(await readOrdered(request, order, page, pieces, null, time))) return
      whole = time
      next = behind(whole)
      break
    }
    if (at === rows.length && isEnd) return
  }
}

/** Where the time of a row is: among the columns that are asked for, or behind them. */
function timePlace({ dataset, columns }: RowsRequest): number {
  const at = dataset.kind === 'hypertable' ? columns.indexOf(dataset.time) : -1
  return at < 0 ? columns.length : at
}

function rowOrderSql(dataset: DatasetDefinition): RowOrderSql {
  const { keys, isUnique } = rowOrder(dataset)
  const columns = Object.entries(dataset.columns).map(([name, { type }]) => ({ name, type }))
  return {
    isUnique,
    keys: keys.map((key) => {
      if (key.kind === 'digest') return { expression: rowDigestSql(columns), type: 'digest' }
      const { column, type } = key
      // a plain table is walked along the index of its key, which has the database's collation
      const isByBytes = type === 'text' && dataset.kind === 'hypertable'
      return { expression: sql`${identifier(column)}${raw(isByBytes ? ' collate "C"' : '')}`, type }
    }),
  }
}

/** Rows in the full order, behind them the order's keys. */
function orderedSql(
  request: RowsRequest,
  order: RowOrderSql,
  after: RowPosition | null,
  instant: Instant | null,
  limit: number,
): Sql {
  const { dataset, direction } = request
  const conditions = conditionsOf(request)
  if (instant !== null && dataset.kind === 'hypertable')
    conditions.push(sql`${identifier(dataset.time)} = ${instantSql(instant)}`)
  if (after) conditions.push(...afterConditions(order, after, direction, dataset.kind === 'hypertable'))
  const orderBy = order.keys.map((key) => sql`${key.expression} ${raw(direction)}`)
  const isCounted = after !== null && !order.isUnique && after.keys.length === order.keys.length
  const offset = isCounted ? sql` offset ${raw(String(after.seen))}` : raw('')
  return sql`
    select ${list([...request.columns.map((name) => identifier(name)), ...order.keys.map((key) => key.expression)])}
    from ${relationSql(dataset)}${whereSql(conditions)}
    order by ${list(orderBy)}
    limit ${raw(String(limit))}${offset}`
}

/** Rows behind an instant in order of time, of one instant in order of all columns. */
function instantsSql(request: RowsRequest, timeAt: number, after: Instant | null, limit: number): Sql {
  const { dataset, direction, columns } = request
  const time = timeColumn(dataset)!
  const conditions = conditionsOf(request)
  if (after !== null)
    conditions.push(sql`${time} ${raw(direction === 'asc' ? '>' : '<')} ${instantSql(after)}`)
  const rest = Object.keys(dataset.columns).flatMap((name) => {
    const { type } = dataset.columns[name]!
    if (dataset.kind === 'hypertable' && name === dataset.time) return []
    const collate = raw(type === 'text' || type === 'text[]' ? ' collate "C"' : '')
    return [sql`${identifier(name)}${collate} ${raw(direction)}`]
  })
  return sql`
    select ${list([...columns.map((name) => identifier(name)), ...(timeAt === columns.length ? [time] : [])])}
    from ${relationSql(dataset)}${whereSql(conditions)}
    order by ${list([sql`${time} ${raw(direction)}`, ...rest])}
    limit ${raw(String(limit))}`
}

function conditionsOf({ dataset, range, where }: RowsRequest): Sql[] {
  const time = timeColumn(dataset)
  const conditions = time ? rangeConditions(time, range, everything) : []
  if (where) conditions.push(filterToSql(where, dataset))
  return conditions
}

/** Time stands alone in a condition of its own: that is what bounds the index and prunes chunks. */
function afterConditions(
  order: RowOrderSql,
  after: RowPosition,
  direction: 'asc' | 'desc',
  hasTime: boolean,
): Sql[] {
  const beyond = raw(direction === 'asc' ? '>' : '<')
  const keys = order.keys.slice(0, after.keys.length)
  const values = keys.map((key, i) => keyValue(key.type, after.keys[i]))
  // identical rows are passed over by their number, so the first ones have to be read again
  const isPassed = keys.length < order.keys.length || (order.isUnique && after.seen > 0)
  const onwards = isPassed ? beyond : sql`${beyond}=`
  const tuple = (from: number): Sql => {
    const left = keys.slice(from).map((key) => key.expression)
    return sql`(${list(left)}) ${onwards} (${list(values.slice(from))})`
  }
  if (!hasTime) return [tuple(0)]
  const time = keys[0]!.expression
  if (keys.length === 1) return [sql`${time} ${onwards} ${values[0]}`]
  return [sql`${time} ${beyond}= ${values[0]}`, sql`(${time} ${beyond} ${values[0]} or ${tuple(1)})`]
}

function keyValue(type: ColumnType | 'digest', value: unknown): Sql {
  return type === 'digest' ? sql`${Buffer.from(value as string, 'hex')}::bytea` : parameter(type, value)
}

function positionAt(keys: readonly unknown[], before: RowPosition | null): RowPosition {
  const isSame = before !== null && keys.every((key, i) => key === before.keys[i])
  return { keys, seen: isSame ? before.seen + 1 : 1 }
}

/** What a value takes in memory, near enough to bound a page. */
function roughBytes(value: unknown): number {
  if (typeof value === 'string') return 16 + value.length
  if (typeof value !== 'object' || value === null) return 8
  let bytes = 16
  for (const [key, inner] of Object.entries(value)) bytes += 8 + key.length + roughBytes(inner)
  return bytes
}

function list(parts: readonly Sql[]): Sql {
  return join(parts, ', ')
}
