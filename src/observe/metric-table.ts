/** What a metric is; docs/reference/metrics.md is written from this. */
export interface MetricDefinition {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Each has a bounded set of values: what is declared, routes, codes of errors. Never a tenant, never what a caller sent. */
  readonly labels: readonly string[]
  readonly help: string
  /** `process`: counted here. `catalog`: of the database, read at most every few seconds, absent while it cannot be read. */
  readonly of: 'process' | 'catalog'
}

type Labels = readonly string[]

const counter = <const L extends Labels>(name: string, labels: L, help: string) =>
  ({ name: `tidemark_${name}`, type: 'counter', labels, help, of: 'process' }) as const
const gauge = <const L extends Labels>(name: string, labels: L, help: string) =>
  ({ name: `tidemark_${name}`, type: 'gauge', labels, help, of: 'process' }) as const
const histogram = <const L extends Labels>(name: string, labels: L, help: string) =>
  ({ name: `tidemark_${name}`, type: 'histogram', labels, help, of: 'process' }) as const
const stored = <const L extends Labels>(name: string, labels: L, help: string) =>
  ({ name: `tidemark_${name}`, type: 'gauge', labels, help, of: 'catalog' }) as const
const storedCounter = <const L extends Labels>(name: string, labels: L, help: string) =>
  ({ name: `tidemark_${name}`, type: 'counter', labels, help, of: 'catalog' }) as const

/** Seconds; from what a cached answer takes to the longest time limit that is usual. */
export const latencyBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const

