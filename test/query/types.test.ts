import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  type Answer,
  avg,
  type CheckedQuery,
  candlestick,
  count,
  countDistinct,
  defaultQueryLimits,
  executeQuery,
  first,
  histogram,
  last,
  max,
  min,
  type OutputRow,
  parseQuery,
  percentile,
  percentiles,
  type QueryInput,
  type QueryRow,
  stddev,
  sum,
  uniques,
  variance,
} from '../../src/query/index.ts'
import { type DatasetDefinition, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { createMemoryTier } from '../helpers/memory-tier.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    userId: t.text().nullable(),
    ok: t.bool(),
    latencyMs: t.float8().nullable(),
    tokens: t.int4(),
    bytes: t.int8(),
    cost: t.numeric(12, 6),
    properties: t.jsonb().nullable(),
    labels: t.textArray(),
  },
  time: 'time',
})

const clock = fixedClock(0n)

/** As the engine's query is typed. */
async function query<D extends DatasetDefinition, const Q extends QueryInput<D>>(
  dataset: D,
  input: Q & CheckedQuery<D, Q>,
): Promise<Answer<QueryRow<D, Q>>> {
  const tier = createMemoryTier({
    dataset,
    rows: [
      {
        time: 0n,
        model: 'a',
        ok: true,
        tokens: 3,
        bytes: 5n,
        cost: '1.5',
        latencyMs: 7,
        labels: [],
        properties: { plan: 'pro' },
      },
    ],
  })
  const answer = await executeQuery(parseQuery(input, { dataset, clock }), {
    tiers: [tier],
    snapshot: { id: '1:1:', takenAt: 0n },
    clock,
    signal: null,
    limits: defaultQueryLimits,
  })
  return answer as unknown as Answer<QueryRow<D, Q>>
}

