import type { Connection, Database } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { addInterval, type Clock, type Instant } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import { type AggregateStatus, readAggregateStatus } from './aggregates.ts'
import { countAlarms } from './alarms.ts'
import { type LakeHandle, lookAtFolder } from './lake-folder.ts'

/** How a dataset is, of the catalog and of PostgreSQL's statistics. */
export interface DatasetGauges {
  readonly name: string
  readonly hotBytes: number
  /** PostgreSQL's estimate. */
  readonly hotRows: number
  /** Of the default partition; 0: every row lies in a chunk, or there is none. */
  readonly defaultPartitionBytes: number
  /** Null for a plain table. */
  readonly chunks: ChunkGauges | null
}

export interface ChunkGauges {
  readonly hot: number
  readonly cold: number
  /** In files; those that no longer count among them. */
  readonly coldRows: number
  /** With summaries. */
  readonly coldBytes: number
  /** What the cold chunks for which it is known took in PostgreSQL, and take in the lake; 0 and 0 where it is of none. */
  readonly before: { readonly bytes: number; readonly bytesNow: number }
  /** Whose last move failed. */
  readonly failing: number
  /** Since when the oldest chunk in PostgreSQL could be in the lake; 0: none could, null: nothing is declared. */
  readonly freezeLagMs: number | null
  /** The same of chunks that could be dropped. */
  readonly retentionLagMs: number | null
}

export interface StorageGauges {
  readonly datasets: readonly DatasetGauges[]
  readonly lake: { readonly files: number; readonly bytes: number; readonly trashBytes: number }
  readonly changeLog: { readonly entries: number; readonly bytes: number }
  /** PostgreSQL's estimate. */
  readonly deadLetters: number
}

export interface ServerGauges {
  readonly databaseBytes: number
  /** WAL that the replication slot keeps which keeps most; 0 without slots. */
  readonly slotBytes: number
  readonly oldestTransactionMs: number
}

export interface JobGauges {
  /** `freeze metrics.cpu`: what, and of which dataset. */
  readonly name: string
  readonly runs: number
  readonly failures: number
  readonly failuresInARow: number
  readonly lastFinishedAt: Instant | null
  readonly lastMs: number | null
}

export interface WorkGauges {
  readonly jobs: readonly JobGauges[]
  readonly alarms: readonly { readonly kind: string; readonly dataset: string; readonly alarms: number }[]
}

/** Null: that part could not be read; why is in `errors`. */
export interface Gauges {
  readonly server: ServerGauges | null
  readonly storage: StorageGauges | null
  readonly aggregates: readonly AggregateStatus[] | null
  readonly work: WorkGauges | null
  readonly lakeFolder: { readonly freeBytes: number; readonly totalBytes: number } | null
  readonly errors: readonly { readonly part: string; readonly error: unknown }[]
}

export interface GaugeOptions {
  readonly db: Database
  readonly definitions: readonly StoredDefinition[]
  readonly lake: LakeHandle
  readonly clock: Clock
  readonly signal: AbortSignal | null
}

/** A part that waits longer for a lock (a migration holds a table) is left out of this reading. */
const lockTimeoutMs = 500
const statementTimeoutMs = 5000

/**
 * What is measured from time to time. Reads the catalog and statistics, scans no table. Each part is read for itself: what is locked
 * or not migrated hides only its own.
 */
export async function readGauges(options: GaugeOptions): Promise<Gauges> {
  const { db, definitions, lake, clock, signal } = options
  const errors: { part: string; error: unknown }[] = []
  const attempt = async <T>(part: string, read: () => Promise<T>): Promise<T | null> => {
    try {
      return await read()
    } catch (error) {
      errors.push({ part, error })
      return null
    }
  }
  const inDatabase = <T>(part: string, read: (connection: Connection) => Promise<T>): Promise<T | null> =>
    attempt(part, () =>
      db.transaction({ mode: 'repeatable read read only', lockTimeoutMs, statementTimeoutMs, signal }, read),
    )
  const lakeFolder = await attempt('lake folder', () => lookAtFolder(lake.dir))
  const server = await inDatabase('server', readServer)
  // whoever does not answer is asked nothing more
  if (server === null) return { server, storage: null, aggregates: null, work: null, lakeFolder, errors }
  return {
    server,
    storage: await inDatabase('storage', (connection) => readStorage(connection, definitions, clock.now())),
    aggregates: await inDatabase('aggregates', (connection) => readAggregateStatus(connection, clock)),
    work: await inDatabase('work', readWork),
    lakeFolder,
    errors,
  }
}

async function readServer(connection: Connection): Promise<ServerGauges> {
  const { rows } = await connection.query(sql`
    select
      pg_database_size(current_database())::float8,
      coalesce((
        select max(pg_wal_lsn_diff(
          case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end,
          restart_lsn
        ))
        from pg_replication_slots
      ), 0)::float8,
      coalesce((
        select extract(epoch from max(clock_timestamp() - xact_start)) * 1000
        from pg_stat_activity
        where backend_type = 'client backend' and datname = current_database() and pid <> pg_backend_pid()
      ), 0)::float8`)
  const [databaseBytes, slotBytes, oldestTransactionMs] = rows[0] as [number, number, number]
  return { databaseBytes, slotBytes, oldestTransactionMs }
}

