import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Kysely } from 'kysely'
import { AccessDesk } from './access/index.ts'
import { BoardDesk, type Boards, type OpenShare, type ShareRules } from './boards/index.ts'
import {
  createAggregateTiers,
  createLateMerger,
  dropAggregate,
  mayDropChunk,
  migrateDeclared,
  type RefreshContext,
  type RefreshReport,
} from './continuous/index.ts'
import {
  askEvents,
  assertOwnChange,
  type CallOptions,
  type ChunkCallOptions,
  ChunkMoves,
  callRefresh,
  createRecordSets,
  describeTarget,
  type EngineObserver,
  Enrichers,
  type EraseCallOptions,
  type ErasureSelection,
  explainUnmigrated,
  type FreezePlan,
  type FreezeReport,
  type ImportCallOptions,
  type IngestOptions,
  type InsertOptions,
  ingestRows,
  type MoveReport,
  Observers,
  ownRows,
  type Ping,
  PlainSql,
  type ProductCalls,
  type ProductOptions,
  Queries,
  type QueryOptions,
  type RefreshCallOptions,
  type ScopedCallOptions,
  type Selection,
  type ShadowCounts,
  type SqlAnswer,
  type SqlOptions,
  selectChange,
  selectErased,
  selectRows,
  spoolFindings,
  type TidemarkOptions,
  type VerifyCallOptions,
  withholdOthers,
} from './engine/index.ts'
import { type ChangeFeed, createChangeFeed } from './feed/index.ts'
import {
  type ChunkManager,
  createChunkManager,
  createHotTier,
  createHotWriter,
  type HotWriter,
  postgresSnapshot,
  readEvents,
  type WrittenCounts,
} from './hot/index.ts'
import { type ColdLake, type ImportReport, importFile, importFiles, parseCsvRows } from './ingest/index.ts'
import {
  createColdTier,
  createDuckDB,
  createEventStore,
  createFolderStore,
  createLakeFiles,
  createLakeSegments,
  createLoadChecks,
  type DuckDB,
} from './lake/index.ts'
import {
  type ChunkChoice,
  chooseChunks,
  createColdLoads,
  createLifecycle,
  type EjectReport,
  type ErasurePlan,
  type ErasureReport,
  type ExpireReport,
  type Lifecycle,
  type LifecycleOptions,
  type SweepReport,
  type VerifyReport,
} from './lifecycle/index.ts'
import {
  applyPartitionPolicies,
  cancelConversion,
  type MigrateOptions,
  type MigrationReport,
} from './migrate/index.ts'
import {
  type Alarm,
  acknowledgeAlarm,
  type Finding,
  type Gauges,
  type LakeHandle,
  listAlarms,
  OperationsDesk,
  type ReadyCheck,
  raiseAlarm,
  readGauges,
  readReadiness,
  readStatus,
  runDoctor,
  type Status,
} from './ops/index.ts'
import {
  createPipeline,
  DeadLetters,
  type IngestReport,
  lookAtSpool,
  type Pipeline,
  type PipelineState,
  type SpoolStatus,
  type StrayLetter,
} from './pipeline/index.ts'
import { createDatabase, type Database, type PoolCounts } from './postgres/index.ts'
import { type EventsAnswer, type ProductKind, type ProductQuestions, productKinds } from './product/index.ts'
import {
  type Answer,
  type CheckedQuery,
  type KeptCounts,
  type QueryInput,
  type QueryLimits,
  type QueryRow,
  queryLimits,
  type Tier,
} from './query/index.ts'
import type { RecordSet } from './records/index.ts'
import { ReportDesk, type Reports } from './reports/index.ts'
import type {
  ContinuousAggregateDefinition,
  HypertableDefinition,
  InsertRow,
  Database as KyselyDatabase,
  QueryableDefinition,
  StoredDefinition,
  TenantScope,
  TidemarkConfig,
  UpdateRow,
} from './schema/index.ts'
import { allTenants } from './schema/index.ts'
import { type Clock, type Instant, systemClock } from './time/index.ts'
import { isTidemarkError, TidemarkError } from './util/errors.ts'
import { sql } from './util/sql.ts'
import {
  auditJob,
  compactJob,
  createChunksJob,
  drainDefaultJob,
  expireCellsJob,
  expireJob,
  forgetBatchesJob,
  forgetEventsJob,
  forgetUndeclaredJob,
  freezeJob,
  type Job,
  reclaimJob,
  refreshJob,
  reportsJob,
  sampleStorageJob,
  sweepJob,
  trimAccessJob,
  trimChangeLogJob,
  trimTableChangesJob,
  Worker,
  type WorkerOptions,
} from './worker/index.ts'

type Rows<R> = Iterable<R> | AsyncIterable<R>
type UnknownRow = Readonly<Record<string, unknown>>

/**
 * Connects a configuration with its database. Nothing is read or written yet; `migrate` makes the tables.
 *
 * @example
 * import { createTidemark } from 'tidemark'
 * const tm = await createTidemark(config, { connectionString: process.env.DATABASE_URL })
 * await tm.migrate()
 * await tm.close()
 *
 * @throws TidemarkError TM_CONFIG without a connection string.
 */
export async function createTidemark<Config extends TidemarkConfig>(
  config: Config,
  options: TidemarkOptions = {},
): Promise<Tidemark<Config>> {
  const connectionString = options.connectionString ?? config.database.url
  if (!connectionString) {
    throw new TidemarkError('TM_CONFIG', {
      path: 'connectionString',
      problem:
        'is missing; give one, or set database.url in the configuration (startEmbedded() of tidemark/embedded gives a server)',
    })
  }
  return new Tidemark(config, connectionString, options.clock ?? systemClock, options.root ?? process.cwd())
}

