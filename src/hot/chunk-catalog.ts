import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { raw, type Sql, sql } from '../util/sql.ts'

/** A chunk as the planner of a read needs it. */
export interface CatalogChunk {
  readonly range: TimeRange
  /** PostgreSQL's estimate, or one from the size where the chunk was never analysed; 0 only when it has no pages. */
  readonly estimatedRows: number
}

export interface ChunkCatalog {
  /** Ascending. */
  readonly chunks: readonly CatalogChunk[]
  /** Rows outside of every chunk. */
  readonly defaultRows: number
}

/** What `catalogFrom` gives, in the order that `readCatalogRow` wants. */
export const catalogColumns: Sql = raw('cat.froms, cat.tos, cat.estimates, cat.default_rows')

/**
 * Index: hypertable (schema_name, table_name), chunk (hypertable_id, range_from), pg_class (relname, relnamespace).
 * reltuples is -1 before the first ANALYZE and may be 0 after one of an empty table that has since been filled: only
 * then the size of the file is asked for (which locks it for an instant), at 100 bytes a row.
 */
const estimate = `
  case
    when c.oid is null then 0
    when c.reltuples > 0 then c.reltuples::float8
    else ceil(pg_relation_size(c.oid) / 100.0)::float8
  end`

/** One row: the chunks of a hypertable as arrays. */
export function catalogFrom(dataset: HypertableDefinition): Sql {
  return sql`(
    select
      array_agg(k.range_from order by k.range_from) filter (where k.range_from is not null) as froms,
      array_agg(k.range_to order by k.range_from) filter (where k.range_from is not null) as tos,
      array_agg(k.estimate order by k.range_from) filter (where k.range_from is not null) as estimates,
      sum(k.estimate) filter (where k.range_from is null) as default_rows
    from (
      select k.range_from, k.range_to, ${raw(estimate)} as estimate
      from tidemark.hypertable h
      join tidemark.chunk k on k.hypertable_id = h.id and k.relation_name is not null
      left join pg_class c
        on c.relname = k.relation_name and c.relnamespace = 'tidemark_chunks'::regnamespace
      where h.schema_name = ${dataset.schema}::text and h.table_name = ${dataset.table}::text
      union all
      select null, null, ${raw(estimate)}
      from pg_namespace n
      join pg_class t on t.relnamespace = n.oid
      join pg_partitioned_table p on p.partrelid = t.oid
      join pg_class c on c.oid = p.partdefid
      where n.nspname = ${dataset.schema}::text and t.relname = ${dataset.table}::text
    ) k
  ) cat`
}

export function readCatalogRow(row: readonly unknown[]): ChunkCatalog {
  const [froms, tos, estimates, defaultRows] = row as [
    readonly Instant[] | null,
    readonly Instant[] | null,
    readonly number[] | null,
    number | null,
  ]
  const chunks = (froms ?? []).map((from, i) => ({
    range: { from, to: tos![i]! },
    estimatedRows: estimates![i]!,
  }))
  return { chunks, defaultRows: defaultRows ?? 0 }
}
