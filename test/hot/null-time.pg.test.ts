import { afterAll, beforeAll, expect, it } from 'vitest'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import { defaultQueryLimits, executeQuery, parseQuery } from '../../src/query/index.ts'
import { systemClock } from '../../src/time/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings, testChunks } from './create-test-hypertable.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  await testChunks(test.db).ensureChunks(readings, [1_774_656_000_000_000n])
  await test.db.execute(`insert into readings values
    ('2026-03-28T01:00Z', 't', 'a', 1), ('2026-03-28T13:00Z', 't', 'b', 2), ('2020-01-01Z', 't', 'c', 3)`)
})
afterAll(() => test.drop())

const where = { $or: [{ time: '2026-03-28T13:00:00Z' }, { time: { not: null } }] }

it('rows of the default partition are found when a filter says that the time is not null', async () => {
  const node = parseQuery(
    { to: '2029-01-01T00:00:00Z', where, latestBy: ['sensor'], columns: ['sensor'] },
    { dataset: readings, clock: systemClock },
  )
  const answer = await withReadSnapshot(test.db, { timeoutMs: 30_000, dataset: readings }, (snapshot) =>
    executeQuery(node, {
      tiers: [createHotTier()],
      snapshot,
      clock: systemClock,
      signal: null,
      limits: defaultQueryLimits,
    }),
  )
  expect(answer.rows.map(({ sensor }) => sensor)).toEqual(['a', 'b', 'c'])
})
