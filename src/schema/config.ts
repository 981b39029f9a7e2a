import { readBoardPatterns } from './boards-config.ts'
import { type CacheConfig, type CacheSectionOptions, cacheConfigDefaults, readCache } from './cache-config.ts'
import type { ContinuousAggregateDefinition, QueryableDefinition, StoredDefinition } from './definition.ts'
import { type EnrichOptions, readEnrich } from './enrich-step.ts'
import {
  noProtocols,
  type ProtocolConfig,
  type ProtocolOptions,
  protocolKeys,
  readProtocols,
} from './ingest-config.ts'
import { checkKeys, ProblemList } from './problems.ts'
import {
  type RecordsConfig,
  type RecordsSectionOptions,
  readRecords,
  recordsConfigDefaults,
} from './records-config.ts'
import { Section } from './section.ts'
import {
  readServer,
  type ServerConfig,
  type ServerSectionOptions,
  serverConfigDefaults,
} from './server-config.ts'
import type { ViewDefinition } from './view.ts'

/** Limits as they are written; see `configDefaults` for what holds without them. */
export interface LimitOptions {
  /** Rows of one answer. Default 100,000; raising it costs memory here and in the browser. */
  readonly maxRows?: number
  /** Bytes of one answer as JSON. Default 64 MiB. */
  readonly maxAnswerBytes?: number
  /** Cells (bucket x group) that one query may compute. Default 200,000; about 1 KB each with sketches. */
  readonly maxCells?: number
  /** Buckets of one query that are listed one by one (calendar buckets, fill). Default 100,000. */
  readonly maxBuckets?: number
  /** Rows of PostgreSQL that one question of product analytics may bring over to DuckDB. Default 10,000,000: some hundred MB. */
  readonly maxEvents?: number
  /** Width of a query's range. Default none. */
  readonly maxRange?: string | null
  /** Time of one query, after which it is cancelled in the database too. Default '30s'. */
  readonly queryTimeout?: string
  /** Bytes of one HTTP request, after gunzip. Default 64 MiB. */
  readonly maxBodyBytes?: number
}

export interface ConfigOptions<
  Datasets extends readonly QueryableDefinition[],
  Views extends readonly ViewDefinition[],
