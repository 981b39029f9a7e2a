import { avg, type Tidemark } from 'tidemark'
import type config from './tidemark.config.ts'
import { candles1d, candles1h, candles1m, sourceDaily, sourceReliabilityMetrics } from './tidemark.config.ts'

type Coin87 = Tidemark<typeof config>

/** The questions of the document, asked with types. Rows in the lake are answered, too. */
export const questions = {
  /** Average trust of each source, of the rows of 7 days. */
  trustBySource: (tm: Coin87) =>
    tm.query(sourceReliabilityMetrics, {
      from: '-7 days',
      by: ['source_ref'],
      select: { avg: avg('trust_score') },
      order: ['source_ref'],
    }),

  dailyStats: (tm: Coin87) =>
    tm.query(sourceDaily, { from: '-7 days', to: '+1 day', order: ['bucket', 'source_ref'] }),

  /** Candles of a minute, an hour or a day: each kept by its aggregate, made of the finer one. */
  candles: (tm: Coin87, every: '1 minute' | '1 hour' | '1 day', range: { from: string; to: string }) =>
    tm.query({ '1 minute': candles1m, '1 hour': candles1h, '1 day': candles1d }[every], {
      ...range,
      order: ['bucket', 'exchange', 'symbol'],
    }),
}

/** The same as the document has them, in SQL: `tm.sql`, psql and Grafana take them. SQL sees rows that are not frozen. */
export const statements = {
  trustBySource: `
SELECT source_ref, AVG(trust_score)
FROM source_reliability_metrics
WHERE timestamp > NOW() - INTERVAL '7 days'
GROUP BY source_ref;`,

  dailyStats: `
SELECT * FROM source_daily_stats
WHERE day > NOW() - INTERVAL '7 days';`,

  /** The query inside CREATE MATERIALIZED VIEW … WITH (timescaledb.continuous); `stats.source_hourly` is its declaration. */
  hourlyStats: `
SELECT
    time_bucket('1 hour', timestamp) AS hour,
    source_ref,
    AVG(trust_score) AS avg_trust,
    MAX(error_rate) AS max_errors,
    COUNT(*) AS sample_count
FROM source_reliability_metrics
GROUP BY hour, source_ref;`,

  /** Prices every 10 seconds, also where nobody traded. */
  filledPrices: `
SELECT time_bucket_gapfill('10 seconds', timestamp) AS at, symbol,
       locf(last(price, timestamp)) AS price, coalesce(sum(volume), 0) AS volume
FROM market_price_ticks
WHERE exchange = $1 AND timestamp >= $2 AND timestamp < $3
GROUP BY at, symbol
ORDER BY symbol, at;`,
} as const
