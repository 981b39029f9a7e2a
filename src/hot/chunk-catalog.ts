import type { Database } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { raw, type Sql, sql } from '../util/sql.ts'
import type { ChunkState } from './chunk-map.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'

/** A chunk as the planner of a read needs it. */
export interface CatalogChunk {
  readonly range: TimeRange
  readonly state: ChunkState
  /** Its partition in schema tidemark_chunks; null when there is none. */
  readonly relation: string | null
  /** PostgreSQL's estimate, or one from the size where the chunk was never analysed; 0 only when it has no pages. */
  readonly estimatedRows: number
}

export interface ChunkCatalog {
  /** Ascending. */
  readonly chunks: readonly CatalogChunk[]
  /** Rows outside of every chunk. */
  readonly defaultRows: number
}

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

function catalogSql(dataset: HypertableDefinition): Sql {
  return sql`
    select
      array_agg(k.range_from order by k.range_from) filter (where k.range_from is not null) as froms,
      array_agg(k.range_to order by k.range_from) filter (where k.range_from is not null) as tos,
      array_agg(k.state order by k.range_from) filter (where k.range_from is not null) as states,
      array_agg(k.relation_name order by k.range_from) filter (where k.range_from is not null) as relations,
      array_agg(k.estimate order by k.range_from) filter (where k.range_from is not null) as estimates,
      sum(k.estimate) filter (where k.range_from is null) as default_rows
    from (
      select k.range_from, k.range_to, k.state, k.relation_name, ${raw(estimate)} as estimate
      from tidemark.hypertable h
      join tidemark.chunk k on k.hypertable_id = h.id
      left join pg_class c
        on c.relname = k.relation_name and c.relnamespace = 'tidemark_chunks'::regnamespace
      where h.schema_name = ${dataset.schema}::text and h.table_name = ${dataset.table}::text
      union all
      select null, null, null, null, ${raw(estimate)}
      from pg_namespace n
      join pg_class t on t.relnamespace = n.oid
      join pg_partitioned_table p on p.partrelid = t.oid
      join pg_class c on c.oid = p.partdefid
      where n.nspname = ${dataset.schema}::text and t.relname = ${dataset.table}::text
    ) k`
}

type CatalogRow = readonly [
  froms: readonly Instant[] | null,
  tos: readonly Instant[] | null,
  states: readonly ChunkState[] | null,
  relations: readonly (string | null)[] | null,
  estimates: readonly number[] | null,
  defaultRows: number | null,
]

function toCatalog([froms, tos, states, relations, estimates, defaultRows]: CatalogRow): ChunkCatalog {
  const chunks = (froms ?? []).map((from, i) => ({
    range: { from, to: tos![i]! },
    state: states![i]!,
    relation: relations![i] ?? null,
    estimatedRows: estimates![i]!,
  }))
  return { chunks, defaultRows: defaultRows ?? 0 }
}

/** How long estimates of rows are believed, by this process's clock. Ranges need no age: their version says whether they still hold. */
const estimatesForMs = 30_000

interface Held {
  readonly version: string
  readonly readAtMs: number
  readonly catalog: ChunkCatalog
}

/** By name of the hypertable. */
type Remembered = Map<string, Held>

/** The chunks of hypertables, as any snapshot sees them. */
export interface ChunkCatalogs {
  read(
    snapshot: PostgresSnapshot,
    dataset: HypertableDefinition,
    signal: AbortSignal | null,
  ): Promise<ChunkCatalog>
}

/**
 * Remembers one catalog for each hypertable, because reading it costs 0.5 ms with 6 chunks and more with 200, as much
 * as a small query. It is used again only by a snapshot that sees the same version (id and epoch of the hypertable,
 * which grows in the transaction that changes which chunk is where), or that presumes so until it is taken.
 */
export function createChunkCatalogs(): ChunkCatalogs {
  const known = new WeakMap<Database, Remembered>()
  return {
    async read(snapshot, dataset, signal) {
      const ofDatabase: Remembered = known.get(snapshot.database) ?? new Map()
      known.set(snapshot.database, ofDatabase)
      const held = ofDatabase.get(dataset.name)
      if (held && performance.now() - held.readAtMs < estimatesForMs) {
        const isSame =
          snapshot.isCatalog(dataset, held.version) ??
          (await snapshot.catalogVersion(dataset)) === held.version
        if (isSame) return held.catalog
      }
      const readAtMs = performance.now()
      const { rows } = await snapshot.query(catalogSql(dataset), signal)
      const version = await snapshot.catalogVersion(dataset)
      const catalog = toCatalog(rows[0] as unknown as CatalogRow)
      if (version !== null) ofDatabase.set(dataset.name, { version, readAtMs, catalog })
      return catalog
    },
  }
}
