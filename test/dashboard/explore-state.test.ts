import fc from 'fast-check'
import type { AnswerPlan, DatasetInfo } from 'tidemark/client'
import { describe, expect, it } from 'vitest'
import { toCsv } from '../../dashboard/src/chart/csv.ts'
import { bordersFor, toHeat } from '../../dashboard/src/chart/heat.ts'
import { joined, planLanes } from '../../dashboard/src/chart/plan-lanes.ts'
import { mostBuckets, questionBefore, questionOf, shiftOf } from '../../dashboard/src/chart/question.ts'
import { nearest, overlay, placeAt, stack, toSeries } from '../../dashboard/src/chart/series.ts'
import { isolated, isShown, toggled } from '../../dashboard/src/chart/shown.ts'
import { timeTicks } from '../../dashboard/src/chart/ticks.ts'
import {
  lengthMs,
  rangeProblem,
  rangeText,
  roughMs,
  sensibleRange,
  toInstant,
  widened,
} from '../../dashboard/src/chart/times.ts'
import { formatInstant } from '../../dashboard/src/format/index.ts'
import {
  type Aggregate,
  columnsFor,
  fits,
  functions,
  functionsOf,
  isAskable,
  nameAll,
  plainAggregate,
  toCall,
  withFunction,
} from '../../dashboard/src/pages/explore/aggregates.ts'
import { toCurl, toTypeScript } from '../../dashboard/src/pages/explore/code.ts'
import {
  type Filter,
  fromWhere,
  joinList,
  operators,
  splitList,
  toWhere,
  typeOf,
} from '../../dashboard/src/pages/explore/filters.ts'
import { fromPanel, toPanel } from '../../dashboard/src/pages/explore/panel-of.ts'
import {
  charts,
  type ExploreState,
  emptyState,
  fills,
  fromSearch,
  toSearch,
} from '../../dashboard/src/pages/explore/state.ts'
import { aggregates as algebra } from '../../src/aggregate/index.ts'
import { parseQuery } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    status: t.text().nullable(),
    ok: t.bool(),
    latencyMs: t.float8(),
    tokens: t.int4(),
    bytes: t.int8().nullable(),
    cost: t.numeric(),
    tags: t.textArray(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
})
const info: DatasetInfo = {
  name: requests.name,
  kind: 'hypertable',
  time: 'time',
  primaryKey: null,
  comment: null,
  aggregate: null,
  columns: Object.entries(requests.columns).map(([name, { type, nullable }]) => ({
    name,
    type,
    nullable,
    hasDefault: false,
    comment: null,
  })),
}
const now = Date.parse('2026-11-20T12:00:00Z')
const clock = { now: () => BigInt(now) * 1000n }
const options = { width: 1000, zone: 'UTC', now }

const asked = (state: Partial<ExploreState>, over = info) =>
  questionOf(
    toPanel({ ...emptyState, dataset: over.name, select: [plainAggregate], ...state }, over),
    { from: state.from === undefined ? emptyState.from : state.from, to: state.to ?? null },
    over,
    options,
  )

