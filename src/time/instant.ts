import { civilFromDays, daysFromCivil, daysInMonth, floorDivide, formatYear, microsPerDay } from './civil.ts'
import { showValue, TimeProblem } from './problem.ts'
import type { Instant } from './types.ts'
import { instantOfLocal, resolveZone } from './zone.ts'

/**
 * PostgreSQL's `infinity` and `-infinity` as instants: the ends of a signed 64-bit integer, as DuckDB and PostgreSQL
 * both keep them. They are values of nullable or free timestamptz columns, never of a time column.
 */
export const infinityInstant: Instant = 2n ** 63n - 1n
export const minusInfinityInstant: Instant = -(2n ** 63n)

/** 4714-11-24 BC, the first instant that PostgreSQL knows. */
export const minInstant: Instant = BigInt(daysFromCivil(-4713, 11, 24)) * microsPerDay
/**
 * The last microsecond of the year 294246. PostgreSQL goes on for 30 years, but those do not fit into 64-bit
 * microseconds since 1970, which is what Parquet and DuckDB keep.
 */
export const maxInstant: Instant = BigInt(daysFromCivil(294_247, 1, 1)) * microsPerDay - 1n

export function isFiniteInstant(instant: Instant): boolean {
  return instant >= minInstant && instant <= maxInstant
}

/** 4713-01-01 BC and AD 287000: what the time of a row may be at the least, and has to be less than. */
const timeColumnFrom: Instant = BigInt(daysFromCivil(-4712, 1, 1)) * microsPerDay
const timeColumnTo: Instant = BigInt(daysFromCivil(287_000, 1, 1)) * microsPerDay

/** For messages. */
export const timeColumnYears = '4713 BC to AD 286999'

/**
 * Whether a row may have this time. Not at the very ends of timestamptz: cells and buckets reach beyond the times in
 * them, and PostgreSQL's date_bin, which counts microseconds from 4714 BC, ends in AD 287564.
 */
export function isTimeOfRow(instant: Instant): boolean {
  return instant >= timeColumnFrom && instant < timeColumnTo
}

export interface ParseInstantOptions {
  /** Zone of texts that name none; without it they are refused. */
  readonly zone?: string | null
  /** What to do with digits beyond the microsecond. Default `refuse`; `truncate` drops them (towards the past). */
  readonly fraction?: 'refuse' | 'truncate'
  /** Accept `infinity` and `-infinity`. Default false. */
  readonly infinity?: boolean
}

/**
 * Microseconds since the epoch from ISO 8601 or PostgreSQL text: `2026-01-01T00:00:00Z`, `2026-01-01 01:00:00.123456+01`,
 * `2026-01-01T00:00+05:30`, `… UTC`, and dates alone where a zone is given. Up to six fractional digits are kept
 * exactly. Years 0001..9999 as they are, others as `+012345-…`, `12345-…` or with ` BC`. `24:00` is the next
 * midnight, second 60 the next minute (both as PostgreSQL).
 * A text without zone is refused, unless `zone` is given; a local time that clocks skipped is then read with the offset
 * before the change, one that was shown twice is the second one (PostgreSQL's rule).
 *
 * @example
 * parseInstant('2026-01-01T00:00:00.5Z') // 1767225600500000n
 * @throws TimeProblem that says what is wrong.
 */
export function parseInstant(text: string, options?: ParseInstantOptions): Instant {
  const result = tryParseInstant(text, options)
  if (typeof result === 'string') throw new TimeProblem(result)
  return result
}

/** As `parseInstant`, but a text that is no instant gives the problem as a string instead of throwing: for row loops. */
export function tryParseInstant(text: string, options: ParseInstantOptions = {}): Instant | string {
  const micros = readInstant(text, options)
  return typeof micros === 'number' ? BigInt(micros) : micros
}

/**
 * As `tryParseInstant`, but a number of microseconds when that is exact (years 1684..2255) and a bigint when not:
 * without the bigint, a row loop is about a third faster.
 */
