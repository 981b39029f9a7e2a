import { type ChunkLife, readChunkLives } from '../lifecycle/index.ts'
import type { Database, Queryable } from '../postgres/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../schema/index.ts'
import { addInterval, type Clock, formatInstant, systemClock } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import { type AggregateStatus, readAggregateStatus } from './aggregates.ts'
import { countAlarms } from './alarms.ts'
import { type LakeHandle, lookAtFolder } from './lake-folder.ts'
import { findSubjects } from './subjects.ts'

/** Of a hypertable: what of it lies where. Exact in the lake, PostgreSQL's statistics elsewhere. */
export interface DatasetLake {
  readonly hotChunks: number
  readonly coldChunks: number
  /** Rows in files that count. */
  readonly rows: number
  /** With summaries. */
  readonly bytes: number
  readonly files: number
  /** Rows in files that no longer count. */
  readonly deletedRows: number
  /** Rows in the partitions of cold chunks: they came after the freeze and are folded in later. */
  readonly lateRows: number
  /**
   * What the cold chunks took in PostgreSQL with their indexes, and how many times that is what they take now. Of the
   * chunks for which it is known (`chunks`): one that was imported straight into the lake never was there.
   */
  readonly before: {
    readonly chunks: number
    readonly bytes: number
    readonly bytesNow: number
    readonly ratio: number
  } | null
  readonly moveErrors: readonly {
    readonly chunk: string
    readonly failures: number
    readonly error: string
  }[]
  /** When the next chunk is old enough by `freeze.after`; null: nothing is declared, or nothing is left. */
  readonly nextFreeze: string | null
}

export interface LakeStatus {
  readonly store: string
  readonly files: number
  readonly bytes: number
  /** Out of the catalog, and waiting for their removal. */
  readonly trash: { readonly files: number; readonly bytes: number }
  /** Of the file system that holds it, or would. */
  readonly freeBytes: number
}

export interface DatasetStatus {
  readonly name: string
  readonly kind: string
  /** false: declared, but not in the database yet. */
  readonly exists: boolean
  /** Of PostgreSQL's statistics (an exact count costs a scan) and of the lake together. */
  readonly estimatedRows: number
  /** In PostgreSQL. */
  readonly bytes: { readonly rows: number; readonly indexes: number }
  readonly chunks: readonly ChunkStatus[]
  /** Null for a plain table. */
  readonly lake: DatasetLake | null
  /** Rows outside every chunk; anything but 0 wants `tidemark worker`. */
  readonly defaultPartitionHasRows: boolean
}

export interface ChunkStatus {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly state: string
  /** In PostgreSQL. */
  readonly estimatedRows: number
  readonly bytes: number
  /** In the lake. */
  readonly coldRows: number
  readonly coldBytes: number
  readonly files: number
  readonly bytesBefore: number | null
  readonly moveError: string | null
}

export interface JobStatus {
  readonly name: string
  readonly lastFinishedAt: string | null
  readonly lastMs: number | null
  readonly lastResult: unknown
  readonly lastError: string | null
  readonly nextRunAt: string | null
  readonly failuresInARow: number
}

export interface Status {
  readonly postgres: { readonly version: string; readonly target: string; readonly databaseBytes: number }
  readonly datasets: readonly DatasetStatus[]
  readonly aggregates: readonly AggregateStatus[]
  readonly lake: LakeStatus
  readonly changeLog: { readonly entries: number; readonly bytes: number }
  /** Open ones. */
  readonly alarms: number
  readonly deadLetters: readonly {
    readonly dataset: string
    readonly reason: string
    readonly rows: number
  }[]
  readonly jobs: readonly JobStatus[]
}

