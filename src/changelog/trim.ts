import type { Database } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'
import { lockConsumers } from './consumer.ts'
import { findHypertable, type TableName } from './hypertable.ts'

export interface TrimOptions {
  /** Entries that one transaction deletes at most; default 10,000. */
  readonly batchRows?: number
  /** Entries that are younger stay, for those who follow the log without being registered. ms, default 0. */
  readonly keepMs?: number
  readonly signal?: AbortSignal | null
}

export interface TrimReport {
  readonly deleted: number
  /** Consumers whose position is of another cluster, timeline or database: nothing is trimmed until they start over. */
  readonly heldBy: readonly string[]
}

/**
 * Deletes the entries that every consumer has seen: those with `xid < min(pg_snapshot_xmin(position))`. Every such
 * transaction had ended when the positions were taken, so each position sees it; one that was still running, or
 * prepared, holds the xmin back. Without consumers, the entries of transactions that ended before now.
 *
 * The audit does not hold the log back: what it still needs of an entry is its range, which moves to its own row.
 *
 * @example
 * await trimChangeLog(db, cpu) // { deleted: 1234, heldBy: [] }
 */
export async function trimChangeLog(
  db: Database,
  table: TableName,
  options: TrimOptions = {},
): Promise<TrimReport> {
  const hypertable = await findHypertable(db, table)
  const { batchRows = 10_000, keepMs = 0 } = options
  let deleted = 0
  for (;;) {
    const batch = await db.transaction(
      { mode: 'read committed', signal: options.signal ?? null },
      async (tx) => {
        await lockConsumers(tx, hypertable.id)
        const { rows: held } = await tx.query(sql`
        select c.name
        from tidemark.change_consumer as c, tidemark.change_identity() as i
        where c.hypertable_id = ${hypertable.id}::int
          and (c.system_identifier, c.timeline, c.database_oid)
            is distinct from (i.system_identifier, i.timeline, i.database_oid)
        order by c.name`)
        if (held.length > 0) return { deleted: 0, heldBy: held.map(([name]) => name as string) }
        const { rows } = await tx.query(sql`
        with horizon as (
          select coalesce(
            (
              select min(pg_snapshot_xmin(c.position))
              from tidemark.change_consumer as c
              where c.hypertable_id = ${hypertable.id}::int
            ),
            pg_snapshot_xmin(pg_current_snapshot())
          ) as xid
        ),
        doomed as (
          select l.ctid
          from tidemark.change_log as l
          where l.hypertable_id = ${hypertable.id}::int
            and (
              (
                l.xid < (select xid from horizon)
                and l.logged_at <= clock_timestamp() - ${keepMs}::float8 * interval '1 millisecond'
              )
              -- visible, yet of no transaction of this cluster: came with a restore
              or not pg_visible_in_snapshot(l.xid, pg_current_snapshot())
            )
          limit ${batchRows}::int8
        ),
        trimmed as (
          delete from tidemark.change_log as l
          using doomed
          where l.ctid = doomed.ctid
          returning l.xid, l.range_from, l.range_to, l.source
        ),
        -- who holds answers in memory learns from it that it may have missed something
        noted as (
          insert into tidemark.change_trim as t (hypertable_id, trimmed_to)
          select ${hypertable.id}::int, max(d.xid)
          from trimmed as d
          where pg_visible_in_snapshot(d.xid, pg_current_snapshot())
          having max(d.xid) is not null
          on conflict (hypertable_id) do update
          set trimmed_to = greatest(t.trimmed_to, excluded.trimmed_to), trimmed_at = excluded.trimmed_at
        ),
        kept_for_audit as (
          update tidemark.change_audit as a
          set trimmed = a.trimmed + t.ranges, trimmed_meanwhile = a.trimmed_meanwhile + t.ranges
          from (
            select range_agg(tstzrange(d.range_from, d.range_to)) as ranges
            from trimmed as d
            join tidemark.change_audit as own on own.hypertable_id = ${hypertable.id}::int
            where d.source <> 'audit'
              and (own.position is null or not pg_visible_in_snapshot(d.xid, own.position))
          ) as t
          where a.hypertable_id = ${hypertable.id}::int and t.ranges is not null
        )
        select count(*) from trimmed`)
        return { deleted: Number(rows[0]![0]), heldBy: [] as string[] }
      },
    )
    deleted += batch.deleted
    if (batch.heldBy.length > 0 || batch.deleted < batchRows) return { deleted, heldBy: batch.heldBy }
  }
}
