import fc from 'fast-check'
import type { AnswerPlan } from 'tidemark/client'
import { describe, expect, it } from 'vitest'
import { toCsv } from '../../dashboard/src/chart/csv.ts'
import { bordersFor, toHeat } from '../../dashboard/src/chart/heat.ts'
import { joined, planLanes } from '../../dashboard/src/chart/plan-lanes.ts'
import { nearest, overlay, placeAt, stack, toSeries } from '../../dashboard/src/chart/series.ts'
import { isolated, isShown, toggled } from '../../dashboard/src/chart/shown.ts'
import { timeTicks } from '../../dashboard/src/chart/ticks.ts'

describe('series', () => {
  const iso = (hour: number): string => new Date(hour * 3_600_000).toISOString()
  const table = {
    columns: [
      { name: 'bucket', type: 'timestamptz', nullable: false },
      { name: 'model', type: 'text', nullable: true },
      { name: 'tokens', type: 'int8', nullable: true },
      { name: 'who', type: 'text', nullable: true },
    ],
    rows: [
      { bucket: iso(0), model: 'a', tokens: 9007199254740993n, who: 'x' },
      { bucket: iso(0), model: null, tokens: 2n, who: 'x' },
      { bucket: iso(1), model: 'a', tokens: 3n, who: 'x' },
      { bucket: iso(5), model: 'a', tokens: null, who: 'x' },
    ],
  } as const
  const hour = { by: ['model'], bucketMs: 3_600_000, most: 10 }

  it('tell what the answer says, every digit, and break where there are no buckets', () => {
    const { xs, series, unfit } = toSeries(table, hour)
    expect(xs.map((ms) => ms / 3_600_000)).toEqual([0, 1, 2, 5])
    expect(series.map(({ label }) => label)).toEqual(['a', '(none)'])
    expect(series[0]?.exact(0)).toBe(9007199254740993n)
    expect(series[0]?.values.slice(1)).toEqual([3, null, null])
    expect([series[0]?.exact(2), series[0]?.exact(3)]).toEqual([undefined, null])
    expect(unfit).toEqual([{ output: 'who', type: 'text' }])
  })

  it('are the largest ones, where there are too many, and it is said how many are left', () => {
    const { series, left } = toSeries(table, { ...hour, most: 1 })
    expect(series.map(({ label }) => label)).toEqual(['a'])
    expect(left).toBe(1)
  })

  it('of a hundred thousand cells in ten thousand groups hold what is drawn, not groups times buckets', () => {
    const cells = Array.from({ length: 100_000 }, (_, i) => ({
      bucket: new Date(i * 60_000).toISOString(),
      model: `m${i % 10_000}`,
      tokens: i % 7,
    }))
    const before = process.memoryUsage().arrayBuffers
    const { series, left, xs } = toSeries(
      { columns: table.columns, rows: cells },
      { by: ['model'], bucketMs: 60_000, most: 50 },
    )
    expect([series.length, left, xs.length]).toEqual([50, 9_950, 100_000])
    // 50 lines of 100,000 places
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200_000_000)
  })

  it('of lists are one for each part', () => {
    const lists = {
      columns: [
        { name: 'bucket', type: 'timestamptz', nullable: false },
        { name: 'p', type: 'percentiles', nullable: true },
        { name: 'top', type: 'topK', nullable: true },
      ],
      rows: [
        { bucket: iso(0), p: [1, 2], top: [{ value: 'x', count: 3, error: 0 }] },
        {
          bucket: iso(1),
          p: null,
          top: [
            { value: 'y', count: 2, error: 0 },
            { value: 'x', count: 1, error: 0 },
          ],
        },
      ],
    } as const
    const { series } = toSeries(lists, { by: [], bucketMs: null, most: 10, parts: { p: ['p50', 'p99'] } })
    expect(series.map(({ label, values }) => [label, values])).toEqual([
      ['p50 p', [1, null]],
      ['p99 p', [2, null]],
      ['top = x', [3, 1]],
      ['top = y', [null, 2]],
    ])
    expect(series[2]?.exact(1)).toBe(1)
  })

  it('of the period before lie over those of this one, each at its bucket', () => {
    const set = toSeries(table, hour)
    const before = toSeries(
      {
        columns: table.columns,
        rows: [
          { bucket: iso(-24), model: 'a', tokens: 7n, who: '' },
          { bucket: iso(-20), model: 'a', tokens: 8n, who: '' },
        ],
      },
      hour,
    )
    const both = overlay(set, before, 24 * 3_600_000, 3_600_000)
    const was = both.series.find(({ key }) => key.startsWith('before:'))
    const is = both.series[0]
    const at = (hours: number): number => both.xs.indexOf(hours * 3_600_000)
    expect([was?.exact(at(0)), was?.exact(at(4))]).toEqual([7n, 8n])
    expect([is?.exact(at(0)), is?.exact(at(1)), is?.exact(at(4))]).toEqual([9007199254740993n, 3n, undefined])
  })

  it('on each other end where their sum ends', () => {
    expect(
      stack(
        [
          [1, null, 3],
          [1, 1, 1],
        ],
        3,
      ),
    ).toEqual([
      [1, null, 3],
      [2, 1, 4],
    ])
  })

  it('find the bucket under the pointer', () => {
    expect([
      placeAt([0, 10, 20], 9),
      placeAt([0, 10, 20], -1),
      nearest([0, 10, 20], 6),
      nearest([], 1),
    ]).toEqual([0, -1, 1, -1])
  })

  it('are left alone by a click, and added by one with shift', () => {
    const all = { kind: 'all', keys: [] } as const
    const one = isolated(all, 'a')
    expect([isShown(one, 'a'), isShown(one, 'b')]).toEqual([true, false])
    expect(isolated(one, 'a')).toEqual(all)
    expect(isShown(toggled(one, 'b'), 'b')).toBe(true)
    const without = toggled(all, 'a')
    expect([isShown(without, 'a'), isShown(without, 'b')]).toEqual([false, true])
    expect(toggled(without, 'a')).toEqual(all)
  })

  it('are saved as CSV with every digit', () => {
    expect(
      toCsv({
        columns: table.columns,
        rows: [{ bucket: iso(0), model: 'a "b", c', tokens: 9007199254740993n, who: null }],
      }),
    ).toBe('bucket,model,tokens,who\r\n1970-01-01T00:00:00.000Z,"a ""b"", c",9007199254740993,\r\n')
  })

  it('name the day where a new one begins', () => {
    expect(timeTicks([0, 3_600_000, 86_400_000], 3_600_000, 'UTC')).toEqual([
      '00:00\n1 Jan 1970',
      '01:00',
      '00:00\n2 Jan 1970',
    ])
    expect(timeTicks([0], 3_600_000, 'Asia/Kolkata')).toEqual(['05:30\n1 Jan 1970'])
  })
})

