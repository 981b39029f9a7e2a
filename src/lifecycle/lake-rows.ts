import { timestamptzText } from '../changelog/index.ts'
import { statsToJson, type WrittenFile } from '../lake/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { type ChunkFile, pathsOf } from './chunk-record.ts'
import type { Subject } from './context.ts'

export type TrashReason = 'compacted' | 'thawed' | 'expired' | 'erased' | 'summary'

/**
 * Notes files that were written and that no catalog names yet, in a transaction of its own: from here on the sweep knows
 * them, and `insertFile` has to find the note again. So a file that was swept can never come into the catalog, however
 * long its writer slept in between.
 */
export async function noteWritten(db: Queryable, subject: Subject, file: WrittenFile): Promise<void> {
  const paths = pathsOf(file)
  await db.query(sql`
    insert into tidemark.lake_trash (path, dataset, bytes, reason)
    select p.path, ${subject.definition.name}::text, p.bytes, 'cancelled'
    from unnest(${paths.map((p) => p.path)}::text[], ${paths.map((p) => p.bytes)}::int8[]) as p (path, bytes)
    on conflict (path) do nothing`)
}

/**
 * Takes the notes of a file away, in the transaction that names it elsewhere.
 *
 * @throws TidemarkError TM_LAKE when they are gone: it was swept.
 */
export async function takeNotes(db: Queryable, file: WrittenFile): Promise<void> {
  const paths = pathsOf(file)
  const { rowCount } = await db.query(sql`
    delete from tidemark.lake_trash
    where path = any (${paths.map((p) => p.path)}::text[]) and reason = 'cancelled'`)
  if (rowCount === paths.length) return
  throw new TidemarkError('TM_LAKE', {
    what: file.path,
    problem: 'was swept before it came into the catalog',
    todo: 'try again; rows stayed where they were',
  })
}

/**
 * The file counts from the commit of this transaction on.
 *
 * @throws TidemarkError TM_LAKE when its note is gone: it was swept.
 */
export async function insertFile(
  db: Queryable,
  subject: Subject,
  chunkId: bigint,
  file: WrittenFile,
): Promise<bigint> {
  await takeNotes(db, file)
  return insertNamedFile(db, subject, chunkId, file)
}

/** As `insertFile`, for one that was noted elsewhere than in the trash; this transaction takes that note away. */
export async function insertNamedFile(
  db: Queryable,
  subject: Subject,
  chunkId: bigint,
  file: WrittenFile,
): Promise<bigint> {
  const { summary } = file
  const { rows } = await db.query(sql`
    insert into tidemark.lake_file (
      hypertable_id, chunk_id, path, row_count, bytes, min_time, max_time, checksum, content_hash, layout, stats,
      summary_path, summary_bytes, summary_checksum, summary_layout
    )
    values (
      ${subject.hypertable.id}::int, ${chunkId}::int8, ${file.path}::text, ${file.rowCount}::int8, ${file.bytes}::int8,
      ${timestamptzText(file.minTime)}::timestamptz, ${timestamptzText(file.maxTime)}::timestamptz,
      ${file.checksum}::bytea, ${file.contentHash}::bytea,
      ${JSON.stringify(file.layout)}::jsonb, ${JSON.stringify(statsToJson(file.stats))}::jsonb,
      ${summary?.path ?? null}::text, ${summary?.bytes ?? null}::int8, ${summary?.checksum ?? null}::bytea,
      ${summary === null ? null : JSON.stringify(summary.layout)}::jsonb
    )
    returning id`)
  return rows[0]![0] as bigint
}

/** Places that one entry of tidemark.lake_deletion takes at most. */
const placesAtOnce = 1_000_000

/** Rows of a file that no longer count. Under the lock of the chunk's row, which keeps a place from being noted twice. */
export async function noteDeletions(
  db: Queryable,
  file: Pick<ChunkFile, 'id'>,
  places: Float64Array,
): Promise<void> {
  for (let from = 0; from < places.length; from += placesAtOnce) {
    const some = [...places.subarray(from, from + placesAtOnce)]
    await db.query(sql`
      insert into tidemark.lake_deletion (file_id, positions) values (${file.id}::int8, ${some}::int8[])`)
  }
}

/** Takes files out of the catalog; what lies in the store goes when nobody can have a snapshot that names it. */
export async function dropFiles(
  db: Queryable,
  subject: Subject,
  files: readonly ChunkFile[],
  reason: TrashReason,
): Promise<void> {
  if (files.length === 0) return
  const { rowCount } = await db.query(sql`
    delete from tidemark.lake_file where id = any (${files.map((file) => file.id)}::int8[])`)
  if (rowCount !== files.length) {
    throw new TidemarkError('TM_LAKE', {
      what: files.map((file) => file.path).join(', '),
      problem: 'is no longer in the catalog',
      todo: 'try again; somebody else has moved the chunk',
    })
  }
  const paths = files.flatMap(pathsOf)
  await db.query(sql`
    insert into tidemark.lake_trash (path, dataset, bytes, reason)
    select p.path, ${subject.definition.name}::text, p.bytes, ${reason}::text
    from unnest(${paths.map((p) => p.path)}::text[], ${paths.map((p) => p.bytes)}::int8[]) as p (path, bytes)
    -- a note that its writer never took away
    on conflict (path) do update
    set reason = excluded.reason, dropped_xid = excluded.dropped_xid, dropped_at = excluded.dropped_at`)
}
