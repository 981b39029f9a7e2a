import { type PostgresSnapshot, seesAllRows } from '../hot/index.ts'
import type { Database, QueryAnswer } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { approximateMicros, type Instant, type TimeRange } from '../time/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { identifier, type Sql, sql } from '../util/sql.ts'
import { bucketColumn, type CellTable, cellSchema, cellTableOf } from './cell-table.ts'
import { widen } from './invalid-ranges.ts'
import {
  type CurrentVersion,
  currentVersionsSql,
  isStillValid,
  toCurrentVersions,
  unionOf,
} from './validity.ts'
import type { AggregateVersion } from './version.ts'

/** A current version as a snapshot sees it. */
export interface HeldVersion {
  readonly version: AggregateVersion
  readonly table: CellTable
  readonly validity: CurrentVersion
  /** Its buckets that a dropped chunk touches: nothing that is written later makes their cells wrong. Ascending. */
  readonly frozen: readonly TimeRange[]
  /** Of its cells, about: only for comparing costs. */
  readonly cellsPerMicro: number
}

/** What a snapshot sees of the aggregates of a hypertable. */
export interface HeldAggregates {
  readonly hypertableId: number
  /** Version of the hypertable's catalog. */
  readonly catalog: string
  /** Whether the role may see every row of the hypertable: cells have no policies. */
  readonly seesAll: boolean
  /** Ranges of chunks whose rows are gone; ascending. */
  readonly dropped: readonly TimeRange[]
  /** By name. */
  readonly versions: ReadonlyMap<string, HeldVersion>
  /** Why definitions in the catalog cannot be read here, so that none is used; null: they can. */
  readonly misfit: string | null
}

/** Gives the definitions of the current versions of a hypertable, as a statement of its snapshot sees them. */
export type LoadVersions = (
  query: (statement: Sql) => Promise<QueryAnswer>,
  base: HypertableDefinition,
) => Promise<readonly AggregateVersion[]>

/** How long estimates of cells are believed, by this process's clock. */
const estimatesForMs = 300_000

interface Known {
  readonly held: HeldAggregates
  readonly readAtMs: number
  /** Of `forget`, when it was read. */
  readonly generation: number
}

/** What one snapshot has been told of a hypertable. */
interface Told {
  /** What `read` gave last. */
  held: HeldAggregates | null
  /** What the snapshot has said beside its first statement, once it has. */
  exact: HeldAggregates | null
  /** Asked once for all tiers. */
  anew: Promise<HeldAggregates | null> | null
}

/** The aggregates of hypertables, as any snapshot sees them. */
export interface AggregateCatalogs {
  /** Of the snapshot; before it is taken what is presumed of it. Null: the hypertable is not in the catalog. */
  read(
    snapshot: PostgresSnapshot,
    base: HypertableDefinition,
    signal: AbortSignal | null,
  ): Promise<HeldAggregates | null>
  /** What `read` gave last for this snapshot. */
  last(snapshot: PostgresSnapshot, base: HypertableDefinition): HeldAggregates | null
  /** Cells have been computed here: the next query does not presume that they are not valid, or that there are none. */
  forget(base: HypertableDefinition): void
}

/**
 * Remembers of each hypertable what the last query saw. The next one goes on with it, and asks beside its first statement which
 * cells are valid: only when something that was taken for valid is not, it reads again. Rows that keep arriving in the newest
 * bucket change nothing: its cells are not valid, and known not to be.
 */
export function createAggregateCatalogs(load: LoadVersions): AggregateCatalogs {
  const databases = new WeakMap<Database, Map<string, Known>>()
  const snapshots = new WeakMap<PostgresSnapshot, Map<string, Told>>()
  const generations = new Map<string, number>()
  const generationOf = ({ name }: HypertableDefinition): number => generations.get(name) ?? 0

  /** Null: there is nothing, or nothing new enough, that could be presumed. */
  function presume(
    snapshot: PostgresSnapshot,
    base: HypertableDefinition,
    told: Told,
    signal: AbortSignal | null,
  ): HeldAggregates | null {
    const known = within(databases, snapshot.database)
    const before = known.get(base.name)
    if (snapshot.isTaken || !before || before.generation !== generationOf(base)) return null
    if (performance.now() - before.readAtMs >= estimatesForMs) return null
    const { held } = before
    if (snapshot.isCatalog(base, held.catalog) !== true) return null
    const check = async (): Promise<boolean> => {
      const answer = await snapshot.beside(currentVersionsSql(held.hypertableId), signal)
      const found = withValidity(held, toCurrentVersions(answer))
      if (found === null) {
        known.delete(base.name)
        return false
      }
      known.set(base.name, { ...before, held: found })
      told.exact = found
      return [...held.versions].every(([name, { validity }]) =>
        isStillValid(validity, (found.versions.get(name) as HeldVersion).validity),
      )
    }
    return snapshot.presume(check) ? held : null
  }

  async function readAnew(
    snapshot: PostgresSnapshot,
    base: HypertableDefinition,
    exact: HeldAggregates | null,
    signal: AbortSignal | null,
  ): Promise<HeldAggregates | null> {
    const catalog = await snapshot.catalogVersion(base)
    if (catalog === null) return null
    if (exact?.catalog === catalog) return exact
    const known = within(databases, snapshot.database)
    const readAtMs = performance.now()
    const generation = generationOf(base)
    const hypertableId = Number(catalog.slice(0, catalog.indexOf(':')))
    const query = (statement: Sql): Promise<QueryAnswer> => snapshot.query(statement, signal)
    const current = toCurrentVersions(await query(currentVersionsSql(hypertableId)))
    const before = known.get(base.name)
    const isRecent = before?.generation === generation && readAtMs - before.readAtMs < estimatesForMs
    if (isRecent && before.held.catalog === catalog) {
      const held = withValidity(before.held, current)
      if (held) {
        known.set(base.name, { ...before, held })
        return held
      }
    }
    const dropped = await readDropped(query, hypertableId)
    const { loaded, misfit } = await loadVersions(() =>
      current.length === 0 ? Promise.resolve([]) : load(query, base),
    )
    const versions = await holdVersions(query, loaded, current, dropped)
    const held = { hypertableId, catalog, seesAll: seesAllRows(catalog), dropped, versions, misfit }
    known.set(base.name, { held, readAtMs, generation })
    return held
  }

  return {
    async read(snapshot, base, signal) {
      const tolds = within(snapshots, snapshot)
      let told = tolds.get(base.name)
      if (!told) {
        told = { held: null, exact: null, anew: null }
        tolds.set(base.name, told)
        told.held = presume(snapshot, base, told, signal)
      }
      if (told.held && told.anew === null && !snapshot.isTaken) return told.held
      told.anew ??= readAnew(snapshot, base, told.exact, signal)
      told.held = await told.anew
      return told.held
    },
    last: (snapshot, base) => snapshots.get(snapshot)?.get(base.name)?.held ?? null,
    forget(base) {
      generations.set(base.name, generationOf(base) + 1)
    },
  }
}

