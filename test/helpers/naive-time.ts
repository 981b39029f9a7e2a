import type { BucketSpec, Instant, TimeRange } from '../../src/time/index.ts'

/**
 * Buckets in the most obvious way: the only source of zones is Intl, and what has to be found is searched for, minute
 * by minute. The rule is docs/design/buckets.md; none of the product's code is used.
 */
const micros = { minute: 60_000_000n, day: 86_400_000_000n }
/** Monday 2000-01-03. */
const origin = 946_857_600_000_000n

export function floorDiv(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient
}

const formats = new Map<string, Intl.DateTimeFormat>()
const offsets = new Map<string, bigint>()

/** Local time minus UTC, in microseconds. Offsets change at whole minutes in the years that tests use (1972 and later). */
function offsetAt(zone: string, instant: Instant): bigint {
  const minute = floorDiv(instant, micros.minute)
  const key = `${zone}/${minute}`
  const known = offsets.get(key)
  if (known !== undefined) return known
  let format = formats.get(zone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(zone, format)
  }
  const date = new Date(Number(minute) * 60_000)
  const part = Object.fromEntries(format.formatToParts(date).map(({ type, value }) => [type, Number(value)]))
  const local = Date.UTC(
    part['year'] as number,
    (part['month'] as number) - 1,
    part['day'],
    part['hour'],
    part['minute'],
    part['second'],
  )
  const offset = BigInt(local - date.getTime()) * 1000n
  if (offsets.size > 500_000) offsets.clear()
  offsets.set(key, offset)
  return offset
}

/** What a clock in the zone shows, counted as if it were UTC. */
const localOf = (zone: string, instant: Instant): bigint => instant + offsetAt(zone, instant)

/** Which bucket of whole local months or days a local time lies in, and where that bucket begins. */
interface Dates {
  readonly index: (local: bigint) => bigint
  readonly start: (index: bigint) => bigint
}

function datesOf({ every }: BucketSpec): Dates | null {
  if (every.kind === 'calendar' && every.months > 0) {
    const months = BigInt(every.months)
    return {
      index: (local) => {
        const date = new Date(Number(floorDiv(local, micros.day)) * 86_400_000)
        return floorDiv(BigInt((date.getUTCFullYear() - 2000) * 12 + date.getUTCMonth()), months)
      },
      start: (index) => BigInt(Date.UTC(2000, Number(index * months), 1)) * 1000n,
    }
  }
  const width = every.kind === 'calendar' ? BigInt(every.days) * micros.day : every.micros
  if (width % micros.day !== 0n) return null
  return { index: (local) => floorDiv(local - origin, width), start: (index) => origin + index * width }
}

const reaches = new Map<string, Instant>()

/** The first instant at which a clock in the zone shows `local` or later. */
function firstReach(zone: string, local: bigint): Instant {
  const key = `${zone}/${local}`
  const known = reaches.get(key)
  if (known !== undefined) return known
  let instant = local - 26n * 60n * micros.minute
  while (localOf(zone, instant + 15n * micros.minute) < local) instant += 15n * micros.minute
  while (localOf(zone, instant) < local) instant += micros.minute
  if (reaches.size > 100_000) reaches.clear()
  reaches.set(key, instant)
  return instant
}

const starts = new Map<string, Map<Instant, Instant>>()
let knownStarts = 0

/** Start of the bucket that holds the instant. In zones it is searched for; the same instants come again and again. */
export function naiveBucketStart(spec: BucketSpec, instant: Instant): Instant {
  const { every, zone } = spec
  if (zone === null || zone === 'UTC') return findBucketStart(spec, instant)
  const key = `${zone} ${every.kind === 'fixed' ? every.micros : `${every.months}/${every.days}`}`
  if (knownStarts > 200_000) {
    starts.clear()
    knownStarts = 0
  }
  let known = starts.get(key)
  if (known === undefined) {
    known = new Map()
    starts.set(key, known)
  }
  let start = known.get(instant)
  if (start === undefined) {
    start = findBucketStart(spec, instant)
    known.set(instant, start)
    knownStarts += 1
  }
  return start
}

