import { isFilePath, type ObjectStore } from '../lake/index.ts'
import { type Sql, sql } from '../util/sql.ts'
import type { LifecycleContext, MoveOptions } from './context.ts'
import { closeErasures, markErased } from './erasures.ts'
import { claimLake } from './ownership.ts'

export interface SweepReport {
  readonly removed: number
  readonly bytes: number
  /** Files in the trash that stay for now. */
  readonly kept: number
  /** Files that no catalog named, and that are in the trash now. */
  readonly strays: number
  /** Why files that are old enough stay; null when nothing is in the way. */
  readonly held: string | null
}

export interface SweepOptions extends MoveOptions {
  /** Databases that swept this lake before are gone for good; see ownership.ts. */
  readonly adopt?: boolean
}

/**
 * Removes files that nobody can need. A file is in the trash from the transaction that dropped it out of the catalog; it
 * is removed when (a) every snapshot is younger than that transaction, and (b) it is older than `keepDroppedMs`, so that
 * point-in-time recovery and standbys find it; what an erasure left behind does not wait for that. Files that no catalog names (their writer died) come into the trash
 * when they are older than `keepStrayMs`.
 *
 * Each removal holds the lock of the file's row in the trash, and the row goes after the file: killed in between, the
 * next run removes it again. Whoever brings a file into the catalog has to delete that row (lake-rows.ts), so it comes
 * before or after, and never names a file that is gone.
 */
export async function sweepLake(context: LifecycleContext, options: SweepOptions): Promise<SweepReport> {
  const { db, store, settings } = context
  const signal = options.signal ?? null
  if (await isUnused(context)) {
    await closeErasures(context)
    return { removed: 0, bytes: 0, kept: 0, strays: 0, held: null }
  }
  const claimed = await claimLake(db, store, options.adopt ?? false)
  if (claimed !== null) {
    const { rows } = await db.query(sql`select count(*) from tidemark.lake_trash`)
    return { removed: 0, bytes: 0, kept: Number(rows[0]![0]), strays: 0, held: claimed }
  }
  await giveUpImports(context)
  await markErased(context)
  const strays = await noteStrays(context, signal)
  const { rows: horizons } = await db.query(sql`
    select h.horizon::text, h.holder from tidemark.snapshot_horizon() as h`)
  const [horizon, holder] = horizons[0] as [string, string | null]
  const { rows: due } = await db.query(sql`
    select
      t.path,
      t.bytes,
      t.reason in ('cancelled', 'stray') or t.dropped_xid < ${horizon}::xid8
    from tidemark.lake_trash as t
    where t.dropped_at < clock_timestamp() - interval '1 millisecond' * case
      when t.reason in ('cancelled', 'stray') then ${settings.keepStrayMs}::float8
      when t.reason = 'erased' then 0
      else ${settings.keepDroppedMs}::float8
    end
    order by t.dropped_at`)
  let removed = 0
  let bytes = 0
  let isHeld = false
  for (const [path, size, isFree] of due as unknown as [string, bigint, boolean][]) {
    if (signal?.aborted) break
    if (!isFree) {
      isHeld = true
      continue
    }
    if (!(await removeFile(context, path))) continue
    removed += 1
    bytes += Number(size)
  }
  await closeErasures(context)
  await removeTemporaries(store, settings.keepStrayMs, signal)
  const { rows: left } = await db.query(sql`select count(*) from tidemark.lake_trash`)
  const held = `${holder ?? 'a transaction that still runs'} has an older snapshot`
  return { removed, bytes, kept: Number(left[0]![0]), strays, held: isHeld ? held : null }
}

/** A lake in which nothing has ever been gets no mark, and no folder. */
async function isUnused({ db, store }: LifecycleContext): Promise<boolean> {
  const { rows } = await db.query(sql`
    select exists (select from tidemark.lake_file) or exists (select from tidemark.lake_trash)`)
  if (rows[0]![0] === true) return false
  for await (const _ of store.list('')) return false
  return true
}

/**
 * False when somebody else has the row (another sweep, or the transaction that names the file), and when the file is named: its writer
 * took his own note away while `noteStrays` wrote another one, which goes. A file that may come to be
 * named (`cancelled`) is first made one that may not, for good: should this process die between file and row, a writer who
 * slept until then finds no note.
 */
