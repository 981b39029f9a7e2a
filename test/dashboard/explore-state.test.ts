import fc from 'fast-check'
import type { DatasetInfo } from 'tidemark/client'
import { describe, expect, it } from 'vitest'
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
import { asked, clock, info, requests } from './explore-fixture.ts'

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

it('a call that is taken along is the one that was asked', () => {
  const aggregate = { ...plainAggregate, fn: 'rate' as const, column: 'tokens', series: ['model'] }
  expect(toCall(info, aggregate)).toEqual({ fn: 'rate', column: 'tokens', series: ['model'] })
})
