import { continuousAggregate, count, percentile, sum, uniques } from 'tidemark'
import { defineConfig, hypertable, t, table, view } from 'tidemark/schema'

/** The database of an LLM analytics hub: what its TimescaleDB schema declares, on plain PostgreSQL. */

const dayChunks = { chunk: '1 day', maxChunks: 400 } as const

export const llmRequests = hypertable('metrics.llm_requests', {
  columns: {
    time: t.timestamptz(),
    provider: t.text(),
    model: t.text(),
    user_id: t.text().nullable(),
    status: t.text().default('ok'),
    latency_ms: t.float8().nullable(),
    prompt_tokens: t.int4(),
    completion_tokens: t.int4(),
    cost_usd: t.numeric().nullable(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  indexes: [
    ['user_id', '-time'],
    ['model', '-time'],
    ['provider', '-time'],
    ['status', '-time'],
  ],
  orderBy: ['model', 'time'],
  ...dayChunks,
  freeze: { after: '7 days' },
  retain: '365 days',
  comment: 'One row for each request to a model.',
})

export const tokenUsage = hypertable('metrics.token_usage', {
  columns: {
    time: t.timestamptz(),
    user_id: t.text().nullable(),
    model: t.text(),
    kind: t.text().comment('prompt or completion'),
    tokens: t.int8(),
  },
  time: 'time',
  indexes: [['model', '-time']],
  orderBy: ['model', 'kind', 'time'],
  ...dayChunks,
  freeze: { after: '7 days' },
  retain: '365 days',
})

export const costTracking = hypertable('metrics.cost_tracking', {
  columns: {
    time: t.timestamptz(),
    provider: t.text(),
    model: t.text(),
    user_id: t.text().nullable(),
    cost_usd: t.numeric(),
  },
  time: 'time',
  indexes: [['model', '-time']],
  orderBy: ['provider', 'model', 'time'],
  ...dayChunks,
  freeze: { after: '30 days' },
  retain: '730 days',
})

export const systemEvents = hypertable('events.system_events', {
  columns: {
    time: t.timestamptz(),
    event_type: t.text(),
    severity: t.text().default('info'),
    source: t.text().nullable(),
    message: t.text().nullable(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  indexes: [['event_type', '-time']],
  orderBy: ['event_type', 'time'],
  ...dayChunks,
  freeze: { after: '7 days' },
  retain: '90 days',
})

export const errorLogs = hypertable('events.error_logs', {
  columns: {
    time: t.timestamptz(),
    provider: t.text().nullable(),
    model: t.text().nullable(),
    error_type: t.text(),
    message: t.text().nullable(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  indexes: [['error_type', '-time']],
  orderBy: ['error_type', 'time'],
  ...dayChunks,
  freeze: { after: '14 days' },
  retain: '180 days',
})

export const modelPerformance = hypertable('analytics.model_performance', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    metric: t.text(),
    value: t.float8(),
    samples: t.int4().default(1),
  },
  time: 'time',
  primaryKey: ['model', 'metric', 'time'],
  orderBy: ['model', 'metric', 'time'],
  chunk: '7 days',
})

export const metadata = table('analytics.metadata', {
  columns: {
    key: t.text(),
    value: t.jsonb(),
    updated_at: t.timestamptz().defaultSql('now()'),
  },
  primaryKey: ['key'],
})

/** Percentiles and users are kept as sketches: those of a month are made of its hours, within their stated error. */
export const hourlyRequestStats = continuousAggregate('aggregates.hourly_request_stats', {
  from: llmRequests,
  bucket: '1 hour',
  by: ['provider', 'model', 'status'],
  select: {
    requests: count(),
    p50: percentile('latency_ms', 0.5),
    p95: percentile('latency_ms', 0.95),
    p99: percentile('latency_ms', 0.99),
    users: uniques('user_id'),
    prompt_tokens: sum('prompt_tokens'),
    completion_tokens: sum('completion_tokens'),
  },
  refresh: { every: '1 hour' },
  retain: '730 days',
})

export const dailyCostSummary = continuousAggregate('aggregates.daily_cost_summary', {
  from: costTracking,
  bucket: '1 day',
  by: ['provider', 'model'],
  select: { cost: sum('cost_usd'), requests: count(), users: uniques('user_id') },
  refresh: { every: '1 day' },
})

export const errorRateByModel = continuousAggregate('aggregates.error_rate_by_model', {
  from: llmRequests,
  bucket: '15 minutes',
  by: ['model'],
  select: { requests: count(), errors: count({ where: { status: { ne: 'ok' } } }) },
  refresh: { every: '15 minutes' },
  retain: '365 days',
})

export const recentRequests = view(
  'analytics.recent_requests',
  `
  select time, provider, model, user_id, status, latency_ms, prompt_tokens, completion_tokens, cost_usd
  from metrics.llm_requests
  where time > now() - interval '1 hour'
  order by time desc
  limit 1000`,
  {
    columns: {
      time: t.timestamptz(),
      provider: t.text(),
      model: t.text(),
      user_id: t.text().nullable(),
      status: t.text(),
      latency_ms: t.float8().nullable(),
      prompt_tokens: t.int4(),
      completion_tokens: t.int4(),
      cost_usd: t.numeric().nullable(),
    },
  },
)

/** A view is SQL, and SQL sees what is not frozen: so it asks for no more than `freeze.after` leaves in PostgreSQL. */
export const topModelsByUsage = view(
  'analytics.top_models_by_usage',
  `
  select model,
         count(*) as requests,
         sum(prompt_tokens::int8 + completion_tokens) as tokens,
         sum(cost_usd) as cost_usd
  from metrics.llm_requests
  where time > now() - interval '7 days'
  group by model
  order by requests desc
  limit 100`,
  {
    columns: { model: t.text(), requests: t.int8(), tokens: t.numeric(), cost_usd: t.numeric().nullable() },
  },
)

export default defineConfig({
  datasets: [
    llmRequests,
    tokenUsage,
    costTracking,
    systemEvents,
    errorLogs,
    modelPerformance,
    metadata,
    hourlyRequestStats,
    dailyCostSummary,
    errorRateByModel,
  ],
  views: [recentRequests, topModelsByUsage],
  boards: ['boards/*.json'],
})
