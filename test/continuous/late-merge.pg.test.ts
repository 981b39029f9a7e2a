import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  continuousAggregate,
  count,
  countDistinct,
  defineConfig,
  first,
  histogram,
  hypertable,
  last,
  max,
  min,
  percentile,
  stddev,
  sum,
  t,
  topK,
} from '../../src/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('public.requests', {
  columns: {
    time: t.timestamptz(),
    team: t.text(),
    model: t.text().nullable(),
    ms: t.int8(),
    cost: t.float8(),
    price: t.numeric(12, 4).nullable(),
  },
  time: 'time',
  tenant: 'team',
  chunk: '1 day',
  retain: '10 days',
  late: 'merge',
})
const all = {
  n: count(),
  total: sum('ms'),
  cost: sum('cost'),
  price: sum('price'),
  least: min('ms'),
  most: max('cost'),
  opened: first('ms'),
  closed: last('ms'),
  spread: stddev('cost'),
  p95: percentile('ms', 0.95),
  // models: uniques('ms'),
  exactly: countDistinct('ms'),
  sizes: histogram('ms', [10, 100]),
  top: topK('ms', 3),
  slow: count({ where: { ms: { gte: 50 } } }),
}
const hourly = continuousAggregate('public.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: all,
})
const daily = continuousAggregate('public.daily', {
  from: hourly,
  bucket: { every: '1 day', zone: 'Europe/Berlin' },
  by: [],
  select: { n: 'n', total: 'total', p95: 'p95' },
})
const odd = continuousAggregate('public.odd', {
  from: requests,
  bucket: '1 hour',
  by: [],
  where: { model: 'b' },
  select: { n: count() },
})
const config = defineConfig({ datasets: [requests, hourly, daily, odd] })

const clock = fixedClock(0n)
const row = (time: string, i = 0) => ({
  time,
  team: `t${i % 2}`,
  model: [null, 'a', 'b'][i % 3] as string | null,
  ms: BigInt(i),
  cost: i / 8,
  price: i % 4 === 0 ? null : `${i}.25`,
})
const at = (day: string, amount: number, from = 0) =>
  Array.from({ length: amount }, (_, i) => {
    const minute = (i * 37) % 1440
    const [h, m] = [Math.floor(minute / 60), minute % 60].map((part) => String(part).padStart(2, '0'))
    return row(`2026-01-${day}T${h}:${m}:00Z`, from + i)
  })

describe('a row of time that retention has dropped, where late rows are merged', () => {
  let engine: TestEngine<typeof config>
  let whole: TestEngine<typeof config>
  beforeEach(async () => {
    clock.set(parseInstant('2026-01-05T12:00:00Z'))
    engine = await createTestEngine(config, { clock })
    // the same rows, and nothing is ever dropped
    whole = await createTestEngine(config, { clock })
    await both(at('01', 200), at('02', 50, 500), at('08', 30, 900))
    clock.set(parseInstant('2026-01-15T12:00:00Z'))
  })
  afterEach(async () => {
    await engine.close()
    await whole.close()
  })

  const both = async (...batches: readonly (readonly object[])[]) => {
    for (const rows of batches)
      for (const { tm } of [engine, whole]) await tm.insertUnknown('requests', rows as never)
  }
  const refresh = async () => {
    for (const { tm } of [engine, whole])
      for (const name of ['hourly', 'daily', 'odd']) await tm.refresh(name)
  }
  const expire = async () => {
    await refresh()
    return engine.tm.expire('requests')
  }
  const cellsOf = async ({ test }: TestEngine, name: string) => {
    const { rows } = await test.db.query(
      raw(
        `select to_jsonb(c) - 'state_8_mean' - 'state_8_m2' from tidemark_aggregates.${name}_1 as c order by bucket, c::text`,
      ),
    )
    return rows.flat()
  }
  const answers = ({ tm }: TestEngine) =>
    Promise.all(
      ['hourly', 'daily', 'odd'].map(async (name) =>
        (await tm.queryUnknown(name, {})).rows.map((one) => ({
          ...one,
          spread: (one['spread'] as number | null | undefined)?.toPrecision(12),
        })),
      ),
    )

  it('counts in every aggregate, to the byte as if it had been there in time', async () => {
    expect(await expire()).toMatchObject({ chunks: 2, held: [] })
    const late = at('01', 333, 10_000)
    expect(await engine.tm.insertCounted('requests', late)).toEqual({ inserted: 0, ignored: 0, merged: 333 })
    expect(await engine.tm.insertCounted('requests', [row('2026-01-02T03:04:05Z', 7)])).toEqual({
      inserted: 0,
      ignored: 0,
      merged: 1,
    })
    await whole.tm.insertUnknown('requests', [...late, row('2026-01-02T03:04:05Z', 7)])
    await refresh()
    for (const name of ['hourly', 'daily', 'odd'])
      expect(await cellsOf(engine, name)).toEqual(await cellsOf(whole, name))
    expect(await answers(engine)).toEqual(await answers(whole))
    const { rows } = await engine.test.db.query(raw(`select count(*)::int4 from requests`))
    expect(rows[0]![0]).toBe(30)
  })
})
