import { toInstant } from './instant.ts'
import { addInterval, parseInterval } from './interval.ts'
import type { Instant, TimeRange } from './types.ts'

/**
 * One end of a range: a Date, microseconds, ISO text with a zone, a date alone (`2026-01-01`: its start in the range's
 * zone, UTC when there is none), `now`, or relative to now: `-30 days`, `+1 hour`, `now - 1 month`.
 */
export type RangePoint = Date | string | bigint

export function overlaps(a: TimeRange, b: TimeRange): boolean {
  return a.from < b.to && a.to > b.from
}

/** One end of a range, given what "now" is. @throws TimeProblem */
export function parsePoint(value: RangePoint, now: Instant, zone: string | null): Instant {
  if (typeof value !== 'string') return toInstant(value)
  const text = value.trim()
  const relative = /^(?:now)?\s*(?:([+-])\s*(\d.*))?$/i.exec(text)
  // A signed year (`-000043-03-15T…`) is no interval.
  if (relative !== null && text !== '' && !/^[+-]\d{6}-/.test(text)) {
    const [, sign, interval] = relative
    if (interval === undefined) return now
    return toInstant(addInterval(now, parseInterval(interval), zone, sign === '-' ? -1 : 1))
  }
  const dateOnly = /^\d{4}-\d\d-\d\d$/.test(text)
  return toInstant(text, { zone: dateOnly ? (zone ?? 'UTC') : zone })
}
