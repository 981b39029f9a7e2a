import type { ColumnDefinition, StoredDefinition } from '../../src/schema/index.ts'
import { quoteLiteral } from '../../src/util/sql.ts'
import { naiveIso } from '../helpers/naive-time.ts'
import { groupText, normalValue } from '../helpers/naive-values.ts'
import type { InputRow } from './tables.ts'

/**
 * A row of the shadow: one form for each type (naive-values.ts), every column there. Never changed: an update takes
 * another one in its place, so that the object itself says which version of the row it is.
 */
export type StoredRow = Readonly<Record<string, unknown>>

/** SQL defaults that the oracle knows. */
const sqlDefaults: Readonly<Record<string, unknown>> = { "'sql'::text": 'sql' }

function defaultOf(column: ColumnDefinition): unknown {
  if (column.default === null) return null
  return column.default.kind === 'value' ? column.default.value : sqlDefaults[column.default.expression]
}

/** What a row becomes when it is inserted. */
export function storedRow(definition: StoredDefinition, row: InputRow): StoredRow {
  return Object.fromEntries(
    Object.entries(definition.columns).map(([name, column]) => [
      name,
      normalValue(column.type, row[name] === undefined ? defaultOf(column) : row[name]),
    ]),
  )
}

/** What an upsert makes of a row that exists: what it leaves to an SQL default stays as it is. */
export function upsertedRow(definition: StoredDefinition, before: StoredRow, row: InputRow): StoredRow {
  const kept = Object.entries(definition.columns)
    .filter(([name, column]) => column.default?.kind === 'sql' && row[name] === undefined)
    .map(([name]) => [name, before[name]])
  return { ...before, ...storedRow(definition, row), ...Object.fromEntries(kept) }
}

export function changedRow(definition: StoredDefinition, before: StoredRow, set: InputRow): StoredRow {
  const values = Object.entries(set).map(([name, value]) => [
    name,
    normalValue(definition.columns[name]!.type, value),
  ])
  return { ...before, ...Object.fromEntries(values) }
}

/** Equal for rows of one key; null when the table has none. */
export function keyText(definition: StoredDefinition, row: StoredRow): string | null {
  const { primaryKey } = definition
  if (primaryKey === null) return null
  return primaryKey.map((name) => groupText(definition.columns[name]!.type, row[name])).join(' ')
}

/** A stored value as text that PostgreSQL reads as its type. */
function valueText(type: string, value: unknown): string {
  if (type === 'timestamptz') return naiveIso(value as bigint)
  if (type === 'jsonb') return JSON.stringify(value)
  if (type === 'text[]')
    return `{${(value as (string | null)[])
      .map((item) => (item === null ? 'NULL' : `"${item.replace(/["\\]/g, '\\$&')}"`))
      .join(',')}}`
  return Object.is(value, -0) ? '-0' : String(value)
}

export function literal(type: string, value: unknown): string {
  return value === null ? `null::${type}` : `${quoteLiteral(valueText(type, value))}::${type}`
}

/** A line of COPY … (format csv): nothing is null, quotes with nothing between are an empty text. */
export function csvLine(definition: StoredDefinition, columns: readonly string[], row: StoredRow): string {
  return columns
    .map((name) => {
      const value = row[name]
      if (value === null) return ''
      return `"${valueText(definition.columns[name]!.type, value).replaceAll('"', '""')}"`
    })
    .join(',')
}
