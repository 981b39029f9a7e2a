import type { HypertableDefinition } from '../schema/index.ts'
import {
  bucketStart,
  type Instant,
  type Interval,
  maxInstant,
  minInstant,
  nextBucket,
  type TimeRange,
} from '../time/index.ts'

/**
 * The range of a new chunk that holds `time`: the bucket of the declared interval in UTC, clipped to the gap between
 * the chunks that are there (an interval that was changed leaves ragged edges once, at the border).
 *
 * @param existing ascending, not overlapping, none of them holds `time`.
 */
export function newChunkRange(every: Interval, existing: readonly TimeRange[], time: Instant): TimeRange {
  const spec = { every, zone: null }
  let from = bucketStart(spec, time)
  let to = nextBucket(spec, time)
  if (from < minInstant) from = minInstant
  if (to > maxInstant) to = maxInstant + 1n
  const after = lowerBound(existing, time)
  const next = existing[after]
  const previous = existing[after - 1]
  if (next !== undefined && next.from < to) to = next.from
  if (previous !== undefined && previous.to > from) from = previous.to
  return { from, to }
}

/** Index of the first range that begins after `time`. */
function lowerBound(ranges: readonly TimeRange[], time: Instant): number {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ranges[middle]!.from <= time) low = middle + 1
    else high = middle
  }
  return low
}

/** Index of the range that holds `time`, or -1. `ranges` ascending, not overlapping. */
export function rangeIndex(ranges: readonly TimeRange[], time: Instant): number {
  const index = lowerBound(ranges, time) - 1
  return index >= 0 && time < ranges[index]!.to ? index : -1
}

/** The chunks that are missing for `times`, ascending. */
export function missingRanges(
  definition: Pick<HypertableDefinition, 'chunk'>,
  existing: readonly TimeRange[],
  times: Iterable<Instant>,
): TimeRange[] {
  const all = [...existing]
  const missing: TimeRange[] = []
  for (const time of times) {
    if (rangeIndex(all, time) >= 0) continue
    const range = newChunkRange(definition.chunk, all, time)
    all.splice(lowerBound(all, time), 0, range)
    missing.push(range)
  }
  return missing.sort((a, b) => (a.from < b.from ? -1 : 1))
}
