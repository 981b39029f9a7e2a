import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Coverage, type PartSource, planParts } from '../../src/query/index.ts'
import { overlapping } from '../../src/query/plan-parts.ts'

const stretch = (from: bigint, to: bigint, rows: number | null = 100, pieces = 1): Coverage => ({
  range: { from, to },
  holds: 'all',
  estimatedRows: rows,
  pieces,
})
const share = (...input: Parameters<typeof stretch>): Coverage => ({ ...stretch(...input), holds: 'share' })
const source = (...coverage: Coverage[]): PartSource => ({ coverage, cannot: null })
const all = { from: 0n, to: 100n }
const shape = (range: { from: bigint; to: bigint }, sources: readonly PartSource[]) =>
  planParts(range, sources).parts.map((part) => [part.source, part.range.from, part.range.to])

/** Sources that cover stretches between random borders, each in one of these ways. */
function sourcesOf(kinds: readonly (Coverage['holds'] | null)[]) {
  const coverage = fc
    .tuple(
      fc.uniqueArray(fc.bigInt({ min: -10n, max: 60n }), { maxLength: 12 }),
      fc.array(fc.constantFrom(...kinds), { minLength: 12, maxLength: 12 }),
    )
    .map(([borders, held]) => {
      const sorted = [...borders].sort((a, b) => Number(a - b))
      return sorted.slice(1).flatMap((to, i): Coverage[] => {
        const holds = held[i]
        return holds ? [{ ...stretch(sorted[i]!, to, i * 37), holds }] : []
      })
    })
  const source = fc.record({ coverage, cannot: fc.constantFrom(null, null, null, 'no') })
  return fc.array(source, { maxLength: 5 })
}

const covering =
  (instant: bigint) =>
  ({ range }: { readonly range: { readonly from: bigint; readonly to: bigint } }): boolean =>
    instant >= range.from && instant < range.to

