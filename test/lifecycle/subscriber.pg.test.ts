import { afterAll, beforeAll, expect, it } from 'vitest'
import { sql } from '../../src/util/sql.ts'
import { waitFor } from '../changelog/helpers.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createFixture, day, type Fixture, samples } from './fixture.ts'

/** A user's own subscriber, with a table that has every row; the publication is as the documentation asks for. */
let fixture: Fixture
let subscriber: TestDatabase
beforeAll(async () => {
  fixture = await createFixture(samples)
  subscriber = await createTestDatabase({ empty: true })
  const { test } = fixture
  await test.db.execute(`
    create publication history for table samples with (publish = 'insert, update', publish_via_partition_root = true);
    alter table samples replica identity full`)
  await subscriber.db.execute(
    'create table samples (time timestamptz not null, tenant text not null, sensor text not null, value float8)',
  )
  // On one server CREATE SUBSCRIPTION would wait for itself: the slot is made by hand, first.
  await test.db.query(
    sql`select slot_name::text from pg_create_logical_replication_slot(${test.name}::text, 'pgoutput')`,
  )
  const url = new URL(test.connectionString)
  const target = `host=${url.hostname} port=${url.port} dbname=${test.name} user=${url.username || 'postgres'}`
  await subscriber.db.execute(
    `create subscription s connection '${target}' publication history with (create_slot = false, slot_name = '${test.name}', copy_data = false)`,
  )
}, 120_000)
afterAll(async () => {
  const { test } = fixture
  await subscriber.db.execute('alter subscription s disable; alter subscription s set (slot_name = none)')
  await subscriber.db.execute('drop subscription s')
  await waitFor('the slot is free', async () => {
    const { rows } = await test.db.query(
      sql`select active from pg_replication_slots where slot_name = ${test.name}::text`,
    )
    return rows[0]?.[0] === false
  })
  await test.db.query(sql`select pg_drop_replication_slot(${test.name}::text)`)
  await subscriber.drop()
  await fixture.drop()
}, 120_000)

it('a subscriber of inserts and updates keeps its copy through freeze, reclaim and expiry', {
  timeout: 120_000,
}, async () => {
  const { test, lifecycle, writer, another } = fixture
  const copied = async () =>
    (await subscriber.db.query(sql`select sensor from samples order by 1`)).rows.flat()
  await writer.insert(samples, day('2026-01-01'))
  await expect.poll(copied, { timeout: 60_000, interval: 100 }).toEqual(['s0', 's1', 's2'])
  expect(await lifecycle.freeze(samples)).toMatchObject({ rows: 3 })
  // What comes back would be sent as new.
  await expect(lifecycle.thaw(samples)).rejects.toMatchObject({
    code: 'TM_MIGRATION',
    message: expect.stringContaining('"history"'),
  })
  await another({ settings: { emptyShare: 0 } }).reclaim(samples)
  await lifecycle.expire(samples, { cutoff: 10n ** 18n })
  // What was done before it has arrived when this has.
  await test.db.execute(`insert into samples values ('2026-03-01', 't1', 'z', 1)`)
  await expect.poll(copied, { timeout: 60_000, interval: 100 }).toEqual(['s0', 's1', 's2', 'z'])
})

it('while a publication sends deletes nothing is frozen, and the error says how to stop them', {
  timeout: 120_000,
}, async () => {
  const { test, lifecycle, writer } = fixture
  const copied = async () =>
    (await subscriber.db.query(sql`select sensor from samples where sensor like 'd%' order by 1`)).rows.flat()
  await writer.insert(samples, day('2026-01-05', 3, 'd'))
  await test.db.execute(`alter publication history set (publish = 'insert, update, delete, truncate')`)
  const refused = {
    code: 'TM_MIGRATION',
    message: expect.stringContaining(`alter publication "history" set (publish = 'insert, update')`),
  }
  const chunk = (await lifecycle.status(samples)).at(-2)!.id
  await expect(lifecycle.freeze(samples, { chunk })).rejects.toMatchObject(refused)
  const plan = await lifecycle.survey(samples)
  expect(plan.map(({ obstacle }) => obstacle)).toEqual(plan.map(() => refused.message))
  await test.db.execute(`alter publication history set (publish = 'insert, update')`)
  expect(await lifecycle.freeze(samples, { chunk })).toMatchObject({ rows: 3 })
  await writer.insert(samples, day('2026-01-06', 1, 'dz'))
  await expect.poll(copied, { timeout: 60_000, interval: 100 }).toEqual(['d0', 'd1', 'd2', 'dz0'])
})

it.each([
  ['everything', 'for all tables'],
  ['its schema', 'for tables in schema public'],
  ['one partition', 'for table tidemark_chunks.samples_c1'],
  ['the schema of partitions', 'for tables in schema tidemark_chunks'],
])('a publication of %s counts', async (_, what) => {
  const another = await createFixture(samples)
  const { test, lifecycle, writer } = another
  await writer.insert(samples, day('2026-01-01'))
  await test.db.execute(`create publication "all of ""it""" ${what}`)
  await expect(lifecycle.freeze(samples)).rejects.toMatchObject({
    code: 'TM_MIGRATION',
    message: expect.stringContaining(`alter publication "all of ""it""" set (publish = 'insert, update')`),
  })
  await test.db.execute(`alter publication "all of ""it""" set (publish = 'insert, update')`)
  expect(await lifecycle.freeze(samples)).toMatchObject({ rows: 3 })
  await another.drop()
})
