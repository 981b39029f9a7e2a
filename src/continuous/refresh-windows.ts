import {
  boundsOfRows,
  estimateRows,
  everything,
  executeQuery,
  intersect,
  type Materialization,
  parseQuery,
  type QueryContext,
  windowAtEnd,
} from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import {
  approximateMicros,
  formatInstant,
  type Instant,
  parseInstant,
  type TimeRange,
} from '../time/index.ts'
import { type InvalidRange, widen } from './invalid-ranges.ts'

/** Buckets that are computed together, and of whom. */
export interface Window {
  readonly range: TimeRange
  /** null: of all tenants. */
  readonly tenants: readonly string[] | null
}

/** Tenants whose cells are computed by themselves; of more of them those of everybody are. */
const maxTenants = 20

/**
 * The newest stretch of work in `within`, and whose it is. Pure.
 *
 * @example
 * newestWork([{ tenant: 'a', range: { from: 0n, to: 9n } }], { from: 0n, to: 99n })
 * // { range: { from: 0n, to: 9n }, tenants: ['a'] }
 */
export function newestWork(closed: readonly InvalidRange[], within: TimeRange): Window | null {
  const pieces = closed.flatMap(({ tenant, range }) => {
    const common = intersect(range, within)
    return common ? [{ tenant, range: common }] : []
  })
  const first = pieces[0]
  if (!first) return null
  const isNewer = (a: InvalidRange, b: InvalidRange): boolean =>
    a.range.to > b.range.to || (a.range.to === b.range.to && a.tenant === null)
  const newest = pieces.reduce((best, one) => (isNewer(one, best) ? one : best), first)
  if (newest.tenant === null) return { range: newest.range, tenants: null }
  // down to where everybody's cells are computed anyway
  let { from } = newest.range
  for (const { tenant, range } of pieces) if (tenant === null && range.to > from) from = range.to
  const range = { from, to: newest.range.to }
  const tenants = new Set(
    pieces.flatMap((one) => (one.tenant !== null && intersect(one.range, range) ? [one.tenant] : [])),
  )
  return { range, tenants: tenants.size > maxTenants ? null : [...tenants].sort() }
}

/** Of longer stretches it is asked where their rows are before they are counted. */
const fewBuckets = 1_000n

/**
 * The newer end of a stretch, as much of it as has about `maxRows` rows; `beyond` lies behind it and has none. A stretch without
 * rows costs nothing, however long it is: `piece` is null. `rows` is an estimate of those of the piece.
 */
export async function newerEnd(
  { base, bucket }: Materialization,
  stretch: TimeRange,
  maxRows: number,
  context: QueryContext,
): Promise<{ readonly piece: TimeRange | null; readonly beyond: TimeRange | null; readonly rows: number }> {
  const every = approximateMicros(bucket.every)
  let piece = stretch
  if (stretch.to - stretch.from > every * fewBuckets) {
    const bounds = await boundsOfTimes(base, stretch, context)
    if (bounds === null) return { piece: null, beyond: stretch, rows: 0 }
    piece = intersect(widen(bucket, bounds), stretch) as TimeRange
  }
  const beyond = piece.to < stretch.to ? { from: piece.to, to: stretch.to } : null
  // an estimate is of whole chunks: asked again of what was chosen, it comes closer
  let rows = 0
  for (let tries = 0; tries < 8; tries++) {
    rows = await estimateRows(base, piece, context)
    if (rows <= maxRows * 1.5) break
    const buckets = Math.floor(((Number(piece.to - piece.from) / Number(every)) * maxRows) / rows)
    const smaller = windowAtEnd(bucket, piece, Math.max(1, buckets), true)
    if (smaller.from === piece.from) break
    piece = smaller
  }
  const most = Math.max(1, Math.floor(context.limits.maxBuckets / 2))
  return { piece: windowAtEnd(bucket, piece, most, true), beyond, rows }
}

/** From the oldest to the newest row; where no index tells, every row's time is read. Null: there is none. */
export async function boundsOfTimes(
  base: HypertableDefinition,
  range: TimeRange,
  context: QueryContext,
): Promise<TimeRange | null> {
  const within = intersect(range, everything)
  if (!within) return null
  const bounds = await boundsOfRows(base, within, context)
  if (bounds === null || (bounds.from !== everything.from && bounds.to !== everything.to)) return bounds
  const node = parseQuery(
    {
      ...(within.from === everything.from ? {} : { from: formatInstant(within.from) }),
      ...(within.to === everything.to ? {} : { to: formatInstant(within.to) }),
      select: { oldest: { fn: 'min', column: base.time }, newest: { fn: 'max', column: base.time } },
    },
    { dataset: base, clock: context.clock },
  )
  const { rows } = await executeQuery(node, context)
  const [{ oldest, newest }] = rows as unknown as [{ oldest: string | null; newest: string | null }]
  if (oldest === null || newest === null) return null
  const end: Instant = parseInstant(newest)
  return { from: parseInstant(oldest), to: end + 1n }
}
