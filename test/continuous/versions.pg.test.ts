import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { states as algebra } from '../../src/aggregate/index.ts'
import {
  continuousAggregate,
  count,
  createTidemark,
  defineConfig,
  hypertable,
  max,
  percentile,
  sum,
  t,
} from '../../src/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('public.requests', {
  columns: { time: t.timestamptz(), model: t.text(), ms: t.int8() },
  time: 'time',
  chunk: '1 day',
  indexes: [{ columns: ['time'] }],
  retain: '10 days',
})

const clock = fixedClock(parseInstant('2026-01-05T12:30:00Z'))
const first = continuousAggregate('public.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count(), total: sum('ms') },
  refresh: { every: '1 minute' },
})
const second = continuousAggregate('public.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count(), total: sum('ms'), most: max('ms') },
  refresh: { every: '1 minute' },
})

describe('a changed definition', () => {
  let engine: TestEngine
  beforeEach(async () => {
    clock.set(parseInstant('2026-01-05T12:30:00Z'))
    engine = await createTestEngine(defineConfig({ datasets: [requests, first] }), { clock })
    await engine.tm.insertUnknown(
      'requests',
      Array.from({ length: 400 }, (_, i) => ({
        time: parseInstant('2026-01-01T00:00:00Z') + BigInt(i) * 900_000_000n,
        model: `m${i % 3}`,
        ms: i,
      })),
    )
    await engine.tm.refresh('hourly')
  })
  afterEach(() => engine.close())

  const next = async () => {
    const tm = await createTidemark(defineConfig({ datasets: [requests, second] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await tm.migrate()
    return tm
  }
  const states = async () =>
    (await engine.test.db.query(sql`select state from tidemark.aggregate_version order by id`)).rows.flat()

  it('is built beside the current one, compared, and takes its place', async () => {
    await using tm = await next()
    expect(await states()).toEqual(['current', 'building'])
    const report = await tm.refresh('hourly')
    expect(report.swap).toMatchObject({ kind: 'swapped', problem: null })
    expect(report.swap!.compared).toBeGreaterThan(10)
    expect(await states()).toEqual(['retired', 'current'])
    const { rows } = await engine.test.db.query(sql`select sum(n)::int8, max(most) from hourly`)
    expect(rows).toEqual([[400n, 399n]])
    // the old table goes as soon as nobody can read it
    await tm.refresh('hourly')
    expect(await states()).toEqual(['current'])
    const { rows: tables } = await engine.test.db.query(
      sql`select relname from pg_class where relnamespace = 'tidemark_aggregates'::regnamespace and relkind = 'r'`,
    )
    expect(tables).toHaveLength(1)
  })

  it('is not swapped in when it says something else', async () => {
    await using tm = await next()
    await engine.test.db.execute(
      `update tidemark_aggregates.hourly_1 set state_0_n = state_0_n + 1 where bucket = '2026-01-04 11:00Z'`,
    )
    const { swap } = await tm.refresh('hourly')
    expect(swap).toMatchObject({ kind: 'different' })
    expect(swap!.problem).toMatch(/2026-01-04T11:00:00Z.*"n" is/)
    expect(await states()).toEqual(['current', 'building'])
    const { rows } = await engine.test.db.query(
      sql`select refresh_error from tidemark.aggregate_version where state = 'building'`,
    )
    expect(rows[0]![0]).toBe(swap!.problem)
  })

  it('is not swapped in when sketches differ, though their ends are the same', async () => {
    const sketches = (more: object) =>
      continuousAggregate('public.sketches', {
        from: requests,
        bucket: '1 day',
        by: [],
        select: { p50: percentile('ms', 0.5), ...more },
      })
    const migrated = async (more: object) => {
      const tm = await createTidemark(defineConfig({ datasets: [requests, sketches(more)] }), {
        connectionString: engine.test.connectionString,
        root: engine.root,
        clock,
      })
      await tm.migrate()
      return tm
    }
    await using before = await migrated({})
    await before.refresh('sketches')
    const spec = { kind: 'ddsketch', input: 'int8', borders: null } as const
    const { db } = engine.test
    const { rows } = await db.query(
      sql`select state_0 from tidemark_aggregates.sketches_1 where bucket = '2026-01-02Z'`,
    )
    // 96, 97 … 191
    const state = algebra.ddsketch.decode(rows[0]![0] as Uint8Array, spec)
    const other = algebra.ddsketch.create(spec)
    for (let i = 0; i < 96; i++) algebra.ddsketch.add(other, i === 0 ? 96n : 191n, 0n)
    expect(algebra.ddsketch.encode(other)).not.toEqual(algebra.ddsketch.encode(state))
    await db.query(sql`
      update tidemark_aggregates.sketches_1
      set state_0 = ${Buffer.from(algebra.ddsketch.encode(other))}::bytea
      where bucket = '2026-01-02Z'`)
    await using after = await migrated({ most: max('ms') })
    expect((await after.refresh('sketches')).swap).toMatchObject({ kind: 'different' })
  })

  it('that fails again and again is tried after longer and longer, and does not hold the current one up', async () => {
    await using tm = await next()
    await engine.test.db.execute(
      `update tidemark_aggregates.hourly_1 set state_0_n = state_0_n + 1 where bucket = '2026-01-04 11:00Z'`,
    )
    const worker = tm.createWorker()
    const refreshed = async () => {
      await engine.tm.insertUnknown('requests', [{ time: '2026-01-05T03:00:00Z', model: 'm0', ms: 1 }])
      const runs = await worker.runOnce({ force: true })
      return runs.find(({ name }) => name === 'refresh public.hourly')!
    }
    const building = async () => {
      const { rows } = await engine.test.db.query(
        sql`select refresh_failures, refresh_error is null from tidemark.aggregate_version where state = 'building'`,
      )
      return rows[0]
    }
    const first = await refreshed()
    expect(first.error).toBeNull()
    expect(first.result).toMatchObject({
      cells: 3,
      newVersion: expect.stringContaining('not what the current one is'),
    })
    expect(await building()).toEqual([1, false])
    // its next try is not due; the current one goes on
    expect((await refreshed()).result).toMatchObject({ cells: 3 })
    expect(await building()).toEqual([1, false])
    const elapsed = (interval: string) =>
      engine.test.db.execute(
        `update tidemark.aggregate_version set refresh_failed_at = now() - interval '${interval}' where state = 'building'`,
      )
    await elapsed('121 seconds')
    await refreshed()
    expect(await building()).toEqual([2, false])
    await elapsed('121 seconds')
    await refreshed()
    expect(await building()).toEqual([2, false])
    const { aggregates } = await tm.status()
    expect(aggregates.find(({ state }) => state === 'building')).toMatchObject({
      failures: 2,
      error: expect.stringContaining('not what the current one is'),
      triedAgainAt: expect.stringMatching(/Z$/),
    })
    // a table of its own that cannot be written fails it as much
    await elapsed('10 minutes')
    await engine.test.db.execute('alter table tidemark_aggregates.hourly_2 rename to hourly_away')
    const broken = await refreshed()
    expect(broken.error).toBeNull()
    expect(broken.result).toMatchObject({ cells: 3, newVersion: expect.stringContaining('hourly_2') })
    expect(await building()).toEqual([3, false])
    await engine.test.db.execute('alter table tidemark_aggregates.hourly_away rename to hourly_2')
    // who asks for it does not wait, and what went wrong is forgotten when it is over
    await engine.test.db.execute(
      `update tidemark_aggregates.hourly_1 set state_0_n = state_0_n - 1 where bucket = '2026-01-04 11:00Z'`,
    )
    expect((await tm.refresh('hourly')).swap).toMatchObject({ kind: 'swapped' })
    const { rows } = await engine.test.db.query(
      sql`select refresh_failures, refresh_error from tidemark.aggregate_version where state = 'current'`,
    )
    expect(rows).toEqual([[0, null]])
  })

  it('takes over what only the current one knows, and says what is not known there', async () => {
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
    expect(await engine.tm.expire('requests')).toMatchObject({ chunks: 2, held: [] })
    await using tm = await next()
    await tm.refresh('hourly')
    expect(await states()).toContain('current')
    const { rows } = await engine.test.db.query(sql`
      select sum(n)::int8, sum(n) filter (where most is null)::int8 from hourly`)
    expect(rows).toEqual([[400n, 192n]])
    const { rows: unknown } = await engine.test.db.query(
      sql`select unknown_before from tidemark.aggregate_version where state = 'current'`,
    )
    expect(Object.values(unknown[0]![0] as object)).toEqual(['2026-01-03T00:00:00Z'])
    const answer = await tm.queryUnknown('hourly', { bucket: '1 day', select: { n: 'n', most: 'most' } })
    expect(answer.rows).toMatchObject([
      { n: 96, most: null },
      { n: 96, most: null },
      { n: 96, most: 287n },
      { n: 96 },
      { n: 16 },
    ])
  })
})

describe('retention', () => {
  let engine: TestEngine
  beforeEach(async () => {
    clock.set(parseInstant('2026-01-05T12:30:00Z'))
    engine = await createTestEngine(defineConfig({ datasets: [requests, first] }), { clock })
    await engine.tm.insertUnknown('requests', [
      { time: '2026-01-01T05:00:00Z', model: 'a', ms: 1 },
      { time: '2026-01-02T05:00:00Z', model: 'a', ms: 2 },
      { time: '2026-01-05T05:00:00Z', model: 'a', ms: 4 },
    ])
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
  })
  afterEach(() => engine.close())

  const sums = async () =>
    (await engine.test.db.query(sql`select total from hourly order by bucket`)).rows.flat().map(Number)

  it('waits for an aggregate that was never refreshed, and says so', async () => {
    const { chunks, held } = await engine.tm.expire('requests')
    expect(chunks).toBe(0)
    expect(held.map(({ reason }) => reason)).toEqual([
      'public.hourly has not been refreshed yet',
      'public.hourly has not been refreshed yet',
    ])
  })

  it('waits for a late row that no refresh has seen', async () => {
    await engine.tm.refresh('hourly')
    await engine.tm.insertUnknown('requests', [{ time: '2026-01-01T05:30:00Z', model: 'a', ms: 8 }])
    const { chunks, held } = await engine.tm.expire('requests')
    expect(chunks).toBe(1)
    expect(held[0]!.reason).toMatch(
      /public.hourly has to be refreshed from 2026-01-01T05:00:00Z to 2026-01-01T06:00:00Z/,
    )
    await engine.tm.refresh('hourly')
    expect(await engine.tm.expire('requests')).toMatchObject({ chunks: 1, held: [] })
    expect(await sums()).toEqual([9, 2, 4])
  })

  it('is not overtaken by a row that is committed while the chunk is being dropped', async () => {
    await engine.tm.refresh('hourly')
    const writer = await engine.test.connect()
    await writer.execute(`begin; insert into requests values ('2026-01-01T05:10:00Z', 'a', 16)`)
    const expiring = engine.tm.expire('requests')
    await expect
      .poll(async () => {
        const { rows } = await engine.test.db.query(
          sql`select count(*) from pg_locks where not granted and mode = 'ShareRowExclusiveLock'`,
        )
        return Number(rows[0]![0])
      })
      .toBeGreaterThan(0)
    await writer.execute('commit')
    const { held } = await expiring
    expect(held).toHaveLength(1)
    await engine.tm.refresh('hourly')
    await engine.tm.expire('requests')
    expect(await sums()).toEqual([17, 2, 4])
  })

  it('leaves the cells: what was dropped is never computed again', async () => {
    await engine.tm.refresh('hourly')
    await engine.tm.expire('requests')
    await engine.test.db.execute(`insert into requests values ('2026-01-01T05:10:00Z', 'a', 999)`)
    await engine.tm.refresh('hourly')
    await engine.tm.refresh('hourly', { from: '2025-12-01' })
    expect(await sums()).toEqual([1, 2, 4])
    const answer = await engine.tm.queryUnknown('hourly', { select: { total: 'total' } })
    expect(answer.rows.map(({ total }) => Number(total))).toEqual([1, 2, 4])
  })

  it('answers from the cells of what was dropped whatever comes late, by its name and as SQL', async () => {
    await engine.tm.refresh('hourly')
    await engine.tm.expire('requests')
    const asked = async () => {
      const { rows } = await engine.tm.queryUnknown('hourly', { select: { total: 'total' } })
      return rows.map(({ total }) => Number(total))
    }
    const raw = async () => {
      const { rows } = await engine.tm.queryUnknown('requests', {
        select: { total: { fn: 'sum', column: 'ms' } },
      })
      return Number(rows[0]!.total)
    }
    expect(await asked()).toEqual([1, 2, 4])
    // plain SQL: the row is stored, and goes with the next expiry
    await engine.test.db.execute(`insert into requests values ('2026-01-01T05:10:00Z', 'a', 999)`)
    expect(await asked()).toEqual([1, 2, 4])
    expect(await sums()).toEqual([1, 2, 4])
    expect(await raw()).toBe(1003)
    await engine.tm.refresh('hourly')
    expect(await asked()).toEqual([1, 2, 4])
    expect(await sums()).toEqual([1, 2, 4])
    expect(await raw()).toBe(1003)
  })

  it('is older than an aggregate that is made afterwards, and its answer says so', async () => {
    await engine.tm.refresh('hourly')
    await engine.tm.expire('requests')
    const daily = continuousAggregate('public.daily', {
      from: requests,
      bucket: '1 day',
      select: { total: sum('ms') },
      refresh: { every: '1 hour' },
    })
    await using tm = await createTidemark(defineConfig({ datasets: [requests, first, daily] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await tm.migrate()
    await tm.refresh('daily')
    const { rows, plan } = await tm.queryUnknown('daily', { select: { total: 'total' } })
    expect(rows.map(({ total }) => Number(total))).toEqual([4])
    expect(plan.partial).toEqual([{ output: 'total', before: '2026-01-03T00:00:00Z' }])
    const { rows: days } = await tm.queryUnknown('hourly', { bucket: '1 day', select: { total: 'total' } })
    expect(days.map(({ total }) => Number(total))).toEqual([1, 2, 4])
  })

  it('a bucket that a living chunk shares keeps the chunk until all of it is past', async () => {
    const weekly = continuousAggregate('public.weekly', {
      from: requests,
      bucket: '7 days',
      select: { n: count() },
      refresh: { every: '1 hour' },
    })
    await using tm = await createTidemark(defineConfig({ datasets: [requests, first, weekly] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await tm.migrate()
    await tm.refresh('hourly')
    await tm.refresh('weekly')
    const { chunks, held } = await tm.expire('requests')
    expect(chunks).toBe(0)
    expect(held[0]!.reason).toMatch(/a bucket of public.weekly that begins in it ends/)
  })

  it('of the aggregate itself drops its cells', async () => {
    const kept = continuousAggregate('public.hourly', {
      from: requests,
      bucket: '1 hour',
      by: ['model'],
      select: { n: count(), total: sum('ms') },
      refresh: { every: '1 minute' },
      retain: '9 days',
    })
    await using tm = await createTidemark(defineConfig({ datasets: [requests, kept] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await tm.migrate()
    await tm.refresh('hourly')
    await tm.expire('requests')
    clock.set(parseInstant('2026-01-14T05:30:00Z'))
    const worker = tm.createWorker()
    const runs = await worker.runOnce({ force: true })
    expect(runs.filter(({ error }) => error !== null)).toEqual([])
    expect(runs.find(({ name }) => name === 'refresh public.hourly')!.result).toMatchObject({ cells: 0 })
    const { rows } = await engine.test.db.query(sql`select count(*) from tidemark_aggregates.hourly_1`)
    expect(rows).toEqual([[1n]])
    // of the day that was dropped with its rows nothing is known any more; of the other one there are rows
    const { plan, ...answer } = await tm.queryUnknown('hourly', {
      bucket: '1 day',
      select: { total: 'total' },
    })
    expect(answer.rows.map(({ total }) => Number(total))).toEqual([4])
    expect(plan.partial).toEqual([{ output: 'total', before: '2026-01-03T00:00:00Z' }])
    expect(plan.aggregates).toMatchObject([
      {
        why: expect.stringContaining("before 2026-01-03T00:00:00Z its cells have expired (retain '9 days')"),
      },
    ])
    const later = await tm.queryUnknown('hourly', { from: '2026-01-03', select: { total: 'total' } })
    expect(later.plan.partial).toBeUndefined()
    expect(JSON.stringify(later.plan.aggregates)).not.toContain('expired')
  })
})
