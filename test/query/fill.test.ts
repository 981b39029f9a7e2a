import { describe, expect, it } from 'vitest'
import { defaultQueryLimits, executeQuery, parseQuery } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { createMemoryTier } from '../helpers/memory-tier.ts'

const meters = hypertable('suite.meters', {
  columns: {
    time: t.timestamptz(),
    site: t.text(),
    whole: t.int4(),
    big: t.int8(),
    price: t.numeric(),
    level: t.float8(),
  },
  time: 'time',
})
const clock = fixedClock(parseInstant('2026-01-02T00:00:00Z'))
const row = (time: string, site: string, whole: number, big: bigint, price: string, level: number) => ({
  time: `2026-01-01T${time}Z`,
  site,
  whole,
  big,
  price,
  level,
})
const rows = [
  row('01:10:00', 'a', 10, 9007199254740993n, '1.10', 1),
  row('04:50:00', 'a', 20, 9007199254741000n, '2.00', -2),
  row('02:00:00', 'b', 7, 0n, '5', 3),
]

async function ask(input: Record<string, unknown>): Promise<readonly unknown[]> {
  const answer = await executeQuery(parseQuery(input, { dataset: meters, clock }), {
    tiers: [createMemoryTier({ dataset: meters, rows })],
    snapshot: { id: '1:1:', takenAt: 0n },
    clock,
    signal: null,
    limits: defaultQueryLimits,
  })
  return answer.rows
}

const site = { site: 'a' }
const range = { from: '2026-01-01T00:30:00Z', to: '2026-01-01T06:00:00Z' }
const select = {
  whole: { fn: 'max', column: 'whole' },
  big: { fn: 'max', column: 'big' },
  price: { fn: 'max', column: 'price' },
  level: { fn: 'max', column: 'level' },
  total: { fn: 'sum', column: 'whole' },
}
const hour = (h: number): string => `2026-01-01T0${h}:00:00Z`

describe('filling gaps', () => {
  it('has a row for every bucket of the asked range, first and last ones too', async () => {
    const n = { n: { fn: 'count' } }
    expect(await ask({ ...range, where: site, bucket: '1 hour', select: n, fill: { constant: 0 } })).toEqual(
      [0, 1, 0, 0, 1, 0].map((n, h) => ({ bucket: hour(h), n })),
    )
    expect(await ask({ ...range, where: site, bucket: '1 hour', select: n, fill: 'null' })).toEqual(
      [null, 1, null, null, 1, null].map((n, h) => ({ bucket: hour(h), n })),
    )
  })

  it('carries the previous value on, and has none before the first', async () => {
    const levels = [null, 1, 1, 1, -2, -2]
    expect(
      await ask({
        ...range,
        where: site,
        bucket: '1 hour',
        select: { level: select.level },
        fill: 'previous',
      }),
    ).toEqual(levels.map((level, h) => ({ bucket: hour(h), level })))
  })

  it('draws lines in the type of the column, and none outside of the data', async () => {
    const empty = { whole: null, big: null, price: null, level: null, total: null }
    expect(await ask({ ...range, where: site, bucket: '1 hour', select, fill: 'linear' })).toEqual([
      { bucket: hour(0), ...empty },
      { bucket: hour(1), whole: 10, big: 9007199254740993n, price: '1.1', level: 1, total: 10n },
      { bucket: hour(2), whole: 13, big: 9007199254740995n, price: '1.4', level: 0, total: 13n },
      {
        bucket: hour(3),
        whole: 17,
        big: 9007199254740998n,
        price: '1.7',
        level: expect.closeTo(-1, 12),
        total: 17n,
      },
      { bucket: hour(4), whole: 20, big: 9007199254741000n, price: '2', level: -2, total: 20n },
      { bucket: hour(5), ...empty },
    ])
  })

  it('puts a constant into every output in its type', async () => {
    const rows = await ask({
      ...range,
      where: site,
      bucket: '1 hour',
      select,
      fill: { constant: 3 },
      limit: 1,
    })
    expect(rows).toEqual([{ bucket: hour(0), whole: 3, big: 3n, price: '3', level: 3, total: 3n }])
  })

  it('fills each group by itself, over the same buckets', async () => {
    const answer = await ask({
      ...range,
      by: ['site'],
      bucket: '2 hours',
      select: { n: { fn: 'count' } },
      fill: { constant: 0 },
      order: ['site', 'bucket'],
    })
    expect(answer).toEqual([
      { bucket: hour(0), site: 'a', n: 1 },
      { bucket: hour(2), site: 'a', n: 0 },
      { bucket: hour(4), site: 'a', n: 1 },
      { bucket: hour(0), site: 'b', n: 0 },
      { bucket: hour(2), site: 'b', n: 1 },
      { bucket: hour(4), site: 'b', n: 0 },
    ])
  })

  it('ends at the data where the range is open', async () => {
    const base = { where: site, bucket: '1 hour', select: { n: { fn: 'count' } }, fill: 'null' }
    const buckets = async (input: Record<string, unknown>) =>
      (await ask({ ...base, ...input })).map((row) => (row as { bucket: string }).bucket)
    expect(await buckets({})).toEqual([1, 2, 3, 4].map(hour))
    expect(await buckets({ from: range.from })).toEqual([0, 1, 2, 3, 4].map(hour))
    expect(await buckets({ to: range.to })).toEqual([1, 2, 3, 4, 5].map(hour))
    expect(await buckets({ where: { site: 'c' } })).toEqual([])
    expect(await buckets({ where: { site: 'c' }, ...range })).toEqual([0, 1, 2, 3, 4, 5].map(hour))
  })

  it('comes after having and before order and limit', async () => {
    const answer = await ask({
      ...range,
      where: site,
      bucket: '1 hour',
      select: { level: select.level },
      having: { level: { gt: 0 } },
      fill: 'previous',
      order: ['-bucket'],
      limit: 2,
    })
    expect(answer).toEqual([
      { bucket: hour(5), level: 1 },
      { bucket: hour(4), level: 1 },
    ])
  })

  it('keeps a null that a bucket with rows has', async () => {
    const none = { none: { fn: 'max', column: 'level', where: { site: 'x' } } }
    const answer = await ask({ ...range, where: site, bucket: '1 hour', select: none, fill: { constant: 9 } })
    expect(answer.map((row) => (row as { none: unknown }).none)).toEqual([9, null, 9, 9, null, 9])
  })

  it('has one row an hour on the days when clocks change', async () => {
    const day = { from: '2026-03-28T23:00:00Z', to: '2026-03-29T22:00:00Z' }
    const answer = await ask({
      ...day,
      bucket: '1 hour',
      zone: 'Europe/Berlin',
      select: { n: { fn: 'count' } },
      fill: { constant: 0 },
    })
    expect(answer).toHaveLength(23)
  })
})
