import { beginLoggedWrite, timestamptzText } from '../changelog/index.ts'
import { bumpEpoch } from '../hot/index.ts'
import { beginRowMove } from '../migrate/index.ts'
import { type Connection, isRetryable, retry, sqlstateOf } from '../postgres/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { LifecycleContext, Subject } from './context.ts'
import { GaveWay, givingWay } from './give-way.ts'
import { takenOver } from './leases.ts'

/** What was exported is no longer what is there: another export is needed, not another try. */
export class Changed extends Error {
  readonly what: string

  constructor(what: string) {
    super(what)
    this.what = what
  }
}

export interface FlipOptions {
  readonly what: string
  readonly signal: AbortSignal | null
  readonly lockTimeoutMs?: number
  /** Default: `lockTries`. */
  readonly tries?: number
  /** It is rolled back, and tried again, when others wait for its locks. Default false. */
  readonly givesWay?: boolean
}

/**
 * Runs a transaction that makes a move visible; again with jitter while locks are in the way. `lock_timeout` bounds what
 * others wait behind it: a lock that is waited for holds up whoever comes later and conflicts with it.
 *
 * Lock order: the chunk's row (several: by id), rows of its partition, the audit's row, the hypertable's row (epoch), the
 * partition. Those who make, attach or drop partitions and adopt files have the hypertable's row first. So nobody who has it
 * ever waits for a chunk's row (NOWAIT, then all of it again); what they wait for, locks of tables, they wait for no
 * longer than `lock_timeout`, which is less than `deadlock_timeout`.
 */
export async function flip<T>(
  context: LifecycleContext,
  options: FlipOptions,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const { lockTimeoutMs, lockTries } = context.settings
  const { what, signal, givesWay = false } = options
  return retry(
    {
      what,
      tries: options.tries ?? lockTries,
      maxMs: 1000,
      random: context.random,
      signal,
      isRetryable: (error) => error instanceof GaveWay || isRetryable(error),
    },
    () =>
      context.db.transaction(
        { mode: 'read committed', lockTimeoutMs: options.lockTimeoutMs ?? lockTimeoutMs, signal },
        (connection) =>
          givesWay ? givingWay(context.db, connection, () => work(connection)) : work(connection),
      ),
  )
}

/** From here on the transaction moves rows: no guard stops it, nothing is logged, append-only tables let it. */
export async function beginMove(connection: Connection, { hypertable }: Subject): Promise<void> {
  await connection.query(sql`select tidemark.begin_cold_write(${hypertable.id}::int)`)
  await beginLoggedWrite(connection, hypertable)
  if (hypertable.appendOnly) await beginRowMove(connection)
}

/** What a move leaves behind for others: the audit does not compare over it, caches look again. Late in its transaction: others wait for the rows. */
export async function endMove(
  connection: Connection,
  { hypertable }: Subject,
  range: { readonly from: bigint; readonly to: bigint },
): Promise<void> {
  await connection.query(sql`
    select tidemark.forget_audit(
      ${hypertable.id}::int,
      ${timestamptzText(range.from)}::timestamptz,
      ${timestamptzText(range.to)}::timestamptz
    )`)
  await bumpEpoch(connection, hypertable)
}

/** Readers go on; whoever writes to the partition, or has written and not ended (prepared, too), is in the way. */
export async function lockAgainstWriters(
  connection: Connection,
  partition: { readonly schema: string; readonly table: string },
): Promise<void> {
  await connection.execute(
    sql`lock table only ${identifier(partition.schema, partition.table)} in share row exclusive mode`,
  )
}

/**
 * Takes locks at the end of work that is dear to lose: under a savepoint, given back and tried again while they are not to be had.
 *
 * @throws TidemarkError TM_BUSY
 */
export async function lockLate(
  context: LifecycleContext,
  connection: Connection,
  options: { readonly what: string; readonly signal: AbortSignal | null },
  lock: () => Promise<void>,
): Promise<void> {
  const { lockTries: tries } = context.settings
  await retry(
    { ...options, tries, maxMs: 1000, random: context.random, isRetryable: isLockTimeout },
    async () => {
      await connection.execute('savepoint tidemark_lock')
      try {
        await lock()
      } catch (error) {
        if (isLockTimeout(error)) await connection.execute('rollback to savepoint tidemark_lock')
        throw error
      }
      await connection.execute('release savepoint tidemark_lock')
    },
  )
}

function isLockTimeout(error: unknown): boolean {
  return sqlstateOf(error) === '55P03'
}

/** Whether the lock is free at this moment: before work that would be lost otherwise. Gives it back at once. */
export async function probeLock(
  connection: Connection,
  partition: { readonly schema: string; readonly table: string },
): Promise<void> {
  await connection.execute('savepoint tidemark_probe')
  await lockAgainstWriters(connection, partition)
  await connection.execute('rollback to savepoint tidemark_probe')
}

/**
 * Triggers of the user's that would take the move for a change: row and statement triggers of the partition for the
 * event. Clones of the table's are among them.
 */
export async function userTriggers(
  connection: Connection,
  partition: { readonly schema: string; readonly table: string },
  event: 'insert' | 'delete',
): Promise<UserTriggers | null> {
  // pg_trigger.tgtype: 4 insert, 8 delete
  const bit = event === 'insert' ? 4 : 8
  const { rows } = await connection.query(sql`
    select g.tgname, g.tgenabled::text
    from pg_trigger as g
    join pg_class as c on c.oid = g.tgrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = ${partition.schema}::text and c.relname = ${partition.table}::text
      and not g.tgisinternal and g.tgenabled <> 'D'
      and g.tgtype & ${bit}::int2 <> 0
      and g.tgname not like 'tidemark\\_%'
    order by 1`)
  if (rows.length === 0) return null
  const relation = identifier(partition.schema, partition.table)
  const each = (how: (mode: string) => string): Sql =>
    join(
      rows.map(
        ([name, mode]) =>
          sql`alter table only ${relation} ${raw(how(mode as string))} trigger ${identifier(name as string)}`,
      ),
      ';\n',
    )
  return {
    names: rows.map(([name]) => name as string),
    off: each(() => 'disable'),
    on: each((mode) => enableWords[mode as keyof typeof enableWords]),
  }
}

/** Under SHARE ROW EXCLUSIVE, which their change needs: nobody else fires them meanwhile. */
export interface UserTriggers {
  readonly names: readonly string[]
  readonly off: Sql
  /** As they were. */
  readonly on: Sql
}

const enableWords = { O: 'enable', A: 'enable always', R: 'enable replica' } as const

/** @throws TidemarkError TM_BUSY when the lease was taken over by somebody else. */
export async function assertLease(connection: Connection, chunkId: bigint, owner: string): Promise<void> {
  const { rows } = await connection.query(sql`
    select lease_owner = ${owner}::uuid from tidemark.chunk where id = ${chunkId}::int8`)
  if (rows[0]?.[0] === true) return
  throw takenOver(chunkId)
}
