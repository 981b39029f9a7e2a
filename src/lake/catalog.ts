import { intersect } from '../query/index.ts'
import type { ColumnType, HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type Sql, sql } from '../util/sql.ts'
import type { ColumnRange, LakeFile } from './contract.ts'
import { createFileReader, fileColumnCount, fileColumns } from './file-record.ts'
import type { LakeSnapshot } from './lake-snapshot.ts'

/** A file and the chunk that it belongs to. */
export interface CatalogFile extends LakeFile {
  readonly chunk: TimeRange
}

/** The files of a hypertable as one snapshot sees them, by their least time. */
export type LakeCatalog = readonly CatalogFile[]

/** The files of hypertables, as any snapshot sees them. */
export interface LakeCatalogs {
  /**
   * @param range What is asked for; null: all of it.
   * @throws TidemarkError TM_LAKE when the role may see a part of the table only, and files lie in the range.
   */
  read(
    snapshot: LakeSnapshot,
    dataset: HypertableDefinition,
    signal: AbortSignal | null,
    range?: TimeRange | null,
  ): Promise<LakeCatalog>
  /** Places of the rows of a file that no longer count, ascending. */
  deletions(snapshot: LakeSnapshot, file: LakeFile, signal: AbortSignal | null): Promise<Float64Array>
}

/** Places of deleted rows that are remembered, over all files: 16 MB. */
const maxRememberedPlaces = 2_000_000

interface Held {
  readonly version: string
  readonly catalog: LakeCatalog
}

interface OfDatabase {
  /** By name of the hypertable. */
  readonly catalogs: Map<string, Held>
  /** By file and how many rows of it are deleted: that number only grows while the file is there. */
  readonly deletions: Map<string, Float64Array>
  places: number
}

/**
 * Remembers one catalog for each hypertable. It is used again only by a snapshot that sees the same version (id and epoch of
 * the hypertable, which grows in the transaction that changes files or deletions), or that presumes so until it is taken.
 */
export function createLakeCatalogs(): LakeCatalogs {
  const known = new WeakMap<object, OfDatabase>()
  const ofDatabase = (snapshot: LakeSnapshot): OfDatabase => {
    const found = known.get(snapshot.database) ?? { catalogs: new Map(), deletions: new Map(), places: 0 }
    known.set(snapshot.database, found)
    return found
  }
  return {
    async read(snapshot, dataset, signal, range = null) {
      const { catalogs } = ofDatabase(snapshot)
      const held = catalogs.get(dataset.name)
      if (held) {
        const isSame =
          snapshot.isCatalog(dataset, held.version) ??
          (await snapshot.catalogVersion(dataset)) === held.version
        if (isSame) return held.catalog
      }
      const { rows } = await snapshot.query(catalogSql(dataset), signal)
      const version = await snapshot.catalogVersion(dataset)
      const catalog = toCatalog(rows, dataset)
      const limit = rows[0]?.at(-1)
      if (typeof limit === 'string' && snapshot.isOnBehalf !== true) {
        if (catalog.some(({ chunk }) => range === null || intersect(chunk, range)))
          throw limited(dataset, limit)
        return []
      }
      if (version !== null) catalogs.set(dataset.name, { version, catalog })
      return catalog
    },

    async deletions(snapshot, file, signal) {
      const memory = ofDatabase(snapshot)
      const key = `${file.id}:${file.deletedRows}`
      const held = memory.deletions.get(key)
      if (held) return held
      // Index: lake_deletion (file_id).
      const { rows } = await snapshot.query(
        sql`select d.positions from tidemark.lake_deletion d where d.file_id = ${file.id}::int8`,
        signal,
      )
      const places = Float64Array.from(rows.flatMap(([positions]) => (positions as bigint[]).map(Number)))
      places.sort()
      // another number: the catalog was presumed and is not what the snapshot sees, so the answer will not be used
      if (places.length === file.deletedRows && places.length <= maxRememberedPlaces) {
        for (const [old, of] of memory.deletions) {
          if (memory.places + places.length <= maxRememberedPlaces) break
          memory.deletions.delete(old)
          memory.places -= of.length
        }
        memory.deletions.set(key, places)
        memory.places += places.length
      }
      return places
    },
  }
}