> {
  /** Tables, hypertables and continuous aggregates, in any order. */
  readonly datasets: Datasets
  /** Plain SQL views, made after the tables in this order. */
  readonly views?: Views
  readonly database?: {
    /** PostgreSQL's URL. Default: DATABASE_URL, and without it the embedded server. */
    readonly url?: string
    /** Data of the embedded server, relative to the configuration. Default '.tidemark/postgres'. */
    readonly dir?: string
    /** Connections of one process, 2 to 1000: one holds a snapshot while another moves its rows. Default 10. */
    readonly maxConnections?: number
  }
  readonly lake?: {
    /** Folder of the Parquet files, relative to the configuration. Default '.tidemark/lake'. */
    readonly dir?: string
    /**
     * What DuckDB may hold, '2GB' or bytes; beyond it, it spills to disk. Default: a quarter of the machine's. Writing a file
     * takes up to 300 MB besides.
     */
    readonly memory?: string | number
    /** Threads of DuckDB. Default: the machine's cores. */
    readonly threads?: number
    /** How long a file that is out of the catalog is kept: longer than backups and standbys reach back. Default '7 days'. */
    readonly keepDropped?: string
    /** How long a file that no catalog names is kept. Default '24 hours'. */
    readonly keepStray?: string
    /** Bytes of a summary at most, as a share of its file. Default 0.03; 0: no summaries. */
    readonly summaryShare?: number
    /** What each process holds of summaries that it has read, '64MB' or bytes. Default 32 MiB; 0: they are read anew each time. */
    readonly summaryMemory?: string | number
  }
  /** What is kept of answers: partial results, and finished ones; docs/guide/caching.md. */
  readonly cache?: CacheSectionOptions
  /** Rows by their key; docs/guide/records.md. */
  readonly records?: RecordsSectionOptions
  /**
   * Files with boards, relative to the configuration: `boards/*.json`, where `*` is any part of a file's name; docs/guide/boards.md.
   * Default: none.
   */
  readonly boards?: readonly string[]
  readonly shadow?: {
    /** Share of aggregate queries that are computed once more from raw rows, 0 to 1; a difference is an alarm. Default 0. */
    readonly share?: number
    /** How long such a check may take; then it is given up, and counted. Default '10s'. */
    readonly timeout?: string
  }
  /** How rows of many callers are written, and where the points of protocols go. */
  readonly ingest?: ProtocolOptions & {
    /** Steps that add columns to the rows of a table as they come, or drop rows; see tidemark/enrich. */
    readonly enrich?: readonly EnrichOptions[]
    /** Transactions of one dataset at once, 1 to 100. Default 2; with one, callers wait longer and go in larger groups. */
    readonly connections?: number
    /** Rows of several callers that share a transaction. Default 50,000. */
    readonly maxGroupRows?: number
    /** Memory of what waits to be written, '64MB' or bytes. Default 64 MiB; beyond it, bodies are not read. */
    readonly maxPending?: string | number
    /** How long a caller waits for such memory, before it is told to come again later. Default '2s'. */
    readonly maxWait?: string
    /** Where rows wait on disk that are acknowledged before they are written (`ack: 'queued'`). */
    readonly spool?: {
      /** Relative to the configuration; on a disk of this machine. Default '.tidemark/spool'. */
      readonly dir?: string
      /** '1GB' or bytes, from 1 MB on. Default 1 GiB; beyond it callers are told to come again later. */
      readonly max?: string | number
    }
  }
  /** The HTTP server: where it listens, and who may use it. */
  readonly server?: ServerSectionOptions
  readonly worker?: {
    /** Time between two looks for due jobs. Default '10s'. */
    readonly every?: string
    /** Whether `dev` and the demo run the jobs in their own process. Default true. */
    readonly enabled?: boolean
    /** Where `tidemark worker` answers /metrics, /healthz and /readyz; 0 takes a free port. Default: nowhere. */
    readonly port?: number
    /** Of that port. Default '127.0.0.1': only this machine. Any other needs `server.auth`. */
    readonly host?: string
  }
  readonly limits?: LimitOptions
}

/** Those of a list that are of one kind; a list whose members are known keeps their order. */
export type OnlyOf<Kind, All extends readonly unknown[]> = number extends All['length']
  ? readonly Extract<All[number], Kind>[]
  : All extends readonly [infer First, ...infer Rest]
    ? First extends Kind
      ? readonly [First, ...OnlyOf<Kind, Rest>]
      : OnlyOf<Kind, Rest>
    : readonly []

/** A checked, frozen configuration. Durations are milliseconds inside. */
export interface TidemarkConfig<
  Datasets extends readonly StoredDefinition[] = readonly StoredDefinition[],
  Views extends readonly ViewDefinition[] = readonly ViewDefinition[],
  Aggregates extends readonly ContinuousAggregateDefinition[] = readonly ContinuousAggregateDefinition[],
> {
  /** What has rows of its own. */
  readonly datasets: Datasets
  /** Each after what it stands on. */
  readonly aggregates: Aggregates
  readonly views: Views
  readonly database: { readonly url: string | null; readonly dir: string; readonly maxConnections: number }
  readonly lake: LakeConfig
  readonly cache: CacheConfig
  readonly records: RecordsConfig
  readonly boards: readonly string[]
  readonly shadow: { readonly share: number; readonly timeoutMs: number }
  readonly ingest: ProtocolConfig & {
    readonly enrich: readonly EnrichOptions[]
    readonly connections: number
    readonly maxGroupRows: number
    readonly maxPendingBytes: number
    readonly maxWaitMs: number
    readonly spool: { readonly dir: string; readonly maxBytes: number }
  }
  readonly server: ServerConfig
  readonly worker: {
    readonly everyMs: number
    readonly enabled: boolean
    /** Null: it does not listen. */
    readonly port: number | null
    readonly host: string
  }
  readonly limits: Limits
}

