import { timestamptzText } from '../changelog/index.ts'
import type { Queryable } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import {
  approximateMicros,
  bucketStart,
  type Instant,
  minusInfinityInstant,
  subtractInterval,
} from '../time/index.ts'
import { backOffMs } from '../util/back-off.ts'
import { sql } from '../util/sql.ts'

/** A version of which something may be done. */
export interface VersionWork {
  readonly id: number
  readonly state: 'building' | 'current' | 'retired'
  readonly hasWork: boolean
  /** It has failed, and its next try is not due yet. */
  readonly isBackingOff: boolean
}

export function refreshEveryMs({ refresh }: ContinuousAggregateDefinition): number {
  return Number(approximateMicros(refresh.every) / 1000n)
}

/** Before this, cells are not kept. */
export function keptFrom({ retain, bucket }: ContinuousAggregateDefinition, now: Instant): Instant {
  return retain === null
    ? minusInfinityInstant
    : bucketStart(bucket, subtractInterval(now, retain, bucket.zone))
}

/**
 * Whether there is anything to do, in one statement (1 ms): invalid ranges that are not only the future, or entries of the change log
 * that the consumer has missed. A version that is being built, or that was replaced, always has. What is invalid after `until`,
 * where the running bucket begins, can wait.
 *
 * Index: aggregate (schema_name, table_name), aggregate_invalid_by_version, change_consumer (hypertable_id, name),
 * change_log_position.
 */
export async function findWork(
  db: Queryable,
  definition: ContinuousAggregateDefinition,
  { now, until }: { readonly now: Instant; readonly until: Instant },
): Promise<VersionWork[]> {
  const { rows } = await db.query(sql`
    select
      v.id,
      v.state,
      v.state <> 'current'
        or c.position is null
        or not c.started
        or (c.system_identifier, c.timeline, c.database_oid) <> (i.system_identifier, i.timeline, i.database_oid)
        or exists (
          select
          from tidemark.aggregate_invalid as r
          where r.version_id = v.id
            and case when r.range_to = 'infinity' then r.range_from = '-infinity'
              else r.range_from < ${timestamptzText(until)}::timestamptz
                and r.range_to > ${timestamptzText(keptFrom(definition, now))}::timestamptz
            end
        )
        or exists (
          select
          from tidemark.change_log as l
          where l.hypertable_id = a.hypertable_id
            and l.xid >= pg_snapshot_xmin(c.position)
            and not pg_visible_in_snapshot(l.xid, c.position)
            and pg_visible_in_snapshot(l.xid, pg_current_snapshot())
        ),
      v.refresh_failures,
      extract(epoch from clock_timestamp() - v.refresh_failed_at)::float8 * 1000
    from tidemark.aggregate as a
    join tidemark.aggregate_version as v on v.aggregate_id = a.id
    cross join tidemark.change_identity() as i
    left join tidemark.change_consumer as c
      on c.hypertable_id = a.hypertable_id and c.name = 'aggregate:' || v.id
    where a.schema_name = ${definition.schema}::text and a.table_name = ${definition.table}::text
    order by v.id`)
  const everyMs = refreshEveryMs(definition)
  return rows.map((row) => {
    const [id, state, hasWork, failures, failedMsAgo] = row as [
      number,
      VersionWork['state'],
      boolean,
      number,
      number | null,
    ]
    const isBackingOff = failedMsAgo !== null && failedMsAgo < backOffMs(everyMs, failures)
    return { id, state, hasWork, isBackingOff }
  })
}
