import type { Instant, TimeRange } from '../../time/index.ts'
import type { BucketPlan } from '../tier.ts'

/**
 * A stretch of time as a row of whole buckets with what is left at its ends: bucket `i` is
 * `[borders[i], borders[i + 1])`.
 */
export interface BucketRow {
  readonly range: TimeRange
  /** Ascending; at least two. */
  readonly borders: readonly Instant[]
}

/** Buckets of one query that are looked up one by one; beyond it, looking costs as much as some reads. */
const maxBuckets = 20_000

/** Null when no bucket lies wholly in the range, or too many do. Buckets after the one that holds `now` are left at the end. */
export function bucketRow(plan: BucketPlan, range: TimeRange, now: Instant): BucketRow | null {
  const borders =
    plan.kind === 'fixed' ? fixedBorders(plan, range, now) : listedBorders(plan.borders, range, now)
  return borders.length < 2 ? null : { range, borders }
}

function fixedBorders(
  { width, origin }: { readonly width: bigint; readonly origin: Instant },
  range: TimeRange,
  now: Instant,
): Instant[] {
  const afterNow = now - remainder(now - origin, width) + width
  const end = range.to < afterNow ? range.to : afterNow
  const before = remainder(range.from - origin, width)
  const first = before === 0n ? range.from : range.from - before + width
  if ((end - first) / width > BigInt(maxBuckets)) return []
  const borders: Instant[] = []
  for (let border = first; border <= end; border += width) borders.push(border)
  return borders
}

/** As the floor of a division leaves it, never negative. */
function remainder(value: bigint, width: bigint): bigint {
  const rest = value % width
  return rest < 0n ? rest + width : rest
}

function listedBorders(listed: readonly Instant[], range: TimeRange, now: Instant): Instant[] {
  if (listed.length > maxBuckets) return []
  const inside = listed.filter((border) => border >= range.from && border <= range.to)
  const past = inside.findIndex((border) => border > now)
  return past === -1 ? inside : inside.slice(0, past + 1)
}

/** Stretches that one query reads at most; smaller gaps between them are read again, which costs less than one more. */
export const maxStretches = 4

/**
 * What has to be read when some buckets of the row are known: ascending stretches that end at borders or at the ends of
 * the range.
 */
export function unknownStretches(
  { range, borders }: BucketRow,
  isKnown: (bucket: number) => boolean,
): readonly TimeRange[] {
  const stretches = [...unknownBuckets({ range, borders }, isKnown)]
  const first = borders[0] as Instant
  if (range.from < first) {
    const to = stretches[0]?.from === first ? (stretches.shift() as TimeRange).to : first
    stretches.unshift({ from: range.from, to })
  }
  const last = borders.at(-1) as Instant
  if (last < range.to) {
    const from = stretches.at(-1)?.to === last ? (stretches.pop() as TimeRange).from : last
    stretches.push({ from, to: range.to })
  }
  return closeGaps(stretches)
}

/** The same without the ends, and without reading a known bucket again. */
export function unknownBuckets(
  { borders }: BucketRow,
  isKnown: (bucket: number) => boolean,
): readonly TimeRange[] {
  const stretches: { from: Instant; to: Instant }[] = []
  for (let i = 0; i + 1 < borders.length; i++) {
    if (isKnown(i)) continue
    const [from, to] = [borders[i] as Instant, borders[i + 1] as Instant]
    const last = stretches.at(-1)
    if (last?.to === from) last.to = to
    else stretches.push({ from, to })
  }
  return stretches
}

/** The largest gaps stay. */
function closeGaps(stretches: readonly TimeRange[]): readonly TimeRange[] {
  if (stretches.length <= maxStretches) return stretches
  const gapBefore = (i: number): bigint =>
    (stretches[i] as TimeRange).from - (stretches[i - 1] as TimeRange).to
  const kept = stretches
    .map((_, i) => i)
    .slice(1)
    .sort((a, b) => (gapBefore(a) > gapBefore(b) ? -1 : 1))
    .slice(0, maxStretches - 1)
    .sort((a, b) => a - b)
  return [0, ...kept].map((first, i) => ({
    from: (stretches[first] as TimeRange).from,
    to: (stretches[(kept[i] ?? stretches.length) - 1] as TimeRange).to,
  }))
}