/** The engine's face: everything that people do with their data. Knows every tier; made by `createTidemark`. */
export class Tidemark<Config extends TidemarkConfig = TidemarkConfig> {
  readonly config: Config
  readonly version: string = packageVersion
  /** Host, port and database; never the password. */
  readonly target: string
  /** What relative paths of the configuration are relative to. */
  readonly root: string
  /** API keys, whoever shows them, and the audit log; docs/guide/access.md. */
  readonly access: AccessDesk
  /** How the store is, and work on it that goes on in the background. */
  readonly operations: OperationsDesk
  readonly #db: Database & { readonly pool: PoolCounts }
  readonly #clock: Clock
  readonly #chunks: ChunkManager
  readonly #feed: ChangeFeed
  readonly #writer: HotWriter
  readonly #pipeline: Pipeline
  readonly #spoolDir: string
  readonly #enrichers: Enrichers
  readonly #queries: Queries
  readonly #reports: ReportDesk
  readonly #boards: BoardDesk
  readonly #limits: QueryLimits
  readonly #product: ProductOptions
  readonly #records: ReturnType<typeof createRecordSets>
  readonly #datasets: ReadonlyMap<string, QueryableDefinition>
  readonly #sql: PlainSql<KyselyDatabase<Config>>
  /** Not started, and not loaded, before something is in the lake. */
  readonly #duckdb: DuckDB
  readonly #spillDir: string
  readonly #lifecycle: Lifecycle
  readonly #moves: ChunkMoves
  readonly #lake: LakeHandle
  readonly #coldLake: ColdLake
  readonly #refreshing: RefreshContext
  readonly #observers = new Observers()