describe('a heat map', () => {
  it('adds the counts of all groups', () => {
    const at = new Date(0).toISOString()
    const heat = toHeat(
      {
        columns: [],
        rows: [
          { bucket: at, h: [1, 2, 0] },
          { bucket: at, h: [0, 5, 1] },
        ],
      },
      'h',
      [10, 20],
    )
    expect(heat).toEqual({ borders: [10, 20], columns: [{ x: 0, counts: [1, 7, 1] }], most: 7, total: 9 })
  })

  it('has borders that ascend, whatever the values are', () => {
    const finite = fc.double({ noNaN: true, min: -1e12, max: 1e12 })
    fc.assert(
      fc.property(fc.tuple(finite, finite, finite), (three) => {
        const [low = 0, middle = 0, high = 0] = [...three].sort((a, b) => a - b)
        const borders = bordersFor({ low, middle, high })
        expect(borders.length).toBeGreaterThan(0)
        expect(borders.length).toBeLessThan(100)
        expect(borders.every((one, i) => i === 0 || one > (borders[i - 1] as number))).toBe(true)
      }),
    )
    expect(bordersFor({ low: 1, middle: 5, high: 1000 })).toContain(100)
  })
})

describe('a plan', () => {
  const part = { rows: 10, bytes: null, cells: 1, ms: 2, why: 'because' }
  const plan = {
    parts: [
      { ...part, source: 'cold', from: null, to: '1970-01-01T00:00:02Z', rows: null, bytes: 100 },
      { ...part, source: 'hot', from: '1970-01-01T00:00:02Z', to: null },
      { ...part, source: 'metrics.hourly', from: '1970-01-01T00:00:00Z', to: '1970-01-01T00:00:01Z' },
    ],
  } as unknown as AnswerPlan

  it('is drawn on the axis: a lane for each source, open ends to the ends of the chart', () => {
    const { lanes, rows, bytes } = planLanes(plan, { from: 1000, to: 4000 })
    expect(lanes.map(({ tier, stretches }) => [tier, stretches.map(({ from, to }) => [from, to])])).toEqual([
      ['aggregate', []],
      ['hot', [[2000, 4000]]],
      ['cold', [[1000, 2000]]],
    ])
    expect([rows, bytes]).toEqual([20, 100])
  })

  it('that a tenant sees has no places in time, and says so', () => {
    const hidden = {
      parts: plan.parts.map((one) => ({ ...one, from: null, to: null, rows: null, bytes: null })),
    }
    const view = planLanes(hidden as unknown as AnswerPlan, { from: 0, to: 1 })
    expect([view.isHidden, view.rows, view.lanes.length]).toEqual([true, null, 3])
  })

  it('of hundreds of narrow parts is drawn as a few', () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ part: i, from: i, to: i + 1 }))
    const drawn = joined(many, { from: 0, to: 1000 }, 100)
    expect(drawn.length).toBeLessThanOrEqual(100)
    expect(drawn.reduce((all, { parts }) => all + parts, 0)).toBe(1000)
  })
})
