import type { ResultType } from '../aggregate/index.ts'
import { bucketBorders, type Instant, nextBucket, type TimeRange } from '../time/index.ts'
import { assertWithin, type QueryLimits } from './limits.ts'
import type { AggregateQueryNode, FillNode } from './nodes.ts'
import type { OutputColumn } from './references.ts'
import { everything } from './tier.ts'
import { canonicalNumeric, keyText, parseDecimal } from './values.ts'

/** A row before it gets its outer form: values in the order of the output columns, the bucket first. */
export type InnerRow = unknown[]

/**
 * Adds the buckets that are missing between the ends of the range, for each group that has any row. Where an end of
 * the range is open, the first or last bucket with rows is the end. Buckets that are there stay as they are, also
 * where a value in them is null. Rows come out by group, then by bucket.
 *
 * @throws TidemarkError TM_LIMIT when there would be more than maxBuckets buckets or maxRows rows.
 */
export function fillGaps(
  node: AggregateQueryNode,
  rows: readonly InnerRow[],
  columns: readonly OutputColumn[],
  limits: QueryLimits,
): InnerRow[] {
  const { fill, bucket } = node
  if (fill.kind === 'none' || !bucket) return [...rows]
  const range = fillRange(node, rows)
  if (range === null) return []
  const borders = bucketBorders(bucket, range, { max: limits.maxBuckets })
  const groups = groupRows(node, rows)
  assertWithin(
    'the number of rows with the gaps filled',
    groups.length * (borders.length - 1),
    limits.maxRows,
    'ask for a wider bucket, a shorter range or fewer groups, or raise limits.maxRows',
  )
  const firstAggregate = 1 + node.by.length
  const makeGap = createGapMaker(fill, columns.slice(firstAggregate))
  const filled: InnerRow[] = []
  for (const group of groups) {
    let next = 0
    for (let i = 0; i + 1 < borders.length; i++) {
      const start = borders[i] as Instant
      const present = group.rows[next]
      if (present && present[0] === start) {
        filled.push(present)
        next++
        continue
      }
      const values = makeGap(start, group.rows[next - 1] ?? null, present ?? null, firstAggregate)
      filled.push([start, ...group.keys, ...values])
    }
  }
  return filled
}

function fillRange(node: AggregateQueryNode, rows: readonly InnerRow[]): TimeRange | null {
  const asked = node.range ?? everything
  let { from, to } = asked
  const openFrom = from === everything.from
  const openTo = to === everything.to
  if (!openFrom && !openTo) return asked
  let first: Instant | null = null
  let last: Instant | null = null
  for (const row of rows) {
    const start = row[0] as Instant
    if (first === null || start < first) first = start
    if (last === null || start > last) last = start
  }
  if (first === null || last === null || !node.bucket) return null
  if (openFrom) from = first
  if (openTo) to = nextBucket(node.bucket, last)
  return { from, to }
}

interface Group {
  readonly keys: readonly unknown[]
  /** Ascending by bucket. */
  readonly rows: InnerRow[]
}

function groupRows(node: AggregateQueryNode, rows: readonly InnerRow[]): readonly Group[] {
  const groups = new Map<string, Group>()
  // Without groups an empty answer still has its buckets: a chart of nothing, not no chart.
  if (node.by.length === 0) groups.set('', { keys: [], rows: [] })
  for (const row of rows) {
    const keys = row.slice(1, 1 + node.by.length)
    const id = keys.map(keyText).join('')
    const group = groups.get(id)
    if (group) group.rows.push(row)
    else groups.set(id, { keys, rows: [row] })
  }
  for (const group of groups.values())
    group.rows.sort((a, b) => ((a[0] as Instant) < (b[0] as Instant) ? -1 : 1))
  return [...groups.values()]
}

type GapMaker = (
  start: Instant,
  before: InnerRow | null,
  after: InnerRow | null,
  firstAggregate: number,
) => readonly unknown[]

function createGapMaker(
  fill: Exclude<FillNode, { kind: 'none' }>,
  columns: readonly OutputColumn[],
): GapMaker {
  switch (fill.kind) {
    case 'null': {
      const nulls = columns.map(() => null)
      return () => nulls
    }
    case 'constant': {
      const constants = columns.map(({ type }) => constantOf(type, fill.value))
      return () => constants
    }
    case 'previous':
      return (_start, before, _after, first) =>
        columns.map((_, i) => (before === null ? null : before[first + i]))
    case 'linear':
      return (start, before, after, first) =>
        columns.map(({ type }, i) => {
          const a = before?.[first + i] ?? null
          const b = after?.[first + i] ?? null
          if (before === null || after === null || a === null || b === null) return null
          const from = before[0] as Instant
          return interpolate(type, a, b, start - from, (after[0] as Instant) - from)
        })
  }
}

function constantOf(type: ResultType, value: number | string): unknown {
  if (type === 'text') return String(value)
  if (type === 'numeric') return canonicalNumeric(String(value))
  if (type === 'int8') return BigInt(value)
  return Number(value)
}

/**
 * The value at `part / whole` of the way from `a` to `b`, in the column's own type so that the answer keeps its
 * schema: whole numbers are rounded to the nearest, halves away from zero; numeric has at least six decimals.
 */
function interpolate(type: ResultType, a: unknown, b: unknown, part: bigint, whole: bigint): unknown {
  if (type === 'int8') return (a as bigint) + divideRounded(((b as bigint) - (a as bigint)) * part, whole)
  if (type === 'numeric') return interpolateNumeric(String(a), String(b), part, whole)
  const share = Number(part) / Number(whole)
  const [from, to] = [a as number, b as number]
  const difference = to - from
  // The difference of two finite numbers can overflow; then the ends are weighed one by one.
  const value = Number.isFinite(difference) ? from + difference * share : from * (1 - share) + to * share
  if (type === 'float8') return value
  if (type === 'float4') return Math.fround(value)
  // + 0: a rounded-away negative is 0, not -0.
  return Math.sign(value) * Math.round(Math.abs(value)) + 0
}

function divideRounded(numerator: bigint, denominator: bigint): bigint {
  const half = denominator / 2n
  return numerator >= 0n ? (numerator + half) / denominator : -((-numerator + half) / denominator)
}

function interpolateNumeric(a: string, b: string, part: bigint, whole: bigint): string {
  const from = parseDecimal(a)
  const to = parseDecimal(b)
  if (!from || !to) return a === b ? a : 'NaN'
  const scale = Math.max(from.fraction.length, to.fraction.length, 6)
  const unscaled = (value: typeof from): bigint => {
    const digits = BigInt(`${value.whole}${value.fraction.padEnd(scale, '0')}`)
    return value.negative ? -digits : digits
  }
  const start = unscaled(from)
  const value = start + divideRounded((unscaled(to) - start) * part, whole)
  const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
  const text = `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
  return canonicalNumeric(text)
}