describe('the address', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 12 })
  const some = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  const filter = fc.record({
    column: text,
    op: fc.constantFrom(...operators),
    values: fc.array(text, { maxLength: 3 }),
  })
  const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0)
  const aggregate = fc
    .record({
      fn: fc.constantFrom(...functions),
      column: fc.option(some),
      name: fc.option(some),
      q: fc.double({ min: 0, max: 1, noNaN: true }).map((x) => x + 0),
      qs: fc.array(number, { maxLength: 4 }),
      k: fc.integer({ min: 1, max: 1000 }),
      borders: fc.array(number, { maxLength: 5 }),
      series: fc.option(fc.array(text, { maxLength: 3 })),
      method: fc.constantFrom('locf' as const, 'linear' as const),
      where: fc.array(filter, { maxLength: 2 }),
    })
    // what a function has no use for is not kept
    .map(
      (one): Aggregate => ({
        ...one,
        q: one.fn === 'percentile' ? one.q : plainAggregate.q,
        qs: one.fn === 'percentiles' ? one.qs : plainAggregate.qs,
        k: one.fn === 'topK' ? one.k : plainAggregate.k,
        borders: one.fn === 'histogram' ? one.borders : [],
      }),
    )
  const shown = fc.oneof(
    fc.constant({ kind: 'all' as const, keys: [] as string[] }),
    fc.record({
      kind: fc.constantFrom('only' as const, 'without' as const),
      keys: fc.array(some, { minLength: 1, maxLength: 3 }),
    }),
  )
  const state: fc.Arbitrary<ExploreState> = fc.record({
    dataset: fc.option(some),
    from: fc.option(some.filter((one) => one !== 'beginning')),
    to: fc.option(some),
    bucket: fc.option(some),
    by: fc.array(text, { maxLength: 3 }),
    where: fc.array(filter, { maxLength: 3 }),
    select: fc.array(aggregate, { maxLength: 3 }),
    chart: fc.constantFrom(...charts),
    fill: fc.constantFrom(...fills),
    compare: fc.option(some),
    isLive: fc.boolean(),
    shown,
    unit: fc.option(some),
    more: fc.option(fc.record({ limit: fc.integer({ min: 1 }) })),
    board: fc.option(some),
    panel: fc.option(some),
    title: fc.option(some),
  })

  it('holds the whole state: whoever opens it sees the same', () => {
    fc.assert(
      fc.property(state, (one) => {
        expect(fromSearch(new URLSearchParams(toSearch(one).toString()))).toEqual(one)
      }),
      { numRuns: 300 },
    )
  })

  it('is short where nothing was chosen', () => {
    expect(toSearch({ ...emptyState, dataset: 'metrics.requests' }).toString()).toBe(
      'dataset=metrics.requests&from=-1+day',
    )
  })

  it('of somebody who writes nonsense is read as far as it makes sense', () => {
    const search = new URLSearchParams(
      'dataset=a.b&chart=pie&fill=%7B&select=%7B&select={"fn":"drop"}&select={"fn":"count"}&where=[1]&where=["a","is","b"]&where=["a","eq","b"]&more=[]&live=yes',
    )
    expect(fromSearch(search)).toEqual({
      ...emptyState,
      dataset: 'a.b',
      select: [plainAggregate],
      where: [{ column: 'a', op: 'eq', values: ['b'] }],
    })
  })
})

describe('what is offered', () => {
  it('is every function of the algebra for the columns that it takes, and for no other', () => {
    expect(functions.filter((fn) => fn !== 'output').sort()).toEqual(Object.keys(algebra).sort())
    for (const [fn, { refuses }] of Object.entries(algebra))
      for (const { name, type } of info.columns) {
        if (type === 'jsonb') continue
        expect(fits(fn as Aggregate['fn'], type), `${fn} of ${name}`).toBe(refuses(type as never) === null)
      }
  })

  it('can be asked as soon as it is chosen: the server takes every one', () => {
    for (const fn of functionsOf(info)) {
      const aggregate = withFunction(info, plainAggregate, fn)
      const complete = fn === 'histogram' ? { ...aggregate, borders: [1, 2] } : aggregate
      expect(isAskable(complete), fn).toBe(true)
      const { query } = asked({ select: [complete] })
      expect(() => parseQuery(query, { dataset: requests, clock }), fn).not.toThrow()
    }
  })

  it('of a continuous aggregate is what it keeps, and what else is finished from that', () => {
    const hourly: DatasetInfo = {
      ...info,
      name: 'metrics.hourly',
      kind: 'aggregate',
      time: 'bucket',
      aggregate: {
        from: info.name,
        bucket: '1 hour',
        zone: null,
        keys: ['model'],
        dimensions: [],
        select: { n: { fn: 'count' }, p95: { fn: 'percentile', column: 'latencyMs', q: 0.95 } },
      },
      columns: [
        { name: 'bucket', type: 'timestamptz', nullable: false, hasDefault: false, comment: null },
        { name: 'model', type: 'text', nullable: false, hasDefault: false, comment: null },
        { name: 'n', type: 'count', nullable: false, hasDefault: false, comment: null },
        { name: 'p95', type: 'float8', nullable: true, hasDefault: false, comment: null },
      ],
    }
    expect(functionsOf(hourly)).toEqual(['output', 'percentile', 'percentiles'])
    expect(columnsFor(hourly, 'output').map(({ name }) => name)).toEqual(['n', 'p95'])
    expect(columnsFor(hourly, 'percentile').map(({ name }) => name)).toEqual(['latencyMs'])
    const { query, bucket } = asked({ select: [{ ...plainAggregate, fn: 'output', column: 'p95' }] }, hourly)
    expect(query['select']).toEqual({ p95: 'p95' })
    // never finer than its own
    expect(bucket).toBe('1 hour')
    const awkward = { ...hourly, aggregate: { ...hourly.aggregate!, bucket: '7 minutes' } }
    expect(asked({}, awkward).bucket).toBe('7 minutes')
  })

  it('gives each output a name of its own', () => {
    const p = { ...plainAggregate, fn: 'percentile' as const, column: 'properties.a"b', q: 0.999 }
    expect(nameAll([plainAggregate, plainAggregate, p]).map(({ name }) => name)).toEqual([
      'count',
      'count 2',
      'p99.9_properties.a_b',
    ])
  })
})

