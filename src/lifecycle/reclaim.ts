import { bumpEpoch, findDefaultPartition } from '../hot/index.ts'
import { isRetryable, sqlstateOf } from '../postgres/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { identifier, sql } from '../util/sql.ts'
import { type ChunkRecord, listChunks, partitionOf, readChunk } from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, Subject } from './context.ts'
import { guardDefault } from './guards.ts'
import { isLeased } from './leases.ts'

export interface ReclaimReport {
  /** Partitions that gave space back. */
  readonly reclaimed: number
  readonly bytes: number
  /** Empty partitions that were dropped: of expired chunks, and of cold ones beyond their share of `maxChunks`. */
  readonly dropped: number
  /** Chunks whose deleted rows somebody may still see, and who. */
  readonly held: readonly { readonly chunk: bigint; readonly reason: string }[]
}

/** Bytes of indexes of an empty partition from which on they are built anew: VACUUM leaves their pages. */
const indexBytesWorthRebuilding = 256 * 1024

/**
 * Gives back the space of rows that have moved. VACUUM, which takes away only what no snapshot, prepared transaction,
 * slot or standby that tells about itself can see, and cuts the end of the file off where nobody waits for the lock; then
 * REINDEX of what is empty. No TRUNCATE: a snapshot that still sees the rows would lose them, publications would send
 * it, and foreign keys refuse it.
 */
export async function reclaimSpace(
  context: LifecycleContext,
  subject: Subject,
  options: MoveOptions,
): Promise<ReclaimReport> {
  const signal = options.signal ?? null
  const total = { reclaimed: 0, bytes: 0 }
  const held: { chunk: bigint; reason: string }[] = []
  const { rows } = await context.db.query(sql`
    select k.id, k.moved_xid >= h.horizon, h.holder
    from tidemark.chunk as k, tidemark.snapshot_horizon() as h
    where k.hypertable_id = ${subject.hypertable.id}::int
      and k.relation_name is not null and k.moved_xid is not null
    order by k.range_from`)
  for (const [id, isHeld, holder] of rows as unknown as [bigint, boolean, string | null][]) {
    if (signal?.aborted) break
    // VACUUM looks for itself, and knows better: a transaction of another database does not matter to it. Asking first
    // only saves a scan in vain.
    if (isHeld && holder !== null) {
      held.push({ chunk: id, reason: `${holder} has an older snapshot` })
      continue
    }
    const bytes = await vacuumPartition(context, subject, id)
    if (bytes === null) held.push({ chunk: id, reason: 'its pages are still in use' })
    else {
      total.reclaimed += 1
      total.bytes += bytes
    }
  }
  const dropped = await dropEmptyPartitions(context, subject, signal)
  return { ...total, dropped, held }
}

/** Bytes that were given back; null when the partition was locked. */
async function vacuumPartition(
  context: LifecycleContext,
  { hypertable }: Subject,
  chunkId: bigint,
): Promise<number | null> {
  const { db } = context
  const read = async () => partitionOf(await readChunk(db, hypertable, chunkId, { lock: false }))
  const partition = await read()
  if (partition === null) return 0
  try {
    return await giveBackSpace(context, chunkId, partition)
  } catch (error) {
    // Another worker, who had it vacuumed at the same time, has dropped it since.
    const isGone = sqlstateOf(error) === '42P01' && (await read())?.table !== partition.table
    if (isGone) return 0
    throw error
  }
}

/** Bytes. */
interface Sizes {
  readonly heap: bigint
  readonly indexes: bigint
  readonly all: bigint
  /** `moved_xid` of its chunk. */
  readonly moved: string | null
}

async function giveBackSpace(
  context: LifecycleContext,
  chunkId: bigint,
  partition: { readonly schema: string; readonly table: string },
): Promise<number | null> {
  const { db } = context
  const relation = identifier(partition.schema, partition.table)
  // null when it has been dropped since the statement began: its row of pg_class is still seen then, and its sizes are null
  const size = async (): Promise<Sizes | null> => {
    const { rows } = await db.query(sql`
      select
        pg_relation_size(c.oid), pg_indexes_size(c.oid), pg_total_relation_size(c.oid),
        (select k.moved_xid::text from tidemark.chunk as k where k.id = ${chunkId}::int8)
      from pg_class as c
      where c.oid = format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass`)
    const [heap = null, indexes = null, all = null, moved = null] = (rows[0] ?? []) as (
      | bigint
      | string
      | null
    )[]
    if (heap === null || indexes === null || all === null) return null
    return { heap, indexes, all, moved } as Sizes
  }
  const before = await size()
  if (before === null) return 0
  // A statement of its own: VACUUM runs in no transaction. It gives up where it would have to wait.
  await db.execute(sql`vacuum (skip_locked, index_cleanup on, truncate on) ${relation}`)
  const after = await size()
  if (after === null) return 0
  if (after.heap > 0n) {
    // Not emptied: rows that came late are there, or somebody was in the way, or still sees what was deleted.
    const { rows } = await db.query(sql`select exists (select from only ${relation})`)
    if (rows[0]![0] === false) return null
  } else if (after.indexes > BigInt(indexBytesWorthRebuilding)) {
    if (!(await rebuildIndexes(context, partition))) return null
  }
  await db.query(sql`
    update tidemark.chunk
    set moved_xid = null
    where id = ${chunkId}::int8 and moved_xid is not distinct from ${before.moved}::xid8`)
  const left = await size()
  return left === null ? 0 : Number(before.all - left.all)
}

