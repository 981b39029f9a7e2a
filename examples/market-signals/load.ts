import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createGunzip } from 'node:zlib'
import type { Tidemark } from 'tidemark'
import { logAction, recordSentiment, recordSourceChecks, recordTrades, type Trade, takeIn } from './ingest.ts'
import type config from './tidemark.config.ts'

type Coin87 = Tidemark<typeof config>

/** 78,638 trades of Binance, 11 minutes of 2024-08-08 and -09, where somebody has put them beside the project. */
export const realTrades = fileURLToPath(
  new URL('../../../shared/data/market/binance_trades_20240808.csv.gz', import.meta.url),
)

export async function* readTrades(file: string): AsyncGenerator<Trade> {
  const lines = createInterface({ input: createReadStream(file).pipe(createGunzip()) })
  let isHeader = true
  for await (const line of lines) {
    const [venue, , , , symbol, eventMs, , , price, volume] = line.split(',')
    if (!isHeader)
      yield {
        exchange: `binance-${venue}`,
        symbol: symbol as string,
        timeMs: Number(eventMs),
        price: price as string,
        volume: volume as string,
      }
    isHeader = false
  }
}

/** A random walk: not real prices, and said so in the report. */
export function* makeTrades(trades: number, from: Date): Generator<Trade> {
  const random = mulberry32(87)
  let price = 61_000
  for (let i = 0; i < trades; i++) {
    price *= 1 + (random() - 0.5) / 5000
    yield {
      exchange: 'made-up',
      symbol: 'BTCUSDT',
      timeMs: from.getTime() + Math.floor(i / 3) * 40,
      price: price.toFixed(2),
      volume: (random() / 10).toFixed(5),
    }
  }
}

export interface LoadReport {
  readonly ticks: number
  readonly source: 'real trades' | 'made up'
}

/**
 * Trades from the file where it is, otherwise made up. What news sources were like is made up always: three sources, a check every
 * 10 minutes for 3 days, one of them failing for an hour.
 */
export async function loadSignals(tm: Coin87, now: Date, file = realTrades): Promise<LoadReport> {
  const isReal = existsSync(file)
  const minute = 60_000
  const ticks = await recordTrades(
    tm,
    isReal ? readTrades(file) : makeTrades(30_000, new Date(now.getTime() - 60 * minute)),
  )
  const random = mulberry32(7)
  const start = Math.floor(now.getTime() / (10 * minute)) * 10 * minute - 3 * 24 * 60 * minute
  const times = Array.from({ length: 3 * 24 * 6 }, (_, i) => new Date(start + i * 10 * minute))
  await recordSourceChecks(
    tm,
    times.flatMap((at, i) =>
      ['reuters', 'exchange-blog', 'forum'].map((source, s) => {
        const fails = source === 'forum' && i >= 100 && i < 106
        return {
          source,
          at,
          trust: fails ? 0.2 : 0.9 - s * 0.2 + random() * 0.05,
          responseMs: Math.round(80 + random() * 200 * (s + 1)),
          errorRate: fails ? 0.9 : random() * 0.05,
        }
      }),
    ),
  )
  await recordSentiment(
    tm,
    times.map((at, i) => ({
      timestamp: at,
      narrative_id: 'etf-approval',
      sentiment_score: Math.sin(i / 40),
      volume: Math.round(random() * 100),
    })),
  )
  await takeIn(tm, { at: now, source: 'reuters', title: 'Made-up headline', body: { words: 300 } })
  await logAction(tm, 'load', 'loaded', { ticks })
  return { ticks, source: isReal ? 'real trades' : 'made up' }
}

/** A small random generator with a seed (public domain, by Tommy Ettinger). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 15), z | 1)
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32
  }
}
