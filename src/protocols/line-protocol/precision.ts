import { type Instant, isTimeOfRow } from '../../time/index.ts'

/** What a line's time counts. Microseconds are kept: nanoseconds are cut, towards the past. */
export type LinePrecision = 'ns' | 'us' | 'ms' | 's' | 'm' | 'h'

const words: Readonly<Record<string, LinePrecision>> = {
  n: 'ns',
  ns: 'ns',
  u: 'us',
  µ: 'us',
  us: 'us',
  ms: 'ms',
  s: 's',
  m: 'm',
  h: 'h',
}

/**
 * The precision of a request's parameter, in the words of InfluxDB 1 (n, u, ms, s, m, h) and 2 (ns, us, ms, s); ns without
 * one. Null for any other word.
 */
export function linePrecision(word: string | null | undefined): LinePrecision | null {
  if (word === undefined || word === null || word === '') return 'ns'
  return Object.hasOwn(words, word) ? words[word]! : null
}

const microsPer: Readonly<Record<Exclude<LinePrecision, 'ns'>, bigint>> = {
  us: 1n,
  ms: 1000n,
  s: 1_000_000n,
  m: 60_000_000n,
  h: 3_600_000_000n,
}

/** Null when it is outside of the times that rows can have. */
export function instantOfCount(count: number | bigint, precision: LinePrecision): Instant | null {
  const whole = BigInt(count)
  const instant = precision === 'ns' ? floorDiv(whole, 1000n) : whole * microsPer[precision]
  return isTimeOfRow(instant) ? instant : null
}

function floorDiv(value: bigint, by: bigint): bigint {
  const quotient = value / by
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient
}

/**
 * Nanoseconds since 1970 in exactly 19 digits (2001 to 2286, what senders send) without a bigint of nanoseconds: the first
 * 16 digits are the microseconds, which a double holds. Null for anything else.
 */
export function microsOfNanoDigits(bytes: Buffer, from: number, to: number): Instant | null {
  if (to - from !== 19) return null
  let micros = 0
  for (let at = from; at < to; at++) {
    const digit = bytes[at]! - 48
    if (digit < 0 || digit > 9) return null
    if (at < from + 16) micros = micros * 10 + digit
  }
  return Number.isSafeInteger(micros) ? BigInt(micros) : null
}
