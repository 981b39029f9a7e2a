import { afterEach, beforeEach, expect, it } from 'vitest'
import { createDatabase } from '../../src/postgres/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, samples, seen, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(samples)
})
afterEach(() => fixture.drop())

const first = `time >= '2026-01-01' and time < '2026-01-02'`

async function msOf(work: Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work
  return performance.now() - start
}

it('a writer of rows that are being moved goes on at once, and the move is tried again', async () => {
  const { test, writer, another } = fixture
  await writer.insert(samples, day('2026-01-01', 20))
  // A DELETE that takes 4 s, as one of some million rows does.
  await test.db.execute(`
    create sequence rows_deleted;
    create function slow_down() returns trigger language plpgsql as $$
      begin
        perform nextval('rows_deleted');
        if not exists (select from pg_class where relname = 'quick') then perform pg_sleep(0.2); end if;
        return old;
      end $$;
    create trigger tidemark_slow before delete on tidemark_chunks.samples_c1
      for each row execute function slow_down()`)
  const freezing = another().freeze(samples)
  const deleted = async (): Promise<bigint> => {
    const { rows } = await test.db.query(
      sql`select case when is_called then last_value else 0 end from rows_deleted`,
    )
    return rows[0]![0] as bigint
  }
  const waited: number[] = []
  for (let i = 0; i < 3; i += 1) {
    // The first row is deleted, and the next one is being deleted.
    const before = await deleted()
    await expect.poll(deleted, { timeout: 10_000, interval: 5 }).toBeGreaterThan(before + 1n)
    waited.push(
      await msOf(test.db.execute(`update samples set value = ${i} where sensor = 's0' and ${first}`)),
    )
  }
  // With a look at the clock of a busy machine: without giving way it is seconds.
  expect(Math.max(...waited)).toBeLessThan(1000)
  await test.db.execute('create table quick ()')
  expect(await freezing).toMatchObject({ chunks: 1, rows: 20 })
  expect((await seen(fixture, test.db, samples)).every((each) => each.startsWith('C'))).toBe(true)
})

it('with two connections in the pool nobody looks who waits, and chunks move all the same', async () => {
  const { test, writer, another } = fixture
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02')])
  // longer than the first look takes to come
  await test.db.execute(`
    create function slow_down() returns trigger language plpgsql as $$
      begin perform pg_sleep(0.1); return old; end $$;
    create trigger tidemark_slow before delete on tidemark_chunks.samples_c1
      for each row execute function slow_down()`)
  const db = createDatabase({ connectionString: test.connectionString, max: 2 })
  expect(await another({ db }).freeze(samples)).toMatchObject({ chunks: 2, rows: 6, failed: [] })
  await db.close()
})

it.each([
  ['the audit', 'select from tidemark.change_audit for update'],
  ['whoever makes chunks', 'select from tidemark.hypertable for no key update'],
])('no writer of the chunk waits while a flip waits for %s', async (_, lock) => {
  const { test, writer, another } = fixture
  await writer.insert(samples, day('2026-01-01'))
  await test.db.execute(`
    insert into tidemark.change_audit (hypertable_id, cell_us, system_identifier, timeline, database_oid)
    select id, 1, '', '', 0 from tidemark.hypertable`)
  const other = await test.connect()
  await other.execute(`begin; ${lock}`)
  let pauses = 0
  const lifecycle = another({
    settings: { lockTimeoutMs: 1500 },
    random: () => {
      pauses += 1
      return 0
    },
  })
  let isFlipping = false
  const freezing = lifecycle.freeze(
    samples,
    {},
    {
      onProgress: ({ stage }) => {
        isFlipping ||= stage === 'flip'
      },
    },
  )
  await expect.poll(() => isFlipping, { timeout: 10_000, interval: 5 }).toBe(true)
  // Late rows, for as long as the flip waits.
  const waited: number[] = []
  while (pauses === 0)
    waited.push(
      await msOf(test.db.execute(`insert into samples values ('2026-01-01 09:00', 't1', 'late', 1)`)),
    )
  expect(Math.max(...waited)).toBeLessThan(1000)
  await other.execute('commit')
  expect(await freezing).toMatchObject({ chunks: 1 })
})

it('the policy makes the guard of the table long before the first chunk is due', async () => {
  const { test, writer, clock, another } = fixture
  const lifecycle = another({ settings: { quietMs: 0, lockTries: 2 } })
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-05', 1, 'x')])
  clock.set(parseInstant('2026-01-03T00:00:00Z'))
  const other = await test.connect()
  const write = `begin; insert into samples values ('2026-01-05 06:00', 't1', 'open', 1)`
  // While somebody writes it is not to be had, which is no failure; the next run makes it.
  await other.execute(write)
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 0, failed: [] })
  await other.execute('commit')
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 0, failed: [] })
  // From here on a transaction that writes elsewhere in the table keeps no chunk from moving.
  await other.execute(write)
  clock.set(parseInstant('2026-01-10T00:00:00Z'))
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 1, rows: 3, failed: [] })
  expect(await states(test.db)).toEqual(['cold 1', 'hot 0'])
  await other.execute('commit')
})
