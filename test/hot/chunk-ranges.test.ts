import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { missingRanges, newChunkRange, rangeIndex } from '../../src/hot/chunk-ranges.ts'
import { maxInstant, minInstant, parseInstant, parseInterval, type TimeRange } from '../../src/time/index.ts'

const interval = fc.constantFrom('1 hour', '1 day', '7 days', '1 month', '1 year').map(parseInterval)
const instant = fc.bigInt({
  min: parseInstant('1990-01-01T00:00:00Z'),
  max: parseInstant('1995-01-01T00:00:00Z'),
})

describe('ranges of chunks', () => {
  it('never overlap, and hold every time they were made for, whatever intervals came before', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(interval, fc.array(instant, { maxLength: 10 })), { maxLength: 6 }),
        (rounds) => {
          let existing: TimeRange[] = []
          for (const [chunk, times] of rounds) {
            const before = existing
            existing = [...existing, ...missingRanges({ chunk }, existing, times)].sort((a, b) =>
              a.from < b.from ? -1 : 1,
            )
            for (const time of times) expect(rangeIndex(existing, time)).toBeGreaterThanOrEqual(0)
            for (const range of before) expect(existing).toContainEqual(range)
            existing.forEach((range, i) => {
              expect(range.from < range.to).toBe(true)
              if (i > 0) expect(existing[i - 1]!.to <= range.from).toBe(true)
            })
          }
        },
      ),
    )
  })

  it('are whole buckets where nothing is in the way', () => {
    expect(newChunkRange(parseInterval('1 month'), [], parseInstant('2024-02-29T23:59:59Z'))).toEqual({
      from: parseInstant('2024-02-01T00:00:00Z'),
      to: parseInstant('2024-03-01T00:00:00Z'),
    })
  })

  it('stay within what PostgreSQL can hold', () => {
    const chunk = parseInterval('100 years')
    expect(newChunkRange(chunk, [], minInstant).from).toBe(minInstant)
    expect(newChunkRange(chunk, [], maxInstant).to).toBe(maxInstant + 1n)
  })
})
