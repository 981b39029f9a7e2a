import type { ColumnInfo } from 'tidemark/client'

/** A column of a row that is edited: what is typed, null, or not there. */
export interface DraftField {
  readonly name: string
  /** Null: the dataset has no such column. */
  readonly column: ColumnInfo | null
  readonly holds: 'value' | 'null' | 'nothing'
  /** What is typed, where it holds a value. */
  readonly text: string
}

export type Row = Readonly<Record<string, unknown>>

/** What a column of a type takes. */
const forms: Readonly<Record<string, string>> = {
  timestamptz: 'a time with zone: 2026-01-31T12:00:00Z',
  date: 'a date: 2026-01-31',
  uuid: 'a UUID: 123e4567-e89b-12d3-a456-426614174000',
  bool: 'true or false',
  int2: 'a whole number from −32 768 to 32 767',
  int4: 'a whole number from −2 147 483 648 to 2 147 483 647',
  int8: 'a whole number of 64 bits',
  float4: 'a number',
  float8: 'a number',
  numeric: 'a decimal number',
  jsonb: 'JSON',
  'text[]': 'a list of texts: ["a", "b"]',
  text: 'a text',
}

/** In words: its type, what it takes, and whether it may be left out. */
export function allowedIn({ type, nullable, hasDefault }: ColumnInfo): string {
  const empty = nullable ? 'may be null' : hasDefault ? 'left out, it has its default' : 'has to be there'
  return `${type}: ${forms[type] ?? 'a value'}; ${empty}`
}

/** The fields of a row, columns first in their order, then what is no column. */
export function draftOf(row: Row, columns: readonly ColumnInfo[]): DraftField[] {
  const known = new Set(columns.map(({ name }) => name))
  return [
    ...columns.map((column) => fieldOf(row, column.name, column)),
    ...Object.keys(row)
      .filter((name) => !known.has(name))
      .map((name) => fieldOf(row, name, null)),
  ]
}

function fieldOf(row: Row, name: string, column: ColumnInfo | null): DraftField {
  const value = Object.hasOwn(row, name) ? row[name] : undefined
  if (value === undefined) return { name, column, holds: 'nothing', text: '' }
  if (value === null) return { name, column, holds: 'null', text: '' }
  const isText = typeof value === 'string' && !isJson(column)
  return { name, column, holds: 'value', text: isText ? value : JSON.stringify(value) }
}

/** The row that the fields come to, and what cannot be read of them, by field. */
export function rowOf(fields: readonly DraftField[]): {
  readonly row: Row
  readonly problems: Readonly<Record<string, string>>
} {
  const row: Record<string, unknown> = {}
  const problems: Record<string, string> = {}
  for (const { name, column, holds, text } of fields) {
    if (holds === 'nothing') continue
    if (holds === 'null') row[name] = null
    else {
      const value = readValue(text, column)
      if (value === undefined) problems[name] = 'This is no JSON: texts stand in quotes.'
      else row[name] = value
    }
  }
  return { row, problems }
}

/** undefined: it cannot be read. What is no number where a number belongs is told by the server, as it is typed. */
function readValue(text: string, column: ColumnInfo | null): unknown {
  if (isJson(column)) return readJson(text)
  const trimmed = text.trim()
  switch (column?.type) {
    case 'bool':
      return trimmed === 'true' ? true : trimmed === 'false' ? false : text
    case 'int2':
    case 'int4':
    case 'float4':
    case 'float8':
      return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(trimmed) ? Number(trimmed) : text
    case undefined: {
      // of no column: as it came
      const json = readJson(text)
      return json === undefined ? text : json
    }
    default:
      return text
  }
}

const isJson = (column: ColumnInfo | null): boolean => column?.type === 'jsonb' || column?.type === 'text[]'

function readJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/** A row from a text of JSON, or why it is none. */
export function readRow(text: string): Row | string {
  const value = readJson(text)
  if (value === undefined) return 'This is no JSON.'
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return 'A row is an object: { "column": value, … }.'
  return value as Row
}