describe('conditions', () => {
  it('say what they say to the server, by the type of their column', () => {
    const filters: Filter[] = [
      { column: 'status', op: 'eq', values: ['7'] },
      { column: 'tokens', op: 'gte', values: ['7'] },
      { column: 'bytes', op: 'lt', values: ['9007199254740993'] },
      { column: 'ok', op: 'eq', values: ['true'] },
      { column: 'model', op: 'notIn', values: ['a', 'b'] },
      { column: 'tags', op: 'contains', values: ['x'] },
      { column: 'properties.plan.size', op: 'eq', values: ['7'] },
      { column: 'properties', op: 'notNull', values: [] },
    ]
    const where = toWhere(info, filters)
    expect(where).toEqual({
      status: '7',
      tokens: { gte: 7 },
      bytes: { lt: '9007199254740993' },
      ok: true,
      model: { notIn: ['a', 'b'] },
      tags: { contains: 'x' },
      'properties.plan.size': 7,
      properties: { not: null },
    })
    expect(() => parseQuery(asked({ where: filters }).query, { dataset: requests, clock })).not.toThrow()
    expect(fromWhere(where ?? {})).toEqual(filters)
  })

  it('on one column twice both hold; one that is not finished says nothing', () => {
    expect(
      toWhere(info, [
        { column: 'tokens', op: 'gt', values: ['1'] },
        { column: 'tokens', op: 'lt', values: ['9'] },
        { column: 'model', op: 'eq', values: [] },
      ]),
    ).toEqual({ $and: [{ tokens: { gt: 1 } }, { tokens: { lt: 9 } }] })
    expect(toWhere(info, [{ column: '', op: 'eq', values: ['a'] }])).toBeUndefined()
  })

  it('in quotes are text in JSON, where a number would be meant', () => {
    const of = (value: string) => toWhere(info, [{ column: 'properties.a', op: 'eq', values: [value] }])
    expect(of('7')).toEqual({ 'properties.a': 7 })
    expect(of('"7"')).toEqual({ 'properties.a': '7' })
    expect(of('true')).toEqual({ 'properties.a': true })
    expect(of('seven')).toEqual({ 'properties.a': 'seven' })
    expect(fromWhere({ 'properties.a': '7' })).toEqual([
      { column: 'properties.a', op: 'eq', values: ['"7"'] },
    ])
  })

  it('lists come back as they were written, commas and backslashes too', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ minLength: 1 }).filter((one) => one.trim() === one)), (values) => {
        expect(splitList(joinList(values))).toEqual(values)
      }),
    )
  })

  it('know columns, places in JSON, and what is neither', () => {
    expect(typeOf(info, 'model')).toBe('text')
    expect(typeOf(info, 'properties.a.b')).toBe('json')
    expect(typeOf(info, 'properties.a\\.b')).toBe('json')
    expect(typeOf(info, 'model.a')).toBeNull()
    expect(typeOf(info, 'nothing')).toBeNull()
  })
})