/** How the store is: sizes, chunks, jobs, what waits. Cheap: catalog and statistics only, no table is scanned. */
export async function readStatus(
  db: Database,
  target: string,
  definitions: readonly StoredDefinition[],
  lake: LakeHandle,
  clock: Clock = systemClock,
): Promise<Status> {
  return db.transaction({ mode: 'repeatable read read only' }, async (connection) => ({
    postgres: await readServer(connection, target),
    datasets: await readDatasets(connection, definitions),
    aggregates: await readAggregateStatus(connection, clock),
    lake: await readLake(connection, lake),
    changeLog: await readChangeLog(connection),
    deadLetters: await readDeadLetters(connection),
    alarms: (await countAlarms(connection)).reduce((sum, { alarms }) => sum + alarms, 0),
    jobs: await readJobs(connection),
  }))
}

async function readServer(connection: Queryable, target: string): Promise<Status['postgres']> {
  const { rows } = await connection.query(sql`
    select current_setting('server_version'), pg_database_size(current_database())`)
  const [version, bytes] = rows[0] as [string, bigint]
  return { version, target, databaseBytes: Number(bytes) }
}

async function readDatasets(
  connection: Queryable,
  definitions: readonly StoredDefinition[],
): Promise<DatasetStatus[]> {
  const relations = await connection.query(sql`
    select d.name, c.oid is not null,
           coalesce((
             select sum(pg_stat_get_live_tuples(t.relid))::float8
             from pg_partition_tree(c.oid) t
             where t.isleaf), 0)::float8,
           coalesce((select sum(pg_table_size(t.relid))::int8 from pg_partition_tree(c.oid) t where t.isleaf), 0)::int8,
           coalesce((select sum(pg_indexes_size(t.relid))::int8 from pg_partition_tree(c.oid) t where t.isleaf), 0)::int8,
           coalesce((
             select pg_relation_size(p.partdefid) > 0 from pg_partitioned_table p where p.partrelid = c.oid and p.partdefid <> 0
           ), false)
    from unnest(${definitions.map((d) => d.name)}::text[], ${definitions.map((d) => d.schema)}::text[],
                ${definitions.map((d) => d.table)}::text[]) with ordinality as d (name, schema_name, table_name, n)
    left join pg_namespace s on s.nspname = d.schema_name
    left join pg_class c on c.relnamespace = s.oid and c.relname = d.table_name and c.relkind in ('r', 'p')
    order by d.n`)
  const lives = new Map<string, readonly ChunkLife[]>()
  for (const subject of await findSubjects(connection, definitions)) {
    const chunks = await readChunkLives(connection, subject)
    lives.set(
      subject.definition.name,
      chunks.filter(({ state }) => state !== 'dropped'),
    )
  }
  return definitions.map((definition, i) => {
    const [, exists, estimatedRows, rowBytes, indexBytes, defaultPartitionHasRows] = relations.rows[i] as [
      string,
      boolean,
      number,
      bigint,
      bigint,
      boolean,
    ]
    const chunks = lives.get(definition.name) ?? []
    const lake = definition.kind === 'hypertable' ? lakeOf(definition, chunks) : null
    return {
      name: definition.name,
      kind: definition.kind,
      exists,
      estimatedRows: Math.round(estimatedRows) + (lake?.rows ?? 0),
      bytes: { rows: Number(rowBytes), indexes: Number(indexBytes) },
      lake,
      defaultPartitionHasRows,
      chunks: chunks.map((chunk) => ({
        id: String(chunk.id),
        from: formatInstant(chunk.range.from),
        to: formatInstant(chunk.range.to),
        state: chunk.state,
        estimatedRows: Math.round(chunk.hotRows),
        bytes: chunk.hotBytes,
        coldRows: chunk.coldRows,
        coldBytes: chunk.coldBytes,
        files: chunk.files,
        bytesBefore: chunk.bytesBefore,
        moveError: chunk.moveError,
      })),
    }
  })
}

