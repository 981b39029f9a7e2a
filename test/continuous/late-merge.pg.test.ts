import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  continuousAggregate,
  count,
  countDistinct,
  createTidemark,
  defineConfig,
  first,
  histogram,
  hypertable,
  last,
  max,
  min,
  percentile,
  rate,
  stddev,
  sum,
  t,
  topK,
  uniques,
} from '../../src/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { writeFile } from '../ingest/files.ts'

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
  models: uniques('ms'),
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
  const expire2 = async (names: readonly string[]) => {
    for (const name of names) await engine.tm.refresh(name)
    return engine.tm.expire('requests')
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

  it('is counted by the next query, though its answer was kept', async () => {
    await expire()
    const ask = async () =>
      (await engine.tm.queryUnknown('daily', { by: [], select: { n: 'n' } })).rows.map((one) => one['n'])
    const before = await ask()
    expect(await ask()).toEqual(before)
    await engine.tm.insertUnknown('requests', [row('2026-01-01T05:00:00Z')])
    const after = await ask()
    expect(after[0]).toBe(Number(before[0]) + 1)
    expect(after.slice(1)).toEqual(before.slice(1))
  })

  it('goes its own way among many of one call, and what is stored in a bucket without its other part is counted, too', async () => {
    await expire()
    // the 3rd is there, and the day of Berlin that it is most of began in what is dropped
    const rows = [...at('01', 150, 1), ...at('03', 150, 2), ...at('08', 150, 3), ...at('14', 10, 4)]
    expect(await engine.tm.insertCounted('requests', rows)).toEqual({
      inserted: 310,
      ignored: 0,
      merged: 150,
    })
    await whole.tm.insertUnknown('requests', rows)
    await refresh()
    expect(await answers(engine)).toEqual(await answers(whole))
    await engine.tm.expire('requests')
    expect(await answers(engine)).toEqual(await answers(whole))
  })

  it('is merged from a file, once, wherever the import was interrupted', async () => {
    await expire()
    const days = Array.from({ length: 240 }, (_, i) => ['01', '02', '08'][i % 3] as string)
    const lines = days.map((day, i) => {
      const time = `2026-01-${day}T05:00:${String(i % 60).padStart(2, '0')}Z`
      return `${time},t1,b,${i},0.5,1.5`
    })
    const file = writeFile('late.csv', `time,team,model,ms,cost,price\n${lines.join('\n')}\n`)
    const stop = new AbortController()
    const importing = (signal: AbortSignal | null) =>
      engine.tm.import('requests', file, {
        batchRows: 20,
        signal,
        onProgress: ({ rows }: { readonly rows: number }) => {
          if (rows >= 60) stop.abort()
        },
      } as never)
    await expect(importing(stop.signal)).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    const report = await importing(null)
    expect(report).toMatchObject({ rows: 240, dead: 0, isResumed: true })
    expect((report.merged as number) + report.inserted).toBe(report.recordsThisRun)
    await whole.tm.import('requests', file, {} as never)
    await refresh()
    expect(await answers(engine)).toEqual(await answers(whole))
  })

  it('is refused where no aggregate knows its time; one that knows nothing goes on saying so', async () => {
    await engine.test.db.query(raw(`select tidemark.drop_aggregate('public.daily')`))
    await expire2(['hourly', 'odd'])
    await engine.tm.migrate()
    // made anew, it begins where rows are
    await engine.tm.refresh('daily')
    const late = row('2026-01-01T05:00:00Z')
    expect(await engine.tm.insertCounted('requests', [late])).toMatchObject({ merged: 1 })
    const { rows, plan } = await engine.tm.queryUnknown('daily', {})
    expect(rows.every(({ bucket }) => (bucket as string) >= '2026-01-03')).toBe(true)
    expect(plan.partial).not.toBeNull()
    for (const name of ['hourly', 'odd'])
      await engine.test.db.query(raw(`select tidemark.drop_aggregate('public.${name}')`))
    await expect(engine.tm.insertCounted('requests', [late])).rejects.toThrow(
      'a row is of 2026-01-01T05:00:00Z, and no continuous aggregate keeps that time, but retention has dropped',
    )
  })
})

