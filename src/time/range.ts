import { toInstant } from './instant.ts'
import { addInterval, parseInterval } from './interval.ts'
import { showValue, TimeProblem } from './problem.ts'
import type { Clock, Instant, TimeRange } from './types.ts'
import { resolveZone } from './zone.ts'

/**
 * One end of a range: a Date, microseconds, ISO text with a zone, a date alone (`2026-01-01`: its start in the range's
 * zone, UTC when there is none), `now`, or relative to now: `-30 days`, `+1 hour`, `now - 1 month`.
 */
export type RangePoint = Date | string | bigint

export interface RangeInput {
  readonly from: RangePoint
  /** Default: now. */
  readonly to?: RangePoint | null
}

export interface ParseRangeOptions {
  /** Zone of dates and local times without one, and of relative days and months. Default null: UTC. */
  readonly zone?: string | null
}

export function overlaps(a: TimeRange, b: TimeRange): boolean {
  return a.from < b.to && a.to > b.from
}

/**
 * The half-open range `[from, to)`; both ends see the same "now".
 *
 * @example
 * parseRange({ from: '-30 days' }, systemClock)
 * @throws TimeProblem with `part` set to the end that is wrong.
 */
export function parseRange(input: RangeInput, clock: Clock, options: ParseRangeOptions = {}): TimeRange {
  const now = clock.now()
  const zone = options.zone ?? null
  resolveZone(zone)
  const from = point(input.from, 'from', now, zone)
  const to = input.to === undefined || input.to === null ? now : point(input.to, 'to', now, zone)
  if (from >= to) {
    throw new TimeProblem(
      `from ${showValue(input.from)} is not before to ${input.to === undefined || input.to === null ? 'now' : showValue(input.to)}`,
      'from',
    )
  }
  return { from, to }
}

function point(value: RangePoint, part: 'from' | 'to', now: Instant, zone: string | null): Instant {
  try {
    return parsePoint(value, now, zone)
  } catch (error) {
    if (error instanceof TimeProblem) throw new TimeProblem(error.problem, part)
    throw error
  }
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
