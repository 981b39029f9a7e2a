import { collectDefaultMetrics, Registry } from 'prom-client'
import type { EndedQuery, EndedWrite } from '../engine/index.ts'
import type { Tidemark } from '../engine.ts'
import { isTidemarkError } from '../util/errors.ts'
import { CatalogReader, type CatalogReaderOptions } from './catalog-reader.ts'
import { clear, createInstruments, setCounter } from './instruments.ts'
import { type MetricSources, noSources } from './sources.ts'
import { StoredMetrics } from './stored-metrics.ts'
import { tierOf, tierOfAnswer } from './tiers-of.ts'

export interface MetricsOptions {
  readonly tm: Tidemark
  readonly sources?: Partial<MetricSources>
  readonly catalog?: Partial<CatalogReaderOptions>
}

export interface EndedRequest {
  readonly method: string
  /** The pattern of the route, never a path as it was sent; null: there is no such route. */
  readonly route: string | null
  readonly status: number
  readonly ms: number
  /** Answered for as long as somebody listens. */
  readonly isStream: boolean
}

/**
 * Metrics of one engine and its server in the text format of Prometheus; docs/reference/metrics.md.
 *
 * @example
 * const metrics = new Metrics({ tm })
 * console.log((await metrics.read()).text)
 * metrics.close()
 */
export class Metrics {
  readonly #registry = new Registry()
  readonly #is = createInstruments(this.#registry)
  readonly #tm: Tidemark
  readonly #sources: MetricSources
  readonly #catalog: CatalogReader
  readonly #stored: StoredMetrics
  readonly #stop: () => void
  #hasProcess = false

