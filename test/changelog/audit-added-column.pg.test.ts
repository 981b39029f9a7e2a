import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings } from '../hot/create-test-hypertable.ts'
import { audit } from './helpers.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
})
afterAll(() => test.drop())

it('a column that is added changes no row in the eyes of the audit', async () => {
  await test.db.execute(`insert into readings values
    ('2026-01-01T01:10Z', 't', 's', 1), ('2026-01-01T01:20Z', 't', 's', null), ('2026-01-01T05:10Z', 't', 's', 2)`)
  await audit(test.db, readings)
  await test.db.execute('alter table readings add column note text')
  expect(await audit(test.db, readings)).toEqual([])

  // what is written into it without an entry is found as everything else
  await test.db.execute(`
    alter table readings disable trigger all;
    update readings set note = 'x' where time = '2026-01-01T05:10Z'`)
  expect(await audit(test.db, readings)).toEqual(['01-01T05:00 01-01T06:00 0'])
})