async function removeFile({ db, store }: LifecycleContext, path: string): Promise<boolean> {
  await db.query(sql`
    update tidemark.lake_trash
    set reason = 'stray'
    where path = (
      select t.path
      from tidemark.lake_trash as t
      where t.path = ${path}::text and t.reason = 'cancelled'
      for update skip locked
    )`)
  return db.transaction({ mode: 'read committed' }, async (connection) => {
    const { rowCount } = await connection.query(sql`
      select from tidemark.lake_trash as t
      where t.path = ${path}::text and t.reason <> 'cancelled'
      for update skip locked`)
    if (rowCount === 0) return false
    // A statement of its own: it sees what was committed before the lock was had.
    const { rows } = await connection.query(sql`
      select
        exists (select from tidemark.lake_file as f where f.path = ${path}::text or f.summary_path = ${path}::text)
        or exists (select from tidemark.import_file as f where ${isImported(sql`${path}::text`)})`)
    const isNamed = rows[0]![0] as boolean
    if (!isNamed) await store.remove(path)
    await connection.query(sql`delete from tidemark.lake_trash where path = ${path}::text`)
    return !isNamed
  })
}

/** Imports into the lake that nobody has gone on with: their files go to the trash. */
async function giveUpImports({ db, settings }: LifecycleContext): Promise<void> {
  const { rows } = await db.query(sql`
    select f.import_id
    from tidemark.import_file as f
    group by f.import_id
    having max(f.staged_at) < clock_timestamp() - ${settings.keepStagedMs}::float8 * interval '1 millisecond'`)
  for (const [id] of rows)
    await db.transaction({ mode: 'read committed' }, async (connection) => {
      // locked: it is at it
      const { rows: own } = await connection.query(sql`
        select id from tidemark.import where id = ${id as bigint}::int8 for update skip locked`)
      if (own.length === 0) return
      await connection.query(sql`select tidemark.give_up_cold_import(${id as bigint}::int8)`)
    })
}

/** Whether a path is of a file (`f`) of an import that may still go on. */
function isImported(path: Sql): Sql {
  return sql`f.path = ${path} or f.file -> 'summary' ->> 'path' = ${path}`
}

const batchSize = 1000

/** What is in the store is listed first, and then asked for: what is named in between is named when it is asked for. */
async function noteStrays(context: LifecycleContext, signal: AbortSignal | null): Promise<number> {
  const { db, store, settings } = context
  const before = Date.now() - settings.keepStrayMs
  let noted = 0
  let batch: { path: string; bytes: number }[] = []
  const note = async (): Promise<void> => {
    if (batch.length === 0) return
    const { rowCount } = await db.query(sql`
      insert into tidemark.lake_trash (path, dataset, bytes, reason, dropped_at)
      -- it has been lying in the store for so long already
      select s.path, split_part(s.path, '/', 1), s.bytes, 'stray', clock_timestamp() - ${settings.keepStrayMs + 1}::float8 * interval '1 millisecond'
      from unnest(${batch.map((each) => each.path)}::text[], ${batch.map((each) => each.bytes)}::int8[]) as s (path, bytes)
      where not exists (
        select from tidemark.lake_file as f where f.path = s.path or f.summary_path = s.path
      ) and not exists (select from tidemark.import_file as f where ${isImported(sql`s.path`)})
      on conflict (path) do nothing`)
    noted += rowCount
    batch = []
  }
  for await (const { path, bytes, modifiedAt } of store.list('')) {
    if (signal?.aborted) break
    if (!isFilePath(path)) continue
    if (modifiedAt.getTime() >= before) continue
    batch.push({ path, bytes })
    if (batch.length >= batchSize) await note()
  }
  await note()
  return noted
}

/** What a writer left that was killed before its file was finished. */
async function removeTemporaries(
  store: ObjectStore,
  keepStrayMs: number,
  signal: AbortSignal | null,
): Promise<void> {
  const before = Date.now() - keepStrayMs
  for await (const { path, modifiedAt } of store.list('tmp/')) {
    if (signal?.aborted) return
    if (modifiedAt.getTime() < before) await store.remove(path)
  }
}