export function readInstant(text: string, options: ParseInstantOptions = {}): number | bigint | string {
  if (typeof text !== 'string') return `${showValue(text)} is not a text`
  const length = text.length
  // `YYYY-MM-DDTHH:MM…`; the digits are checked by being added up and compared, not by a regular expression: 10x.
  if (
    length < 16 ||
    text.charCodeAt(4) !== dash ||
    text.charCodeAt(7) !== dash ||
    text.charCodeAt(13) !== colon
  ) {
    return readRare(text, options)
  }
  const separator = text.charCodeAt(10)
  if (separator !== letterT && separator !== space && separator !== letterT + 32)
    return readRare(text, options)
  const year = twoDigits(text, 0) * 100 + twoDigits(text, 2)
  const month = twoDigits(text, 5)
  const day = twoDigits(text, 8)
  const hour = twoDigits(text, 11)
  const minute = twoDigits(text, 14)
  // A character that is no digit makes its number NaN, and every comparison with it false.
  if (!(year >= 1 && month >= 1 && month <= 12 && day >= 1 && hour <= 23 && minute <= 59)) {
    return readRare(text, options)
  }
  if (!(day <= 28 || day <= daysInMonth(year, month))) return readRare(text, options)
  let at = 16
  let second = 0
  let micros = 0
  if (at < length && text.charCodeAt(at) === colon) {
    second = twoDigits(text, 17)
    if (!(second <= 59)) return readRare(text, options)
    at = 19
    const point = at < length ? text.charCodeAt(at) : 0
    if (point === dot) {
      at++
      const start = at
      let weight = 100_000
      for (; at < length; at++) {
        const digit = text.charCodeAt(at) - zero
        if (digit < 0 || digit > 9) break
        if (at - start < 6) {
          micros += digit * weight
          weight = weight === 1 ? 0 : weight / 10
        } else if (options.fraction !== 'truncate') return readRare(text, options)
      }
      if (at === start) return readRare(text, options)
    }
  }
  // Zone
  let offset: number
  if (at === length) return readRare(text, options)
  const sign = text.charCodeAt(at)
  if (at === length - 1 && (sign === letterZ || sign === letterZ + 32)) offset = 0
  else {
    if ((sign !== plus && sign !== dash) || at + 3 > length) return readRare(text, options)
    const hours = twoDigits(text, at + 1)
    let minutes = 0
    if (at + 3 < length) {
      const at2 = text.charCodeAt(at + 3) === colon ? at + 4 : at + 3
      if (at2 + 2 !== length) return readRare(text, options)
      minutes = twoDigits(text, at2)
    }
    if (!(hours <= 15 && minutes <= 59)) return readRare(text, options)
    offset = (sign === dash ? -60 : 60) * (hours * 60 + minutes)
  }
  const seconds = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
  if (seconds >= leastExactSecond && seconds < mostExactSecond) return seconds * 1_000_000 + micros
  return BigInt(seconds) * 1_000_000n + BigInt(micros)
}

/** 1684-… to 2255-…: seconds whose microseconds are below 2^53. */
const mostExactSecond = Math.floor(Number.MAX_SAFE_INTEGER / 1_000_000)
const leastExactSecond = -mostExactSecond
const zero = 48
const dash = 45
const colon = 58
const dot = 46
const plus = 43
const space = 32
const letterT = 84
const letterZ = 90

/** The two digits at `at`, or NaN. */
function twoDigits(text: string, at: number): number {
  const tens = text.charCodeAt(at) - zero
  const ones = text.charCodeAt(at + 1) - zero
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}

const form =
  /^([+-]\d{6}|\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?)?(?: ?(Z|UTC|GMT)| ?([+-])(\d\d)(?::?(\d\d)(?::?(\d\d))?)?)?( BC)?$/i

const hint = "write ISO 8601 with a zone, such as '2026-01-31T12:00:00Z' or '2026-01-31 13:00:00.5+01:00'"

/** Everything that is rare or wrong, with the words for what is wrong. */
function readRare(text: string, options: ParseInstantOptions): bigint | string {
  const trimmed = text.trim()
  const lower = trimmed.toLowerCase()
  if (lower === 'infinity' || lower === '+infinity' || lower === '-infinity') {
    if (options.infinity !== true) return `${showValue(text)} is not a finite time`
    return lower === '-infinity' ? minusInfinityInstant : infinityInstant
  }
  const match = form.exec(trimmed)
  if (match === null) return `${showValue(text)} is not a time; ${hint}`
  const [
    ,
    yearText = '',
    monthText,
    dayText,
    hourText,
    minuteText,
    secondText,
    fraction,
    utcWord,
    sign,
    zh,
    zm,
    zs,
    bc,
  ] = match
  const signed = yearText.startsWith('+') || yearText.startsWith('-')
  if (yearText === '-000000') return `${showValue(text)} has the year -000000; 1 BC is +000000`
  let year = Number(yearText)
  if (year === 0 && !signed) return `${showValue(text)} has the year 0000, which does not exist in PostgreSQL`
  if (bc !== undefined) {
    if (signed) return `${showValue(text)} has both a signed year and BC`
    year = 1 - year
  }
  const month = Number(monthText)
  const day = Number(dayText)
  if (month < 1 || month > 12) return `${showValue(text)} has the month ${monthText}`
  if (day < 1 || day > daysInMonth(year, month))
    return `${showValue(text)} has the day ${dayText}, which its month has not`
  const hour = Number(hourText ?? 0)
  const minute = Number(minuteText ?? 0)
  const second = Number(secondText ?? 0)
  const isMidnight24 = hour === 24 && minute === 0 && second === 0 && Number(fraction ?? 0) === 0
  if (hour > 23 && !isMidnight24) return `${showValue(text)} has the hour ${hourText}`
  if (minute > 59) return `${showValue(text)} has the minute ${minuteText}`
  if (second > 60 || (second === 60 && Number(fraction ?? 0) !== 0)) {
    return `${showValue(text)} has the second ${secondText}${fraction === undefined ? '' : `.${fraction}`}`
  }
  if (
    fraction !== undefined &&
    fraction.length > 6 &&
    options.fraction !== 'truncate' &&
    /[1-9]/.test(fraction.slice(6))
  ) {
    return `${showValue(text)} has ${fraction.length} fractional digits; microseconds (6) are kept, ask for truncation to drop the rest`
  }
  const micros = BigInt((fraction ?? '').slice(0, 6).padEnd(6, '0'))
  const local =
    BigInt(daysFromCivil(year, month, day)) * microsPerDay +
    BigInt(hour * 3600 + minute * 60 + second) * 1_000_000n +
    micros
  let instant: Instant
  if (utcWord !== undefined) instant = local
  else if (sign !== undefined) {
    const hours = Number(zh)
    const minutes = Number(zm ?? 0)
    const seconds = Number(zs ?? 0)
    if (hours > 15 || minutes > 59 || seconds > 59) return `${showValue(text)} has an offset beyond 15:59:59`
    instant = local - BigInt((sign === '-' ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds)) * 1_000_000n
  } else {
    if (options.zone === undefined || options.zone === null) {
      return `${showValue(text)} has no zone; end it with Z or an offset such as +01:00, or say which zone it is in`
    }
    instant = instantOfLocal(resolveZone(options.zone), local)
  }
  if (!isFiniteInstant(instant)) return `${showValue(text)} is outside of ${outside}`
  return instant
}

