import type { OutputColumn } from 'tidemark/client'

/** From the rows of an answer to lines that can be drawn. Pure: what is told of a point comes from its row, never from what is drawn. */

type Row = Readonly<Record<string, unknown>>

export interface TableOfAnswer {
  readonly rows: readonly Row[]
  readonly columns: readonly OutputColumn[]
}

export interface Series {
  /** Stays the same from one answer to the next. */
  readonly key: string
  readonly label: string
  readonly output: string
  /** What is drawn, one for each of `xs`; null: nothing. */
  readonly values: readonly (number | null)[]
  /** What the answer says there; undefined: it has no row. */
  readonly exact: (at: number) => unknown
  /** Of all values, for the order of the legend. */
  readonly size: number
}

export interface SeriesSet {
  /** Beginnings of buckets in ms, ascending; also of the gaps between them, where all values are null. */
  readonly xs: readonly number[]
  readonly series: readonly Series[]
  /** Series that there are beside those. */
  readonly left: number
  /** Outputs that are no numbers. */
  readonly unfit: readonly { readonly output: string; readonly type: string }[]
}

export interface SeriesOptions {
  /** Names of groups, in their order. */
  readonly by: readonly string[]
  /** Length of a bucket: a longer way between two is a gap. Null: unknown. */
  readonly bucketMs: number | null
  /** Series that are drawn at most, the largest ones. */
  readonly most: number
  /** Of outputs that give several numbers: what each of them is. */
  readonly parts?: Readonly<Record<string, readonly string[]>>
}

