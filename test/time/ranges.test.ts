import { describe, expect, test } from 'vitest'
import {
  fixedClock,
  formatInstant,
  parseInstant,
  parseRange,
  type RangeInput,
  systemClock,
  TimeProblem,
} from '../../src/time/index.ts'

const clock = fixedClock(parseInstant('2026-03-31T12:00:00Z'))
const read = (input: RangeInput, zone?: string): string[] => {
  const { from, to } = parseRange(input, clock, { zone: zone ?? null })
  return [formatInstant(from), formatInstant(to)]
}

describe('a range is read', () => {
  test.each([
    [{ from: '-30 days' }, ['2026-03-01T12:00:00Z', '2026-03-31T12:00:00Z']],
    [{ from: 'now - 1 month', to: 'now' }, ['2026-02-28T12:00:00Z', '2026-03-31T12:00:00Z']],
    [{ from: '- 1h', to: '+15m' }, ['2026-03-31T11:00:00Z', '2026-03-31T12:15:00Z']],
    [{ from: '2026-01-01', to: '2026-01-02' }, ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z']],
    [{ from: new Date(0), to: 1n }, ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000001Z']],
    [{ from: '-000043-03-15T00:00:00Z', to: null }, ['-000043-03-15T00:00:00Z', '2026-03-31T12:00:00Z']],
    [{ from: '2026-01-01T00:00:00+01:00' }, ['2025-12-31T23:00:00Z', '2026-03-31T12:00:00Z']],
  ] satisfies [RangeInput, string[]][])('%o', (input, expected) => {
    expect(read(input)).toEqual(expected)
  })

  test('in a zone, dates begin at its midnight and days keep its clock', () => {
    expect(read({ from: '2026-01-01' }, 'Europe/Berlin')[0]).toBe('2025-12-31T23:00:00Z')
    expect(read({ from: '2026-01-01 08:00' }, 'Europe/Berlin')[0]).toBe('2026-01-01T07:00:00Z')
    // the change of March 29 lies between
    expect(read({ from: '-3 days' }, 'Europe/Berlin')[0]).toBe('2026-03-28T13:00:00Z')
  })
})

test.each([
  [{ from: '2026-01-01T00:00:00' }, 'from', /no zone/],
  [{ from: '-3 parsecs' }, 'from', /unknown unit/],
  [{ from: '-1 day', to: 'tomorrow' }, 'to', /is not a time/],
  [{ from: 'now', to: '-1 day' }, 'from', /is not before/],
  [{ from: 'now' }, 'from', /is not before to now/],
  [{ from: '' }, 'from', /is not a time/],
  [{ from: 5 as never }, 'from', /is not a time/],
  [{ from: new Date(Number.NaN) }, 'from', /invalid/],
  [{ from: 'infinity' }, 'from', /not a finite/],
] satisfies [RangeInput, string, RegExp][])('%o is refused and the end is named', (input, part, reason) => {
  let problem: unknown
  try {
    parseRange(input, clock)
  } catch (error) {
    problem = error
  }
  expect(problem).toBeInstanceOf(TimeProblem)
  expect((problem as TimeProblem).part).toBe(part)
  expect((problem as TimeProblem).problem).toMatch(reason)
})

test('the clock of a test stands still until it is told; the machine clock is that of Date', () => {
  const still = fixedClock(5n)
  expect(still.now()).toBe(5n)
  still.advance(2n)
  expect(still.now()).toBe(7n)
  still.set(1n)
  expect(still.now()).toBe(1n)
  const before = BigInt(Date.now()) * 1000n
  const now = systemClock.now()
  expect(now >= before && now <= BigInt(Date.now()) * 1000n).toBe(true)
})
