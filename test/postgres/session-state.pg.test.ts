import { afterAll, beforeAll, expect, it } from 'vitest'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase({ empty: true, max: 1 })
})
afterAll(() => test.drop())

it('a lock of a session ends with the call whose signal kept it from being unlocked', async () => {
  const stop = new AbortController()
  const call = test.db.withConnection(
    async (connection) => {
      await connection.query(sql`select pg_advisory_lock(42)`)
      try {
        stop.abort()
        throw new Error('what stopped the call')
      } finally {
        await connection.query(sql`select pg_advisory_unlock(42)`).catch(() => {})
      }
    },
    { signal: stop.signal },
  )
  await expect(call).rejects.toThrow('what stopped the call')
  const other = await test.connect()
  await expect
    .poll(async () => (await other.query(sql`select pg_try_advisory_lock(42)`)).rows[0]![0])
    .toBe(true)
  expect((await test.db.query(sql`select 1::int4`)).rows).toEqual([[1]])
})