/** Every metric of Tidemark, by what it is about. */
export const metricTable = {
  server: {
    up: gauge('up', [], 'Whether PostgreSQL answered when the catalog was read last: 1 or 0.'),
    buildInfo: gauge('build_info', ['version'], 'The version that runs; always 1.'),
    readErrors: counter('collect_errors_total', ['part'], 'Parts of the catalog that could not be read.'),
    readDuration: gauge('collect_duration_seconds', [], 'How long reading the catalog took last.'),
  },
  traffic: {
    httpDuration: histogram(
      'http_request_duration_seconds',
      ['method', 'route', 'status'],
      'From the arrival of a request to the end of its answer; 499: the client went away. Streams are not counted.',
    ),
    httpInFlight: gauge(
      'http_requests_in_flight',
      [],
      'Requests that are being answered, streams among them.',
    ),
    liveSubscriptions: gauge('live_subscriptions', [], 'Subscribers of live queries.'),
    liveUpstreams: gauge('live_upstreams', [], 'Distinct live queries that are computed for them.'),
    liveComputations: counter('live_computations_total', [], 'Times that live queries were computed.'),
    liveMessages: counter('live_messages_total', [], 'Messages to subscribers.'),
    liveDropped: counter(
      'live_dropped_total',
      [],
      'Subscriptions that were ended because their reader was too slow.',
    ),
    feedLag: gauge(
      'feed_lag_seconds',
      [],
      'How long ago the change feed has told everything that was committed; absent while nobody listens.',
    ),
    poolConnections: gauge('pool_connections', ['state'], 'Connections to PostgreSQL: in_use or idle.'),
    poolMax: gauge('pool_max_connections', [], 'Connections at most (database.maxConnections).'),
    poolWaiting: gauge('pool_waiting_calls', [], 'Calls that wait for a connection.'),
  },
  queries: {
    queryDuration: histogram(
      'query_duration_seconds',
      ['kind', 'tier'],
      'Queries by the kind of the dataset and by where they were answered from: hot, cold, aggregate, cache; mixed: several, none: nothing had to be read, failed.',
    ),
    queries: counter(
      'queries_total',
      ['dataset', 'outcome'],
      'Queries; outcome is ok or the code of the error.',
    ),
    rowsRead: counter('query_read_rows_total', ['dataset', 'tier'], 'Rows that were read to answer queries.'),
    bytesRead: counter(
      'query_read_bytes_total',
      ['dataset', 'tier'],
      'Bytes that were read from files to answer queries.',
    ),
    slowQueries: counter(
      'slow_queries_total',
      ['dataset'],
      'Queries that took longer than server.slowQuery.',
    ),
    questionDuration: histogram(
      'question_duration_seconds',
      ['question'],
      'Questions about events (funnel, retention, …).',
    ),
    shadowChecks: counter(
      'shadow_checks_total',
      ['result'],
      'Answers that were computed once more from raw rows: equal, different, skipped, failed.',
    ),
  },
  ingest: {
    writeDuration: histogram(
      'ingest_duration_seconds',
      ['dataset', 'acknowledge'],
      'From a batch to its acknowledgement: durable (after COMMIT) or queued (on disk).',
    ),
    batches: counter(
      'ingest_batches_total',
      ['dataset', 'outcome'],
      'Batches; outcome is ok or the code of the error.',
    ),
    rows: counter(
      'ingest_rows_total',
      ['dataset', 'outcome'],
      'Rows of batches: inserted, updated, ignored, merged, duplicate, queued, dropped (by enrichment) or rejected (kept as dead letters, but of atomic batches).',
    ),
    commitDuration: histogram(
      'ingest_commit_duration_seconds',
      ['dataset'],
      'Transactions that wrote batches, those of the spool among them.',
    ),
    commitBatches: counter('ingest_committed_batches_total', ['dataset'], 'Batches that transactions wrote.'),
    commitRows: counter('ingest_committed_rows_total', ['dataset'], 'Rows that transactions wrote.'),
    pendingRows: gauge('ingest_pending_rows', [], 'Rows that wait for their transaction.'),
    pendingBytes: gauge('ingest_pending_bytes', [], 'Memory that is lent to rows on their way.'),
    pendingMax: gauge(
      'ingest_pending_max_bytes',
      [],
      'What may be lent (ingest.maxPending); beyond it senders wait, then get 503.',
    ),
    spoolBytes: gauge(
      'spool_bytes',
      [],
      'Acknowledged rows on disk that wait to be written, of this process.',
    ),
    spoolMax: gauge(
      'spool_max_bytes',
      [],
      'What may wait there (ingest.spool.max); beyond it senders get 503.',
    ),
    spoolStalled: gauge('spool_stalled', [], 'Datasets whose rows in the spool cannot be written just now.'),
    deadLetters: stored(
      'dead_letters',
      [],
      'Rows that were not taken and are kept, by the statistics of PostgreSQL.',
    ),
  },
  cache: {
    cacheRequests: counter(
      'cache_requests_total',
      ['layer', 'result'],
      'What was looked up: hit, miss or stale. Layer results: buckets of queries; the others are those of docs/guide/caching.md.',
    ),
    cacheBytes: gauge('cache_bytes', ['layer'], 'Memory of what is kept in this process.'),
    cacheEntries: gauge('cache_entries', ['layer'], 'What is kept in this process.'),
    cacheEvictions: counter('cache_evictions_total', ['layer'], 'What gave way to others.'),
    redisUp: gauge('redis_up', [], 'Whether Redis answers; absent where none is configured.'),
  },
  storage: {
    databaseBytes: stored('database_bytes', [], 'The whole database in PostgreSQL.'),
    storageBytes: stored(
      'storage_bytes',
      ['dataset', 'tier'],
      'What a dataset takes: hot (PostgreSQL, with indexes) and cold (files of the lake).',
    ),
    storageRows: stored(
      'storage_rows',
      ['dataset', 'tier'],
      'Rows of a dataset: hot by the statistics of PostgreSQL, cold in files.',
    ),
    compression: stored(
      'compression_ratio',
      ['dataset'],
      'How many times what frozen chunks took in PostgreSQL is what they take in the lake.',
    ),
    chunks: stored('chunks', ['dataset', 'tier'], 'Chunks in PostgreSQL (hot) and in the lake (cold).'),
    failingChunks: stored('failing_chunks', ['dataset'], 'Chunks whose last move between the tiers failed.'),
    freezeLag: stored(
      'freeze_lag_seconds',
      ['dataset'],
      'Sync lag: since when the oldest chunk in PostgreSQL could be in the lake (freeze.after); 0: none could.',
    ),
    retentionLag: stored(
      'retention_lag_seconds',
      ['dataset'],
      'Since when the oldest chunk could be dropped (retain); 0: none could.',
    ),
    defaultBytes: stored('default_partition_bytes', ['dataset'], 'Rows outside every chunk.'),
    lakeFiles: stored('lake_files', [], 'Files of the lake that count.'),
    lakeBytes: stored('lake_bytes', [], 'Their bytes, with summaries.'),
    trashBytes: stored('lake_trash_bytes', [], 'Files of the lake that wait for their removal.'),
    lakeFree: stored('lake_filesystem_free_bytes', [], 'Free space of the file system that holds the lake.'),
    lakeSize: stored('lake_filesystem_size_bytes', [], 'Its size.'),
    slotBytes: stored(
      'replication_slot_retained_bytes',
      [],
      'WAL that the replication slot keeps which keeps most.',
    ),
    oldestTransaction: stored(
      'oldest_transaction_seconds',
      [],
      'Age of the oldest open transaction that this role may see; nothing it may see can be cleaned up.',
    ),
    logEntries: stored(
      'change_log_entries',
      [],
      'Entries of the change log, by the statistics of PostgreSQL.',
    ),
    logBytes: stored('change_log_bytes', [], 'The change log with its index.'),
  },
  aggregates: {
    refreshLag: stored(
      'aggregate_lag_seconds',
      ['aggregate'],
      'From the end of what is valid to now; 0: a refresh has nothing to do.',
    ),
    invalidRanges: stored(
      'aggregate_invalid_ranges',
      ['aggregate'],
      'Stretches before that end that a refresh has to compute anew.',
    ),
    missedChanges: stored(
      'aggregate_missed_changes',
      ['aggregate'],
      'Entries of the change log that no refresh has seen.',
    ),
    refreshFailures: stored('aggregate_refresh_failures', ['aggregate'], 'Refreshes that failed in a row.'),
    aggregateBytes: stored(
      'aggregate_bytes',
      ['aggregate'],
      'Its cells, with indexes; of a version that is being built, too.',
    ),
  },
  jobs: {
    jobRuns: storedCounter(
      'job_runs_total',
      ['job_name', 'dataset'],
      'Runs of background jobs, by any worker.',
    ),
    jobFailures: storedCounter('job_failures_total', ['job_name', 'dataset'], 'Those that failed.'),
    jobFailing: stored('job_failures_in_a_row', ['job_name', 'dataset'], 'Failures since the last success.'),
    jobDuration: stored(
      'job_last_run_duration_seconds',
      ['job_name', 'dataset'],
      'How long the last run took.',
    ),
    jobFinished: stored(
      'job_last_run_timestamp_seconds',
      ['job_name', 'dataset'],
      'When the last run ended.',
    ),
    jobSuccess: stored(
      'job_last_success_timestamp_seconds',
      ['job_name', 'dataset'],
      'When the last run ended that did not fail; absent when it has failed since before this process looked.',
    ),
    alarms: stored('alarms_open', ['kind'], 'Alarms that nobody has acknowledged.'),
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, MetricDefinition>>>>

export type MetricGroup = keyof typeof metricTable
