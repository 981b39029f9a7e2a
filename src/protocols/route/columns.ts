import { type ColumnType, columnsOfSources, type ProtocolSource, type Route } from '../../schema/index.ts'
import type { FieldValue } from '../contract.ts'
import type { RoutedRow } from './contract.ts'

/** Where the sources of a protocol go in one hypertable. */
export interface SourceColumns {
  has(source: string): boolean
  /** Sets the column of the source, where there is one. Null and undefined leave the column out. */
  set(row: RoutedRow, source: string, value: unknown): void
}

export function sourceColumns(route: Route, sources: readonly ProtocolSource[]): SourceColumns {
  const columns = new Map<
    string,
    { readonly column: string; readonly convert: (value: unknown) => unknown }
  >()
  for (const [source, column] of columnsOfSources(route.into, sources, route.columns)) {
    const { type } = route.into.columns[column]!
    columns.set(source.name, { column, convert: converterOf(type) })
  }
  return {
    has: (source) => columns.has(source),
    set(row, source, value) {
      const target = columns.get(source)
      if (target !== undefined && value !== null && value !== undefined)
        row[target.column] = target.convert(value)
    },
  }
}

/** Values that come by name: tags, fields, labels, attributes. */
export interface NamedColumns {
  /** The column that takes the name, or undefined. */
  of(name: string): { readonly column: string; readonly convert: (value: unknown) => unknown } | undefined
}

/** By what the route says, else by the column's own name; `taken` are columns of sources. */
export function namedColumns(route: Route, taken: ReadonlySet<string>): NamedColumns {
  const { into } = route
  const found = new Map<string, { column: string; convert: (value: unknown) => unknown }>()
  const said = new Set(Object.values(route.columns))
  for (const [name, { type }] of Object.entries(into.columns))
    if (name !== into.time && !taken.has(name) && !said.has(name))
      found.set(name, { column: name, convert: converterOf(type) })
  for (const [source, column] of Object.entries(route.columns))
    if (!taken.has(column)) found.set(source, { column, convert: converterOf(into.columns[column]!.type) })
  return { of: (name) => found.get(name) }
}

/** Columns that the sources of a route take, and the time. */
export function takenColumns(route: Route, sources: readonly ProtocolSource[]): Set<string> {
  return new Set([route.into.time, ...columnsOfSources(route.into, sources, route.columns).values()])
}

const floatForm = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/

/**
 * A protocol's value in a form that the column's type takes. What does not fit is left as it is: the check of the row says what is
 * wrong with it. Tags are texts, so texts that are numbers go to columns of numbers.
 */
function converterOf(type: ColumnType): (value: unknown) => unknown {
  switch (type) {
    case 'float4':
    case 'float8':
    case 'int2':
    case 'int4':
      return (value) => {
        if (typeof value === 'bigint') return Number(value)
        return typeof value === 'string' && floatForm.test(value) ? Number(value) : value
      }
    case 'bool':
      return (value) => (value === 'true' ? true : value === 'false' ? false : value)
    case 'text':
      return (value) => (typeof value === 'object' && value !== null ? JSON.stringify(value) : value)
    case 'jsonb':
      return jsonOf
    default:
      return (value) => value
  }
}

/** JSON has no integers beyond 2^53 that are kept, and no NaN: they are texts. */
export function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number' && !Number.isFinite(value)) return String(value)
  return value
}

export function jsonObject(keys: readonly string[], values: readonly FieldValue[]): Record<string, unknown> {
  return Object.fromEntries(keys.map((key, i) => [key, jsonOf(values[i])]))
}

/** The jsonb column for what no other column takes. */
export interface RestColumn {
  readonly name: string
  /** It has to have a value: an empty object where there is nothing. */
  readonly isRequired: boolean
}

export function restColumn(route: Route): RestColumn | null {
  const name = Object.hasOwn(route.columns, 'rest') ? route.columns['rest']! : 'rest'
  const column = Object.hasOwn(route.into.columns, name) ? route.into.columns[name] : undefined
  if (column?.type !== 'jsonb') return null
  return { name, isRequired: !column.nullable && column.default === null }
}
