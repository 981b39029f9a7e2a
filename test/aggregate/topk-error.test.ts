import { describe, expect, it } from 'vitest'
import { type AggregateState, aggregates, states, type TopValue } from '../../src/aggregate/index.ts'
import { createRandom } from '../helpers/split-tiers.ts'

const seed = Number(Date.now() % 2 ** 31)
const k = 10
const spec = aggregates.topK.state('int4', { borders: null, k })
const { create, add, merge, encode, decode } = states.topk
const capacity = 256

function build(values: readonly number[]): AggregateState {
  return values.reduce((state, value) => add(state, value, null), create(spec))
}

const list = (state: AggregateState): readonly TopValue[] =>
  aggregates.topK.finish(state, spec, { quantile: null, k }) as readonly TopValue[]

/** Few values are frequent and many are rare, and which ones are frequent changes as time goes on. */
function drifting(random: () => number, length: number): number[] {
  return Array.from({ length }, (_, i) => Math.floor(3000 * random() ** 4) + Math.floor(i / 700) * 5)
}

describe('topK', () => {
  it(`states bounds that hold, in whatever parts and order the values came (seed ${seed})`, () => {
    let inexact = 0
    const random = createRandom(seed)
    for (let run = 0; run < 60; run++) {
      const values = drifting(random, 500 + Math.floor(random() * 5500))
      const truth = new Map<number, number>()
      for (const value of values) truth.set(value, (truth.get(value) ?? 0) + 1)
      const length = 200 + Math.floor(random() * 3000)
      const parts: AggregateState[] = []
      // what is stored has no more values than the capacity
      for (let at = 0; at < values.length; at += length)
        parts.push(decode(encode(build(values.slice(at, at + length))), spec))
      const found = list(parts.sort(() => random() - 0.5).reduce((all, next) => merge(all, next)))
      for (const { value, count, error } of found) {
        if (error > 0) inexact++
        const exact = truth.get(value as number)!
        expect(count).toBeLessThanOrEqual(exact)
        expect(count + error).toBeGreaterThanOrEqual(exact)
        // what each part left out was no more frequent than this
        expect(error).toBeLessThanOrEqual(values.length / capacity)
      }
      expect(found.length).toBe(Math.min(k, truth.size))
      if (truth.size <= capacity) expect(found.every(({ error }) => error === 0)).toBe(true)
    }
    expect(inexact).toBeGreaterThan(0)
  })

  it('finds what is frequent among what is rare', () => {
    const values = Array.from({ length: 50_000 }, (_, i) => (i % 5 === 0 ? (i / 5) % 4 : 1000 + i))
    for (const state of [build(values), decode(encode(build(values)), spec)]) {
      const found = list(state).slice(0, 4)
      expect(found.map(({ value }) => value).sort()).toEqual([0, 1, 2, 3])
      for (const { count, error } of found) {
        expect(count).toBeLessThanOrEqual(2500)
        expect(count + error).toBeGreaterThanOrEqual(2500)
      }
    }
  })

  it('lists equal counts in the order of their values', () => {
    expect(list(build([30, 4, 4, 200, 30, -7]))).toEqual([
      { value: 4, count: 2, error: 0 },
      { value: 30, count: 2, error: 0 },
      { value: -7, count: 1, error: 0 },
      { value: 200, count: 1, error: 0 },
    ])
  })

  it('keeps eight values for each that is listed, 256 at least, and lists 1000 at most', () => {
    const capacityOf = (some: number): unknown =>
      aggregates.topK.state('text', { borders: null, k: some }).capacity
    expect([1, 32, 33, 1000].map(capacityOf)).toEqual([256, 256, 264, 8000])
    for (const wrong of [0, 1001, 1.5, Number.NaN]) expect(() => capacityOf(wrong)).toThrow(/1 to 1000/)
  })

  it('shows instants as text', () => {
    const times = aggregates.topK.state('timestamptz', { borders: null, k })
    const state = add(create(times), 1_000_001n, null)
    expect(aggregates.topK.finish(state, times, { quantile: null, k })).toEqual([
      { value: '1970-01-01T00:00:01.000001Z', count: 1, error: 0 },
    ])
  })
})
