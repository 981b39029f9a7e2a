import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const metrics = hypertable('public.metrics', {
  columns: { time: t.timestamptz(), device: t.int4(), value: t.float8().nullable() },
  time: 'time',
  chunk: '7 days',
})
const config = defineConfig({ datasets: [metrics] })

let engine: TestEngine<typeof config>
const day = (n: number): string => `2022-01-0${n}T00:00:00Z`

beforeAll(async () => {
  engine = await createTestEngine(config)
  await engine.tm.insert(metrics, [
    { time: '2021-12-30T12:00:00Z', device: 1, value: 40 },
    { time: '2022-01-01T01:00:00Z', device: 1, value: 10 },
    { time: '2022-01-01T02:00:00Z', device: 1, value: 20 },
    { time: '2022-01-02T03:00:00Z', device: 1, value: null },
    { time: '2022-01-04T03:00:00Z', device: 1, value: 35 },
    { time: '2022-01-03T03:00:00Z', device: 2, value: 7 },
    { time: '2022-01-08T03:00:00Z', device: 2, value: 9 },
  ])
})
afterAll(() => engine.close())

/** Each row as the list of its values. */
async function ask(text: string, parameters: readonly unknown[] = []): Promise<unknown[][]> {
  return (await engine.tm.sql(text, parameters)).rows.map((row) => Object.values(row))
}

const january = `time >= '2022-01-01 00:00+00' and time < '2022-01-06 00:00+00'`

describe('time_bucket_gapfill', () => {
  it('adds the buckets that are missing, to each group, between the bounds of WHERE', async () => {
    const days = await ask(`
      SELECT time_bucket_gapfill('1 day', time) AS day, device, avg(value), count(*)
      FROM metrics WHERE ${january} GROUP BY day, device ORDER BY device, day`)
    expect(days).toEqual([
      [day(1), 1, 15, 2n],
      [day(2), 1, null, 1n],
      [day(3), 1, null, null],
      [day(4), 1, 35, 1n],
      [day(5), 1, null, null],
      [day(1), 2, null, null],
      [day(2), 2, null, null],
      [day(3), 2, 7, 1n],
      [day(4), 2, null, null],
      [day(5), 2, null, null],
    ])
  })

  it('takes start and finish, by place or by name, before what WHERE says', async () => {
    for (const bounds of [
      `timestamptz '2022-01-03 12:00+00', timestamptz '2022-01-05 00:00:01+00'`,
      `finish => timestamptz '2022-01-05 00:00:01+00', start => timestamptz '2022-01-03 12:00+00'`,
    ])
      expect(
        await ask(`select time_bucket_gapfill('1 day', time, ${bounds}), max(device)
          from metrics where time > '2022-01-03 20:00+00' group by 1`),
      ).toEqual([
        [day(3), null],
        [day(4), 1],
        [day(5), null],
        // a row outside start and finish is a row all the same
        [day(8), 2],
      ])
  })

  it('takes every bound that WHERE states, the query parameters too', async () => {
    const rows = await ask(
      `select time_bucket_gapfill('1 day', m.time) as day from metrics m
       where m.time between $1 and '2022-01-09 00:00+00' and $2::timestamptz > time and device = 1 group by 1`,
      ['2022-01-02T00:00:00Z', '2022-01-04T00:00:00Z'],
    )
    expect(rows.map(([at]) => at)).toEqual([day(2), day(3)])
  })

  it('has the buckets of a query without rows where it groups by time alone', async () => {
    const query = (by: string): string =>
      `select time_bucket_gapfill('1 day', time) as day, sum(value) from metrics where ${january} and false group by ${by}`
    expect((await ask(query('1'))).length).toBe(5)
    expect(await ask(query('1, device'))).toEqual([])
  })

  it('computes expressions, windows, ORDER BY and LIMIT over the filled rows', async () => {
    const rows = await ask(`
      select time_bucket_gapfill('1 day', time) as day, coalesce(sum(value), 0), 'device ' || device,
        row_number() over (partition by device order by time_bucket_gapfill('1 day', time))
      from metrics where ${january} group by day, device order by day desc, device limit 3`)
    expect(rows).toEqual([
      [day(5), 0, 'device 1', 5n],
      [day(5), 0, 'device 2', 5n],
      [day(4), 35, 'device 1', 4n],
    ])
  })

  it('has the buckets of time_bucket in a zone, where clocks are set too', async () => {
    const rows = await ask(`
      select time_bucket_gapfill('1 hour', time, 'Europe/Berlin', '2024-10-26 23:00+00', '2024-10-27 02:00+00')
      from metrics where false group by 1`)
    expect(rows.flat()).toEqual(['2024-10-26T23:00:00Z', '2024-10-27T00:00:00Z', '2024-10-27T01:00:00Z'])
    const months = await ask(`
      select time_bucket_gapfill('1 month', time, 'Europe/Berlin', '2022-02-10 00:00+00', '2022-05-01 00:00+00')
      from metrics where false group by 1`)
    expect(months.flat()).toEqual([
      '2022-01-31T23:00:00Z',
      '2022-02-28T23:00:00Z',
      '2022-03-31T22:00:00Z',
      '2022-04-30T22:00:00Z',
    ])
  })

  it('fills integers and dates, in a subquery, a CTE and a join', async () => {
    expect(
      await ask(
        `select time_bucket_gapfill(10, t, 5, 40) as t, count(*)::int4 from (values (11), (22)) v(t) group by 1`,
      ),
    ).toEqual([
      [0, null],
      [10, 1],
      [20, 1],
      [30, null],
    ])
    expect(
      await ask(`
        with weeks as (
          select time_bucket_gapfill('1 week', time::date, '2022-01-01'::date, '2022-01-12'::date) as week, count(*) as n
          from metrics group by 1)
        select w.week, coalesce(w.n, 0)::int4, d.n
        from weeks w left join lateral (
          select count(*)::int4 as n from metrics m where time_bucket('1 week', m.time::date) = w.week) d on true
        order by 1`),
    ).toEqual([
      ['2021-12-27', 4, 4],
      ['2022-01-03', 3, 3],
      ['2022-01-10', 0, 0],
    ])
  })
})

