import type { Database } from '../postgres/index.ts'
import { type Coverage, everything, intersect } from '../query/index.ts'
import type { DatasetDefinition, HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { raw, repeated, type Sql, sql } from '../util/sql.ts'
import type { CatalogChunk, ChunkCatalog, ChunkCatalogs } from './chunk-catalog.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'

/**
 * Where PostgreSQL may have rows: everywhere but in cold chunks that certainly have none here, so that history is not
 * asked of two tiers. Where there is no chunk, the default partition holds what there is. The number of rows is
 * PostgreSQL's estimate and only compares costs.
 */
export async function readCoverage(
  dataset: DatasetDefinition,
  range: TimeRange | null,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
  catalogs: ChunkCatalogs,
  empties: EmptyPartitions,
  withDropped = true,
): Promise<readonly Coverage[]> {
  const whole = range ?? everything
  if (dataset.kind === 'hypertable') {
    const catalog = await catalogs.read(snapshot, dataset, signal)
    const empty = await empties.read(dataset, catalog, whole, snapshot, signal)
    return coverageOf(catalog, whole, empty, withDropped)
  }
  // Index: pg_namespace (nspname), pg_class (relname, relnamespace). -1: never analysed.
  const { rows } = await snapshot.query(
    sql`
      select nullif(c.reltuples, -1)::float8
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${dataset.schema}::text and c.relname = ${dataset.table}::text`,
    signal,
  )
  const estimatedRows = (rows[0]?.[0] as number | null | undefined) ?? null
  return [{ range: everything, holds: 'all', estimatedRows, pieces: 1 }]
}

/** What is known to have no page at all. */
export interface Emptiness {
  /** Partitions of chunks, by name. */
  readonly partitions: ReadonlySet<string>
  /** What takes rows that belong to no partition of a chunk. */
  readonly isOutsideEmpty: boolean
}

/** What was empty lately, of each hypertable. */
export interface EmptyPartitions {
  read(
    dataset: HypertableDefinition,
    catalog: ChunkCatalog,
    range: TimeRange,
    snapshot: PostgresSnapshot,
    signal: AbortSignal | null,
  ): Promise<Emptiness>
}

interface KnownEmptiness extends Emptiness {
  readonly asked: ReadonlySet<string>
}

/**
 * Remembers the last answer, and lets the query go on with it while the snapshot is asked again: whoever reads files need
 * not wait for PostgreSQL first. A late row makes the next query read twice, and no other.
 */
export function createEmptyPartitions(): EmptyPartitions {
  const known = new WeakMap<Database, Map<string, KnownEmptiness>>()
  return {
    async read(dataset, catalog, range, snapshot, signal) {
      const cold = catalog.chunks.filter((chunk) => chunk.state === 'cold')
      const names = namesOf(cold.filter((chunk) => intersect(chunk.range, range)))
      if (names === null) return nothingKnown
      const ofDatabase = known.get(snapshot.database) ?? new Map<string, KnownEmptiness>()
      known.set(snapshot.database, ofDatabase)

      const ask = async (): Promise<Emptiness> => {
        const found = await readEmptiness(dataset, names, snapshot, signal)
        const before = ofDatabase.get(dataset.name)
        const others = (namesOf(cold) ?? []).filter(
          (name) => !names.includes(name) && before?.asked.has(name),
        )
        ofDatabase.set(dataset.name, {
          asked: new Set([...names, ...others]),
          partitions: new Set([
            ...found.partitions,
            ...others.filter((name) => before?.partitions.has(name)),
          ]),
          isOutsideEmpty: found.isOutsideEmpty,
        })
        return found
      }

      const presumed = ofDatabase.get(dataset.name)
      if (presumed && names.every((name) => presumed.asked.has(name))) {
        const check = async (): Promise<boolean> => {
          const found = await ask()
          return (
            (found.isOutsideEmpty || !presumed.isOutsideEmpty) &&
            names.every((name) => found.partitions.has(name) || !presumed.partitions.has(name))
          )
        }
        if (snapshot.presume(check)) return presumed
      }
      return ask()
    },
  }
}

/** Of the partitions of chunks; null: there is no chunk. */
function namesOf(chunks: readonly CatalogChunk[]): readonly string[] | null {
  return chunks.length === 0 ? null : chunks.flatMap(({ relation }) => relation ?? [])
}

const nothingKnown: Emptiness = { partitions: new Set(), isOutsideEmpty: false }

/**
 * No page, and none taken away by TRUNCATE since the snapshot: draining the default partition truncates it and puts its
 * rows, visible to every snapshot, into chunks that an older one does not know. The size is looked at first, so a
 * TRUNCATE that it sees is seen by the second look too.
 */
function isEmptySql(alias: 'c' | 'd'): Sql {
  return raw(`
    case when pg_relation_size(${alias}.oid) = 0
      then ${alias}.relfilenode is not distinct from pg_relation_filenode(${alias}.oid) else false end`)
}

/**
 * Whether partitions have pages now. It is asked after the snapshot was taken and holds for it: a row that the snapshot
 * sees lies in a page, and pages go only when no snapshot can see a row of them. Every snapshot asks anew, because a
 * late row changes no catalog. Only asked where it matters, in ranges with cold chunks: one statement more, where a scan
 * of each partition would have to be planned, locked and opened.
 *
 * What somebody detached or attached by hand is not known to the catalog: a partition has to be attached to count as
 * empty, and with one that no chunk names nothing is said about the outside.
 *
 * Index: pg_class (relname, relnamespace; oid), pg_inherits (inhparent), hypertable (schema_name, table_name), chunk
 * (hypertable_id, range_from).
 */
async function readEmptiness(
  dataset: HypertableDefinition,
  names: readonly string[],
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
): Promise<Emptiness> {
  const { rows } = await snapshot.query(
    repeated(sql`
      with parent as (
        select t.oid, nullif(p.partdefid, 0) as default_oid
        from pg_namespace n
        join pg_class t on t.relnamespace = n.oid
        join pg_partitioned_table p on p.partrelid = t.oid
        where n.nspname = ${dataset.schema}::text and t.relname = ${dataset.table}::text
      )
      select
        array(
          select c.relname::text
          from parent
          join pg_inherits i on i.inhparent = parent.oid
          join pg_class c on c.oid = i.inhrelid
          where c.relname = any(${names}::text[]) and c.relnamespace = 'tidemark_chunks'::regnamespace
            and ${isEmptySql('c')}
        ),
        (
          select
            (default_oid is null or (select ${isEmptySql('d')} from pg_class d where d.oid = default_oid))
            and not exists (
              select
              from pg_inherits i
              join pg_class c on c.oid = i.inhrelid
              where i.inhparent = parent.oid and i.inhrelid is distinct from default_oid
                and c.relname not in (
                  select k.relation_name
                  from tidemark.hypertable h
                  join tidemark.chunk k on k.hypertable_id = h.id
                  where h.schema_name = ${dataset.schema}::text and h.table_name = ${dataset.table}::text
                    and k.relation_name is not null
                )
            )
          from parent
        )`),
    signal,
  )
  const [partitions, isOutsideEmpty] = rows[0] as [readonly string[], boolean | null]
  return { partitions: new Set(partitions), isOutsideEmpty: isOutsideEmpty === true }
}

/**
 * The stretches in which there may be rows, with the chunks of each; `withDropped` false: not those of dropped chunks, for what a
 * continuous aggregate kept of them counts, and a row that came too late does not.
 */
export function coverageOf(
  catalog: ChunkCatalog,
  whole: TimeRange,
  { partitions, isOutsideEmpty }: Emptiness = nothingKnown,
  withDropped = true,
): readonly Coverage[] {
  const chunks = catalog.chunks.filter(({ range }) => intersect(range, whole))
  // an attached partition takes every row of its range; without one, the default partition does
  const isEmpty = ({ state, relation }: CatalogChunk): boolean =>
    state === 'dropped'
      ? !withDropped
      : state === 'cold' && (relation === null ? isOutsideEmpty : partitions.has(relation))
  const stretches: { from: Instant; to: Instant; chunks: CatalogChunk[] }[] = []
  let open: CatalogChunk[] = []
  let from = whole.from
  const close = (to: Instant): void => {
    const hasRows = open.length > 0 || !isOutsideEmpty
    if (from < to && hasRows) stretches.push({ from, to, chunks: open })
    open = []
  }
  for (const chunk of chunks) {
    if (!isEmpty(chunk)) {
      if (chunk.relation !== null) open.push(chunk)
      continue
    }
    close(chunk.range.from)
    from = chunk.range.to
  }
  close(whole.to)
  const outside = isOutsideEmpty ? 0 : catalog.defaultRows
  return stretches.map((stretch) => {
    let rows = outside
    for (const { range, estimatedRows } of stretch.chunks) {
      const common = intersect(range, stretch) as TimeRange
      rows += estimatedRows * (Number(common.to - common.from) / Number(range.to - range.from))
    }
    return {
      range: { from: stretch.from, to: stretch.to },
      holds: 'share',
      estimatedRows: Math.round(rows),
      pieces: stretch.chunks.length + (outside > 0 ? 1 : 0),
    }
  })
}
