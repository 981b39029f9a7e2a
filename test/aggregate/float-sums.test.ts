import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AggregateState, aggregates, states } from '../../src/aggregate/index.ts'
import { asMultiple } from './doubles.ts'

const seed = Number(Date.now() % 2 ** 31)
const spec = aggregates.sum.state('float8', { borders: null })
const unit = 2n ** 1074n
/** From here on the nearest double is Infinity. */
const overflow = (2n ** 1024n - 2n ** 970n) * unit

function build(values: readonly number[]): AggregateState {
  const state = states.sum.create(spec)
  for (const value of values) states.sum.add(state, value, null)
  return state
}

const finish = (fn: 'sum' | 'avg', state: AggregateState): number =>
  aggregates[fn].finish(state, spec, { quantile: null }) as number

const abs = (x: bigint): bigint => (x < 0n ? -x : x)

const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
const huge = fc.constantFrom(1e308, -1e308, Number.MAX_VALUE, -Number.MAX_VALUE, 2 ** 900, -(2 ** 900), 1, -1)
const ordinary = fc.double({ min: -1e6, max: 1e6, noNaN: true })

describe('sums and averages of doubles', () => {
  it.each([
    ['of any size', finite],
    ['at the end of the range', huge],
    ['of ordinary size', ordinary],
  ])('of values %s are within their bound of the exact ones, split anywhere', (_name, value) => {
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 60 }), fc.nat(), (values, cut) => {
        const at = cut % (values.length + 1)
        const state = states.sum.merge(build(values.slice(at)), build(values.slice(0, at)))
        const n = BigInt(values.length)
        const exact = values.reduce((sum, x) => sum + asMultiple(x), 0n)
        const magnitudes = values.reduce((sum, x) => sum + abs(asMultiple(x)), 0n)
        // n * 2^-52 * sum |x|, and one unit of the smallest double
        const bound = (n * magnitudes) / 2n ** 52n + 1n
        const sum = finish('sum', state)
        if (Number.isFinite(sum)) expect(abs(asMultiple(sum) - exact) <= bound, `${sum}`).toBe(true)
        else {
          expect(sum).not.toBeNaN()
          expect(abs(exact) + bound >= overflow).toBe(true)
          expect(sum > 0).toBe(exact > 0n)
        }
        const avg = finish('avg', state)
        expect(abs(asMultiple(avg) * n - exact) <= bound + magnitudes / 2n ** 52n + n, `${avg}`).toBe(true)
      }),
      { seed, numRuns: 1000 },
    )
  })

  it('is Infinity for ten times 1e308, and NaN for infinities of both signs', () => {
    const ten = Array.from({ length: 10 }, () => 1e308)
    expect(finish('sum', build(ten))).toBe(Number.POSITIVE_INFINITY)
    expect(finish('avg', build(ten))).toBe(1e308)
    expect(finish('sum', build([...ten, ...ten.map((x) => -x), 3e307]))).toBe(3e307)
    expect(finish('sum', build([Number.POSITIVE_INFINITY, 1, Number.NEGATIVE_INFINITY]))).toBeNaN()
    expect(finish('sum', build([Number.NEGATIVE_INFINITY, ...ten]))).toBe(Number.NEGATIVE_INFINITY)
  })
})