export interface LakeConfig {
  readonly dir: string
  /** Null: a quarter of the machine's. */
  readonly memoryBytes: number | null
  /** Null: the machine's cores. */
  readonly threads: number | null
  readonly keepDroppedMs: number
  readonly keepStrayMs: number
  readonly summaryShare: number
  readonly summaryMemoryBytes: number
}

export interface Limits {
  readonly maxRows: number
  readonly maxAnswerBytes: number
  readonly maxCells: number
  readonly maxBuckets: number
  readonly maxEvents: number
  readonly maxRangeMs: number | null
  readonly queryTimeoutMs: number
  readonly maxBodyBytes: number
}

const mebibyte = 1024 * 1024

/** What holds where a configuration says nothing. */
export const configDefaults = Object.freeze({
  database: Object.freeze({ url: null, dir: '.tidemark/postgres', maxConnections: 10 }),
  lake: Object.freeze({
    dir: '.tidemark/lake',
    memoryBytes: null,
    threads: null,
    keepDroppedMs: 7 * 86_400_000,
    keepStrayMs: 86_400_000,
    summaryShare: 0.03,
    summaryMemoryBytes: 32 * mebibyte,
  }),
  cache: cacheConfigDefaults,
  records: recordsConfigDefaults,
  boards: Object.freeze([]),
  shadow: Object.freeze({ share: 0, timeoutMs: 10_000 }),
  ingest: Object.freeze({
    ...noProtocols,
    enrich: Object.freeze([]),
    connections: 2,
    maxGroupRows: 50_000,
    maxPendingBytes: 64 * mebibyte,
    maxWaitMs: 2000,
    spool: Object.freeze({ dir: '.tidemark/spool', maxBytes: 1024 * mebibyte }),
  }),
  server: serverConfigDefaults,
  worker: Object.freeze({ everyMs: 10_000, enabled: true, port: null, host: '127.0.0.1' }),
  limits: Object.freeze({
    maxRows: 100_000,
    maxAnswerBytes: 64 * mebibyte,
    maxCells: 200_000,
    maxBuckets: 100_000,
    maxEvents: 10_000_000,
    maxRangeMs: null,
    queryTimeoutMs: 30_000,
    maxBodyBytes: 64 * mebibyte,
  }),
} satisfies Omit<TidemarkConfig, 'datasets' | 'aggregates' | 'views'>)

/**
 * The configuration, checked once and frozen.
 *
 * @example
 * // tidemark.config.ts
 * import { defineConfig } from 'tidemark/schema'
 * export default defineConfig({ datasets: [cpu, hosts] })
 * @throws TidemarkError TM_CONFIG that lists everything that is wrong, each with its path.
 */
export function defineConfig<
  const Datasets extends readonly QueryableDefinition[],
  const Views extends readonly ViewDefinition[] = readonly [],
>(
  options: ConfigOptions<Datasets, Views>,
): TidemarkConfig<
  OnlyOf<StoredDefinition, Datasets>,
  Views,
  OnlyOf<ContinuousAggregateDefinition, Datasets>
