import { describe, expect, it } from 'vitest'
import { aggregates, exactUpTo, standardError, states } from '../../src/aggregate/index.ts'
import { bytesOf } from './harness.ts'

const spec = aggregates.uniques.state('int8', { borders: null })
const finish = (state: object): number => aggregates.uniques.finish(state, spec, { quantile: null }) as number

function range(from: number, to: number): object {
  const state = states.hll.create(spec)
  for (let i = from; i < to; i += 1) states.hll.add(state, BigInt(i), null)
  return state
}

describe('uniques', () => {
  it('is exact for every number of values up to 512', () => {
    const state = states.hll.create(spec)
    for (let i = 1; i <= exactUpTo; i += 1) {
      states.hll.add(state, BigInt(i), null)
      states.hll.add(state, BigInt((i * 7919) % i) + 1n, null)
      expect(finish(state)).toBe(i)
    }
  })

  it('stays within 4 standard errors at every size from 513 to 5 million, and without bias on average', () => {
    const state = states.hll.create(spec)
    const sizes = [513, 600, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000]
    let added = 0
    for (const size of sizes) {
      for (; added < size; added += 1) states.hll.add(state, BigInt(added), null)
      expect(Math.abs(finish(state) / size - 1), `${size}`).toBeLessThan(4 * standardError)
    }
  }, 60_000)

  it.each([600, 2000, 8000, 12_000, 20_000])('has no bias at %i values, over 50 disjoint sets', (size) => {
    const sets = 50
    let sum = 0
    let squares = 0
    for (let set = 0; set < sets; set += 1) {
      const error = finish(range(set * size + 1e9, (set + 1) * size + 1e9)) / size - 1
      sum += error
      squares += error * error
    }
    // the mean of 50 has a standard error of 1.63 % / 7
    expect(Math.abs(sum / sets)).toBeLessThan((4 * standardError) / Math.sqrt(sets))
    expect(Math.sqrt(squares / sets)).toBeLessThan(1.5 * standardError)
  })

  it('keeps hashes up to 512 values and registers beyond, whichever way they came together', () => {
    const small = range(0, 300)
    const merged = states.hll.merge(range(0, 300), range(200, 512))
    expect(bytesOf(spec, merged)).toBe(bytesOf(spec, range(0, 512)))
    expect(states.hll.encode(merged).length).toBe(1 + 1 + 2 + 512 * 8)
    const beyond = states.hll.merge(range(300, 900), small)
    expect(bytesOf(spec, beyond)).toBe(bytesOf(spec, range(0, 900)))
    expect(bytesOf(spec, states.hll.merge(range(0, 300), range(300, 900)))).toBe(bytesOf(spec, beyond))
    expect(states.hll.encode(beyond).length).toBe(1 + 1 + 4096)
  })
})
