import type { HypertableRecord } from '../changelog/index.ts'
import type { ChunkState } from '../hot/index.ts'
import {
  createFileReader,
  type FileRecord,
  fileColumnCount,
  fileColumns,
  type WrittenFile,
} from '../lake/index.ts'
import { chunkSchema } from '../migrate/index.ts'
import type { Queryable } from '../postgres/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { raw, type Sql, sql } from '../util/sql.ts'

/** A row of tidemark.chunk. */
export interface ChunkRecord {
  readonly id: bigint
  readonly range: TimeRange
  readonly state: ChunkState
  readonly relation: string | null
}

/** A file of a chunk, with what has been taken out of it. */
export interface ChunkFile extends FileRecord {
  /** How many of its rows no longer count. */
  readonly deletedRows: number
  /** Changes whenever a deletion is added: the number of entries. */
  readonly deletionEntries: number
}

/** For an UPDATE of tidemark.chunk: its move is done. */
export const settled: Sql = sql`
  lease_owner = null, lease_until = null, move_error = null, move_failed_at = null, move_failures = 0`

export function partitionOf(chunk: {
  readonly relation: string | null
}): { schema: string; table: string } | null {
  return chunk.relation === null ? null : { schema: chunkSchema, table: chunk.relation }
}

/**
 * The chunk, its row locked to the end of the transaction when `lock`: whoever changes where its rows are (freeze, thaw,
 * compact, expire, a write to cold rows) comes one after the other. `nowait`: for who has the hypertable's row (flip.ts).
 *
 * @throws TidemarkError TM_MIGRATION when there is no such chunk.
 */
export async function readChunk(
  db: Queryable,
  hypertable: HypertableRecord,
  chunkId: bigint,
  options: { readonly lock: boolean | 'nowait' },
): Promise<ChunkRecord> {
  const { rows } = await db.query(sql`
    select id, range_from, range_to, state, relation_name
    from tidemark.chunk
    where id = ${chunkId}::int8 and hypertable_id = ${hypertable.id}::int
    ${raw(options.lock === false ? '' : options.lock === true ? 'for update' : 'for update nowait')}`)
  const row = rows[0]
  if (row === undefined) {
    throw new TidemarkError('TM_MIGRATION', {
      problem: `${hypertable.schema}.${hypertable.table} has no chunk ${chunkId}`,
      todo: 'look at `tidemark status` for its chunks',
    })
  }
  return toChunk(row)
}

/** As `readChunk` with a lock, for several, in the order of their ids: whoever locks several does so in this order. */
export async function readChunksForUpdate(
  db: Queryable,
  hypertable: HypertableRecord,
  chunkIds: readonly bigint[],
): Promise<ChunkRecord[]> {
  if (chunkIds.length === 0) return []
  const { rows } = await db.query(sql`
    select id, range_from, range_to, state, relation_name
    from tidemark.chunk
    where id = any (${chunkIds}::int8[]) and hypertable_id = ${hypertable.id}::int
    order by id
    for update`)
  return rows.map(toChunk)
}

export async function listChunks(db: Queryable, hypertable: HypertableRecord): Promise<ChunkRecord[]> {
  const { rows } = await db.query(sql`
    select id, range_from, range_to, state, relation_name
    from tidemark.chunk
    where hypertable_id = ${hypertable.id}::int
    order by range_from`)
  return rows.map(toChunk)
}

function toChunk(row: readonly unknown[]): ChunkRecord {
  const [id, from, to, state, relation] = row as [bigint, Instant, Instant, ChunkState, string | null]
  return { id, range: { from, to }, state, relation }
}

/** The files of a chunk, oldest first; null: of all chunks. */
export function listFiles(
  db: Queryable,
  hypertable: HypertableRecord,
  chunkId: bigint | null,
): Promise<ChunkFile[]> {
  return listFilesOf(db, hypertable, chunkId === null ? null : [chunkId])
}

/** The files of chunks, oldest first. */
export async function listFilesOf(
  db: Queryable,
  hypertable: HypertableRecord,
  chunkIds: readonly bigint[] | null,
): Promise<ChunkFile[]> {
  const { rows } = await db.query(sql`
    select
      ${fileColumns},
      coalesce(d.positions, 0)::int8, coalesce(d.entries, 0)::int8
    from tidemark.lake_file as f
    left join lateral (
      select sum(cardinality(d.positions)) as positions, count(*) as entries
      from tidemark.lake_deletion as d
      where d.file_id = f.id
    ) as d on true
    where f.hypertable_id = ${hypertable.id}::int
      and (${chunkIds}::int8[] is null or f.chunk_id = any (${chunkIds}::int8[]))
    order by f.chunk_id, f.id`)
  const toFile = createFileReader()
  return rows.map((row) => {
    const [deleted, entries] = row.slice(fileColumnCount)
    return { ...toFile(row), deletedRows: Number(deleted), deletionEntries: Number(entries) }
  })
}

/** Places of rows in a file that no longer count, ascending. */
export async function readDeletions(db: Queryable, fileId: bigint): Promise<Float64Array> {
  const { rows } = await db.query(sql`
    select positions::float8[] from tidemark.lake_deletion where file_id = ${fileId}::int8`)
  const length = rows.reduce((sum, [positions]) => sum + (positions as number[]).length, 0)
  const all = new Float64Array(length)
  let at = 0
  for (const [positions] of rows) {
    all.set(positions as number[], at)
    at += (positions as number[]).length
  }
  return all.sort()
}

/** Paths in the store that belong to a file. */
export function pathsOf(
  file: Pick<WrittenFile, 'path' | 'bytes' | 'summary'>,
): { path: string; bytes: number }[] {
  const own = { path: file.path, bytes: file.bytes }
  return file.summary === null ? [own] : [own, { path: file.summary.path, bytes: file.summary.bytes }]
}
