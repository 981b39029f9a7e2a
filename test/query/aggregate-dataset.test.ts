import { describe, expect, expectTypeOf, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import {
  type AggregateQueryNode,
  type Answer,
  type CheckedQuery,
  canonicalFilter,
  cellColumns,
  count,
  materializationOf,
  parseQuery,
  percentile,
  type QueryInput,
  type QueryRow,
  sum,
} from '../../src/query/index.ts'
import {
  type ContinuousAggregateDefinition,
  type Database,
  defineConfig,
  hypertable,
  t,
  table,
} from '../../src/schema/index.ts'
import { fixedClock, formatInstant } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    model: t.text(),
    status: t.text().nullable(),
    userId: t.int8(),
    latencyMs: t.float8(),
    tokens: t.int4(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
})
const models = table('metrics.models', {
  columns: { model: t.text(), vendor: t.text(), rank: t.int4().nullable() },
  primaryKey: ['model'],
})
const hourly = continuousAggregate('aggregates.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model', 'status', 'properties.plan'],
  where: { tokens: { gt: 0 } },
  select: { n: count(), p95: percentile('latencyMs', 0.95), tokens: sum('tokens') },
  dimensions: {
    vendor: { table: models, on: { model: 'model' }, column: 'vendor' },
    rank: { table: models, on: { model: 'model' }, column: 'rank' },
  },
})
const daily = continuousAggregate('aggregates.daily', {
  from: hourly,
  bucket: { every: '1 day', zone: 'Europe/Berlin' },
  by: ['model'],
  where: { status: 'ok' },
  select: { n: 'n', tokens: 'tokens' },
})

const clock = fixedClock(BigInt(Date.UTC(2026, 5, 15, 10, 30)) * 1000n)
const ask = (query: unknown, dataset: ContinuousAggregateDefinition = hourly) =>
  parseQuery(query, { dataset, clock }) as AggregateQueryNode
const problemOf = (query: unknown, dataset: ContinuousAggregateDefinition = hourly): string => {
  try {
    ask(query, dataset)
  } catch (error) {
    if (isTidemarkError(error) && error.code === 'TM_QUERY') return error.message
    throw error
  }
  return 'none'
}
const rangeOf = (query: unknown, dataset: ContinuousAggregateDefinition = hourly) => {
  const { range } = ask(query, dataset)
  return range && [formatInstant(range.from), formatInstant(range.to)]
}

