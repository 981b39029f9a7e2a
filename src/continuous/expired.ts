import { timestamptzText } from '../changelog/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import type { AggregateVersion } from './version.ts'

/** Among the places of states in `aggregate_version.unknown_before`: of none of them there are cells before. */
export const expiredKey = 'expired'

/**
 * Writes down that the aggregate's own retention drops cells of buckets before `cutoff`. Where their rows are gone, too, nobody knows
 * them any more, and an answer says so; so it is written before they are dropped, and also where there were none to drop. Nothing
 * is written as long as all rows are there.
 */
export async function noteExpired(
  db: Queryable,
  { id, hypertableId }: Pick<AggregateVersion, 'id' | 'hypertableId'>,
  cutoff: Instant,
): Promise<void> {
  await db.query(sql`
    update tidemark.aggregate_version
    set unknown_before = unknown_before || jsonb_build_object(${expiredKey}::text, ${formatInstant(cutoff)}::text)
    where id = ${id}::int4
      and coalesce((unknown_before ->> ${expiredKey}::text)::timestamptz, '-infinity') < ${timestamptzText(cutoff)}::timestamptz
      and exists (
        select from tidemark.chunk
        where hypertable_id = ${hypertableId}::int4
          and state = 'dropped'
          and range_from < ${timestamptzText(cutoff)}::timestamptz
      )`)
}

/** Until when nothing is known of a range, because cells have expired and their rows are gone; null: everything is. */
export function lostBefore(
  { expiredBefore }: Pick<AggregateVersion, 'expiredBefore'>,
  frozen: readonly TimeRange[],
  range: TimeRange,
): Instant | null {
  if (expiredBefore === null) return null
  const lost = frozen
    .filter(({ from, to }) => from < expiredBefore && from < range.to && to > range.from)
    .at(-1)
  if (!lost || range.from >= expiredBefore) return null
  return lost.to < expiredBefore ? lost.to : expiredBefore
}