function findBucketStart(spec: BucketSpec, instant: Instant): Instant {
  const { every, zone } = spec
  const dates = datesOf(spec)
  if (zone === null || zone === 'UTC') {
    if (dates) return dates.start(dates.index(instant))
    const width = (every as { micros: bigint }).micros
    return origin + floorDiv(instant - origin, width) * width
  }
  if (dates) {
    let index = dates.index(localOf(zone, instant))
    // Clocks set back over midnight do not enter the old date again.
    while (firstReach(zone, dates.start(index + 1n)) <= instant) index++
    return firstReach(zone, dates.start(index))
  }
  return wallClockStart(zone, (every as { micros: bigint }).micros, instant)
}

/** Buckets within the day follow the wall clock; a change of the clock is a border when it passes or meets one. */
function wallClockStart(zone: string, width: bigint, instant: Instant): Instant {
  let at = instant
  for (;;) {
    const local = localOf(zone, at)
    const border = at - (local - floorDiv(local, width) * width)
    const change = lastChange(zone, border, at)
    if (change === null) return border
    const after = localOf(zone, change)
    const before = change + offsetAt(zone, change - 1n)
    const passed = before < after && floorDiv(after, width) * width >= before
    if (after === floorDiv(after, width) * width || passed) return change
    at = change - 1n
  }
}

/** The newest change of the clock in `(from, to]`, or null. */
function lastChange(zone: string, from: Instant, to: Instant): Instant | null {
  let minute = floorDiv(to, micros.minute) * micros.minute
  for (; minute > from; minute -= micros.minute)
    if (offsetAt(zone, minute) !== offsetAt(zone, minute - 1n)) return minute
  return null
}

/** Start of the bucket after the one that begins at `start`. */
function naiveNextBucket(spec: BucketSpec, start: Instant): Instant {
  const { every } = spec
  const most = every.kind === 'fixed' ? every.micros : BigInt(every.months * 31 + every.days) * micros.day
  if (spec.zone === null && every.kind === 'fixed') return start + most
  // A bucket can be longer than its nominal width by an hour or two where clocks are set back; by days never.
  const step = every.kind === 'fixed' && every.micros < micros.minute ? every.micros : micros.minute
  let low = start
  let high = start + most + 2n * micros.day
  // The bucket of an instant never falls with time, so its end can be searched by halves.
  while (high - low > step) {
    const middle = low + ((high - low) / 2n / step) * step
    if (middle === low) break
    if (naiveBucketStart(spec, middle) === start) low = middle
    else high = middle
  }
  return naiveBucketStart(spec, high)
}

/** Starts of all buckets that share an instant with the range. */
export function naiveBuckets(spec: BucketSpec, range: TimeRange): Instant[] {
  const starts: Instant[] = []
  let start = naiveBucketStart(spec, range.from)
  while (start < range.to) {
    starts.push(start)
    start = naiveNextBucket(spec, start)
  }
  return starts
}

/** Microseconds of any form in which a row may hold a time. */
export function naiveInstant(value: unknown): Instant {
  if (typeof value === 'bigint') return value
  if (value instanceof Date) return BigInt(value.getTime()) * 1000n
  const text = String(value)
  if (text === 'infinity') return 2n ** 63n - 1n
  if (text === '-infinity') return -(2n ** 63n)
  const match = /^(.*?)(?:\.(\d{1,6}))?(Z|[+-]\d\d:?\d\d)$/.exec(text)
  if (!match) throw new Error(`the oracle cannot read the time ${text}`)
  const millis = Date.parse(`${match[1]}${match[3]}`)
  if (Number.isNaN(millis)) throw new Error(`the oracle cannot read the time ${text}`)
  return BigInt(millis) * 1000n + BigInt((match[2] ?? '').padEnd(6, '0'))
}

/** ISO text in UTC with as many fractional digits as needed. */
export function naiveIso(instant: Instant): string {
  if (instant === 2n ** 63n - 1n) return 'infinity'
  if (instant === -(2n ** 63n)) return '-infinity'
  const seconds = floorDiv(instant, 1_000_000n)
  const rest = (instant - seconds * 1_000_000n).toString().padStart(6, '0').replace(/0+$/, '')
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19)
  return `${text}${rest === '' ? '' : `.${rest}`}Z`
}
