import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type AggregateState, aggregates, states } from '../../src/aggregate/index.ts'
import { SlidingMerge } from '../../src/query/sliding-merge.ts'

const spec = aggregates.uniques.state('int8', { borders: null })
const { create, add, merge, encode } = states[spec.kind]

/** Many values in some cells, so that some are registers and others hashes; none in others. */
const cell = fc
  .record({ from: fc.integer({ min: 0, max: 2_000 }), count: fc.constantFrom(0, 0, 1, 3, 40, 700) })
  .map(({ from, count }): AggregateState | null => {
    if (count === 0) return null
    let state = create(spec)
    for (let i = 0; i < count; i++) state = add(state, BigInt(from + i), null)
    return state
  })

it('a window that slides along cells is all of its cells merged, bit by bit, and the cells stay as they are', () => {
  fc.assert(
    fc.property(
      fc.array(cell, { minLength: 1, maxLength: 25 }),
      fc.array(fc.tuple(fc.nat(3), fc.nat(4)), { maxLength: 25 }),
      fc.boolean(),
      (cells, steps, goesBack) => {
        const before = cells.map((state) => state && Buffer.from(encode(state)).toString('hex'))
        const sliding = new SlidingMerge(spec, cells)
        let [from, to] = [0, 0]
        for (const [i, [on, wider]] of steps.entries()) {
          if (goesBack && i % 7 === 6) [from, to] = [0, 1]
          from = Math.min(from + on, cells.length)
          to = Math.min(Math.max(to, from) + wider, cells.length)
          let naive = create(spec)
          for (const state of cells.slice(from, to)) if (state) naive = merge(naive, state)
          const found = sliding.merged(from, to)
          expect(Buffer.from(encode(found)).equals(Buffer.from(encode(naive)))).toBe(true)
          // whoever asked may change what he has been given
          add(found, -1n, null)
        }
        expect(cells.map((state) => state && Buffer.from(encode(state)).toString('hex'))).toEqual(before)
      },
    ),
  )
})
