import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type AggregateFunction,
  type AggregateState,
  aggregates,
  type StateSpec,
  states,
} from '../../src/aggregate/index.ts'
import { bytesOf } from './harness.ts'

const seed = Number(Date.now() % 2 ** 31)

interface Reading {
  readonly at: number
  readonly value: number
  readonly series?: string | null
}

const series = ['text'] as const

function specOf(fn: AggregateFunction, weight?: 'locf' | 'linear'): StateSpec {
  return aggregates[fn].state('float8', { borders: null, series, weight })
}

/** `at` is in seconds. */
function build(spec: StateSpec, readings: readonly Reading[]): AggregateState {
  const definition = states[spec.kind]
  return readings.reduce(
    (state, { at, value, series: name = 'a' }) =>
      definition.add(state, value, BigInt(Math.round(at * 1e6)), [name]),
    definition.create(spec),
  )
}

function answer(fn: AggregateFunction, readings: readonly Reading[], weight?: 'locf' | 'linear'): unknown {
  const spec = specOf(fn, weight)
  return aggregates[fn].finish(build(spec, readings), spec, { quantile: null })
}

const at = (...pairs: readonly (readonly [number, number, (string | null)?])[]): Reading[] =>
  pairs.map(([time, value, name]) => ({ at: time, value, ...(name === undefined ? {} : { series: name }) }))

describe('counters', () => {
  it('count what was added, and from 0 again after a reset', () => {
    expect(answer('increase', at([0, 10], [10, 15], [20, 40]))).toBe(30)
    expect(answer('increase', at([0, 10], [10, 15], [20, 3], [30, 4], [40, 1]))).toBe(5 + 3 + 1 + 1)
    expect(answer('rate', at([0, 10], [10, 15], [20, 3], [30, 4], [40, 1]))).toBe(10 / 40)
    expect(answer('delta', at([0, 10], [10, 15], [20, 3], [30, 4], [40, 1]))).toBe(-9)
  })

  it('take readings in order of time, of one time in order of value', () => {
    expect(answer('increase', at([20, 40], [0, 10], [10, 15]))).toBe(30)
    expect(answer('increase', at([10, 9], [0, 1], [10, 5], [10, 7]))).toBe(8)
    expect(answer('delta', at([10, 9], [10, 5]))).toBe(4)
  })

  it('are 0 for one reading, without a rate, and null for none', () => {
    expect(answer('increase', at([5, 7]))).toBe(0)
    expect(answer('delta', at([5, 7]))).toBe(0)
    expect(answer('rate', at([5, 7]))).toBeNull()
    expect(answer('rate', at([5, 7], [5, 9]))).toBeNull()
    for (const fn of ['increase', 'rate', 'delta', 'timeWeightedAvg'] as const)
      expect(answer(fn, [])).toBeNull()
  })

  it('add up series, each of which is read by itself', () => {
    const both = at([0, 100, 'a'], [1, 3, 'b'], [2, 101, 'a'], [3, 13, 'b'], [3, 5, null])
    expect(answer('increase', both)).toBe(11)
    expect(answer('rate', both)).toBe(1 / 2 + 10 / 2)
  })

  it('leave out what is no reading', () => {
    const odd = at([0, 1], [1, Number.NaN], [2, Number.POSITIVE_INFINITY], [3, -1e300], [4, 5])
    expect(answer('increase', odd)).toBe(4)
    expect(answer('timeWeightedAvg', odd)).toBe(1)
  })

  it('are refused in more than 10,000 series of one cell', () => {
    const many = Array.from({ length: 10_001 }, (_, i) => ({ at: 0, value: i, series: String(i) }))
    expect(() => answer('increase', many)).toThrow(/TM_LIMIT|more than 10000/)
  })
})

describe('averages over time', () => {
  it('weigh a reading by how long it held', () => {
    expect(answer('timeWeightedAvg', at([0, 10], [9, 20], [10, 0]))).toBe((10 * 9 + 20) / 10)
    expect(answer('timeWeightedAvg', at([0, 10], [9, 20], [10, 0]), 'linear')).toBe((15 * 9 + 10) / 10)
    expect(answer('timeWeightedAvg', at([0, 10]))).toBeNull()
  })

  it('weigh series by how long they were read', () => {
    expect(answer('timeWeightedAvg', at([0, 1, 'a'], [30, 1, 'a'], [0, 5, 'b'], [10, 5, 'b']))).toBe(2)
  })
})

describe('stretches of time', () => {
  const readings = fc.array(
    fc.record({
      at: fc.integer({ min: 0, max: 400 }),
      value: fc.integer({ min: -50, max: 50 }),
      series: fc.constantFrom('a', 'b', null),
    }),
    { maxLength: 60 },
  )

  for (const [fn, weight] of [
    ['increase'],
    ['timeWeightedAvg', 'locf'],
    ['timeWeightedAvg', 'linear'],
  ] as const)
    it(`${fn} ${weight ?? ''}: merge in any order, stored or not, to the state of all (seed ${seed})`, () => {
      const spec = specOf(fn, weight)
      const { merge, create, encode, decode } = states[spec.kind]
      const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 400 }), { maxLength: 6 })
      fc.assert(
        fc.property(readings, cuts, fc.infiniteStream(fc.nat()), (all, borders, random) => {
          const ends = [...borders.sort((a, b) => a - b), Number.POSITIVE_INFINITY]
          let from = 0
          const parts = ends.map((to) => {
            const part = all.filter((one) => one.at >= from && one.at < to)
            from = to
            return build(spec, part)
          })
          while (parts.length > 1) {
            const [one] = parts.splice(random.next().value % parts.length, 1)
            const [two] = parts.splice(random.next().value % parts.length, 1)
            // a merge of two that are not neighbours is not stored: nothing lies inside of a stored one
            const isStored = parts.length === 0 && random.next().value % 2 === 0
            const merged = merge(merge(create(spec), one!), two!)
            parts.push(isStored ? decode(encode(merged), spec) : merged)
          }
          const stored = ends.reduce<AggregateState>((state, to, i) => {
            const start = ends[i - 1] ?? 0
            const part = build(
              spec,
              all.filter((one) => one.at >= start && one.at < to),
            )
            // the newest first
            return merge(decode(encode(part), spec), state)
          }, create(spec))
          const once = build(spec, all)
          // whole numbers of whole seconds: no rounding
          expect(bytesOf(spec, parts[0]!)).toBe(bytesOf(spec, once))
          expect(bytesOf(spec, stored)).toBe(bytesOf(spec, once))
        }),
        { seed, numRuns: 300 },
      )
    })

  it('are refused where one lies inside of another, never answered wrongly', () => {
    const spec = specOf('increase')
    const { merge, encode, decode } = states[spec.kind]
    const stored = decode(encode(build(spec, at([0, 1], [10, 5]))), spec)
    const late = build(spec, at([5, 3]))
    expect(() => aggregates.increase.finish(merge(stored, late), spec, { quantile: null })).toThrow(
      /put in order of time in memory/,
    )
  })

  it('take little memory however many readings there are', () => {
    const spec = specOf('increase')
    const definition = states[spec.kind]
    let state = definition.create(spec)
    for (let i = 0; i < 600_000; i++) state = definition.add(state, i % 1000, BigInt(i), ['a'])
    expect((state as unknown as { segments: number }).segments).toBeLessThanOrEqual(262_144)
    expect(aggregates.increase.finish(state, spec, { quantile: null })).toBe(600 * 999)
  })
})