function lakeOf(definition: HypertableDefinition, chunks: readonly ChunkLife[]): DatasetLake {
  const cold = chunks.filter(({ state }) => state === 'cold')
  const hot = chunks.filter(({ state }) => state !== 'cold')
  const known = cold.filter(({ bytesBefore }) => bytesBefore !== null)
  const before = sum(known, ({ bytesBefore }) => bytesBefore as number)
  const bytesNow = sum(known, ({ coldBytes }) => coldBytes)
  const oldest = hot.find(({ hasHotPages }) => hasHotPages)
  return {
    hotChunks: hot.length,
    coldChunks: cold.length,
    rows: sum(cold, ({ coldRows }) => coldRows),
    bytes: sum(cold, ({ coldBytes }) => coldBytes),
    files: sum(cold, ({ files }) => files),
    deletedRows: sum(cold, ({ deletedRows }) => deletedRows),
    lateRows: Math.round(sum(cold, ({ hotRows }) => hotRows)),
    before:
      known.length === 0 || bytesNow === 0
        ? null
        : {
            chunks: known.length,
            bytes: before,
            bytesNow,
            ratio: Math.round((before / bytesNow) * 10) / 10,
          },
    moveErrors: chunks.flatMap(({ id, moveError, moveFailures }) =>
      moveError === null ? [] : [{ chunk: String(id), failures: moveFailures, error: moveError }],
    ),
    nextFreeze:
      definition.freeze === null || oldest === undefined
        ? null
        : formatInstant(addInterval(oldest.range.to, definition.freeze.after, null)),
  }
}

function sum<T>(of: readonly T[], value: (each: T) => number): number {
  return of.reduce((total, each) => total + value(each), 0)
}

async function readLake(connection: Queryable, lake: LakeHandle): Promise<LakeStatus> {
  const { rows } = await connection.query(sql`
    select
      (select count(*) from tidemark.lake_file)::float8,
      (select coalesce(sum(bytes + coalesce(summary_bytes, 0)), 0) from tidemark.lake_file)::float8,
      (select count(*) from tidemark.lake_trash)::float8,
      (select coalesce(sum(bytes), 0) from tidemark.lake_trash)::float8`)
  const [files, bytes, trashFiles, trashBytes] = rows[0] as [number, number, number, number]
  const { freeBytes } = await lookAtFolder(lake.dir)
  return {
    store: lake.store.description,
    files,
    bytes,
    trash: { files: trashFiles, bytes: trashBytes },
    freeBytes,
  }
}

async function readChangeLog(connection: Queryable): Promise<Status['changeLog']> {
  const { rows } = await connection.query(sql`
    select pg_stat_get_live_tuples(oid)::float8, pg_total_relation_size(oid)
    from pg_class where oid = 'tidemark.change_log'::regclass`)
  const [entries, bytes] = rows[0] as [number, bigint]
  return { entries: Math.round(entries), bytes: Number(bytes) }
}

async function readDeadLetters(connection: Queryable): Promise<Status['deadLetters']> {
  const { rows } = await connection.query(sql`
    select dataset, reason, count(*)
    from tidemark.dead_letter
    group by dataset, reason
    order by dataset, count(*) desc
    limit 100`)
  return rows.map(([dataset, reason, count]) => ({
    dataset: dataset as string,
    reason: reason as string,
    rows: Number(count as bigint),
  }))
}

async function readJobs(connection: Queryable): Promise<JobStatus[]> {
  const { rows } = await connection.query(sql`
    select name, last_finished_at, last_ms, last_result, last_error,
           case when isfinite(next_run_at) then next_run_at end, failures_in_a_row
    from tidemark.job
    order by name`)
  return rows.map(([name, finished, ms, result, error, next, failures]) => ({
    name: name as string,
    lastFinishedAt: finished === null ? null : formatInstant(finished as bigint),
    lastMs: ms as number | null,
    lastResult: result,
    lastError: error as string | null,
    nextRunAt: next === null ? null : formatInstant(next as bigint),
    failuresInARow: failures as number,
  }))
}
