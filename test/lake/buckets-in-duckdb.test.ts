import { afterAll, beforeAll, expect, it } from 'vitest'
import { bucketSql } from '../../src/lake/bucket-sql.ts'
import { createDuckDB, type DuckDB } from '../../src/lake/index.ts'
import { printSqlInline, raw, sql } from '../../src/util/sql.ts'

let duckdb: DuckDB
beforeAll(() => {
  duckdb = createDuckDB({ threads: 1 })
})
afterAll(() => duckdb.close())

/** Months of two centuries: 29 to 31 days, seldom two of one length beside each other. */
const months = Array.from({ length: 2_401 }, (_, i) => BigInt(Date.UTC(1900, i, 1)) * 1000n)
const span = { from: months[0]!, to: months.at(-1)! - 1n }
const { number, startOf } = bucketSql({ kind: 'borders', borders: months } as never, sql`"time"`, span)

it('every instant comes into its month, first and last microsecond too', async () => {
  const instants = months.slice(0, -1).flatMap((start, i) => [start, start + 1n, months[i + 1]! - 1n])
  const { rows } = await duckdb.query(
    sql`select us, ${number} from (
      select us, make_timestamptz(us) as "time" from (select unnest([${raw(instants.join(', '))}]::bigint[]) as us)
    )`,
    null,
  )
  expect(rows.length).toBe(instants.length)
  const starts = new Map(rows.map(([us, bucket]) => [us as bigint, startOf(bucket as bigint)]))
  expect(instants.map((us) => starts.get(us))).toEqual(
    months.slice(0, -1).flatMap((start) => [start, start, start]),
  )
})

it('a month that has its length for itself is a constant, which costs DuckDB little to plan', () => {
  const divisions = printSqlInline(number).match(/\/\//g)!.length
  // July and August, December and January
  expect(divisions).toBeLessThan(2 * 201)
})
