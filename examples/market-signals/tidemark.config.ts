import { avg, candlestick, continuousAggregate, count, last, max } from 'tidemark'
import { defineConfig, hypertable, t, table, view } from 'tidemark/schema'

/** The database of Coin87, which watches news sources and markets: high-frequency metrics beside what is only ever appended. */

const policy = { chunk: '1 day', maxChunks: 400, freeze: { after: '7 days' }, retain: '90 days' } as const

export const sourceReliabilityMetrics = hypertable('source_reliability_metrics', {
  columns: {
    timestamp: t.timestamptz(),
    source_ref: t.text(),
    trust_score: t.float8().nullable(),
    response_time_ms: t.int4().nullable(),
    error_rate: t.float8().nullable(),
  },
  primaryKey: ['timestamp', 'source_ref'],
  time: 'timestamp',
  orderBy: ['source_ref', 'timestamp'],
  ...policy,
})

export const marketPriceTicks = hypertable('market_price_ticks', {
  columns: {
    timestamp: t
      .timestamptz()
      .comment('of the exchange; the microseconds number the trades of one millisecond'),
    symbol: t.text(),
    price: t.numeric(18, 8).nullable(),
    volume: t.numeric(18, 8).nullable(),
    exchange: t.text(),
  },
  primaryKey: ['timestamp', 'symbol', 'exchange'],
  time: 'timestamp',
  orderBy: ['symbol', 'exchange', 'timestamp'],
  ...policy,
})

export const sentimentScores = hypertable('sentiment_scores', {
  columns: {
    timestamp: t.timestamptz(),
    narrative_id: t.text(),
    sentiment_score: t.float8().nullable(),
    volume: t.int4().nullable(),
  },
  primaryKey: ['timestamp', 'narrative_id'],
  time: 'timestamp',
  orderBy: ['narrative_id', 'timestamp'],
  ...policy,
})

export const alertEvents = hypertable('alert_events', {
  columns: {
    timestamp: t.timestamptz(),
    alert_type: t.text(),
    severity: t.text().nullable(),
    source_ref: t.text().nullable(),
    metadata: t.jsonb().nullable(),
  },
  primaryKey: ['timestamp', 'alert_type'],
  time: 'timestamp',
  orderBy: ['alert_type', 'timestamp'],
  ...policy,
})

export const informationEvents = table('information_events', {
  columns: {
    id: t.uuid(),
    received_at: t.timestamptz(),
    source_ref: t.text(),
    title: t.text(),
    body: t.jsonb(),
  },
  primaryKey: ['id'],
  indexes: [['source_ref', '-received_at']],
  appendOnly: true,
  comment: 'What was taken in, as it came. Never changed.',
})

export const governanceLogs = table('governance_logs', {
  columns: {
    id: t.uuid(),
    at: t.timestamptz(),
    actor: t.text(),
    action: t.text(),
    details: t.jsonb().nullable(),
  },
  primaryKey: ['id'],
  indexes: [['-at']],
  appendOnly: true,
  comment: 'Who did what. Never changed.',
})

/** The hourly view of the document refreshes every hour; between two refreshes an answer takes new rows from the table. */
export const sourceHourly = continuousAggregate('stats.source_hourly', {
  from: sourceReliabilityMetrics,
  bucket: '1 hour',
  by: ['source_ref'],
  select: { avg_trust: avg('trust_score'), max_errors: max('error_rate'), sample_count: count() },
  refresh: { every: '1 hour' },
})

/** Made of the hours, and exact: an average is kept as sum and count. */
export const sourceDaily = continuousAggregate('stats.source_daily', {
  from: sourceHourly,
  bucket: '1 day',
  by: ['source_ref'],
  select: { avg_trust: 'avg_trust', max_errors: 'max_errors', sample_count: 'sample_count' },
  refresh: { every: '1 hour' },
  retain: '2 years',
})

export const candles1m = continuousAggregate('stats.candles_1m', {
  from: marketPriceTicks,
  bucket: '1 minute',
  by: ['symbol', 'exchange'],
  select: { ...candlestick('price', 'volume'), ticks: count() },
  refresh: { every: '1 minute' },
  retain: '5 years',
})

const candle = {
  open: 'open',
  high: 'high',
  low: 'low',
  close: 'close',
  volume: 'volume',
  ticks: 'ticks',
} as const

export const candles1h = continuousAggregate('stats.candles_1h', {
  from: candles1m,
  bucket: '1 hour',
  by: ['symbol', 'exchange'],
  select: candle,
  refresh: { every: '5 minutes' },
})

export const candles1d = continuousAggregate('stats.candles_1d', {
  from: candles1h,
  bucket: '1 day',
  by: ['symbol', 'exchange'],
  select: candle,
  refresh: { every: '1 hour' },
})

export const sentimentDaily = continuousAggregate('stats.sentiment_daily', {
  from: sentimentScores,
  bucket: '1 day',
  by: ['narrative_id'],
  select: { mean: avg('sentiment_score'), latest: last('sentiment_score'), samples: count() },
  refresh: { every: '1 hour' },
  retain: '2 years',
})

/** The names and columns that the document's SQL uses. */
export const sourceHourlyStats = view(
  'source_hourly_stats',
  'select bucket as hour, source_ref, avg_trust, max_errors, sample_count from stats.source_hourly',
  {
    columns: {
      hour: t.timestamptz(),
      source_ref: t.text(),
      avg_trust: t.float8().nullable(),
      max_errors: t.float8().nullable(),
      sample_count: t.int8(),
    },
  },
)

export const sourceDailyStats = view(
  'source_daily_stats',
  'select bucket as day, source_ref, avg_trust, max_errors, sample_count from stats.source_daily',
  {
    columns: {
      day: t.timestamptz(),
      source_ref: t.text(),
      avg_trust: t.float8().nullable(),
      max_errors: t.float8().nullable(),
      sample_count: t.int8(),
    },
  },
)

export default defineConfig({
  datasets: [
    sourceReliabilityMetrics,
    marketPriceTicks,
    sentimentScores,
    alertEvents,
    informationEvents,
    governanceLogs,
    sourceHourly,
    sourceDaily,
    candles1m,
    candles1h,
    candles1d,
    sentimentDaily,
  ],
  views: [sourceHourlyStats, sourceDailyStats],
  boards: ['boards/*.json'],
})
