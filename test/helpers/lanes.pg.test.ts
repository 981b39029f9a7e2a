import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { createDatabase } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(() => test.drop())

it('the lane runs the server that its name says', async () => {
  const { lane } = inject('postgres')
  const major = Math.floor((await test.db.serverVersion()) / 10_000)
  if (lane === 'pg18') expect(major).toBe(18)
  else if (lane === 'pg15') expect(major).toBe(15)
  else expect([15, 16, 17, 18]).toContain(major)
})

it('a test database has the catalog, an empty one has not', async () => {
  const query = sql`select to_regclass('tidemark.hypertable') is not null`
  expect((await test.db.query(query)).rows).toEqual([[true]])
  const empty = await createTestDatabase({ empty: true })
  expect((await empty.db.query(query)).rows).toEqual([[false]])
  await empty.drop()
})

it('a connection that is left open fails the drop and is named', async () => {
  const leaky = await createTestDatabase({ leaveMs: 200 })
  const forgotten = createDatabase({ connectionString: leaky.connectionString, max: 1 })
  await forgotten.query(sql`select 'forgotten'`)
  await expect(leaky.drop()).rejects.toThrow(`idle: select 'forgotten'`)
  await forgotten.close()
})

it('connections of connect() are closed by drop at the latest', async () => {
  const own = await createTestDatabase()
  const connection = await own.connect()
  await connection.execute('begin')
  await own.drop()
})
