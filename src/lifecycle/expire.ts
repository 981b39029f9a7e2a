import { randomUUID } from 'node:crypto'
import { timestamptzText } from '../changelog/index.ts'
import { disableGuardsSql, findDefaultPartition } from '../hot/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant, subtractInterval } from '../time/index.ts'
import { identifier, type Sql, sql } from '../util/sql.ts'
import { type ChunkRecord, listChunks, listFiles, partitionOf, readChunk, settled } from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, Subject } from './context.ts'
import {
  beginMove,
  endMove,
  flip,
  lockAgainstWriters,
  probeLock,
  type UserTriggers,
  userTriggers,
} from './flip.ts'
import { dropFiles } from './lake-rows.ts'
import { withLease } from './leases.ts'

interface Partition {
  readonly schema: string
  readonly table: string
}

export interface ExpireRequest {
  readonly subject: Subject
  readonly chunk: ChunkRecord
  /** What ends by then is past the retention. */
  readonly cutoff: Instant
  readonly now: Instant
  /** The second time that of the transaction that drops the chunk, when nobody writes to it any more. */
  readonly db: Queryable
}

/**
 * Whether a chunk may go: continuous aggregates and copies that stand on it say no until they are past it. Asked twice: before
 * anything is done, and at the end of the transaction, so that nothing is committed in between.
 */
export type MayExpire = (request: ExpireRequest) => Promise<true | { readonly reason: string }>

/** Said at the end of the transaction, which is rolled back. */
class Held extends Error {}

export interface ExpireReport {
  /** Chunks that end by then are past the retention: ISO 8601 in UTC; null: there is none. */
  readonly cutoff: string | null
  readonly chunks: number
  readonly files: number
  /** Deleted in PostgreSQL: of dropped chunks, and late rows of chunks that had been dropped before. */
  readonly rows: number
  /** Chunks that are past the retention, and why they stay. */
  readonly held: readonly { readonly chunk: bigint; readonly reason: string }[]
}

/**
 * Drops chunks that lie wholly before now - `retain`. Rows in PostgreSQL are deleted as any rows are (snapshots that saw
 * them still do), files go to the trash. The chunk's row stays with state `dropped`: whoever comes late with a row of it
 * is told by it. A late row that plain SQL wrote lies in the partition, or the default partition, is seen like any
 * other, and goes with the next run.
 */
export async function expireChunks(
  context: LifecycleContext,
  subject: Subject,
  mayExpire: MayExpire,
  options: MoveOptions & { readonly cutoff?: Instant },
): Promise<ExpireReport> {
  const { definition } = subject
  const signal = options.signal ?? null
  const cutoff =
    options.cutoff ??
    (definition.retain === null ? null : subtractInterval(context.clock.now(), definition.retain, null))
  if (cutoff === null) return { cutoff: null, chunks: 0, files: 0, rows: 0, held: [] }
  const total = { chunks: 0, files: 0, rows: 0 }
  const held: { chunk: bigint; reason: string }[] = []
  const chunks = (await listChunks(context.db, subject.hypertable)).filter(
    (chunk) => chunk.range.to <= cutoff,
  )
  for (const chunk of chunks) {
    if (signal?.aborted) break
    if (chunk.state === 'dropped') {
      total.rows += await expireLateRows(context, subject, chunk, signal)
      continue
    }
    const assertFree = async (db: Queryable): Promise<void> => {
      const may = await mayExpire({ subject, chunk, cutoff, now: context.clock.now(), db })
      if (may !== true) throw new Held(may.reason)
    }
    let dropped: { files: number; rows: number } | null
    try {
      await assertFree(context.db)
      dropped = await withLease(
        context,
        subject,
        chunk.id,
        { owner: randomUUID(), freezing: false, signal },
        () => dropChunk(context, subject, chunk.id, assertFree, signal),
      )
    } catch (error) {
      if (!(error instanceof Held)) throw error
      held.push({ chunk: chunk.id, reason: error.message })
      continue
    }
    if (dropped === null) held.push({ chunk: chunk.id, reason: 'it is being moved' })
    else {
      total.chunks += 1
      total.files += dropped.files
      total.rows += dropped.rows
    }
  }
  return { cutoff: formatInstant(cutoff), ...total, held }
}

