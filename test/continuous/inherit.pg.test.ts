import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createAggregateTiers, refreshAggregate } from '../../src/continuous/index.ts'
import { createHotTier } from '../../src/hot/index.ts'
import {
  avg,
  continuousAggregate,
  count,
  createTidemark,
  defineConfig,
  first,
  hypertable,
  increase,
  max,
  percentile,
  sum,
  t,
  topK,
  uniques,
} from '../../src/index.ts'
import { queryLimits } from '../../src/query/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('public.requests', {
  columns: { time: t.timestamptz(), model: t.text(), region: t.text(), ms: t.int8(), cost: t.numeric() },
  time: 'time',
  chunk: '1 day',
  indexes: [{ columns: ['time'] }],
  retain: '10 days',
})
const clock = fixedClock(0n)
const select = {
  n: count(),
  total: sum('ms'),
  mean: avg('cost'),
  p90: percentile('ms', 0.9),
  different: uniques('ms'),
  top: topK('model', 3),
  opened: first('ms'),
}
const old = continuousAggregate('public.kept', {
  from: requests,
  bucket: '1 hour',
  by: ['model', 'region'],
  select: { ...select, grown: increase('ms', { series: ['model'] }) },
})

describe('a new version with fewer keys or longer buckets', () => {
  let engine: TestEngine
  beforeEach(async () => {
    clock.set(parseInstant('2026-01-08T12:30:00Z'))
    engine = await createTestEngine(defineConfig({ datasets: [requests, old] }), { clock })
    await engine.tm.insertUnknown(
      'requests',
      Array.from({ length: 1000 }, (_, i) => ({
        time: parseInstant('2026-01-01T00:10:00Z') + BigInt(i) * 600_000_000n,
        model: `m${(i * 7) % 5}`,
        region: ['east', 'west'][i % 2],
        ms: (i * 7919) % 1000,
        cost: `${(i * 31) % 50}.25`,
      })),
    )
    await engine.tm.refresh('kept')
  })
  afterEach(() => engine.close())

  const next = async (shape: object) => {
    const changed = continuousAggregate('public.kept', {
      from: requests,
      bucket: '1 day',
      by: [],
      select,
      ...shape,
    } as never)
    const tm = await createTidemark(defineConfig({ datasets: [requests, changed] } as never), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await tm.migrate()
    return tm
  }
  const unknown = async () => {
    const { rows } = await engine.test.db.query(
      sql`select unknown_before from tidemark.aggregate_version where state = 'current'`,
    )
    return rows[0]![0]
  }

  it.each([
    [
      { bucket: '1 day', by: ['region'] },
      { bucket: '1 day', by: ['region'] },
    ],
    [
      { bucket: '1 hour', by: ['model'] },
      { bucket: '1 hour', by: ['model'] },
    ],
    [{ bucket: '6 hours', by: [] }, { bucket: '6 hours' }],
    [
      { bucket: '1 day', by: [], where: { region: 'east' } },
      { bucket: '1 day', where: { region: 'east' } },
    ],
  ])('%o takes over exactly what the old one kept of dropped rows', async (shape, question) => {
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
    expect(await engine.tm.expire('requests')).toMatchObject({ chunks: 2, held: [] })
    const before = await engine.tm.queryUnknown('kept', { ...question, select } as never)
    await using tm = await next(shape)
    expect((await tm.refresh('kept')).swap).toMatchObject({ kind: 'swapped' })
    const after = await tm.queryUnknown('kept', { ...question, where: undefined, select } as never)
    expect(after.rows).toEqual(before.rows)
    expect(after.plan.partial).toBeUndefined()
    expect(await unknown()).toEqual({})
  })

  it('knows no more of what the old one did not keep', async () => {
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
    await engine.tm.expire('requests')
    await using tm = await next({ by: ['region'], select: { n: count(), most: max('ms') } })
    await tm.refresh('kept')
    const { rows, plan } = await tm.queryUnknown('kept', {
      bucket: '1 day',
      select: { n: 'n', most: 'most' },
    })
    expect(rows.slice(0, 3)).toMatchObject([{ n: 143, most: null }, { n: 144, most: null }, { n: 144 }])
    expect(plan.partial).toEqual([{ output: 'most', before: '2026-01-03T00:00:00Z' }])
    expect((await tm.status()).aggregates).toMatchObject([{ unknownBefore: '2026-01-03T00:00:00Z' }])
  })

  it('knows nothing of what it cannot be made of: other keys, shorter buckets, merged series', async () => {
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
    await engine.tm.expire('requests')
    for (const shape of [
      { bucket: '30 minutes', by: ['region'], select: { n: count() } },
      { bucket: '1 day', by: [], select: { grown: increase('ms', { series: ['model'] }) } },
    ]) {
      await using tm = await next(shape)
      await tm.refresh('kept')
      const { plan } = await tm.queryUnknown('kept', {})
      expect(plan.partial).toMatchObject([{ before: '2026-01-03T00:00:00Z' }])
      const back = await next({ bucket: '1 hour', by: ['model', 'region'], select: old.select })
      await back.refresh('kept')
      await back.close()
    }
  })

  it('in batches, while nobody else works on the versions', async () => {
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
    await engine.tm.expire('requests')
    const question = { bucket: '6 hours', by: ['region'], select } as never
    const before = await engine.tm.queryUnknown('kept', question)
    await using tm = await next({ bucket: '6 hours', by: ['region'] })
    const changed = continuousAggregate('public.kept', {
      from: requests,
      bucket: '6 hours',
      by: ['region'],
      select,
    })
    const context = {
      db: engine.test.db,
      tiers: [createHotTier(), ...createAggregateTiers([changed])],
      clock,
      limits: queryLimits(),
      settings: { maxRows: 20 },
    }
    const other = await engine.test.connect()
    await other.execute(
      `begin; select from tidemark.aggregate_version where state = 'current' for no key update`,
    )
    expect((await refreshAggregate(context, changed)).swap).toMatchObject({
      kind: 'waiting',
      problem: expect.stringContaining('another process works on one of its versions'),
    })
    await other.execute('rollback')
    await other.close()
    const epochs = async () =>
      (
        await engine.test.db.query(
          sql`select max(epoch) from tidemark.aggregate_version where state <> 'retired'`,
        )
      ).rows
    const [[held]] = (await epochs()) as [[bigint]]
    expect((await refreshAggregate(context, changed)).swap).toMatchObject({ kind: 'swapped' })
    const [[after]] = (await epochs()) as [[bigint]]
    expect(Number(after - held)).toBeGreaterThan(8)
    expect((await tm.queryUnknown('kept', question)).rows).toEqual(before.rows)
    expect(await unknown()).toEqual({})
  })

  it('waits for a bucket that is half gone until all of it is past the retention', async () => {
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
    await engine.tm.expire('requests')
    const before = await engine.tm.queryUnknown('kept', { bucket: '7 days', select } as never)
    await using tm = await next({ bucket: '7 days' })
    expect((await tm.refresh('kept')).swap).toMatchObject({
      kind: 'waiting',
      problem: expect.stringMatching(/from 2025-12-29T00:00:00Z to 2026-01-05T00:00:00Z is half gone/),
    })
    expect(await tm.expire('requests')).toMatchObject({ chunks: 0 })
    clock.set(parseInstant('2026-01-15T00:30:00Z'))
    expect((await tm.refresh('kept')).swap).toMatchObject({ kind: 'swapped' })
    expect((await tm.queryUnknown('kept', { select } as never)).rows).toEqual(before.rows)
    expect(await unknown()).toEqual({})
    expect(await tm.expire('requests')).toMatchObject({ chunks: 2 })
    expect((await tm.queryUnknown('kept', { select } as never)).rows).toEqual(before.rows)
  })
})

it('a late row is counted once, whether it is merged before its bucket is taken over or after', async () => {
  clock.set(parseInstant('2026-01-08T12:30:00Z'))
  const base = hypertable('public.calls', {
    columns: { time: t.timestamptz(), model: t.text(), ms: t.int8() },
    time: 'time',
    chunk: '1 day',
    retain: '10 days',
    late: 'merge',
  })
  const kept = (bucket: string, by: string[]) =>
    continuousAggregate('public.calls_kept', {
      from: base,
      bucket,
      by,
      select: { n: count(), total: sum('ms'), different: uniques('ms') },
    } as never)
  const engine = await createTestEngine(
    defineConfig({ datasets: [base, kept('1 hour', ['model'])] } as never),
    { clock },
  )
  try {
    const insert = (ms: number, time: string) =>
      engine.tm.insertUnknown('calls', [{ time, model: `m${ms % 2}`, ms }])
    for (let day = 1; day <= 8; day += 1) await insert(day, `2026-01-0${day}T05:00:00Z`)
    await engine.tm.refresh('calls_kept')
    clock.set(parseInstant('2026-01-13T00:30:00Z'))
    expect(await engine.tm.expire('calls')).toMatchObject({ chunks: 2 })
    await using tm = await createTidemark(defineConfig({ datasets: [base, kept('7 days', [])] } as never), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await tm.migrate()
    expect((await tm.refresh('calls_kept')).swap).toMatchObject({ kind: 'waiting' })
    // the new version knows nothing of that day yet
    await insert(100, '2026-01-01T07:00:00Z')
    clock.set(parseInstant('2026-01-15T00:30:00Z'))
    expect((await tm.refresh('calls_kept')).swap).toMatchObject({ kind: 'swapped' })
    const asked = async () => (await tm.queryUnknown('calls_kept', {})).rows
    expect(await asked()).toMatchObject([{ n: 5, total: '110', different: 5 }, { n: 4 }])
    await insert(1000, '2026-01-02T07:00:00Z')
    expect(await asked()).toMatchObject([{ n: 6, total: '1110', different: 6 }, { n: 4 }])
  } finally {
    await engine.close()
  }
})