const outside = 'the years that can be kept (4714 BC to 294246)'

/** Every 10-thousandth of a day would be too many; the day part repeats from row to row and is worth keeping. */
let lastDay = Number.NaN
let lastDayText = ''

const dayMicros = Number(microsPerDay)

function pad2(value: number): string {
  return value < 10 ? `0${value}` : `${value}`
}

/**
 * ISO 8601 in UTC with as many fractional digits as needed: `2026-01-01T00:00:00Z`, `2026-01-01T00:00:00.123456Z`.
 * Years outside 0001..9999 have a sign and six digits; `infinity` and `-infinity` are those words.
 */
export function formatInstant(instant: Instant): string {
  let micros = Number(instant)
  let days: number
  // in doubles where they are exact (1684 to 2255), at a fifth of what bigints cost
  if (Number.isSafeInteger(micros)) {
    days = Math.floor(micros / dayMicros)
    micros -= days * dayMicros
  } else {
    if (instant >= infinityInstant) return 'infinity'
    if (instant <= minusInfinityInstant) return '-infinity'
    days = Number(floorDivide(instant, microsPerDay))
    micros = Number(instant - BigInt(days) * microsPerDay)
  }
  if (days !== lastDay) {
    lastDayText = formatDay(days)
    lastDay = days
  }
  const totalSeconds = Math.floor(micros / 1_000_000)
  micros -= totalSeconds * 1_000_000
  const hour = Math.floor(totalSeconds / 3600)
  const minute = Math.floor((totalSeconds - hour * 3600) / 60)
  const second = totalSeconds - hour * 3600 - minute * 60
  const head = `${lastDayText}T${pad2(hour)}:${pad2(minute)}:${pad2(second)}`
  if (micros === 0) return `${head}Z`
  let digits = String(micros).padStart(6, '0')
  let end = 6
  while (digits.charCodeAt(end - 1) === zero) end--
  if (end < 6) digits = digits.slice(0, end)
  return `${head}.${digits}Z`
}

/** `YYYY-MM-DD` of a day number (days since 1970-01-01). */
export function formatDay(days: number): string {
  const { year, month, day } = civilFromDays(days)
  return `${formatYear(year)}-${pad2(month)}-${pad2(day)}`
}

/** Exact: a Date holds whole milliseconds. */
export function instantFromDate(date: Date): Instant {
  const millis = date.getTime()
  if (Number.isNaN(millis)) throw new TimeProblem('the Date is invalid')
  return BigInt(millis) * 1000n
}

/** What stands for an instant at the border: a Date, a text with zone, or microseconds. */
export type InstantInput = Date | string | bigint

/** An instant from any of its forms. @throws TimeProblem */
export function toInstant(value: InstantInput, options?: ParseInstantOptions): Instant {
  if (typeof value === 'string') return parseInstant(value, options)
  if (value instanceof Date) return instantFromDate(value)
  if (typeof value === 'bigint') {
    if (isFiniteInstant(value)) return value
    if (options?.infinity === true && (value === infinityInstant || value === minusInfinityInstant))
      return value
    throw new TimeProblem(`${showValue(value)} microseconds are outside of ${outside}`)
  }
  throw new TimeProblem(
    `${showValue(value)} is not a time; give a Date, a text with zone, or microseconds as a bigint`,
  )
}
