import type { EventText, FilterNode } from '../query/index.ts'
import { raw, type Sql, sql } from '../util/sql.ts'
import { isThere, micros, type Question, wrong } from './question.ts'

/** How events are put into sessions. */
export interface SessionShape {
  readonly texts: readonly EventText[]
  /** What an event has to have; null: nothing. */
  readonly where: FilterNode | null
  /** The events with the columns of `key`. */
  readonly from: Sql
  /** Columns of `from` that are the same in all events of one session, and of no other. */
  readonly key: Sql
}

/**
 * By the session column when there is one, whoever its events are of; events without a session are left out then. Otherwise a
 * user's session ends when no event follows for longer than `timeout`.
 */
export function sessionShape(question: Question): SessionShape {
  const column = question.columnOrNull('session')
  const timeout = question.span('timeout', '30 minutes')
  if (column) {
    if (question.fields['timeout'] != null)
      wrong(
        'timeout',
        `has no meaning where the column "${column.column}" says what a session is; leave it out`,
      )
    return {
      texts: [{ name: 's', refs: [column] }],
      where: isThere(column),
      from: raw('events'),
      key: raw('s'),
    }
  }
  return {
    texts: [],
    where: null,
    // events of one microsecond are in one session: the sum has all of them
    from: sql`(
      select *, sum(begins) over (partition by u order by t) as k
      from (
        select *,
          case when t - lag(t) over (partition by u order by t) <= ${raw(micros(timeout))} then 0 else 1 end as begins
        from events
      ) b
    ) g`,
    key: raw('u, k'),
  }
}
