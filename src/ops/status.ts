import type { Database, Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { formatInstant } from '../time/index.ts'
import { sql } from '../util/sql.ts'

export interface DatasetStatus {
  readonly name: string
  readonly kind: string
  /** false: declared, but not in the database yet. */
  readonly exists: boolean
  /** Of PostgreSQL's statistics; an exact count costs a scan. */
  readonly estimatedRows: number
  readonly bytes: { readonly rows: number; readonly indexes: number }
  readonly chunks: readonly ChunkStatus[]
  /** Rows outside every chunk; anything but 0 wants `tidemark worker`. */
  readonly defaultPartitionHasRows: boolean
}

export interface ChunkStatus {
  readonly from: string
  readonly to: string
  readonly state: string
  readonly estimatedRows: number
  readonly bytes: number
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
  readonly changeLog: { readonly entries: number; readonly bytes: number }
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
): Promise<Status> {
  return db.transaction({ mode: 'repeatable read read only' }, async (connection) => ({
    postgres: await readServer(connection, target),
    datasets: await readDatasets(connection, definitions),
    changeLog: await readChangeLog(connection),
    deadLetters: await readDeadLetters(connection),
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
  const chunks = await connection.query(sql`
    select h.schema_name || '.' || h.table_name, c.range_from, c.range_to, c.state,
           coalesce(pg_stat_get_live_tuples(r.oid), 0)::float8,
           coalesce(pg_total_relation_size(r.oid), 0)::int8
    from tidemark.chunk c
    join tidemark.hypertable h on h.id = c.hypertable_id
    left join pg_class r on r.relname = c.relation_name
      and r.relnamespace = (select oid from pg_namespace where nspname = 'tidemark_chunks')
    where c.state <> 'dropped'
    order by c.hypertable_id, c.range_from`)
  return definitions.map((definition, i) => {
    const [, exists, estimatedRows, rowBytes, indexBytes, defaultPartitionHasRows] = relations.rows[i] as [
      string,
      boolean,
      number,
      bigint,
      bigint,
      boolean,
    ]
    // `public.x` is declared as `x` or `public.x`; the catalog always holds both parts
    const qualified = `${definition.schema}.${definition.table}`
    return {
      name: definition.name,
      kind: definition.kind,
      exists,
      estimatedRows: Math.round(estimatedRows),
      bytes: { rows: Number(rowBytes), indexes: Number(indexBytes) },
      defaultPartitionHasRows,
      chunks: chunks.rows
        .filter((row) => row[0] === qualified)
        .map(([, from, to, state, rows, bytes]) => ({
          from: formatInstant(from as bigint),
          to: formatInstant(to as bigint),
          state: state as string,
          estimatedRows: Math.round(rows as number),
          bytes: Number(bytes as bigint),
        })),
    }
  })
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
