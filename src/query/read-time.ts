import {
  assertBucketSpec,
  type BucketSpec,
  type Clock,
  formatInstant,
  type Instant,
  infinityInstant,
  minusInfinityInstant,
  parseInterval,
  parsePoint,
  type RangePoint,
  resolveZone,
  TimeProblem,
  type TimeRange,
} from '../time/index.ts'
import { fail, show } from './problem.ts'
import { everything } from './tier.ts'

/** time/ knows no paths; here its problems get theirs. */
function placed<T>(path: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof TimeProblem) return fail(path, error.problem)
    throw error
  }
}

/** ISO text with a zone, a date alone (UTC), `now`, relative text, a Date, or microseconds as bigint; `infinity` too. */
export function readInstant(value: unknown, path: string, clock: Clock): Instant {
  if (value === 'infinity' || value === infinityInstant) return infinityInstant
  if (value === '-infinity' || value === minusInfinityInstant) return minusInfinityInstant
  return placed(path, () => parsePoint(value as RangePoint, clock.now(), null))
}

/** A zone that exists, or null. */
export function readZone(zone: unknown): string | null {
  if (zone == null) return null
  if (typeof zone !== 'string') return fail('zone', `${show(zone)} is not the name of a time zone`)
  placed('zone', () => resolveZone(zone))
  return zone
}

/**
 * An end that is not given is open: rows of tomorrow are rows too. Dates, times without a zone of their own, and
 * relative days and months are those of `zone`; without one a date is UTC's, and a time without a zone is refused.
 */
export function readRange(from: unknown, to: unknown, zone: string | null, clock: Clock): TimeRange {
  const end = (value: unknown, path: string): Instant => {
    // a word is a relative time that was not understood; the forms of a moment alone would be no way out
    if (typeof value === 'string' && !/\d/.test(value) && value.trim().toLowerCase() !== 'now')
      return fail(
        path,
        `${show(value)} is not a time; write ISO 8601 with a zone, 'now', or relative: '-30 days'`,
      )
    return placed(path, () => parsePoint(value as RangePoint, clock.now(), zone))
  }
  const range = {
    from: from == null ? everything.from : end(from, 'from'),
    to: to == null ? everything.to : end(to, 'to'),
  }
  if (range.from >= range.to)
    fail(
      from == null ? 'to' : 'from',
      `the range is empty: ${formatInstant(range.from)} is not before ${formatInstant(range.to)} (to is not part of it)`,
    )
  return range
}

export function readBucket(bucket: unknown, zone: unknown): BucketSpec {
  if (typeof bucket !== 'string') return fail('bucket', `${show(bucket)} is not a length such as "1 hour"`)
  const every = placed('bucket', () => parseInterval(bucket))
  const spec: BucketSpec = { every, zone: readZone(zone) }
  placed(zone == null ? 'bucket' : 'zone', () => assertBucketSpec(spec))
  return spec
}
