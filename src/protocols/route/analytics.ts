import { type AnalyticsRoute, protocolSources } from '../../schema/index.ts'
import { formatInstant, type Instant, isTimeOfRow, microsPerDay, tryParseInstant } from '../../time/index.ts'
import { sourceColumns } from './columns.ts'
import type { RoutedRow } from './contract.ts'

/** A batch of a browser, when it came. */
export interface AnalyticsBatch {
  /** `{ sentAt, dropped, events: [...] }`, or what older trackers send: the list alone, or in an object. */
  readonly body: unknown
  readonly receivedAt: Instant
  /** The header of the request. */
  readonly userAgent: string | null
  /** Where the request came from. */
  readonly address: string | null
}

export interface AnalyticsRouterOptions {
  /** Whether a step of enrichment reads `ip`, and so takes it away. */
  readonly isAddressRead: boolean
}

/** An event that is older than `maxAge` when it comes, as a row that could be stored. */
export interface OldEvent {
  readonly index: number
  readonly column: string
  readonly value: string
  readonly message: string
  readonly row: RoutedRow
}

export interface AnalyticsRows {
  /** In the order of their events; one that is no object is what it is. */
  readonly rows: readonly unknown[]
  /** Of each row, the place of its event. */
  readonly indexes: readonly number[]
  readonly old: readonly OldEvent[]
  /** Events that the sender had to give up. */
  readonly dropped: number
}

/** A skew up to this is the way of the request: the tracker waits 30 s for an answer, and few take so long. */
const ignoredSkewMicros = 10_000_000n
/** Seconds of a time from here on are milliseconds: the year 5138, or 1973. */
const leastMillis = 100_000_000_000

/**
 * From events to rows, by `ingest.analytics`. Times are put right by the skew of the sender's clock, `receivedAt - sentAt`, where it is
 * over ten seconds; a time that would lie in the future is the time of receipt.
 *
 * What cannot be read is left as it came, so that the check of rows says what is wrong and keeps it. A text comes back where
 * there is no list of events to read at all.
 *
 * The address goes to the column that the route names for it, if any, and to steps as `ip` where that is no column.
 */
export function createAnalyticsRouter(
  route: AnalyticsRoute,
  { isAddressRead }: AnalyticsRouterOptions = { isAddressRead: false },
): (batch: AnalyticsBatch) => AnalyticsRows | string {
  const columns = sourceColumns(route, protocolSources.analytics)
  const { maxAgeMicros } = route
  const { time } = route.into
  const isAddressPassed = isAddressRead && !Object.hasOwn(route.into.columns, 'ip')
  return ({ body, receivedAt, userAgent, address }) => {
    const head = headOf(body)
    if (typeof head === 'string') return head
    const skew = head.sentAt === null ? 0n : receivedAt - head.sentAt
    const correction = skew > ignoredSkewMicros || skew < -ignoredSkewMicros ? skew : 0n
    const rows: unknown[] = []
    const indexes: number[] = []
    const old: OldEvent[] = []
    head.events.forEach((event, index) => {
      if (!isObject(event)) {
        rows.push(event)
        indexes.push(index)
        return
      }
      const happened = timeOf(event['timestamp'])
      const corrected = typeof happened === 'bigint' ? happened + correction : null
      const at = corrected !== null && corrected > receivedAt ? receivedAt : corrected
      const row = rowOf(event, at === null ? event['timestamp'] : textOf(at))
      columns.set(row, 'received', formatInstant(receivedAt))
      columns.set(row, 'userAgent', userAgent)
      columns.set(row, 'ip', address)
      if (at !== null && receivedAt - at > maxAgeMicros)
        old.push({ index, column: time, value: textOf(at), message: ageProblem(route), row })
      else {
        // not with those above, which no step sees: they are kept as they are
        if (isAddressPassed && address !== null) row['ip'] = address
        rows.push(row)
        indexes.push(index)
      }
    })
    return { rows, indexes, old, dropped: head.dropped }
  }

  function rowOf(event: Readonly<Record<string, unknown>>, at: unknown): RoutedRow {
    const of = (name: string, older: string): unknown => event[name] ?? event[older]
    const row: RoutedRow = { [time]: at }
    columns.set(row, 'id', of('id', 'event_id'))
    columns.set(row, 'event', of('event', 'event_name'))
    columns.set(row, 'category', event['category'] ?? 'general')
    columns.set(row, 'userId', of('userId', 'user_id'))
    columns.set(row, 'anonymousId', of('anonymousId', 'anonymous_id'))
    columns.set(row, 'sessionId', of('sessionId', 'session_id'))
    columns.set(row, 'pageUrl', of('pageUrl', 'page_url'))
    columns.set(row, 'referrer', event['referrer'])
    columns.set(row, 'properties', event['properties'] ?? {})
    columns.set(row, 'device', of('device', 'device_info'))
    return row
  }
}

function ageProblem({ into, maxAgeMicros }: AnalyticsRoute): string {
  const days = maxAgeMicros / microsPerDay
  return `"${into.time}" is more than ${days} days before the event came; if it is right, replay the row: ingest.analytics.maxAge says how old events may be`
}

/** A time that no text can name is refused by the check of rows. */
function textOf(at: Instant): string {
  return isTimeOfRow(at) ? formatInstant(at) : String(at)
}

interface Head {
  readonly events: readonly unknown[]
  readonly sentAt: Instant | null
  readonly dropped: number
}

function headOf(body: unknown): Head | string {
  if (Array.isArray(body)) return { events: body, sentAt: null, dropped: 0 }
  const events = isObject(body) ? body['events'] : null
  if (!isObject(body) || !Array.isArray(events))
    return 'the body is neither an object with the list `events` nor such a list'
  const { dropped = 0, sentAt } = body
  if (typeof dropped !== 'number' || !Number.isSafeInteger(dropped) || dropped < 0)
    return '`dropped` is not a whole number from 0 on'
  if (sentAt === undefined || sentAt === null) return { events, sentAt: null, dropped }
  const sent = timeOf(sentAt)
  if (typeof sent === 'string') return `\`sentAt\` ${sent}`
  return { events, sentAt: sent, dropped }
}

/** ISO 8601 with a zone, or a number: milliseconds, or seconds, since the epoch. Otherwise what is wrong with it. */
function timeOf(value: unknown): Instant | string {
  if (typeof value === 'string') return tryParseInstant(value)
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'is no time'
  const micros = Math.abs(value) < leastMillis ? value * 1e6 : value * 1e3
  return Number.isSafeInteger(Math.round(micros)) ? BigInt(Math.round(micros)) : 'is no time'
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