describe('what cannot be merged', () => {
  const keyed = hypertable('public.keyed', {
    columns: { time: t.timestamptz(), device: t.text(), value: t.float8() },
    time: 'time',
    primaryKey: ['device', 'time'],
    chunk: '1 day',
    retain: '10 days',
    late: 'merge',
  })
  const inBerlin = continuousAggregate('public.in_berlin', {
    from: keyed,
    bucket: { every: '1 day', zone: 'Europe/Berlin' },
    select: { n: count() },
    retain: '20 days',
  })
  const reading = (time: string, device = 'a') => ({ time, device, value: 1 })

  it('is a row whose key would have to be looked for', async () => {
    clock.set(parseInstant('2026-01-05T12:00:00Z'))
    const engine = await createTestEngine(defineConfig({ datasets: [keyed, inBerlin] }), { clock })
    const { tm } = engine
    await tm.insertUnknown(
      'keyed',
      ['01', '02', '08'].map((day) => reading(`2026-01-${day}T05:00:00Z`)),
    )
    clock.set(parseInstant('2026-01-14T12:00:00Z'))
    await tm.refresh('in_berlin')
    expect(await tm.expire('keyed')).toMatchObject({ chunks: 2 })
    const way = /insert it without onConflict: then it is merged/
    for (const time of ['2026-01-01T05:00:00Z', '2026-01-03T05:00:00Z']) {
      const late = [reading(time, 'b')]
      await expect(tm.upsertUnknown('keyed', late)).rejects.toThrow(way)
      await expect(tm.insertUnknown('keyed', late, { onConflict: 'ignore' })).rejects.toThrow(way)
      expect(await tm.insertUnknown('keyed', late)).toBe(1)
    }
    // a row that is there is not written again
    const again = await tm.insertCounted('keyed', [reading('2026-01-03T05:00:00Z', 'b')], {
      onConflict: 'ignore',
    })
    expect(again).toEqual({ inserted: 0, ignored: 1, merged: 0 })
    // and beyond the bucket nothing is different
    expect(await tm.upsertUnknown('keyed', [reading('2026-01-03T23:00:00Z', 'b')])).toBe(1)
    const { rows } = await tm.queryUnknown('in_berlin', {})
    expect(rows.map(({ n }) => n)).toEqual([2, 1, 1, 1, 1])

    // cells that the aggregate does not keep any more are not begun again
    clock.set(parseInstant('2026-01-22T12:00:00Z'))
    await tm.refresh('in_berlin')
    await expect(tm.insertUnknown('keyed', [reading('2026-01-01T06:00:00Z', 'c')])).rejects.toThrow(
      'no continuous aggregate keeps that time',
    )
    await engine.close()
  })

  it('is not a row of a past that is still there, however many of them come and have their keys compared', async () => {
    clock.set(parseInstant('2026-01-05T12:00:00Z'))
    const engine = await createTestEngine(defineConfig({ datasets: [keyed, inBerlin] }), { clock })
    const { tm } = engine
    await tm.insertUnknown('keyed', [reading('2026-01-01T05:00:00Z'), reading('2026-01-05T05:00:00Z')])
    clock.set(parseInstant('2026-01-14T12:00:00Z'))
    await tm.refresh('in_berlin')
    expect(await tm.expire('keyed')).toMatchObject({ chunks: 1 })
    const many = Array.from({ length: 3000 }, (_, i) => reading('2026-01-07T05:00:00Z', `d${i}`))
    expect(await tm.insertUnknown('keyed', many, { onConflict: 'ignore' })).toBe(3000)
    expect(await tm.upsertUnknown('keyed', many)).toBe(3000)
    const late = [...many, reading('2026-01-01T05:00:00Z', 'late')]
    await expect(tm.upsertUnknown('keyed', late)).rejects.toThrow(/insert it without onConflict/)
    await engine.close()
  })

  it('is a state that depends on the order of rows: it is refused when it is declared', () => {
    const ordered = (base: typeof keyed) =>
      continuousAggregate('public.rates', {
        from: base,
        bucket: '1 hour',
        by: ['device'],
        select: { n: count(), up: rate('value') },
      })
    expect(() => ordered(keyed)).toThrow(
      /\.select\.up: depends on the order of rows, and public\.keyed merges late ones/,
    )
  })

  it('is a state that depends on the order of rows: migrate names the aggregate that is left', async () => {
    const plain = hypertable('public.plain', {
      columns: keyedColumns,
      time: 'time',
      chunk: '1 day',
      retain: '10 days',
    })
    const rates = continuousAggregate('public.rates', {
      from: plain,
      bucket: '1 hour',
      by: ['device'],
      select: { up: rate('value') },
    })
    const engine = await createTestEngine(defineConfig({ datasets: [plain, rates] }), { clock })
    const merging = hypertable('public.plain', {
      columns: keyedColumns,
      time: 'time',
      chunk: '1 day',
      retain: '10 days',
      late: 'merge',
    })
    const next = await createTidemark(defineConfig({ datasets: [merging] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await expect(next.migrate()).rejects.toThrow(
      /"up" of public\.rates, which is declared no more, depends on the order/,
    )
    await engine.test.db.query(raw(`select tidemark.drop_aggregate('public.rates')`))
    const { steps } = await next.migrate()
    expect(steps.map(({ sentence }) => sentence)).toEqual(['changes late null → "merge" of public.plain'])
    await next.close()
    await engine.close()
  })

  it('is a state that depends on the order of rows, of an aggregate nobody has looked at: each row of its time is refused, the others are written', async () => {
    clock.set(parseInstant('2026-01-05T12:00:00Z'))
    const plain = hypertable('public.plain', {
      columns: keyedColumns,
      time: 'time',
      chunk: '1 day',
      retain: '10 days',
    })
    const rates = continuousAggregate('public.rates', {
      from: plain,
      bucket: '1 hour',
      by: ['device'],
      select: { up: rate('value') },
    })
    const engine = await createTestEngine(defineConfig({ datasets: [plain, rates] }), { clock })
    // two pieces of dropped time, with a day between them that never had a chunk
    const days = ['01', '03', '14']
    await engine.tm.insertUnknown(
      'plain',
      days.map((day) => reading(`2026-01-${day}T05:00:00Z`)),
    )
    clock.set(parseInstant('2026-01-15T12:00:00Z'))
    await engine.tm.refresh('rates')
    expect(await engine.tm.expire('plain')).toMatchObject({ chunks: 2 })
    const merging = { ...plain, late: 'merge' as const }
    const next = await createTidemark(defineConfig({ datasets: [merging] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    const report = await next.ingestUnknown('plain', [
      reading('2026-01-14T06:00:00Z'),
      reading('2026-01-03T06:00:00Z'),
      reading('2026-01-14T07:00:00Z'),
      reading('2026-01-01T06:00:00Z'),
    ])
    expect(report).toMatchObject({ inserted: 2, merged: 0, rejected: { count: 2 } })
    expect(report.rejected.rows).toMatchObject([
      { index: 1, reason: 'expired', message: expect.stringContaining('rows from 2026-01-03T00:00:00Z to') },
      { index: 3, reason: 'expired', message: expect.stringContaining('rows from 2026-01-01T00:00:00Z to') },
    ])
    await next.close()
    await engine.close()
  })
})

const keyedColumns = { time: t.timestamptz(), device: t.text(), value: t.float8() }
