import { civilFromDays, daysFromCivil, daysInMonth, floorDivide, microsPerDay } from './civil.ts'
import { showValue, TimeProblem } from './problem.ts'
import type { Instant, Interval } from './types.ts'
import { instantOfLocal, localMicros, resolveZone } from './zone.ts'

type Unit =
  | { readonly word: string; readonly micros: bigint }
  | { readonly word: string; readonly months: number }

const second: Unit = { word: 'second', micros: 1_000_000n }
const minute: Unit = { word: 'minute', micros: 60_000_000n }
const hour: Unit = { word: 'hour', micros: 3_600_000_000n }
const day: Unit = { word: 'day', micros: microsPerDay }
const week: Unit = { word: 'week', micros: 7n * microsPerDay }
const month: Unit = { word: 'month', months: 1 }
const quarter: Unit = { word: 'quarter', months: 3 }
const year: Unit = { word: 'year', months: 12 }
const millisecond: Unit = { word: 'millisecond', micros: 1000n }
const microsecond: Unit = { word: 'microsecond', micros: 1n }

const units: ReadonlyMap<string, Unit> = new Map<string, Unit>([
  ...(['us', 'µs', 'μs', 'microsecond', 'microseconds'] as const).map((w) => [w, microsecond] as const),
  ...(['ms', 'millisecond', 'milliseconds'] as const).map((w) => [w, millisecond] as const),
  ...(['s', 'sec', 'secs', 'second', 'seconds'] as const).map((w) => [w, second] as const),
  ...(['m', 'min', 'mins', 'minute', 'minutes'] as const).map((w) => [w, minute] as const),
  ...(['h', 'hr', 'hrs', 'hour', 'hours'] as const).map((w) => [w, hour] as const),
  ...(['d', 'day', 'days'] as const).map((w) => [w, day] as const),
  ...(['w', 'week', 'weeks'] as const).map((w) => [w, week] as const),
  ...(['mo', 'mon', 'mons', 'month', 'months'] as const).map((w) => [w, month] as const),
  ...(['q', 'quarter', 'quarters'] as const).map((w) => [w, quarter] as const),
  ...(['y', 'yr', 'yrs', 'year', 'years'] as const).map((w) => [w, year] as const),
])

const hint = "write a whole number and a unit, such as '15m', '1 hour', '7 days', '1 month', '500ms'"
/** A length over a century is a slip of the pen, and would overflow PostgreSQL's range soon after. */
const maxYears = 100
const maxFixed = BigInt(maxYears) * 36525n * (microsPerDay / 100n)

/**
 * A positive length of time from its text: one whole number and one unit. `m` is minutes, `mo` months. Microseconds to
 * weeks are fixed (a day is 24 h; where a zone is given, whole days follow it); months, quarters and years are
 * calendar lengths. `text` of the result is canonical and an interval that PostgreSQL reads: `15m` becomes
 * `15 minutes`, `1 quarter` becomes `3 months`.
 *
 * @example
 * parseInterval('15m') // { kind: 'fixed', micros: 900000000n, text: '15 minutes' }
 * @throws TimeProblem when the text is no such length, zero, negative, mixed or longer than 100 years.
 */
export function parseInterval(text: string): Interval {
  if (typeof text !== 'string') throw new TimeProblem(`${showValue(text)} is not an interval; ${hint}`)
  const match = /^\s*([+-]?)(\d+)(\.\d+)?\s*([a-zµμ]+)\s*$/i.exec(text)
  if (match === null) {
    const mixed = /^\s*\d+\s*[a-zµμ]+[\s,]*(and\s+)?\d/i.test(text)
    throw new TimeProblem(
      mixed
        ? `${showValue(text)} mixes units; use one, such as '90 minutes' for an hour and a half`
        : `${showValue(text)} is not an interval; ${hint}`,
    )
  }
  const [, sign, digits = '', fraction, unitText = ''] = match
  // M is refused rather than guessed: ISO 8601 and strftime use it for months and minutes both.
  const unit = unitText === 'M' ? undefined : units.get(unitText.toLowerCase())
  if (unit === undefined) {
    throw new TimeProblem(
      `${showValue(text)} has the unknown unit ${showValue(unitText)}` +
        `${unitText === 'M' ? " ('m' is minutes, 'mo' months)" : ''}; ${hint}`,
    )
  }
  if (fraction !== undefined) {
    throw new TimeProblem(`${showValue(text)} is not a whole number of ${unit.word}s; use a smaller unit`)
  }
  if (sign === '-')
    throw new TimeProblem(`${showValue(text)} is negative; an interval must be longer than zero`)
  const trimmed = digits.replace(/^0+/, '')
  if (trimmed === '')
    throw new TimeProblem(`${showValue(text)} is zero; an interval must be longer than zero`)
  const tooLong = (): TimeProblem => new TimeProblem(`${showValue(text)} is longer than ${maxYears} years`)
  if (trimmed.length > 18) throw tooLong()
  const amount = BigInt(trimmed)
  if ('micros' in unit) {
    const micros = amount * unit.micros
    if (micros > maxFixed) throw tooLong()
    return fixedInterval(micros, amount, unit.word)
  }
  if (amount * BigInt(unit.months) > BigInt(maxYears * 12)) throw tooLong()
  const months = Number(amount) * unit.months
  const word = unit.word === 'quarter' ? 'month' : unit.word
  return Object.freeze({
    kind: 'calendar',
    months,
    days: 0,
    text: plural(unit.word === 'quarter' ? months : Number(amount), word),
  })
}