/** Of each dataset that is in the database. */
export async function readSizes(
  connection: Connection,
  definitions: readonly StoredDefinition[],
  now: Instant,
): Promise<DatasetGauges[]> {
  const tables = await connection.query(sql`
    select
      d.name,
      coalesce(sum(pg_total_relation_size(t.relid)), 0)::float8,
      coalesce(sum(pg_stat_get_live_tuples(t.relid)), 0)::float8,
      coalesce(sum(pg_relation_size(t.relid)) filter (where t.relid = p.partdefid), 0)::float8
    from unnest(${definitions.map((d) => d.name)}::text[], ${definitions.map((d) => d.schema)}::text[],
                ${definitions.map((d) => d.table)}::text[]) as d (name, schema_name, table_name)
    join pg_namespace as s on s.nspname = d.schema_name
    join pg_class as c on c.relnamespace = s.oid and c.relname = d.table_name and c.relkind in ('r', 'p')
    left join pg_partitioned_table as p on p.partrelid = c.oid
    -- of a plain table the tree is empty
    cross join lateral (
      select relid from pg_partition_tree(c.oid) where isleaf
      union
      select c.oid where c.relkind = 'r'
    ) as t
    group by d.name`)
  const chunks = await connection.query(sql`
    with files as (
      select chunk_id, sum(row_count) as rows, sum(bytes + coalesce(summary_bytes, 0)) as bytes
      from tidemark.lake_file
      group by chunk_id
    )
    select
      h.schema_name || '.' || h.table_name,
      count(*) filter (where k.state <> 'cold')::float8,
      count(*) filter (where k.state = 'cold')::float8,
      coalesce(sum(f.rows), 0)::float8,
      coalesce(sum(f.bytes), 0)::float8,
      coalesce(sum(k.bytes_before) filter (where k.state = 'cold' and f.bytes is not null), 0)::float8,
      coalesce(sum(f.bytes) filter (where k.state = 'cold' and k.bytes_before is not null), 0)::float8,
      count(*) filter (where k.move_error is not null)::float8,
      min(k.range_to) filter (where k.state <> 'cold' and pg_relation_size(c.oid) > 0),
      min(k.range_to)
    from tidemark.hypertable as h
    join tidemark.chunk as k on k.hypertable_id = h.id and k.state <> 'dropped'
    left join files as f on f.chunk_id = k.id
    left join pg_class as c
      on c.relname = k.relation_name and c.relnamespace = 'tidemark_chunks'::regnamespace
    group by h.id`)
  const found = new Map(tables.rows.map(([name, ...values]) => [name as string, values as number[]]))
  const lives = new Map(chunks.rows.map(([name, ...values]) => [name as string, values as ChunkRow]))
  return definitions.flatMap((definition): DatasetGauges[] => {
    const known = found.get(definition.name)
    // declared, and not migrated yet
    if (known === undefined) return []
    const [hotBytes, hotRows, defaultPartitionBytes] = known as [number, number, number]
    const chunks = chunkGauges(definition, lives.get(definition.name), now)
    return [{ name: definition.name, hotBytes, hotRows, defaultPartitionBytes, chunks }]
  })
}

async function readStorage(
  connection: Connection,
  definitions: readonly StoredDefinition[],
  now: Instant,
): Promise<StorageGauges> {
  const datasets = await readSizes(connection, definitions, now)
  const rest = await connection.query(sql`
    select
      (select count(*) from tidemark.lake_file)::float8,
      (select coalesce(sum(bytes + coalesce(summary_bytes, 0)), 0) from tidemark.lake_file)::float8,
      (select coalesce(sum(bytes), 0) from tidemark.lake_trash)::float8,
      pg_stat_get_live_tuples('tidemark.change_log'::regclass)::float8,
      pg_total_relation_size('tidemark.change_log'::regclass)::float8,
      pg_stat_get_live_tuples('tidemark.dead_letter'::regclass)::float8`)
  const [files, bytes, trashBytes, entries, logBytes, deadLetters] = rest.rows[0] as number[]
  return {
    datasets,
    lake: { files: files!, bytes: bytes!, trashBytes: trashBytes! },
    changeLog: { entries: entries!, bytes: logBytes! },
    deadLetters: deadLetters!,
  }
}

type ChunkRow = [
  ...counts: [
    hot: number,
    cold: number,
    coldRows: number,
    coldBytes: number,
    bytesBefore: number,
    bytesNow: number,
    failing: number,
  ],
  oldestHotTo: Instant | null,
  oldestTo: Instant | null,
]

const noChunks: ChunkRow = [0, 0, 0, 0, 0, 0, 0, null, null]

function chunkGauges(
  definition: StoredDefinition,
  row: ChunkRow = noChunks,
  now: Instant,
): ChunkGauges | null {
  if (definition.kind !== 'hypertable') return null
  const [hot, cold, coldRows, coldBytes, bytes, bytesNow, failing, oldestHotTo, oldestTo] = row
  const { freeze, retain } = definition
  const since = (end: Instant | null, after: typeof retain): number | null => {
    if (after === null) return null
    if (end === null) return 0
    return Math.max(0, Number((now - addInterval(end, after, null)) / 1000n))
  }
  return {
    ...{ hot, cold, coldRows, coldBytes, failing, before: { bytes, bytesNow } },
    freezeLagMs: since(oldestHotTo, freeze === null ? null : freeze.after),
    retentionLagMs: since(oldestTo, retain),
  }
}

async function readWork(connection: Connection): Promise<WorkGauges> {
  const { rows } = await connection.query(sql`
    select name, runs::float8, failures::float8, failures_in_a_row, last_finished_at, last_ms
    from tidemark.job
    order by name`)
  return {
    jobs: rows.map(([name, runs, failures, failuresInARow, lastFinishedAt, lastMs]) => ({
      name: name as string,
      runs: runs as number,
      failures: failures as number,
      failuresInARow: failuresInARow as number,
      lastFinishedAt: lastFinishedAt as Instant | null,
      lastMs: lastMs as number | null,
    })),
    alarms: await countAlarms(connection),
  }
}
