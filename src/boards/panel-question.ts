import type { QueryableDefinition } from '../schema/index.ts'
import {
  addInterval,
  approximateMicros,
  bucketMisfit,
  formatInstant,
  type Instant,
  parseInterval,
  parsePoint,
  type TimeRange,
} from '../time/index.ts'
import { autoBucket } from '../util/auto-bucket.ts'
import type { BoardDocument, Panel, SharedQuestion } from './contract.ts'
import { within, wrong } from './problem.ts'

/** The range of a board for a panel at a moment: relative days are days of its zone. @throws TidemarkError TM_QUERY */
export function rangeOfBoard(
  { range: { from, to } }: BoardDocument,
  now: Instant,
  zone: string | null,
): TimeRange {
  const at = (path: string, point: string): Instant =>
    within(`document.range.${path}`, () => parsePoint(point, now, zone))
  return { from: at('from', from), to: to === undefined ? now : at('to', to) }
}

/** What of it is asked for. Never anything outside. @throws TidemarkError TM_QUERY where nothing is left. */
export function rangeInside(
  whole: TimeRange,
  { from, to }: SharedQuestion,
  now: Instant,
  zone: string | null,
): TimeRange {
  const at = (path: string, point: unknown, fallback: Instant): Instant => {
    if (point === undefined || point === null) return fallback
    if (typeof point !== 'string') return wrong(path, 'must be a text such as "-1 day" or a time')
    return within(path, () => parsePoint(point, now, zone))
  }
  const asked = { from: at('from', from, whole.from), to: at('to', to, whole.to) }
  const range = {
    from: asked.from > whole.from ? asked.from : whole.from,
    to: asked.to < whole.to ? asked.to : whole.to,
  }
  if (range.from < range.to) return range
  return wrong(
    'from',
    `nothing of the range asked for is in that of the board, ${formatInstant(whole.from)} to ${formatInstant(whole.to)}`,
  )
}

/** As much earlier as the panel compares with. */
export function comparedRange({ from, to }: TimeRange, { compare, query }: Panel): TimeRange {
  if (compare === undefined) return wrong('compare', 'the panel compares with nothing')
  if (compare === 'previous') return { from: from - (to - from), to: from }
  const interval = within('compare', () => parseInterval(compare))
  const zone = query.zone ?? null
  return { from: addInterval(from, interval, zone, -1), to: addInterval(to, interval, zone, -1) }
}

/**
 * The query of a panel over a range, as it is asked.
 *
 * @param texts of the range, where those are relative: a question that is the same a moment later can have an answer that is kept.
 */
export function panelQuestion(
  { query: { dataset, bucket, ...query } }: Panel,
  range: TimeRange,
  definition: QueryableDefinition,
  texts: { readonly from: string; readonly to: string } = {
    from: formatInstant(range.from),
    to: formatInstant(range.to),
  },
): Readonly<Record<string, unknown>> {
  const chosen = bucket === 'auto' ? bucketFor(range, definition, query.zone ?? null) : bucket
  return {
    ...query,
    ...(chosen === undefined ? {} : { bucket: chosen }),
    // a plain table has no time
    ...(definition.kind === 'table' ? {} : texts),
  }
}

/** Of a continuous aggregate one that is made of whole buckets of its own; undefined: that. */
function bucketFor(
  { from, to }: TimeRange,
  definition: QueryableDefinition,
  zone: string | null,
): string | undefined {
  const lengthMs = Number((to - from) / 1000n)
  if (definition.kind !== 'aggregate') return autoBucket(lengthMs)
  const own = definition.bucket
  const wanted = autoBucket(lengthMs, Number(approximateMicros(own.every) / 1000n))
  const fits = bucketMisfit(own, { every: parseInterval(wanted), zone: zone ?? own.zone }) === null
  return fits ? wanted : undefined
}
