import type { ScanRequest, Tier } from '../query/index.ts'
import { readBounds } from './bounds.ts'
import { createChunkCatalogs } from './chunk-catalog.ts'
import { createEmptyPartitions, readCoverage } from './coverage.ts'
import { readLatest } from './latest.ts'
import { postgresSnapshot } from './read-snapshot.ts'
import { readRows } from './rows.ts'
import { scanRows } from './scan.ts'

export interface HotTierOptions {
  /** Bytes of one page of rows, about; a page that would be larger ends early. Default 64 MiB. */
  readonly maxPageBytes?: number
  /** Series of a `latest` request at most, then TM_LIMIT; each is a row in memory. Default 200,000. */
  readonly maxSeries?: number
}

const hotTierDefaults = Object.freeze({
  maxPageBytes: 64 * 1024 * 1024,
  maxSeries: 200_000,
}) satisfies Readonly<Required<HotTierOptions>>

/**
 * The rows in PostgreSQL: tables and attached chunks. It needs a snapshot that `withReadSnapshot` lent, and
 * keeps nothing itself but what it knows about chunks.
 *
 * @example
 * const tier = createHotTier()
 * await withReadSnapshot(db, { timeoutMs: 30_000, dataset: cpu }, (snapshot) =>
 *   executeQuery(node, { tiers: [tier], snapshot, clock, signal: null, limits }))
 */
export function createHotTier(options: HotTierOptions = {}): Tier {
  const { maxPageBytes, maxSeries } = { ...hotTierDefaults, ...options }
  const catalogs = createChunkCatalogs()
  const empties = createEmptyPartitions()
  return Object.freeze<Tier>({
    name: 'hot',
    coverage: (dataset, range, context) =>
      readCoverage(
        dataset,
        range,
        postgresSnapshot(context.snapshot),
        context.signal,
        catalogs,
        empties,
        context.aggregate === undefined,
      ),
    cannot: (request: ScanRequest) =>
      request.bucket !== null && request.dataset.kind === 'table'
        ? `${request.dataset.name} is a plain table and has no time column to put into buckets`
        : null,
    bounds: (dataset, range, where, context) =>
      readBounds(dataset, range, where, postgresSnapshot(context.snapshot), context.signal),
    scan: async (request, context) => scanRows(request, postgresSnapshot(context.snapshot), context.signal),
    rows: async (request, context) =>
      readRows(request, postgresSnapshot(context.snapshot), context.signal, maxPageBytes),
    latest: async (request, context) =>
      readLatest(request, postgresSnapshot(context.snapshot), context.signal, maxSeries, catalogs),
  })
}
