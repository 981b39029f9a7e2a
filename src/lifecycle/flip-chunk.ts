import { disableGuardsSql, guardChunkSql, uniqueColumns } from '../hot/index.ts'
import type { Connection } from '../postgres/index.ts'
import { identifier, raw, sql } from '../util/sql.ts'
import { type ChunkFile, listFiles, partitionOf, readChunk, settled } from './chunk-record.ts'
import { type ChunkMove, type Exported, seenSql } from './export-chunk.ts'
import {
  assertLease,
  beginMove,
  Changed,
  endMove,
  lockAgainstWriters,
  probeLock,
  userTriggers,
} from './flip.ts'
import { dropFiles, insertFile } from './lake-rows.ts'
import { assertAttached, assertMovable } from './obstacles.ts'

interface Partition {
  readonly schema: string
  readonly table: string
}

/** What a flip did. */
export interface Flipped {
  readonly rows: number
  /** Of the new file and its summary. */
  readonly bytes: number
  /** Of the partition with its indexes, when its chunk was hot; otherwise 0. */
  readonly bytesBefore: number
}

/**
 * Puts what was exported in the place of the rows that it was exported from, in the transaction of `flip`.
 *
 * Everything that may wait or take long comes before the lock that keeps writers of the chunk out: the DELETE, the rows of the
 * catalog, the rows that others change too (audit, hypertable). Under it there are three looks, the guards and the commit.
 *
 * @throws Changed when the rows are not those that were exported.
 */
export async function flipChunk(
  connection: Connection,
  move: ChunkMove,
  exported: Exported,
): Promise<Flipped> {
  const { subject, chunkId } = move
  const { hypertable } = subject
  const { file, replaced } = exported
  move.report('flip', file?.rowCount ?? 0, file?.bytes ?? 0)
  const chunk = await readChunk(connection, hypertable, chunkId, { lock: true })
  await assertLease(connection, chunkId, move.owner)
  if (chunk.state === 'dropped') throw new Changed('it was dropped')
  if (chunk.relation !== exported.chunk.relation) throw new Changed('its partition is another one')
  const partition = partitionOf(chunk)
  const bytesBefore = partition === null ? null : await sizeOf(connection, partition)
  await beginMove(connection, subject)
  if (partition !== null) await deleteExported(connection, partition, exported)
  await assertUnchanged(connection, move, replaced)
  await dropFiles(connection, subject, replaced, 'compacted')
  if (file !== null) await insertFile(connection, subject, chunkId, file)
  const isCold = await settleChunk(connection, chunkId, bytesBefore, exported.rowsFromPartition > 0)
  await endMove(connection, subject, chunk.range)
  if (partition !== null) {
    await lockAgainstWriters(connection, partition)
    await assertAttached(connection, subject, chunk)
  }
  await assertMovable(connection, subject, chunk)
  if (partition !== null) {
    const guarded = { id: hypertable.id, name: subject.definition.name }
    const guards = isCold
      ? guardChunkSql(guarded, partition, chunk.range, await uniqueColumns(connection, partition))
      : await disableGuardsSql(connection, partition)
    if (guards !== null) await connection.execute(guards)
  }
  return {
    rows: file?.rowCount ?? 0,
    bytes: (file?.bytes ?? 0) + (file?.summary?.bytes ?? 0),
    bytesBefore: chunk.state === 'cold' ? 0 : Number(bytesBefore ?? 0n),
  }
}

/** Deletes the row versions that the export has seen, and looks that they are all of them. */
async function deleteExported(
  connection: Connection,
  partition: Partition,
  { seen, rowsFromPartition }: Exported,
): Promise<void> {
  const triggers = await userTriggers(connection, partition, 'delete')
  if (triggers === null) await probeLock(connection, partition)
  else {
    await lockAgainstWriters(connection, partition)
    await connection.execute(triggers.off)
  }
  const relation = identifier(partition.schema, partition.table)
  const condition = seen === null ? raw('true') : seenSql(seen)
  const deletion = sql`delete from only ${relation} as p where ${condition}`
  const assertSame = (deleted: number): void => {
    if (deleted !== rowsFromPartition)
      throw new Changed(`${rowsFromPartition} rows were exported, and ${deleted} of them are there unchanged`)
  }
  const places = seen?.places ?? null
  if (places === null) assertSame((await connection.query(deletion)).rowCount)
  else {
    const { rows } = await connection.query(sql`
      with gone as (${deletion} returning hashtidextended(p.ctid, 0) as place)
      select count(*), coalesce(sum(place), 0)::text from gone`)
    const [rowCount, found] = rows[0] as [bigint, string]
    assertSame(Number(rowCount))
    if (found !== places) throw new Changed('rows of it were changed meanwhile')
  }
  if (triggers !== null) await connection.execute(triggers.on)
}

/** Under the lock of the chunk's row, which every deletion is noted under. */
async function assertUnchanged(
  connection: Connection,
  { subject, chunkId }: ChunkMove,
  replaced: readonly ChunkFile[],
): Promise<void> {
  if (replaced.length === 0) return
  const now = await listFiles(connection, subject.hypertable, chunkId)
  const byId = new Map(now.map((file) => [file.id, file]))
  for (const file of replaced) {
    const same = byId.get(file.id)
    if (same === undefined) throw new Changed(`${file.path} is no longer a file of it`)
    if (same.deletionEntries !== file.deletionEntries || same.deletedRows !== file.deletedRows)
      throw new Changed(`rows of ${file.path} were changed meanwhile`)
  }
}

/** The chunk's row, when its files are in the catalog. Whether it is cold: a compaction may find no row left. */
async function settleChunk(
  connection: Connection,
  chunkId: bigint,
  bytesBefore: bigint | null,
  hasMovedRows: boolean,
): Promise<boolean> {
  const { rows } = await connection.query(sql`
    update tidemark.chunk as k
    set state = case
          when exists (select from tidemark.lake_file as f where f.chunk_id = k.id) then 'cold'
          else 'hot'
        end,
        frozen_at = clock_timestamp(),
        bytes_before = case when k.state <> 'cold' then ${bytesBefore}::int8 else k.bytes_before end,
        moved_xid = case when ${hasMovedRows}::bool then pg_current_xact_id() else moved_xid end,
        ${settled}
    where k.id = ${chunkId}::int8
    returning state`)
  return rows[0]![0] === 'cold'
}

/** Bytes with indexes and TOAST. */
async function sizeOf(connection: Connection, partition: Partition): Promise<bigint> {
  const { rows } = await connection.query(sql`
    select pg_total_relation_size(format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass)`)
  return rows[0]![0] as bigint
}
