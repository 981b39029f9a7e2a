import { TidemarkError } from '../util/errors.ts'
import { civilFromDays, daysFromCivil, floorDivide, microsPerDay, microsPerSecond } from './civil.ts'
import { TimeProblem } from './problem.ts'
import type { BucketSpec, Instant, Interval, TimeRange } from './types.ts'
import { resolveZone, type Stretch, secondOf, stretchAt, type Zone } from './zone.ts'

/**
 * Buckets: docs/design/buckets.md has the rule and its reasons. All times named "local" are microseconds that a clock
 * in the zone would show, counted as if it were UTC.
 */

/** Monday 2000-01-03, the origin of fixed buckets, and 2000-01-01 for months: as TimescaleDB's time_bucket. */
const originDay = daysFromCivil(2000, 1, 3)
const originMonth = 2000 * 12
export const bucketOrigin: Instant = BigInt(originDay) * microsPerDay

/** How a spec is computed, once its zone is known. */
type Plan =
  | { readonly kind: 'fixed'; readonly width: bigint; readonly origin: Instant }
  /** A unit of local days or months: bucket `i` begins when a local clock first reaches `local(i)`. */
  | {
      readonly kind: 'dates'
      readonly zone: Zone
      readonly index: (local: bigint) => number
      readonly local: (index: number) => bigint
    }
  /** Follows the wall clock within the day. */
  | { readonly kind: 'clock'; readonly zone: Zone; readonly width: bigint }

/** Specs are asked about for each row or border; a query has one, so one is enough to remember. */
let lastSpec: BucketSpec | null = null
let lastPlan: Plan | null = null

function planOf(spec: BucketSpec): Plan {
  if (spec === lastSpec && lastPlan !== null) return lastPlan
  const plan = makePlan(spec.every, resolveZone(spec.zone))
  lastSpec = spec
  lastPlan = plan
  return plan
}

function makePlan(every: Interval, zone: Zone): Plan {
  if (every.kind === 'calendar') {
    if (every.days !== 0 && every.months !== 0) {
      throw new TimeProblem(`a bucket of '${every.text}' mixes months and days; use one of them`)
    }
    if (every.months === 0) return dayPlan(zone, every.days)
    const months = every.months
    return {
      kind: 'dates',
      zone,
      index: (local) => {
        const { year, month } = civilFromDays(Number(floorDivide(local, microsPerDay)))
        return Math.floor((year * 12 + month - 1 - originMonth) / months)
      },
      local: (index) => {
        const month = originMonth + index * months
        const year = Math.floor(month / 12)
        return BigInt(daysFromCivil(year, month - year * 12 + 1, 1)) * microsPerDay
      },
    }
  }
  const width = every.micros
  if (zone.fixedOffset !== null) {
    if (zone.fixedOffset !== 0) checkClockWidth(every, zone)
    return { kind: 'fixed', width, origin: bucketOrigin - BigInt(zone.fixedOffset) * microsPerSecond }
  }
  if (width % microsPerDay === 0n) return dayPlan(zone, Number(width / microsPerDay))
  checkClockWidth(every, zone)
  return { kind: 'clock', zone, width }
}

function dayPlan(zone: Zone, days: number): Plan {
  if (zone.fixedOffset !== null) {
    return {
      kind: 'fixed',
      width: BigInt(days) * microsPerDay,
      origin: bucketOrigin - BigInt(zone.fixedOffset) * microsPerSecond,
    }
  }
  return {
    kind: 'dates',
    zone,
    index: (local) => Math.floor((Number(floorDivide(local, microsPerDay)) - originDay) / days),
    local: (index) => BigInt(originDay + index * days) * microsPerDay,
  }
}

function checkClockWidth(every: Interval, zone: Zone): void {
  if (every.kind !== 'fixed' || every.micros % microsPerDay === 0n || microsPerDay % every.micros === 0n)
    return
  throw new TimeProblem(
    `a bucket of '${every.text}' in zone ${zone.name} must be whole days or divide 24 hours evenly; ` +
      'use such a width, or leave the zone out',
  )
}

/**
 * Checks that buckets can be made.
 *
 * @throws TimeProblem when the zone is unknown or the width does not fit it.
 */
export function assertBucketSpec(spec: BucketSpec): void {
  planOf(spec)
}

