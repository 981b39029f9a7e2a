import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  continuousAggregate,
  count,
  createTidemark,
  defineConfig,
  hypertable,
  percentile,
  sum,
  t,
} from '../../src/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('public.requests', {
  columns: { time: t.timestamptz(), model: t.text(), ms: t.int8() },
  time: 'time',
  chunk: '1 day',
  indexes: [{ columns: ['time'] }],
})
const hourly = continuousAggregate('public.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count(), total: sum('ms'), p95: percentile('ms', 0.95) },
  refresh: { every: '1 minute' },
})
const daily = continuousAggregate('public.daily', {
  from: hourly,
  bucket: '1 day',
  by: ['model'],
  select: { n: count(), total: sum('ms'), p95: percentile('ms', 0.95) },
  refresh: { every: '5 minutes' },
})
const config = defineConfig({ datasets: [requests, hourly, daily] })

describe('a refresh reads the planner', () => {
  let engine: TestEngine<typeof config>
  beforeEach(async () => {
    engine = await createTestEngine(config, { clock: fixedClock(parseInstant('2026-01-05T12:30:00Z')) })
    await engine.tm.insert(requests, rows(0))
  })
  afterEach(() => engine.close())

  const rows = (round: number) =>
    Array.from({ length: 300 }, (_, i) => ({
      time: parseInstant('2026-01-01T00:00:00Z') + BigInt(i) * 1_200_000_000n + BigInt(round),
      model: `m${i % 3}`,
      ms: i + round * 1000,
    }))

  const answers = async (aggregate: 'hourly' | 'daily') => {
    const { bucket } = aggregate === 'hourly' ? hourly : daily
    const named = await engine.tm.queryUnknown(aggregate, {})
    const raw = await engine.tm.queryUnknown('requests', {
      bucket: bucket.every.text,
      by: ['model'],
      select: {
        n: { fn: 'count' },
        total: { fn: 'sum', column: 'ms' },
        p95: { fn: 'percentile', column: 'ms', q: 0.95 },
        // no aggregate keeps it, so that rows are read
        rows: { fn: 'countDistinct', column: 'ms' },
      },
    })
    return [named.rows, raw.rows.map(({ rows: _, ...row }) => row)] as const
  }

  it('the coarser one from the cells of the finer one', async () => {
    await engine.tm.refresh('hourly')
    const { rows: read } = await engine.tm.refresh('daily')
    expect(read).toBeGreaterThan(0)
    const [named, raw] = await answers('daily')
    expect(named).toEqual(raw)
    expect(named).toHaveLength(15)
  })

  it('and nothing is counted twice or lost while chunks are frozen and thawed and late rows come', async () => {
    const moving = (async () => {
      for (let round = 0; round < 3; round++) {
        await engine.tm.freeze('requests', { all: true })
        await engine.tm.insert(requests, rows(round * 2 + 1))
        await engine.tm.thaw('requests', { all: true })
        await engine.tm.insert(requests, rows(round * 2 + 2))
      }
      return true
    })()
    let isMoved = false
    void moving.then(() => {
      isMoved = true
    })
    while (!isMoved) {
      await engine.tm.refresh('hourly')
      await engine.tm.refresh('daily')
      await new Promise((resolve) => setImmediate(resolve))
    }
    await moving
    await engine.tm.freeze('requests', { olderThan: '2026-01-03' })
    for (const aggregate of ['hourly', 'daily'] as const) {
      await engine.tm.refresh(aggregate)
      const [named, raw] = await answers(aggregate)
      expect(named).toEqual(raw)
      const again = await engine.tm.refresh(aggregate)
      expect(again.versions).toEqual([])
    }
  }, 60_000)

  it('a plan says that what comes after the newest cell is not computed yet', async () => {
    await engine.tm.refresh('hourly')
    const { plan } = await engine.tm.queryUnknown('requests', {
      from: '2026-01-01T00:00:00Z',
      to: '2026-01-05T06:00:00Z',
      bucket: '1 hour',
      select: { n: { fn: 'count' } },
    })
    expect(plan.aggregates?.find(({ name }) => name === 'public.hourly')).toMatchObject({
      used: true,
      why: 'what comes after 2026-01-05T04:00:00Z has not been computed yet: that is read from rows',
    })
  })

  it('status says how far each is, doctor what is wrong', async () => {
    expect((await engine.tm.doctor()).filter(({ check }) => check === 'continuous aggregates')).toMatchObject(
      [{ level: 'note' }, { level: 'note' }],
    )
    await engine.tm.refresh('hourly')
    await engine.tm.refresh('daily')
    const { aggregates } = await engine.tm.status()
    expect(aggregates).toMatchObject([
      {
        name: 'public.hourly',
        state: 'current',
        watermark: '2026-01-05T04:00:00Z',
        // there is no row after it
        lagMs: 0,
        invalidRanges: 0,
        error: null,
      },
      { name: 'public.daily', state: 'current', watermark: '2026-01-06T00:00:00Z', lagMs: 0 },
    ])
    expect((await engine.tm.doctor()).filter(({ check }) => check === 'continuous aggregates')).toMatchObject(
      [{ level: 'ok' }],
    )
    await engine.tm.insert(requests, [{ time: '2026-01-05T11:00:00Z', model: 'm0', ms: 1 }])
    expect((await engine.tm.status()).aggregates[0]).toMatchObject({ lagMs: 30_600_000, missedEntries: 1 })
    const fewer = await createTidemark(defineConfig({ datasets: [requests, hourly] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
    })
    const found = (await fewer.doctor()).filter(({ check }) => check === 'continuous aggregates')
    await fewer.close()
    expect(found).toMatchObject([
      { level: 'warn', todo: expect.stringMatching(/drop_aggregate\('public\.daily'\)/) },
    ])
  })
})