> {
  const problems = new ProblemList('config')
  const known = [
    'datasets',
    'views',
    'database',
    'lake',
    'cache',
    'records',
    'boards',
    'shadow',
    'ingest',
    'server',
    'worker',
    'limits',
  ]
  if (!checkKeys(problems, '', options, known)) problems.assertEmpty('TM_CONFIG')
  const input = options as unknown as Readonly<Record<string, unknown>>
  const all = readDefinitions<QueryableDefinition>(problems, 'datasets', input['datasets'], [
    'table',
    'hypertable',
    'aggregate',
  ])
  const views = readDefinitions<ViewDefinition>(problems, 'views', input['views'] ?? [], ['view'])
  checkNames(problems, all, views)
  const datasets = all.filter((d) => d.kind !== 'aggregate')
  const aggregates = parentsFirst(all.filter((d) => d.kind === 'aggregate'))
  checkSources(problems, all)

  const section = (name: string, keys: readonly string[]): Section =>
    Section.read(problems, `.${name}`, input[name], keys)
  const database = section('database', ['url', 'dir', 'maxConnections'])
  const lake = section('lake', Object.keys(lakeKeys))
  const shadow = section('shadow', ['share', 'timeout'])
  const ingest = section('ingest', [
    ...protocolKeys,
    'enrich',
    'connections',
    'maxGroupRows',
    'maxPending',
    'maxWait',
    'spool',
  ])
  const spool = Section.read(problems, '.ingest.spool', ingest.input['spool'], ['dir', 'max'])
  const worker = section('worker', ['every', 'enabled', 'port', 'host'])
  const limits = section('limits', Object.keys(limitKinds))
  const d = configDefaults
  const config = {
    datasets: Object.freeze(datasets),
    aggregates: Object.freeze(aggregates),
    views: Object.freeze(views),
    database: Object.freeze({
      url: database.url('url'),
      dir: database.text('dir', d.database.dir),
      maxConnections: database.whole('maxConnections', d.database.maxConnections, 2, 1000),
    }),
    lake: Object.freeze({
      dir: lake.text('dir', d.lake.dir),
      memoryBytes: lake.bytes('memory', d.lake.memoryBytes, leastLakeMemory),
      threads: lake.given('threads') ? lake.whole('threads', 1, 1, 1024) : d.lake.threads,
      keepDroppedMs: lake.millis('keepDropped', d.lake.keepDroppedMs),
      keepStrayMs: lake.millis('keepStray', d.lake.keepStrayMs),
      summaryShare: lake.share('summaryShare', d.lake.summaryShare),
      summaryMemoryBytes: lake.bytes('summaryMemory', d.lake.summaryMemoryBytes, 0) as number,
    }),
    cache: readCache(problems, input['cache']),
    records: readRecords(
      problems,
      input['records'],
      datasets.map(({ name }) => name),
    ),
    boards: readBoardPatterns(problems, input['boards']),
    shadow: Object.freeze({
      share: shadow.share('share', d.shadow.share),
      timeoutMs: shadow.millis('timeout', d.shadow.timeoutMs) as number,
    }),
    ingest: Object.freeze({
      ...readProtocols(problems, '.ingest', ingest.input, datasets),
      enrich: readEnrich(problems, '.ingest.enrich', ingest.input['enrich'], datasets),
      connections: ingest.whole('connections', d.ingest.connections, 1, 100),
      maxGroupRows: ingest.whole('maxGroupRows', d.ingest.maxGroupRows),
      maxPendingBytes: ingest.bytes('maxPending', d.ingest.maxPendingBytes, 1) as number,
      maxWaitMs: ingest.millis('maxWait', d.ingest.maxWaitMs) as number,
      spool: Object.freeze({
        dir: spool.text('dir', d.ingest.spool.dir),
        maxBytes: spool.bytes('max', d.ingest.spool.maxBytes, mebibyte) as number,
      }),
    }),
    server: readServer(problems, input['server']),
    worker: Object.freeze({
      everyMs: worker.millis('every', d.worker.everyMs) as number,
      enabled: worker.boolean('enabled', d.worker.enabled),
      port: worker.given('port') ? worker.whole('port', 0, 0, 65_535) : d.worker.port,
      host: worker.text('host', d.worker.host),
    }),
    limits: Object.freeze({
      maxRows: limits.whole('maxRows', d.limits.maxRows),
      maxAnswerBytes: limits.whole('maxAnswerBytes', d.limits.maxAnswerBytes),
      maxCells: limits.whole('maxCells', d.limits.maxCells),
      maxBuckets: limits.whole('maxBuckets', d.limits.maxBuckets),
      maxEvents: limits.whole('maxEvents', d.limits.maxEvents),
      maxRangeMs: limits.millis('maxRange', d.limits.maxRangeMs),
      queryTimeoutMs: limits.millis('queryTimeout', d.limits.queryTimeoutMs) as number,
      maxBodyBytes: limits.whole('maxBodyBytes', d.limits.maxBodyBytes),
    }),
  }
  problems.assertEmpty('TM_CONFIG')
  return Object.freeze(config) as never
}

