import { setTimeout as sleep } from 'node:timers/promises'
import type { Database, Queryable } from '../../postgres/index.ts'
import { sql } from '../../util/sql.ts'

/** A backend that may still read with a snapshot from before a moment. */
export interface OlderSnapshot {
  readonly processId: number
  readonly description: string
}

interface Holder extends OlderSnapshot {
  /** The same process in a later transaction is another holder. */
  readonly key: string
}

/**
 * Waits until no transaction is left that holds a snapshot from before this call, and answers with those that are
 * left after `settleMs`. A transaction that was once seen without such a snapshot never gets one again, so each
 * is crossed off on its own: a long READ COMMITTED transaction only has to be caught between two statements.
 *
 * @param besides pg_locks of which relation exempt who waits for it: writers that wait for the swap itself.
 */
export async function waitForOlderSnapshots(
  db: Database,
  options: {
    readonly settleMs: number
    readonly besides: number | null
    readonly signal: AbortSignal | null
  },
): Promise<readonly OlderSnapshot[]> {
  const { rows } = await db.query(
    sql`select pg_snapshot_xmax(pg_current_snapshot())::text, clock_timestamp()::text`,
  )
  const [xmax, since] = rows[0] as [string, string]
  const end = Date.now() + options.settleMs
  let left: ReadonlySet<string> | null = null
  for (;;) {
    const holders: Holder[] = await readHolders(db, xmax, since, options.besides)
    const still: Holder[] = left === null ? holders : holders.filter((h) => left!.has(h.key))
    if (still.length === 0 || Date.now() >= end || options.signal?.aborted) return still
    left = new Set(still.map((h) => h.key))
    await sleep(10)
  }
}

/**
 * backend_xmin is what a snapshot keeps from being vacuumed. One that is older than `xmax` may come from an older
 * snapshot; a transaction that began afterwards has none, whatever its backend_xmin says (a long writer elsewhere holds
 * everybody's back). Vacuum reads no rows for anybody.
 *
 * Of other roles' sessions only a member of pg_read_all_stats sees that. The lock of each transaction on its own
 * virtual number everybody sees: such a session counts for as long as the transaction lasts that it was first seen in.
 */
async function readHolders(
  db: Database,
  xmax: string,
  since: string,
  besides: number | null,
): Promise<Holder[]> {
  const { rows } = await db.query(sql`
    select
      a.pid,
      coalesce(own.virtualtransaction, format('%s/%s', a.pid, a.xact_start)),
      case
        when hidden.is_true
        then format('process %s (role %s, in a transaction; a member of pg_read_all_stats would see more)', a.pid, a.usename)
        else format('process %s (%s, %s since %s)', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state, a.xact_start)
      end
    from pg_stat_activity as a
    cross join lateral (select a.query is not distinct from '<insufficient privilege>' as is_true) as hidden
    left join pg_locks as own
      on hidden.is_true and own.pid = a.pid and own.locktype = 'virtualxid' and own.mode = 'ExclusiveLock'
    where a.datname = current_database()
      and a.pid <> pg_backend_pid()
      and a.backend_type is distinct from 'autovacuum worker'
      and case
        when hidden.is_true then own.pid is not null
        else
          a.backend_xmin is not null
          and age(a.backend_xmin) > age(${xmax}::xid8::xid)
          and (a.xact_start is null or a.xact_start < ${since}::timestamptz)
      end
      and not exists (
        select
        from pg_locks as l
        where l.pid = a.pid and not l.granted and l.locktype = 'relation'
          and l.database = a.datid and l.relation = ${besides}::oid
      )`)
  return rows.map(([processId, key, description]) => ({
    processId: processId as number,
    key: key as string,
    description: description as string,
  }))
}

/** Who holds a lock on a relation, for a message. */
export async function describeLockHolders(db: Queryable, relation: number): Promise<string> {
  const { rows } = await db.query(sql`
    select distinct case
      when a.pid is not null
      then format('process %s (%s, %s since %s)', a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), a.state, a.xact_start)
      when p.gid is not null then format('prepared transaction "%s"', p.gid)
    end
    from pg_locks as l
    left join pg_stat_activity as a on a.pid = l.pid
    -- a prepared transaction has no process; it is known by the lock on its own number
    left join pg_locks as own
      on l.pid is null and own.pid is null and own.locktype = 'transactionid' and own.mode = 'ExclusiveLock'
      and own.virtualtransaction = l.virtualtransaction
    left join pg_prepared_xacts as p on p.transaction = own.transactionid
    where l.locktype = 'relation' and l.relation = ${relation}::oid
      and l.database = (select oid from pg_database where datname = current_database())
      and l.granted and l.pid is distinct from pg_backend_pid()`)
  const holders = rows.map(([holder]) => holder as string | null).filter((holder) => holder !== null)
  return holders.length > 0 ? `locks of ${holders.join(', ')}` : 'locks of transactions that have just ended'
}
