import { afterEach, beforeEach, expect, it } from 'vitest'
import { sqlstateOf } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, readings, samples, seen, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(readings, samples)
  await fixture.writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02', 1, 'x')])
})
afterEach(() => fixture.drop())

const hot = ['H s0', 'H s1', 'H s2', 'H x0']
const cold = ['C s0', 'C s1', 'C s2', 'C x0']

async function snapshot(mode = 'repeatable read') {
  const connection = await fixture.test.connect()
  await connection.execute(`begin isolation level ${mode}; select 1 from samples limit 1`)
  return connection
}

it('a reader with a snapshot from before freeze, reclaim, compaction and thaw sees every row once at each moment', async () => {
  const { lifecycle, test, writer } = fixture
  const all: { at: string; expected: string[]; reader: Awaited<ReturnType<typeof snapshot>> }[] = []
  const look = async (at: string, expected: string[]) => {
    all.push({ at, expected, reader: await snapshot() })
    for (const each of all)
      expect([each.at, await seen(fixture, each.reader, samples)]).toEqual([each.at, each.expected])
  }
  await look('hot', hot)
  await lifecycle.freeze(samples)
  await look('frozen', cold)
  await lifecycle.reclaim(samples)
  await look('reclaimed', cold)
  await writer.insert(samples, day('2026-01-01', 1, 'late'))
  await look('late', [...cold, 'H late0'].sort())
  await lifecycle.compact(samples)
  await look('compacted', [...cold, 'C late0'].sort())
  await lifecycle.reclaim(samples)
  await lifecycle.sweep()
  await look('swept', [...cold, 'C late0'].sort())
  await lifecycle.thaw(samples)
  await look('thawed', [...hot, 'H late0'].sort())
  await lifecycle.freeze(samples)
  await look('frozen again', [...cold, 'C late0'].sort())
  await lifecycle.expire(samples, { cutoff: 10n ** 18n })
  await look('expired', [])
  for (const { reader } of all) await reader.execute('commit')
  await lifecycle.reclaim(samples)
  expect(await states(test.db)).toEqual(['dropped 0 -', 'dropped 0 -'])
  expect(await seen(fixture, test.db, samples)).toEqual([])
})

it('a reader that idles in its transaction holds nobody up: the chunk is frozen, others read and write', async () => {
  const { lifecycle, test, writer } = fixture
  const idle = await snapshot('read committed')
  await idle.query(sql`select * from samples`)
  expect(await lifecycle.freeze(samples)).toMatchObject({ rows: 4, failed: [] })
  await lifecycle.reclaim(samples)
  await lifecycle.compact(samples)
  await writer.insert(samples, day('2026-01-01', 1, 'late'))
  expect(await seen(fixture, test.db, samples)).toEqual([...cold, 'H late0'].sort())
  expect(await lifecycle.thaw(samples)).toMatchObject({ failed: [] })
  expect(await seen(fixture, idle, samples)).toEqual([...hot, 'H late0'].sort())
  await idle.execute('commit')
})

it('a reader that holds row locks in shared mode is waited for, not overrun', async () => {
  const { another, test } = fixture
  const lifecycle = another({ settings: { lockTries: 2 } })
  const reader = await snapshot('read committed')
  await reader.query(sql`select * from samples where sensor = 's1' for share`)
  const run = await lifecycle.freeze(samples)
  expect(run.chunks).toBe(1)
  expect(run.failed).toHaveLength(1)
  await reader.execute('commit')
  expect(await lifecycle.freeze(samples)).toMatchObject({ rows: 3 })
  expect(await seen(fixture, test.db, samples)).toEqual(cold)
})

it.each(['update samples set value = 9', 'delete from samples'])(
  'a REPEATABLE READ writer with an older snapshot is told so: %s',
  async (statement) => {
    const { lifecycle } = fixture
    const writer = await snapshot()
    await lifecycle.freeze(samples)
    await lifecycle.reclaim(samples)
    const failed = await writer.execute(`${statement} where sensor = 's1'`).catch((error: unknown) => error)
    expect(sqlstateOf(failed)).toBe('40001')
    await writer.execute('rollback')
  },
)

