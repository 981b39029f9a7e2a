import { afterEach, beforeEach, expect, it } from 'vitest'
import { auditHypertable } from '../../src/changelog/index.ts'
import type { DrainOutcome } from '../../src/hot/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { clearLog, readLog } from '../hot/create-test-hypertable.ts'
import {
  count,
  createFixture,
  day,
  dropPartitions,
  epochOf,
  type Fixture,
  readings,
  samples,
  seen,
  states,
} from './fixture.ts'
import { damage } from './plain-files.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(readings, samples)
})
afterEach(() => fixture.drop())

const cold = ['C s0', 'C s1', 'C s2']

/** As a write through the API does: rows of a file no longer count. */
async function erasePlaces(...positions: number[]): Promise<void> {
  await fixture.test.db.query(sql`
    insert into tidemark.lake_deletion (file_id, positions)
    select min(id), ${positions}::int8[] from tidemark.lake_file`)
}

it('a thaw gives back every row that still counts, logs nothing, and leaves the file to older snapshots', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  await erasePlaces(1)
  await clearLog(test.db)
  const epoch = await epochOf(test.db)
  expect(await lifecycle.thaw(readings)).toMatchObject({ chunks: 1, rows: 2, failed: [] })
  expect(await seen(fixture, test.db, readings)).toEqual(['H s0', 'H s2'])
  expect(await states(test.db)).toEqual(['hot 0'])
  expect(await readLog(test.db, readings)).toEqual([])
  expect(await epochOf(test.db)).toBe(epoch + 1n)
  const { rows } = await test.db.query(sql`select reason from tidemark.lake_trash`)
  expect(rows).toEqual([['thawed']])
  expect(await count(test.db, 'tidemark.lake_deletion')).toBe(0)
})

it('a chunk can be frozen and thawed again and again', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(readings, day('2026-01-01'))
  for (let i = 0; i < 3; i += 1) {
    await lifecycle.freeze(readings)
    await lifecycle.reclaim(readings)
    expect(await seen(fixture, test.db, readings)).toEqual(cold)
    await lifecycle.thaw(readings)
    expect(await seen(fixture, test.db, readings)).toEqual(['H s0', 'H s1', 'H s2'])
    await writer.upsert(readings, day('2026-01-01'))
  }
})

it('compaction makes one file of late rows, several files and deletions', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  await writer.insert(samples, day('2026-01-01', 2, 'late'))
  await lifecycle.freeze(samples)
  expect(await states(test.db)).toEqual(['cold 2'])
  await erasePlaces(0, 2)
  await writer.insert(samples, day('2026-01-01', 1, 'last'))
  expect(await seen(fixture, test.db, samples)).toEqual(['C late0', 'C late1', 'C s1', 'H last0'])
  expect(await lifecycle.compact(samples)).toMatchObject({ chunks: 1, rows: 4 })
  expect(await states(test.db)).toEqual(['cold 1'])
  expect(await seen(fixture, test.db, samples)).toEqual(['C last0', 'C late0', 'C late1', 'C s1'])
  expect((await lifecycle.verify([samples])).problems).toEqual([])
})

it('a deletion that comes during a compaction is not lost', async () => {
  const { test, writer, files, another, lifecycle } = fixture
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  let writes = 0
  const slow = another({
    files: {
      ...files,
      async write(request) {
        const file = await files.write(request)
        if (writes++ === 0) await erasePlaces(1)
        return file
      },
    },
  })
  expect(await slow.compact(samples)).toMatchObject({ rows: 2 })
  expect(writes).toBe(2)
  expect(await seen(fixture, test.db, samples)).toEqual(['C s0', 'C s2'])
})

it('a chunk whose last cold row is deleted is hot again after compaction', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(readings, day('2026-01-01'))
  await lifecycle.freeze(readings)
  await erasePlaces(0, 1, 2)
  await lifecycle.compact(readings)
  expect(await states(test.db)).toEqual(['hot 0'])
  await test.db.execute(`insert into readings values ('2026-01-01', 't1', 's0', 1)`)
  expect(await seen(fixture, test.db, readings)).toEqual(['H s0'])
  expect((await lifecycle.verify([readings])).problems).toEqual([])
})

it('a damaged file is neither compacted nor thawed', async () => {
  const { test, writer, lifecycle, store } = fixture
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  const { rows } = await test.db.query(sql`select path from tidemark.lake_file`)
  await damage(store, rows[0]![0] as string)
  await expect(lifecycle.compact(samples)).rejects.toMatchObject({ code: 'TM_LAKE' })
  await expect(lifecycle.thaw(samples)).rejects.toMatchObject({ code: 'TM_LAKE' })
  expect(await states(test.db)).toEqual(['cold 1'])
  const { problems } = await lifecycle.verify([samples])
  expect(problems.map(({ kind }) => kind)).toEqual(['damaged'])
})

