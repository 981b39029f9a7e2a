import { everything, type RowsRequest, type RowsResult } from '../query/index.ts'
import type { ColumnType, DatasetDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { filterToSql, parameter } from './filter-sql.ts'
import { instantSql, rangeConditions, relationSql, whereSql } from './instant-sql.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'
import { decodeCursor, encodeCursor, type RowCursor } from './rows-cursor.ts'
import { timeColumn } from './scan.ts'

/**
 * Rows of the first statement, before anything is known of their width: few where a value is often large. A second
 * statement begins a scan anew, which matters where no index helps: 36,000 rows of 432,000 take 60 ms at once.
 */
const firstBatch = { wide: 1_000, narrow: 20_000 }
const wideTypes: readonly ColumnType[] = ['jsonb', 'text[]']

/** What rows are ordered by, and what a cursor has to remember of the last one. */
interface RowOrder {
  readonly keys: readonly { readonly expression: Sql; readonly type: ColumnType }[]
  /** Rows whose keys are all equal are told apart by their bytes and counted; null where that cannot be. */
  readonly lastResort: Sql | null
}

/**
 * A page of rows, read from where the cursor ends.
 *
 * With a primary key the order is time, then the other columns of the key (text by bytes). Without one it is time,
 * then all columns; only the rows of the instant in which a page ends are ordered by a hash of the row and its bytes,
 * and identical ones counted, so that rows that come to any place between two pages neither hide a row nor show one
 * twice. (Ordering every row by its hash takes twice the time of the whole query: 36,000 of 432,000 rows 60 ms by time,
 * 60 ms by all columns, 150 ms by hash and bytes.)
 *
 * Only the time has to be in an index: PostgreSQL walks that of one chunk after the other (ordered append), sorts what
 * has the same instant (incremental sort), and stops when the page is full.
 *
 * `maxBytes` ends a page early, at least after one row; its cursor then goes on as after a full one.
 */
export async function readRows(
  request: RowsRequest,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
  maxBytes: number,
): Promise<RowsResult> {
  const order = rowOrder(request.dataset)
  const page = new Page(request, maxBytes)
  const run = async (statement: Sql): Promise<readonly (readonly unknown[])[]> => {
    const { rows } = await snapshot.query(statement, signal)
    page.rowsRead += rows.length
    return rows
  }
  const after = request.cursor === null ? null : decodeCursor(request.cursor, order.keys)
  if (request.dataset.kind === 'hypertable' && order.lastResort)
    await readInstants(request, order, page, run, after)
  else await readOrdered(request, order, page, run, after, null)
  return page.result()
}

/** Rows so far, and whether there is room for more. */
class Page {
  readonly rows: (readonly unknown[])[] = []
  cursor: RowCursor | null = null
  rowsRead = 0
  readonly #limit: number
  readonly #maxBytes: number
  readonly #width: number
  readonly #firstBatch: number
  #bytes = 0
  #widest = 1

  constructor(request: RowsRequest, maxBytes: number) {
    this.#limit = request.limit
    this.#maxBytes = maxBytes
    this.#width = request.columns.length
    const isWide = request.columns.some((name) => wideTypes.includes(request.dataset.columns[name]!.type))
    this.#firstBatch = isWide ? firstBatch.wide : firstBatch.narrow
  }

  get left(): number {
    return this.#limit - this.rows.length
  }

  get isFull(): boolean {
    return this.left === 0 || (this.#bytes >= this.#maxBytes && this.rows.length > 0)
  }

  /** How many rows to ask for: one more than is wanted tells whether something follows. */
  get wanted(): number {
    if (this.rows.length === 0) return Math.min(this.#firstBatch, this.left + 1)
    const room = Math.ceil((this.#maxBytes - this.#bytes) / this.#widest)
    return Math.max(2, Math.min(room, this.left + 1))
  }

  add(row: readonly unknown[]): void {
    const values = row.length === this.#width ? row : row.slice(0, this.#width)
    let bytes = 0
    for (const value of values) bytes += roughBytes(value)
    this.#bytes += bytes
    if (bytes > this.#widest) this.#widest = bytes
    this.rows.push(values)
  }

  /** Behind the requested columns. */
  keysOf(row: readonly unknown[]): readonly unknown[] {
    return row.slice(this.#width)
  }

  result(): RowsResult {
    const cursor = this.cursor && encodeCursor(this.cursor)
    return { rows: this.rows, cursor, rowsRead: this.rowsRead }
  }
}

type Run = (statement: Sql) => Promise<readonly (readonly unknown[])[]>

/** Adds rows in the full order, those of one instant or all; true when there are no more of them. */
async function readOrdered(
  request: RowsRequest,
  order: RowOrder,
  page: Page,
  run: Run,
  start: RowCursor | null,
  instant: Instant | null,
): Promise<boolean> {
  let after = start
  for (;;) {
    const { wanted } = page
    const rows = await run(orderedSql(request, order, after, instant, wanted))
    for (const row of rows) {
      if (page.isFull) {
        page.cursor = after
        return false
      }
      page.add(row)
      after = cursorAt(page.keysOf(row), after)
    }
    if (rows.length < wanted) return true
  }
}

/** Where to begin: with the rows of an instant, or after them. */
interface TimeStart {
  readonly time: Instant
  readonly isInside: boolean
}

/** Adds whole instants, and of the one in which the page ends the first rows in the full order. */
async function readInstants(
  request: RowsRequest,
  order: RowOrder,
  page: Page,
  run: Run,
  after: RowCursor | null,
): Promise<void> {
  const timeOf = (row: readonly unknown[]): Instant => page.keysOf(row)[0] as Instant
  let start: TimeStart | null = null
  if (after) {
    const time = after.keys[0] as Instant
    const isInside = after.seen === 0
    if (!isInside && !(await readOrdered(request, order, page, run, after, time))) return
    start = { time, isInside }
  }
  for (;;) {
    const { wanted } = page
    const rows = await run(instantsSql(request, start, wanted))
    const isEnd = rows.length < wanted
    let at = 0
    while (at < rows.length) {
      const time = timeOf(rows[at]!)
      let end = at + 1
      while (end < rows.length && timeOf(rows[end]!) === time) end++
      if (page.isFull) {
        page.cursor = { keys: [time, 0n], seen: 0 }
        return
      }
      const isWhole = end < rows.length || isEnd
      if (isWhole && end - at <= page.left) {
        for (; at < end; at++) page.add(rows[at]!)
        continue
      }
      // The page ends in this instant, or the batch does: then it is read again with what follows, unless it fills
      // a batch by itself.
      const fillsBatch = at === 0
      if (!isWhole && !fillsBatch && end - at <= page.left) {
        start = { time, isInside: true }
        break
      }
      if (!(await readOrdered(request, order, page, run, null, time))) return
      start = { time, isInside: false }
      break
    }
    if (at === rows.length && isEnd) return
  }
}

function rowOrder(dataset: DatasetDefinition): RowOrder {
  const column = (name: string) => ({ expression: identifier(name), type: dataset.columns[name]!.type })
  const time = dataset.kind === 'hypertable' ? [column(dataset.time)] : []
  if (dataset.primaryKey) {
    const rest = dataset.primaryKey.filter((name) => dataset.kind === 'table' || name !== dataset.time)
    const keys = rest.map((name) => {
      const key = column(name)
      // a plain table is walked along the index of its key, which has the database's collation
      return key.type === 'text' && dataset.kind === 'hypertable'
        ? { ...key, expression: sql`${key.expression} collate "C"` }
        : key
    })
    return { keys: [...time, ...keys], lastResort: null }
  }
  const row = sql`row(${list(Object.keys(dataset.columns).map((name) => identifier(name)))})`
  return {
    keys: [...time, { expression: sql`hash_record_extended(${row}, 0)`, type: 'int8' }],
    lastResort: row,
  }
}

/** Rows in the full order, behind them the order's keys. */
function orderedSql(
  request: RowsRequest,
  order: RowOrder,
  after: RowCursor | null,
  instant: Instant | null,
  limit: number,
): Sql {
  const { dataset, direction } = request
  const conditions = conditionsOf(request)
  if (instant !== null && dataset.kind === 'hypertable')
    conditions.push(sql`${identifier(dataset.time)} = ${instantSql(instant)}`)
  if (after) conditions.push(...afterConditions(order, after, direction, dataset.kind === 'hypertable'))
  const orderBy = order.keys.map((key) => sql`${key.expression} ${raw(direction)}`)
  if (order.lastResort) orderBy.push(sql`${order.lastResort} using ${raw(direction === 'asc' ? '*<' : '*>')}`)
  const offset = after && order.lastResort ? sql` offset ${raw(String(after.seen))}` : raw('')
  return sql`
    select ${list([...request.columns.map((name) => identifier(name)), ...order.keys.map((key) => key.expression)])}
    from ${relationSql(dataset)}${whereSql(conditions)}
    order by ${list(orderBy)}
    limit ${raw(String(limit))}${offset}`
}

/** Rows in order of time, of one instant in order of all columns; behind them the time. */
function instantsSql(request: RowsRequest, start: TimeStart | null, limit: number): Sql {
  const { dataset, direction } = request
  const time = timeColumn(dataset)!
  const conditions = conditionsOf(request)
  if (start) {
    const beyond = raw(`${direction === 'asc' ? '>' : '<'}${start.isInside ? '=' : ''}`)
    conditions.push(sql`${time} ${beyond} ${instantSql(start.time)}`)
  }
  const rest = Object.keys(dataset.columns).flatMap((name) => {
    const { type } = dataset.columns[name]!
    if (dataset.kind === 'hypertable' && name === dataset.time) return []
    const collate = raw(type === 'text' || type === 'text[]' ? ' collate "C"' : '')
    return [sql`${identifier(name)}${collate} ${raw(direction)}`]
  })
  return sql`
    select ${list([...request.columns.map((name) => identifier(name)), time])}
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
  order: RowOrder,
  after: RowCursor,
  direction: 'asc' | 'desc',
  hasTime: boolean,
): Sql[] {
  const beyond = raw(direction === 'asc' ? '>' : '<')
  // rows with the keys of the last one are passed over by their number, so they have to be read again
  const onwards = order.lastResort ? sql`${beyond}=` : beyond
  const values = order.keys.map((key, i) => parameter(key.type, after.keys[i]))
  const tuple = (from: number): Sql => {
    const left = order.keys.slice(from).map((key) => key.expression)
    return sql`(${list(left)}) ${onwards} (${list(values.slice(from))})`
  }
  if (!hasTime) return [tuple(0)]
  const time = order.keys[0]!.expression
  if (order.keys.length === 1) return [sql`${time} ${onwards} ${values[0]}`]
  return [sql`${time} ${beyond}= ${values[0]}`, sql`(${time} ${beyond} ${values[0]} or ${tuple(1)})`]
}

function cursorAt(keys: readonly unknown[], before: RowCursor | null): RowCursor {
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
