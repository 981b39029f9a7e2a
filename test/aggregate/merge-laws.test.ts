import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AggregateState, type InputType, type StateSpec, states } from '../../src/aggregate/index.ts'
import { arbitraryRows, type Row } from './arbitraries.ts'
import { buildState, bytesOf } from './harness.ts'
import { allSpecs, expectSame } from './same.ts'

const seed = Number(Date.now() % 2 ** 31)

function build(spec: StateSpec, rows: readonly Row[]): AggregateState {
  return buildState(
    spec,
    rows.map((row) => row.value),
    rows.map((row) => row.time),
  )
}

describe.each(allSpecs())('%s', (_name, spec) => {
  const { merge, create, encode, decode } = states[spec.kind]
  const rows = arbitraryRows(spec.input as InputType, 25)
  const property = (check: (x: Row[], y: Row[], z: Row[]) => void): void =>
    fc.assert(fc.property(rows, rows, rows, check), { seed, numRuns: 60 })

  it('a merge of parts in any order and grouping equals building at once', () => {
    property((x, y, z) => {
      const all = [...x, ...y, ...z]
      const once = build(spec, all)
      expectSame(spec, merge(merge(build(spec, x), build(spec, y)), build(spec, z)), once, all)
      expectSame(spec, merge(build(spec, x), merge(build(spec, y), build(spec, z))), once, all)
      expectSame(spec, merge(merge(build(spec, z), build(spec, x)), build(spec, y)), once, all)
      expectSame(spec, build(spec, [...all].reverse()), once, all)
    })
  })

  it('the state of no rows changes nothing', () => {
    property((x) => {
      const bytes = bytesOf(spec, build(spec, x))
      expect(bytesOf(spec, merge(create(spec), build(spec, x)))).toBe(bytes)
      expect(bytesOf(spec, merge(build(spec, x), create(spec)))).toBe(bytes)
    })
  })

  it('a decoded state is the encoded one and merges like it', () => {
    property((x, y) => {
      const bytes = encode(build(spec, x))
      expect(bytesOf(spec, decode(bytes, spec))).toBe(Buffer.from(bytes).toString('hex'))
      // of what is ordered only stretches that have no instant in common: timeline.test.ts
      if (states[spec.kind].ordered) return
      const merged = bytesOf(spec, merge(decode(bytes, spec), build(spec, y)))
      expect(merged).toBe(bytesOf(spec, merge(build(spec, x), build(spec, y))))
    })
  })

  it('merging leaves the second state as it was', () => {
    property((x, y) => {
      const second = build(spec, y)
      const before = bytesOf(spec, second)
      merge(build(spec, x), second)
      merge(merge(create(spec), second), build(spec, x))
      expect(bytesOf(spec, second)).toBe(before)
    })
  })
})