/** Complete by its type. */
const lakeKeys: Readonly<Record<keyof NonNullable<ConfigOptions<[], []>['lake']>, true>> = {
  dir: true,
  memory: true,
  threads: true,
  keepDropped: true,
  keepStray: true,
  summaryShare: true,
  summaryMemory: true,
}

/** Below it a row group of a wide table does not fit. */
const leastLakeMemory = 256 * mebibyte

/** Complete by its type: a new limit does not compile until it is listed. */
const limitKinds: Readonly<Record<keyof LimitOptions, true>> = {
  maxRows: true,
  maxAnswerBytes: true,
  maxCells: true,
  maxBuckets: true,
  maxEvents: true,
  maxRange: true,
  queryTimeout: true,
  maxBodyBytes: true,
}

function readDefinitions<D extends { readonly kind: string }>(
  problems: ProblemList,
  key: string,
  input: unknown,
  kinds: readonly string[],
): D[] {
  if (!Array.isArray(input)) {
    problems.add(`.${key}`, `must be a list of what ${kinds.map(makerOf).join(' and ')} made`)
    return []
  }
  return input.filter((definition, i): definition is D => {
    const kind: unknown = typeof definition === 'object' && definition !== null ? definition.kind : undefined
    if (typeof kind === 'string' && kinds.includes(kind)) return true
    problems.add(
      `.${key}[${i}]`,
      kind === 'view'
        ? 'is a view; list it under views'
        : `must be made with ${kinds.map(makerOf).join(' or ')}`,
    )
    return false
  })
}

function makerOf(kind: string): string {
  return kind === 'aggregate' ? 'continuousAggregate()' : `${kind}()`
}

/** What an aggregate stands on and looks up has to be made, too: the very declaration, not another of its name. */
function checkSources(problems: ProblemList, all: readonly QueryableDefinition[]): void {
  all.forEach((d, i) => {
    if (d.kind !== 'aggregate') return
    const needed = [d.from, d.base, ...Object.values(d.dimensions).map(({ source }) => source)]
    for (const definition of new Set(needed))
      if (!all.includes(definition))
        problems.add(
          `.datasets[${i}]`,
          `${d.name} stands on ${definition.name}, which is not in the list; add it`,
        )
  })
}

function parentsFirst(aggregates: readonly ContinuousAggregateDefinition[]): ContinuousAggregateDefinition[] {
  const ordered = new Set<ContinuousAggregateDefinition>()
  const place = (aggregate: ContinuousAggregateDefinition): void => {
    if (aggregate.from.kind === 'aggregate') place(aggregate.from)
    if (aggregates.includes(aggregate)) ordered.add(aggregate)
  }
  aggregates.forEach(place)
  return [...ordered]
}

/** Tables, views and indexes share one space of names in each schema. */
function checkNames(
  problems: ProblemList,
  datasets: readonly QueryableDefinition[],
  views: readonly ViewDefinition[],
): void {
  const seen = new Map<string, string>()
  const claim = (path: string, schema: string, name: string, what: string): void => {
    const key = `${schema}.${name}`
    const other = seen.get(key)
    if (other === undefined) seen.set(key, what)
    else problems.add(path, `${what} has the name "${key}", which ${other} has already`)
  }
  datasets.forEach((d, i) => {
    claim(`.datasets[${i}]`, d.schema, d.table, `the ${d.kind} ${d.name}`)
    for (const index of d.kind === 'aggregate' ? [] : d.indexes) {
      claim(`.datasets[${i}].indexes`, d.schema, index.name, `the index "${index.name}" of ${d.name}`)
    }
  })
  views.forEach((v, i) => {
    claim(`.views[${i}]`, v.schema, v.table, `the view ${v.name}`)
  })
}
