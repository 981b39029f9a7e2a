import {
  dayOfText,
  daysFromCivil,
  daysInMonth,
  type Instant,
  infinityInstant,
  isFiniteInstant,
  isTimeOfRow,
  minusInfinityInstant,
  showValue,
  timeColumnYears,
  tryParseInstant,
} from '../time/index.ts'
import { isWellFormed } from '../util/well-formed.ts'
import type { ColumnDefinition, ColumnType } from './definition.ts'

/**
 * Values inside: timestamptz microseconds as bigint (`infinityInstant` for infinity), date `YYYY-MM-DD`, int8 bigint,
 * int2/int4/float4/float8 number, numeric decimal text without exponent (also NaN, Infinity, -Infinity), uuid lower-case
 * text, jsonb its JSON text, text[] an array. undefined: left out, PostgreSQL evaluates the column's SQL default.
 */
export type CanonicalValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | readonly (string | null)[]

/** Returned, not thrown: a bad value in an import of millions of rows is nothing exceptional. */
export class ValueProblem {
  readonly problem: string
  constructor(problem: string) {
    this.problem = problem
  }
}

export type Coercer = (value: unknown) => CanonicalValue | ValueProblem

const wrong = (what: string, value: unknown): ValueProblem =>
  new ValueProblem(`must be ${what}, not ${describe(value)}`)

function describe(value: unknown): string {
  if (typeof value === 'string') return `the text ${showValue(value)}`
  if (typeof value === 'bigint') return `the bigint ${showValue(value)}`
  return showValue(value)
}

/** The text is one that PostgreSQL can keep: no NUL, no half of a surrogate pair. */
function textProblem(text: string): ValueProblem | null {
  if (text.includes('\0')) return new ValueProblem('holds a NUL character, which PostgreSQL cannot keep')
  if (!isWellFormed(text)) return new ValueProblem('holds half of a surrogate pair, which is no Unicode text')
  return null
}

function coerceText(value: unknown): CanonicalValue | ValueProblem {
  if (typeof value !== 'string') return wrong('a text', value)
  return textProblem(value) ?? value
}

function integerCoercer(type: string, least: number, most: number): Coercer {
  return (value) => {
    if (typeof value === 'number') {
      if (Number.isInteger(value) && value >= least && value <= most) return value === 0 ? 0 : value
      if (!Number.isInteger(value)) return wrong('a whole number', value)
      return new ValueProblem(`${value} is outside of ${type}: ${least} to ${most}`)
    }
    return wrong('a number', value)
  }
}

const leastInt8 = -(2n ** 63n)
const mostInt8 = 2n ** 63n - 1n

function coerceInt8(value: unknown): CanonicalValue | ValueProblem {
  let integer: bigint
  if (typeof value === 'bigint') integer = value
  else if (typeof value === 'number') {
    if (!Number.isInteger(value)) return wrong('a whole number', value)
    if (!Number.isSafeInteger(value)) {
      return new ValueProblem(
        `${value} is beyond 2^53 and may have been rounded; give a bigint or a decimal text`,
      )
    }
    return BigInt(value)
  } else if (typeof value === 'string') {
    if (!/^[+-]?\d{1,40}$/.test(value)) return wrong('a whole number', value)
    integer = BigInt(value.startsWith('+') ? value.slice(1) : value)
  } else return wrong('a bigint, number or decimal text', value)
  if (integer < leastInt8 || integer > mostInt8) {
    return new ValueProblem(`${showValue(integer)} is outside of int8: ${leastInt8} to ${mostInt8}`)
  }
  return integer
}

/** JSON has no words for these three, so they travel as texts. */
function floatOfWord(value: unknown): number | null {
  return value === 'NaN' || value === 'Infinity' || value === '-Infinity' ? Number(value) : null
}

function coerceFloat8(value: unknown): CanonicalValue | ValueProblem {
  return typeof value === 'number' ? value : (floatOfWord(value) ?? wrong('a number', value))
}

