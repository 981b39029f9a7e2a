import type { BucketPlan } from '../query/index.ts'
import { floorDivide, type Instant } from '../time/index.ts'
import { raw, type Sql, sql } from '../util/sql.ts'
import { instantLiteral } from './literal-sql.ts'

/** The number of a row's bucket, and the instant at which the bucket of a number begins. */
export interface BucketSql {
  readonly number: Sql
  startOf(number: bigint): Instant
}

const int64 = 2n ** 63n

/**
 * Buckets of a fixed width are one integer division: `date_trunc` and `time_bucket` of a timestamptz ask ICU for the zone,
 * which costs more than the scan. `//` rounds towards zero, so it counts from a bucket before all rows.
 *
 * Borders (zones, calendar units) are runs of one width: the days of a year are three in a zone with summer time. Which
 * run a row is in is found by comparing; within a run it is one division.
 *
 * @param span Every row of the files that are read lies in it, both inclusive.
 */
export function bucketSql(
  bucket: BucketPlan,
  time: Sql,
  span: { readonly from: Instant; readonly to: Instant },
): BucketSql {
  if (bucket.kind === 'fixed') {
    const { width, origin } = bucket
    const first = origin + floorDivide(span.from - origin, width) * width
    const aligned = first >= 0n && origin % width === 0n
    return aligned
      ? { number: divided(time, 0n, width, span.to), startOf: (number) => number * width }
      : { number: divided(time, first, width, span.to), startOf: (number) => first + number * width }
  }
  const { borders } = bucket
  return {
    number: runSql(runsOf(borders, span), time, span.to),
    startOf: (number) => borders[Number(number)]!,
  }
}

function divided(time: Sql, start: Instant, width: bigint, last: Instant): Sql {
  const wide = raw(last - start >= int64 ? '::hugeint' : '')
  const shifted =
    start === 0n ? sql`epoch_us(${time})${wide}` : sql`(epoch_us(${time})${wide} - (${raw(String(start))}))`
  return sql`(${shifted} // ${raw(String(width))})::bigint`
}

/** Neighbouring buckets of one width. */
interface Run {
  readonly start: Instant
  readonly width: bigint
  /** Of its first bucket, among all borders. */
  readonly first: number
  readonly isOne: boolean
}

/** Only what the rows reach into. */
function runsOf(borders: readonly Instant[], span: { readonly from: Instant; readonly to: Instant }): Run[] {
  const runs: Run[] = []
  for (let i = 0; i + 1 < borders.length; i++) {
    const start = borders[i]!
    const end = borders[i + 1]!
    if (end <= span.from || start > span.to) continue
    const width = end - start
    const last = runs.at(-1)
    if (last?.width !== width) runs.push({ start, width, first: i, isOne: true })
    else if (last.isOne) runs[runs.length - 1] = { ...last, isOne: false }
  }
  return runs
}

/** A binary search written out; as deep as the logarithm of the number of runs. */
function runSql(runs: readonly Run[], time: Sql, last: Instant): Sql {
  const [only] = runs
  if (only === undefined) return raw('0::bigint')
  // most months: no arithmetic to be planned (a leaf of 5,000 costs DuckDB 0.1 ms)
  if (runs.length === 1 && only.isOne) return raw(`${only.first}::bigint`)
  if (runs.length === 1)
    return only.first === 0
      ? divided(time, only.start, only.width, last)
      : sql`(${divided(time, only.start, only.width, last)} + ${raw(String(only.first))})`
  const middle = runs.length >> 1
  return sql`(case when ${time} < ${instantLiteral(runs[middle]!.start)} then ${runSql(runs.slice(0, middle), time, last)} else ${runSql(runs.slice(middle), time, last)} end)`
}
