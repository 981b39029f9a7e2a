import { randomUUID } from 'node:crypto'
import type { InsertRow, Tidemark } from 'tidemark'
import type config from './tidemark.config.ts'
import {
  alertEvents,
  governanceLogs,
  informationEvents,
  marketPriceTicks,
  sentimentScores,
  sourceReliabilityMetrics,
} from './tidemark.config.ts'

/** The jobs that write. Called again with the same rows, each leaves one of each: its key keeps what is there, or takes the correction. */

type Coin87 = Tidemark<typeof config>
type Rows<R> = Iterable<R> | AsyncIterable<R>

export interface Trade {
  readonly exchange: string
  readonly symbol: string
  /** ms since the epoch, by the exchange's clock. */
  readonly timeMs: number
  readonly price: string
  readonly volume: string
}

/**
 * Trades in the order of the exchange. Many have the same millisecond (two of three in the public captures), which the key of the
 * table allows once: the microseconds, which the exchange leaves open, number them.
 */
export async function recordTrades(tm: Coin87, trades: Rows<Trade>): Promise<number> {
  return tm.insert(marketPriceTicks, numberTrades(trades), { onConflict: 'ignore' })
}

async function* numberTrades(trades: Rows<Trade>): AsyncGenerator<InsertRow<typeof marketPriceTicks>> {
  const newest = new Map<string, { timeMs: number; trades: number }>()
  for await (const { exchange, symbol, timeMs, price, volume } of trades) {
    const key = `${exchange} ${symbol}`
    const before = newest.get(key)
    const number = before?.timeMs === timeMs ? before.trades : 0
    if (number === 1000) throw new Error(`${key} has more than 1000 trades in millisecond ${timeMs}`)
    newest.set(key, { timeMs, trades: number + 1 })
    yield { timestamp: BigInt(timeMs) * 1000n + BigInt(number), symbol, price, volume, exchange }
  }
}

export interface SourceCheck {
  readonly source: string
  readonly at: Date
  readonly trust: number
  readonly responseMs: number
  readonly errorRate: number
}

/** Health of sources. A check that comes again corrects the first. An error rate above a half is an alert, too. */
export async function recordSourceChecks(tm: Coin87, checks: readonly SourceCheck[]): Promise<void> {
  await tm.upsert(
    sourceReliabilityMetrics,
    checks.map(({ source, at, trust, responseMs, errorRate }) => ({
      timestamp: at,
      source_ref: source,
      trust_score: trust,
      response_time_ms: responseMs,
      error_rate: errorRate,
    })),
  )
  // one alert of a type at a time, as its key says: the worst
  const worst = new Map<number, SourceCheck>()
  for (const check of checks) {
    const known = worst.get(check.at.getTime())
    if (check.errorRate > 0.5 && check.errorRate > (known?.errorRate ?? 0))
      worst.set(check.at.getTime(), check)
  }
  await tm.upsert(
    alertEvents,
    [...worst.values()].map(({ source, at, errorRate }) => ({
      timestamp: at,
      alert_type: 'source_errors',
      severity: errorRate > 0.8 ? 'critical' : 'warning',
      source_ref: source,
      metadata: { error_rate: errorRate },
    })),
  )
}

export async function recordSentiment(
  tm: Coin87,
  scores: Rows<InsertRow<typeof sentimentScores>>,
): Promise<void> {
  await tm.upsert(sentimentScores, scores)
}

/** An article as it came in. It can be inserted, and nothing else: also not by the owner of the table. */
export async function takeIn(
  tm: Coin87,
  event: { readonly at: Date; readonly source: string; readonly title: string; readonly body: object },
): Promise<string> {
  const id = randomUUID()
  await tm.insert(informationEvents, [
    { id, received_at: event.at, source_ref: event.source, title: event.title, body: { ...event.body } },
  ])
  return id
}

export async function logAction(
  tm: Coin87,
  actor: string,
  action: string,
  details: object = {},
): Promise<void> {
  await tm.insert(governanceLogs, [
    { id: randomUUID(), at: new Date(), actor, action, details: { ...details } },
  ])
}
