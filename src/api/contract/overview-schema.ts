import Type from 'typebox'
import { SlowQueryList } from './observe.ts'

const Time = Type.String({ format: 'date-time' })
const Count = Type.Integer({ minimum: 0 })
const Ms = Type.Union([Type.Number(), Type.Null()])
const OrNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

const latency = {
  p50Ms: Ms,
  p95Ms: Ms,
  p99Ms: Ms,
  perSecond: Type.Number(),
  errors: Type.Integer({ description: 'What the caller is not to blame for.' }),
  refused: Type.Integer({ description: 'Wrong questions, rows that do not fit, limits.' }),
}

const CacheHealth = Type.Object({
  name: Type.String(),
  hits: Count,
  misses: Count,
  ratio: OrNull(Type.Number()),
  entries: Count,
  bytes: Count,
})

export const OverviewAnswer = Type.Object(
  {
    now: Time,
    uptimeMs: Count,
    version: Type.String(),
    postgres: Type.Object({
      reachable: Type.Boolean(),
      version: OrNull(Type.String()),
      target: Type.String(),
      ms: Ms,
    }),
    queries: Type.Object(latency, { description: 'Computed by this process within the last 5 minutes.' }),
    writes: Type.Object({ ...latency, rowsPerSecond: Type.Number() }),
    cache: Type.Object({ layers: Type.Array(CacheHealth), results: OrNull(CacheHealth) }),
    ingest: Type.Object({
      rowsPerSecond: Type.Number(),
      waitingRows: Count,
      waitingBytes: Count,
      maxWaitingBytes: Count,
      spoolBytes: Count,
      maxSpoolBytes: Count,
    }),
    syncLag: Type.Object({ aggregatesMs: Ms, feedMs: Ms, spoolMs: Ms }),
    pool: Type.Object({ total: Count, inUse: Count, idle: Count, waiting: Count, max: Count }),
    redis: OrNull(Type.Object({ isUp: Type.Boolean() })),
    findings: Type.Array(
      Type.Object({
        level: Type.Enum(['ok', 'note', 'warn', 'error']),
        subject: Type.String(),
        message: Type.String(),
        doNext: OrNull(Type.String()),
      }),
      { description: 'The worst first.' },
    ),
    findingsAt: Time,
    slow: SlowQueryList.properties.queries,
    slowThresholdMs: Ms,
    series: Type.Array(
      Type.Object({
        at: Time,
        queriesPerSecond: Type.Number(),
        queryP50Ms: Ms,
        queryP95Ms: Ms,
        queryP99Ms: Ms,
        queryErrors: Count,
        writesPerSecond: Type.Number(),
        writeP95Ms: Ms,
        writeErrors: Count,
        rowsPerSecond: Type.Number(),
      }),
      { description: 'The last 30 minutes, ten seconds each.' },
    ),
  },
  { $id: 'Overview', title: 'Overview' },
)
