import type { CanonicalValue, ColumnDefinition } from '../schema/index.ts'
import { type Convert, type ConvertContext, refuse, refused } from './convert-context.ts'
import { convertArray, toStoredJson } from './convert-json.ts'
import { createTextConvert } from './convert-text.ts'
import { ExactNumber, toJsonText } from './exact-json.ts'
import { intRanges } from './read-number.ts'
import type { TimeReader } from './time-format.ts'

/** Words that stand for "no value" in columns that are not text, without anybody saying so. */
export const defaultNullWords = [
  'NA',
  'N/A',
  'n/a',
  '#N/A',
  'null',
  'NULL',
  'Null',
  'None',
  'none',
  'nil',
  '-',
  '\\N',
]

export interface ConvertOptions {
  /** Words given by the user: they hold for every column, and are looked at first. null: the default words. */
  readonly nullWords: readonly string[] | null
  /** For timestamptz and date. */
  readonly time: TimeReader | null
  /**
   * A text for a jsonb column is a JSON string, as a field of an NDJSON object is; otherwise it is JSON text, as in CSV.
   * Default false.
   */
  readonly stringsAreJson?: boolean
}

/**
 * From what a reader gives (text; from JSON and Parquet also numbers, booleans, bigints, arrays, objects) to the form
 * that the writer takes. Never throws for a value: a value that does not fit is `refused`.
 */
export function createConvert(
  column: ColumnDefinition,
  options: ConvertOptions,
  context: ConvertContext,
): Convert {
  const convertText = createTextConvert(column, options.time, context)
  const isText = column.type === 'text'
  const userWords = options.nullWords === null ? null : new Set(options.nullWords)
  const defaultWords = new Set(userWords === null ? defaultNullWords : [])
  const words = context.notes.nullWords
  // what PostgreSQL's COPY calls an empty string cannot be told from nothing in most files: it is null where the
  // column takes nulls, and an empty text in a text column that does not
  const emptyIsText = isText && !column.nullable && column.default === null

  const convertString = (text: string): CanonicalValue | typeof refused => {
    if (text === '') return emptyIsText ? '' : null
    if (userWords?.has(text)) {
      words[text] = (words[text] ?? 0) + 1
      return null
    }
    const value = convertText(text)
    if (value !== refused || isText) return value
    // white space and words for null are looked at only when the value does not fit as it is
    const trimmed = text.trim()
    if (defaultWords.has(trimmed)) {
      words[trimmed] = (words[trimmed] ?? 0) + 1
      return null
    }
    if (trimmed === '') return null
    return trimmed.length === text.length ? refused : convertText(trimmed)
  }

  return (value) => {
    if (typeof value === 'string') {
      const isJsonString =
        options.stringsAreJson === true && column.type === 'jsonb' && !userWords?.has(value)
      return isJsonString ? toStoredJson(value, context) : convertString(value)
    }
    if (value === null || value === undefined) return null
    return convertTyped(value)
  }

  function convertTyped(value: unknown): CanonicalValue | typeof refused {
    switch (column.type) {
      case 'float8':
        if (typeof value === 'number') return value
        break
      case 'int8':
        if (typeof value === 'bigint' && value >= intRanges.int8[0] && value <= intRanges.int8[1])
          return value
        break
      case 'int4':
        if (typeof value === 'number' && (value | 0) === value) return value === 0 ? 0 : value
        if (typeof value === 'bigint' && value >= intRanges.int4[0] && value <= intRanges.int4[1])
          return Number(value)
        break
      case 'jsonb':
        return toStoredJson(value, context)
      case 'text':
        if (typeof value === 'object' && !(value instanceof ExactNumber))
          return convertText(toJsonText(value))
        return convertText(value instanceof ExactNumber ? value.text : String(value))
      case 'text[]':
        if (Array.isArray(value)) return convertArray(value, context)
        break
      case 'bool':
        if (typeof value === 'boolean') return value
        break
    }
    if (value instanceof ExactNumber) return convertString(value.text)
    if (typeof value === 'number' || typeof value === 'bigint') return convertString(String(value))
    return refuse(context, 'type', `${kindOf(value)} is no ${column.type}`)
  }
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