describe('the types of an answer', () => {
  it('follow from functions and columns, and the values are of these types', async () => {
    const { rows } = await query(requests, {
      from: '1970-01-01',
      bucket: '1 hour',
      by: ['model', 'userId', 'properties.plan'],
      where: { ok: true, latencyMs: { gte: 1, lt: 100 }, 'properties.plan': { in: ['pro'] } },
      select: {
        n: count(),
        slow: count({ where: { latencyMs: { gt: 1000 } } }),
        known: count('userId'),
        tokens: sum('tokens'),
        bytes: sum('bytes'),
        cost: sum('cost'),
        latency: sum('latencyMs'),
        meanCost: avg('cost'),
        mean: avg('tokens'),
        p95: percentile('latencyMs', 0.95),
        several: percentiles('latencyMs'),
        ...candlestick('latencyMs', 'bytes'),
        users: uniques('userId'),
        models: countDistinct('model'),
        bars: histogram('latencyMs', [1, 10]),
        least: min('bytes'),
        newest: max('time'),
        firstModel: first('model'),
        lastOk: last('ok'),
        plan: last('properties.plan'),
        score: max('properties.score'),
        spread: stddev('tokens'),
        square: variance('cost'),
      },
      order: ['-n', 'bucket', '-properties.plan'],
      having: { n: { gt: 0 }, $or: [{ model: 'a' }, { tokens: null }] },
    })
    expectTypeOf(rows).toEqualTypeOf<
      readonly {
        bucket: string
        model: string
        userId: string | null
        'properties.plan': string | null
        n: number
        slow: number
        known: number
        tokens: bigint | null
        bytes: string | null
        cost: string | null
        latency: number | null
        meanCost: string | null
        mean: number | null
        p95: number | null
        several: readonly number[] | null
        open: number | null
        high: number | null
        low: number | null
        close: number | null
        volume: string | null
        users: number
        models: number
        bars: readonly number[]
        least: bigint | null
        newest: string | null
        firstModel: string | null
        lastOk: boolean | null
        plan: string | null
        score: number | null
        spread: number | null
        square: number | null
      }[]
    >()
    expect(rows).toHaveLength(1)
    expect(rows[0]).toMatchObject({
      bucket: '1970-01-01T00:00:00Z',
      model: 'a',
      userId: null,
      'properties.plan': 'pro',
      n: 1,
      slow: 0,
      known: 0,
      tokens: 3n,
      bytes: '5',
      meanCost: expect.stringMatching(/^1\.50*$/),
      mean: 3,
      users: 0,
      bars: [0, 1, 0],
      least: 5n,
      newest: '1970-01-01T00:00:00Z',
      lastOk: true,
      score: null,
      spread: null,
    })
  })

  it('have no bucket where none is asked, and null where gaps are filled with it', async () => {
    const whole = await query(requests, { select: { n: count() } })
    expectTypeOf(whole.rows).toEqualTypeOf<readonly { n: number }[]>()
    const filled = await query(requests, {
      from: '1970-01-01',
      to: '1970-01-01T02:00:00Z',
      bucket: '1 hour',
      select: { n: count(), tokens: sum('tokens') },
      fill: 'null',
    })
    expectTypeOf(filled.rows).toEqualTypeOf<
      readonly { bucket: string; n: number | null; tokens: bigint | null }[]
    >()
    expect(filled.rows[1]).toEqual({ bucket: '1970-01-01T01:00:00Z', n: null, tokens: null })
    const constant = await query(requests, {
      bucket: '1 hour',
      select: { n: count() },
      fill: { constant: 0 },
    })
    expectTypeOf(constant.rows).toEqualTypeOf<readonly { bucket: string; n: number }[]>()
  })

  it('are the columns of rows and of newest rows', async () => {
    const rows = await query(requests, { columns: ['time', 'bytes', 'labels'], direction: 'desc', limit: 5 })
    expectTypeOf(rows.rows).toEqualTypeOf<
      readonly { time: string; bytes: bigint; labels: (string | null)[] }[]
    >()
    const newest = await query(requests, { latestBy: ['model'], columns: ['model', 'latencyMs'] })
    expectTypeOf(newest.rows).toEqualTypeOf<readonly { model: string; latencyMs: number | null }[]>()
    const all = await query(requests, { where: { model: { like: 'a%' } } })
    expectTypeOf<(typeof all.rows)[number]['cost']>().toEqualTypeOf<string>()
    expect(rows.rows).toEqual([{ time: '1970-01-01T00:00:00Z', bytes: 5n, labels: [] }])
  })

  it('are open where TypeScript does not know the dataset or the query', async () => {
    const open: DatasetDefinition = requests
    const answer = await query(open, { select: { n: { fn: 'count' } } })
    expectTypeOf(answer.rows).toEqualTypeOf<readonly OutputRow[]>()
    const input: QueryInput<typeof requests> = { select: { n: count() } }
    expectTypeOf<QueryRow<typeof requests, typeof input>>().not.toBeNever()
    expect(answer.rows).toEqual([{ n: 1 }])
  })

  it('refuse what the dataset does not have, before parseQuery does', async () => {
    // @ts-expect-error there is no such column
    await expect(query(requests, { select: { n: sum('latency') } })).rejects.toThrow('latencyMs')
    // @ts-expect-error text has no sum
    await expect(query(requests, { select: { n: sum('model') } })).rejects.toThrow('numbers')
    // @ts-expect-error lists have no order
    await expect(query(requests, { select: { n: max('labels') } })).rejects.toThrow('text[]')
    // @ts-expect-error there is no such key
    await expect(query(requests, { select: { n: count() }, buckets: '1 hour' })).rejects.toThrow('"bucket"')
    // @ts-expect-error there is no such group
    await expect(query(requests, { by: ['modell'], select: { n: count() } })).rejects.toThrow('"model"')
    // @ts-expect-error a text is not a number
    await expect(query(requests, { where: { latencyMs: { gte: 'abc' } } })).rejects.toThrow('not a number')
    // @ts-expect-error there is no such column
    await expect(query(requests, { where: { status: 'ok' }, select: { n: count() } })).rejects.toThrow(
      'status',
    )
    // @ts-expect-error there is no such column in a nested filter
    await expect(query(requests, { where: { $or: [{ state: 'ok' }] } })).rejects.toThrow('state')
    await expect(
      // @ts-expect-error there is no such column in the filter of an aggregate
      query(requests, { select: { n: count({ where: { ok: true, okay: true } }) } }),
    ).rejects.toThrow('okay')
    // @ts-expect-error there is no such output
    await expect(query(requests, { select: { n: count() }, order: ['-m'] })).rejects.toThrow('"m"')
    // @ts-expect-error there is no such output
    await expect(query(requests, { select: { n: count() }, having: { m: 1 } })).rejects.toThrow('"m"')
    // @ts-expect-error there is no such column to show
    await expect(query(requests, { columns: ['tim'] })).rejects.toThrow('time')
    // @ts-expect-error limit belongs to it, cursor does not
    await expect(query(requests, { latestBy: ['model'], cursor: 'x' })).rejects.toThrow('cursor')
    // @ts-expect-error jsonb is no group
    await expect(query(requests, { by: ['properties'], select: { n: count() } })).rejects.toThrow(
      'properties.key',
    )
  })
})