describe('a panel of a board', () => {
  const state: ExploreState = {
    ...emptyState,
    dataset: info.name,
    from: '-7 days',
    by: ['model', 'properties.plan'],
    where: [{ column: 'tokens', op: 'gt', values: ['3'] }],
    select: [
      { ...plainAggregate, fn: 'percentile', column: 'latencyMs', q: 0.5 },
      { ...plainAggregate, name: 'failed', where: [{ column: 'status', op: 'ne', values: ['ok'] }] },
    ],
    chart: 'stacked',
    fill: 'zero',
    compare: 'previous',
    unit: 'ms',
  }

  it('is what Explore shows, and Explore shows it again', () => {
    const panel = toPanel(state, info)
    expect(panel.query.bucket).toBe('auto')
    expect(fromPanel(panel, { from: '-7 days' })).toEqual({ ...state, title: panel.title })
  })

  it('that says more than the form can is asked as it was written', () => {
    const query = {
      dataset: info.name,
      bucket: '1 hour',
      select: { n: { fn: 'count' }, odd: { fn: 'count', where: { $or: [{ ok: true }, { tokens: 3 }] } } },
      where: { $not: { ok: true } },
      having: { n: { gt: 3 } },
      limit: 5,
    }
    const back = fromPanel({ title: 'x', chart: 'line', query }, { from: '-1 day' })
    expect(back.where).toEqual([])
    const { query: again } = toPanel(fromSearch(toSearch(back)), info)
    expect(again).toEqual(query)
  })
})

