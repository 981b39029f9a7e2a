import { afterEach, beforeEach, expect, it } from 'vitest'
import { parseInstant } from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { clearLog, createTestHypertable, readLog } from '../hot/create-test-hypertable.ts'
import { createFixture, day, epochOf, type Fixture, readings, samples, seen, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(samples)
  const { writer, clock } = fixture
  await writer.insert(samples, [
    ...day('2026-01-01'),
    ...day('2026-01-02', 2, 'x'),
    ...day('2026-01-03', 1, 'y'),
  ])
  // 30 days after the end of the second day.
  clock.set(parseInstant('2026-02-02T00:00:00Z'))
})
afterEach(() => fixture.drop())

it('chunks that lie wholly before the retention go, hot and cold alike, and no other', async () => {
  const { test, lifecycle } = fixture
  await lifecycle.freeze(samples, { olderThan: parseInstant('2026-01-02T00:00:00Z') })
  await clearLog(test.db)
  const epoch = await epochOf(test.db)
  expect(await lifecycle.expire(samples)).toEqual({
    cutoff: '2026-01-03T00:00:00Z',
    chunks: 2,
    files: 1,
    rows: 2,
    held: [],
  })
  expect(await states(test.db)).toEqual(['dropped 0', 'dropped 0', 'hot 0'])
  expect(await seen(fixture, test.db, samples)).toEqual(['H y0'])
  expect(await readLog(test.db, samples)).toEqual([])
  expect(await epochOf(test.db)).toBe(epoch + 2n)
  expect(await lifecycle.expire(samples)).toMatchObject({ chunks: 0, rows: 0 })
  await expect
    .poll(() => lifecycle.reclaim(samples).then(() => states(test.db)), { timeout: 20_000, interval: 300 })
    .toEqual(['dropped 0 -', 'dropped 0 -', 'hot 0'])
})

it('what somebody still stands on is held, and says why', async () => {
  const { test, another } = fixture
  const lifecycle = another({
    mayExpire: async ({ chunk }) =>
      chunk.range.from === parseInstant('2026-01-01T00:00:00Z') ? { reason: 'hourly is not past it' } : true,
  })
  const report = await lifecycle.expire(samples)
  expect(report).toMatchObject({ chunks: 1, held: [{ reason: 'hourly is not past it' }] })
  expect(await states(test.db)).toEqual(['hot 0', 'dropped 0', 'hot 0'])
})

it('a late row of an expired chunk that plain SQL wrote is seen until the next run, wherever it lies', async () => {
  const { test, lifecycle, chunks } = fixture
  await lifecycle.expire(samples)
  // Into the partition, which is still there.
  await test.db.execute(`insert into samples values ('2026-01-01 00:00Z', 't1', 'late0', 0)`)
  expect(await seen(fixture, test.db, samples)).toEqual(['H late0', 'H y0'])
  expect(await lifecycle.expire(samples)).toMatchObject({ chunks: 0, rows: 1 })
  await expect
    .poll(() => lifecycle.reclaim(samples).then(() => states(test.db)), { timeout: 20_000, interval: 300 })
    .toEqual(['dropped 0 -', 'dropped 0 -', 'hot 0'])
  // Into the default partition; no chunk is made again, and no drain rewrites it in vain.
  await test.db.execute(`insert into samples values ('2026-01-01 00:00Z', 't1', 'later0', 0)`)
  await test.db.execute(`insert into samples values ('2026-01-02 05:00', 't1', 'plain', 1)`)
  expect(await seen(fixture, test.db, samples)).toEqual(['H later0', 'H plain', 'H y0'])
  expect(await chunks.drainDefault(samples)).toMatchObject({ kind: 'capped', rows: 0n, left: 2n })
  expect(await states(test.db)).toEqual(['dropped 0 -', 'dropped 0 -', 'hot 0'])
  expect(await lifecycle.expire(samples)).toMatchObject({ chunks: 0, rows: 2 })
  expect(await seen(fixture, test.db, samples)).toEqual(['H y0'])
})

