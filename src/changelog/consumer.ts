import type { Connection, Database, Queryable } from '../postgres/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { findHypertable, type TableName } from './hypertable.ts'

/** Reads the change log of one hypertable from its own position on. */
export interface Consumer {
  readonly name: string
  readonly hypertableId: number
}

/** A range in which rows may have changed; `tenant` null: of all tenants. */
export interface MissedRange {
  readonly tenant: string | null
  readonly range: TimeRange
}

/**
 * What a consumer finds in a snapshot. `snapshot` is what to give to `advance` once it has been acted on.
 * `start-over`: its position says nothing about this database (any more): read everything again in this very
 * snapshot, then advance.
 */
export type Missing =
  | {
      readonly kind: 'ranges'
      readonly ranges: readonly MissedRange[]
      readonly entries: bigint
      readonly snapshot: string
    }
  | {
      readonly kind: 'start-over'
      readonly reason: 'new' | 'other-cluster' | 'other-timeline' | 'other-database'
      readonly snapshot: string
    }

export interface ReadMissingOptions {
  /** Ranges at most (default 10,000); past it tenants are given up, then the smallest gaps are closed. */
  readonly maxRanges?: number
}

/**
 * Registers a consumer, or finds the one that is there. From now on the log is kept for it. Its first `readMissing`
 * says start-over. Opens a transaction of its own: its place must be visible before trimming can pass it.
 *
 * @example
 * const consumer = await createConsumer(db, 'hourly_cpu', cpu)
 */
export async function createConsumer(db: Database, name: string, table: TableName): Promise<Consumer> {
  const hypertable = await findHypertable(db, table)
  const consumer: Consumer = { name, hypertableId: hypertable.id }
  await db.transaction({ mode: 'read committed' }, (connection) => registerConsumer(connection, consumer))
  return consumer
}

/** The same in a READ COMMITTED transaction of the caller's, which trimming then waits for: last, before its commit. */
export async function registerConsumer(connection: Connection, consumer: Consumer): Promise<void> {
  const { name, hypertableId } = consumer
  await lockConsumers(connection, hypertableId)
  // A statement of its own: its snapshot is taken after the lock, so it sees whatever a trim has deleted.
  await connection.query(sql`
    insert into tidemark.change_consumer (
      name, hypertable_id, position, system_identifier, timeline, database_oid
    )
    select ${name}::text, ${hypertableId}::int, pg_current_snapshot(), i.system_identifier, i.timeline, i.database_oid
    from tidemark.change_identity() as i
    on conflict (hypertable_id, name) do nothing`)
}

/** The log is no longer kept for it. */
export async function dropConsumer(db: Queryable, consumer: Consumer): Promise<void> {
  await db.query(sql`
    delete from tidemark.change_consumer
    where hypertable_id = ${consumer.hypertableId}::int and name = ${consumer.name}::text`)
}

/**
 * Registering and trimming exclude each other for the length of a statement: a position taken before a trim's
 * snapshot but committed after it would miss what that trim deletes. Released by the end of the transaction.
 */
export async function lockConsumers(connection: Queryable, hypertableId: number): Promise<void> {
  await connection.query(
    sql`select pg_advisory_xact_lock(hashtextextended('tidemark.change_consumer', ${hypertableId}::int))`,
  )
}

/**
 * What the consumer has missed, in the snapshot of the connection's transaction: exactly the entries with
 * `xid >= pg_snapshot_xmin(position) and not pg_visible_in_snapshot(xid, position)`. The transaction must be
 * REPEATABLE READ on the primary, and the rows are to be read in the same one.
 *
 * @throws TidemarkError TM_MIGRATION when the consumer is not registered.
 */
