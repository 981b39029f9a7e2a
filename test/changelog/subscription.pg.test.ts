import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { findHypertable, findTriggerProblems, installTriggers } from '../../src/changelog/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import {
  clearLog,
  createTestHypertable,
  readings,
  readLog,
  testChunks,
} from '../hot/create-test-hypertable.ts'
import { audit, waitFor } from './helpers.ts'

/** A table that a real apply worker fills, from another database of the same server. */
let publisher: TestDatabase
let subscriber: TestDatabase
const columns = 'time timestamptz, tenant text, sensor text, value float8, primary key (tenant, sensor, time)'

beforeAll(async () => {
  publisher = await createTestDatabase({ empty: true })
  subscriber = await createTestDatabase()
  await createTestHypertable(subscriber.db, readings)
  const days = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'].map((day) => parseInstant(day))
  await testChunks(subscriber.db).ensureChunks(readings, days)
  await publisher.db.execute(`create table readings (${columns}); create publication p for table readings`)
  // On one server CREATE SUBSCRIPTION would wait for itself: the slot is made by hand, first.
  await publisher.db.query(
    sql`select slot_name::text from pg_create_logical_replication_slot(${publisher.name}::text, 'pgoutput')`,
  )
  const url = new URL(publisher.connectionString)
  const target = `host=${url.hostname} port=${url.port} dbname=${publisher.name} user=${url.username || 'postgres'}`
  await subscriber.db.execute(
    `create subscription s connection '${target}' publication p with (create_slot = false, slot_name = '${publisher.name}', copy_data = false)`,
  )
})

afterAll(async () => {
  await subscriber.db.execute('alter subscription s disable; alter subscription s set (slot_name = none)')
  await subscriber.db.execute('drop subscription s')
  await waitFor('the slot is free', async () => {
    const { rows } = await publisher.db.query(
      sql`select active from pg_replication_slots where slot_name = ${publisher.name}::text`,
    )
    return rows[0]?.[0] === false
  })
  await publisher.db.query(sql`select pg_drop_replication_slot(${publisher.name}::text)`)
  await subscriber.drop()
  await publisher.drop()
})

async function applied(script: string, count: number): Promise<void> {
  await publisher.db.execute(script)
  await waitFor(`${count} rows are applied`, async () => {
    const { rows } = await subscriber.db.query(sql`select count(*) from readings`)
    return rows[0]![0] === BigInt(count)
  })
}

describe('a table that a subscription fills', () => {
  it('without row triggers: the apply worker’s rows are not logged, and the audit finds them', async () => {
    await audit(subscriber.db, readings)
    await applied(
      `insert into readings values ('2026-01-01T01:10Z', 't1', 'a', 1), ('2026-01-02T02:10Z', 't1', 'a', 1)`,
      2,
    )
    expect(await readLog(subscriber.db, readings)).toEqual([])
    expect(await audit(subscriber.db, readings)).toEqual([
      '01-01T01:00 01-01T02:00 1',
      '01-02T02:00 01-02T03:00 1',
    ])
    await clearLog(subscriber.db)
  })

  it('with row triggers: each cell of a transaction is logged, also in chunks made later', async () => {
    await subscriber.db.transaction({}, (connection) =>
      installTriggers(connection, readings, { subscription: true }),
    )
    await testChunks(subscriber.db).ensureChunks(readings, [parseInstant('2026-01-05T00:00:00Z')])
    await audit(subscriber.db, readings)
    await applied(
      `begin;
      insert into readings select timestamptz '2026-01-05T03:00Z' + i * interval '1 second', 't2', 'b', i from generate_series(1, 500) as i;
      update readings set time = '2026-01-02T09:10Z' where time = '2026-01-01T01:10Z';
      delete from readings where time = '2026-01-02T02:10Z';
      commit`,
      501,
    )
    expect(await readLog(subscriber.db, readings)).toEqual([
      'subscription t1 01-01T01:00 01-01T02:00',
      'subscription t1 01-02T02:00 01-02T03:00',
      'subscription t1 01-02T09:00 01-02T10:00',
      'subscription t2 01-05T03:00 01-05T04:00',
    ])
    expect(await audit(subscriber.db, readings)).toEqual([])
    expect(await findTriggerProblems(subscriber.db, await findHypertable(subscriber.db, readings))).toEqual(
      [],
    )
  })

  it('TRUNCATE of the publisher is logged', async () => {
    await clearLog(subscriber.db)
    await applied('truncate readings', 0)
    expect(await readLog(subscriber.db, readings)).toContain('truncate * -infinity infinity')
  })

  it('ordinary writes beside it are logged once, by the statement', async () => {
    await clearLog(subscriber.db)
    await subscriber.db.execute(`insert into readings values ('2026-01-01T01:10Z', 't1', 'z', 1)`)
    expect(await readLog(subscriber.db, readings)).toEqual(['statement t1 01-01T01:00 01-01T02:00'])
  })

  it('a row trigger’s memory of the last cell falls back with its savepoint', async () => {
    await clearLog(subscriber.db)
    const insert = (second: number) =>
      `insert into readings values ('2026-01-01T05:00:0${second}Z', 't1', 'q', 1)`
    const { chunks } = await testChunks(subscriber.db).map(readings)
    const relation = chunks[0]!.relation!
    // As an apply worker does it: rows straight into the partition, statement triggers aside.
    await subscriber.db.execute(
      raw(`
      begin; set local session_replication_role = replica;
      alter table tidemark_chunks."${relation}" disable trigger tidemark_log_partition;
      savepoint s; ${insert(1).replace('readings', `tidemark_chunks."${relation}"`)}; rollback to s;
      ${insert(2).replace('readings', `tidemark_chunks."${relation}"`)};
      alter table tidemark_chunks."${relation}" enable always trigger tidemark_log_partition;
      commit`),
    )
    expect(await readLog(subscriber.db, readings)).toEqual(['subscription t1 01-01T05:00 01-01T06:00'])
  })

  it('can be told that it is none any more', async () => {
    await subscriber.db.transaction({}, (connection) =>
      installTriggers(connection, readings, { subscription: false }),
    )
    const { rows } = await subscriber.db.query(
      sql`select count(*) from pg_trigger where tgname = 'tidemark_log_row'`,
    )
    expect(rows).toEqual([[0n]])
  })
})