/** Index: hypertable (schema_name, table_name), lake_file (hypertable_id, chunk_id), chunk (id), lake_deletion (file_id). */
function catalogSql(dataset: HypertableDefinition): Sql {
  return sql`
    select
      ${fileColumns},
      c.range_from, c.range_to, f.stats,
      coalesce((select sum(cardinality(d.positions)) from tidemark.lake_deletion d where d.file_id = f.id), 0)::int8,
      case
        when row_security_active(t.name) then 'row security limits what this role may see of the table'
        when not has_table_privilege(t.name, 'select') then 'this role may not select every column of the table'
      end
    from tidemark.hypertable h
    cross join lateral (select format('%I.%I', h.schema_name, h.table_name) as name) t
    join tidemark.lake_file f on f.hypertable_id = h.id
    join tidemark.chunk c on c.id = f.chunk_id
    where h.schema_name = ${dataset.schema}::text and h.table_name = ${dataset.table}::text
    order by f.min_time, f.id`
}

/** Behind the columns of the file. */
type CatalogRow = readonly [
  from: Instant,
  to: Instant,
  stats: Readonly<Record<string, StoredRange | null>>,
  deletedRows: bigint,
  limit: string | null,
]

/** Policies and grants are PostgreSQL's; files have none, and would give everybody's rows. */
function limited(dataset: HypertableDefinition, limit: string): TidemarkError<'TM_LAKE'> {
  return new TidemarkError('TM_LAKE', {
    what: dataset.name,
    problem: `${limit}, and rows in the lake are not behind that`,
    todo: 'query as a role that may see all of it (SELECT on the table, BYPASSRLS), ask for a range that is not frozen, or thaw it',
  })
}

function toCatalog(rows: readonly (readonly unknown[])[], dataset: HypertableDefinition): LakeCatalog {
  const toFile = createFileReader()
  return rows.map((row) => {
    const [from, to, stats, deletedRows] = row.slice(fileColumnCount) as unknown as CatalogRow
    return {
      ...toFile(row),
      chunk: { from, to },
      stats: statsFromJson(stats, dataset),
      deletedRows: Number(deletedRows),
    }
  })
}

/** JSON has no bigint, NaN or infinity: those are text. */
export interface StoredRange {
  readonly min: string | number | boolean
  readonly max: string | number | boolean
  readonly hasNull: boolean
}

/** What `lake_file.stats` holds for the stats of a file. */
export function statsToJson(
  stats: Readonly<Record<string, ColumnRange | null>>,
): Record<string, StoredRange | null> {
  const stored = (value: ColumnRange['min']): StoredRange['min'] =>
    typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))
      ? String(value)
      : value
  return Object.fromEntries(
    Object.entries(stats).map(([name, range]) => [
      name,
      range && { min: stored(range.min), max: stored(range.max), hasNull: range.hasNull },
    ]),
  )
}

function statsFromJson(
  stats: Readonly<Record<string, StoredRange | null>>,
  dataset: HypertableDefinition,
): Record<string, ColumnRange | null> {
  // an end that JSON could not hold is not known
  const isKnown = (range: StoredRange | null): boolean =>
    range === null || ((range.min as unknown) !== null && (range.max as unknown) !== null)
  const known = Object.entries(stats).filter(
    ([name, range]) => Object.hasOwn(dataset.columns, name) && isKnown(range),
  )
  return Object.fromEntries(
    known.map(([name, range]) => {
      const { type } = dataset.columns[name]!
      return [
        name,
        range && {
          min: readStored(type, range.min),
          max: readStored(type, range.max),
          hasNull: range.hasNull,
        },
      ]
    }),
  )
}

function readStored(type: ColumnType, value: StoredRange['min']): ColumnRange['min'] {
  if (type === 'int8' || type === 'timestamptz') return BigInt(value)
  if (type === 'int2' || type === 'int4' || type === 'float4' || type === 'float8') return Number(value)
  return value
}
