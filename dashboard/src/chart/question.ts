import { autoBucket, type DatasetInfo } from 'tidemark/client'
import type { PanelContent } from './panel.ts'
import { isCalendar, lengthMs, type RangeText, roughLength } from './times.ts'

/** What is asked of the server for a panel. Pure. */

export interface Question {
  readonly dataset: string
  /** As the client and HTTP take it. */
  readonly query: Readonly<Record<string, unknown>>
  /** Null: the range is one piece. */
  readonly bucket: string | null
  /** About, where it is of a calendar. */
  readonly bucketMs: number | null
  readonly by: readonly string[]
}

export interface QuestionOptions {
  /** Of the chart in CSS pixels: a bucket is some pixels wide. */
  readonly width: number
  /** The reader's zone: days begin at its midnights. */
  readonly zone: string
  readonly now: number
}

/** Steps of widths, so that a window that grows by a pixel asks nothing anew. */
const widthStep = 200
const pixelsOfBucket: Readonly<Record<string, number>> = {
  line: 2.5,
  bar: 7,
  stacked: 7,
  heatmap: 10,
  table: 12,
  number: 12,
}

/** How many buckets a chart of this width shows well. */
export function mostBuckets(chart: string, width: number): number {
  const stepped = Math.max(widthStep, Math.round(width / widthStep) * widthStep)
  return Math.max(20, Math.floor(stepped / (pixelsOfBucket[chart] ?? 4)))
}

/** A bucket that is made of whole ones of a continuous aggregate: the automatic one, or its own. */
function bucketOver(own: string, wanted: string): string {
  const [ownMs, wantedMs] = [lengthMs(own), lengthMs(wanted)]
  if (ownMs === null || wantedMs === null || wantedMs <= ownMs) return own
  if (isCalendar(own)) return isCalendar(wanted) && monthsOf(wanted) % monthsOf(own) === 0 ? wanted : own
  if (isCalendar(wanted)) return 86_400_000 % ownMs === 0 ? wanted : own
  return wantedMs % ownMs === 0 ? wanted : own
}

function monthsOf(text: string): number {
  const n = Number(/\d+/.exec(text)?.[0] ?? 1)
  return /y/i.test(text) ? n * 12 : /q/i.test(text) ? n * 3 : n
}

function bucketOf(
  panel: PanelContent,
  info: DatasetInfo,
  range: RangeText,
  options: QuestionOptions,
): string | null {
  const { bucket } = panel.query
  if (bucket === undefined || bucket === null) return null
  if (bucket !== 'auto') return bucket
  const own = info.aggregate?.bucket
  const least = own === undefined ? 0 : (lengthMs(own) ?? 0)
  const wanted = autoBucket(roughLength(range, options.now), least, mostBuckets(panel.chart, options.width))
  return own === undefined ? wanted : bucketOver(own, wanted)
}

/** Whether buckets of this length follow the clock of a zone: days do, and what a day is made of. */
function followsZone(bucket: string): boolean {
  const ms = lengthMs(bucket)
  if (ms === null) return false
  return isCalendar(bucket) || ms % 86_400_000 === 0 || (ms >= 3_600_000 && 86_400_000 % ms === 0)
}

/** A date is UTC's, whether or not the buckets follow another zone. */
function whole(text: string): string {
  return /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text
}

/**
 * @example
 * questionOf({ title: '', chart: 'line', query: { dataset: 'metrics.cpu', bucket: 'auto', select } }, { from: '-1 day', to: null }, info, options)
 */
export function questionOf(
  panel: PanelContent,
  range: RangeText,
  info: DatasetInfo,
  options: QuestionOptions,
): Question {
  const { dataset, bucket: _, by, zone, ...rest } = panel.query
  const isTimed = info.time !== null
  const bucket = isTimed ? bucketOf(panel, info, range, options) : null
  const own =
    zone ??
    (bucket !== null && info.kind === 'hypertable' && options.zone !== 'UTC' && followsZone(bucket)
      ? options.zone
      : undefined)
  return {
    dataset,
    bucket,
    bucketMs: bucket === null ? null : lengthMs(bucket),
    by: by ?? (rest.select === undefined ? (info.aggregate?.keys ?? []) : []),
    query: {
      ...rest,
      ...(by === undefined ? {} : { by }),
      ...(isTimed && range.from !== null ? { from: whole(range.from) } : {}),
      ...(isTimed ? { to: whole(range.to ?? 'now') } : {}),
      // a continuous aggregate has a bucket of its own unless it is told not to
      ...(bucket !== null ? { bucket } : info.kind === 'aggregate' ? { bucket: null } : {}),
      ...(own === undefined ? {} : { zone: own }),
    },
  }
}

/** The same question about the time before; null where the range has no beginning or what to compare with is no length. */
export function questionBefore(
  question: Question,
  range: { readonly from: number; readonly to: number },
  compare: string,
): Question | null {
  const shift = shiftOf(range, compare)
  if (shift === null) return null
  const { from, to } = shift
  return {
    ...question,
    query: { ...question.query, from: new Date(from).toISOString(), to: new Date(to).toISOString() },
  }
}

/** The range to compare with, in ms. */
export function shiftOf(
  { from, to }: { readonly from: number; readonly to: number },
  compare: string,
): { readonly from: number; readonly to: number } | null {
  if (compare === 'previous') return { from: from - (to - from), to: from }
  if (isCalendar(compare))
    return { from: monthsBefore(from, monthsOf(compare)), to: monthsBefore(to, monthsOf(compare)) }
  const ms = lengthMs(compare)
  return ms === null ? null : { from: from - ms, to: to - ms }
}

/** The 31st of a month that has none is its last day. */
function monthsBefore(ms: number, months: number): number {
  const date = new Date(ms)
  const day = date.getUTCDate()
  date.setUTCDate(1)
  date.setUTCMonth(date.getUTCMonth() - months)
  const last = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()
  date.setUTCDate(Math.min(day, last))
  return date.getTime()
}
