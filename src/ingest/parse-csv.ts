import type { ColumnType, StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { CsvReader } from './csv-reader.ts'

/** Bytes of one row of a CSV text at most. */
const maxRecordBytes = 4 * 1024 * 1024

/**
 * Rows of a CSV text with a header of column names, in the form that `insert` takes; it checks the values. An empty
 * field is null, or left out (the column's default) where the column takes no null; only in a text column that has
 * neither it is an empty text. text[] and jsonb are JSON.
 *
 * @example
 * parseCsvRows(requests, 'time,latency_ms\n2026-01-01T00:00:00Z,12.5\n') // [{ time: '2026-…', latency_ms: 12.5 }]
 *
 * @throws TidemarkError TM_BODY for a text that is no CSV with a header, TM_ROW for a field that is no JSON.
 */
export function parseCsvRows(definition: StoredDefinition, text: string): Record<string, unknown>[] {
  const rows: Record<string, unknown>[] = []
  let header: readonly string[] | null = null
  const reader = new CsvReader(
    { separator: ',', maxRecordBytes, keepBlankLines: false },
    {
      record(fields, line) {
        const texts = fields as readonly string[]
        if (header === null) {
          header = readHeader(texts, definition)
          return
        }
        if (texts.length !== header.length)
          refuse(`line ${line} has ${texts.length} fields, the header ${header.length}`)
        rows.push(toRow(header, texts, definition, rows.length))
      },
      bad(_reason, { message }, line) {
        refuse(`line ${line}: ${message}`)
      },
    },
  )
  reader.push({ text: text.charCodeAt(0) === 0xfeff ? text.slice(1) : text, form: 'text' })
  reader.end()
  if (header === null) refuse('the CSV is empty')
  return rows
}

function readHeader(names: readonly string[], definition: StoredDefinition): readonly string[] {
  const header = names.map((name) => name.trim())
  const unknown = header.find((name) => !Object.hasOwn(definition.columns, name))
  if (unknown !== undefined) {
    refuse(
      `the header names "${unknown}", which is no column of ${definition.name} (${Object.keys(definition.columns).join(', ')})`,
    )
  }
  const twice = header.find((name, i) => header.indexOf(name) !== i)
  if (twice !== undefined) refuse(`the header names "${twice}" twice`)
  return header
}

function toRow(
  header: readonly string[],
  fields: readonly string[],
  definition: StoredDefinition,
  index: number,
): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  for (let i = 0; i < header.length; i++) {
    const name = header[i] as string
    const text = fields[i] as string
    const column = definition.columns[name]
    if (column === undefined) continue
    if (text === '') {
      if (column.nullable) row[name] = null
      else if (column.default === null && column.type === 'text') row[name] = ''
      continue
    }
    row[name] = toInput(column.type, text, name, index)
  }
  return row
}

function toInput(type: ColumnType, text: string, column: string, row: number): unknown {
  switch (type) {
    case 'int2':
    case 'int4':
    case 'float4':
    case 'float8':
      // what is no number stays text, so that the check of the row names it
      return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)
    case 'bool':
      return text === 'true' || text === 't' ? true : text === 'false' || text === 'f' ? false : text
    case 'jsonb':
    case 'text[]':
      try {
        return JSON.parse(text)
      } catch (error) {
        throw new TidemarkError(
          'TM_ROW',
          {
            row,
            column,
            value: JSON.stringify(text.slice(0, 60)),
            problem: `is not JSON: ${(error as Error).message}`,
          },
          { cause: error },
        )
      }
    default:
      return text
  }
}

function refuse(problem: string): never {
  throw new TidemarkError('TM_BODY', {
    problem,
    todo: 'send a header line with column names and one row a line',
  })
}