/** One transaction for each: a lock on one index is not held while another is waited for. */
async function rebuildIndexes(
  { db, settings }: LifecycleContext,
  partition: { readonly schema: string; readonly table: string },
): Promise<boolean> {
  const { rows } = await db.query(sql`
    select n.nspname, c.relname
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where i.indrelid = format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass
      and pg_relation_size(c.oid) > 16384
    order by c.oid`)
  for (const [schema, name] of rows) {
    try {
      await db.transaction({ lockTimeoutMs: settings.lockTimeoutMs }, (connection) =>
        connection.execute(sql`reindex index ${identifier(schema as string, name as string)}`),
      )
    } catch (error) {
      if (!isRetryable(error)) throw error
      return false
    }
  }
  return true
}

/**
 * Partitions that are physically empty, so for every snapshot: those of expired chunks, and the oldest of cold ones where
 * there are more than their share of the cap. Late rows get a new one (hot/chunk-partitions.ts).
 */
async function dropEmptyPartitions(
  context: LifecycleContext,
  subject: Subject,
  signal: AbortSignal | null,
): Promise<number> {
  const { db, settings } = context
  const { hypertable } = subject
  const chunks = (await listChunks(db, hypertable)).filter((chunk) => chunk.relation !== null)
  const cold = chunks.filter((chunk) => chunk.state === 'cold')
  const room = Math.floor(hypertable.maxChunks * settings.emptyShare)
  const surplus = cold.slice(0, Math.max(0, cold.length - room))
  let dropped = 0
  for (const chunk of [...chunks.filter((each) => each.state === 'dropped'), ...surplus]) {
    if (signal?.aborted) break
    if (!(await isEmpty(context, chunk))) continue
    if (chunk.state === 'cold') await guardDefault(context, subject, { signal })
    if (await dropPartition(context, subject, chunk.id)) dropped += 1
  }
  // Rows for them would otherwise go to the default partition until somebody looks again.
  if (dropped > 0) context.chunks.forget()
  return dropped
}

async function isEmpty(context: LifecycleContext, chunk: ChunkRecord): Promise<boolean> {
  const partition = partitionOf(chunk)!
  const { rows } = await context.db.query(sql`
    select pg_relation_size(c.oid) = 0
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = ${partition.schema}::text and c.relname = ${partition.table}::text`)
  return rows[0]?.[0] === true
}

/**
 * ACCESS EXCLUSIVE on the table, the default partition and the chunk: one try; only the first is waited for, so nobody
 * waits longer than `lock_timeout`. Whoever planned with the partition has ended then.
 */
async function dropPartition(context: LifecycleContext, subject: Subject, chunkId: bigint): Promise<boolean> {
  const { db, settings } = context
  const { definition, hypertable } = subject
  const remainder = await findDefaultPartition(db, definition)
  try {
    return await db.transaction({ lockTimeoutMs: settings.lockTimeoutMs }, async (connection) => {
      // Lock order of those who make chunks: the hypertable's row first, then the table. Who moves the chunk is not waited for.
      await connection.query(
        sql`select id from tidemark.hypertable where id = ${hypertable.id}::int for no key update`,
      )
      const chunk = await readChunk(connection, hypertable, chunkId, { lock: 'nowait' })
      const partition = partitionOf(chunk)
      if (partition === null || chunk.state === 'hot' || chunk.state === 'freezing') return false
      // A move has read the partition's name, and has no lock on it yet.
      if (await isLeased(connection, chunkId)) return false
      const relation = identifier(partition.schema, partition.table)
      await connection.execute(sql`
        lock table only ${identifier(definition.schema, definition.table)} in access exclusive mode;
        lock table only ${relation} in access exclusive mode nowait;
        lock table only ${identifier(remainder.schema, remainder.table)} in access exclusive mode nowait`)
      const { rows } = await connection.query(sql`
        select pg_relation_size(format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass) = 0`)
      if (rows[0]![0] !== true) return false
      await connection.execute(sql`drop table ${relation}`)
      await connection.query(sql`
        update tidemark.chunk set relation_name = null, moved_xid = null where id = ${chunkId}::int8`)
      await bumpEpoch(connection, hypertable)
      return true
    })
  } catch (error) {
    // Locks were in the way; or something of the user's depends on the partition, which stays then.
    if (isRetryable(error) || (isTidemarkError(error) && sqlstateOf(error) === '2BP01')) return false
    throw error
  }
}