/** The nearest float4; finite numbers that would become infinite are refused, as PostgreSQL does. */
function coerceFloat4(value: unknown): CanonicalValue | ValueProblem {
  if (typeof value !== 'number') return floatOfWord(value) ?? wrong('a number', value)
  const rounded = Math.fround(value)
  if (!Number.isFinite(rounded) && Number.isFinite(value)) {
    return new ValueProblem(`${value} is outside of float4: about ±3.4e38`)
  }
  if (rounded === 0 && value !== 0)
    return new ValueProblem(`${value} is too small for float4 and would become 0`)
  return rounded
}

function coerceBool(value: unknown): CanonicalValue | ValueProblem {
  return typeof value === 'boolean' ? value : wrong('true or false', value)
}

const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
function coerceUuid(value: unknown): CanonicalValue | ValueProblem {
  if (typeof value === 'string' && uuidForm.test(value)) return value.toLowerCase()
  return wrong('a UUID such as 123e4567-e89b-12d3-a456-426614174000', value)
}

function coerceDate(value: unknown): CanonicalValue | ValueProblem {
  if (typeof value !== 'string') return wrong("a date as text, 'YYYY-MM-DD'", value)
  if (value === 'infinity' || value === '-infinity') return value
  const match = dateForm.exec(value)
  if (match === null) return wrong("a date, 'YYYY-MM-DD'", value)
  const yearText = match[1] as string
  const month = Number(match[2])
  const day = Number(match[3])
  const isBc = match[4] !== undefined
  const year = isBc ? 1 - Number(yearText) : Number(yearText)
  if (Number(yearText) < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) {
    return new ValueProblem(`${showValue(value)} is no day of the calendar`)
  }
  if (yearText.length === 4 && !isBc) return value
  const days = daysFromCivil(year, month, day)
  if (days < leastDay || days > mostDay) {
    return new ValueProblem(`${showValue(value)} is outside of date: 4714-11-24 BC to 5874897-12-31`)
  }
  return `${String(Number(yearText)).padStart(4, '0')}${value.slice(yearText.length)}`
}

/** Beyond the four-digit years as PostgreSQL writes them: `12345-01-01`, `0044-03-15 BC`. */
const dateForm = /^(\d{4,7})-(\d\d)-(\d\d)( BC)?$/
const leastDay = daysFromCivil(-4713, 11, 24)
const mostDay = daysFromCivil(5_874_897, 12, 31)

const timestampWords = 'a Date, a text with zone such as 2026-01-31T12:00:00Z, or microseconds as a bigint'

function timestampCoercer(isTime: boolean): Coercer {
  const options = Object.freeze({ infinity: !isTime })
  const check = isTime ? checkTime : checkInstant
  return (value) => {
    if (typeof value === 'string') {
      const result = tryParseInstant(value, options)
      if (typeof result === 'string') return new ValueProblem(result)
      return isTime ? checkTime(result) : result
    }
    if (value instanceof Date) {
      const millis = value.getTime()
      return Number.isNaN(millis) ? wrong(timestampWords, value) : check(BigInt(millis) * 1000n)
    }
    if (typeof value === 'bigint') return check(value)
    return wrong(timestampWords, value)
  }
}

/** The time column of a hypertable. */
function checkTime(instant: Instant): Instant | ValueProblem {
  if (isTimeOfRow(instant)) return instant
  return new ValueProblem(`must not be outside of the years ${timeColumnYears}`)
}

function checkInstant(instant: Instant): Instant | ValueProblem {
  if (isFiniteInstant(instant)) return instant
  if (instant === infinityInstant || instant === minusInfinityInstant) return instant
  return new ValueProblem(`${showValue(instant)} microseconds are outside of the years 4714 BC to 294246`)
}

/** PostgreSQL's numeric: at most this many digits before and behind the point. */
const maxNumericWhole = 131_072
const maxNumericScale = 16_383