describe('locf', () => {
  const query = (call: string): Promise<unknown[][]> =>
    ask(`select time_bucket_gapfill('1 day', time) as day, ${call} from metrics m1
      where ${january} and device = 1 group by 1, device`).then((rows) =>
      rows.map(([, value]) => value as never),
    )

  it('carries the value of the last bucket, also where that is null', async () => {
    expect(await query('locf(avg(value))')).toEqual([15, null, null, 35, 35])
  })

  it('carries over nulls with treat_null_as_missing', async () => {
    expect(await query('locf(avg(value), treat_null_as_missing => true)')).toEqual([15, 15, 15, 35, 35])
  })

  it('begins with prev where the first bucket is missing, and asks for it only there', async () => {
    const of = (device: number): Promise<unknown[][]> =>
      ask(`select time_bucket_gapfill('1 day', time) as day, device,
          locf(avg(value), (select value from metrics m2 where m2.device = m1.device and m2.time > '2022-01-06 00:00+00'
            and 1 / (m2.device - 1) > 0 order by time limit 1))
        from metrics m1 where ${january} and device = ${device} group by 1, 2`)
    expect((await of(2)).map((row) => row[2])).toEqual([9, 9, 7, 7, 7])
    // the division by zero is not reached
    expect((await of(1)).map((row) => row[2])).toEqual([15, null, null, 35, 35])
  })
})

