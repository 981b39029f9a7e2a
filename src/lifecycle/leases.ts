import type { Connection, Database } from '../postgres/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import type { LifecycleContext, Subject } from './context.ts'

/**
 * Who moves a chunk. A lease saves work and decides nothing: a flip looks for itself whether everything is as it was.
 * Times are the server's.
 */
export interface Lease {
  readonly owner: string
  /** Aborted when somebody else has taken the chunk over, and with the caller's signal. */
  readonly signal: AbortSignal
}

/**
 * Runs `work` while holding the chunk. Null when somebody else holds it. What fails is written into the chunk's row
 * (`move_error`), and thrown.
 */
export async function withLease<T>(
  context: LifecycleContext,
  subject: Subject,
  chunkId: bigint,
  options: { readonly owner: string; readonly freezing: boolean; readonly signal: AbortSignal | null },
  work: (lease: Lease) => Promise<T>,
): Promise<T | null> {
  const { db, settings } = context
  const { owner } = options
  if (!(await claim(db, subject, chunkId, owner, settings.leaseMs, options.freezing))) return null
  const lost = new AbortController()
  const signal = AbortSignal.any([lost.signal, ...(options.signal === null ? [] : [options.signal])])
  let renewing: Promise<void> = Promise.resolve()
  const timer = setInterval(() => {
    renewing = renewing.then(async () => {
      try {
        if (!(await renew(db, chunkId, owner, settings.leaseMs))) lost.abort(takenOver(chunkId))
      } catch {
        // The database is away: what is under way fails by itself, or goes on. The flip looks whose the lease is.
      }
    })
  }, settings.leaseMs / 3)
  try {
    const result = await work({ owner, signal })
    await releaseLease(db, chunkId, owner)
    return result
  } catch (thrown) {
    const wasLost = lost.signal.aborted && options.signal?.aborted !== true && isCancellation(thrown)
    const error = wasLost ? (lost.signal.reason as TidemarkError) : thrown
    const isCancelled = isCancellation(error)
    const text = isCancelled ? null : error instanceof Error ? error.message : String(error)
    // The first error matters; where even this fails the lease runs out.
    await giveBack(db, chunkId, owner, text).catch(() => {})
    throw error
  } finally {
    clearInterval(timer)
    await renewing
  }
}

function isCancellation(error: unknown): boolean {
  return isTidemarkError(error) && error.code === 'TM_CANCELLED'
}

export function takenOver(chunkId: bigint): TidemarkError {
  return new TidemarkError('TM_BUSY', {
    what: `moving chunk ${chunkId}`,
    tries: 1,
    lastProblem: 'another worker has taken it over',
  })
}

/** What movers that died have left of their leases. Nothing rests on it: whoever comes takes the chunk over anyway. */
export async function endStaleLeases(db: Database, { hypertable }: Subject): Promise<void> {
  await db.query(sql`
    update tidemark.chunk
    set lease_owner = null, lease_until = null, state = case when state = 'freezing' then 'hot' else state end
    where id in (
      select k.id
      from tidemark.chunk as k
      where k.hypertable_id = ${hypertable.id}::int and k.lease_until < now()
      for update skip locked
    )`)
}

/**
 * Whether somebody moves the chunk. Asked under the lock of its row, which a claim skips, the answer holds until the end of the
 * transaction: whoever claims it later reads the chunk as that leaves it.
 */
export async function isLeased(connection: Connection, chunkId: bigint): Promise<boolean> {
  const { rows } = await connection.query(
    sql`select coalesce(lease_until >= now(), false) from tidemark.chunk where id = ${chunkId}::int8`,
  )
  return rows[0]?.[0] === true
}

/** A row that somebody else has locked (a flip, a write to cold rows) is skipped, not waited for. */
async function claim(
  db: Database,
  subject: Subject,
  chunkId: bigint,
  owner: string,
  leaseMs: number,
  freezing: boolean,
): Promise<boolean> {
  const { rowCount } = await db.query(sql`
    update tidemark.chunk
    set lease_owner = ${owner}::uuid,
        lease_until = now() + ${leaseMs}::float8 * interval '1 millisecond',
        state = case when ${freezing}::bool and state = 'hot' then 'freezing' else state end
    where id = (
      select k.id
      from tidemark.chunk as k
      where k.id = ${chunkId}::int8 and k.hypertable_id = ${subject.hypertable.id}::int
        and (k.lease_until is null or k.lease_until < now() or k.lease_owner = ${owner}::uuid)
      for update skip locked
    )`)
  return rowCount === 1
}

/** False when somebody else has it. */
async function renew(db: Database, chunkId: bigint, owner: string, leaseMs: number): Promise<boolean> {
  const { rowCount } = await db.query(sql`
    update tidemark.chunk
    set lease_until = now() + ${leaseMs}::float8 * interval '1 millisecond'
    where id = (
      select k.id from tidemark.chunk as k where k.id = ${chunkId}::int8 and k.lease_owner = ${owner}::uuid for update skip locked
    )`)
  if (rowCount === 1) return true
  // Locked at this moment, perhaps by our own flip, is not lost. Nor is one that nobody has: that flip gave it back when it was committed.
  const { rows } = await db.query(sql`
    select coalesce(lease_owner = ${owner}::uuid, true) from tidemark.chunk where id = ${chunkId}::int8`)
  return rows[0]?.[0] !== false
}

async function giveBack(db: Database, chunkId: bigint, owner: string, error: string | null): Promise<void> {
  await db.query(sql`
    update tidemark.chunk
    set lease_owner = null,
        lease_until = null,
        state = case when state = 'freezing' then 'hot' else state end,
        move_error = coalesce(${error}::text, move_error),
        move_failed_at = case when ${error}::text is null then move_failed_at else clock_timestamp() end,
        move_failures = move_failures + case when ${error}::text is null then 0 else 1 end
    where id = ${chunkId}::int8 and lease_owner = ${owner}::uuid`)
}

/** A flip has done so already, in its own transaction. */
async function releaseLease(db: Database, chunkId: bigint, owner: string): Promise<void> {
  await db.query(sql`
    update tidemark.chunk
    set lease_owner = null, lease_until = null, state = case when state = 'freezing' then 'hot' else state end
    where id = ${chunkId}::int8 and lease_owner = ${owner}::uuid`)
}