function plural(amount: number | bigint, word: string): string {
  return `${amount} ${word}${BigInt(amount) === 1n ? '' : 's'}`
}

function fixedInterval(micros: bigint, amount: bigint, word: string): Interval {
  return Object.freeze({ kind: 'fixed', micros, text: plural(amount, word) })
}

const fixedUnitsDown = [week, day, hour, minute, second, millisecond, microsecond] as const

/** A fixed interval from microseconds, written in the largest unit that holds it whole. */
export function intervalFromMicros(micros: bigint): Interval {
  if (micros <= 0n) throw new TimeProblem(`${micros} µs is not longer than zero`)
  for (const unit of fixedUnitsDown) {
    if ('micros' in unit && micros % unit.micros === 0n) {
      return fixedInterval(micros, micros / unit.micros, unit.word)
    }
  }
  return fixedInterval(micros, micros, 'microsecond')
}

/** Microseconds of a mean month: 146097 days / 4800 months. */
const meanMonthMicros = (146_097n * microsPerDay) / 4800n

/** Length in microseconds; a month counts as its mean of 30.436875 days, a day as 24 h. For limits and estimates. */
export function approximateMicros(interval: Interval): bigint {
  if (interval.kind === 'fixed') return interval.micros
  return BigInt(interval.months) * meanMonthMicros + BigInt(interval.days) * microsPerDay
}

/** The shortest and the longest that the interval can be, in microseconds, wherever it lies and in any zone. */
export function boundMicros(interval: Interval): { readonly least: bigint; readonly most: bigint } {
  if (interval.kind === 'fixed') return { least: interval.micros, most: interval.micros }
  const { months, days } = interval
  // Any n months in a row hold between n*28 (n = 1) and n*31 days; the mean bounds it tighter with 3 days of slack.
  const least = Math.max(months * 28, Math.floor(months * 30.436875) - 3) + days
  const most = Math.min(months * 31, Math.ceil(months * 30.436875) + 3) + days
  return { least: BigInt(least) * microsPerDay, most: BigInt(most) * microsPerDay }
}

/**
 * The instant `times` intervals later (earlier when negative). Months keep the day of the month and are cut at its end
 * (January 31 + 1 month is the last of February), as in PostgreSQL. With a zone, months and whole days (any multiple
 * of 24 h) keep the local clock time; a local time that the clock skipped or showed twice is resolved as in
 * `parseInstant`.
 */
export function addInterval(instant: Instant, interval: Interval, zone: string | null, times = 1): Instant {
  if (times === 0) return instant
  let months = 0
  let days = 0
  if (interval.kind === 'fixed') {
    if (zone === null || interval.micros % microsPerDay !== 0n)
      return instant + interval.micros * BigInt(times)
    days = Number(interval.micros / microsPerDay) * times
  } else {
    months = interval.months * times
    days = interval.days * times
  }
  const resolved = resolveZone(zone)
  const local = localMicros(resolved, instant)
  const localDay = floorDivide(local, microsPerDay)
  const timeOfDay = local - localDay * microsPerDay
  let day = Number(localDay)
  if (months !== 0) {
    const date = civilFromDays(day)
    const index = date.year * 12 + (date.month - 1) + months
    const year = Math.floor(index / 12)
    const month = index - year * 12 + 1
    day = daysFromCivil(year, month, Math.min(date.day, daysInMonth(year, month)))
  }
  return instantOfLocal(resolved, BigInt(day + days) * microsPerDay + timeOfDay)
}

export function subtractInterval(
  instant: Instant,
  interval: Interval,
  zone: string | null,
  times = 1,
): Instant {
  return addInterval(instant, interval, zone, -times)
}
