import { timestamptzText } from '../changelog/index.ts'
import {
  type CanonicalRow,
  type CanonicalValue,
  type ColumnType,
  createRowCodec,
  type RowCodec,
  type StoredDefinition,
} from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import { RowLane } from './row-lane.ts'

/** What writing needs to know of a table, worked out once. */
export interface WritableTable {
  readonly definition: StoredDefinition
  readonly codec: RowCodec
  readonly columns: readonly string[]
  readonly types: readonly ColumnType[]
  /** Places of all columns. */
  readonly indexes: readonly number[]
  /** Places in a row; -1: there is none. */
  readonly timeIndex: number
  readonly tenantIndex: number
  readonly keyIndexes: readonly number[]
  /** Some columns have a default that PostgreSQL evaluates: rows may leave them out. */
  readonly hasSqlDefaults: boolean
  /** The short way into a COPY stream; null where there is none. Its slots are filled and written at once. */
  readonly lane: RowLane | null
}

const tables = new WeakMap<StoredDefinition, WritableTable>()

export function writableTable(definition: StoredDefinition): WritableTable {
  let table = tables.get(definition)
  if (table === undefined) {
    const columns = Object.keys(definition.columns)
    const place = (name: string | null): number => (name === null ? -1 : columns.indexOf(name))
    const shape = {
      definition,
      codec: createRowCodec(definition),
      columns,
      types: columns.map((name) => definition.columns[name]!.type),
      indexes: columns.map((_, i) => i),
      timeIndex: place(definition.kind === 'hypertable' ? definition.time : null),
      tenantIndex: place(definition.tenant),
      keyIndexes: (definition.primaryKey ?? []).map((name) => columns.indexOf(name)),
      hasSqlDefaults: columns.some((name) => definition.columns[name]!.default?.kind === 'sql'),
      lane: null,
    }
    table = Object.freeze({ ...shape, lane: RowLane.create(shape) })
    tables.set(definition, table)
  }
  return table
}

/** The short way of a table's rows into a COPY stream, for whoever reads them; null where there is none. */
export function rowLane(definition: StoredDefinition): RowLane | null {
  return writableTable(definition).lane
}

/**
 * Which columns a row leaves to PostgreSQL's defaults: '' when none. Rows that leave out the same ones are written
 * together.
 */
export function absenceOf(table: WritableTable, row: readonly CanonicalValue[]): string {
  if (!table.hasSqlDefaults) return ''
  let absence = ''
  for (let i = 0; i < table.columns.length; i += 1) if (row[i] === undefined) absence += `${i},`
  return absence
}

/** Places of the columns that rows of this absence do have. */
export function presentIndexes(table: WritableTable, absence: string): readonly number[] {
  if (absence === '') return table.indexes
  const absent = new Set(absence.split(',').filter(Boolean).map(Number))
  return table.columns.map((_, i) => i).filter((i) => !absent.has(i))
}

export function columnsSql(table: WritableTable, indexes: readonly number[]): Sql {
  return join(
    indexes.map((i) => identifier(table.columns[i]!)),
    ', ',
  )
}

export function relationOf(table: WritableTable): Sql {
  return identifier(table.definition.schema, table.definition.table)
}

/** @throws TidemarkError TM_ROW for the first thing that is wrong with the row. */
export function encodeRow(table: WritableTable, row: unknown, index: number): CanonicalRow {
  const values = table.codec.encode(row as object)
  if (values !== null) return values
  const problem = table.codec.problems(row)[0] ?? unreachable('a row is refused and nothing is wrong with it')
  throw new TidemarkError('TM_ROW', { row: index, ...problem })
}

/** A canonical value as text that PostgreSQL casts to the column's type. */
export function parameterText(type: ColumnType, value: CanonicalValue): string | null {
  if (value === null || value === undefined) return null
  if (type === 'timestamptz') return timestamptzText(value as Instant)
  if (type === 'text[]') return textArrayText(value as readonly (string | null)[])
  if (typeof value === 'number' && Object.is(value, -0)) return '-0'
  return String(value)
}

function textArrayText(items: readonly (string | null)[]): string {
  const quoted = items.map((item) => (item === null ? 'NULL' : `"${item.replace(/["\\]/g, '\\$&')}"`))
  return `{${quoted.join(',')}}`
}

/**
 * Equal for rows whose keys PostgreSQL holds to be equal: 1.0 = 1.00, 0 = -0. Null when PostgreSQL evaluates a part
 * of it.
 */
export function keyOf(table: WritableTable, row: readonly CanonicalValue[]): string | null {
  let key = ''
  for (const index of table.keyIndexes) {
    const value = row[index]
    if (value === undefined) return null
    const text =
      table.types[index] === 'numeric' ? trimDecimal(String(value)) : value === 0 ? '0' : String(value)
    key += `${text.length}:${text}`
  }
  return key
}

function trimDecimal(text: string): string {
  const trimmed = text.includes('.') ? text.replace(/0+$/, '').replace(/\.$/, '') : text
  return trimmed === '-0' ? '0' : trimmed
}

/** `c::type` for each column, from text. */
export function castList(table: WritableTable, indexes: readonly number[], source: string): Sql {
  return join(
    indexes.map((i) => raw(`${source}.c${i}::${table.types[i]}`)),
    ', ',
  )
}