it('a late row for a cold chunk without a partition gets one, with its guards', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02')])
  await lifecycle.freeze(samples)
  await dropPartitions(fixture, samples)
  expect(await states(test.db)).toEqual(['cold 1 -', 'cold 1 -'])
  await writer.insert(samples, day('2026-01-01', 1, 'late'))
  expect(await states(test.db)).toEqual(['cold 1', 'cold 1 -'])
  expect(await seen(fixture, test.db, samples)).toEqual([...cold, ...cold, 'H late0'].sort())
  const { rows } = await test.db.query(sql`select tableoid::regclass::text from samples`)
  expect(rows).toEqual([['tidemark_chunks.samples_c1']])
  expect((await lifecycle.verify([samples])).problems).toEqual([])
})

it('rows that plain SQL left in the default partition are drained into the partition of their cold chunk', async () => {
  const { test, writer, chunks, lifecycle } = fixture
  await writer.insert(samples, day('2026-01-01'))
  await lifecycle.freeze(samples)
  await dropPartitions(fixture, samples)
  await test.db.execute(`
    insert into samples values ('2026-01-01 05:00', 't1', 'late', 1), ('2026-02-01 05:00', 't1', 'new', 1)`)
  await clearLog(test.db)
  // Snapshots of other tests may hold it up.
  const outcomes: DrainOutcome[] = []
  do outcomes.push(await chunks.drainDefault(samples))
  while (outcomes.at(-1)!.kind === 'blocked' && outcomes.length < 10)
  expect(outcomes.at(-1)).toEqual({ kind: 'drained', rows: 2n, chunks: 2 })
  expect(await states(test.db)).toEqual(['cold 1', 'hot 0'])
  expect(await seen(fixture, test.db, samples)).toEqual([...cold, 'H late', 'H new'])
  expect(await readLog(test.db, samples)).toEqual([])
  expect((await lifecycle.verify([samples])).problems).toEqual([])
})

it('a move is no unlogged change to the audit, and a change beside it still is one', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02')])
  await auditHypertable(test.db, samples)
  const first = { olderThan: parseInstant('2026-01-02T00:00:00Z') }
  await lifecycle.freeze(samples, first)
  expect((await auditHypertable(test.db, samples)).unlogged).toEqual([])
  await lifecycle.thaw(samples)
  await test.db.execute(`
    alter table tidemark_chunks.samples_c2 disable trigger all;
    update tidemark_chunks.samples_c2 set value = 77;
    alter table tidemark_chunks.samples_c2 enable always trigger tidemark_log_partition`)
  expect((await auditHypertable(test.db, samples)).unlogged).toHaveLength(1)
  await lifecycle.expire(samples, { cutoff: 10n ** 18n })
  expect((await auditHypertable(test.db, samples)).unlogged).toEqual([])
  expect((await auditHypertable(test.db, samples)).unlogged).toEqual([])
})

it('the space of frozen rows is given back, indexes too', async () => {
  const { test, writer, lifecycle } = fixture
  await writer.insert(readings, day('2026-01-01', 1400))
  await test.db.execute(`
    insert into readings select '2026-01-01'::timestamptz + n * interval '1 second', 't2', 's' || n, n
    from generate_series(1, 20000) as n`)
  const size = async () =>
    (await test.db.query(sql`select pg_total_relation_size('tidemark_chunks.readings_c1')`)).rows[0]![0]
  const before = Number(await size())
  await lifecycle.freeze(readings)
  // Some snapshot of another test may hold it up.
  await expect
    .poll(async () => (await lifecycle.reclaim(readings)).held, { timeout: 20_000, interval: 300 })
    .toEqual([])
  expect(Number(await size())).toBeLessThan(before / 20)
  expect(await lifecycle.reclaim(readings)).toMatchObject({ reclaimed: 0 })
  expect(await count(test.db, 'public.readings')).toBe(0)
})

it('the policy freezes what is old and quiet, folds what came late, and writes worn chunks anew', async () => {
  const { test, writer, another, clock, lifecycle } = fixture
  await writer.insert(samples, [...day('2026-01-01', 30), ...day('2026-01-10')])
  clock.set(parseInstant('2026-01-09T12:00:00Z'))
  // Written to a moment ago.
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 0, waiting: 1 })
  const calm = another({ settings: { quietMs: 0, foldAfterMs: 0 } })
  expect(await calm.freezeDue(samples)).toMatchObject({ chunks: 1, rows: 30, waiting: 0 })
  expect(await calm.freezeDue(samples)).toMatchObject({ chunks: 0 })
  expect(await calm.compactDue(samples)).toMatchObject({ chunks: 0 })
  await writer.insert(samples, day('2026-01-01', 2, 'late'))
  expect(await lifecycle.compactDue(samples)).toMatchObject({ chunks: 0 })
  expect(await calm.compactDue(samples)).toMatchObject({ chunks: 1, rows: 2 })
  expect(await states(test.db)).toEqual(['cold 2', 'hot 0'])
  await writer.insert(samples, day('2026-01-01', 9, 'more'))
  expect(await calm.compactDue(samples)).toMatchObject({ chunks: 1, rows: 41 })
  expect(await states(test.db)).toEqual(['cold 1', 'hot 0'])
  // Late rows keep coming: twice as old as it has to be, it is not waited for.
  clock.set(parseInstant('2026-02-01T00:00:00Z'))
  expect(await lifecycle.freezeDue(samples)).toMatchObject({ chunks: 1, waiting: 0 })
})
