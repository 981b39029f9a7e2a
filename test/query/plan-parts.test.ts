import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Coverage, type PartSource, planParts } from '../../src/query/index.ts'

const stretch = (from: bigint, to: bigint, rows: number | null = 100, pieces = 1): Coverage => ({
  range: { from, to },
  holds: 'all',
  estimatedRows: rows,
  pieces,
})
const source = (...coverage: Coverage[]): PartSource => ({ coverage, cannot: null })
const all = { from: 0n, to: 100n }
const shape = (range: { from: bigint; to: bigint }, sources: readonly PartSource[]) =>
  planParts(range, sources).parts.map((part) => [part.source, part.range.from, part.range.to])

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

  it('covers every instant that can be answered exactly once, whatever the sources say', () => {
    const coverage = fc.uniqueArray(fc.bigInt({ min: -10n, max: 60n }), { maxLength: 8 }).map((borders) => {
      const sorted = [...borders].sort((a, b) => Number(a - b))
      const stretches: Coverage[] = []
      for (let i = 0; i + 1 < sorted.length; i += 2)
        stretches.push(stretch(sorted[i]!, sorted[i + 1]!, i * 37))
      return stretches
    })
    const sources = fc.array(fc.record({ coverage, cannot: fc.constantFrom(null, null, null, 'no') }), {
      maxLength: 4,
    })
    const seed = Date.now() % 2 ** 31
    fc.assert(
      fc.property(sources, (list) => {
        const range = { from: 0n, to: 50n }
        const { parts, unanswered } = planParts(range, list)
        for (let instant = -10n; instant < 60n; instant++) {
          const covers = (item: { range: { from: bigint; to: bigint } }): boolean =>
            instant >= item.range.from && instant < item.range.to
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