const numbers: ReadonlySet<string> = new Set(['count', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric'])
const lists: ReadonlySet<string> = new Set(['percentiles', 'histogram', 'topK'])

/** Whether a column of an answer can be a line, or several. */
export function isDrawable(type: string): boolean {
  return numbers.has(type) || lists.has(type)
}

/** A value as a point: null where there is none to be drawn. */
export function toPoint(value: unknown): number | null {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'string' || value === '') return null
  const n = Number(value)
  return Number.isFinite(n) ? n : null
}

interface Top {
  readonly value: unknown
  readonly count: number
}

/** The name of a group's value, as people read it. */
export function groupText(value: unknown): string {
  if (value === null || value === undefined) return '(none)'
  if (value === '') return '(empty)'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** A line while it is being put together: what it has, and where. Of most groups nothing is drawn, so they hold no more than that. */
interface Draft {
  readonly key: string
  readonly label: string
  readonly output: string
  readonly places: number[]
  /** Of the answer, one for each place. */
  readonly rows: number[]
  readonly points: (number | null)[]
  readonly read: (row: Row) => unknown
  size: number
}

/**
 * @example
 * toSeries(answer, { by: ['model'], bucketMs: 3_600_000, most: 20 }).series[0]?.label // 'gpt-4 · p95'
 */
export function toSeries({ rows, columns }: TableOfAnswer, options: SeriesOptions): SeriesSet {
  const { by, bucketMs, most } = options
  const outputs = columns.filter(({ name }) => name !== 'bucket' && !by.includes(name))
  const drawn = outputs.filter(({ type }) => isDrawable(type))
  const unfit = outputs
    .filter(({ type }) => !isDrawable(type))
    .map(({ name, type }) => ({ output: name, type }))
  const { xs, placeOf } = axisOf(rows, bucketMs)
  const tops = new Set(drawn.filter(({ type }) => type === 'topK').map(({ name }) => name))
  const drafts = new Map<string, Draft>()
  const draft = (
    output: string,
    part: string | null,
    group: string,
    groupLabel: string,
    read: Draft['read'],
  ) => {
    const key = JSON.stringify([output, part, group])
    let found = drafts.get(key)
    if (found === undefined) {
      // the part first: names are cut off at their ends
      const bare = output.replace(/^(percentiles|topK|histogram)_/, '')
      const what = part === null ? output : tops.has(output) ? `${bare} = ${part}` : `${part} ${bare}`
      const label =
        groupLabel === ''
          ? what
          : drawn.length === 1 && part === null
            ? groupLabel
            : `${groupLabel} · ${what}`
      found = {
        key,
        label,
        output,
        places: [],
        rows: [],
        points: [],
        read,
        size: 0,
      }
      drafts.set(key, found)
    }
    return found
  }
  const put = (one: Draft, place: number, row: number, value: unknown): void => {
    const point = toPoint(value)
    one.places.push(place)
    one.rows.push(row)
    one.points.push(point)
    if (point !== null) one.size += Math.abs(point)
  }
  const cache = new Map<string, readonly Draft[]>()
  const plain = drawn.filter(({ type }) => numbers.has(type))
  const listed = drawn.filter(({ type }) => lists.has(type))
  rows.forEach((row, at) => {
    const place = placeOf(row)
    if (place < 0) return
    const group = by.length === 0 ? '' : JSON.stringify(by.map((name) => jsonSafe(row[name])))
    let own = cache.get(group)
    if (own === undefined) {
      const label = by.map((name) => groupText(row[name])).join(' · ')
      own = plain.map(({ name }) => draft(name, null, group, label, (r) => r[name]))
      cache.set(group, own)
    }
    for (const one of own) put(one, place, at, row[one.output])
    for (const { name, type } of listed) {
      const list = row[name]
      if (!Array.isArray(list)) continue
      const label = by.map((column) => groupText(row[column])).join(' · ')
      list.forEach((item: unknown, i) => {
        if (type === 'topK') {
          const { value, count } = item as Top
          const part = groupText(value)
          const read = (r: Row): unknown =>
            (r[name] as readonly Top[] | null)?.find((other) => groupText(other.value) === part)?.count
          put(draft(name, part, group, label, read), place, at, count)
        } else {
          const part = options.parts?.[name]?.[i] ?? String(i + 1)
          const read = (r: Row): unknown => (r[name] as readonly unknown[] | null)?.[i]
          put(draft(name, part, group, label, read), place, at, item)
        }
      })
    }
  })
  const all = [...drafts.values()]
  const kept = all.length <= most ? all : largest(all, most)
  return {
    xs,
    unfit,
    left: all.length - kept.length,
    series: kept.map((one) => whole(one, rows, xs.length)),
  }
}

/** With a value, or none, at each x. */
function whole(
  { key, label, output, places, rows: at, points, read, size }: Draft,
  rows: readonly Row[],
  length: number,
): Series {
  const rowAt = new Int32Array(length).fill(-1)
  const values = new Array<number | null>(length).fill(null)
  places.forEach((place, i) => {
    rowAt[place] = at[i] as number
    values[place] = points[i] ?? null
  })
  return {
    key,
    label,
    output,
    values,
    size,
    exact: (place) => {
      const row = rows[rowAt[place] ?? -1]
      return row === undefined ? undefined : read(row)
    },
  }
}

/** The largest ones, in the order in which they came. */
function largest(all: readonly Draft[], most: number): readonly Draft[] {
  const chosen = new Set([...all].sort((a, b) => b.size - a.size).slice(0, most))
  return all.filter((one) => chosen.has(one))
}

function jsonSafe(value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}

/** Beginnings of buckets, in order, with one null-place where a stretch of them is missing. */
function axisOf(
  rows: readonly Row[],
  bucketMs: number | null,
): { readonly xs: readonly number[]; readonly placeOf: (row: Row) => number } {
  const times = new Map<unknown, number>()
  let last: unknown
  let isAscending = true
  let greatest = Number.NEGATIVE_INFINITY
  for (const { bucket } of rows) {
    if (bucket === last || times.has(bucket)) continue
    last = bucket
    const ms = typeof bucket === 'string' ? Date.parse(bucket) : Number.NaN
    if (!Number.isFinite(ms)) continue
    times.set(bucket, ms)
    if (ms < greatest) isAscending = false
    greatest = ms
  }
  let entries = [...times]
  if (!isAscending) entries = entries.sort((a, b) => a[1] - b[1])
  const xs: number[] = []
  const places = new Map<unknown, number>()
  for (const [bucket, ms] of entries) {
    const before = xs.at(-1)
    // a day may have 25 hours, and is no gap
    if (before !== undefined && bucketMs !== null && ms - before > bucketMs * 1.5) xs.push(before + bucketMs)
    places.set(bucket, xs.push(ms) - 1)
  }
  return { xs, placeOf: ({ bucket }) => places.get(bucket) ?? -1 }
}

/** Each on top of those before it; where a series has nothing it adds nothing. */
export function stack(
  columns: readonly (readonly (number | null)[])[],
  length: number,
): readonly (readonly (number | null)[])[] {
  const sums = new Float64Array(length)
  return columns.map((values) => {
    const out = new Array<number | null>(length)
    for (let i = 0; i < length; i++) {
      const value = values[i] ?? null
      if (value !== null) sums[i] = (sums[i] as number) + value
      out[i] = value === null ? null : (sums[i] as number)
    }
    return out
  })
}

/** The place of the greatest x that is not after this one; -1: all are. */
export function placeAt(xs: readonly number[], x: number): number {
  let low = 0
  let high = xs.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((xs[middle] as number) <= x) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** The place whose x is nearest; -1: there are none. */
export function nearest(xs: readonly number[], x: number): number {
  const before = placeAt(xs, x)
  if (before < 0) return xs.length === 0 ? -1 : 0
  const after = before + 1
  if (after >= xs.length) return before
  return x - (xs[before] as number) <= (xs[after] as number) - x ? before : after
}

/**
 * The period before, laid over this one: each of its values at the bucket of this period that is nearest after it was moved by
 * `shiftMs`. Buckets of a calendar are not equally long, so they need not meet exactly.
 */
export function overlay(
  { xs, series }: SeriesSet,
  before: SeriesSet,
  shiftMs: number,
  bucketMs: number | null,
): SeriesSet {
  const reach = bucketMs === null ? Number.POSITIVE_INFINITY : bucketMs * 0.75
  const moved = before.xs.map((x) => x + shiftMs)
  const extra = moved.filter((x) => {
    const place = nearest(xs, x)
    return place < 0 || Math.abs((xs[place] as number) - x) > reach
  })
  const all = extra.length === 0 ? xs : [...xs, ...extra].sort((a, b) => a - b)
  const placesNow = all.map((x) => (extra.length === 0 ? -2 : xs[placeAt(xs, x)] === x ? placeAt(xs, x) : -1))
  const placesBefore = new Int32Array(all.length).fill(-1)
  moved.forEach((x, i) => {
    const place = nearest(all, x)
    if (place >= 0) placesBefore[place] = i
  })
  const now =
    extra.length === 0
      ? series
      : series.map((one) => ({
          ...one,
          values: placesNow.map((place) => (place < 0 ? null : (one.values[place] ?? null))),
          exact: (at: number) => {
            const place = placesNow[at] ?? -1
            return place < 0 ? undefined : one.exact(place)
          },
        }))
  const earlier = before.series.map((one) => ({
    ...one,
    key: `before:${one.key}`,
    values: Array.from(placesBefore, (place) => (place < 0 ? null : (one.values[place] ?? null))),
    exact: (at: number) => {
      const place = placesBefore[at] ?? -1
      return place < 0 ? undefined : one.exact(place)
    },
  }))
  return { xs: all, series: [...now, ...earlier], left: 0, unfit: [] }
}
