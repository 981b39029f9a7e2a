import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addTouched, cutOut, type InvalidRange, setOf, unite } from '../../src/continuous/invalid-ranges.ts'
import { newestWork } from '../../src/continuous/refresh-windows.ts'
import { infinityInstant } from '../../src/time/index.ts'

const range = fc
  .tuple(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 1, max: 8 }))
  .map(([from, length]) => ({ from: BigInt(from), to: BigInt(from + length) }))
const invalid = fc.record({ tenant: fc.constantFrom(null, 'a', 'b'), range })
const set = fc.array(invalid, { maxLength: 8 })

const has = (of: readonly InvalidRange[], tenant: string, at: bigint): boolean =>
  of.some((one) => (one.tenant ?? tenant) === tenant && one.range.from <= at && at < one.range.to)
const places = ['a', 'b', 'c'].flatMap((tenant) =>
  Array.from({ length: 45 }, (_, at) => [tenant, BigInt(at)] as const),
)

describe('invalid ranges', () => {
  it('united are the same; limited they are more, never less', () => {
    fc.assert(
      fc.property(set, fc.integer({ min: 1, max: 4 }), (ranges, most) => {
        const few = unite(ranges, most)
        expect(few.length).toBeLessThanOrEqual(most)
        for (const [tenant, at] of places) {
          expect(has(unite(ranges), tenant, at)).toBe(has(ranges, tenant, at))
          if (has(ranges, tenant, at)) expect(has(few, tenant, at)).toBe(true)
        }
      }),
    )
  })

  it('lose what is cut out, of the tenants that it is cut out of', () => {
    fc.assert(
      fc.property(set, range, (ranges, cut) => {
        const left = cutOut(ranges, [cut])
        const ofA = cutOut(ranges, [cut], new Set(['a']))
        for (const [tenant, at] of places) {
          const isCut = cut.from <= at && at < cut.to
          expect(has(left, tenant, at)).toBe(has(ranges, tenant, at) && !isCut)
          // what is invalid for everybody stays so, for whoever it is asked
          if (tenant !== 'a' || !isCut) expect(has(ofA, tenant, at)).toBe(has(ranges, tenant, at))
        }
      }),
    )
  })

  it('what was touched is invalid, but for what is frozen; the open end stays one', () => {
    fc.assert(
      fc.property(set, set, range, fc.bigInt({ min: 10n, max: 40n }), (closed, touched, gone, openFrom) => {
        const before = setOf({ closed: closed.filter((one) => one.range.to <= openFrom), openFrom })
        const after = addTouched(before, touched, { frozen: [gone], maxRanges: 1000 })
        for (const [tenant, at] of places)
          if ((has(before, tenant, at) || has(touched, tenant, at)) && !(gone.from <= at && at < gone.to))
            expect(has(after, tenant, at)).toBe(true)
        expect(after.filter((one) => one.range.to === infinityInstant)).toHaveLength(1)
      }),
    )
  })

  it('the newest work comes first, and working it off comes to an end', () => {
    fc.assert(
      fc.property(set, (ranges) => {
        let left: readonly InvalidRange[] = unite(ranges)
        for (let steps = 0; left.length > 0; steps++) {
          expect(steps).toBeLessThan(100)
          const work = newestWork(left, { from: 0n, to: 100n })!
          expect(left.every((one) => one.range.to <= work.range.to)).toBe(true)
          left = cutOut(left, [work.range], work.tenants === null ? null : new Set(work.tenants))
        }
      }),
    )
  })
})
