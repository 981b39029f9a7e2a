import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createChunkManager } from '../../src/hot/index.ts'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  type LakeFiles,
  type ObjectStore,
} from '../../src/lake/index.ts'
import { listFiles, readDeletions } from '../../src/lifecycle/chunk-record.ts'
import { createLifecycle, type Lifecycle, type LifecycleSettings } from '../../src/lifecycle/index.ts'
import { applyPartitionPolicies } from '../../src/migrate/index.ts'
import { createDatabase, type Database, type Queryable } from '../../src/postgres/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../../src/schema/index.ts'
import type { Clock } from '../../src/time/index.ts'
import { identifier, join as joinSql, raw, type Sql, sql } from '../../src/util/sql.ts'

/** The lake of an episode: its folder, and two who move chunks, as two workers of a service would. */
export interface Lake {
  /** What `lake.dir` of the engines is relative to. */
  readonly root: string
  /** Whether the folder is the lake's own, to be removed with it. */
  readonly isOwn: boolean
  readonly store: ObjectStore
  readonly files: LakeFiles
  /** Restarted now and then, so not the same objects for ever. */
  readonly movers: [Mover, Mover]
  /** Moves by table that may have taken rows out of PostgreSQL or back into it. */
  readonly moves: Map<string, number>
  /** A mover was killed: files that nobody names may lie around. */
  mayHaveStrays: boolean
}

export interface Mover {
  readonly db: Database
  readonly lifecycle: Lifecycle
}

/** Little patience, and nothing is kept for later: what may be removed is removed at once. */
export const moverSettings: readonly Partial<LifecycleSettings>[] = [
  { emptyShare: 0, exports: 1 },
  { emptyShare: 0.3, exports: 3 },
].map((own) => ({
  lockTimeoutMs: 40,
  lockTries: 3,
  leaseMs: 400,
  quietMs: 0,
  foldRows: 4,
  foldAfterMs: 0,
  maxFiles: 2,
  keepDroppedMs: 0,
  keepStrayMs: 0,
  ...own,
}))

const lakeName = 'lake'

/** One for the whole process: it keeps nothing, and takes long to start. */
let duckdb: DuckDB | null = null

export function oracleDuckDB(): DuckDB {
  duckdb ??= createDuckDB({ threads: 1, memoryBytes: 256 * 1024 * 1024 })
  return duckdb
}

export function createLake(connectionString: string, clock: Clock, folder?: string): Lake {
  const root = folder ?? mkdtempSync(join(tmpdir(), 'tidemark-oracle-lake-'))
  const store = createFolderStore({ dir: join(root, lakeName) })
  const files = createLakeFiles({ duckdb: oracleDuckDB(), store })
  const lake: Lake = {
    root,
    isOwn: folder === undefined,
    store,
    files,
    movers: [0, 1].map((i) => createMover(connectionString, store, clock, i)) as [Mover, Mover],
    moves: new Map(),
    mayHaveStrays: false,
  }
  return lake
}

export const lakeConfig = Object.freeze({ dir: lakeName, threads: 1, memory: '256MB' })

export function createMover(connectionString: string, store: ObjectStore, clock: Clock, i: number): Mover {
  const db = createDatabase({ connectionString, max: 5 })
  return {
    db,
    lifecycle: createLifecycle({
      db,
      store,
      files: createLakeFiles({ duckdb: oracleDuckDB(), store, ...(i === 0 ? {} : { summaryShare: 1 }) }),
      chunks: createChunkManager({ db, applyPolicies: applyPartitionPolicies, tries: 3, lockTimeoutMs: 50 }),
      clock,
      settings: moverSettings[i]!,
    }),
  }
}

export async function closeLake(lake: Lake): Promise<void> {
  await Promise.all(lake.movers.map(({ db }) => db.close()))
  // what is in it; a folder that somebody else made, and perhaps mounted, is his
  rmSync(join(lake.root, lakeName), { recursive: true, force: true })
  if (lake.isOwn) rmSync(lake.root, { recursive: true, force: true })
}