function within<K extends object, V>(maps: WeakMap<K, Map<string, V>>, key: K): Map<string, V> {
  let found = maps.get(key)
  if (!found) {
    found = new Map()
    maps.set(key, found)
  }
  return found
}

/**
 * A definition of the catalog may be of a newer or older declaration than this process has: then rows answer, and the plan says why.
 */
async function loadVersions(
  load: () => Promise<readonly AggregateVersion[]>,
): Promise<{ readonly loaded: readonly AggregateVersion[]; readonly misfit: string | null }> {
  try {
    return { loaded: await load(), misfit: null }
  } catch (error) {
    if (!isTidemarkError(error) || (error.code !== 'TM_QUERY' && error.code !== 'TM_DECLARATION')) throw error
    return { loaded: [], misfit: error.message }
  }
}

/** The same versions with what is valid now; null when they are not the same any more, or the first cells have been computed. */
function withValidity(held: HeldAggregates, current: readonly CurrentVersion[]): HeldAggregates | null {
  if (current.length !== held.versions.size) return null
  const versions = new Map<string, HeldVersion>()
  for (const validity of current) {
    const known = held.versions.get(validity.name)
    const isSame =
      known?.validity.version === validity.version &&
      known.validity.unknownBefore === validity.unknownBefore &&
      known.validity.isReadable === validity.isReadable
    if (!isSame || (known.cellsPerMicro === 0 && known.validity.epoch !== validity.epoch)) return null
    versions.set(validity.name, { ...known, validity })
  }
  return { ...held, versions }
}

/** Index chunk (hypertable_id, range_from). Which chunks are dropped is part of the version of the catalog. */
async function readDropped(
  query: (statement: Sql) => Promise<QueryAnswer>,
  hypertableId: number,
): Promise<readonly TimeRange[]> {
  const { rows } = await query(sql`
    select range_from, range_to
    from tidemark.chunk
    where hypertable_id = ${hypertableId}::int4 and state = 'dropped'`)
  return unionOf(rows.map(([from, to]) => ({ range: { from: from as Instant, to: to as Instant } })))
}

/**
 * With how densely cells lie in time: PostgreSQL's estimate of their number, or one from the size where the table was never analysed,
 * between the first and the last bucket (two descents of the index).
 */
async function holdVersions(
  query: (statement: Sql) => Promise<QueryAnswer>,
  loaded: readonly AggregateVersion[],
  current: readonly CurrentVersion[],
  dropped: readonly TimeRange[],
): Promise<ReadonlyMap<string, HeldVersion>> {
  const versions = new Map<string, HeldVersion>()
  for (const validity of current) {
    const version = loaded.find(({ id }) => id === validity.version)
    if (!version) continue
    const table = cellTableOf(version.materialization)
    const cellsPerMicro = validity.isReadable ? await readDensity(query, version) : 0
    const { bucket } = version.materialization
    const frozen = unionOf(dropped.map((range) => ({ range: widen(bucket, range) })))
    versions.set(validity.name, { version, table, validity, frozen, cellsPerMicro })
  }
  return versions
}

async function readDensity(
  query: (statement: Sql) => Promise<QueryAnswer>,
  { relation, materialization: { bucket } }: AggregateVersion,
): Promise<number> {
  const table = identifier(cellSchema, relation)
  const column = identifier(bucketColumn)
  const { rows } = await query(sql`
    select
      (
        select case when c.reltuples > 0 then c.reltuples::float8 else ceil(pg_relation_size(c.oid) / 100.0)::float8 end
        from pg_class c
        where c.relname = ${relation}::text and c.relnamespace = ${cellSchema}::text::regnamespace
      ),
      (select min(${column}) from ${table}),
      (select max(${column}) from ${table})`)
  const [cells, first, last] = rows[0] as [number | null, Instant | null, Instant | null]
  if (cells === null || first === null || last === null) return 0
  return cells / Number(last - first + approximateMicros(bucket.every))
}
