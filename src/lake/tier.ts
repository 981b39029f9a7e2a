import { everything, intersect, type ReadSnapshot, type ScanRequest, type Tier } from '../query/index.ts'
import type { DatasetDefinition, HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { createLakeCatalogs, type LakeCatalog } from './catalog.ts'
import type { ObjectStore } from './contract.ts'
import { coverageOf } from './coverage.ts'
import type { DuckDB } from './duckdb.ts'
import { lakeSnapshot } from './lake-snapshot.ts'
import { readLatest } from './latest.ts'
import { filesFor } from './prune.ts'
import type { LakeAccess } from './read-files.ts'
import { readRows } from './rows.ts'
import { scanFiles } from './scan.ts'
import { createSummaryMemory } from './summary-memory.ts'

export interface ColdTierOptions {
  readonly duckdb: DuckDB
  readonly store: ObjectStore
  /** Bytes of one page of rows, about; a page that would be larger ends early. Default 64 MiB. */
  readonly maxPageBytes?: number
  /** Series of a `latest` request at most, then TM_LIMIT; each is a row in memory. Default 200,000. */
  readonly maxSeries?: number
  /** Whether summaries answer what they can. Default true. */
  readonly useSummaries?: boolean
  /** Bytes of summaries that are held decoded, about, so that dashboards need not read them again. Default 32 MiB; 0: none. */
  readonly maxHeldSummaryBytes?: number
  /** Where answers are computed: `typescript` takes only rows from DuckDB, and is for tests. Default `duckdb`. */
  readonly computeIn?: 'duckdb' | 'typescript'
}

export const coldTierDefaults = Object.freeze({
  maxPageBytes: 64 * 1024 * 1024,
  maxSeries: 200_000,
  useSummaries: true,
  maxHeldSummaryBytes: 32 * 1024 * 1024,
  computeIn: 'duckdb' as const,
}) satisfies Readonly<Required<Omit<ColdTierOptions, 'duckdb' | 'store'>>>

/**
 * The rows in files of the lake. Which files there are, and which of their rows count, is read in the snapshot of the query.
 *
 * Answers are those of PostgreSQL over the same rows: what DuckDB cannot be proven to compute alike is computed in TypeScript over
 * the rows that DuckDB reads (numerics of many scales, JSON numbers with needless zeros), which takes some hundred times as long.
 *
 * `bytesRead` is the size of the files and summaries that were opened, whatever DuckDB passed over in them; `rowsRead` counts
 * the rows that matched.
 *
 * @example
 * const cold = createColdTier({ duckdb, store: createFolderStore({ dir: '.tidemark/lake' }) })
 * await withReadSnapshot(db, { timeoutMs: 30_000, dataset: cpu }, (snapshot) =>
 *   executeQuery(node, { tiers: [hot, cold], snapshot, clock, signal: null, limits }))
 *
 * @throws TidemarkError TM_LAKE when a file is absent or damaged, TM_LIMIT, TM_CANCELLED.
 */
export function createColdTier(options: ColdTierOptions): Tier {
  const { duckdb, store, maxPageBytes, maxSeries, useSummaries, maxHeldSummaryBytes, computeIn } = {
    ...coldTierDefaults,
    ...options,
  }
  const catalogs = createLakeCatalogs()
  const summaries = createSummaryMemory(maxHeldSummaryBytes)

  function accessOf(snapshot: ReadSnapshot, signal: AbortSignal | null): LakeAccess {
    const onlyTypeScript = computeIn === 'typescript'
    return { duckdb, store, catalogs, summaries, snapshot: lakeSnapshot(snapshot), signal, onlyTypeScript }
  }

  function filesOf(
    access: LakeAccess,
    dataset: HypertableDefinition,
    range: TimeRange | null,
  ): Promise<LakeCatalog> {
    return catalogs.read(access.snapshot, dataset, access.signal, range)
  }

  return Object.freeze<Tier>({
    name: 'cold',

    async coverage(dataset, range, { snapshot, signal }) {
      if (dataset.kind !== 'hypertable') return []
      return coverageOf(await filesOf(accessOf(snapshot, signal), dataset, range), range)
    },

    cannot: (request: ScanRequest) =>
      request.dataset.kind === 'table' ? `${request.dataset.name} is a plain table and has no files` : null,

    async bounds(dataset, range, where, { snapshot, signal }) {
      if (dataset.kind !== 'hypertable') return null
      const whole = range ?? everything
      const files = filesFor(dataset, await filesOf(accessOf(snapshot, signal), dataset, range), whole, where)
      const [first] = files
      if (!first) return null
      const from = files.reduce((least, { minTime }) => (minTime < least ? minTime : least), first.minTime)
      const to = files.reduce((most, { maxTime }) => (maxTime > most ? maxTime : most), first.maxTime) + 1n
      return intersect({ from, to }, whole)
    },

    async scan(request, { snapshot, signal }) {
      const dataset = hypertableOf(request.dataset)
      const access = accessOf(snapshot, signal)
      return scanFiles(access, request, dataset, await filesOf(access, dataset, request.range), useSummaries)
    },

    async rows(request, { snapshot, signal }) {
      const dataset = hypertableOf(request.dataset)
      const access = accessOf(snapshot, signal)
      return readRows(access, request, dataset, await filesOf(access, dataset, request.range), maxPageBytes)
    },

    async latest(request, { snapshot, signal }) {
      const dataset = hypertableOf(request.dataset)
      const access = accessOf(snapshot, signal)
      return readLatest(access, request, dataset, await filesOf(access, dataset, request.range), maxSeries)
    },
  })
}

function hypertableOf(dataset: DatasetDefinition): HypertableDefinition {
  if (dataset.kind === 'hypertable') return dataset
  throw new TidemarkError('TM_QUERY', {
    path: 'dataset',
    problem: `${dataset.name} is a plain table and has no files`,
  })
}