describe('interpolate', () => {
  it('draws a line between two buckets, and none to a null', async () => {
    const rows = await ask(`
      select time_bucket_gapfill(10, t, 0, 60), interpolate(min(v)) as a, interpolate(min(v)::int4) as b, interpolate(min(w)) as c
      from (values (0, 1.0::float8, null::int8), (20, 3.0, 2), (50, 7.5, 5)) r(t, v, w) group by 1`)
    expect(rows).toEqual([
      [0, 1, 1, null],
      [10, 2, 2, null],
      [20, 3, 3, 2n],
      [30, 4.5, 5, 3n],
      [40, 6, 6, 4n],
      [50, 7.5, 8, 5n],
    ])
  })

  it('begins at prev and ends at next, by group', async () => {
    const rows = await ask(`
      select time_bucket_gapfill(5, t, 0, 11), device,
        interpolate(min(v), (select (-10, -10)), (select (20, 10 * r.device)))
      from (values (5, 1, 0), (5, 2, 0)) r(t, device, v) group by 1, 2 order by 2, 1`)
    expect(rows).toEqual([
      [0, 1, -3],
      [5, 1, 0],
      [10, 1, 3],
      [0, 2, -3],
      [5, 2, 0],
      [10, 2, 7],
    ])
    const times = await ask(`
      select time_bucket_gapfill('1 day', time, start => '2021-12-31 00:00+00', finish => '2022-01-02 00:00+00'),
        interpolate(avg(value), (select (m2.time, m2.value) from metrics m2 where m2.time < '2021-12-31 00:00+00'))
      from metrics m1 where time >= '2022-01-01 00:00+00' and time < '2022-01-02 00:00+00' group by 1`)
    expect(times[0]?.[1]).toBeCloseTo(40 - 25 * (12 / 36), 9)
  })
})

describe('what cannot be filled', () => {
  it.each([
    ['select time_bucket_gapfill(1, t) from (values (1)) v(t) group by 1', 'has no start'],
    [
      'select time_bucket_gapfill(1, t) from (values (1)) v(t) where t > 0 or t < 5 group by 1',
      'has no start',
    ],
    ['select time_bucket_gapfill(1, t, 0, 5) from (values (1)) v(t)', 'without GROUP BY'],
    [
      'select 1 + time_bucket_gapfill(1, t, 0, 5) from (values (1)) v(t) group by 1',
      'is not what the query groups by',
    ],
    ['select time_bucket_gapfill(t, t, 0, 5) from (values (1)) v(t) group by 1', 'width depends on rows'],
    [
      'select time_bucket_gapfill(1, t, 0, 5), v from (values (1, 2)) v(t, v) group by 1',
      'v is neither grouped',
    ],
    [
      'select time_bucket_gapfill(1, t, 0, 5), locf(locf(min(t))) from (values (1)) v(t) group by 1',
      'inside locf',
    ],
    [
      'select time_bucket_gapfill(1, t, 0, 5), min(locf(t)) from (values (1)) v(t) group by 1',
      'inside an aggregate',
    ],
    ['select time_bucket_gapfill(1, t, 0, 5) from (values (1)) v(t) group by rollup (1)', 'ROLLUP'],
    ['select time_bucket_gapfill(1, t, 0, 5) from', 'is not SQL'],
  ])('%s', async (text, problem) => {
    await expect(engine.tm.sql(text)).rejects.toMatchObject({
      code: 'TM_GAPFILL',
      message: expect.stringContaining(problem),
    })
  })

  it('is refused by PostgreSQL when it was not rewritten, also where it would have no rows', async () => {
    for (const call of [
      `time_bucket_gapfill('1 day', time)`,
      `time_bucket_gapfill('1 day', time, 'Europe/Berlin', now(), now())`,
      'locf(max(value))',
      'locf(max(value), 1::float8, true)',
      'interpolate(max(value))',
      'interpolate(max(value), (1, 2), (3, 4))',
    ])
      await expect(
        engine.test.db.query(raw(`select tidemark.${call} from metrics where false group by time`)),
      ).rejects.toThrow('TM_GAPFILL: PostgreSQL cannot fill gaps inside a GROUP BY')
  })

  it('gives plain SQL to use elsewhere', async () => {
    const plain = await engine.tm.plainSql(
      `select time_bucket_gapfill('1 day', time) as day, locf(max(value)) from metrics where ${january} group by 1`,
    )
    expect(plain).not.toContain('time_bucket_gapfill')
    await engine.test.db.execute(`create view filled as ${plain}`)
    expect((await engine.test.db.query(raw('select count(*)::int4 from filled'))).rows).toEqual([[5]])
  })
})