it('plain SQL writes late rows of an expired chunk freely, though it was cold once', async () => {
  const { test, lifecycle, writer } = fixture
  await createTestHypertable(test.db, readings)
  await writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  const late = `insert into readings (time, tenant, sensor, value) values ('2026-01-01T00:00:00Z', 't1', 's0', 1)`
  await expect(test.db.execute(late)).rejects.toThrow('TM_COLD')
  await lifecycle.expire(readings, { cutoff: parseInstant('2026-01-02T00:00:00Z') })
  const { rows } = await test.db.query(sql`
    select format('%I.%I', 'tidemark_chunks', k.relation_name)
    from tidemark.chunk as k join tidemark.hypertable as h on h.id = k.hypertable_id
    where h.table_name = 'readings'`)
  const partition = raw(rows[0]![0] as string)
  for (const statement of [sql`update ${partition} set value = 2`, sql`delete from ${partition}`]) {
    await test.db.execute(late)
    expect((await test.db.query(statement)).rowCount).toBe(1)
    await test.db.execute(sql`truncate ${partition}`)
  }
  expect(await seen(fixture, test.db, readings)).toEqual([])
})

it('a cold chunk without a partition takes its rows in the default partition with it', async () => {
  const { test, lifecycle, another, chunks, clock } = fixture
  await lifecycle.freeze(samples, { olderThan: parseInstant('2026-01-02T00:00:00Z') })
  const eager = another({ settings: { emptyShare: 0 } })
  await expect
    .poll(() => eager.reclaim(samples).then(() => states(test.db)), { timeout: 20_000, interval: 300 })
    .toEqual(['cold 1 -', 'hot 0', 'hot 0'])
  await test.db.execute(`
    create table told (row_count int);
    create function tell() returns trigger language plpgsql as $$
      begin insert into told values (1); return null; end $$;
    create trigger tell after delete on samples for each row execute function tell();
    insert into samples values ('2026-01-01 05:00', 't1', 'plain', 1)`)
  clock.set(parseInstant('2026-02-01T00:00:00Z'))
  expect(await lifecycle.expire(samples)).toMatchObject({ chunks: 1, files: 1, rows: 1 })
  await test.db.execute(`insert into samples values ('2026-01-01 05:00', 't1', 'late', 1)`)
  expect(await lifecycle.expire(samples)).toMatchObject({ chunks: 0, rows: 1 })
  expect((await test.db.query(sql`select count(*) from told`)).rows).toEqual([[0n]])
  expect(await chunks.drainDefault(samples)).toMatchObject({ kind: 'drained', rows: 0n })
})

it('a partition is not dropped while somebody moves its chunk', async () => {
  const { test, lifecycle, another } = fixture
  await lifecycle.freeze(samples, { olderThan: parseInstant('2026-01-02T00:00:00Z') })
  const eager = another({ settings: { emptyShare: 0 } })
  const lease = (until: string) =>
    test.db.execute(
      `update tidemark.chunk set lease_owner = gen_random_uuid(), lease_until = now() + interval '${until}' where state = 'cold'`,
    )
  await lease('1 hour')
  await expect
    .poll(() => eager.reclaim(samples).then(({ held }) => held), { timeout: 20_000, interval: 300 })
    .toEqual([])
  expect(await eager.reclaim(samples)).toMatchObject({ dropped: 0 })
  expect(await states(test.db)).toEqual(['cold 1', 'hot 0', 'hot 0'])
  // The lease of somebody who died ends.
  await lease('-1 second')
  expect(await eager.reclaim(samples)).toMatchObject({ dropped: 1 })
})

it('rows of new chunks are drained around those that are past the retention', async () => {
  const { test, lifecycle, chunks } = fixture
  await lifecycle.expire(samples)
  await expect
    .poll(() => lifecycle.reclaim(samples).then(() => states(test.db)), { timeout: 20_000, interval: 300 })
    .toEqual(['dropped 0 -', 'dropped 0 -', 'hot 0'])
  await test.db.execute(`
    insert into samples values ('2026-01-02 05:00', 't1', 'past', 1), ('2026-02-02 05:00', 't1', 'new', 1)`)
  await expect
    .poll(() => chunks.drainDefault(samples), { timeout: 20_000 })
    .toMatchObject({ kind: 'capped', rows: 1n, chunks: 1, left: 1n })
  expect(await seen(fixture, test.db, samples)).toEqual(['H new', 'H past', 'H y0'])
  const { rows } = await test.db.query(sql`select tableoid::regclass::text from samples where sensor = 'new'`)
  expect(rows).toEqual([['tidemark_chunks.samples_c4']])
})
