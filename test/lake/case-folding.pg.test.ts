import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDuckDB, type DuckDB } from '../../src/lake/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let base: TestDatabase
let duckdb: DuckDB
beforeAll(async () => {
  base = await createTestDatabase()
  duckdb = createDuckDB({ threads: 1 })
})
afterAll(async () => {
  await duckdb.close()
  await base.drop()
})

test('DuckDB lowers every letter of ilike as PostgreSQL does', async () => {
  const inPostgres = await base.db.query(sql`
    select c, lower(chr(c)) from generate_series(1, 1114111) c
    where c not between 55296 and 57343 and lower(chr(c)) <> chr(c) order by c`)
  const { rows } = await duckdb.query(
    sql`select c::integer, lower(chr(c::integer)) from range(1, 1114112) t(c)
      where c not between 55296 and 57343 and lower(chr(c::integer)) <> chr(c::integer) order by c`,
    null,
  )
  const known = new Map(inPostgres.rows.map(([c, lower]) => [c, lower]))
  const own = new Map(rows.map(([c, lower]) => [c, lower]))
  const letters = [...new Set([...known.keys(), ...own.keys()])] as number[]
  const different = letters.filter((c) => known.get(c) !== own.get(c))
  expect(different).toEqual([])
})
