import type { ResultType } from '../aggregate/index.ts'
import type { Clock } from '../time/index.ts'
import { assertWithin, type QueryLimits } from './limits.ts'
import type { FilterValue } from './nodes.ts'
import { fail, show } from './problem.ts'
import { readInstant } from './read-time.ts'
import { canonicalNumeric, parseDecimal } from './values.ts'

export interface CoerceContext {
  readonly clock: Clock
  readonly limits: QueryLimits
}

const integers: Readonly<Record<'int2' | 'int4' | 'int8', readonly [bigint, bigint]>> = {
  int2: [-32_768n, 32_767n],
  int4: [-2_147_483_648n, 2_147_483_647n],
  int8: [-9_223_372_036_854_775_808n, 9_223_372_036_854_775_807n],
}

const loneSurrogate = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const datePattern = /^(\d{4,6})-(\d{2})-(\d{2})$/

/** A value that is compared with something of `type`, in the form that nodes.ts says; TM_QUERY when it does not fit. */
export function coerceValue(
  type: ResultType,
  value: unknown,
  path: string,
  context: CoerceContext,
): FilterValue {
  switch (type) {
    case 'text':
      return coerceText(value, path, context)
    case 'uuid':
      if (typeof value === 'string' && uuidPattern.test(value)) return value.toLowerCase()
      return fail(path, `${show(value)} is not a uuid`)
    case 'bool':
      if (typeof value === 'boolean') return value
      return fail(path, `${show(value)} is not true or false`)
    case 'int2':
    case 'int4':
      return Number(coerceInteger(type, value, path))
    case 'int8':
      return coerceInteger(type, value, path)
    case 'float4':
      return Math.fround(coerceFloat(value, path))
    case 'float8':
    case 'count':
      return coerceFloat(value, path)
    case 'numeric':
      return coerceNumeric(value, path)
    case 'date':
      return coerceDate(value, path)
    case 'timestamptz':
      return readInstant(value, path, context.clock)
    case 'jsonb':
      if (typeof value === 'string') return coerceText(value, path, context)
      if (typeof value === 'boolean') return value
      if (typeof value === 'number' && Number.isFinite(value)) return value
      return fail(path, `${show(value)} is not a JSON string, number or boolean`)
    case 'text[]':
      return fail(path, 'a text[] column takes contains, or null')
    case 'histogram':
    case 'percentiles':
    case 'topK':
      return fail(path, `a list (${type}) cannot be compared`)
  }
}

export function coerceText(value: unknown, path: string, context: Pick<CoerceContext, 'limits'>): string {
  if (typeof value !== 'string') return fail(path, `${show(value)} is not text`)
  const { maxTextLength } = context.limits
  assertWithin(
    `the number of characters of ${path}`,
    value.length,
    maxTextLength,
    'compare with a shorter text (the limit is maxTextLength)',
  )
  if (value.includes('\0')) fail(path, 'PostgreSQL text cannot hold the character U+0000')
  if (loneSurrogate.test(value)) fail(path, 'the text holds half a surrogate pair, which is no character')
  return value
}

function coerceInteger(type: 'int2' | 'int4' | 'int8', value: unknown, path: string): bigint {
  let integer: bigint
  if (typeof value === 'bigint') integer = value
  else if (typeof value === 'number' && Number.isSafeInteger(value)) integer = BigInt(value)
  else if (typeof value === 'string' && /^[+-]?\d{1,30}$/.test(value)) integer = BigInt(value)
  else if (typeof value === 'number' && Number.isInteger(value))
    return fail(path, `${value} is beyond 2^53 and may have been rounded; give it as a string or bigint`)
  else return fail(path, `${show(value)} is not a whole number`)
  const [least, most] = integers[type]
  if (integer < least || integer > most) fail(path, `${integer} is outside of ${type}, ${least} to ${most}`)
  return integer
}

export function coerceFloat(value: unknown, path: string): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'string') {
    if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value)
    if (parseDecimal(value)) return Number(value)
  }
  return fail(path, `${show(value)} is not a number`)
}

export function coerceNumeric(value: unknown, path: string): string {
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number')
    return Number.isFinite(value) ? canonicalNumeric(String(value)) : String(value)
  if (typeof value === 'string') {
    if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return value
    if (value.length <= 2_000 && parseDecimal(value)) return canonicalNumeric(value)
  }
  return fail(path, `${show(value)} is not a number`)
}

function coerceDate(value: unknown, path: string): string {
  if (value === 'infinity' || value === '-infinity') return value
  const match = typeof value === 'string' ? datePattern.exec(value) : null
  if (!match) return fail(path, `${show(value)} is not a date (YYYY-MM-DD)`)
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])]
  const length = new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate()
  if (month < 1 || month > 12 || day < 1 || day > length || year < 1)
    fail(path, `${show(value)} is not a day of the calendar`)
  return value as string
}