/** Start of the bucket that holds the instant. @throws TimeProblem as `assertBucketSpec`. */
export function bucketStart(spec: BucketSpec, instant: Instant): Instant {
  const plan = planOf(spec)
  switch (plan.kind) {
    case 'fixed':
      return plan.origin + floorDivide(instant - plan.origin, plan.width) * plan.width
    case 'dates':
      return firstReach(plan.zone, plan.local(dateIndex(plan, instant)))
    case 'clock':
      return clockBorderAtOrBefore(plan.zone, plan.width, instant)
  }
}

/** Start of the bucket after the one that holds the instant. */
export function nextBucket(spec: BucketSpec, instant: Instant): Instant {
  const plan = planOf(spec)
  switch (plan.kind) {
    case 'fixed':
      return plan.origin + (floorDivide(instant - plan.origin, plan.width) + 1n) * plan.width
    case 'dates':
      return nextDateStart(plan, dateIndex(plan, instant), instant)
    case 'clock':
      return clockBorderAfter(plan.zone, plan.width, instant)
  }
}

export interface BucketBordersOptions {
  /** Buckets at most; more is TM_LIMIT. */
  readonly max: number
}

/**
 * Ascending starts of the buckets that cover the range; the last entry is the end of the last bucket. So `n` buckets
 * give `n + 1` borders. A range that is empty gives none.
 *
 * @throws TidemarkError TM_LIMIT when there would be more than `max` buckets; TimeProblem as `assertBucketSpec`.
 */
export function bucketBorders(spec: BucketSpec, range: TimeRange, options: BucketBordersOptions): Instant[] {
  const { from, to } = range
  if (from >= to) return []
  const { max } = options
  const plan = planOf(spec)
  let border = bucketStart(spec, from)
  if (plan.kind === 'fixed') {
    const count = (to - border + plan.width - 1n) / plan.width
    if (count > BigInt(max)) throw tooManyBuckets(spec, String(count), max)
    const borders = new Array<Instant>(Number(count) + 1)
    for (let i = 0; i < borders.length; i++) {
      borders[i] = border
      border += plan.width
    }
    return borders
  }
  const borders: Instant[] = [border]
  const push = (next: Instant): void => {
    if (borders.length > max) throw tooManyBuckets(spec, `more than ${max}`, max)
    borders.push(next)
    border = next
  }
  if (plan.kind === 'dates') {
    let index = dateIndex(plan, from)
    while (border < to) {
      push(nextDateStart(plan, index, border))
      index = Math.max(index + 1, dateIndex(plan, border))
    }
    return borders
  }
  const { zone, width } = plan
  while (border < to) {
    const next = clockBorderAfter(zone, width, border)
    push(next)
    // Inside one stretch the rest is addition.
    const stretch = stretchAt(zone, secondOf(next))
    const end = BigInt(stretch.to) * microsPerSecond
    if ((next + BigInt(stretch.offset) * microsPerSecond) % width !== 0n) continue
    while (border < to && border + width < end) push(border + width)
  }
  return borders
}

function tooManyBuckets(spec: BucketSpec, value: string, max: number): TidemarkError<'TM_LIMIT'> {
  return new TidemarkError('TM_LIMIT', {
    what: `number of buckets of '${spec.every.text}'`,
    value,
    limit: `${max} buckets`,
    todo: 'ask for a wider bucket or a shorter range, or raise limits.maxBuckets',
  })
}

/** Buckets as integer arithmetic: start = origin + floor((t - origin) / width) * width. */
export interface FixedBucket {
  readonly width: bigint
  readonly origin: Instant
}

/**
 * The arithmetic of a spec, or null when a calendar or a zone makes it irregular. With a range, a zone whose offset
 * does not change over the range's buckets is regular there.
 */
export function fixedBucket(spec: BucketSpec, range?: TimeRange): FixedBucket | null {
  const plan = planOf(spec)
  if (plan.kind === 'fixed') return { width: plan.width, origin: plan.origin }
  if (spec.every.kind !== 'fixed' || range === undefined || range.from >= range.to) return null
  const first = bucketStart(spec, range.from)
  const last = nextBucket(spec, range.to - 1n)
  const { zone } = plan
  const width = spec.every.micros
  const { offset } = stretchAt(zone, secondOf(first))
  for (let stretch = stretchAt(zone, secondOf(first)); ; stretch = stretchAt(zone, stretch.to)) {
    if (stretch.offset !== offset) return null
    if (BigInt(stretch.to) * microsPerSecond >= last) break
  }
  const origin = bucketOrigin - BigInt(offset) * microsPerSecond
  // Where clocks skipped midnight a bucket begins late, and one that ends at a change may end early.
  if ((first - origin) % width !== 0n || (last - origin) % width !== 0n) return null
  return { width, origin }
}

