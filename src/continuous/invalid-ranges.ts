import type { MissedRange } from '../changelog/index.ts'
import { everything } from '../query/index.ts'
import {
  type BucketSpec,
  bucketStart,
  type Instant,
  infinityInstant,
  minusInfinityInstant,
  nextBucket,
  type TimeRange,
} from '../time/index.ts'
import { unionOf } from './validity.ts'

/**
 * Sets of (tenant, range), null standing for every tenant: pure functions. A set is united when the ranges of one tenant neither
 * overlap nor touch, none lies in one of all tenants, and they are in order of time.
 */
export type InvalidRange = MissedRange

/** All time, as PostgreSQL writes it. */
export const always: TimeRange = Object.freeze({ from: minusInfinityInstant, to: infinityInstant })

/** The buckets that the range touches. Open ends stay open. */
export function widen(bucket: BucketSpec, { from, to }: TimeRange): TimeRange {
  return {
    from: from <= everything.from ? minusInfinityInstant : bucketStart(bucket, from),
    to: to >= everything.to ? infinityInstant : nextBucket(bucket, to - 1n),
  }
}

/** What is left of the ranges without `cuts`, which are ascending and do not overlap. */
export function subtract(ranges: readonly TimeRange[], cuts: readonly TimeRange[]): TimeRange[] {
  return ranges.flatMap((range) => {
    const left: TimeRange[] = []
    let { from } = range
    for (const cut of cuts) {
      if (cut.to <= from || cut.from >= range.to) continue
      if (cut.from > from) left.push({ from, to: cut.from })
      from = cut.to
    }
    if (from < range.to) left.push({ from, to: range.to })
    return left
  })
}

/** The set without `cut`, of these tenants (null: of all). */
export function cutOut(
  set: readonly InvalidRange[],
  cuts: readonly TimeRange[],
  tenants: ReadonlySet<string> | null = null,
): InvalidRange[] {
  return set.flatMap((one) => {
    const { tenant, range } = one
    // of a range of all tenants nothing is done when only some of them are
    if (tenants !== null && (tenant === null || !tenants.has(tenant))) return [one]
    return subtract([range], cuts).map((left) => ({ tenant, range: left }))
  })
}

/**
 * United, and `maxRanges` at most: beyond, tenants are given up, then the smallest gaps are closed. That says too much, never too
 * little.
 */
export function unite(ranges: readonly InvalidRange[], maxRanges = Number.POSITIVE_INFINITY): InvalidRange[] {
  const ofAll = unionOf(ranges.filter(({ tenant }) => tenant === null))
  const byTenant = new Map<string, InvalidRange[]>()
  for (const one of ranges) {
    if (one.tenant === null) continue
    const own = byTenant.get(one.tenant)
    if (own) own.push(one)
    else byTenant.set(one.tenant, [one])
  }
  const united = [
    ...ofAll.map((range) => ({ tenant: null, range })),
    ...[...byTenant].flatMap(([tenant, own]) =>
      subtract(unionOf(own), ofAll).map((range) => ({ tenant, range })),
    ),
  ]
  if (united.length <= maxRanges) return united.sort(byTime)
  const all = unionOf(united)
  return closeGaps(all, maxRanges).map((range) => ({ tenant: null, range }))
}

function closeGaps(ranges: readonly TimeRange[], maxRanges: number): TimeRange[] {
  if (ranges.length <= maxRanges) return [...ranges]
  const gaps = ranges.slice(1).map(({ from }, i) => from - (ranges[i] as TimeRange).to)
  const kept = new Set(
    gaps
      .map((width, i) => ({ width, i }))
      .sort((a, b) => (a.width > b.width ? -1 : 1))
      .slice(0, maxRanges - 1)
      .map(({ i }) => i),
  )
  const closed: { from: Instant; to: Instant }[] = []
  ranges.forEach(({ from, to }, i) => {
    const last = closed.at(-1)
    if (last && !kept.has(i - 1)) last.to = to
    else closed.push({ from, to })
  })
  return closed
}

function byTime(a: InvalidRange, b: InvalidRange): number {
  if (a.range.from !== b.range.from) return a.range.from < b.range.from ? -1 : 1
  return (a.tenant ?? '') < (b.tenant ?? '') ? -1 : 1
}

export function keyOf({ tenant, range }: InvalidRange): string {
  return `${range.from} ${range.to} ${tenant === null ? '' : JSON.stringify(tenant)}`
}

/**
 * A set with its open end apart: the range `[openFrom, infinity)` is not computed yet, and nobody is known to have written there.
 * Everything in `closed` waits for a refresh. `openFrom` null: everything does, up to the newest row, wherever that is.
 */
export interface Work {
  readonly closed: readonly InvalidRange[]
  readonly openFrom: Instant | null
}

export function workOf(set: readonly InvalidRange[]): Work {
  const open = set.filter(({ range }) => range.to === infinityInstant)
  const from = open.reduce<Instant>(
    (least, { range }) => (range.from < least ? range.from : least),
    infinityInstant,
  )
  return {
    closed: set.filter(({ range }) => range.to !== infinityInstant),
    openFrom: from === minusInfinityInstant ? null : from,
  }
}

export function setOf({ closed, openFrom }: Work): InvalidRange[] {
  if (openFrom === null) return [{ tenant: null, range: always }]
  return [
    ...closed,
    ...(openFrom === infinityInstant
      ? []
      : [{ tenant: null, range: { from: openFrom, to: infinityInstant } }]),
  ]
}

/**
 * The set with what was touched since. What lies in the open end waits for a refresh from now on, up to its last bucket that was
 * touched; where that has no end, everything does.
 */
export function addTouched(
  set: readonly InvalidRange[],
  touched: readonly InvalidRange[],
  { frozen, maxRanges }: { readonly frozen: readonly TimeRange[]; readonly maxRanges: number },
): InvalidRange[] {
  const { closed, openFrom } = workOf(set)
  if (openFrom === null || touched.some(({ range }) => range.to === infinityInstant))
    return setOf({ closed: [], openFrom: null })
  const end = touched.reduce((most, { range }) => (range.to > most ? range.to : most), openFrom)
  const reached = end > openFrom ? [{ tenant: null, range: { from: openFrom, to: end } }] : []
  return setOf({
    closed: unite(cutOut(unite([...closed, ...touched, ...reached]), frozen), maxRanges),
    openFrom: end,
  })
}
