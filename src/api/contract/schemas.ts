import Type from 'typebox'

/** What travels, for OpenAPI and for clients. Queries are checked by query/, which names the path of each problem. */

const Instant = Type.Union([Type.String(), Type.Integer()], {
  description:
    'ISO 8601 with a zone (`2026-01-01T00:00:00Z`), relative to now (`-30 days`, `now`), or microseconds since the epoch; ' +
    'a date or a local time is of `zone`.',
})

const Where = Type.Record(Type.String(), Type.Unknown(), {
  description:
    'Conditions by column: a value, null, or {eq, ne, lt, lte, gt, gte, in, notIn, like, ilike, not, contains}; ' +
    '`properties.plan` reaches into jsonb; $and, $or and $not combine.',
  examples: [{ status: 'ok', latency_ms: { gte: 10 }, $or: [{ model: 'a' }, { model: 'b' }] }],
})

const Aggregate = Type.Object(
  {
    fn: Type.String({
      description:
        'count, sum, avg, min, max, first, last, stddev, variance, percentile, percentiles, uniques, countDistinct, histogram, topK, increase, rate, delta, timeWeightedAvg',
    }),
    column: Type.Optional(Type.String()),
    q: Type.Optional(Type.Number({ minimum: 0, maximum: 1, description: 'percentile only' })),
    qs: Type.Optional(
      Type.Array(Type.Number({ minimum: 0, maximum: 1 }), {
        description: 'percentiles only; default [0.5, 0.9, 0.95, 0.99]',
      }),
    ),
    k: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, description: 'topK only' })),
    series: Type.Optional(
      Type.Array(Type.String(), {
        description:
          'increase, rate, delta, timeWeightedAvg: columns that tell series apart; default: tenant and orderBy, but the time',
      }),
    ),
    method: Type.Optional(
      Type.Union([Type.Literal('locf'), Type.Literal('linear')], {
        description: 'timeWeightedAvg only; default locf',
      }),
    ),
    borders: Type.Optional(Type.Array(Type.Number(), { description: 'histogram only' })),
    where: Type.Optional(Where),
  },
  { $id: 'Aggregate', title: 'Aggregate' },
)

export const QueryBody = Type.Object(
  {
    dataset: Type.String({ examples: ['metrics.llm_requests'] }),
    from: Type.Optional(Instant),
    to: Type.Optional(Instant),
    where: Type.Optional(Where),
    select: Type.Optional(
      Type.Record(Type.String(), Type.Union([Aggregate, Type.String()]), {
        description:
          'Aggregates by output name; makes this an aggregate query. Of a continuous aggregate also the name of one of its outputs.',
      }),
    ),
    bucket: Type.Optional(
      Type.Union([Type.String(), Type.Null()], {
        examples: ['1 hour', '15m', '1 month'],
        description: 'Of a continuous aggregate by default its own; null: the range is not cut.',
      }),
    ),
    zone: Type.Optional(
      Type.String({
        examples: ['Europe/Berlin'],
        description: 'Of calendar buckets, and of dates and local times in `from` and `to`. Default UTC.',
      }),
    ),
    by: Type.Optional(Type.Array(Type.String())),
    having: Type.Optional(Where),
    order: Type.Optional(Type.Array(Type.String(), { examples: [['-requests', 'model']] })),
    fill: Type.Optional(
      Type.Unknown({ description: "'none', 'null', 'previous', 'linear' or {constant: 0}" }),
    ),
    latestBy: Type.Optional(
      Type.Array(Type.String(), { description: 'The newest row of each series of these columns.' }),
    ),
    columns: Type.Optional(Type.Union([Type.Literal('*'), Type.Array(Type.String())])),
    direction: Type.Optional(Type.Union([Type.Literal('asc'), Type.Literal('desc')])),
    limit: Type.Optional(Type.Integer({ minimum: 1 })),
    cursor: Type.Optional(Type.String()),
    timeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
    cache: Type.Optional(
      Type.Union(
        ['dashboard', 'lists', 'reports'].map((layer) => Type.Literal(layer)),
        {
          description:
            'An answer of this layer of the cache may be given, which no change has made wrong since. Without it: computed now.',
        },
      ),
    ),
  },
  { $id: 'Query', title: 'Query' },
)