function dropChunk(
  context: LifecycleContext,
  subject: Subject,
  chunkId: bigint,
  assertFree: (connection: Queryable) => Promise<void>,
  signal: AbortSignal | null,
): Promise<{ files: number; rows: number }> {
  const what = `dropping chunk ${chunkId} of ${subject.definition.name}`
  return flip(context, { what, signal, givesWay: true }, async (connection) => {
    const chunk = await readChunk(connection, subject.hypertable, chunkId, { lock: true })
    const partition = partitionOf(chunk)
    await beginMove(connection, subject)
    const rows =
      partition === null
        ? await deleteInDefault(connection, subject, chunk)
        : await deletePartitionRows(connection, partition)
    const files = await listFiles(connection, subject.hypertable, chunkId)
    await dropFiles(connection, subject, files, 'expired')
    await connection.query(sql`
      update tidemark.chunk
      set state = 'dropped',
          frozen_at = null,
          moved_xid = case when relation_name is null then null else pg_current_xact_id() end,
          ${settled}
      where id = ${chunkId}::int8`)
    await endMove(connection, subject, chunk.range)
    if (partition !== null) {
      // Nobody waits for one of the deleted rows (flip-chunk.ts).
      await lockAgainstWriters(connection, partition)
      // Whatever comes late lies here, and nowhere else.
      const guards = await disableGuardsSql(connection, partition)
      if (guards !== null) await connection.execute(guards)
    }
    // A statement of its own: it sees what was committed while the lock was waited for.
    await assertFree(connection)
    return { files: files.length, rows }
  })
}

/** All rows of a partition. */
async function deletePartitionRows(connection: Connection, partition: Partition): Promise<number> {
  const triggers = await userTriggers(connection, partition, 'delete')
  if (triggers === null) await probeLock(connection, partition)
  return deleteRows(connection, partition, triggers, sql`true`)
}

/** Rows of a chunk without a partition. One that is written at this moment stays for the next run. */
async function deleteInDefault(
  connection: Connection,
  { definition }: Subject,
  chunk: ChunkRecord,
): Promise<number> {
  const partition = await findDefaultPartition(connection, definition)
  const inRange = isInRange(definition, chunk)
  if (!(await hasRows(connection, partition, inRange))) return 0
  const triggers = await userTriggers(connection, partition, 'delete')
  return deleteRows(connection, partition, triggers, inRange)
}

/** Deletes rows without telling triggers of the user's, which would take the move for a change. */
async function deleteRows(
  connection: Connection,
  partition: Partition,
  triggers: UserTriggers | null,
  condition: Sql,
): Promise<number> {
  if (triggers !== null) {
    await lockAgainstWriters(connection, partition)
    await connection.execute(triggers.off)
  }
  const { rowCount } = await connection.query(
    sql`delete from only ${identifier(partition.schema, partition.table)} as p where ${condition}`,
  )
  if (triggers !== null) await connection.execute(triggers.on)
  return rowCount
}

/** Rows of a dropped chunk that came after it. No change of where chunks are: the change log and the epoch stay. */
async function expireLateRows(
  context: LifecycleContext,
  subject: Subject,
  chunk: ChunkRecord,
  signal: AbortSignal | null,
): Promise<number> {
  const { definition } = subject
  const home = partitionOf(chunk) ?? (await findDefaultPartition(context.db, definition))
  const inRange = isInRange(definition, chunk)
  if (!(await hasRows(context.db, home, inRange))) return 0
  return flip(context, { what: `expiring late rows of ${definition.name}`, signal }, async (connection) => {
    await beginMove(connection, subject)
    const triggers = await userTriggers(connection, home, 'delete')
    const rows = await deleteRows(connection, home, triggers, inRange)
    await connection.query(sql`
      update tidemark.chunk
      set moved_xid = pg_current_xact_id()
      where id = ${chunk.id}::int8 and relation_name is not null`)
    await connection.query(
      sql`select tidemark.forget_audit(
        ${subject.hypertable.id}::int,
        ${timestamptzText(chunk.range.from)}::timestamptz,
        ${timestamptzText(chunk.range.to)}::timestamptz
      )`,
    )
    return rows
  })
}

function isInRange({ time }: { readonly time: string }, { range }: ChunkRecord): Sql {
  const column = identifier(time)
  return sql`p.${column} >= ${timestamptzText(range.from)}::timestamptz and p.${column} < ${timestamptzText(range.to)}::timestamptz`
}

async function hasRows(db: Queryable, partition: Partition, condition: Sql): Promise<boolean> {
  const { rows } = await db.query(
    sql`select exists (select from only ${identifier(partition.schema, partition.table)} as p where ${condition})`,
  )
  return rows[0]![0] as boolean
}
