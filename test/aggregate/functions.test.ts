import { describe, expect, it } from 'vitest'
import {
  type AggregateFunction,
  aggregateFunctions,
  aggregates,
  type InputType,
  type InputValue,
  stateKey,
  stateKinds,
  states,
} from '../../src/aggregate/index.ts'

const inputs: readonly InputType[] = [
  'timestamptz',
  'date',
  'text',
  'uuid',
  'bool',
  'int2',
  'int4',
  'int8',
  'float4',
  'float8',
  'numeric',
  'text[]',
  'json-number',
  'json-text',
]
const numbers = ['int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'json-number']

function answer(
  fn: AggregateFunction,
  input: InputType,
  values: readonly InputValue[],
  options: {
    quantile?: number
    quantiles?: readonly number[]
    k?: number
    weight?: 'locf' | 'linear'
    borders?: readonly number[]
    times?: readonly bigint[]
  } = {},
): unknown {
  const { k, weight } = options
  const spec = aggregates[fn].state(input, { borders: options.borders ?? null, k, weight })
  const state = states[spec.kind].create(spec)
  values.forEach((value, i) => {
    states[spec.kind].add(state, value, options.times?.[i] ?? BigInt(i))
  })
  return aggregates[fn].finish(state, spec, {
    quantile: options.quantile ?? null,
    quantiles: options.quantiles,
    k,
  })
}

describe('aggregate functions', () => {
  it('are all defined, under their own name, over states that are all defined', () => {
    for (const fn of aggregateFunctions) expect(aggregates[fn].fn).toBe(fn)
    for (const kind of stateKinds) expect(states[kind].kind).toBe(kind)
  })

  it.each(['sum', 'avg', 'stddev', 'variance', 'percentile', 'histogram'] as const)(
    '%s takes numbers only',
    (fn) => {
      const accepted = inputs.filter((input) => aggregates[fn].refuses(input) === null)
      expect(accepted).toEqual(inputs.filter((input) => numbers.includes(input)))
      expect(aggregates[fn].refuses('text')).toContain('numbers')
      expect(aggregates[fn].refuses(null)).toContain('numbers')
    },
  )

  it.each(['min', 'max', 'first', 'last', 'uniques', 'countDistinct'] as const)(
    '%s takes everything but text[]',
    (fn) => {
      expect(inputs.filter((input) => aggregates[fn].refuses(input) !== null)).toEqual(['text[]'])
      expect(aggregates[fn].refuses(null)).not.toBeNull()
      expect(aggregates[fn].needsColumn).toBe(true)
    },
  )

  it('count takes rows and every column', () => {
    expect([null, ...inputs].filter((input) => aggregates.count.refuses(input) !== null)).toEqual([])
    expect(aggregates.count.needsColumn).toBe(false)
  })

  it('functions of one state share it', () => {
    const key = (fn: AggregateFunction): string => stateKey(aggregates[fn].state('float8', { borders: null }))
    expect(key('sum')).toBe(key('avg'))
    expect(key('stddev')).toBe(key('variance'))
    expect(key('min')).not.toBe(key('max'))
  })

  it("sums have PostgreSQL's types", () => {
    expect(answer('sum', 'int4', [2147483647, 1])).toBe(2147483648n)
    expect(answer('sum', 'int8', [2n ** 63n - 1n, 1n])).toBe('9223372036854775808')
    expect(answer('sum', 'numeric', ['1.50', '2'])).toBe('3.50')
    expect(answer('sum', 'float8', [1.5, 2])).toBe(3.5)
    expect(inputs.filter((i) => numbers.includes(i)).map((input) => aggregates.sum.result(input))).toEqual([
      'int8',
      'int8',
      'numeric',
      'float8',
      'float8',
      'numeric',
      'float8',
    ])
  })

  it('many integers sum exactly beyond 2^53', () => {
    const values = Array.from({ length: 9_000_000 }, () => 2147483647)
    expect(answer('sum', 'int4', values)).toBe(9_000_000n * 2147483647n)
  })

  it('averages are doubles of integers and decimals of decimals', () => {
    expect(answer('avg', 'int8', [2n ** 63n - 1n, 2n ** 63n - 1n, 1n])).toBe(6148914691236517000)
    expect(answer('avg', 'int4', [1, 2])).toBe(1.5)
    expect(answer('avg', 'numeric', ['1', '2', '2.00'])).toBe('1.6666666666666667')
    expect(aggregates.avg.result('numeric')).toBe('numeric')
    expect(aggregates.avg.result('int8')).toBe('float8')
  })

  it('-0 comes out as 0 whatever the order', () => {
    for (const fn of ['min', 'max', 'first', 'last', 'sum', 'avg'] as const) {
      expect(answer(fn, 'float8', [-0, 0]), fn).toBe(0)
      expect(answer(fn, 'float8', [-0]), fn).toBe(0)
    }
    expect(answer('percentile', 'float8', [-0, -0], { quantile: 0.5 })).toBe(0)
  })

  it('NaN is greatest', () => {
    expect(answer('min', 'float8', [Number.NaN, 1])).toBe(1)
    expect(answer('max', 'float8', [Number.NaN, Number.POSITIVE_INFINITY])).toBeNaN()
    expect(answer('histogram', 'float8', [Number.NaN, 0, 1, 2], { borders: [1] })).toEqual([1, 3])
  })

  it('first and last break ties of time by the value', () => {
    const times = [5n, 5n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 53n + 1n]
    expect(answer('first', 'text', ['b', 'a', 'c', 'd', 'e'], { times })).toBe('a')
    expect(answer('last', 'text', ['b', 'a', 'z', 'e', 'd'], { times })).toBe('e')
  })

  it('min and max of text go by code points, not by UTF-16 units', () => {
    expect(answer('max', 'text', ['\uffee', '\u{1f600}'])).toBe('\u{1f600}')
  })

  it('variance and deviation are the sample ones', () => {
    expect(answer('variance', 'float8', [2, 4, 4, 4, 5, 5, 7, 9])).toBeCloseTo(32 / 7, 12)
    expect(answer('stddev', 'int4', [1, 3])).toBeCloseTo(Math.SQRT2, 12)
    expect(answer('stddev', 'int4', [1])).toBeNull()
  })

  it('a histogram needs finite ascending borders, at most 1000', () => {
    const state = (borders: readonly number[] | null): (() => unknown) => {
      return () => aggregates.histogram.state('float8', { borders })
    }
    expect(state(null)).toThrow(/at least one border/)
    expect(state([])).toThrow(/at least one border/)
    expect(state([2, 1])).toThrow('borders: borders must ascend, and 1 follows 2')
    expect(state([1, 1])).toThrow(/must ascend/)
    expect(state([Number.NaN])).toThrow(/not a finite number/)
    expect(state(Array.from({ length: 1001 }, (_, i) => i))).toThrow(/limit of 1000/)
    expect(answer('histogram', 'int4', [-5, 1, 2, 2, 9], { borders: [1, 2] })).toEqual([1, 1, 3])
  })

  it('a percentile needs a quantile from 0 to 1', () => {
    for (const quantile of [-0.1, 1.1, Number.NaN])
      expect(() => answer('percentile', 'float8', [1], { quantile })).toThrow(/quantile from 0 to 1/)
    expect(() => answer('percentile', 'float8', [1])).toThrow(/quantile from 0 to 1/)
  })

  it('percentiles are those of one sketch, in the order that was asked, null without values', () => {
    const values = Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1000)
    const quantiles = [0.99, 0, 0.5, 1]
    expect(answer('percentiles', 'int4', values, { quantiles })).toEqual(
      quantiles.map((quantile) => answer('percentile', 'int4', values, { quantile })),
    )
    expect(answer('percentiles', 'int4', [], { quantiles })).toBeNull()
    expect(() => answer('percentiles', 'int4', [1], { quantiles: [2] })).toThrow(/quantile from 0 to 1/)
  })

  it('countDistinct beyond its limit says what to ask for', () => {
    const long = 'x'.repeat(1_000_000)
    const values = Array.from({ length: 17 }, (_, i) => `${long}${i}`)
    expect(() => answer('countDistinct', 'text', values)).toThrow(/over the limit of 16777216 bytes.*uniques/)
    expect(answer('countDistinct', 'text', [...values.slice(0, 16), ...values.slice(0, 16)])).toBe(16)
  })

  it('only what is not exact states an error bound', () => {
    const bounded = (input: InputType): string[] =>
      aggregateFunctions.filter((fn) => aggregates[fn].errorBound(input) !== null)
    expect(bounded('int4')).toEqual([
      ...['stddev', 'variance', 'percentile', 'percentiles', 'uniques', 'topK', 'rate', 'timeWeightedAvg'],
    ])
    expect(bounded('float8')).toEqual([
      'sum',
      'avg',
      'stddev',
      'variance',
      'percentile',
      'percentiles',
      'uniques',
      ...['topK', 'increase', 'rate', 'delta', 'timeWeightedAvg'],
    ])
  })

  it('bytes that are damaged or of another version are refused', () => {
    const spec = aggregates.sum.state('float8', { borders: null })
    const bytes = states.sum.encode(states.sum.create(spec))
    expect(() => states.sum.decode(bytes.subarray(0, 5), spec)).toThrow(/ends too early/)
    expect(() => states.sum.decode(Uint8Array.of(...bytes, 0), spec)).toThrow(/left over/)
    expect(() => states.sum.decode(Uint8Array.of(9, ...bytes.subarray(1)), spec)).toThrow(/version 9/)
  })
})