  constructor({ tm, sources, catalog }: MetricsOptions) {
    this.#tm = tm
    this.#sources = { ...noSources, ...sources }
    this.#catalog = new CatalogReader({ tm, ...catalog })
    const names = [...tm.datasets, ...tm.aggregates].map(({ name }) => name)
    this.#stored = new StoredMetrics(this.#is, new Set(names))
    this.#is.server.buildInfo.set({ version: tm.version }, 1)
    this.#is.traffic.httpInFlight.set(0)
    this.#stop = tm.observe({
      onQuery: (query) => this.#onQuery(query),
      onWrite: (write) => this.#onWrite(write),
      onCommit: ({ dataset, batches, rows, ms }) => {
        this.#is.ingest.commitDuration.observe({ dataset }, ms / 1000)
        this.#is.ingest.commitBatches.inc({ dataset }, batches)
        this.#is.ingest.commitRows.inc({ dataset }, rows)
      },
    })
  }

  requestBegan(): void {
    this.#is.traffic.httpInFlight.inc()
  }

  requestEnded({ method, route, status, ms, isStream }: EndedRequest): void {
    this.#is.traffic.httpInFlight.dec()
    if (isStream) return
    this.#is.traffic.httpDuration.observe({ method, route: route ?? 'none', status }, ms / 1000)
  }

  queryWasSlow(dataset: string): void {
    this.#is.queries.slowQueries.inc({ dataset })
  }

  /** Everything as it is now; of the catalog as it was some seconds ago at most. With the database gone `tidemark_up` is 0. */
  async read(): Promise<{ readonly text: string; readonly contentType: string }> {
    if (!this.#hasProcess) {
      // not before somebody reads them: they measure the event loop and the collection of garbage from then on
      this.#hasProcess = true
      collectDefaultMetrics({ register: this.#registry })
    }
    this.#stored.set(await this.#catalog.read())
    this.#measureProcess()
    return { text: await this.#registry.metrics(), contentType: this.#registry.contentType }
  }

  /** Counts nothing more. */
  close(): void {
    this.#stop()
  }

  #onQuery(query: EndedQuery): void {
    const { queries } = this.#is
    const { dataset, kind, ms, plan } = query
    const tier = tierOfAnswer(query)
    if (kind === 'query') queries.queryDuration.observe({ kind: dataset.kind, tier }, ms / 1000)
    else queries.questionDuration.observe({ question: kind }, ms / 1000)
    queries.queries.inc({ dataset: dataset.name, outcome: outcomeOf(query.error) })
    for (const part of plan?.parts ?? []) {
      const labels = { dataset: dataset.name, tier: tierOf(part.source) }
      if (part.rows !== null) queries.rowsRead.inc(labels, part.rows)
      if ('bytes' in part && part.bytes !== null) queries.bytesRead.inc(labels, part.bytes)
    }
  }

  #onWrite({ dataset: { name: dataset }, acknowledge, ms, report, error }: EndedWrite): void {
    const { ingest } = this.#is
    ingest.writeDuration.observe({ dataset, acknowledge }, ms / 1000)
    ingest.batches.inc({ dataset, outcome: outcomeOf(error) })
    // what an earlier call wrote was counted then
    if (report === null || report.isReplayed) return
    const rows = {
      ...{
        inserted: report.inserted,
        updated: report.updated,
        ignored: report.ignored,
        merged: report.merged,
      },
      ...{ duplicate: report.duplicates, queued: report.isQueued ? report.accepted : 0 },
      ...{ rejected: report.rejected.count, dropped: report.dropped.count },
    }
    for (const [outcome, count] of Object.entries(rows))
      if (count > 0) ingest.rows.inc({ dataset, outcome }, count)
  }

  /** What others count: of this moment. */
  #measureProcess(): void {
    const { traffic, queries, ingest, cache } = this.#is
    const { pool, ingestState, resultsCache, shadowChecks, config } = this.#tm
    traffic.poolConnections.set({ state: 'in_use' }, pool.inUse)
    traffic.poolConnections.set({ state: 'idle' }, pool.idle)
    traffic.poolMax.set(pool.max)
    traffic.poolWaiting.set(pool.waiting)
    ingest.pendingRows.set(ingestState.pendingRows)
    ingest.pendingBytes.set(ingestState.pendingBytes)
    ingest.pendingMax.set(config.ingest.maxPendingBytes)
    ingest.spoolBytes.set(ingestState.spoolBytes)
    ingest.spoolMax.set(config.ingest.spool.maxBytes)
    ingest.spoolStalled.set(ingestState.spoolErrors.length)
    setCounter(queries.shadowChecks, { result: 'equal' }, shadowChecks.checked - shadowChecks.different)
    for (const result of ['different', 'skipped', 'failed'] as const)
      setCounter(queries.shadowChecks, { result }, shadowChecks[result])
    const live = this.#sources.live()
    traffic.liveSubscriptions.set(live.subscriptions)
    traffic.liveUpstreams.set(live.upstreams)
    setCounter(traffic.liveComputations, {}, live.computations)
    setCounter(traffic.liveMessages, {}, live.messages)
    setCounter(traffic.liveDropped, {}, live.dropped)
    const feedLagMs = this.#sources.feedLagMs()
    if (feedLagMs === null) clear(traffic.feedLag)
    else traffic.feedLag.set(feedLagMs / 1000)
    const isRedisUp = this.#sources.isRedisUp()
    if (isRedisUp === null) clear(cache.redisUp)
    else cache.redisUp.set(isRedisUp ? 1 : 0)
    const results =
      resultsCache === null
        ? []
        : [{ ...resultsCache, layer: 'results', stale: 0, entries: resultsCache.buckets }]
    for (const counts of [...results, ...this.#sources.caches()]) {
      const { layer } = counts
      setCounter(cache.cacheRequests, { layer, result: 'hit' }, counts.hits)
      setCounter(cache.cacheRequests, { layer, result: 'miss' }, counts.misses)
      setCounter(cache.cacheRequests, { layer, result: 'stale' }, counts.stale)
      setCounter(cache.cacheEvictions, { layer }, counts.evictions)
      cache.cacheBytes.set({ layer }, counts.bytes)
      cache.cacheEntries.set({ layer }, counts.entries)
    }
  }
}

function outcomeOf(error: unknown): string {
  if (error === null) return 'ok'
  return isTidemarkError(error) ? error.code : 'TM_INTERNAL'
}
