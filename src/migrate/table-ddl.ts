import { createHash } from 'node:crypto'
import type {
  ColumnDefinition,
  HypertableDefinition,
  IndexDefinition,
  StoredDefinition,
} from '../schema/index.ts'
import { identifier, join, printSqlInline, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'

/** Where chunks, default partitions and the working tables of conversions live. */
export const chunkSchema = 'tidemark_chunks'

/** PostgreSQL cuts names at 63 bytes without a word; two long names would become one. */
const maxNameBytes = 63

/**
 * `base` + `suffix` in at most 63 bytes. A base that is too long is cut and gets a hash of the whole, so that
 * different bases stay different.
 */
export function fitName(base: string, suffix: string): string {
  if (Buffer.byteLength(base + suffix) <= maxNameBytes) return base + suffix
  const hash = createHash('sha256').update(base).digest('hex').slice(0, 8)
  let cut = base
  while (Buffer.byteLength(`${cut}_${hash}${suffix}`) > maxNameBytes) cut = [...cut].slice(0, -1).join('')
  return `${cut}_${hash}${suffix}`
}

/** The type as PostgreSQL's `format_type` writes it is read from the database; this is the form we declare. */
export function columnType(column: ColumnDefinition): string {
  if (column.type !== 'numeric' || column.precision === null) return column.type
  return column.scale === null
    ? `numeric(${column.precision})`
    : `numeric(${column.precision}, ${column.scale})`
}

/** The expression after `default`, or null. */
export function columnDefault(column: ColumnDefinition): string | null {
  if (column.default === null) return null
  if (column.default.kind === 'sql') return column.default.expression
  return `${defaultLiteral(column, column.default.value)}::${columnType(column)}`
}

function defaultLiteral(column: ColumnDefinition, value: unknown): string {
  if (column.type === 'jsonb') return quoteLiteral(JSON.stringify(value)).trim()
  if (column.type === 'text[]') {
    const items = (value as readonly (string | null)[]).map((item) => quoteLiteral(item).trim())
    return `array[${items.join(', ')}]`
  }
  if (value instanceof Date) return quoteLiteral(value.toISOString())
  if (column.type === 'timestamptz' && typeof value === 'bigint')
    return `(timestamptz '1970-01-01 00:00:00+00' + ${value} * interval '1 microsecond')`
  // -1::int4 would be -(1::int4), and '-0' is a text: quote every number.
  return quoteLiteral(String(value)).trim()
}

export function columnSql(name: string, column: ColumnDefinition): Sql {
  const value = columnDefault(column)
  const parts = [sql`${identifier(name)} ${raw(columnType(column))}`]
  if (!column.nullable) parts.push(raw('not null'))
  if (value !== null) parts.push(raw(`default ${value}`))
  return join(parts, ' ')
}

/** The check that keeps rows without a place in time out of a hypertable: no chunk could ever hold them. */
export function timeCheckName(table: string): string {
  return fitName(table, '_time_finite')
}

/** What stands between the parentheses of CREATE TABLE. */
export function tableBody(definition: StoredDefinition): Sql {
  const lines = Object.entries(definition.columns).map(([name, column]) => columnSql(name, column))
  if (definition.primaryKey)
    lines.push(
      sql`constraint ${identifier(fitName(definition.table, '_pkey'))} primary key (${columnList(definition.primaryKey)})`,
    )
  if (definition.kind === 'hypertable')
    lines.push(
      sql`constraint ${identifier(timeCheckName(definition.table))} check (isfinite(${identifier(definition.time)}))`,
    )
  return join(lines, ',\n  ')
}

export function columnList(columns: readonly string[]): Sql {
  return join(
    columns.map((name) => identifier(name)),
    ', ',
  )
}

/** From `using` on: what two indexes with different names have in common. */
function indexBody(index: IndexDefinition): Sql {
  const columns = index.columns.map(
    ({ column, direction }) =>
      // gin, brin and hash know no order
      sql`${identifier(column)}${raw(index.method === 'btree' && direction === 'desc' ? ' desc' : '')}`,
  )
  const where = index.where === null ? '' : ` where ${index.where}`
  return sql`using ${raw(index.method)} (${join(columns, ', ')})${raw(where)}`
}

export function createIndexSql(
  index: IndexDefinition,
  on: Sql,
  options: { name: string; concurrently?: boolean; only?: boolean },
): Sql {
  const unique = raw(index.unique ? ' unique' : '')
  const concurrently = raw(options.concurrently ? ' concurrently' : '')
  const only = raw(options.only ? ' only' : '')
  return sql`create${unique} index${concurrently} ${identifier(options.name)} on${only} ${on} ${indexBody(index)}`
}

export function relationName(definition: { readonly schema: string; readonly table: string }): Sql {
  return identifier(definition.schema, definition.table)
}

export function text(statement: Sql): string {
  return printSqlInline(statement)
}

export function commentSql(on: Sql, comment: string | null): Sql {
  return sql`comment on ${on} is ${comment}`
}

export function columnComment(definition: StoredDefinition, column: string, comment: string | null): Sql {
  return commentSql(sql`column ${identifier(definition.schema, definition.table, column)}`, comment)
}

/** Tables of two schemas can have one name, and all chunks live in one schema. */
export function defaultPartitionName(definition: HypertableDefinition): string {
  const name = definition.schema === 'public' ? definition.table : `${definition.schema}_${definition.table}`
  return fitName(name, '_default')
}
