import { describe, expect, test } from 'vitest'
import {
  fixedClock,
  formatInstant,
  overlaps,
  parseInstant,
  parsePoint,
  type RangePoint,
  systemClock,
  TimeProblem,
} from '../../src/time/index.ts'

const now = parseInstant('2026-03-31T12:00:00Z')
const read = (point: RangePoint, zone: string | null = null): string =>
  formatInstant(parsePoint(point, now, zone))

describe('an end of a range is read', () => {
  test.each([
    ['now', '2026-03-31T12:00:00Z'],
    ['-30 days', '2026-03-01T12:00:00Z'],
    ['now - 1 month', '2026-02-28T12:00:00Z'],
    ['- 1h', '2026-03-31T11:00:00Z'],
    ['+15m', '2026-03-31T12:15:00Z'],
    ['2026-01-01', '2026-01-01T00:00:00Z'],
    [new Date(0), '1970-01-01T00:00:00Z'],
    [1n, '1970-01-01T00:00:00.000001Z'],
    ['-000043-03-15T00:00:00Z', '-000043-03-15T00:00:00Z'],
    ['2026-01-01T00:00:00+01:00', '2025-12-31T23:00:00Z'],
  ] satisfies [RangePoint, string][])('%o', (point, expected) => {
    expect(read(point)).toBe(expected)
  })

  test('in a zone, dates begin at its midnight and days keep its clock', () => {
    expect(read('2026-01-01', 'Europe/Berlin')).toBe('2025-12-31T23:00:00Z')
    expect(read('2026-01-01 08:00', 'Europe/Berlin')).toBe('2026-01-01T07:00:00Z')
    // the change of March 29 lies between
    expect(read('-3 days', 'Europe/Berlin')).toBe('2026-03-28T13:00:00Z')
  })
})

test.each([
  ['2026-01-01T00:00:00', /no zone/],
  ['-3 parsecs', /unknown unit/],
  ['tomorrow', /is not a time/],
  ['', /is not a time/],
  [5 as never, /is not a time/],
  [new Date(Number.NaN), /invalid/],
  ['infinity', /not a finite/],
] satisfies [RangePoint, RegExp][])('%o is refused', (point, reason) => {
  const problem = (): unknown => parsePoint(point, now, null)
  expect(problem).toThrow(TimeProblem)
  expect(problem).toThrow(reason)
})

test('ranges overlap where an instant lies in both: the end of a range is no part of it', () => {
  expect(overlaps({ from: 0n, to: 2n }, { from: 1n, to: 3n })).toBe(true)
  expect(overlaps({ from: 0n, to: 9n }, { from: 1n, to: 3n })).toBe(true)
  expect(overlaps({ from: 0n, to: 2n }, { from: 2n, to: 3n })).toBe(false)
  expect(overlaps({ from: 2n, to: 3n }, { from: 0n, to: 2n })).toBe(false)
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
