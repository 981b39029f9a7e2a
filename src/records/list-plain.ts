import { filterToSql, type PostgresSnapshot, parameterText } from '../hot/index.ts'
import { withTenant } from '../query/index.ts'
import type { CanonicalValue, StoredDefinition } from '../schema/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { Call, ListAnswer, RecordsOptions } from './contract.ts'
import { decodePosition, encodePosition } from './cursor.ts'
import type { ListRequest } from './list-input.ts'
import type { ListOrder, OrderTerm } from './order.ts'
import { type RecordTable, showerOf, versionOf } from './record-table.ts'

/** Rows that are asked for before anything is known of their size, where a value may be large. */
const firstPiece = 32

/**
 * A page of a plain table: one statement, in one snapshot with the count. The row behind the page tells whether there is one.
 *
 * Text is in the order of the database's collation, as its indexes are; conditions on text compare bytes, as in every query.
 */
export async function listPlain(
  table: RecordTable,
  request: ListRequest,
  options: RecordsOptions,
  call: Call,
): Promise<ListAnswer> {
  const { definition, columns } = table
  const { order, where, cursor, limit, fields, withCount, withVersions } = request
  const after = cursor === null ? null : decodePosition(table, order, where, cursor).values
  const own = withTenant(definition, where, call.scope)
  const conditions = own === null ? [] : [filterToSql(own, definition)]
  const read = [...new Set([...fields, ...order.map(({ column }) => column)])]
  const selected = read.map((name) => identifier(name))
  const statement = sql`
    select ${join(withVersions ? [...selected, table.digestSql] : selected, ', ')}
    from ${table.relation}${whereOf(after === null ? conditions : [...conditions, behind(order, after)])}
    order by ${orderBy(order)}
    limit ${raw(String(limit + 1))}`
  return options.read(definition, call, async (snapshot) => {
    const counting = withCount
      ? snapshot.query(sql`select count(*) from ${table.relation}${whereOf(conditions)}`, null)
      : null
    // whoever awaits the rows first hears of the same failure
    counting?.catch(() => {})
    const isWide = limit > firstPiece && read.some((name) => mayBeLarge(definition, name))
    const { rows, hasMore } = isWide
      ? await readPieces(snapshot, statement, limit, options.maxAnswerBytes)
      : split((await snapshot.query(statement, null)).rows, limit)
    const shows = fields.map((name) => showerOf(definition.columns[name]!.type))
    const last = rows.at(-1)
    const positionOf = (row: readonly unknown[]): CanonicalValue[] =>
      order.map(({ column }) => row[read.indexOf(column)] as CanonicalValue)
    return {
      rows: rows.map((row) =>
        Object.fromEntries(fields.map((name, i) => [name, shows[i]!(row[read.indexOf(name)])])),
      ),
      cursor:
        hasMore && last !== undefined
          ? encodePosition(table, order, where, { values: positionOf(last), range: null })
          : null,
      versions: withVersions ? rows.map((row) => versionOf(row[read.length] as Uint8Array)) : null,
      count: counting === null ? null : Number((await counting).rows[0]![0] as bigint),
    }
  })
  function whereOf(parts: readonly Sql[]): Sql {
    return parts.length === 0 ? raw('') : sql` where ${join(parts, ' and ')}`
  }
  function orderBy(terms: ListOrder): Sql {
    return join(
      terms.map(({ column, descending, nullable }) => {
        // said only where it matters: an index knows nothing of columns that are never null
        const nulls = nullable && descending ? ' desc nulls last' : descending ? ' desc' : ''
        return sql`${identifier(columns[columns.indexOf(column)]!)}${raw(nulls)}`
      }),
      ', ',
    )
  }
}

/** That a row comes after this place; nulls are last in both directions. */
function behind(order: ListOrder, values: readonly CanonicalValue[]): Sql {
  const [first] = order
  const isUniform = order.every(({ nullable, descending }) => !nullable && descending === first!.descending)
  const parameterOf = ({ type }: OrderTerm, i: number): Sql =>
    sql`${parameterText(type, values[i])}::${raw(type)}`
  if (isUniform) {
    // one comparison of all, which an index answers as a whole
    const left = order.map(({ column }) => identifier(column))
    return sql`(${join(left, ', ')}) ${raw(first!.descending ? '<' : '>')} (${join(order.map(parameterOf), ', ')})`
  }
  const cases = order.map((term, i) => {
    const equal = order.slice(0, i).map((before, at) => {
      const column = identifier(before.column)
      return values[at] === null ? sql`${column} is null` : sql`${column} = ${parameterOf(before, at)}`
    })
    const column = identifier(term.column)
    const beyond =
      values[i] === null
        ? raw('false')
        : sql`${column} ${raw(term.descending ? '<' : '>')} ${parameterOf(term, i)}`
    const isBehind = term.nullable && values[i] !== null ? sql`(${beyond} or ${column} is null)` : beyond
    return sql`(${join([...equal, isBehind], ' and ')})`
  })
  return sql`(${join(cases, ' or ')})`
}

function split(
  rows: readonly (readonly unknown[])[],
  limit: number,
): { rows: readonly (readonly unknown[])[]; hasMore: boolean } {
  return { rows: rows.slice(0, limit), hasMore: rows.length > limit }
}

/** No more at once than the answer has room for: a page may have fewer rows than it was to have. */
async function readPieces(
  snapshot: PostgresSnapshot,
  statement: Sql,
  limit: number,
  maxBytes: number,
): Promise<{ rows: readonly (readonly unknown[])[]; hasMore: boolean }> {
  const cursor = snapshot.cursor(statement, null)
  const rows: (readonly unknown[])[] = []
  let bytes = 0
  let widest = 1
  for (let wanted = firstPiece; ; ) {
    const piece = await cursor.next(Math.min(wanted, limit + 1 - rows.length))
    for (const row of piece.rows) {
      if (rows.length === limit || (rows.length > 0 && bytes >= maxBytes)) return { rows, hasMore: true }
      const size = roughBytes(row)
      bytes += size
      widest = Math.max(widest, size)
      rows.push(row)
    }
    if (piece.isEnd || rows.length > limit) return { rows, hasMore: false }
    const room = Math.ceil((maxBytes - bytes) / widest)
    wanted = Math.max(2, Math.min(room, rows.length * 4))
  }
}

/** Texts of keys and indexes are short: PostgreSQL's indexes take no long ones. */
function mayBeLarge({ columns, primaryKey, indexes }: StoredDefinition, name: string): boolean {
  const { type } = columns[name]!
  if (type !== 'jsonb' && type !== 'text[]' && type !== 'text') return false
  if (primaryKey?.includes(name)) return false
  return !indexes.some(
    (index) => index.method === 'btree' && index.columns.some(({ column }) => column === name),
  )
}

/** In memory, near enough to bound a page. */
function roughBytes(value: unknown): number {
  if (typeof value === 'string') return 16 + value.length
  if (typeof value !== 'object' || value === null) return 8
  if (ArrayBuffer.isView(value)) return 16 + value.byteLength
  let bytes = 16
  for (const [key, inner] of Object.entries(value)) bytes += 8 + key.length + roughBytes(inner)
  return bytes
}
