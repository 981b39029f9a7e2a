import type { CacheHealth, Overview, OverviewFinding } from '../client/index.ts'
import type { Tidemark } from '../engine.ts'
import { isTidemarkError } from '../util/errors.ts'
import type { CatalogReader } from './catalog-reader.ts'
import type { RecentTraffic } from './recent-traffic.ts'
import type { SlowQueries } from './slow-queries.ts'
import type { CacheCounts, MetricSources } from './sources.ts'

export interface OverviewParts {
  readonly tm: Tidemark
  readonly traffic: RecentTraffic
  readonly slowQueries: SlowQueries
  readonly sources: MetricSources
  readonly catalog: CatalogReader
}

interface Looked {
  readonly at: string
  readonly findings: readonly OverviewFinding[]
  readonly spoolMs: number | null
}

/** For so long what doctor found serves everybody who asks: it looks at many things. */
const maxAgeMs = 30_000
/** Whoever waits is not kept waiting by a database that hangs. */
const timeoutMs = 8000
const pingTimeoutMs = 3000
const maxSlow = 20

/** Health of this process and of the store, for somebody who looks: what is red, and what to do about it. */
export class OverviewReader {
  readonly #parts: OverviewParts
  readonly #startedMs = performance.now()
  #looking: { readonly startedMs: number; readonly looked: Promise<Looked> } | null = null

  constructor(parts: OverviewParts) {
    this.#parts = parts
  }

  async read(): Promise<Overview> {
    const { tm, traffic, slowQueries, sources, catalog } = this.#parts
    const [postgres, looked, { gauges }] = await Promise.all([this.#ping(), this.#look(), catalog.read()])
    const { pool, ingestState, config, resultsCache } = tm
    const feedMs = sources.feedLagMs()
    const isRedisUp = sources.isRedisUp()
    const lags = (gauges?.aggregates ?? []).flatMap(({ state, lagMs }) =>
      state === 'current' && lagMs !== null ? [lagMs] : [],
    )
    return {
      now: new Date(Number(tm.now() / 1000n)).toISOString(),
      uptimeMs: Math.round(performance.now() - this.#startedMs),
      version: tm.version,
      postgres: { ...postgres, target: tm.target },
      queries: traffic.queries,
      writes: traffic.writes,
      cache: {
        layers: sources.caches().map(cacheHealth),
        results:
          resultsCache === null
            ? null
            : cacheHealth({ ...resultsCache, layer: 'results', entries: resultsCache.buckets }),
      },
      ingest: {
        rowsPerSecond: traffic.rowsPerSecond,
        waitingRows: ingestState.pendingRows,
        waitingBytes: ingestState.pendingBytes,
        maxWaitingBytes: config.ingest.maxPendingBytes,
        spoolBytes: ingestState.spoolBytes,
        maxSpoolBytes: config.ingest.spool.maxBytes,
      },
      syncLag: {
        aggregatesMs: lags.length === 0 ? null : Math.max(...lags),
        feedMs: feedMs === null ? null : Math.round(feedMs),
        spoolMs: looked.spoolMs,
      },
      pool: { ...pool, total: pool.inUse + pool.idle },
      redis: isRedisUp === null ? null : { isUp: isRedisUp },
      findings: inOrder([...looked.findings, ...(isRedisUp === false ? [redisDown] : [])]),
      findingsAt: looked.at,
      slow: slowQueries.all.slice(0, maxSlow),
      slowThresholdMs: config.server.slowQueryMs,
      series: traffic.series,
    }
  }

  async #ping(): Promise<{ reachable: boolean; version: string | null; ms: number | null }> {
    const late = { reachable: false, version: null, ms: null }
    return within(this.#parts.tm.ping(), pingTimeoutMs, late)
  }

  #look(): Promise<Looked> {
    if (this.#looking === null || performance.now() - this.#looking.startedMs > maxAgeMs)
      this.#looking = { startedMs: performance.now(), looked: this.#doctor() }
    return this.#looking.looked
  }

  async #doctor(): Promise<Looked> {
    const at = new Date().toISOString()
    const failed = (message: string, doNext: string): Looked => ({
      ...{ at, spoolMs: null },
      findings: [{ level: 'error', subject: 'doctor', message, doNext }],
    })
    try {
      const late = 'see whether PostgreSQL answers: locks, its load, its disk; `tidemark doctor` says more'
      const slow = failed(`the checks were not done within ${timeoutMs} ms`, late)
      return await within(this.#examine(at), timeoutMs, slow)
    } catch (error) {
      // what is unexpected is for the log, and looked at again with the next call
      this.#looking = null
      if (!isTidemarkError(error)) throw error
      return failed(error.message, 'do what the message says')
    }
  }

  async #examine(at: string): Promise<Looked> {
    const { tm } = this.#parts
    const findings = (await tm.doctor()).map(
      ({ check, level, message, todo }): OverviewFinding => ({
        level: level === 'fail' ? 'error' : level,
        subject: check,
        message,
        doNext: todo,
      }),
    )
    const isDown = findings.some(({ subject, level }) => subject === 'server' && level === 'error')
    const { spoolBytes } = tm.ingestState
    const oldest = isDown || spoolBytes === 0 ? null : (await tm.status()).spool.oldest
    const spoolMs = oldest === null ? (isDown ? null : 0) : Math.max(0, Date.now() - Date.parse(oldest))
    return { at, findings, spoolMs }
  }
}

const redisDown: OverviewFinding = {
  level: 'warn',
  subject: 'redis',
  message: 'Redis does not answer: each server keeps its own answers and rates meanwhile',
  doNext: 'see whether it runs (cache.redis, REDIS_URL); the server connects again by itself',
}

const ranks = { error: 0, warn: 1, note: 2, ok: 3 } as const

function inOrder(findings: readonly OverviewFinding[]): OverviewFinding[] {
  return [...findings].sort((a, b) => ranks[a.level] - ranks[b.level])
}

function cacheHealth({ layer, hits, misses, entries, bytes }: Omit<CacheCounts, 'stale'>): CacheHealth {
  const asked = hits + misses
  return { name: layer, hits, misses, ratio: asked === 0 ? null : hits / asked, entries, bytes }
}

async function within<T>(work: Promise<T>, ms: number, late: T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<T>((resolve) => {
    timer = setTimeout(() => resolve(late), ms)
  })
  try {
    return await Promise.race([work, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
