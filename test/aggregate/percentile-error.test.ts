import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bucketBorder, bucketIndex, bucketValue } from '../../src/aggregate/ddsketch-buckets.ts'
import { aggregates, bucketCap, relativeError, states } from '../../src/aggregate/index.ts'
import { doublesAround } from './doubles.ts'

const seed = Number(Date.now() % 2 ** 31)
const spec = aggregates.percentile.state('float8', { borders: null })

function sketchOf(values: readonly number[]): object {
  const state = states.ddsketch.create(spec)
  for (const value of values) states.ddsketch.add(state, value, null)
  return state
}

/** The definition: rank floor(q * (n - 1)) in PostgreSQL's order. */
function exactAt(values: readonly number[], quantile: number): number {
  const sorted = [...values].sort((a, b) => (Number.isNaN(a) ? 1 : Number.isNaN(b) ? -1 : a - b))
  return sorted[Math.floor(quantile * (sorted.length - 1))]!
}

function expectClose(values: readonly number[], quantile: number, state = sketchOf(values)): void {
  const exact = exactAt(values, quantile)
  const answer = aggregates.percentile.finish(state, spec, { quantile }) as number
  if (!Number.isFinite(exact)) expect(answer).toBe(exact)
  // subnormal values count as zero
  else if (Math.abs(exact) < 2 ** -1022) expect(Math.abs(answer)).toBeLessThan(2 ** -1022)
  else
    expect(Math.abs(answer / exact - 1), `p${quantile * 100} is ${exact}, not ${answer}`).toBeLessThanOrEqual(
      relativeError * (1 + 1e-12),
    )
}

describe('percentile', () => {
  it('every border of every power of two, and 4 doubles to either side, fall into their half-open bucket', () => {
    let checked = 0
    for (let exponent = -1022; exponent <= 1023; exponent += 1)
      for (let s = 0; s < 50; s += 1) {
        const index = exponent * 50 + s
        const border = bucketBorder(index)
        // the nearest double of 1 + s/50, as its decimal text is read
        expect(border).toBe(Number((1 + s / 50).toFixed(2)) * 2 ** exponent)
        for (const x of doublesAround(border, 4)) {
          if (x < 2 ** -1022 || !Number.isFinite(x)) continue
          const expected = x < border ? index - 1 : index
          if (bucketIndex(x) !== expected) throw new Error(`${x} is in ${bucketIndex(x)}, not ${expected}`)
          checked += 1
        }
      }
    expect(checked).toBeGreaterThan(900_000)
  })

  it("a bucket's value is within 1/101 of everything in it", () => {
    for (let index = -1022 * 50; index < 1024 * 50 - 1; index += 1) {
      const value = bucketValue(index)
      const low = bucketBorder(index)
      const high = bucketBorder(index + 1)
      expect(value / low - 1).toBeLessThanOrEqual(relativeError * (1 + 1e-12))
      expect(1 - value / high).toBeLessThanOrEqual(relativeError * (1 + 1e-12))
    }
    expect(Number.isFinite(bucketValue(1024 * 50 - 1))).toBe(true)
  })

  it('any quantile of random values is within 1 % of the exact order statistic', () => {
    const spread = fc.oneof(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
      fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5e-324, -1, 1),
      fc.integer({ min: -20, max: 20 }),
    )
    // within the cap: 80 powers of two
    const values = fc
      .array(spread, { minLength: 1, maxLength: 300 })
      .map((all) => all.map((x) => (Math.abs(x) < 1e-15 && Math.abs(x) >= 2 ** -1022 ? 1e-15 : x)))
    fc.assert(
      fc.property(
        values,
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 }),
        (all, qs) => {
          for (const quantile of [...qs, 0, 0.5, 1]) expectClose(all, quantile)
        },
      ),
      { seed, numRuns: 400 },
    )
  })

  it.each([
    ['all equal', Array.from({ length: 1000 }, () => 42.1)],
    ['geometric over 80 powers of two', Array.from({ length: 1600 }, (_, i) => 1.0353 ** i)],
    ['just below borders', Array.from({ length: 1000 }, (_, i) => bucketBorder(i) * (1 - 2 ** -53))],
    ['two clusters far apart', Array.from({ length: 1000 }, (_, i) => (i % 2 ? 1e-9 : 1e12) * (1 + i / 1e4))],
    ['largest doubles', Array.from({ length: 100 }, (_, i) => Number.MAX_VALUE * (1 - i / 1000))],
    ['smallest normal doubles', Array.from({ length: 100 }, (_, i) => 2 ** -1022 * (1 + i / 10))],
    ['negatives', Array.from({ length: 999 }, (_, i) => -(1.01 ** i))],
  ])('adversarial values are within 1 %: %s', (_name, values) => {
    const state = sketchOf(values)
    for (let i = 0; i <= 200; i += 1) expectClose(values, i / 200, state)
  })

  it('the least and the greatest value are exact', () => {
    const values = [3.1, -2.73, 1e10, 7]
    const state = sketchOf(values)
    expect(aggregates.percentile.finish(state, spec, { quantile: 0 })).toBe(-2.73)
    expect(aggregates.percentile.finish(state, spec, { quantile: 1 })).toBe(1e10)
  })

  it('values more than the cap below the greatest are counted in the lowest bucket, the others stay within 1 %', () => {
    const values = Array.from({ length: 2000 }, (_, i) => 2 ** (i - 1000))
    const state = sketchOf(values)
    const lowestKept = bucketBorder(bucketIndex(2 ** 999) - bucketCap + 1)
    for (let i = 0; i <= 1000; i += 1) {
      const quantile = i / 1000
      if (exactAt(values, quantile) >= lowestKept) expectClose(values, quantile, state)
      else if (quantile > 0)
        expect(aggregates.percentile.finish(state, spec, { quantile }) as number).toBeLessThanOrEqual(
          lowestKept * 1.02,
        )
    }
    expect(states.ddsketch.encode(state).length).toBeLessThan(600)
  })
})
