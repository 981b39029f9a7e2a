import type { ColumnDefinition, ColumnType } from '../schema/index.ts'
import { type CanonicalValue, createCoercer, ValueProblem } from '../schema/index.ts'
import { microsPerDay, textOfDay } from '../time/index.ts'
import { isWellFormed } from '../util/well-formed.ts'
import { ExactNumber, parseExactJson, toJsonText } from './ndjson-reader.ts'
import type { DeadReason } from './reasons.ts'
import type { TimeReader } from './time-format.ts'

/** What a converter returns for a value that does not fit; `problem` of its context says why. */
export const refused: unique symbol = Symbol('refused')

/** What was done to a column's values on the way in: said in the report, so that nothing is changed silently. */
export interface ColumnNotes {
  /** Words that were read as null, with how often. */
  nullWords: Record<string, number>
  /** Whole numbers that were written with a fraction of zeros or an exponent: `13085.0`, `1e3`. */
  wholeFractions: number
  /** Numbers in scientific notation that were written out: `6.8e-7`. */
  scientific: number
  /** Times with more than six digits of a second's fraction, and those of them that lost digits other than zero. */
  longFractions: number
  truncated: number
}

export interface ConvertContext {
  /** Why the last value was refused. */
  reason: DeadReason
  message: string
  notes: ColumnNotes
}

/** From what a reader gives to the canonical form of the column's type, or `refused`. */
export type Convert = (value: unknown) => CanonicalValue | typeof refused

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

