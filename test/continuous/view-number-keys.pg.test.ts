import { afterEach, beforeEach, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { count, percentile, topK, uniques } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const readings = hypertable('metrics.readings', {
  columns: {
    time: t.timestamptz(),
    level: t.float8().nullable(),
    price: t.numeric().nullable(),
    value: t.float8(),
    who: t.text(),
  },
  time: 'time',
  chunk: '1 day',
})
const hourly = continuousAggregate('metrics.hourly', {
  from: readings,
  bucket: '1 hour',
  by: ['level', 'price'],
  select: { n: count(), middle: percentile('value', 0.5), who: uniques('who'), most: topK('who', 1) },
})
const config = defineConfig({ datasets: [readings, hourly] })

let engine: TestEngine<typeof config>
beforeEach(async () => {
  engine = await createTestEngine(config)
})
afterEach(() => engine.close())

it('the SQL view joins the states of cells whose keys are equal numbers of different texts', async () => {
  const { tm, test } = engine
  const keys = [
    [0, '1.0'],
    [-0, '1.00'],
    [null, null],
    [null, '1'],
    [Number.NaN, 'NaN'],
    [0, null],
  ] as const
  await tm.insert(
    readings,
    keys.flatMap(([level, price], i) =>
      [1, 2].map((value) => ({
        time: new Date(Date.UTC(2026, 0, 1, 0, i)),
        ...{ level, price, value, who: `u${i}` },
      })),
    ),
  )
  const shown = async (): Promise<unknown[][]> =>
    (
      await test.db.query(
        raw(`select level::text, trim_scale(price)::text, n::int4, middle is not null, who::int4, most is not null
          from metrics.hourly order by 1, 2`),
      )
    ).rows as unknown[][]
  const cells = [
    ['0', '1', 4, true, 2, true],
    ['0', null, 2, true, 1, true],
    ['NaN', 'NaN', 2, true, 1, true],
    [null, '1', 2, true, 1, true],
    [null, null, 2, true, 1, true],
  ]
  const plain = (rows: unknown[][]): unknown[][] =>
    rows.map(([level, ...rest]) => [level === '-0' ? '0' : level, ...rest])
  expect(plain(await shown())).toEqual(cells)
  await tm.refresh('metrics.hourly')
  expect(plain(await shown())).toEqual(cells)
})