it('an update that waits for the flip fails loudly, and one that was there before it wins', async () => {
  const { test, files, another } = fixture
  await another().freeze(samples, { from: 0n, to: 10n ** 18n })
  await another().thaw(samples)
  // There before: it holds the partition while the flip tries, and is not told that its row is gone.
  const before = await test.connect()
  await before.execute(
    `begin; update samples set value = 8 where sensor = 's1' and time >= '2026-01-01' and time < '2026-01-02'`,
  )
  const first = another({ settings: { lockTries: 2, exports: 1 } })
  const chunk = (await first.status(samples))[0]!.id
  await expect(first.freeze(samples, { chunk })).rejects.toMatchObject({ code: 'TM_BUSY' })
  await before.execute('commit')
  // Comes while the export goes on under the lock: waits, then finds the guard.
  let waiting: Promise<unknown> = Promise.resolve()
  const locked = another({
    settings: { exports: 0 },
    files: {
      ...files,
      async write(request) {
        waiting = test.db
          .query(sql`update samples set value = 9 where sensor = 's1'`)
          .then(() => 'done')
          .catch((error: Error) => error.message)
        await expect
          .poll(async () => {
            const { rows } = await test.db.query(sql`
              select count(*) from pg_locks where not granted and mode = 'RowExclusiveLock'
                and database = (select oid from pg_database where datname = current_database())`)
            return rows[0]![0]
          })
          .toBe(1n)
        return files.write(request)
      },
    },
  })
  expect(await locked.freeze(samples, { chunk }, { blockWriters: true })).toMatchObject({ rows: 3 })
  expect(await waiting).toContain('TM_COLD')
})

it('a prepared transaction that wrote to the chunk keeps it hot until it ends', async () => {
  const { another, test } = fixture
  const lifecycle = another({ settings: { lockTries: 2 } })
  await lifecycle.freeze(samples)
  await lifecycle.thaw(samples)
  const writer = await test.connect()
  await writer.execute(`
    begin;
    insert into samples values ('2026-01-01 08:00', 't1', 'prepared', 1);
    prepare transaction '${test.name}'`)
  const run = await lifecycle.freeze(samples)
  expect(run).toMatchObject({ chunks: 1, failed: [{ reason: expect.stringContaining('could not be done') }] })
  // Nobody else waits: readers and writers of the same chunk go on.
  await fixture.writer.insert(samples, day('2026-01-01', 1, 'late'))
  expect(await seen(fixture, test.db, samples)).toEqual(['C x0', 'H late0', 'H s0', 'H s1', 'H s2'])
  await test.db.execute(`commit prepared '${test.name}'`)
  expect(await lifecycle.freeze(samples)).toMatchObject({ rows: 5 })
  expect(await seen(fixture, test.db, samples)).toEqual([...cold, 'C late0', 'C prepared'].sort())
})

it('a table that holds no row of the chunk but many late ones can be frozen while they come', async () => {
  const { lifecycle, test, writer } = fixture
  let going = true
  let written = 0
  const stream = (async () => {
    while (going) {
      await writer.insert(samples, day('2026-01-01', 20, `late${written}-`))
      written += 20
    }
  })()
  await expect.poll(() => written).toBeGreaterThan(40)
  const run = await lifecycle.freeze(samples)
  await lifecycle.compact(samples)
  await lifecycle.thaw(samples)
  await lifecycle.freeze(samples)
  going = false
  await stream
  expect(run.failed).toEqual([])
  const all = await seen(fixture, test.db, samples)
  expect(all.length).toBe(written + 4)
  expect(new Set(all.map((each) => each.slice(2))).size).toBe(written + 4)
})

it('a table that a subscription fills is not frozen: what it sends for cold rows would be skipped', async () => {
  const { lifecycle, test } = fixture
  await test.db.execute(`
    create subscription nowhere connection 'dbname=nowhere' publication none with (connect = false, slot_name = none)`)
  await test.db.execute(`
    insert into pg_subscription_rel (srsubid, srrelid, srsubstate)
    select oid, 'samples'::regclass, 'r' from pg_subscription where subname = 'nowhere'`)
  const run = await lifecycle.freeze(samples)
  expect(run.failed.map(({ reason }) => reason)).toEqual([
    expect.stringContaining('a subscription fills public.samples'),
    expect.stringContaining('a subscription fills public.samples'),
  ])
  await test.db.execute('drop subscription nowhere')
})
