import { Counter, Gauge } from 'prom-client'
import type { CatalogReading } from './catalog-reader.ts'
import { clear, type createInstruments } from './instruments.ts'
import { metricTable } from './metric-table.ts'

type Instruments = ReturnType<typeof createInstruments>
type Gauges = NonNullable<CatalogReading['gauges']>

/** Sets what was read of the catalog, and takes away what could not be. */
export class StoredMetrics {
  readonly #is: Instruments
  /** A label says nothing else. */
  readonly #declared: ReadonlySet<string>
  readonly #clearable: readonly (Counter | Gauge)[]
  readonly #lastSuccess = new Map<string, number>()
  #last: CatalogReading | null = null

  constructor(is: Instruments, declared: ReadonlySet<string>) {
    this.#is = is
    this.#declared = declared
    this.#clearable = Object.entries(metricTable).flatMap(([group, metrics]) =>
      Object.entries(metrics).flatMap(([key, { of }]) => {
        const instrument = (is as unknown as Record<string, Record<string, unknown>>)[group]![key]
        const isStored = of === 'catalog' && (instrument instanceof Counter || instrument instanceof Gauge)
        return isStored ? [instrument] : []
      }),
    )
  }

  set(reading: CatalogReading): void {
    // several may have waited for it
    if (reading === this.#last) return
    this.#last = reading
    const { gauges, ms } = reading
    const { server } = this.#is
    for (const instrument of this.#clearable) clear(instrument)
    server.up.set(gauges?.server ? 1 : 0)
    server.readDuration.set(ms / 1000)
    if (gauges === null) {
      server.readErrors.inc({ part: 'server' })
      return
    }
    for (const { part } of gauges.errors) server.readErrors.inc({ part })
    this.#setServer(gauges)
    this.#setStorage(gauges.storage)
    this.#setAggregates(gauges.aggregates)
    this.#setWork(gauges.work)
  }

  #setServer({ server, lakeFolder }: Gauges): void {
    const { storage } = this.#is
    if (server !== null) {
      storage.databaseBytes.set(server.databaseBytes)
      storage.slotBytes.set(server.slotBytes)
      storage.oldestTransaction.set(server.oldestTransactionMs / 1000)
    }
    if (lakeFolder === null) return
    storage.lakeFree.set(lakeFolder.freeBytes)
    storage.lakeSize.set(lakeFolder.totalBytes)
  }

  #setStorage(found: Gauges['storage']): void {
    if (found === null) return
    const { storage, ingest } = this.#is
    for (const { name: dataset, hotBytes, hotRows, defaultPartitionBytes, chunks } of found.datasets) {
      storage.storageBytes.set({ dataset, tier: 'hot' }, hotBytes)
      storage.storageRows.set({ dataset, tier: 'hot' }, hotRows)
      if (chunks === null) continue
      storage.storageBytes.set({ dataset, tier: 'cold' }, chunks.coldBytes)
      storage.storageRows.set({ dataset, tier: 'cold' }, chunks.coldRows)
      storage.chunks.set({ dataset, tier: 'hot' }, chunks.hot)
      storage.chunks.set({ dataset, tier: 'cold' }, chunks.cold)
      storage.failingChunks.set({ dataset }, chunks.failing)
      storage.defaultBytes.set({ dataset }, defaultPartitionBytes)
      const { bytes, bytesNow } = chunks.before
      if (bytesNow > 0) storage.compression.set({ dataset }, bytes / bytesNow)
      if (chunks.freezeLagMs !== null) storage.freezeLag.set({ dataset }, chunks.freezeLagMs / 1000)
      if (chunks.retentionLagMs !== null) storage.retentionLag.set({ dataset }, chunks.retentionLagMs / 1000)
    }
    storage.lakeFiles.set(found.lake.files)
    storage.lakeBytes.set(found.lake.bytes)
    storage.trashBytes.set(found.lake.trashBytes)
    storage.logEntries.set(found.changeLog.entries)
    storage.logBytes.set(found.changeLog.bytes)
    ingest.deadLetters.set(found.deadLetters)
  }

  #setAggregates(found: Gauges['aggregates']): void {
    const { aggregates } = this.#is
    const bytes = new Map<string, number>()
    for (const one of found ?? []) {
      const { name: aggregate } = one
      if (!this.#declared.has(aggregate)) continue
      bytes.set(aggregate, (bytes.get(aggregate) ?? 0) + one.bytes)
      // one that is being built answers nothing yet
      if (one.state !== 'current') continue
      if (one.lagMs !== null) aggregates.refreshLag.set({ aggregate }, one.lagMs / 1000)
      aggregates.invalidRanges.set({ aggregate }, one.invalidRanges)
      aggregates.missedChanges.set({ aggregate }, one.missedEntries)
      aggregates.refreshFailures.set({ aggregate }, one.failures)
    }
    for (const [aggregate, sum] of bytes) aggregates.aggregateBytes.set({ aggregate }, sum)
  }

  #setWork(work: Gauges['work']): void {
    if (work === null) return
    const { jobs } = this.#is
    for (const { name, runs, failures, failuresInARow, lastFinishedAt, lastMs } of work.jobs) {
      const space = name.indexOf(' ')
      const [job, dataset] = space < 0 ? [name, ''] : [name.slice(0, space), name.slice(space + 1)]
      // of what was declared once
      if (dataset !== '' && !this.#declared.has(dataset)) continue
      const labels = { job_name: job, dataset }
      jobs.jobRuns.inc(labels, runs)
      jobs.jobFailures.inc(labels, failures)
      jobs.jobFailing.set(labels, failuresInARow)
      if (lastFinishedAt === null) continue
      const finished = Number(lastFinishedAt) / 1e6
      jobs.jobFinished.set(labels, finished)
      if (lastMs !== null) jobs.jobDuration.set(labels, lastMs / 1000)
      if (failuresInARow === 0) this.#lastSuccess.set(name, finished)
      const success = this.#lastSuccess.get(name)
      if (success !== undefined) jobs.jobSuccess.set(labels, success)
    }
    const open = new Map<string, number>()
    for (const { kind, alarms } of work.alarms) open.set(kind, (open.get(kind) ?? 0) + alarms)
    for (const [kind, alarms] of open) jobs.alarms.set({ kind }, alarms)
  }
}
