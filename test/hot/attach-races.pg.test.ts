import { afterEach, beforeEach, expect, it } from 'vitest'
import { type ChunkManager, createHotWriter } from '../../src/hot/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings, testChunks } from './create-test-hypertable.ts'

let test: TestDatabase
beforeEach(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
})
afterEach(() => test.drop())

const row = (time: string, sensor = 'a') => ({ time, tenant: 't1', sensor, value: 1 })

it('a row on its way to the default partition, where a chunk is attached meanwhile, goes to the chunk', async () => {
  const chunks = testChunks(test.db)
  await chunks.ensureChunks(readings, [parseInstant('2026-01-01T00:00:00Z')])
  // Holds the statement up after PostgreSQL has looked which partitions there are.
  await test.db.execute(`
    create function wait_here() returns trigger language plpgsql as
      $$ begin perform pg_advisory_xact_lock(42); return new; end $$;
    create trigger wait_here before insert on readings
      for each row when (new.sensor = 'first') execute function wait_here()`)
  const holder = await test.connect()
  await holder.execute('select pg_advisory_lock(42)')
  let calls = 0
  const busyAtFirst: ChunkManager = {
    map: (...args) => chunks.map(...args),
    forget: () => chunks.forget(),
    loader: (...input) => chunks.loader(...input),
    createAhead: (...args) => chunks.createAhead(...args),
    defaultPartitionStatus: (...args) => chunks.defaultPartitionStatus(...args),
    drainDefault: (...args) => chunks.drainDefault(...args),
    async ensureChunks(...args) {
      if (calls++ === 0)
        throw new TidemarkError('TM_BUSY', { what: 'making chunks', tries: 1, lastProblem: 'a lock' })
      return chunks.ensureChunks(...args)
    },
  }
  const writer = createHotWriter({ db: test.db, chunks: busyAtFirst })
  const writing = writer.insert(readings, [row('2026-01-01T00:00:00Z', 'first'), row('2026-01-02T00:00:00Z')])
  await expect
    .poll(async () => {
      const { rows } = await test.db.query(
        sql`select count(*) from pg_locks where locktype = 'advisory' and not granted`,
      )
      return rows[0]![0]
    })
    .toBe(1n)
  await testChunks(test.db).ensureChunks(readings, [parseInstant('2026-01-02T00:00:00Z')])
  await holder.execute('select pg_advisory_unlock(42)')
  expect(await writing).toEqual({ inserted: 2, ignored: 0 })
  const { rows } = await test.db.query(sql`
    select sensor, tableoid::regclass::text like '%default' from readings order by time`)
  expect(rows).toEqual([
    ['first', false],
    ['a', false],
  ])
})

it('a reader of a row that came and went in the default partition keeps it from being drained', async () => {
  const old = await test.connect()
  await old.execute('begin isolation level repeatable read')
  await old.query(sql`select 1::int4 from readings`)
  await test.db.execute(`insert into readings values ('2026-01-05', 't1', 'kept', 1)`)
  const reader = await test.connect()
  let isFirst = true
  const chunks = testChunks(test.db, {
    tries: 1,
    settleMs: 5_000,
    // The drain has noted what is there, and waits for the old snapshot.
    async sleep() {
      if (!isFirst) return
      isFirst = false
      await test.db.execute(`insert into readings values ('2026-01-05 01:00', 't1', 'brief', 1)`)
      await reader.execute('begin isolation level repeatable read')
      await reader.query(sql`select pg_current_snapshot()`)
      await test.db.execute(`delete from readings where sensor = 'brief'`)
      await old.execute('commit')
    },
  })
  expect(await chunks.drainDefault(readings)).toMatchObject({
    kind: 'blocked',
    // The second where a long transaction of another test's database, on the same server, makes the reader's snapshot an older one.
    reason: expect.stringMatching(/is being written|has an older snapshot/),
  })
  const { rows } = await reader.query(sql`select sensor from readings order by 1`)
  expect(rows).toEqual([['brief'], ['kept']])
  await reader.execute('commit')
  expect(await testChunks(test.db).drainDefault(readings)).toEqual({ kind: 'drained', rows: 1n, chunks: 1 })
})

it('rows that a foreign key points at stay in the default partition, and writing goes on', async () => {
  await test.db.execute(`
    create table note (
      tenant text, sensor text, time timestamptz, foreign key (tenant, sensor, time) references readings
    );
    insert into readings values ('2026-01-05', 't1', 'a', 1);
    insert into note values ('t1', 'a', '2026-01-05')`)
  const chunks = testChunks(test.db)
  expect(await chunks.drainDefault(readings)).toMatchObject({
    kind: 'blocked',
    reason: expect.stringContaining('note_tenant_sensor_time_fkey of note'),
  })
  const writer = createHotWriter({ db: test.db, chunks })
  expect(await writer.insert(readings, [row('2026-02-01T00:00:00Z')])).toEqual({ inserted: 1, ignored: 0 })
  const { rows } = await test.db.query(sql`select count(*) from only tidemark_chunks.readings_default`)
  expect(rows).toEqual([[2n]])
})

it('rows that are larger on their way than in the file are not drained beyond the limit of memory', async () => {
  await test.db.execute(`alter table readings add column note text`)
  await test.db.execute(`
    insert into readings (time, tenant, sensor, note)
    select '2026-01-06'::timestamptz + n * interval '1 second', 't1', 'a', repeat('x', 100000)
    from generate_series(1, 30) as n`)
  expect(await testChunks(test.db, { maxDrainBytes: 1_000_000 }).drainDefault(readings)).toMatchObject({
    kind: 'blocked',
    reason: expect.stringContaining('one transaction moves'),
  })
  const { rows } = await test.db.query(sql`select count(*) from only tidemark_chunks.readings_default`)
  expect(rows).toEqual([[30n]])
})

it('a table at its cap is not locked and rewritten for rows that have to stay where they are', async () => {
  await test.db.execute('update tidemark.hypertable set max_chunks = 1')
  const chunks = testChunks(test.db)
  const { epoch } = await chunks.ensureChunks(readings, [parseInstant('2026-01-01T00:00:00Z')])
  await test.db.execute(`
    insert into readings select '2026-02-01'::timestamptz + n * interval '1 day', 't1', 'a', 1
    from generate_series(1, 20) as n`)
  const file = async () =>
    (await test.db.query(sql`select pg_relation_filenode('tidemark_chunks.readings_default')`)).rows
  const before = await file()
  const reader = await test.connect()
  await reader.execute('begin; select from readings')
  expect(await chunks.drainDefault(readings)).toEqual({ kind: 'capped', rows: 0n, chunks: 0, left: 20n })
  await reader.execute('commit')
  expect(await file()).toEqual(before)
  expect((await chunks.map(readings, { fresh: true })).epoch).toBe(epoch)
  // With room for one: the newest rows get it.
  await test.db.execute('update tidemark.hypertable set max_chunks = 2')
  expect(await chunks.drainDefault(readings)).toEqual({ kind: 'capped', rows: 1n, chunks: 1, left: 19n })
})
