import {
  approximateMicros,
  type BucketSpec,
  bucketBorders,
  bucketStart,
  fixedBucket,
  type Instant,
  nextBucket,
  type TimeRange,
} from '../time/index.ts'
import { type BucketPlan, everything } from './tier.ts'

/** How tiers put rows of a range into buckets: arithmetic where it is regular, a list of borders where it is not. */
export function planBuckets(spec: BucketSpec, range: TimeRange, maxBuckets: number): BucketPlan {
  const fixed = fixedBucket(spec, range)
  if (fixed) return { kind: 'fixed', ...fixed }
  return { kind: 'borders', borders: bucketBorders(spec, range, { max: maxBuckets }) }
}

/** Only an irregular bucket needs the ends of the range before its borders can be listed. */
export function needsEnds(spec: BucketSpec): boolean {
  return fixedBucket(spec) === null
}

/** The stretch of the buckets that begin in the range; open ends stay open. */
export function bucketsThatBegin(spec: BucketSpec, { from, to }: TimeRange): TimeRange {
  const border = (instant: Instant): Instant => {
    if (instant === everything.from || instant === everything.to) return instant
    return bucketStart(spec, instant) === instant ? instant : nextBucket(spec, instant)
  }
  return { from: border(from), to: border(to) }
}

/** The stretch of the buckets that share an instant with the range; open ends stay open. */
export function bucketsAround(spec: BucketSpec, { from, to }: TimeRange): TimeRange {
  return {
    from: from === everything.from ? from : bucketStart(spec, from),
    to: to === everything.to ? to : nextBucket(spec, to - 1n),
  }
}

/**
 * The stretch of whole buckets, about `count` of them, at the newest (or oldest) end of `range`, cut to `range`. What
 * it leaves of `range` shares no bucket with it.
 */
export function windowAtEnd(spec: BucketSpec, range: TimeRange, count: number, newest: boolean): TimeRange {
  // A calendar's buckets differ a little in length; how many there are need not be exact, where they begin must.
  const beyondOne = BigInt(count - 1) * approximateMicros(spec.every)
  if (newest) {
    const inside = range.to - 1n - beyondOne
    if (inside <= range.from) return range
    const from = bucketStart(spec, inside)
    return from > range.from ? { from, to: range.to } : range
  }
  const inside = range.from + beyondOne
  if (inside >= range.to) return range
  const to = nextBucket(spec, inside)
  return to < range.to ? { from: range.from, to } : range
}

/** Index of the last border that is at or before the instant. */
function borderIndex(borders: readonly Instant[], instant: Instant): number {
  let low = 0
  let high = borders.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((borders[middle] as Instant) <= instant) low = middle
    else high = middle - 1
  }
  return low
}

/** The plan for a stretch of whole buckets: a tier gets only the borders that it needs. */
export function cutPlan(plan: BucketPlan, range: TimeRange): BucketPlan {
  if (plan.kind === 'fixed') return plan
  const first = borderIndex(plan.borders, range.from)
  const last = borderIndex(plan.borders, range.to - 1n)
  return { kind: 'borders', borders: plan.borders.slice(first, last + 2) }
}
