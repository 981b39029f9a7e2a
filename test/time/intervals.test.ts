import { describe, expect, test } from 'vitest'
import {
  addInterval,
  approximateMicros,
  boundMicros,
  formatInstant,
  intervalFromMicros,
  parseInstant,
  parseInterval,
  subtractInterval,
  TimeProblem,
} from '../../src/time/index.ts'

describe('an interval is read from its text', () => {
  test.each([
    ['15m', 900_000_000n, '15 minutes'],
    ['15 minutes', 900_000_000n, '15 minutes'],
    ['1 hour', 3_600_000_000n, '1 hour'],
    ['24h', 86_400_000_000n, '24 hours'],
    ['7 days', 604_800_000_000n, '7 days'],
    ['1d', 86_400_000_000n, '1 day'],
    ['1 week', 604_800_000_000n, '1 week'],
    ['500ms', 500_000n, '500 milliseconds'],
    ['250 µs', 250n, '250 microseconds'],
    ['1us', 1n, '1 microsecond'],
    ['  10 S ', 10_000_000n, '10 seconds'],
    ['+5 min', 300_000_000n, '5 minutes'],
    ['007 sec', 7_000_000n, '7 seconds'],
  ])('%s is fixed', (text, micros, canonical) => {
    expect(parseInterval(text)).toEqual({ kind: 'fixed', micros, text: canonical })
  })

  test.each([
    ['1 month', 1, '1 month'],
    ['2mo', 2, '2 months'],
    ['1 quarter', 3, '3 months'],
    ['3q', 9, '9 months'],
    ['2 years', 24, '2 years'],
    ['1y', 12, '1 year'],
  ])('%s is a calendar length', (text, months, canonical) => {
    expect(parseInterval(text)).toEqual({ kind: 'calendar', months, days: 0, text: canonical })
  })

  test.each([
    ['', /is not an interval/],
    ['hour', /is not an interval/],
    ['15', /is not an interval/],
    ['0 days', /is zero/],
    ['000h', /is zero/],
    ['-5 minutes', /is negative/],
    ['1.5 hours', /not a whole number of hours/],
    ['1 hour 30 minutes', /mixes units/],
    ['1h30m', /mixes units/],
    ['1 month and 2 days', /mixes units/],
    ['3 parsecs', /unknown unit "parsecs"/],
    ['5M', /'m' is minutes, 'mo' months/],
    ['101 years', /longer than 100 years/],
    ['36526 days', /longer than 100 years/],
    [`${'9'.repeat(400)} days`, /longer than 100 years/],
    ["1 day'; drop table x; --", /is not an interval/],
  ])('%j is refused with the reason', (text, reason) => {
    expect(() => parseInterval(text)).toThrow(TimeProblem)
    expect(() => parseInterval(text)).toThrow(reason)
  })

  test('what is no text is refused as such', () => {
    for (const value of [undefined, null, 5, {}, ['1 day']]) {
      expect(() => parseInterval(value as never)).toThrow(TimeProblem)
    }
  })

  test('its canonical text reads as the same interval', () => {
    for (const text of ['15m', '1 quarter', '2 years', '1 week', '1 month', '100 years', '36525 days']) {
      const interval = parseInterval(text)
      expect(parseInterval(interval.text)).toEqual(interval)
    }
  })
})

test('microseconds become the largest unit that holds them whole', () => {
  expect(intervalFromMicros(3_600_000_000n).text).toBe('1 hour')
  expect(intervalFromMicros(5_400_000_000n).text).toBe('90 minutes')
  expect(intervalFromMicros(1_209_600_000_000n).text).toBe('2 weeks')
  expect(intervalFromMicros(1_000_001n).text).toBe('1000001 microseconds')
  expect(() => intervalFromMicros(0n)).toThrow(TimeProblem)
})

test('a month counts as the mean of 400 years', () => {
  expect(approximateMicros(parseInterval('400 months'))).toBe((146_097n * 86_400_000_000n) / 12n)
})

test('the bounds of a calendar interval hold wherever it begins', () => {
  for (const text of ['1 month', '2 months', '1 quarter', '1 year', '17 months', '9 years']) {
    const interval = parseInterval(text)
    const { least, most } = boundMicros(interval)
    for (let month = 0; month < 12 * 9; month++) {
      const from = addInterval(parseInstant('1999-01-01T00:00Z'), parseInterval('1 month'), null, month)
      const length = addInterval(from, interval, null) - from
      expect(length >= least && length <= most).toBe(true)
    }
  }
})

describe('adding', () => {
  const add = (from: string, interval: string, zone: string | null, times = 1): string =>
    formatInstant(addInterval(parseInstant(from), parseInterval(interval), zone, times))

  test('months keep the day and are cut at the end of the month', () => {
    expect(add('2026-01-31T12:00:00.000001Z', '1 month', null)).toBe('2026-02-28T12:00:00.000001Z')
    expect(add('2024-01-31T00:00Z', '1 month', null)).toBe('2024-02-29T00:00:00Z')
    expect(add('2024-02-29T00:00Z', '1 year', null)).toBe('2025-02-28T00:00:00Z')
    // the months are multiplied first: not cut on the way
    expect(add('2026-01-31T00:00Z', '1 month', null, 2)).toBe('2026-03-31T00:00:00Z')
    expect(add('2026-03-31T00:00Z', '1 month', null, -1)).toBe('2026-02-28T00:00:00Z')
    expect(add('0001-01-15T00:00Z', '1 month', null, -1)).toBe('+000000-12-15T00:00:00Z')
  })

  test('days keep the local time in a zone, hours do not', () => {
    // Berlin: 2026-03-29 has 23 hours
    expect(add('2026-03-28T11:00Z', '1 day', 'Europe/Berlin')).toBe('2026-03-29T10:00:00Z')
    expect(add('2026-03-28T11:00Z', '1 day', null)).toBe('2026-03-29T11:00:00Z')
    expect(add('2026-03-28T11:00Z', '12 hours', 'Europe/Berlin', 2)).toBe('2026-03-29T11:00:00Z')
    expect(add('2026-03-22T11:00Z', '1 week', 'Europe/Berlin')).toBe('2026-03-29T10:00:00Z')
    expect(add('2026-10-29T11:00Z', '1 month', 'Europe/Berlin', -1)).toBe('2026-09-29T10:00:00Z')
  })

  test('subtracting is adding a negative number of times; zero times is nothing', () => {
    const at = parseInstant('2026-03-31T00:00Z')
    const month = parseInterval('1 month')
    expect(subtractInterval(at, month, null, 3)).toBe(addInterval(at, month, null, -3))
    expect(addInterval(at, month, 'Europe/Berlin', 0)).toBe(at)
  })
})