export const QueryAnswer = Type.Object(
  {
    rows: Type.Array(Type.Record(Type.String(), Type.Unknown())),
    columns: Type.Array(Type.Object({ name: Type.String(), type: Type.String() })),
    cursor: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    plan: Type.Unknown({
      description: 'Which part of the range came from where, rows, bytes, ms, freshness, error bounds.',
    }),
  },
  { $id: 'QueryAnswer', title: 'QueryAnswer' },
)

export const Dataset = Type.Object(
  {
    name: Type.String(),
    kind: Type.String(),
    time: Type.Union([Type.String(), Type.Null()]),
    primaryKey: Type.Union([Type.Array(Type.String()), Type.Null()]),
    appendOnly: Type.Boolean(),
    comment: Type.Union([Type.String(), Type.Null()]),
    aggregate: Type.Union(
      [
        Type.Object({
          from: Type.String({ description: 'What it was declared over.' }),
          bucket: Type.String(),
          zone: Type.Union([Type.String(), Type.Null()]),
          keys: Type.Array(Type.String()),
          dimensions: Type.Array(Type.String()),
          select: Type.Record(Type.String(), Type.Unknown(), {
            description: 'Its outputs by name, each as in a query.',
          }),
        }),
        Type.Null(),
      ],
      { description: 'Of a continuous aggregate: what it keeps.' },
    ),
    columns: Type.Array(
      Type.Object({
        name: Type.String(),
        type: Type.String(),
        nullable: Type.Boolean(),
        hasDefault: Type.Boolean(),
        comment: Type.Union([Type.String(), Type.Null()]),
      }),
    ),
  },
  { $id: 'Dataset', title: 'Dataset' },
)

const RejectedRow = Type.Object({
  index: Type.Integer({ description: 'Place of the row in the body, from 0.' }),
  column: Type.Union([Type.String(), Type.Null()]),
  value: Type.Union([Type.String(), Type.Null()], { description: 'As text, at most 200 characters.' }),
  reason: Type.String({ description: 'A code of docs/reference/import.md.' }),
  message: Type.String(),
})

export const WriteAnswer = Type.Object(
  {
    accepted: Type.Integer({
      description: 'Rows that are stored, now or before: all but the rejected and the dropped.',
    }),
    inserted: Type.Integer(),
    updated: Type.Integer({ description: 'Overwritten: onConflict=update.' }),
    ignored: Type.Integer({ description: 'Left as they were, because their key exists: onConflict=ignore.' }),
    merged: Type.Integer({
      description: "Older than the retention, and counted in continuous aggregates only (late: 'merge').",
    }),
    duplicates: Type.Integer({ description: 'Their event id was written within the window (dedupe).' }),
    rejected: Type.Object({
      count: Type.Integer(),
      rows: Type.Array(RejectedRow, { description: 'The first 100; all are kept as dead letters.' }),
    }),
    dropped: Type.Object(
      {
        count: Type.Integer(),
        reasons: Type.Record(Type.String(), Type.Integer(), { examples: [{ bot: 3 }] }),
      },
      { description: 'Left out by steps of enrichment (robots), and kept nowhere.' },
    ),
    replayed: Type.Boolean({
      description: 'The idempotency key was there: nothing was written, this is the answer of then.',
    }),
  },
  { $id: 'WriteAnswer', title: 'WriteAnswer' },
)

