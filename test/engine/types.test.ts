import { describe, expectTypeOf, it } from 'vitest'
import {
  avg,
  count,
  countDistinct,
  first,
  histogram,
  max,
  percentile,
  sum,
  type Tidemark,
  uniques,
} from '../../src/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    user_id: t.text().nullable(),
    latency_ms: t.float8(),
    tokens: t.int4(),
    bytes: t.int8(),
    cost: t.numeric().nullable(),
    properties: t.jsonb<{ plan: string }>().nullable(),
  },
  time: 'time',
})
const config = defineConfig({ datasets: [requests] })
declare const tm: Tidemark<typeof config>

/** Only types: the functions are never called. */
describe('the type of an answer', () => {
  it('follows from an aggregate query', () => {
    const ask = () =>
      tm.query(requests, {
        bucket: '1 hour',
        by: ['model', 'properties.plan'],
        select: {
          n: count(),
          tokens: sum('tokens'),
          bytes: sum('bytes'),
          cost: sum('cost'),
          mean: avg('latency_ms'),
          most: max('latency_ms'),
          one: first('model'),
          p95: percentile('latency_ms', 0.95),
          users: uniques('user_id'),
          exact: countDistinct('user_id'),
          spread: histogram('latency_ms', [1, 2]),
        },
      })
    type Row = Awaited<ReturnType<typeof ask>>['rows'][number]
    expectTypeOf<Row['bucket']>().toEqualTypeOf<string>()
    expectTypeOf<Row['model']>().toEqualTypeOf<string>()
    expectTypeOf<Row['properties.plan']>().toEqualTypeOf<string | null>()
    expectTypeOf<Row['n']>().toEqualTypeOf<number>()
    expectTypeOf<Row['tokens']>().toExtend<bigint | null>()
    expectTypeOf<Row['bytes']>().toExtend<string | bigint | null>()
    expectTypeOf<Row['cost']>().toEqualTypeOf<string | null>()
    expectTypeOf<Row['p95']>().toExtend<number | null>()
    expectTypeOf<Row['users']>().toExtend<number | bigint | null>()
    expectTypeOf<Row['spread']>().toExtend<readonly (number | bigint)[] | null>()
  })

  it('follows from the columns of a rows query', () => {
    const ask = () => tm.query(requests, { columns: ['time', 'bytes', 'properties'] })
    type Row = Awaited<ReturnType<typeof ask>>['rows'][number]
    expectTypeOf<Row['time']>().toEqualTypeOf<string>()
    expectTypeOf<Row['bytes']>().toEqualTypeOf<bigint>()
    expectTypeOf<Row['properties']>().toEqualTypeOf<{ plan: string } | null>()
    expectTypeOf<keyof Row>().toEqualTypeOf<'time' | 'bytes' | 'properties'>()
  })

  it('refuses what cannot be asked', () => {
    const wrong = () => {
      // @ts-expect-error there is no such column
      void tm.query(requests, { select: { n: sum('latency') } })
      // @ts-expect-error text has no sum
      void tm.query(requests, { select: { n: sum('model') } })
      // @ts-expect-error there is no such group
      void tm.query(requests, { by: ['modell'], select: { n: count() } })
      // @ts-expect-error there is no such output to order by
      void tm.query(requests, { select: { n: count() }, order: ['-m'] })
      // @ts-expect-error a misspelt key
      void tm.query(requests, { select: { n: count() }, bucketed: '1 hour' })
      // @ts-expect-error a text is no number
      void tm.query(requests, { where: { latency_ms: { gt: 'slow' } }, select: { n: count() } })
    }
    expectTypeOf(wrong).toBeFunction()
  })

  it('holds for what is written', () => {
    const wrong = () => {
      void tm.insert(requests, [{ time: new Date(), model: 'a', latency_ms: 1, tokens: 1, bytes: 1n }])
      // @ts-expect-error the model is missing
      void tm.insert(requests, [{ time: new Date(), latency_ms: 1, tokens: 1, bytes: 1n }])
      // @ts-expect-error there is no such column
      void tm.update(requests, { where: { model: 'a' }, set: { latency: 1 } })
    }
    expectTypeOf(wrong).toBeFunction()
  })
})
