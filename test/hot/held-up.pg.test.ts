import { afterAll, beforeAll, expect, it } from 'vitest'
import { parseInstant } from '../../src/time/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings, testChunks } from './create-test-hypertable.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
})
afterAll(() => test.drop())

it('while an older snapshot holds up a chunk, only the first batch of a stream waits through all tries', async () => {
  const reader = await test.connect()
  await reader.execute('begin isolation level repeatable read; select pg_current_snapshot()')
  await test.db.execute(`insert into readings values ('2026-01-01T01:10Z', 't', 's', 1)`)
  let waits = 0
  const chunks = testChunks(test.db, {
    settleMs: 50,
    sleep: async () => {
      waits += 1
    },
  })
  const ensure = () => chunks.ensureChunks(readings, [parseInstant('2026-01-01T00:00:00Z')])
  await expect(ensure()).rejects.toMatchObject({ code: 'TM_BUSY' })
  const atFirst = waits
  for (let batch = 0; batch < 3; batch += 1) {
    waits = 0
    await expect(ensure()).rejects.toMatchObject({ code: 'TM_BUSY' })
    expect(waits).toBeLessThan(atFirst / 2)
  }

  await reader.execute('rollback')
  expect((await ensure()).chunks).toHaveLength(1)
})
