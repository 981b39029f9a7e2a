import { TidemarkError } from '../util/errors.ts'
import type { InputType, StateSpec, TimeWeight } from './contract.ts'
import { compareText } from './values.ts'

/**
 * States of what is read again and again from one source: a counter, a gauge. Readings are put in order of time, of one time in
 * order of their values, for each series by itself; what counts is what lies between two neighbours.
 */
export interface TimelineState {
  readonly input: InputType
  readonly link: Link
  readonly seriesTypes: readonly InputType[]
  readonly series: Map<string, Series>
  /** Of all series. */
  segments: number
}

/** What two neighbouring readings contribute: `counter` what was there before a reset, the others value times seconds. */
export type Link = 'counter' | TimeWeight

interface Series {
  readonly key: readonly (string | null)[]
  /** In any order. */
  segments: Segment[]
}

/** Neighbouring readings; a single one where `from` is `to`. Times are microseconds. */
export interface Segment {
  readonly from: bigint
  readonly first: number
  readonly to: bigint
  readonly last: number
  /** Of what each two neighbours inside contribute. */
  readonly links: number
}

/** Series of one cell at most: each is about fifty bytes and its key. */
const maxSeries = 10_000

/** Readings of one cell that are kept as they are until they are put in order. */
const maxSegments = 262_144

/** Readings are finite doubles below 2^900, so that no sum overflows; what is within 2^-900 of zero is zero. */
export const readingLimit = 2 ** 900
const readingFloor = 2 ** -900

/** Null where it is none. */
export function readingOf(value: number): number | null {
  const magnitude = Math.abs(value)
  if (!(magnitude < readingLimit)) return null
  return magnitude < readingFloor ? 0 : value
}

function secondsBetween(from: bigint, to: bigint): number {
  return Number(to - from) / 1e6
}

function linkOf(link: Link, before: Segment, after: Segment): number {
  if (link === 'counter') return after.first < before.last ? before.last : 0
  const seconds = secondsBetween(before.to, after.from)
  return link === 'locf' ? before.last * seconds : (before.last / 2 + after.first / 2) * seconds
}

export function createTimeline(spec: StateSpec, link: Link): TimelineState {
  return {
    input: spec.input as InputType,
    link,
    seriesTypes: spec.series ?? [],
    series: new Map(),
    segments: 0,
  }
}

function keyText(key: readonly (string | null)[]): string {
  return JSON.stringify(key)
}

export function addSegment(state: TimelineState, key: readonly (string | null)[], segment: Segment): void {
  const text = keyText(key)
  const known = state.series.get(text)
  if (known) known.segments.push(segment)
  else {
    if (state.series.size >= maxSeries) throw tooManySeries()
    state.series.set(text, { key, segments: [segment] })
  }
  state.segments += 1
  if (state.segments > Math.max(maxSegments, 2 * state.series.size)) compact(state)
}

/** Bounds memory. What is one segment now cannot take what lies inside of it any more: `folded` says so. */
function compact(state: TimelineState): void {
  for (const series of state.series.values()) series.segments = [folded(state.link, series)]
  state.segments = state.series.size
}

const isSingle = ({ from, to, first, last }: Segment): boolean => from === to && first === last

function inOrder(a: Segment, b: Segment): number {
  if (a.from !== b.from) return a.from < b.from ? -1 : 1
  if (a.to !== b.to) return a.to < b.to ? -1 : 1
  return a.first - b.first
}

/** All of a series as one segment. */
export function folded(link: Link, { segments }: Series): Segment {
  const [start, ...rest] = segments.length > 1 ? [...segments].sort(inOrder) : segments
  let all = start as Segment
  let before = all
  for (const next of rest) {
    const isBehind = next.from > before.to || (next.from === before.to && isSingle(next) && isSingle(before))
    if (!isBehind) throw overlap()
    const { from, first } = all
    all = {
      from,
      first,
      to: next.to,
      last: next.last,
      links: all.links + linkOf(link, all, next) + next.links,
    }
    before = next
  }
  return all
}

function overlap(): TidemarkError {
  return new TidemarkError('TM_LIMIT', {
    what: 'the readings of one cell that are put in order of time in memory (increase, rate, delta, timeWeightedAvg)',
    value: 'more, and others lie between them',
    limit: String(maxSegments),
    todo: 'ask for shorter buckets or a shorter range',
  })
}

function tooManySeries(): TidemarkError {
  return new TidemarkError('TM_LIMIT', {
    what: 'the series in one cell of increase, rate, delta or timeWeightedAvg',
    value: `more than ${maxSeries}`,
    limit: String(maxSeries),
    todo: 'group by what tells them apart, or name fewer columns in series',
  })
}

/** Each series as one segment, in one order whatever came first. */
function foldedSeries({ link, series }: TimelineState): Segment[] {
  return [...series].sort(([a], [b]) => compareText(a, b)).map(([, one]) => folded(link, one))
}

/** What counters went up by, all series together. Null for no readings, 0 for one of each. */
export function finishIncrease(state: TimelineState): number | null {
  return sumOf(foldedSeries(state).map(({ first, last, links }) => last - first + links))
}

/** The last reading less the first, all series together. */
export function finishDelta(state: TimelineState): number | null {
  return sumOf(foldedSeries(state).map(({ first, last }) => last - first))
}

/** Increase for each second between a series' first and last reading, all series together; null when none has two times. */
export function finishRate(state: TimelineState): number | null {
  return sumOf(
    foldedSeries(state)
      .filter(({ from, to }) => to > from)
      .map(({ from, first, to, last, links }) => (last - first + links) / secondsBetween(from, to)),
  )
}

/** The integral over time by the time that it is taken over, all series together; null when none has two times. */
export function finishTimeWeightedAvg(state: TimelineState): number | null {
  let integral = 0
  let seconds = 0
  for (const { from, to, links } of foldedSeries(state)) {
    integral += links
    seconds += secondsBetween(from, to)
  }
  return seconds === 0 ? null : integral / seconds + 0
}

function sumOf(values: readonly number[]): number | null {
  if (values.length === 0) return null
  // + 0: a sum of -0 is 0
  return values.reduce((sum, value) => sum + value, 0) + 0
}
