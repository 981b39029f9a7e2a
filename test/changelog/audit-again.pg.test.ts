import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { installTriggers, trimChangeLog } from '../../src/changelog/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings } from '../hot/create-test-hypertable.ts'
import { audit, waitFor } from './helpers.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
})
afterAll(() => test.drop())

const cell = '01-01T01:00 01-01T02:00'
async function unlogged(statement: string): Promise<void> {
  await test.db.execute(`alter table readings disable trigger user; ${statement}`)
  await test.db.transaction({}, (connection) => installTriggers(connection, readings))
}

/** Transactions of other databases of the server hold entries back, too. */
function trimAll(): Promise<void> {
  return waitFor('the log is trimmed', async () => {
    await trimChangeLog(test.db, readings)
    const { rows } = await test.db.query(sql`select count(*) from tidemark.change_log`)
    return rows[0]![0] === 0n
  })
}

beforeEach(async () => {
  await unlogged(`delete from readings`)
  await unlogged(`insert into readings values ('2026-01-01T01:10Z', 't', 's', 1)`)
  await audit(test.db, readings)
  await audit(test.db, readings)
})

it('an unlogged change is found where the audit itself has logged one before', async () => {
  for (const value of [2, 3, 4]) {
    await unlogged(`update readings set value = ${value}`)
    expect(await audit(test.db, readings)).toEqual([`${cell} 0`])
    expect(await audit(test.db, readings)).toEqual([])
  }
  // a cell that was empty, and is again
  await unlogged(`delete from readings`)
  expect(await audit(test.db, readings)).toEqual([`${cell} -1`])
  await unlogged(`insert into readings values ('2026-01-01T01:10Z', 't', 's', 1)`)
  expect(await audit(test.db, readings)).toEqual([`${cell} 1`])
})

it('also when the entry of that audit was trimmed meanwhile', async () => {
  await unlogged(`update readings set value = 2`)
  expect(await audit(test.db, readings)).toEqual([`${cell} 0`])
  await trimAll()
  await unlogged(`update readings set value = 3`)
  expect(await audit(test.db, readings)).toEqual([`${cell} 0`])
})

it('a logged write explains the difference of its cell, also after it was trimmed', async () => {
  await test.db.execute(`update readings set value = 2`)
  expect(await audit(test.db, readings)).toEqual([])
  await test.db.execute(`update readings set value = 3`)
  await trimAll()
  expect(await audit(test.db, readings)).toEqual([])
})
