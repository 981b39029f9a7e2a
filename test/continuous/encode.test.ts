import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  continuousAggregate,
  decodeAggregate,
  definitionHash,
  encodeAggregate,
} from '../../src/continuous/index.ts'
import { materializationOf } from '../../src/query/index.ts'
import { type ContinuousAggregateDefinition, hypertable, t } from '../../src/schema/index.ts'

const base = hypertable('metrics.events', {
  columns: {
    time: t.timestamptz(),
    host: t.text(),
    size: t.int8(),
    at: t.timestamptz().nullable(),
    ratio: t.float8(),
    price: t.numeric(),
    day: t.date(),
    ok: t.bool(),
    tags: t.textArray(),
    'odd\\name': t.int4(),
    properties: t.jsonb(),
  },
  time: 'time',
})
const declare = continuousAggregate as unknown as (
  name: string,
  options: unknown,
) => ContinuousAggregateDefinition

const condition = fc.oneof(
  fc.record({ size: fc.record({ gte: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }) }),
  fc.record({
    at: fc.record({
      lt: fc.date({ noInvalidDate: true, min: new Date('1900-01-01'), max: new Date('2200-01-01') }),
    }),
  }),
  fc.record({
    at: fc.record({ in: fc.array(fc.bigInt({ min: -(10n ** 15n), max: 10n ** 16n }), { maxLength: 3 }) }),
  }),
  fc.record({ at: fc.constantFrom('infinity', '-infinity', null, { not: null }) }),
  fc.record({ ratio: fc.record({ ne: fc.double() }) }),
  fc.record({ price: fc.record({ lte: fc.oneof(fc.double({ noNaN: true }), fc.bigInt()) }) }),
  fc.record({ host: fc.record({ like: fc.constantFrom('a%', '\\%', '') }) }),
  fc.record({ tags: fc.record({ contains: fc.string({ unit: 'grapheme-ascii' }) }) }),
  fc.record({ 'odd\\\\name': fc.record({ notIn: fc.array(fc.integer()) }) }),
  fc.record({
    'properties.a\\.b.c': fc.oneof(
      fc.string({ unit: 'grapheme-ascii' }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
    ),
  }),
)
const where = fc.letrec((tie) => ({
  filter: fc.oneof(
    { maxDepth: 3 },
    condition,
    fc.record({ $and: fc.array(tie('filter'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ $or: fc.array(tie('filter'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ $not: tie('filter') }),
    fc.constant({}),
  ),
})).filter
const call = fc.oneof(
  fc.constantFrom<object>(
    { fn: 'count' },
    { fn: 'sum', column: 'size' },
    { fn: 'percentile', column: 'ratio', q: 0.95 },
    { fn: 'histogram', column: 'ratio', borders: [-1.5, -0, 1e21] },
    { fn: 'last', column: 'properties.x' },
  ),
  fc.record({ fn: fc.constant('count'), where }),
)
const options = fc.record({
  bucket: fc.constantFrom<unknown>(
    '15m',
    '1 hour',
    { every: '1 month', zone: 'Europe/Berlin' },
    { every: '1 day', zone: '+05:30' },
  ),
  by: fc.subarray(['host', 'ok', 'properties.plan', 'day']),
  where: fc.option(where),
  select: fc.dictionary(fc.stringMatching(/^[a-z]{1,5}$/), call, { minKeys: 1, maxKeys: 4 }),
  retain: fc.constantFrom(null, '2 years'),
})

/** As jsonb keeps it: keys in another order, numbers as decimals. */
const throughJsonb = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(throughJsonb)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1))
      .map(([k, v]) => [k, throughJsonb(v)]),
  )
}

it('a definition comes back from the catalog as the same cells, with the same hash', () => {
  fc.assert(
    fc.property(options, (given) => {
      fc.pre(!Object.keys(given.select).some((name) => ['host', 'ok', 'day'].includes(name)))
      const declared = declare('a.b', { from: base, ...given })
      const decoded = decodeAggregate(
        throughJsonb(JSON.parse(JSON.stringify(encodeAggregate(declared)))),
        base,
      )
      expect(definitionHash(decoded)).toBe(definitionHash(declared))
      const { definition: _, ...cells } = materializationOf(decoded)
      const { definition: __, ...expected } = materializationOf(declared)
      expect(cells).toEqual(expected)
      expect(encodeAggregate(decoded)).toEqual(encodeAggregate(declared))
    }),
  )
})

it('the hash is of what cells hang on, and of nothing else', () => {
  const plain = {
    from: base,
    bucket: '1 hour',
    by: ['host'],
    where: { ok: true, size: { gt: 1 } },
    select: { n: { fn: 'count' }, s: { fn: 'sum', column: 'size' } },
  }
  const hash = (over: object = {}) => definitionHash(declare('a.b', { ...plain, ...over }))
  expect(
    hash({
      retain: '1 year',
      comment: 'x',
      refresh: { every: '1 hour' },
      where: { size: { gt: 1n }, ok: true },
    }),
  ).toBe(hash())
  expect(hash({ bucket: { every: '60 minutes' } })).toBe(hash())
  const others = [
    { bucket: '2 hours' },
    { bucket: { every: '1 hour', zone: 'Europe/Berlin' } },
    { by: [] },
    { where: { ok: true } },
    { select: { n: { fn: 'count' } } },
    { select: { m: { fn: 'count' }, s: plain.select.s } },
    { select: { n: { fn: 'count', where: { ok: true } }, s: plain.select.s } },
  ]
  expect(new Set([hash(), ...others.map(hash)]).size).toBe(others.length + 1)
})

it('is the same whether it was declared over the hypertable or over another aggregate', () => {
  const select = { n: { fn: 'count' } }
  const hourly = declare('a.hourly', {
    from: base,
    bucket: '1 hour',
    by: ['host', 'ok'],
    where: { size: { gt: 1 } },
    select,
  })
  const over = declare('a.daily', {
    from: hourly,
    bucket: '1 day',
    by: ['host'],
    where: { ok: true },
    select: { n: 'n' },
  })
  const direct = declare('a.daily', {
    from: base,
    bucket: '1 day',
    by: ['host'],
    where: { ok: true, size: { gt: 1 } },
    select,
  })
  expect(definitionHash(over)).toBe(definitionHash(direct))
})
