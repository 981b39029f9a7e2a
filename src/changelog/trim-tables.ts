import type { Database } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'

export interface TrimTableChangesOptions {
  /** Entries that are younger stay: whoever follows the log has until then to read them. ms, default 60,000. */
  readonly keepMs?: number
  /** Entries that one transaction deletes at most; default 10,000. */
  readonly batchRows?: number
  readonly signal?: AbortSignal | null
}

/**
 * Deletes entries of plain tables that are old and whose transactions have ended for everybody. Nobody is registered there, so
 * nothing holds it back; the greatest number that was deleted is noted, by which a follower sees that it has missed something.
 *
 * @example
 * await trimTableChanges(db) // 1234
 */
export async function trimTableChanges(db: Database, options: TrimTableChangesOptions = {}): Promise<number> {
  const { keepMs = 60_000, batchRows = 10_000, signal = null } = options
  for (let deleted = 0; ; ) {
    // one statement: the entries go, and the note comes, in one snapshot
    const { rows } = await db.query(
      sql`
        with doomed as (
          select t.ctid
          from tidemark.table_change as t
          where (
              t.xid < pg_snapshot_xmin(pg_current_snapshot())
              and t.logged_at <= clock_timestamp() - ${keepMs}::float8 * interval '1 millisecond'
            )
            -- visible, yet of no transaction of this cluster: came with a restore
            or not pg_visible_in_snapshot(t.xid, pg_current_snapshot())
          limit ${batchRows}::int8
        ),
        trimmed as (
          delete from tidemark.table_change as t
          using doomed
          where t.ctid = doomed.ctid
          returning t.xid
        ),
        noted as (
          insert into tidemark.table_change_trim as n (trimmed_to)
          select max(d.xid)
          from trimmed as d
          where pg_visible_in_snapshot(d.xid, pg_current_snapshot())
          having max(d.xid) is not null
          on conflict (is_only) do update
          set trimmed_to = greatest(n.trimmed_to, excluded.trimmed_to), trimmed_at = excluded.trimmed_at
        )
        select count(*) from trimmed`,
      { signal },
    )
    const count = Number(rows[0]?.[0])
    deleted += count
    if (count < batchRows) return deleted
  }
}
