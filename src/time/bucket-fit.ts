import { bucketStart, nextBucket } from './bucket.ts'
import { microsPerDay, microsPerSecond } from './civil.ts'
import { formatInstant } from './instant.ts'
import { approximateMicros } from './interval.ts'
import type { BucketSpec, Instant, TimeRange } from './types.ts'
import { resolveZone, secondOf, stretchAt, type Zone } from './zone.ts'

/**
 * The years whose rules of zones are looked at. Before 1970 nearly every zone kept a local mean time, in which no day begins on a
 * whole hour of UTC; after 2040 the rules that are known repeat.
 */
const looked: TimeRange = Object.freeze({ from: 0n, to: BigInt(Date.UTC(2040, 0)) * 1000n })

/** Where a border of the coarse one lies inside of a fine one, or why it is not worth looking. */
type Misfit = 'finer' | 'no multiple' | Instant

const most = 1_000
const known = new Map<string, Misfit | null>()

/**
 * Whether every bucket of `coarse` consists of whole buckets of `fine`, which is so when each of its borders is one of theirs:
 * null, or the reason why not. `1 day` of Europe/Berlin holds whole hours of UTC; of Asia/Kolkata (+05:30) it does not, and of
 * Australia/Lord_Howe (+10:30 in winter) only for a part of the year.
 *
 * Looked at from 1970 to 2040; earlier times have to be asked by their borders.
 *
 * @example
 * bucketMisfit({ every: parseInterval('1 hour'), zone: null }, { every: parseInterval('1 day'), zone: 'Asia/Kolkata' })
 * // "'1 day' in Asia/Kolkata begins at 1970-01-01T18:30:00Z, inside of a bucket of '1 hour'"
 *
 * @param fineName What the fine one is called, before its width: "the aggregate's own bucket".
 */
export function bucketMisfit(fine: BucketSpec, coarse: BucketSpec, fineName = 'a bucket'): string | null {
  const key = JSON.stringify([fine.every.text, fine.zone, coarse.every.text, coarse.zone])
  let found = known.get(key)
  if (found === undefined) {
    found = findMisfit(fine, coarse)
    if (known.size >= most) known.clear()
    known.set(key, found)
  }
  if (found === null) return null
  const own = `${fineName} of ${widthOf(fine)}`
  if (found === 'finer') return `${widthOf(coarse)} is finer than ${own}`
  if (found === 'no multiple') return `${widthOf(coarse)} is no multiple of ${own}`
  return `${widthOf(coarse)} begins at ${formatInstant(found)}, inside of ${own}`
}

function findMisfit(fine: BucketSpec, coarse: BucketSpec): Misfit | null {
  const small = lengthOf(fine)
  const large = lengthOf(coarse)
  if (!divides(small, large))
    return approximateMicros(coarse.every) < approximateMicros(fine.every) ? 'finer' : 'no multiple'
  const borders = 'months' in large ? everyBorder(coarse) : bordersAtChanges(fine, coarse)
  for (const border of borders) if (bucketStart(fine, border) !== border) return border
  return null
}

function widthOf({ every, zone }: BucketSpec): string {
  return `'${every.text}'${zone === null ? '' : ` in ${zone}`}`
}

type Length = { readonly months: number } | { readonly micros: bigint }

function lengthOf({ every }: BucketSpec): Length {
  if (every.kind === 'fixed') return { micros: every.micros }
  return every.months === 0 ? { micros: BigInt(every.days) * microsPerDay } : { months: every.months }
}

/** Whether the lengths fit where clocks are not changed. Months are whole days, and nothing longer. */
function divides(small: Length, large: Length): boolean {
  if ('months' in small) return 'months' in large && large.months % small.months === 0
  return ('months' in large ? microsPerDay : large.micros) % small.micros === 0n
}

function* everyBorder(spec: BucketSpec): Generator<Instant> {
  for (let border = bucketStart(spec, looked.from); border < looked.to; border = nextBucket(spec, border))
    yield border
}

/**
 * While neither zone's offset changes both kinds of borders are regular, so that one of them speaks for all; what is particular
 * happens around a change.
 */
function* bordersAtChanges(fine: BucketSpec, coarse: BucketSpec): Generator<Instant> {
  for (const zone of [resolveZone(fine.zone), resolveZone(coarse.zone)])
    for (const change of changesOf(zone)) {
      let border = bucketStart(coarse, change)
      for (let i = 0; i < 4; i++) {
        yield border
        border = nextBucket(coarse, border)
      }
    }
}

function* changesOf(zone: Zone): Generator<Instant> {
  const end = secondOf(looked.to)
  for (let second = secondOf(looked.from); second < end; second = stretchAt(zone, second).to)
    yield BigInt(second) * microsPerSecond
}
