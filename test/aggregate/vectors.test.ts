import { describe, expect, it } from 'vitest'
import { states } from '../../src/aggregate/index.ts'
import { readVectors, specOf, valuesOf } from '../vectors/format.ts'
import { buildState, bytesOf, finishAll } from './harness.ts'

describe.each(readVectors())('the vectors of $state', ({ state: kind, exactness, cases }) => {
  it('name the class of the state', () => {
    expect(states[kind].exactness).toBe(exactness)
    expect(cases.length).toBeGreaterThan(5)
  })

  it.each(cases)('TypeScript gives the bytes and the answers of $input: $name', (vector) => {
    const spec = specOf(kind, vector)
    const state = buildState(spec, valuesOf(vector.values), vector.times ?? null)
    expect(bytesOf(spec, state)).toBe(vector.state)
    const decoded = states[kind].decode(Buffer.from(vector.state, 'hex'), spec)
    expect(bytesOf(spec, decoded)).toBe(vector.state)
    expect(finishAll(spec, decoded)).toEqual(vector.finished)
  })
})