describe('a question to a continuous aggregate', () => {
  it('without anything is for every cell, by its own bucket and all keys', () => {
    const node = ask({})
    expect(node).toMatchObject({
      kind: 'aggregate',
      dataset: requests,
      of: hourly,
      bucket: hourly.bucket,
      range: null,
    })
    expect(node.by.map(({ name }) => name)).toEqual(['tenant', 'model', 'status', 'properties.plan'])
    expect(node.select.map(({ name }) => name)).toEqual(['n', 'p95', 'tokens'])
    expect(cellColumns(hourly).map(({ name, type }) => `${name} ${type}`)).toEqual([
      'bucket timestamptz',
      'tenant text',
      'model text',
      'status text',
      'properties.plan text',
      'n count',
      'p95 float8',
      'tokens int8',
      'vendor text',
      'rank int4',
    ])
  })

  it('has the filter of the aggregate and its own', () => {
    expect(canonicalFilter(ask({ where: { model: 'a' } }).where)).toBe(
      canonicalFilter(
        parseQuery(
          { where: { tokens: { gt: 0 }, model: 'a' }, select: { n: { fn: 'count' } } },
          { dataset: requests, clock },
        ).where,
      ),
    )
    expect(canonicalFilter(ask({}, daily).where)).toBe(canonicalFilter(materializationOf(daily).where))
  })

  it('names outputs, or what is finished from the same state', () => {
    const { select } = ask({ select: { all: 'n', p50: percentile('latencyMs', 0.5), p95: 'p95' } })
    expect(select.map(({ name, aggregate: { fn, quantile } }) => [name, fn, quantile])).toEqual([
      ['all', 'count', null],
      ['p50', 'percentile', 0.5],
      ['p95', 'percentile', 0.95],
    ])
  })

  it('is about the buckets that begin in the range', () => {
    expect(rangeOf({ from: '2026-01-01T00:00:00Z', to: '2026-01-01T02:00:00Z' })).toEqual([
      '2026-01-01T00:00:00Z',
      '2026-01-01T02:00:00Z',
    ])
    expect(rangeOf({ from: '2026-01-01T00:00:01Z', to: '2026-01-01T02:00:01Z' })).toEqual([
      '2026-01-01T01:00:00Z',
      '2026-01-01T03:00:00Z',
    ])
    expect(rangeOf({ from: '-2 hours', to: 'now' })).toEqual(['2026-06-15T09:00:00Z', '2026-06-15T11:00:00Z'])
    // days and dates of Berlin, across the day with 23 hours
    expect(rangeOf({ from: '2026-03-29', to: '2026-03-30' }, daily)).toEqual([
      '2026-03-28T23:00:00Z',
      '2026-03-29T22:00:00Z',
    ])
    expect(rangeOf({ from: '2026-03-29', zone: 'UTC', to: '2026-03-30' }, daily)).toEqual([
      '2026-03-29T22:00:00Z',
      '2026-03-30T22:00:00Z',
    ])
  })

  it('may have a longer bucket, or none', () => {
    expect(ask({ bucket: '1 day' }).bucket).toMatchObject({ every: { text: '1 day' }, zone: null })
    expect(ask({ bucket: '1 day', zone: 'Europe/Berlin' }).bucket).toMatchObject({ zone: 'Europe/Berlin' })
    expect(ask({ bucket: '1 month' }, daily).bucket).toMatchObject({ zone: 'Europe/Berlin' })
    expect(ask({ bucket: null }).bucket).toBeNull()
  })

  it.each([
    [
      { bucket: '30 minutes' },
      /bucket: '30 minutes' is finer than the aggregate's own bucket of '1 hour'; ask '1 hour' or/,
    ],
    [{ bucket: '90 minutes' }, /bucket: /],
    [{ bucket: '1 day', zone: 'Asia/Kolkata' }, /bucket: .*inside of/],
    [{ by: ['user'] }, /by\[0\]: aggregates\.hourly has no key "user"/],
    [{ by: ['model', 'model'] }, /by\[1\]: "model" is there twice/],
    [{ where: { latencyMs: { gt: 1 } } }, /where\.latencyMs: aggregates\.hourly has no key/],
    [{ where: { 'properties.plan': 'pro' } }, /kept as text.*having/],
    [{ where: { rank: 'first' } }, /where\.rank: .*not a whole number/],
    [{ select: { n: 'm' } }, /select\.n: aggregates\.hourly has no output "m"; did you mean "n"/],
    [{ select: { n: sum('latencyMs') } }, /select\.n: aggregates\.hourly does not keep what sum is made of/],
    [{ select: { n: count({ where: { status: 'ok' } }) } }, /select\.n: .*does not keep/],
    [{ select: {} }, /select: it is empty/],
    [{ select: { model: 'n' }, by: ['model'] }, /select\.model: "model" is already the name/],
    [{ order: ['x'] }, /order\[0\]: the query has no output "x"/],
    [{ having: { x: 1 } }, /having\.x: the query has no output/],
    [
      { latestBy: ['model'] },
      /latestBy: aggregates\.hourly is a continuous aggregate, which has no rows; ask metrics\.requests/,
    ],
    [{ cursor: 'x' }, /cursor: aggregates\.hourly is a continuous aggregate/],
    [{ columns: '*' }, /columns: /],
    [{ zone: 'Europe/Berlin' }, /zone: /],
    [{ nope: 1 }, /there is no "nope"/],
  ])('that cannot be answered is refused: %j', (query, expected) =>
    expect(problemOf(query)).toMatch(expected),
  )
})

/** As the engine's query is typed. */
declare function query<
  D extends typeof hourly | typeof daily | typeof requests,
  const Q extends QueryInput<D>,
>(dataset: D, input: Q & CheckedQuery<D, Q>): Answer<QueryRow<D, Q>>

