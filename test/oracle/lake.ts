import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mayDropChunk } from '../../src/continuous/index.ts'
import { createChunkManager } from '../../src/hot/index.ts'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  type LakeFiles,
  type ObjectStore,
} from '../../src/lake/index.ts'
import { type ChunkFile, listFiles, readDeletions } from '../../src/lifecycle/chunk-record.ts'
import { createLifecycle, type Lifecycle, type LifecycleSettings } from '../../src/lifecycle/index.ts'
import { applyPartitionPolicies } from '../../src/migrate/index.ts'
import { createDatabase, type Database, type Queryable } from '../../src/postgres/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../../src/schema/index.ts'
import type { Clock } from '../../src/time/index.ts'
import { identifier, join as joinSql, printSqlInline, raw, type Sql, sql } from '../../src/util/sql.ts'

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
  /** Rows of files that PostgreSQL has read, by path and columns. */
  readonly read: Map<string, readonly (readonly unknown[])[]>
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

export function createLake(connectionString: string, clocks: readonly Clock[], folder?: string): Lake {
  const root = folder ?? mkdtempSync(join(tmpdir(), 'tidemark-oracle-lake-'))
  const store = createFolderStore({ dir: join(root, lakeName) })
  const files = createLakeFiles({ duckdb: oracleDuckDB(), store })
  const lake: Lake = {
    root,
    isOwn: folder === undefined,
    store,
    files,
    movers: [0, 1].map((i) => createMover(connectionString, store, clocks[i]!, i)) as [Mover, Mover],
    moves: new Map(),
    read: new Map(),
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
      mayExpire: mayDropChunk,
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

/** A file that a catalog names is not there. */
export class FileIsGone extends Error {}

/**
 * `columns` of the rows of the files that the snapshot of `reader` names, without those that are noted as deleted. PostgreSQL
 * reads them, from a table of its own on another connection: nothing of the planner, nothing of the cold tier. `columns` names the
 * rows `r`. Files never change, so what it has read of one is kept; that the file is still there is looked at each time.
 *
 * @throws FileIsGone
 */
export async function selectCold(
  scratch: Database,
  lake: Lake,
  reader: Queryable,
  definition: StoredDefinition,
  columns: Sql,
): Promise<readonly (readonly unknown[])[]> {
  if (definition.kind !== 'hypertable') return []
  const { rows: ids } = await reader.query(sql`
    select id from tidemark.hypertable
    where schema_name = ${definition.schema}::text and table_name = ${definition.table}::text`)
  const all: (readonly unknown[])[] = []
  for (const file of await listFiles(reader, { id: ids[0]![0] } as never, null)) {
    if ((await lake.store.stat(file.path)) === null) throw new FileIsGone(`${file.path} is named and gone`)
    const key = `${file.path} ${printSqlInline(columns)}`
    let rows = lake.read.get(key)
    if (rows === undefined) {
      rows = await readFile(scratch, lake.files, definition as HypertableDefinition, file, columns)
      lake.read.set(key, rows)
    }
    const deleted = new Set(file.deletedRows === 0 ? [] : await readDeletions(reader, file.id))
    if (deleted.size === 0) all.push(...rows)
    else for (const [i, row] of rows.entries()) if (!deleted.has(i)) all.push(row)
  }
  return all
}

/** In the order of the file. */
async function readFile(
  scratch: Database,
  files: LakeFiles,
  definition: HypertableDefinition,
  file: ChunkFile,
  columns: Sql,
): Promise<readonly (readonly unknown[])[]> {
  const names = joinSql(
    Object.keys(definition.columns).map((name) => identifier(name)),
    ', ',
  )
  return scratch.transaction({}, async (connection) => {
    await connection.execute(
      sql`create temp table r (like ${identifier(definition.schema, definition.table)}) on commit drop`,
    )
    await connection.copyFrom(
      sql`copy r (${names}) from stdin (format binary)`,
      files.rows({ definition, file, choice: { kind: 'all' }, signal: null }),
    )
    return (await connection.query(sql`select ${columns} from r order by r.ctid`)).rows
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
