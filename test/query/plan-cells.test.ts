import { describe, expect, it } from 'vitest'
import { type CellSource, planWithCells } from '../../src/query/plan-cells.ts'
import type { PartSource } from '../../src/query/plan-parts.ts'
import type { Coverage } from '../../src/query/tier.ts'

const rows = (from: bigint, to: bigint, estimatedRows = 1e6): Coverage => ({
  range: { from, to },
  holds: 'share',
  estimatedRows,
  pieces: 1,
})
const raw = (...coverage: Coverage[]): PartSource => ({ coverage, cannot: null })
const none: PartSource = { coverage: [], cannot: null }

/** Cells of `width` in a stretch of whole ones. */
function cells(source: number, width: bigint, from: bigint, to: bigint, isPreferred = false): CellSource {
  return {
    source,
    isPreferred,
    within(range) {
      const begin = range.from > from ? ((range.from + width - 1n) / width) * width : from
      const end = range.to < to ? (range.to / width) * width : to
      if (begin >= end) return []
      return [
        {
          range: { from: begin, to: end },
          holds: 'all',
          estimatedRows: Number((end - begin) / width),
          pieces: 1,
        },
      ]
    },
  }
}
const owning = (source: CellSource, own: CellSource): CellSource => ({ ...source, own: own.within })
const shown = (...args: Parameters<typeof planWithCells>) =>
  planWithCells(...args).parts.map(({ source, range }) => `${source}: ${range.from}-${range.to}`)

describe('parts from cells', () => {
  it('are whole cells, wherever other sources begin and end', () => {
    const sources = [raw(rows(0n, 13n), rows(13n, 100n, 0)), none, none]
    expect(shown({ from: 0n, to: 100n }, sources, [cells(1, 10n, 0n, 40n), cells(2, 3n, 0n, 33n)])).toEqual([
      '1: 0-40',
      '0: 40-100',
    ])
  })

  it('are the coarsest, and finer ones in what they leave', () => {
    const sources = [raw(rows(0n, 100_000n)), none, none]
    const daily = cells(1, 240n, 0n, 72_000n)
    const hourly = cells(2, 10n, 0n, 90_000n)
    const range = { from: 5n, to: 95_000n }
    expect(shown(range, sources, [hourly])).toEqual(['0: 5-10', '2: 10-90000', '0: 90000-95000'])
    expect(shown(range, sources, [hourly, daily])).toEqual([
      '0: 5-10',
      '2: 10-240',
      '1: 240-72000',
      '2: 72000-90000',
      '0: 90000-95000',
    ])
  })

  it('are left out where rows cost less, but for those that are asked by name or that nobody else knows whole', () => {
    const sources = [raw(rows(0n, 100n, 1)), none]
    const half = owning(cells(1, 1n, 0n, 100n), cells(1, 1n, 20n, 50n))
    expect(shown({ from: 0n, to: 100n }, sources, [cells(1, 1n, 0n, 100n)])).toEqual(['0: 0-100'])
    expect(shown({ from: 0n, to: 100n }, sources, [cells(1, 1n, 0n, 50n, true)])).toEqual([
      '1: 0-50',
      '0: 50-100',
    ])
    expect(shown({ from: 0n, to: 100n }, sources, [half])).toEqual(['0: 0-20', '1: 20-50', '0: 50-100'])
    expect(shown({ from: 0n, to: 30n }, [none, none], [half])).toEqual(['1: 20-30'])
  })

  it('are not cut by finer ones that cost less and hold a part of them', () => {
    // a day of which the last quarter is gone: the hours of the others are still there
    const daily = owning(cells(1, 24n, 0n, 24n), cells(1, 24n, 0n, 24n))
    const hours = cells(2, 1n, 0n, 2400n)
    const hourly: CellSource = {
      source: 2,
      isPreferred: true,
      within: (range) => [
        ...hours.within({ from: range.from, to: range.to < 18n ? range.to : 18n }),
        ...hours.within({ from: range.from > 24n ? range.from : 24n, to: range.to }),
      ],
    }
    const sources = [raw(rows(0n, 18n), rows(24n, 2400n)), none, none]
    expect(shown({ from: 0n, to: 2400n }, sources, [hourly, daily])).toEqual(['1: 0-24', '2: 24-2400'])
  })

  it('stand in for what nobody else can answer', () => {
    const sources = [{ coverage: [rows(0n, 100n, 0)], cannot: 'no' }, none]
    const plan = planWithCells({ from: 0n, to: 100n }, sources, [cells(1, 10n, 0n, 60n)])
    expect(plan.parts.map(({ range }) => range)).toEqual([{ from: 0n, to: 60n }])
    expect(plan.unanswered.map(({ range }) => range)).toEqual([{ from: 60n, to: 100n }])
  })
})