describe('planning parts', () => {
  it('gives the whole range to the only source', () => {
    expect(shape(all, [source(stretch(0n, 100n))])).toEqual([[0, 0n, 100n]])
  })

  it('cuts where one source ends and another begins', () => {
    expect(shape(all, [source(stretch(60n, 100n)), source(stretch(0n, 60n))])).toEqual([
      [1, 0n, 60n],
      [0, 60n, 100n],
    ])
  })

  it('makes no part of gaps, and joins neighbours of one source', () => {
    const hot = source(stretch(0n, 10n), stretch(10n, 20n), stretch(50n, 60n))
    expect(shape(all, [hot])).toEqual([
      [0, 0n, 20n],
      [0, 50n, 60n],
    ])
    expect(shape(all, [])).toEqual([])
    expect(shape(all, [source()])).toEqual([])
  })

  it('goes on with a share over a gap that nobody covers, and not over one that another does', () => {
    const cold = source(share(0n, 10n, 5), share(20n, 30n, 7), share(40n, 50n))
    expect(shape(all, [cold, source(share(32n, 38n))])).toEqual([
      [0, 0n, 30n],
      [1, 32n, 38n],
      [0, 40n, 50n],
    ])
    expect(planParts(all, [cold]).parts).toMatchObject([
      { range: { from: 0n, to: 50n }, estimatedRows: 112, pieces: 3 },
    ])
  })

  it('adds up estimates of what it joins', () => {
    const { parts } = planParts(all, [source(stretch(0n, 10n, 5, 2), stretch(10n, 20n, 7, 1))])
    expect(parts).toMatchObject([{ estimatedRows: 12, pieces: 3 }])
  })

  it('keeps to the asked range', () => {
    expect(shape({ from: 20n, to: 30n }, [source(stretch(0n, 100n))])).toEqual([[0, 20n, 30n]])
    expect(shape({ from: 200n, to: 300n }, [source(stretch(0n, 100n))])).toEqual([])
    expect(shape({ from: 95n, to: 300n }, [source(stretch(0n, 100n))])).toEqual([[0, 95n, 100n]])
  })

  it('takes the cheaper where two cover, by rows and by pieces', () => {
    const raw = source(stretch(0n, 100n, 1_000_000))
    const summary = source(stretch(24n, 72n, 100))
    expect(shape(all, [raw, summary])).toEqual([
      [0, 0n, 24n],
      [1, 24n, 72n],
      [0, 72n, 100n],
    ])
    const scattered = source(stretch(0n, 100n, 10, 500))
    expect(shape(all, [scattered, source(stretch(0n, 100n, 1_000, 1))])).toEqual([[1, 0n, 100n]])
    expect(shape(all, [source(stretch(0n, 100n, null)), source(stretch(0n, 100n, 5_000))])).toEqual([
      [1, 0n, 100n],
    ])
  })

  it('takes the first of two that cost the same', () => {
    expect(shape(all, [source(stretch(0n, 100n)), source(stretch(0n, 100n))])).toEqual([[0, 0n, 100n]])
  })

  it('compares the cost of the stretch, not of all that a source covers', () => {
    // A million rows over the whole range are ten thousand in the asked hundredth.
    const wide = source(stretch(0n, 10_000n, 1_000_000))
    const narrow = source(stretch(0n, 100n, 50_000))
    expect(shape(all, [wide, narrow])).toEqual([[0, 0n, 100n]])
  })

  it('leaves out who cannot answer, and says where nobody can', () => {
    const able = source(stretch(0n, 50n, 1_000_000))
    const unable: PartSource = { coverage: [stretch(0n, 80n, 1)], cannot: 'it keeps no percentiles' }
    const plan = planParts(all, [able, unable])
    expect(plan.parts.map(({ source }) => source)).toEqual([0])
    expect(plan.unanswered).toEqual([{ range: { from: 50n, to: 80n }, reasons: ['it keeps no percentiles'] }])
  })

  it('reads all shares of a stretch together, and joins each with its neighbours', () => {
    const hot = source(share(0n, 10n), share(50n, 100n))
    const cold = source(share(0n, 30n), share(30n, 50n), share(50n, 60n))
    expect(shape(all, [hot, cold])).toEqual([
      [0, 0n, 10n],
      [1, 0n, 60n],
      [0, 50n, 100n],
    ])
  })

  it('takes what holds all when that is cheaper than the shares together, and the shares when it is not', () => {
    const shares = [source(share(0n, 100n, 2_000)), source(share(0n, 100n, 2_000))]
    expect(shape(all, [...shares, source(stretch(0n, 100n, 3_000))])).toEqual([[2, 0n, 100n]])
    expect(shape(all, [...shares, source(stretch(0n, 100n, 5_000))])).toEqual([
      [0, 0n, 100n],
      [1, 0n, 100n],
    ])
  })

  it('never reads some of the shares of a stretch', () => {
    const unable: PartSource = { coverage: [share(20n, 40n)], cannot: 'it keeps no percentiles' }
    const plan = planParts(all, [source(share(0n, 100n)), unable])
    expect(plan.parts.map(({ source, range }) => [source, range])).toEqual([
      [0, { from: 0n, to: 20n }],
      [0, { from: 40n, to: 100n }],
    ])
    expect(plan.unanswered).toEqual([{ range: { from: 20n, to: 40n }, reasons: ['it keeps no percentiles'] }])
    const copy = source(stretch(30n, 40n, 1e9))
    expect(planParts(all, [source(share(0n, 100n)), unable, copy]).unanswered).toEqual([
      { range: { from: 20n, to: 30n }, reasons: ['it keeps no percentiles'] },
    ])
  })

  it('counts the pieces of a source once, however its stretches are cut', () => {
    const { parts } = planParts(all, [
      source(share(0n, 50n, 10, 3), share(50n, 100n, 10, 4)),
      source(share(10n, 20n), share(60n, 70n)),
    ])
    expect(parts.filter(({ source }) => source === 0)).toMatchObject([{ pieces: 7 }])
  })

  it('groups parts that overlap, so that groups follow each other', () => {
    const { parts } = planParts(all, [
      source(share(0n, 10n), share(30n, 60n)),
      source(share(5n, 20n), share(50n, 70n), stretch(80n, 90n)),
    ])
    expect(overlapping(parts).map((group) => group.map(({ source, range }) => [source, range.from]))).toEqual(
      [
        [
          [0, 0n],
          [1, 5n],
        ],
        [
          [0, 30n],
          [1, 50n],
        ],
        [[1, 80n]],
      ],
    )
  })

  it('reads every instant from one source that holds all, or once from each share of it, whatever the sources say', () => {
    const seed = Date.now() % 2 ** 31
    fc.assert(
      fc.property(sourcesOf(['all', 'share', 'share', null]), (list) => {
        const range = { from: 0n, to: 50n }
        const { parts, unanswered } = planParts(range, list)
        for (let instant = -10n; instant < 60n; instant++) {
          const covers = covering(instant)
          const inRange = instant >= 0n && instant < 50n
          const holders = list.flatMap((one, at) => {
            const found = one.coverage.find(covers)
            return found ? [{ at, holds: found.holds, can: one.cannot === null }] : []
          })
          const shares = holders.filter(({ holds }) => holds === 'share')
          const canShare = shares.length > 0 && shares.every(({ can }) => can)
          const canAll = holders.some(({ holds, can }) => holds === 'all' && can)
          const read = parts.filter(covers)
          const isAnswered = inRange && (canShare || canAll)
          if (inRange && holders.length === 0) {
            // nobody has rows there: at most a share goes on over it
            expect(read.every(({ holds }) => holds === 'share')).toBe(true)
            expect(unanswered.filter(covers)).toEqual([])
            continue
          }
          expect(read.length > 0).toBe(isAnswered)
          expect(unanswered.filter(covers).length).toBe(inRange && holders.length > 0 && !isAnswered ? 1 : 0)
          if (!isAnswered) continue
          const from = read.map(({ source }) => source).sort()
          if (read[0]?.holds === 'all') {
            expect(from).toHaveLength(1)
            expect(holders).toContainEqual({ at: from[0], holds: 'all', can: true })
          } else {
            expect(canShare).toBe(true)
            expect(from).toEqual(shares.map(({ at }) => at).sort())
          }
        }
        for (const [i, part] of parts.entries()) {
          const before = parts[i - 1]
          if (before) expect(before.range.from).toBeLessThanOrEqual(part.range.from)
        }
        expect(overlapping(parts).flat()).toEqual(parts)
      }),
      { seed },
    )
  })

  it('covers every instant that can be answered exactly once, whatever the sources say', () => {
    const seed = Date.now() % 2 ** 31
    fc.assert(
      fc.property(sourcesOf(['all', null]), (list) => {
        const range = { from: 0n, to: 50n }
        const { parts, unanswered } = planParts(range, list)
        for (let instant = -10n; instant < 60n; instant++) {
          const covers = covering(instant)
          const inRange = instant >= 0n && instant < 50n
          const able = list.some((one) => one.cannot === null && one.coverage.some(covers))
          const holders = list.some((one) => one.coverage.some(covers))
          expect(parts.filter(covers).length).toBe(inRange && able ? 1 : 0)
          expect(unanswered.filter(covers).length).toBe(inRange && holders && !able ? 1 : 0)
          for (const part of parts.filter(covers))
            expect(list[part.source]!.coverage.some(covers) && list[part.source]!.cannot === null).toBe(true)
        }
        for (const [i, part] of parts.entries()) {
          const before = parts[i - 1]
          if (before) expect(before.range.to).toBeLessThanOrEqual(part.range.from)
        }
      }),
      { seed },
    )
  })
})
