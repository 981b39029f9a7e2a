import type { EventRequest, EventRow } from '../query/index.ts'
import { everything } from '../query/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { groupKey } from './column-sql.ts'
import { filterToSql } from './filter-sql.ts'
import { rangeConditions, relationSql, whereSql } from './instant-sql.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'

/** Rows of one piece: names are short, so this is some megabytes. */
const rowsAtOnce = 10_000

/**
 * The events that are in PostgreSQL, in pieces and in no order. PostgreSQL evaluates every condition and sends what the question
 * looks at; the next piece is asked for when the one before was taken.
 *
 * @example
 * for await (const rows of readEvents(request, snapshot, signal)) write(rows)
 */
export async function* readEvents(
  request: EventRequest,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
): AsyncGenerator<readonly EventRow[]> {
  const { dataset, range, where, flags, texts } = request
  const time = identifier(dataset.time)
  const conditions = rangeConditions(time, range, everything)
  if (where) conditions.push(filterToSql(where, dataset))
  const bits = flags.map(
    (flag, i): Sql => sql`case when ${filterToSql(flag, dataset)} then ${raw(String(2 ** i))} else 0 end`,
  )
  const mask = bits.length === 0 ? raw('0') : join(bits, ' + ')
  const values = texts.map(({ refs }): Sql => {
    const each = refs.map((ref) => sql`(${groupKey(ref, dataset)})::text`)
    return sql`coalesce(${join(each, ', ')})`
  })
  const cursor = snapshot.cursor(
    sql`select ${join([time, sql`(${mask})::int4`, ...values], ', ')} from ${relationSql(dataset)}${whereSql(conditions)}`,
    signal,
  )
  for (;;) {
    const { rows, isEnd } = await cursor.next(rowsAtOnce)
    if (rows.length > 0) yield rows as unknown as readonly EventRow[]
    if (isEnd) return
  }
}