export const AnalyticsAnswer = Type.Object(
  {
    accepted: Type.Integer({ description: 'Events that are stored: all but the rejected and the dropped.' }),
    duplicates: Type.Integer({ description: 'Of them: their id was written before.' }),
    rejected: Type.Object({
      count: Type.Integer(),
      rows: Type.Array(RejectedRow, { description: 'The first 100; all are kept as dead letters.' }),
    }),
    dropped: Type.Object(
      { count: Type.Integer(), reasons: Type.Record(Type.String(), Type.Integer()) },
      { description: 'Left out by steps of enrichment (robots), and kept nowhere.' },
    ),
  },
  { $id: 'AnalyticsAnswer', title: 'AnalyticsAnswer' },
)

export const Health = Type.Object(
  {
    status: Type.Union([Type.Literal('ok'), Type.Literal('down')]),
    version: Type.String(),
    postgres: Type.Object({
      reachable: Type.Boolean(),
      version: Type.Union([Type.String(), Type.Null()]),
      ms: Type.Union([Type.Number(), Type.Null()]),
    }),
    uptimeMs: Type.Integer(),
  },
  { $id: 'Health', title: 'Health' },
)

const Bytes = Type.Number({ minimum: 0 })

/** The chunk and job lists are described where they are made (src/ops/status.ts). */
export const StatusAnswer = Type.Object(
  {
    postgres: Type.Object({ version: Type.String(), target: Type.String(), databaseBytes: Bytes }),
    datasets: Type.Array(
      Type.Object({
        name: Type.String(),
        kind: Type.String(),
        exists: Type.Boolean(),
        estimatedRows: Type.Number({ description: 'In PostgreSQL (its statistics) and in the lake.' }),
        bytes: Type.Object({ rows: Bytes, indexes: Bytes }, { description: 'In PostgreSQL.' }),
        lake: Type.Union([
          Type.Null(),
          Type.Object({
            hotChunks: Type.Integer(),
            coldChunks: Type.Integer(),
            rows: Type.Number(),
            bytes: Bytes,
            files: Type.Integer(),
            deletedRows: Type.Number({ description: 'Rows of files that no longer count.' }),
            lateRows: Type.Number({ description: 'Rows that came after the freeze, in PostgreSQL.' }),
            before: Type.Union([
              Type.Null(),
              Type.Object(
                { chunks: Type.Integer(), bytes: Bytes, bytesNow: Bytes, ratio: Type.Number() },
                { description: 'What the cold chunks took in PostgreSQL with indexes, where it is known.' },
              ),
            ]),
            moveErrors: Type.Array(
              Type.Object({ chunk: Type.String(), failures: Type.Integer(), error: Type.String() }),
            ),
            nextFreeze: Type.Union([Type.String(), Type.Null()]),
          }),
        ]),
        chunks: Type.Array(Type.Unknown()),
        defaultPartitionHasRows: Type.Boolean(),
      }),
    ),
    lake: Type.Object({
      store: Type.String(),
      files: Type.Integer(),
      bytes: Bytes,
      trash: Type.Object({ files: Type.Integer(), bytes: Bytes }),
      freeBytes: Bytes,
    }),
    changeLog: Type.Object({ entries: Type.Number(), bytes: Bytes }),
    spool: Type.Object(
      {
        dir: Type.String(),
        bytes: Bytes,
        waitingBytes: Bytes,
        oldest: Type.Union([Type.String(), Type.Null()]),
        bytesPerSecond: Type.Union([Type.Number(), Type.Null()]),
        lanes: Type.Array(Type.Unknown()),
      },
      {
        description: 'Rows that were acknowledged before they are written, of all processes on this machine.',
      },
    ),
    deadLetters: Type.Array(
      Type.Object({ dataset: Type.String(), reason: Type.String(), rows: Type.Number() }),
    ),
    alarms: Type.Integer({ description: 'Open ones: tidemark alarms.' }),
    jobs: Type.Array(Type.Unknown()),
  },
  { $id: 'Status', title: 'Status' },
)