function numericCoercer(precision: number | null, scale: number | null): Coercer {
  return (value) => {
    let text: string
    if (typeof value === 'string') text = value
    else if (typeof value === 'bigint') text = value.toString()
    else if (typeof value === 'number') text = Object.is(value, -0) ? '0' : String(value)
    else return wrong('a decimal text, number or bigint', value)
    const result = normalizeNumeric(text)
    if (typeof result !== 'string') return result
    if (precision === null || result === 'NaN') return result
    if (result === 'Infinity' || result === '-Infinity') {
      return new ValueProblem(`${result} does not fit numeric(${precision}, ${scale})`)
    }
    return fitNumeric(result, precision, scale ?? 0)
  }
}

const numericForm = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,6}))?$/i

/** Decimal text without exponent and without needless leading zeros; the scale is kept as written. */
function normalizeNumeric(text: string): string | ValueProblem {
  // Most values are already in form, and short.
  if (text.length < 16 && /^(0|-?[1-9]\d*)$/.test(text)) return text
  const match = numericForm.exec(text)
  if (match === null) {
    const word = text.toLowerCase()
    if (word === 'nan') return 'NaN'
    if (word === 'infinity' || word === '+infinity' || word === 'inf') return 'Infinity'
    if (word === '-infinity' || word === '-inf') return '-Infinity'
    return wrong('a decimal number', text)
  }
  const [, sign = '', wholeText = '', fractionText = '', exponentText] = match
  if (wholeText === '' && fractionText === '') return wrong('a decimal number', text)
  let whole = wholeText
  let fraction = fractionText
  const exponent = Number(exponentText ?? 0)
  if (Math.abs(exponent) > maxNumericWhole)
    return new ValueProblem(`${showValue(text)} is outside of numeric`)
  if (exponent > 0) {
    whole += fraction.slice(0, exponent).padEnd(exponent, '0')
    fraction = fraction.slice(exponent)
  } else if (exponent < 0) {
    const shifted = whole.padStart(-exponent, '0')
    fraction = shifted.slice(shifted.length + exponent) + fraction
    whole = shifted.slice(0, shifted.length + exponent)
  }
  whole = whole.replace(/^0+/, '')
  if (whole.length > maxNumericWhole || fraction.length > maxNumericScale) {
    return new ValueProblem(
      `${showValue(text)} has more digits than numeric keeps (${maxNumericWhole} before and ${maxNumericScale} behind the point)`,
    )
  }
  const isZero = whole === '' && /^0*$/.test(fraction)
  const head = `${sign === '-' && !isZero ? '-' : ''}${whole === '' ? '0' : whole}`
  return fraction === '' ? head : `${head}.${fraction}`
}

/** Digits that the declared scale would round away are refused: nothing is changed silently. */
function fitNumeric(text: string, precision: number, scale: number): string | ValueProblem {
  const point = text.indexOf('.')
  const whole = (point < 0 ? text : text.slice(0, point)).replace('-', '')
  const fraction = point < 0 ? '' : text.slice(point + 1)
  const used = fraction.replace(/0+$/, '')
  if (used.length > scale) {
    return new ValueProblem(
      `${showValue(text)} has ${used.length} digits behind the point, numeric(${precision}, ${scale}) keeps ${scale}`,
    )
  }
  const digits = whole === '0' ? 0 : whole.length
  if (digits > precision - scale) {
    return new ValueProblem(
      `${showValue(text)} has ${digits} digits before the point, numeric(${precision}, ${scale}) keeps ${precision - scale}`,
    )
  }
  const sign = text.startsWith('-') ? '-' : ''
  return scale === 0 ? `${sign}${whole}` : `${sign}${whole}.${used.padEnd(scale, '0')}`
}

/** JSON nests at most this deep: PostgreSQL's parser gives up at its stack limit, some thousands deeper. */
const maxJsonDepth = 1000

