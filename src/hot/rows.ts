import { everything, type RowsRequest, type RowsResult } from '../query/index.ts'
import type { ColumnType, DatasetDefinition } from '../schema/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { filterToSql, parameter } from './filter-sql.ts'
import { rangeConditions, relationSql, whereSql } from './instant-sql.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'
import { decodeCursor, encodeCursor, type RowCursor } from './rows-cursor.ts'
import { timeColumn } from './scan.ts'

/** Rows of one statement, before anything is known of their width. */
const firstBatch = 1_000
/** Rows of one statement at most: what is in flight is not yet counted. */
const largestBatch = 10_000

/** What rows are ordered by, and what a cursor has to remember of the last one. */
interface RowOrder {
  readonly keys: readonly { readonly expression: Sql; readonly type: ColumnType }[]
  /** Rows whose keys are all equal are told apart by their bytes and counted; null where that cannot be. */
  readonly lastResort: Sql | null
}

/**
 * A page of rows in the order of tier.ts, read from where the cursor ends.
 *
 * Order: time, then the other columns of the primary key (text by bytes). Without a primary key: time, then a hash of
 * the row, then its bytes; identical rows are counted. Rows that come to other places between two pages therefore
 * neither hide a row nor show one twice. The statement asks for time first and only that is in an index: PostgreSQL
 * walks the time index of one chunk after the other (ordered append), sorts what has the same instant (incremental
 * sort), and stops when the page is full.
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
  const width = request.columns.length
  const rows: (readonly unknown[])[] = []
  let after = request.cursor === null ? null : decodeCursor(request.cursor, order.keys)
  let bytes = 0
  let rowsRead = 0
  let batch = firstBatch
  for (;;) {
    // one more than is wanted tells whether something follows
    const wanted = Math.min(batch, request.limit - rows.length + 1)
    const answer = await snapshot.query(pageSql(request, order, after, wanted), signal)
    rowsRead += answer.rows.length
    for (const row of answer.rows) {
      if (rows.length === request.limit || (bytes >= maxBytes && rows.length > 0))
        return { rows, cursor: after && encodeCursor(after), rowsRead }
      const values = row.slice(0, width)
      for (const value of values) bytes += roughBytes(value)
      rows.push(values)
      after = cursorAt(row.slice(width), after)
    }
    if (answer.rows.length < wanted) return { rows, cursor: null, rowsRead }
    const rowBytes = Math.max(1, bytes / rows.length)
    batch = Math.max(1, Math.min(largestBatch, Math.ceil((maxBytes - bytes) / rowBytes)))
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
  const row = sql`row(${join(
    Object.keys(dataset.columns).map((name) => identifier(name)),
    ', ',
  )})`
  return {
    keys: [...time, { expression: sql`hash_record_extended(${row}, 0)`, type: 'int8' }],
    lastResort: row,
  }
}

function pageSql(request: RowsRequest, order: RowOrder, after: RowCursor | null, limit: number): Sql {
  const { dataset, range, where, direction } = request
  const time = timeColumn(dataset)
  const conditions = time ? rangeConditions(time, range, everything) : []
  if (where) conditions.push(filterToSql(where, dataset))
  if (after) conditions.push(...afterConditions(order, after, direction, time !== null))
  const columns = [
    ...request.columns.map((name) => identifier(name)),
    ...order.keys.map((key) => key.expression),
  ]
  const orderBy = order.keys.map((key) => sql`${key.expression} ${raw(direction)}`)
  if (order.lastResort) orderBy.push(sql`${order.lastResort} using ${raw(direction === 'asc' ? '*<' : '*>')}`)
  const offset = after && order.lastResort ? sql` offset ${raw(String(after.seen))}` : raw('')
  return sql`
    select ${join(columns, ', ')}
    from ${relationSql(dataset)}${whereSql(conditions)}
    order by ${join(orderBy, ', ')}
    limit ${raw(String(limit))}${offset}`
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
    return sql`(${join(left, ', ')}) ${onwards} (${join(values.slice(from), ', ')})`
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