// Local dates

type DatePlan = Extract<Plan, { kind: 'dates' }>

/** Clocks have been set by up to a day (date line), so what could matter lies within two days. */
const reachSeconds = 2 * 86_400

/** The first instant at which a clock in the zone shows `local` or later. */
function firstReach(zone: Zone, local: bigint): Instant {
  if (zone.table === null) return local - BigInt(zone.fixedOffset as number) * microsPerSecond
  let stretch = stretchAt(zone, Number(floorDivide(local, microsPerSecond)) - reachSeconds)
  for (;;) {
    const at = local - BigInt(stretch.offset) * microsPerSecond
    if (at < BigInt(stretch.to) * microsPerSecond) {
      if (stretch.from === Number.NEGATIVE_INFINITY) return at
      const from = BigInt(stretch.from) * microsPerSecond
      return at > from ? at : from
    }
    stretch = stretchAt(zone, stretch.to)
  }
}

/**
 * Index of the bucket that holds the instant. A date that clocks had already reached is not entered again when they
 * are set back over midnight, so the index never falls.
 */
function dateIndex(plan: DatePlan, instant: Instant): number {
  const { zone } = plan
  const stretch = stretchAt(zone, secondOf(instant))
  let index = plan.index(instant + BigInt(stretch.offset) * microsPerSecond)
  if (zone.table !== null && stretch.from > secondOf(instant) - reachSeconds) {
    while (firstReach(zone, plan.local(index + 1)) <= instant) index++
  }
  return index
}

/** A bucket whose dates were all skipped (a day at the date line) is empty and left out. */
function nextDateStart(plan: DatePlan, index: number, after: Instant): Instant {
  for (let i = index + 1; ; i++) {
    const start = firstReach(plan.zone, plan.local(i))
    if (start > after) return start
  }
}

// The wall clock within the day

/** Whether the change at the beginning of a stretch is a border: the clock comes to stand on a multiple, or passes one. */
function changeIsBorder(zone: Zone, width: bigint, stretch: Stretch): boolean {
  const at = BigInt(stretch.from) * microsPerSecond
  // Stretches are also cut where nothing changes; then the two offsets are the same and only the first rule speaks.
  const after = at + BigInt(stretch.offset) * microsPerSecond
  if (floorMod(after, width) === 0n) return true
  const before = at + BigInt(stretchAt(zone, stretch.from - 1).offset) * microsPerSecond
  // Passed: a multiple m with before <= m <= after. `before` itself was never shown, so it counts.
  return before < after && floorDivide(after, width) * width >= before
}

function floorMod(a: bigint, b: bigint): bigint {
  const rest = a % b
  return rest < 0n ? rest + b : rest
}

function clockBorderAtOrBefore(zone: Zone, width: bigint, instant: Instant): Instant {
  let at = instant
  for (;;) {
    const stretch = stretchAt(zone, secondOf(at))
    const border = at - floorMod(at + BigInt(stretch.offset) * microsPerSecond, width)
    if (stretch.from === Number.NEGATIVE_INFINITY) return border
    const from = BigInt(stretch.from) * microsPerSecond
    if (border >= from) return border
    if (changeIsBorder(zone, width, stretch)) return from
    at = from - 1n
  }
}

function clockBorderAfter(zone: Zone, width: bigint, instant: Instant): Instant {
  let at = instant
  for (;;) {
    const stretch = stretchAt(zone, secondOf(at))
    // The first multiple after `at`; when `at` is a change that is no border itself this still holds.
    const border = at + width - floorMod(at + BigInt(stretch.offset) * microsPerSecond, width)
    const to = BigInt(stretch.to) * microsPerSecond
    if (border < to) return border
    if (changeIsBorder(zone, width, stretchAt(zone, stretch.to))) return to
    at = to
  }
}
