import { timestamptzText } from '../changelog/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'

/**
 * `to_timestamp` goes through a double, and `'epoch' + n * interval` is only STABLE, so the planner could not prune partitions
 * with it before execution: measured on 200 partitions, one series and one hour take 0.48 ms with a text and 3.0 ms with the
 * sum (PostgreSQL 15; 0.54 and 3.9 ms on 18).
 */
export function instantSql(instant: Instant): Sql {
  return sql`${timestamptzText(instant)}::timestamptz`
}

/** An interval of exactly so many microseconds, free of days, as `date_bin` wants it. */
export function microsSql(micros: bigint): Sql {
  const seconds = micros / 1_000_000n
  const clock = [seconds / 3600n, (seconds / 60n) % 60n, seconds % 60n].map((n) => String(n).padStart(2, '0'))
  return sql`${`${clock.join(':')}.${String(micros % 1_000_000n).padStart(6, '0')}`}::interval`
}

/** `column` lies in the half-open range; an end beyond what PostgreSQL can hold is left out. */
export function rangeConditions(column: Sql, range: TimeRange | null, all: TimeRange): Sql[] {
  const conditions: Sql[] = []
  if (!range) return conditions
  if (range.from > all.from) conditions.push(sql`${column} >= ${instantSql(range.from)}`)
  if (range.to < all.to) conditions.push(sql`${column} < ${instantSql(range.to)}`)
  return conditions
}

/** `where …`, or nothing. */
export function whereSql(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? raw('') : sql` where ${join(conditions, ' and ')}`
}

export function relationSql(dataset: { readonly schema: string; readonly table: string }): Sql {
  return identifier(dataset.schema, dataset.table)
}