function coerceJson(value: unknown): CanonicalValue | ValueProblem {
  const problem = jsonProblem(value, 0)
  if (problem !== null) return new ValueProblem(problem)
  return JSON.stringify(value)
}

/** What makes a value no JSON that PostgreSQL can keep, or null. JSON.stringify alone would drop or change it silently. */
function jsonProblem(value: unknown, depth: number): string | null {
  switch (typeof value) {
    case 'string':
      return textProblem(value)?.problem ?? null
    case 'boolean':
      return null
    case 'number':
      return Number.isFinite(value) ? null : `holds ${value}, which JSON has not`
    case 'object':
      break
    default:
      return `holds ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}, which JSON has not`
  }
  if (value === null) return null
  if (depth >= maxJsonDepth) return `nests deeper than ${maxJsonDepth} levels, or holds itself`
  if (Array.isArray(value)) {
    // Not for…of alone: holes are undefined too.
    for (let i = 0; i < value.length; i++) {
      const problem = jsonProblem(value[i], depth + 1)
      if (problem !== null) return problem
    }
    return null
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    // Another realm's plain object is one too; a Date, Map or class instance is not.
    if (
      Object.getPrototypeOf(prototype) !== null ||
      typeof (value as { toJSON?: unknown }).toJSON === 'function'
    ) {
      return `holds an instance of ${prototype.constructor?.name ?? 'a class'}; give plain objects, arrays, texts and numbers`
    }
  }
  for (const key of Object.keys(value)) {
    const keyProblem = textProblem(key)
    if (keyProblem !== null) return `a key ${keyProblem.problem}`
    const problem = jsonProblem((value as Record<string, unknown>)[key], depth + 1)
    if (problem !== null) return problem
  }
  return null
}

function coerceTextArray(value: unknown): CanonicalValue | ValueProblem {
  if (!Array.isArray(value)) return wrong('an array of texts', value)
  for (let i = 0; i < value.length; i++) {
    const element = value[i]
    if (element === null) continue
    if (typeof element !== 'string')
      return new ValueProblem(`element ${i} must be a text or null, not ${describe(element)}`)
    const problem = textProblem(element)
    if (problem !== null) return new ValueProblem(`element ${i} ${problem.problem}`)
  }
  return value
}

const coerceInt2 = integerCoercer('int2', -32_768, 32_767)
const coerceInt4 = integerCoercer('int4', -2_147_483_648, 2_147_483_647)

type TypeInfo = Pick<ColumnDefinition, 'type' | 'precision' | 'scale'>

const coercers: Readonly<Record<ColumnType, (column: TypeInfo, isTime: boolean) => Coercer>> = {
  timestamptz: (_, isTime) => timestampCoercer(isTime),
  date: () => coerceDate,
  text: () => coerceText,
  uuid: () => coerceUuid,
  bool: () => coerceBool,
  int2: () => coerceInt2,
  int4: () => coerceInt4,
  int8: () => coerceInt8,
  float4: () => coerceFloat4,
  float8: () => coerceFloat8,
  numeric: ({ precision, scale }) => numericCoercer(precision, scale),
  jsonb: () => coerceJson,
  'text[]': () => coerceTextArray,
}

export interface CoercerOptions {
  /** The time column of a hypertable must be finite. */
  readonly isTime?: boolean
}

/**
 * A function from a value that is not null to its canonical form, or the problem. Nulls and left-out values are the
 * caller's: what they mean depends on where the value is used.
 *
 * @example
 * const coerce = createCoercer({ type: 'int4', precision: null, scale: null })
 * coerce(5) // 5
 * coerce('5') // ValueProblem { problem: 'must be a number, not the text "5"' }
 */
export function createCoercer(column: TypeInfo, options: CoercerOptions = {}): Coercer {
  return coercers[column.type](column, options.isTime === true)
}

/** Days since 1970-01-01 of a canonical date; null for infinity and -infinity. */
export function dayOfDate(date: string): number | null {
  return date === 'infinity' || date === '-infinity' ? null : dayOfText(date)
}