export async function readMissing(
  connection: Connection,
  consumer: Consumer,
  options: ReadMissingOptions = {},
): Promise<Missing> {
  const maxRanges = options.maxRanges ?? 10_000
  await assertOneSnapshot(connection)
  const { rows: places } = await connection.query(sql`
    select
      c.position,
      c.started,
      c.system_identifier = i.system_identifier,
      c.timeline = i.timeline,
      c.database_oid = i.database_oid,
      pg_current_snapshot()
    from tidemark.change_consumer as c, tidemark.change_identity() as i
    where c.hypertable_id = ${consumer.hypertableId}::int and c.name = ${consumer.name}::text`)
  const place = places[0]
  if (place === undefined) throw notRegistered(consumer)
  const [position, started, sameCluster, sameTimeline, sameDatabase, snapshot] = place as [
    string,
    boolean,
    boolean,
    boolean,
    boolean,
    string,
  ]
  const startOver = !sameCluster
    ? 'other-cluster'
    : !sameTimeline
      ? 'other-timeline'
      : !sameDatabase
        ? 'other-database'
        : !started
          ? 'new'
          : null
  if (startOver !== null) return { kind: 'start-over', reason: startOver, snapshot }

  // Index change_log_position. An entry that is visible but has no number of this snapshot came with a restore.
  const { rows } = await connection.query(sql`
    with missed as materialized (
      select l.tenant, l.range_from, l.range_to
      from tidemark.change_log as l
      where l.hypertable_id = ${consumer.hypertableId}::int
        and l.xid >= pg_snapshot_xmin(${position}::pg_snapshot)
        and not pg_visible_in_snapshot(l.xid, ${position}::pg_snapshot)
        and pg_visible_in_snapshot(l.xid, pg_current_snapshot())
    ),
    by_tenant as materialized (
      select m.tenant, r.part
      from (
        select tenant, range_agg(tstzrange(range_from, range_to)) as parts
        from missed
        group by tenant
      ) as m, unnest(m.parts) as r (part)
      limit ${maxRanges + 1}::int8
    ),
    of_all as materialized (
      select part, lower(part) - lag(upper(part)) over (order by part) as gap
      from (
        select unnest(range_agg(tstzrange(range_from, range_to))) as part
        from missed
        where (select count(*) from by_tenant) > ${maxRanges}::int8
      ) as merged
    ),
    edge as (
      select
        part,
        (gap is null or row_number() over (order by gap desc nulls first) <= ${maxRanges}::int8)::int as starts
      from of_all
    )
    select tenant, lower(part), upper(part), (select count(*) from missed)
    from by_tenant
    where (select count(*) from by_tenant) <= ${maxRanges}::int8
    union all
    select null, min(lower(part)), max(upper(part)), (select count(*) from missed)
    from (select part, sum(starts) over (order by part) as number from edge) as numbered
    group by number
    order by 2, 1`)
  return {
    kind: 'ranges',
    ranges: rows.map((row) => {
      const [tenant, from, to] = row as [string | null, Instant, Instant]
      return { tenant, range: { from, to } }
    }),
    entries: (rows[0]?.[3] as bigint | undefined) ?? 0n,
    snapshot,
  }
}

/**
 * Moves the consumer's position to the snapshot that `readMissing` gave, in the same transaction as what the
 * consumer made of it. Two that do so at once: the second fails with 40001 and starts again.
 */
export async function advance(connection: Queryable, consumer: Consumer, snapshot: string): Promise<void> {
  const { rowCount } = await connection.query(sql`
    update tidemark.change_consumer as c
    set
      position = ${snapshot}::pg_snapshot,
      started = true,
      system_identifier = i.system_identifier,
      timeline = i.timeline,
      database_oid = i.database_oid,
      advanced_at = now()
    from tidemark.change_identity() as i
    where c.hypertable_id = ${consumer.hypertableId}::int and c.name = ${consumer.name}::text`)
  if (rowCount !== 1) throw notRegistered(consumer)
}

function notRegistered(consumer: Consumer): TidemarkError<'TM_MIGRATION'> {
  return new TidemarkError('TM_MIGRATION', {
    problem: `the change log has no consumer "${consumer.name}" of hypertable ${consumer.hypertableId}`,
    todo: 'create it again, and read everything once',
  })
}

/** At READ COMMITTED the log and the rows would be read at two moments: a write in between would be lost for good. */
async function assertOneSnapshot(connection: Queryable): Promise<void> {
  const { rows } = await connection.query(sql`select current_setting('transaction_isolation')`)
  if (rows[0]![0] === 'repeatable read' || rows[0]![0] === 'serializable') return
  throw new TidemarkError('TM_MIGRATION', {
    problem: `the change log was read at ${String(rows[0]![0])}, where it and the rows are two moments`,
    todo: 'read both in one repeatable read transaction',
  })
}