const intRanges = {
  int2: [-32768n, 32767n],
  int4: [-2147483648n, 2147483647n],
  int8: [-9223372036854775808n, 9223372036854775807n],
} as const
const decimalForm = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?$/
const uuidForm = /^\{?[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\}?$/i
const trueWords = new Set(['true', 't', 'yes', 'y', 'on', '1'])
const falseWords = new Set(['false', 'f', 'no', 'n', 'off', '0'])

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
  const convertText = createTextConvert(column, options, context)
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

function createTextConvert(
  column: ColumnDefinition,
  options: ConvertOptions,
  context: ConvertContext,
): (text: string) => CanonicalValue | typeof refused {
  const type: ColumnType = column.type
  const notes = context.notes
  switch (type) {
    case 'text':
      return (text) => {
        if (text.includes('\0')) return refuseNul(context)
        // only JSON can bring one: its escapes can say what UTF-8 cannot
        if (!isWellFormed(text)) return refuse(context, 'encoding', 'it holds half of a surrogate pair')
        return text
      }
    case 'float8':
      return (text) => {
        const value = toFloat(text)
        return value === null ? refuse(context, 'type', 'it is no number') : value
      }
    case 'float4':
      return (text) => {
        const value = toFloat(text)
        if (value === null) return refuse(context, 'type', 'it is no number')
        if (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
          return refuse(context, 'range', 'it is outside of float4: about ±3.4e38')
        return Math.fround(value)
      }
    case 'int2':
    case 'int4': {
      const min = Number(intRanges[type][0])
      const max = Number(intRanges[type][1])
      return (text) => {
        const value = toSmallInt(text)
        if (value !== null)
          return value >= min && value <= max
            ? value
            : refuse(context, 'range', `it is outside ${min}..${max}`)
        const whole = toWhole(text, notes)
        if (whole === null) return refuse(context, 'type', `it is no ${type} (a whole number)`)
        return whole >= intRanges[type][0] && whole <= intRanges[type][1]
          ? Number(whole)
          : refuse(context, 'range', `it is outside ${min}..${max}`)
      }
    }
    case 'int8':
      return (text) => {
        const value = toSmallInt(text)
        if (value !== null) return BigInt(value)
        const whole = toWhole(text, notes)
        if (whole === null) return refuse(context, 'type', 'it is no int8 (a whole number)')
        return whole >= intRanges.int8[0] && whole <= intRanges.int8[1]
          ? whole
          : refuse(context, 'range', `it is outside ${intRanges.int8[0]}..${intRanges.int8[1]}`)
      }
    case 'numeric': {
      const coerce = createCoercer(column)
      return (text) => {
        const value = coerce(text)
        if (value instanceof ValueProblem)
          return refuse(context, decimalForm.test(text) ? 'range' : 'type', value.problem)
        if (/[eE]/.test(text) && decimalForm.test(text)) notes.scientific++
        return value
      }
    }
    case 'bool':
      return (text) => {
        const word = text.toLowerCase()
        if (trueWords.has(word)) return true
        if (falseWords.has(word)) return false
        return refuse(
          context,
          'type',
          'it is no truth value (true, false, t, f, yes, no, y, n, on, off, 1, 0)',
        )
      }
    case 'uuid':
      return (text) => {
        if (!uuidForm.test(text)) return refuse(context, 'type', 'it is no uuid')
        const hex = text.replace(/[{}-]/g, '').toLowerCase()
        return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
      }
    case 'timestamptz': {
      const time = options.time!
      return (text) => {
        const micros = time.read(text)
        if (micros !== null) return micros
        if (time.problem === 'time_zone')
          return refuse(context, 'time_zone', 'the time has no zone; give timeZone (--time-zone UTC)')
        if (time.problem === 'range')
          return refuse(context, 'range', 'it is outside what timestamptz can hold')
        return refuse(context, 'time', `it is no time of the format ${time.format}`)
      }
    }
    case 'date': {
      const time = options.time!
      return (text) => {
        const micros = time.readLocal(text)
        if (micros === null) return refuse(context, 'time', `it is no date of the format ${time.format}`)
        if (micros % microsPerDay !== 0n) return refuse(context, 'type', 'it is a date with a time of day')
        return textOfDay(Number(micros / microsPerDay))
      }
    }
    case 'jsonb':
      return (text) => {
        let value: unknown
        try {
          value = parseExactJson(text)
        } catch {
          return refuse(context, 'type', 'it is no JSON')
        }
        return toStoredJson(value, context)
      }
    case 'text[]':
      return (text) => {
        const items = text.startsWith('[') ? parseJsonArray(text) : parseArrayLiteral(text)
        return items === null
          ? refuse(context, 'type', 'it is no array: ["a","b"] or {a,b}')
          : convertArray(items, context)
      }
  }
}

function refuse(context: ConvertContext, reason: DeadReason, message: string): typeof refused {
  context.reason = reason
  context.message = message
  return refused
}

function refuseNul(context: ConvertContext): typeof refused {
  return refuse(context, 'nul', 'it holds the character NUL, which PostgreSQL cannot store')
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

function toStoredJson(value: unknown, context: ConvertContext): string | typeof refused {
  const text = toJsonText(value)
  // JSON.stringify writes both as escapes, and a backslash before them is itself escaped
  if (text.includes('\\u') && /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(text))
    return text.includes('\\u0000')
      ? refuseNul(context)
      : refuse(context, 'encoding', 'it holds half of a surrogate pair')
  return text
}

export const powersOfTen = [
  1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
]

/**
 * The nearest double, or null. Up to 15 digits are read as integer / power of ten: both are exact doubles, so the
 * division is rounded once and gives what Number() gives (Clinger 1990), in a third of the time.
 */
export function toFloat(text: string): number | null {
  const length = text.length
  let mantissa = 0
  let digits = 0
  let scale = -1
  let at = text.charCodeAt(0) === 45 ? 1 : 0
  for (; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 48 && code <= 57) {
      mantissa = mantissa * 10 + (code - 48)
      digits++
    } else if (code === 46 && scale === -1) scale = digits
    else break
  }
  if (at === length && digits > 0 && digits <= 15) {
    const value = scale === -1 ? mantissa : mantissa / powersOfTen[digits - scale]!
    return text.charCodeAt(0) === 45 ? -value : value
  }
  if (decimalForm.test(text)) return Number(text)
  const special = specialNumber(text)
  return special === null ? null : Number(special)
}

function specialNumber(text: string): 'NaN' | 'Infinity' | '-Infinity' | null {
  switch (text.toLowerCase()) {
    case 'nan':
      return 'NaN'
    case 'inf':
    case '+inf':
    case 'infinity':
    case '+infinity':
      return 'Infinity'
    case '-inf':
    case '-infinity':
      return '-Infinity'
    default:
      return null
  }
}

/** Plain digits that a double holds exactly; null when the text is anything else. */
function toSmallInt(text: string): number | null {
  const length = text.length
  if (length === 0 || length > 15) return null
  const isNegative = text.charCodeAt(0) === 45
  let value = 0
  let at = isNegative ? 1 : 0
  if (at === length) return null
  for (; at < length; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return null
    value = value * 10 + digit
  }
  return isNegative && value !== 0 ? -value : value
}

/** A whole number however it is written: with a sign, a fraction of zeros, an exponent. */
function toWhole(text: string, notes: ColumnNotes): bigint | null {
  if (/^[+-]?\d{1,40}$/.test(text)) return BigInt(text.startsWith('+') ? text.slice(1) : text)
  const match = /^([+-]?)(\d{1,40})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text)
  if (!match) return null
  const exponent = Number(match[4] ?? 0)
  const digits = match[2]! + (match[3] ?? '')
  const wholeLength = match[2]!.length + exponent
  if (wholeLength > 60) return null
  if (/[1-9]/.test(digits.slice(Math.max(0, wholeLength)))) return null
  notes.wholeFractions++
  const whole = BigInt(digits.slice(0, Math.max(0, wholeLength)).padEnd(Math.max(1, wholeLength), '0'))
  return match[1] === '-' ? -whole : whole
}

function convertArray(
  items: readonly unknown[],
  context: ConvertContext,
): readonly (string | null)[] | typeof refused {
  const out: (string | null)[] = []
  for (const item of items) {
    if (item === null) out.push(null)
    else if (typeof item === 'object' && !(item instanceof ExactNumber))
      return refuse(context, 'type', 'its elements are no texts')
    else {
      const text = item instanceof ExactNumber ? item.text : String(item)
      if (text.includes('\0')) return refuseNul(context)
      if (!isWellFormed(text)) return refuse(context, 'encoding', 'it holds half of a surrogate pair')
      out.push(text)
    }
  }
  return out
}

function parseJsonArray(text: string): readonly unknown[] | null {
  try {
    const value: unknown = parseExactJson(text)
    return Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

/** PostgreSQL's `{a,"b c",NULL}`, one dimension. */
function parseArrayLiteral(text: string): readonly (string | null)[] | null {
  const body = /^\{([\s\S]*)\}$/.exec(text)?.[1]
  if (body === undefined) return null
  if (body.trim() === '') return []
  const items: (string | null)[] = []
  const item = /\s*(?:"((?:[^"\\]|\\[\s\S])*)"|([^",{}\\]+?))\s*(,|$)/y
  while (true) {
    const match = item.exec(body)
    if (!match) return null
    if (match[1] !== undefined) items.push(match[1].replace(/\\([\s\S])/g, '$1'))
    else items.push(match[2]!.toUpperCase() === 'NULL' ? null : match[2]!)
    if (match[3] === '') return items
  }
}