/**
 * What `select` gives over the rows of the files that the snapshot of `reader` names, without those that are noted as
 * deleted. PostgreSQL answers, from a table of its own on another connection: nothing of the planner, nothing of the cold tier.
 * `select` names the rows `r`.
 */
export async function selectCold(
  scratch: Database,
  files: LakeFiles,
  reader: Queryable,
  definition: StoredDefinition,
  select: Sql,
): Promise<readonly (readonly unknown[])[]> {
  if (definition.kind !== 'hypertable') return []
  const { rows: ids } = await reader.query(sql`
    select id from tidemark.hypertable
    where schema_name = ${definition.schema}::text and table_name = ${definition.table}::text`)
  const named = await listFiles(reader, { id: ids[0]![0] } as never, null)
  if (named.length === 0) return []
  const deleted: Float64Array[] = []
  for (const file of named)
    deleted.push(file.deletedRows === 0 ? new Float64Array() : await readDeletions(reader, file.id))
  return scratch.transaction({}, async (connection) => {
    await connection.execute(
      sql`create temp table r (like ${identifier(definition.schema, definition.table)}) on commit drop`,
    )
    const columns = joinSql(
      Object.keys(definition.columns).map((name) => identifier(name)),
      ', ',
    )
    for (const [i, file] of named.entries()) {
      const choice = { kind: 'without', positions: deleted[i]! } as const
      await connection.copyFrom(
        sql`copy r (${columns}) from stdin (format binary)`,
        files.rows({ definition: definition as HypertableDefinition, file, choice, signal: null }),
      )
    }
    return (await connection.query(select)).rows
  })
}

export interface ChunkState {
  readonly id: bigint
  readonly from: bigint
  readonly to: bigint
  readonly state: 'hot' | 'freezing' | 'cold' | 'dropped'
  readonly relation: string | null
}

/** Chunks as the catalog has them now. */
export async function chunkStates(db: Queryable, definition: StoredDefinition): Promise<ChunkState[]> {
  if (definition.kind !== 'hypertable') return []
  const { rows } = await db.query(sql`
    select k.id, k.range_from, k.range_to, k.state, k.relation_name
    from tidemark.chunk as k
    join tidemark.hypertable as h on h.id = k.hypertable_id
    where h.schema_name = ${definition.schema}::text and h.table_name = ${definition.table}::text
    order by k.range_from`)
  return rows.map(([id, from, to, state, relation]) => ({ id, from, to, state, relation }) as ChunkState)
}

/** Every file of the store has to be in the catalog, in the trash, or a stray of somebody who was killed; and the reverse. */
export async function checkStore(lake: Lake, db: Queryable): Promise<string> {
  // in this order: what comes into the catalog meanwhile was in the store before
  const { rows: named } = await db.query(
    raw(`select path from tidemark.lake_file
      union all select summary_path from tidemark.lake_file where summary_path is not null`),
  )
  const stored = new Set<string>()
  for await (const { path } of lake.store.list('')) if (/\.(parquet|summary)$/.test(path)) stored.add(path)
  for (const [path] of named)
    if (!stored.has(path as string))
      throw new Error(`the catalog names ${path as string}, which is not in the lake`)
  const { rows: trash } = await db.query(raw('select path from tidemark.lake_trash'))
  // of imports that are not done
  const { rows: staged } = await db.query(
    raw(`select path from tidemark.import_file
      union all select file -> 'summary' ->> 'path' from tidemark.import_file`),
  )
  const known = new Set([...named, ...trash, ...staged].map(([path]) => path))
  const strays = [...stored].filter((path) => !known.has(path))
  if (strays.length > 0 && !lake.mayHaveStrays)
    throw new Error(`nobody was killed, and yet no catalog names ${strays.join(', ')}`)
  return `${named.length} named, ${trash.length} in the trash, ${strays.length} strays`
}