describe('what is asked', () => {
  it('has a bucket that fits the width', () => {
    expect(asked({ from: '-1 day' }).bucket).toBe('5 minutes')
    const narrow = questionOf(
      toPanel({ ...emptyState, select: [plainAggregate] }, info),
      { from: '-1 day', to: null },
      info,
      {
        ...options,
        width: 320,
      },
    )
    expect(narrow.bucket).toBe('15 minutes')
    expect(mostBuckets('line', 1000)).toBe(mostBuckets('line', 1010))
    expect(asked({ bucket: '7 minutes' }).query['bucket']).toBe('7 minutes')
    expect(asked({ bucket: 'none' }).query).not.toHaveProperty('bucket')
  })

  it('follows the days of the reader, where buckets are made of them', () => {
    const of = (bucket: string) =>
      questionOf(
        toPanel({ ...emptyState, select: [plainAggregate], bucket }, info),
        { from: '-30 days', to: null },
        info,
        { ...options, zone: 'Asia/Kolkata' },
      ).query
    expect(of('1 day')).toMatchObject({ zone: 'Asia/Kolkata', to: 'now' })
    expect(of('1 month')).toMatchObject({ zone: 'Asia/Kolkata' })
    expect(of('5 hours')).not.toHaveProperty('zone')
    expect(of('1 minute')).not.toHaveProperty('zone')
    // a date is the same instant with and without
    expect(
      questionOf(
        toPanel({ ...emptyState, select: [plainAggregate], bucket: '1 day' }, info),
        { from: '2026-01-01', to: '2026-02-01' },
        info,
        { ...options, zone: 'Asia/Kolkata' },
      ).query,
    ).toMatchObject({ from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z' })
    for (const bucket of ['1 day', '5 hours', '1 month', '6 hours'])
      expect(() => parseQuery(of(bucket), { dataset: requests, clock })).not.toThrow()
  })

  it('of the period before is as long, or as much earlier as was said', () => {
    const range = { from: Date.parse('2026-03-31T00:00:00Z'), to: Date.parse('2026-04-02T00:00:00Z') }
    const days = (compare: string) => {
      const found = shiftOf(range, compare)
      return found && [found.from, found.to].map((ms) => new Date(ms).toISOString().slice(0, 10))
    }
    expect(days('previous')).toEqual(['2026-03-29', '2026-03-31'])
    expect(days('1 week')).toEqual(['2026-03-24', '2026-03-26'])
    expect(days('1 month')).toEqual(['2026-02-28', '2026-03-02'])
    expect(days('soon')).toBeNull()
    expect(questionBefore(asked({}), range, 'previous')?.query).toMatchObject({
      from: '2026-03-29T00:00:00.000Z',
      to: '2026-03-31T00:00:00.000Z',
      bucket: '5 minutes',
    })
  })

  it('can be taken along as TypeScript and as curl', () => {
    const question = asked({
      by: ['model', 'properties.plan'],
      where: [{ column: 'model', op: 'eq', values: ["it's"] }],
    })
    const code = toTypeScript(question, 'http://127.0.0.1:4680')
    expect(code).toContain(`client.query('metrics.requests', {`)
    expect(code).toContain(`where: { model: 'it\\'s' }`)
    const told = /client\.query\('metrics\.requests', ([\s\S]*?)\)\nconsole/.exec(code)?.[1] ?? ''
    expect(new Function(`return ${told}`)()).toEqual(question.query)
    const curl = toCurl(question, 'http://127.0.0.1:4680')
    const body = /-d '([\s\S]*)'\n$/.exec(curl)?.[1]?.replaceAll("'\\''", "'") ?? ''
    expect(JSON.parse(body)).toEqual({ dataset: 'metrics.requests', ...question.query })
  })
})

describe('ranges', () => {
  it('are understood as they are typed, and what is wrong with one is said', () => {
    expect(lengthMs('15m')).toBe(900_000)
    expect(lengthMs('2 hours')).toBe(7_200_000)
    expect(lengthMs('soon')).toBeNull()
    expect(roughMs('now - 1 hour', now)).toBe(now - 3_600_000)
    expect(rangeProblem({ from: '-1 day', to: null }, now)).toBeNull()
    expect(rangeProblem({ from: 'yesterday', to: null }, now)).toMatch(/no time/)
    expect(rangeProblem({ from: '2026-02-01', to: '2026-01-01' }, now)).toMatch(/before it begins/)
    expect(rangeText({ from: '-1 day', to: null }, String)).toBe('Last 24 hours')
    expect(rangeText({ from: null, to: null }, String)).toBe('All of it')
  })

  it('begin where there are rows: the first chart is never empty', () => {
    const day = 86_400_000
    expect(sensibleRange(null, null, now)).toEqual({ from: '-1 day', to: null })
    expect(sensibleRange(now - 1000, now - 90 * day, now)).toEqual({ from: '-1 day', to: null })
    expect(sensibleRange(now - 1000, now - 3_600_000, now)).toEqual({ from: '-1 hour', to: null })
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3000 * day }),
        fc.integer({ min: 0, max: 4000 * day }),
        (age, span) => {
          const newest = now - age
          const { from, to } = sensibleRange(newest, newest - span, now)
          expect(roughMs(from ?? '', now)).toBeLessThanOrEqual(newest)
          expect(to === null ? now : roughMs(to, now)).toBeGreaterThan(newest)
        },
      ),
    )
  })

  it('are typed by the clock of the reader, and mean the same to everybody', () => {
    expect(toInstant('2026-01-31 12:00', 'Europe/Berlin')).toBe('2026-01-31T11:00:00Z')
    expect(toInstant('2026-07-31', 'Europe/Berlin')).toBe('2026-07-30T22:00:00Z')
    expect(toInstant('2026-03-29 03:30:15.5', 'Europe/Berlin')).toBe('2026-03-29T01:30:15.500Z')
    expect(toInstant('2026-01-31', 'Asia/Kolkata')).toBe('2026-01-30T18:30:00Z')
    expect(toInstant('-7 days', 'Europe/Berlin')).toBe('-7 days')
    expect(toInstant('2026-01-31T12:00:00Z', 'Europe/Berlin')).toBe('2026-01-31T12:00:00Z')
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4e12 }),
        fc.constantFrom('Asia/Kolkata', 'UTC', 'America/Phoenix'),
        (ms, zone) => {
          expect(Date.parse(toInstant(formatInstant(ms, zone, { precision: 'milli' }), zone))).toBe(ms)
        },
      ),
    )
  })

  it('that are zoomed out hold what they held', () => {
    expect(widened({ from: 0, to: 1000 }, 2)).toEqual({
      from: '1969-12-31T23:59:59.500Z',
      to: '1970-01-01T00:00:01.500Z',
    })
  })
})

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

it('a call that is taken along is the one that was asked', () => {
  const aggregate = { ...plainAggregate, fn: 'rate' as const, column: 'tokens', series: ['model'] }
  expect(toCall(info, aggregate)).toEqual({ fn: 'rate', column: 'tokens', series: ['model'] })
})