describe('the types of an answer', () => {
  it('follow from the declaration and the question', () => {
    const check = () => {
      expectTypeOf(query(hourly, {}).rows).toEqualTypeOf<
        readonly {
          bucket: string
          tenant: string
          model: string
          status: string | null
          'properties.plan': string | null
          n: number
          p95: number | null
          tokens: bigint | null
        }[]
      >()
      expectTypeOf(query(daily, { from: '-7 days' }).rows).toEqualTypeOf<
        readonly { bucket: string; tenant: string; model: string; n: number; tokens: bigint | null }[]
      >()
      const { rows } = query(hourly, {
        bucket: '1 day',
        zone: 'Europe/Berlin',
        by: ['vendor', 'rank'],
        where: { vendor: { in: ['x'] }, model: { not: 'y' } },
        select: { requests: 'n', p50: percentile('latencyMs', 0.5) },
        order: ['-requests', 'vendor'],
        having: { requests: { gt: 1 } },
      })
      expectTypeOf(rows).toEqualTypeOf<
        readonly {
          bucket: string
          vendor: string | null
          rank: number | null
          requests: number
          p50: number | null
        }[]
      >()
      expectTypeOf(query(hourly, { bucket: null, select: { n: 'n' } }).rows).toEqualTypeOf<
        readonly { n: number }[]
      >()
      expectTypeOf(query(requests, { select: { n: count() } }).rows).toEqualTypeOf<readonly { n: number }[]>()
      // @ts-expect-error: no such key
      query(hourly, { by: ['userId'] })
      // @ts-expect-error: no such output
      query(hourly, { select: { n: 'm' } })
      // @ts-expect-error: no such column
      query(hourly, { select: { n: sum('nope') } })
      // @ts-expect-error: rows are not there
      query(hourly, { latestBy: ['model'] })
    }
    expect(check).toBeTypeOf('function')
  })

  it('of declarations are checked before they run', () => {
    const check = () => {
      const bucket = '1 hour'
      const select = { n: count() } as const
      // @ts-expect-error: no such column
      continuousAggregate('a.b', { from: requests, bucket, by: ['nope'], select })
      // @ts-expect-error: no such column
      continuousAggregate('a.b', { from: requests, bucket, select: { n: sum('nope') } })
      // @ts-expect-error: no such column
      continuousAggregate('a.b', { from: requests, bucket, where: { nope: 1 }, select })
      // @ts-expect-error: no number
      continuousAggregate('a.b', { from: requests, bucket, select: { n: sum('model') } })
      // @ts-expect-error: not kept by the one below
      continuousAggregate('a.b', { from: daily, bucket, by: ['status'], select: { n: 'n' } })
      // @ts-expect-error: no such output
      continuousAggregate('a.b', { from: daily, bucket, select: { n: 'p95' } })
      // @ts-expect-error: no such option
      continuousAggregate('a.b', { from: daily, bucket, select: { n: 'n' }, every: '1 minute' })
      const nope = { v: { table: models, on: { model: 'model' }, column: 'nope' } } as const
      // @ts-expect-error: no such column in the table
      continuousAggregate('a.b', { from: requests, bucket, by: ['model'], select, dimensions: nope })
    }
    expect(check).toBeTypeOf('function')
  })

  it('of the view are known to Kysely, and of the configuration what it lists', () => {
    const config = defineConfig({ datasets: [daily, hourly, requests, models] })
    expect(config.datasets).toEqual([requests, models])
    expect(config.aggregates).toEqual([hourly, daily])
    expectTypeOf(config.datasets).toEqualTypeOf<readonly [typeof requests, typeof models]>()
    expectTypeOf<keyof Database<typeof config>>().toEqualTypeOf<
      'metrics.requests' | 'metrics.models' | 'aggregates.hourly' | 'aggregates.daily'
    >()
    expectTypeOf<keyof Database<typeof config>['aggregates.daily']>().toEqualTypeOf<
      'bucket' | 'tenant' | 'model' | 'n' | 'tokens'
    >()
  })
})

describe('a configuration', () => {
  it.each([
    [
      'without what an aggregate stands on',
      [hourly, models],
      /aggregates\.hourly stands on metrics\.requests, which is not in the list/,
    ],
    ['without the aggregate below', [daily, requests], /aggregates\.daily stands on aggregates\.hourly/],
    ['without a table that is looked up', [hourly, requests], /stands on metrics\.models/],
    [
      'with a name twice',
      [requests, models, hourly, table('aggregates.hourly', { columns: { a: t.text() } })],
      /"aggregates\.hourly", which the aggregate/,
    ],
  ])('%s is refused', (_, datasets, expected) => expect(() => defineConfig({ datasets })).toThrow(expected))
})