  /** @internal */
  constructor(config: Config, connectionString: string, clock: Clock, root: string) {
    this.config = config
    this.target = describeTarget(connectionString)
    this.#sql = new PlainSql(connectionString, this.target, config.limits)
    this.#clock = clock
    this.#db = createDatabase({ connectionString, max: config.database.maxConnections })
    this.root = resolve(root)
    this.access = new AccessDesk(this.#db, clock)
    this.#chunks = createChunkManager({ db: this.#db, applyPolicies: applyPartitionPolicies })
    const { maxRows, maxCells, maxBuckets, maxRangeMs, maxAnswerBytes } = config.limits
    const lake = config.lake
    const dir = resolve(root, lake.dir)
    // of this process alone: two that spill to one folder would write over each other's files
    this.#spillDir = join(dir, 'tmp', `spill-${randomUUID()}`)
    this.#duckdb = createDuckDB({
      temporaryDir: this.#spillDir,
      ...(lake.memoryBytes === null ? {} : { memoryBytes: lake.memoryBytes }),
      ...(lake.threads === null ? {} : { threads: lake.threads }),
    })
    const store = createFolderStore({ dir })
    const hot = createHotTier({ maxPageBytes: maxAnswerBytes })
    const tiers: readonly Tier[] = [
      hot,
      createColdTier({
        duckdb: this.#duckdb,
        store,
        maxPageBytes: maxAnswerBytes,
        maxHeldSummaryBytes: lake.summaryMemoryBytes,
      }),
      ...createAggregateTiers(config.aggregates),
    ]
    const lakeParts = { duckdb: this.#duckdb, store, summaryShare: lake.summaryShare }
    const lifecycleOptions: LifecycleOptions = {
      db: this.#db,
      files: createLakeFiles(lakeParts),
      store,
      chunks: this.#chunks,
      clock,
      settings: { keepDroppedMs: lake.keepDroppedMs, keepStrayMs: lake.keepStrayMs },
      mayExpire: mayDropChunk,
    }
    this.#lifecycle = createLifecycle(lifecycleOptions)
    this.#moves = new ChunkMoves(this.#lifecycle, clock)
    this.#coldLake = {
      ...createColdLoads({ ...lifecycleOptions, checks: createLoadChecks(lakeParts) }),
      segments: createLakeSegments(lakeParts),
    }
    this.#feed = createChangeFeed({ db: this.#db, listenTo: connectionString })
    this.#writer = createHotWriter({
      db: this.#db,
      onCommitted: () => this.#feed.wrote(),
      chunks: this.#chunks,
      cold: this.#lifecycle.coldRows,
      late: createLateMerger({ clock }),
      clock,
    })
    this.#enrichers = new Enrichers(config.ingest.enrich, resolve(root))
    this.#spoolDir = resolve(root, config.ingest.spool.dir)
    this.#pipeline = createPipeline({
      db: this.#db,
      writer: this.#writer,
      ...config.ingest,
      maxConnections: committers(config),
      enricherOf: (definition) => this.#enrichers.of(definition),
      onCommit: (commit) => this.#observers.committed(commit),
      spool: {
        dir: this.#spoolDir,
        maxBytes: config.ingest.spool.maxBytes,
        definitionOf: (name) => config.datasets.find((definition) => definition.name === name) ?? null,
        raise: (alarm) => raiseAlarm(this.#db, alarm),
      },
    })
    this.#lake = { dir, store, lifecycle: this.#lifecycle }
    this.operations = new OperationsDesk({
      ...{ db: this.#db, target: this.target, clock, lake: this.#lake, engine: this },
      ...{ definitions: config.datasets, aggregates: config.aggregates, jobs: () => this.#jobs() },
    })
    const rawCold = createColdTier({
      duckdb: this.#duckdb,
      store,
      maxPageBytes: maxAnswerBytes,
      useSummaries: false,
      maxHeldSummaryBytes: 0,
    })
    this.#limits = queryLimits({ maxRows, maxCells, maxBuckets, maxRangeMs })
    const shared = {
      db: this.#db,
      tiers,
      clock,
      limits: this.#limits,
      raise: (alarm: Parameters<typeof raiseAlarm>[1]) => raiseAlarm(this.#db, alarm),
    }
    this.#queries = new Queries({ ...shared, config, rowTiers: [hot, rawCold] })
    this.#reports = new ReportDesk({
      db: this.#db,
      clock,
      ask: (dataset, query, call) => this.queryUnknown(dataset, query, call),
      check: (dataset, query) => this.#queries.check(this.queryable(dataset), query),
    })
    this.#boards = new BoardDesk({
      db: this.#db,
      clock,
      audit: this.access.audit,
      files: config.boards,
      root: this.root,
      queryable: (name) => this.queryable(name),
      check: (definition, query) => this.#queries.check(definition, query),
    })
    this.#refreshing = shared
    this.#records = createRecordSets({
      ...shared,
      config,
      writer: this.#writer,
      queries: this.#queries,
      onCommitted: () => this.#feed.wrote(),
    })
    this.#product = {
      ...{ db: this.#db, clock, limits: this.#limits, tiers, timeoutMs: config.limits.queryTimeoutMs },
      store: createEventStore({
        duckdb: this.#duckdb,
        store,
        maxHotRows: config.limits.maxEvents,
        hot: (request, { snapshot, signal }) => readEvents(request, postgresSnapshot(snapshot), signal),
      }),
    }
    this.#datasets = new Map(
      [...config.datasets, ...config.aggregates].flatMap((d) => [
        [d.name, d] as const,
        // as PostgreSQL's search path has it: `models` is `public.models`
        ...(d.schema === 'public' ? [[d.table, d] as const] : []),
      ]),
    )
  }

  /** What has been committed, by whichever writer, told to this process. It asks PostgreSQL only while somebody listens. */
  get feed(): ChangeFeed {
    return this.#feed
  }

  get datasets(): readonly StoredDefinition[] {
    return this.config.datasets
  }

  get hypertables(): readonly HypertableDefinition[] {
    return this.config.datasets.filter(
      (d): d is HypertableDefinition & StoredDefinition => d.kind === 'hypertable',
    )
  }

  /** Each after what it stands on. */
  get aggregates(): readonly ContinuousAggregateDefinition[] {
    return this.config.aggregates
  }

  /**
   * What has rows of its own.
   *
   * @throws TidemarkError TM_UNKNOWN_DATASET; TM_QUERY when it is a continuous aggregate.
   */
  dataset(name: string): StoredDefinition {
    const found = this.queryable(name)
    if (found.kind !== 'aggregate') return found
    throw new TidemarkError('TM_QUERY', {
      path: 'dataset',
      problem: `${found.name} is a continuous aggregate, which has no rows of its own; those are in ${found.base.name}`,
    })
  }

  /**
   * A table, a hypertable or a continuous aggregate.
   *
   * @throws TidemarkError TM_UNKNOWN_DATASET
   */
  queryable(name: string): QueryableDefinition {
    const found = this.#datasets.get(name)
    if (found) return found
    const known = [...this.config.datasets, ...this.config.aggregates].map((d) => d.name)
    throw new TidemarkError('TM_UNKNOWN_DATASET', { name, known })
  }

  /**
   * Asks for aggregates per bucket and group, raw rows, or the newest row of each series; docs/reference/query.md.
   * The type of a row follows from the query.
   *
   * @example
   * const { rows, plan } = await tm.query(requests, {
   *   from: '-1 day', bucket: '1 hour', by: ['model'], select: { n: count(), p95: percentile('latency_ms', 0.95) },
   * })
   *
   * @throws TidemarkError TM_QUERY, TM_LIMIT, TM_TIMEOUT, TM_CANCELLED
   */
  async query<
    D extends Config['datasets'][number] | Config['aggregates'][number],
    const Q extends QueryInput<D>,
  >(dataset: D, query: Q & CheckedQuery<D, Q>, options: QueryOptions = {}): Promise<Answer<QueryRow<D, Q>>> {
    return (await this.queryUnknown(dataset.name, query, options)) as Answer<QueryRow<D, Q>>
  }

  /** The same for queries whose type is not known here: JSON from HTTP, the command line, a file. */
  async queryUnknown(name: string, query: unknown, options: QueryOptions = {}): Promise<Answer> {
    const dataset = this.queryable(name)
    return this.#observers.query(
      { kind: 'query', dataset, question: query, origin: options.origin ?? null },
      async () => this.#queries.ask(dataset, query, options),
    )
  }

  /**
   * Questions about events, in the order of each user: funnel, retention, sessions, topPages, paths, activeUsers, lifecycle;
   * docs/guide/product-analytics.md. Exact, over hot and cold rows in one snapshot.
   *
   * @example
   * const { rows } = await tm.product.funnel(events, { from: '-30 days', steps: ['visit', 'signup'], within: '7 days' })
   *
   * @throws TidemarkError TM_QUERY, TM_LIMIT, TM_TIMEOUT, TM_CANCELLED
   */
  get product(): ProductCalls<Config['datasets'][number]> {
    const call = (kind: ProductKind) => (dataset: StoredDefinition, input: unknown, options?: QueryOptions) =>
      this.productUnknown(kind, dataset.name, input, options)
    return Object.fromEntries(productKinds.map((kind) => [kind, call(kind)])) as never
  }

  /** The same for questions whose type is not known here: JSON from HTTP, the command line, a file. */
  async productUnknown<K extends ProductKind>(
    kind: K,
    name: string,
    input: unknown,
    options: QueryOptions = {},
  ): Promise<EventsAnswer<ProductQuestions[K]['row']>> {
    const dataset = this.#hypertable(name)
    return this.#observers.query({ kind, dataset, question: input, origin: options.origin ?? null }, () =>
      askEvents(this.#product, kind, dataset, input, options),
    )
  }

  /** What this process holds of results, and how often it was of use; null when `cache.memory` is 0. */
  get resultsCache(): KeptCounts | null {
    return this.#queries.kept
  }

  /** How many answers of this process were computed once more from raw rows, and how many of those differed. */
  get shadowChecks(): ShadowCounts {
    return this.#queries.shadowChecks
  }

  /** What must not be overlooked: answers that a shadow check found wrong. Newest first; without `all` those that are open. */
  alarms(options: { readonly all?: boolean } = {}): Promise<Alarm[]> {
    return listAlarms(this.#db, options)
  }

  /** Somebody has seen to it; it is open again when it happens again. @throws TidemarkError TM_QUERY when there is none. */
  acknowledgeAlarm(id: string): Promise<void> {
    return acknowledgeAlarm(this.#db, id)
  }

  /**
   * Inserts rows; resolves after they are committed. A list is written whole or not at all; an async iterable is
   * committed batch by batch.
   *
   * @example
   * await tm.insert(requests, [{ time: new Date(), model: 'small', latency_ms: 12.5 }]) // 1
   *
   * @returns how many rows were written (with onConflict 'ignore' fewer than were given), or merged into continuous aggregates where
   * `late: 'merge'` is declared; `insertCounted` tells them apart.
   * @throws TidemarkError TM_ROW, TM_DUPLICATE_KEY, TM_CONSTRAINT, TM_CHUNK_CAP
   */
  insert<D extends Config['datasets'][number]>(
    table: D,
    rows: Rows<InsertRow<D>>,
    options: InsertOptions = {},
  ): Promise<number> {
    return this.insertUnknown(table.name, rows as Rows<UnknownRow>, options)
  }

  async insertUnknown(name: string, rows: Rows<UnknownRow>, options: InsertOptions = {}): Promise<number> {
    const { inserted, merged = 0 } = await this.insertCounted(name, rows, options)
    return inserted + merged
  }

  /** As `insertUnknown`, and tells what became of the rows. */
  async insertCounted(
    name: string,
    rows: Rows<UnknownRow>,
    options: InsertOptions = {},
  ): Promise<Omit<WrittenCounts, 'updated'>> {
    const definition = this.dataset(name)
    const own = ownRows(definition, rows, options.scope)
    const written = explainUnmigrated(definition, this.#writer.insert(definition, own, options))
    return withholdOthers(options.scope, written, { looksAt: 'given rows' })
  }

  /**
   * Writes rows together with what other callers give meanwhile, and says what became of each: good rows are written, bad ones
   * come back with place, column, value and reason, and are kept as dead letters. Resolves after COMMIT.
   *
   * @example
   * const { accepted, rejected } = await tm.ingest(requests, rows, { idempotencyKey: 'upload 17' })
   *
   * @throws TidemarkError TM_OVERLOADED, TM_IDEMPOTENCY, TM_CANCELLED, TM_COMMIT_UNKNOWN; with `atomic` those of insert.
   */
  ingest<D extends Config['datasets'][number]>(
    table: D,
    rows: readonly InsertRow<D>[],
    options: IngestOptions = {},
  ): Promise<IngestReport> {
    return this.ingestUnknown(table.name, rows, options)
  }

  async ingestUnknown(
    name: string,
    rows: readonly unknown[],
    options: IngestOptions = {},
  ): Promise<IngestReport> {
    const dataset = this.dataset(name)
    return this.#observers.write(
      { dataset, acknowledge: options.ack ?? 'durable', origin: options.origin ?? null },
      () => ingestRows(this.#pipeline, dataset, rows, options),
    )
  }

  /** Waits for memory before rows of about `bytes` are read from somewhere; the function gives it back. */
  reserve(bytes: number, signal: AbortSignal | null = null): Promise<() => void> {
    return this.#pipeline.reserve(bytes, signal)
  }

  /** Reports of every tenant's rows: saved queries, asked on a schedule; docs/guide/reports.md. */
  get reports(): Reports {
    return this.reportsOf(allTenants)
  }

  /** The same for somebody: those of his tenant, over the datasets that he may use. */
  reportsOf(scope: TenantScope, isOurs?: (dataset: string) => boolean): Reports {
    return this.#reports.of(scope, isOurs)
  }

  /** Boards of every tenant's rows: panels of queries that people keep; docs/guide/boards.md. */
  get boards(): Boards {
    return this.boardsOf(allTenants)
  }

  /** The same for somebody: those of his tenant, and those of files, over the datasets that he may use. */
  boardsOf(scope: TenantScope, isOurs?: (dataset: string) => boolean): Boards {
    return this.#boards.of(scope, isOurs)
  }

  /**
   * Reads the boards of the repository (`boards` of the configuration), which the server does before it starts.
   *
   * @throws TidemarkError TM_CONFIG with the file and the path in it.
   */
  async openBoards(): Promise<void> {
    await this.#boards.files()
  }

  /** What somebody with a link to a board may see. @throws TidemarkError TM_UNKNOWN_SHARE */
  openShare(token: string, rules: ShareRules): Promise<OpenShare> {
    return this.#boards.open(token, rules)
  }

  /** Rows that were not taken: what is wrong with them, corrections, and their way back; docs/guide/dead-letters.md. */
  get deadLetters(): DeadLetters {
    return this.deadLettersOf(allTenants)
  }

  /** Those that came on behalf of a tenant; of these datasets, where they are named. */
  deadLettersOf(scope: TenantScope, only: readonly string[] | null = null): DeadLetters {
    const definitionOf = (name: string): StoredDefinition | null => {
      const found = this.#datasets.get(name)
      return found === undefined || found.kind === 'aggregate' ? null : found
    }
    return new DeadLetters(this.#db, this.#pipeline, definitionOf, scope, only)
  }

  /**
   * The rows of a table or hypertable by their primary key: list, get, create, patch, put, delete, bulk, with versions;
   * docs/guide/records.md.
   *
   * @example
   * const { row, version } = await tm.records('app.keywords').get({ id: 17 })
   * await tm.records('app.keywords').patch({ id: 17 }, { active: false }, { kind: 'versions', versions: [version] })
   *
   * @throws TidemarkError TM_UNKNOWN_DATASET; TM_QUERY without a primary key.
   */
  records(name: string, { scope = allTenants }: Pick<ScopedCallOptions, 'scope'> = {}): RecordSet {
    return this.#records(this.dataset(name), scope)
  }

  /** Rows and bytes that wait to be written, of all callers of `ingest`. */
  get ingestState(): PipelineState {
    return this.#pipeline.state
  }

  /** Keeps what came by a protocol and is no row of any dataset as dead letters; the rows of `ingest` need nothing of it. */
  keepStrays(
    source: string,
    letters: readonly StrayLetter[],
    { scope }: Pick<ScopedCallOptions, 'scope'> = {},
  ): Promise<void> {
    return this.#pipeline.keepStrays(source, letters, scope)
  }

  /**
   * Opens what the steps of `ingest.enrich` need, as their databases, before the first row comes.
   *
   * @throws TidemarkError TM_CONFIG when a file or package is not there.
   */
  openEnrichment(): Promise<void> {
    return this.#enrichers.openAll()
  }

  /**
   * Takes over what processes have left in the spool that have died, and writes it. The server does so when it starts; a process
   * that only calls `ingest` does with its first 'queued' rows.
   */
  openSpool(): Promise<void> {
    return this.#pipeline.openSpool()
  }

  /** What "now" is for this engine: µs since the epoch. */
  now(): Instant {
    return this.#clock.now()
  }

  /** Inserts rows, or overwrites those whose primary key exists; of rows with one key the last wins. */
  upsert<D extends Config['datasets'][number]>(
    table: D,
    rows: Rows<InsertRow<D>>,
    options: ScopedCallOptions = {},
  ): Promise<number> {
    return this.upsertUnknown(table.name, rows as Rows<UnknownRow>, options)
  }

  async upsertUnknown(
    name: string,
    rows: Rows<UnknownRow>,
    options: ScopedCallOptions = {},
  ): Promise<number> {
    const definition = this.dataset(name)
    const own = ownRows(definition, rows, options.scope)
    const written = explainUnmigrated(definition, this.#writer.upsert(definition, own, options))
    const { inserted, updated } = await withholdOthers(options.scope, written, { looksAt: 'given rows' })
    return inserted + updated
  }

  /**
   * Changes the rows that match. In one transaction; also the time may be set, a row then moves to its chunk.
   *
   * @example
   * await tm.update(requests, { where: { model: 'smal' }, set: { model: 'small' } }) // how many were changed
   *
   * @throws TidemarkError TM_QUERY, TM_ROW, TM_APPEND_ONLY, TM_CONSTRAINT
   */
  update<D extends Config['datasets'][number]>(
    table: D,
    change: Selection<D> & { readonly set: UpdateRow<D> },
    options: ScopedCallOptions = {},
  ): Promise<number> {
    return this.updateUnknown(table.name, change, options)
  }

  /** The same for changes whose type is not known here: `{ where, from, to, all, set }`. */
  async updateUnknown(name: string, change: unknown, options: ScopedCallOptions = {}): Promise<number> {
    const definition = this.dataset(name)
    const { set, ...selection } = selectChange(change)
    assertOwnChange(definition, set, options.scope)
    const rows = selectRows(definition, selection, { ...this.#refreshing, scope: options.scope })
    const changed = explainUnmigrated(definition, this.#writer.update(definition, { ...rows, set }, options))
    return (await withholdOthers(options.scope, changed)).updated
  }

  /**
   * Deletes the rows that match, in one transaction.
   *
   * @example
   * await tm.delete(requests, { where: { status: 'test' }, from: '-1 day' }) // how many were deleted
   *
   * @throws TidemarkError TM_QUERY, TM_APPEND_ONLY, TM_CONSTRAINT
   */
  delete<D extends Config['datasets'][number]>(
    table: D,
    selection: Selection<D>,
    options: ScopedCallOptions = {},
  ): Promise<number> {
    return this.deleteUnknown(table.name, selection, options)
  }

  /** The same for selections whose type is not known here: `{ where, from, to, all }`. */
  async deleteUnknown(name: string, selection: unknown, options: ScopedCallOptions = {}): Promise<number> {
    const definition = this.dataset(name)
    assertOwnChange(definition, null, options.scope)
    const rows = selectRows(definition, selection, { ...this.#refreshing, scope: options.scope })
    const changed = explainUnmigrated(definition, this.#writer.delete(definition, rows, options))
    return (await withholdOthers(options.scope, changed)).deleted
  }

  /**
   * Removes rows for good, wherever they are: in PostgreSQL, in files of the lake (also older versions of them), and then the
   * old files, as soon as nobody's snapshot can need them. Append-only tables, too. A call that was stopped is gone on with by the
   * next one with the same condition (give times as such then, not as '-7 days'). What it does not reach: docs/guide/erasing.md.
   *
   * @example
   * const { rowsHot, rowsCold, erasedAt } = await tm.erase(requests, { where: { user_id: 42 } }, { waitMs: 60_000 })
   *
   * @throws TidemarkError TM_QUERY without a condition; TM_BUSY when such rows keep coming, or a chunk is moved all the time;
   * TM_LAKE, TM_CANCELLED: what was done by then stays so.
   */
  erase<D extends Config['datasets'][number]>(
    table: D,
    selection: ErasureSelection<D>,
    options: EraseCallOptions = {},
  ): Promise<ErasureReport> {
    return this.eraseUnknown(table.name, selection as ErasureSelection<never>, options)
  }

  async eraseUnknown(
    name: string,
    selection: unknown,
    options: EraseCallOptions = {},
  ): Promise<ErasureReport> {
    const definition = this.dataset(name)
    return this.#lifecycle.erase(definition, selectErased(definition, selection, this.#refreshing), options)
  }

  /** What `erase` would do, and what it would not reach. Reads every chunk that may hold such a row, changes nothing. */
  async planErasure(name: string, selection: unknown, options: CallOptions = {}): Promise<ErasurePlan> {
    const definition = this.dataset(name)
    return this.#lifecycle.planErasure(
      definition,
      selectErased(definition, selection, this.#refreshing),
      options,
    )
  }

  /**
   * Imports a file; docs/guide/import.md. Called again after a kill it goes on where it stopped.
   *
   * @example
   * const { rows, deadByReason } = await tm.import('metrics.requests', 'requests.csv.gz', { timeZone: 'UTC' })
   */
  import(dataset: string, file: string, options: ImportCallOptions = {}): Promise<ImportReport> {
    return explainUnmigrated(
      this.dataset(dataset),
      importFile({ ...this.#importRequest(dataset, options), file }),
    )
  }

  /**
   * Imports files one after the other; those whose import is done are left out, so a list that was stopped can be
   * given again.
   */
  importFiles(
    dataset: string,
    files: readonly string[],
    options: ImportCallOptions = {},
  ): Promise<{ readonly reports: readonly ImportReport[]; readonly skipped: readonly string[] }> {
    return explainUnmigrated(
      this.dataset(dataset),
      importFiles({ ...this.#importRequest(dataset, options), files }),
    )
  }

  /** Rows of a CSV text, ready for `insert`. */
  parseCsv(definition: StoredDefinition, text: string): Record<string, unknown>[] {
    return parseCsvRows(definition, text)
  }

  /** Makes and alters the declared tables, continuous aggregates and views; never loses a row. docs/guide/migrating.md */
  migrate(options: MigrateOptions = {}): Promise<MigrationReport> {
    return migrateDeclared(this.#db, this.config, options)
  }

  /**
   * Takes a continuous aggregate away that is declared no more, with its cells: until then the change log and the retention of its
   * hypertable wait for it.
   *
   * @throws TidemarkError TM_MIGRATION when it is declared, is not there, or has views on it; TM_BUSY.
   */
  dropAggregate(name: string): Promise<void> {
    return dropAggregate(this.#db, name, this.config.aggregates)
  }

  /**
   * Takes everything back that a conversion of this table has begun; false when there is none.
   *
   * @throws TidemarkError TM_MIGRATION when the table is swapped already.
   */
  async cancelConversion(name: string, options: CallOptions = {}): Promise<boolean> {
    const definition = this.dataset(name)
    if (definition.kind !== 'hypertable') return false
    return cancelConversion(this.#db, definition, options)
  }

  /**
   * Moves chunks into the lake: those that are older than `freeze.after`, or those that are chosen. Of chunks that are there
   * already, late rows. Queries answer the same before, meanwhile and after; docs/guide/freezing.md.
   *
   * @example
   * const { rows, bytesBefore, bytes } = await tm.freeze('metrics.requests', { olderThan: '7 days' })
   *
   * @throws TidemarkError TM_QUERY when nothing is chosen and no `freeze.after` is declared; TM_MIGRATION when something
   * forbids it (a foreign key, …); TM_LAKE when files cannot be written; TM_CANCELLED: what was moved by then stays so.
   */
  async freeze(
    dataset: string,
    choice: ChunkChoice = {},
    options: ChunkCallOptions = {},
  ): Promise<FreezeReport> {
    const definition = this.#hypertable(dataset)
    const selection = this.#moves.toFreeze(definition, choice)
    const { chunks } = await this.#moves.survey(definition, selection)
    const moved = await this.#moves.move(definition, chunks.length, options, (move) =>
      this.#lifecycle.freeze(definition, selection, move),
    )
    const { bytes, held } = await this.#lifecycle.reclaim(definition, { signal: options.signal ?? null })
    return { ...moved, reclaimedBytes: bytes, held }
  }

  /** What `freeze` would do, and what is in the way. Changes nothing, scans nothing. */
  async planFreeze(dataset: string, choice: ChunkChoice = {}): Promise<FreezePlan> {
    const definition = this.#hypertable(dataset)
    return this.#moves.survey(definition, this.#moves.toFreeze(definition, choice))
  }

  /**
   * Takes chunks back into PostgreSQL, where plain SQL sees and changes them.
   *
   * @example
   * await tm.thaw('metrics.requests', { from: '2026-01-01', to: '2026-02-01' })
   *
   * @throws TidemarkError TM_QUERY when nothing is chosen; TM_LAKE when a file is absent or damaged; TM_CHUNK_CAP.
   */
  async thaw(dataset: string, choice: ChunkChoice, options: ChunkCallOptions = {}): Promise<MoveReport> {
    const definition = this.#hypertable(dataset)
    const selection = this.#moves.chosen(
      choice,
      'say which chunks: olderThan, from and to, or chunk; or all of them',
    )
    return this.#moves.move(definition, await this.#moves.countCold(definition), options, (move) =>
      this.#lifecycle.thaw(definition, selection, move),
    )
  }

  /** Writes the chosen cold chunks anew as one file each; without a choice those that are worth it. */
  async compact(
    dataset: string,
    choice: ChunkChoice = {},
    options: ChunkCallOptions = {},
  ): Promise<MoveReport> {
    const definition = this.#hypertable(dataset)
    const selection = chooseChunks(choice, this.#clock)
    return this.#moves.move(definition, await this.#moves.countCold(definition), options, (move) =>
      selection === null
        ? this.#lifecycle.compactDue(definition, move)
        : this.#lifecycle.compact(definition, selection, move),
    )
  }

  /**
   * Compares the lake with the catalog: every file, its checksum, its rows; guards. Changes nothing.
   *
   * @example
   * const { problems } = await tm.verify()
   */
  verify(datasets: readonly string[] | null = null, options: VerifyCallOptions = {}): Promise<VerifyReport> {
    const { onProgress, signal, content, chunks } = options
    const definitions = datasets === null ? this.hypertables : datasets.map((name) => this.#hypertable(name))
    return this.#lifecycle.verify(definitions, {
      signal: signal ?? null,
      ...(content === undefined ? {} : { content }),
      ...(chunks === undefined ? {} : { chunks: new Set(chunks.map(BigInt)) }),
      ...(onProgress ? { onProgress: ({ rows, bytes }) => onProgress({ rows, bytes }) } : {}),
    })
  }

  /**
   * Makes a plain partitioned table of a hypertable: every row in PostgreSQL, nothing of Tidemark on it. Chunk by chunk, so
   * it goes on where it was stopped. Take the declaration away afterwards, or the next `migrate` takes the table back.
   *
   * @throws TidemarkError TM_CHUNK_CAP, TM_LAKE, TM_BUSY while a worker moves its chunks.
   */
  async eject(
    dataset: string,
    options: ChunkCallOptions = {},
  ): Promise<EjectReport & { readonly dataset: string }> {
    const definition = this.#hypertable(dataset)
    const move = this.#moves.watched(definition, await this.#moves.countCold(definition), options)
    const report = await this.#lifecycle.eject(definition, move)
    return { dataset: definition.name, ...report }
  }

  /**
   * Drops chunks wholly before `olderThan`, hot and cold; default: what `retain` of the declaration says.
   *
   * @throws TidemarkError TM_QUERY when neither is there.
   */
  async expire(
    dataset: string,
    choice: Pick<ChunkChoice, 'olderThan'> = {},
    options: CallOptions = {},
  ): Promise<ExpireReport> {
    const definition = this.#hypertable(dataset)
    const { olderThan } = chooseChunks(choice, this.#clock) ?? {}
    if (olderThan === undefined && definition.retain === null) {
      throw new TidemarkError('TM_QUERY', {
        path: 'olderThan',
        problem: `is missing, and ${definition.name} does not declare retain`,
      })
    }
    return this.#lifecycle.expire(definition, {
      signal: options.signal ?? null,
      ...(olderThan === undefined ? {} : { cutoff: olderThan }),
    })
  }

  /**
   * Brings a continuous aggregate up to now, as the worker does by itself; docs/guide/continuous-aggregates.md. With `from` or `to`
   * that range is computed anew, valid or not. Buckets whose rows retention has dropped are left as they are.
   *
   * @example
   * const { rows, cells } = await tm.refresh('metrics.hourly', { from: '-7 days' })
   *
   * @throws TidemarkError TM_UNKNOWN_DATASET, TM_QUERY, TM_AGGREGATE, TM_BUSY, TM_CANCELLED: what is done by then stays done.
   */
  async refresh(aggregate: string, options: RefreshCallOptions = {}): Promise<RefreshReport> {
    return callRefresh(this.#refreshing, this.queryable(aggregate), options)
  }

  /**
   * Removes files of the lake that nobody can need; the worker does so every hour.
   *
   * `adopt`: another database that has swept this lake is gone for good (it was restored, or failed over).
   */
  sweep(options: CallOptions & { readonly adopt?: boolean } = {}): Promise<SweepReport> {
    return this.#lifecycle.sweep({ signal: options.signal ?? null, adopt: options.adopt ?? false })
  }

  /**
   * The background jobs of every hypertable. `start()` runs them until `stop()`; any number of processes may.
   *
   * @example
   * await using worker = tm.createWorker()
   * worker.start()
   */
  createWorker(options: Partial<WorkerOptions> = {}): Worker {
    return new Worker(this.#db, this.#jobs(), { pollMs: this.config.worker.everyMs, ...options })
  }

  #jobs(): Job[] {
    const jobs: Job[] = []
    const lifecycle = this.#lifecycle
    for (const definition of this.hypertables) {
      jobs.push(
        createChunksJob(definition, this.#chunks, this.#clock),
        drainDefaultJob(definition, this.#chunks),
        auditJob(definition, this.#db),
        trimChangeLogJob(definition, this.#db),
        ...(definition.retain === null ? [] : [expireJob(definition, lifecycle)]),
        ...(definition.freeze === null ? [] : [freezeJob(definition, lifecycle)]),
        compactJob(definition, lifecycle),
        reclaimJob(definition, lifecycle),
      )
    }
    // each after what it stands on, which saves it time
    for (const definition of this.aggregates) {
      jobs.push(
        refreshJob(definition, this.#refreshing),
        ...(definition.retain === null ? [] : [expireCellsJob(definition, this.#refreshing)]),
      )
    }
    if (this.hypertables.length > 0) jobs.push(sweepJob(lifecycle))
    jobs.push(
      trimTableChangesJob(this.#db),
      forgetBatchesJob(this.#db),
      trimAccessJob(this.access, this.config.server.audit.keepMs, () => this.#boards.trim()),
      reportsJob(this.#reports),
      sampleStorageJob(this.operations),
      ...this.hypertables.flatMap((d) => forgetEventsJob(d, this.#db) ?? []),
      forgetUndeclaredJob(this.hypertables, this.#db),
    )
    return jobs
  }

  /** Sizes, chunks, what is in the lake, jobs, dead letters; scans no table. */
  async status(): Promise<Status & { readonly spool: SpoolStatus }> {
    const status = await readStatus(this.#db, this.target, this.config.datasets, this.#lake, this.#clock)
    return { ...status, spool: await lookAtSpool(this.#db, this.#spoolDir) }
  }

  /** Everything that is known to go wrong, looked for; changes nothing. */
  async doctor(): Promise<Finding[]> {
    const { datasets, aggregates, ingest } = this.config
    const findings = await runDoctor(this.#db, datasets, this.#clock, this.#lake, aggregates)
    // whoever cannot be asked has been told of already
    if (findings.some(({ check, level }) => check === 'server' && level === 'fail')) return findings
    const spool = await lookAtSpool(this.#db, this.#spoolDir)
    const spooled = spoolFindings(spool, ingest.spool.maxBytes, Date.now())
    return [...findings, ...spooled, ...(await this.#boards.findings())]
  }

  /** Whether PostgreSQL answers. */
  async ping(): Promise<Ping> {
    const startedAt = performance.now()
    try {
      const { rows } = await this.#db.query(sql`select current_setting('server_version')`)
      return {
        reachable: true,
        version: rows[0]?.[0] as string,
        ms: Math.round(performance.now() - startedAt),
      }
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      return { reachable: false, version: null, ms: null }
    }
  }

  /**
   * Kysely over the same database, typed by the configuration. It sees the tables as psql does. Its connections (at
   * most 4) are made when first used and closed with the engine.
   *
   * @example
   * await tm.kysely().selectFrom('metrics.requests').select(['time', 'model']).limit(10).execute()
   */
  kysely(): Kysely<KyselyDatabase<Config>> {
    return this.#sql.kysely
  }

  /**
   * Runs one statement of SQL, as psql would: it sees what is in PostgreSQL, not the lake. Queries written for TimescaleDB
   * run unchanged (docs/reference/sql.md): its functions are found, and gaps are filled where it says time_bucket_gapfill.
   *
   * @example
   * const { rows } = await tm.sql(
   *   `select time_bucket_gapfill('1 hour', time) as hour, locf(avg(value)) as value from metrics.cpu
   *    where time >= $1 and time < $2 group by hour`, ['2026-01-01', '2026-01-02'])
   *
   * Of outputs with one name the later ones have a number behind it: `avg`, `avg_2`.
   *
   * @throws TidemarkError TM_GAPFILL, TM_TIMEOUT (limits.queryTimeout), TM_LIMIT (more rows than `maxRows`, default limits.maxRows, or
   * more than limits.maxAnswerBytes: then nothing has been changed), TM_CANCELLED, TM_DATABASE.
   */
  sql(text: string, parameters: readonly unknown[] = [], options: SqlOptions = {}): Promise<SqlAnswer> {
    return this.#sql.run(text, parameters, options)
  }

  /**
   * A query as one statement of SQL that gives the same rows, of what is in PostgreSQL: for psql, `tidemark sql` or Grafana. It calls
   * functions of schema `tidemark`.
   *
   * @example
   * tm.sqlOf('metrics.requests', { from: '-1 day', bucket: '1 hour', select: { n: { fn: 'count' } } }) // select …
   *
   * @throws TidemarkError TM_QUERY; TM_NO_SQL for what has no such form.
   */
  sqlOf(name: string, query: unknown, { scope = allTenants }: Pick<ScopedCallOptions, 'scope'> = {}): string {
    return this.#queries.text(this.queryable(name), query, scope)
  }

  /** The SQL that `sql` would run: with time_bucket_gapfill written out, for psql, a view or Grafana. */
  plainSql(text: string): Promise<string> {
    return this.#sql.withoutGaps(text)
  }

  /**
   * Tells of every query, batch of rows and commit when it has come to its end; metrics and logs are made of it. The function that
   * comes back ends it.
   *
   * @example
   * const end = tm.observe({ onQuery: ({ dataset, ms }) => console.log(dataset.name, ms) })
   */
  observe(observer: EngineObserver): () => void {
    return this.#observers.add(observer)
  }

  /** Connections of this process, and calls that wait for one. */
  get pool(): PoolCounts {
    return this.#db.pool
  }

  /** Sizes, lags, jobs and alarms as numbers, for metrics: of the catalog and of statistics, no table is scanned. Never throws. */
  gauges(options: Pick<CallOptions, 'signal'> = {}): Promise<Gauges> {
    const parts = { definitions: this.config.datasets, lake: this.#lake, clock: this.#clock }
    return readGauges({ db: this.#db, ...parts, signal: options.signal ?? null })
  }

  /** Whether requests can be answered: the database, its catalog, what is declared, the spool. Never throws. */
  readiness(options: Pick<CallOptions, 'signal'> = {}): Promise<ReadyCheck[]> {
    const { datasets, aggregates } = this.config
    const declared = [...datasets, ...aggregates]
    return readReadiness(this.#db, declared, this.#spoolDir, options.signal ?? null)
  }

  /** Waits for what runs (bounded) and closes every connection. */
  async close(): Promise<void> {
    await this.operations.close()
    await this.#pipeline.close()
    await this.#feed.close()
    await this.#queries.close()
    await this.#sql.close()
    // First whoever asks DuckDB ends, each of them holds a connection; then DuckDB, then what it spilled.
    await this.#db.close()
    await this.#duckdb.close()
    await rm(this.#spillDir, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** @throws TidemarkError TM_UNKNOWN_DATASET, TM_QUERY for a plain table. */
  #hypertable(name: string): HypertableDefinition {
    const definition = this.dataset(name)
    if (definition.kind === 'hypertable') return definition
    throw new TidemarkError('TM_QUERY', {
      path: 'dataset',
      problem: `${definition.name} is a plain table; only hypertables have chunks`,
    })
  }

  #importRequest(dataset: string, options: ImportCallOptions) {
    const { signal, onPlan, onProgress, ...rest } = options
    return {
      db: this.#db,
      writer: this.#writer,
      lake: this.#coldLake,
      definition: this.dataset(dataset),
      options: rest,
      signal: signal ?? null,
      ...(onPlan ? { onPlan } : {}),
      ...(onProgress ? { onProgress } : {}),
    }
  }
}

const { version: packageVersion } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as {
  version: string
}

/** Transactions of the pipeline at once: queries have the other half of the connections at least. */
function committers({ database, ingest }: TidemarkConfig): number {
  return Math.max(1, Math.min(Math.max(4, ingest.connections), database.maxConnections >> 1))
}
