import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  civilFromDays,
  dayOfText,
  daysFromCivil,
  formatDay,
  formatInstant,
  infiniteDay,
  infinitePastDay,
  infinityInstant,
  instantFromDate,
  maxInstant,
  minInstant,
  minusInfinityInstant,
  parseInstant,
  readInstant,
  TimeProblem,
  textOfDay,
  toInstant,
  tryParseInstant,
} from '../../src/time/index.ts'

describe('an instant is read from ISO 8601 and PostgreSQL text', () => {
  test.each([
    ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z'],
    ['2026-01-01t00:00:00z', '2026-01-01T00:00:00Z'],
    ['2026-01-01 00:00:00Z', '2026-01-01T00:00:00Z'],
    ['2026-01-01T00:00Z', '2026-01-01T00:00:00Z'],
    ['2026-01-01 01:00:00.123450+01', '2026-01-01T00:00:00.12345Z'],
    ['2026-01-01 01:00:00,5+0100', '2026-01-01T00:00:00.5Z'],
    ['2026-01-01T05:30:00+05:30', '2026-01-01T00:00:00Z'],
    ['2025-12-31T19:00:00-05:00', '2026-01-01T00:00:00Z'],
    ['2026-01-01 00:00:00 +00:00', '2026-01-01T00:00:00Z'],
    ['2026-01-01 00:00:00 UTC', '2026-01-01T00:00:00Z'],
    ['  2026-01-01T00:00:00Z  ', '2026-01-01T00:00:00Z'],
    ['1847-12-01 00:00:00-00:01:15', '1847-12-01T00:01:15Z'],
    ['2026-01-01T00:00:00.000001Z', '2026-01-01T00:00:00.000001Z'],
    ['2026-01-01T00:00:00.1234560Z', '2026-01-01T00:00:00.123456Z'],
    ['2026-12-31T24:00:00Z', '2027-01-01T00:00:00Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00Z'],
    ['2024-02-29T00:00Z', '2024-02-29T00:00:00Z'],
    ['0001-01-01T00:00Z', '0001-01-01T00:00:00Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
    ['12345-01-01 00:00:00+00', '+012345-01-01T00:00:00Z'],
    ['+012345-01-01T00:00:00Z', '+012345-01-01T00:00:00Z'],
    ['0044-03-15 00:00:00+00 BC', '-000043-03-15T00:00:00Z'],
    ['0001-01-01 00:00:00+00 BC', '+000000-01-01T00:00:00Z'],
    ['-000043-03-15T00:00:00Z', '-000043-03-15T00:00:00Z'],
  ])('%s', (text, iso) => {
    expect(formatInstant(parseInstant(text))).toBe(iso)
  })

  test.each([
    ['2026-01-01T00:00:00', /has no zone/],
    ['2026-01-01', /has no zone/],
    ['2026-01-01 00:00:00 CET', /is not a time/],
    ['2026-01-01T00:00:00.1234567Z', /7 fractional digits/],
    ['2026-02-29T00:00:00Z', /day 29/],
    ['1900-02-29T00:00:00Z', /day 29/],
    ['2026-13-01T00:00:00Z', /month 13/],
    ['2026-00-01T00:00:00Z', /month 00/],
    ['2026-01-00T00:00:00Z', /day 00/],
    ['2026-01-01T25:00:00Z', /hour 25/],
    ['2026-01-01T24:00:01Z', /hour 24/],
    ['2026-01-01T00:60:00Z', /minute 60/],
    ['2026-01-01T00:00:61Z', /second 61/],
    ['2026-01-01T00:00:60.5Z', /second 60/],
    ['2026-01-01T00:00:00+16:00', /offset/],
    ['2026-01-01T00:00:00+01:60', /offset/],
    ['0000-00-00 00:00:00Z', /year 0000/],
    ['0000-01-01T00:00:00Z', /year 0000/],
    ['-000000-01-01T00:00:00Z', /-000000/],
    ['+012345-01-01T00:00:00Z BC', /both/],
    ['294247-01-01T00:00:00Z', /outside/],
    ['4715-01-01 00:00:00+00 BC', /outside/],
    ['infinity', /not a finite time/],
    ['2026-1-1T00:00:00Z', /is not a time/],
    ['2026/01/01 00:00:00Z', /is not a time/],
    ['2026-01-01T00:00:00ZZ', /is not a time/],
    ['2026-01-01T00:00:00.Z', /is not a time/],
    ['2026-01-01T0a:00:00Z', /is not a time/],
    ['2026-01-01T00:00:00+1', /is not a time/],
    ['1767225600', /is not a time/],
    ['', /is not a time/],
  ])('%j is refused with the reason', (text, reason) => {
    expect(() => parseInstant(text)).toThrow(TimeProblem)
    expect(tryParseInstant(text)).toMatch(reason)
  })

  test('digits beyond the microsecond are truncated when asked, towards the past', () => {
    const truncate = { fraction: 'truncate' } as const
    expect(formatInstant(parseInstant('2026-01-01T00:00:00.123456789Z', truncate))).toBe(
      '2026-01-01T00:00:00.123456Z',
    )
    expect(formatInstant(parseInstant('1969-12-31T23:59:59.9999999Z', truncate))).toBe(
      '1969-12-31T23:59:59.999999Z',
    )
    expect(formatInstant(parseInstant('2026-01-01T01:00:00.1234567 +01:00', truncate))).toBe(
      '2026-01-01T00:00:00.123456Z',
    )
  })

  test('a text without zone is read in the given one; skipped and repeated times as PostgreSQL does', () => {
    const berlin = (text: string): string => formatInstant(parseInstant(text, { zone: 'Europe/Berlin' }))
    expect(berlin('2026-01-01 00:00:00')).toBe('2025-12-31T23:00:00Z')
    expect(berlin('2026-07-01')).toBe('2026-06-30T22:00:00Z')
    expect(berlin('2026-03-29 02:30')).toBe('2026-03-29T01:30:00Z')
    expect(berlin('2026-10-25 02:30')).toBe('2026-10-25T01:30:00Z')
    // its own zone wins
    expect(berlin('2026-01-01T00:00:00Z')).toBe('2026-01-01T00:00:00Z')
    expect(() => parseInstant('2026-01-01', { zone: 'Europe/Atlantis' })).toThrow(/not a time zone/)
  })

  test('infinity is read only where it is asked for', () => {
    expect(parseInstant('infinity', { infinity: true })).toBe(infinityInstant)
    expect(parseInstant('-Infinity', { infinity: true })).toBe(minusInfinityInstant)
    expect(formatInstant(infinityInstant)).toBe('infinity')
    expect(formatInstant(minusInfinityInstant)).toBe('-infinity')
  })

  test('the ends of what can be kept are instants, one microsecond further is not', () => {
    expect(parseInstant(formatInstant(minInstant))).toBe(minInstant)
    expect(parseInstant(formatInstant(maxInstant))).toBe(maxInstant)
    expect(parseInstant('4714-11-24 00:00:00+00 BC')).toBe(minInstant)
    expect(toInstant(maxInstant)).toBe(maxInstant)
    expect(() => toInstant(maxInstant + 1n)).toThrow(TimeProblem)
    expect(() => toInstant(minInstant - 1n)).toThrow(TimeProblem)
  })
})

const anyInstant = fc.bigInt({ min: minInstant, max: maxInstant })
const nearInstant = fc.bigInt({
  min: parseInstant('1600-01-01T00:00Z'),
  max: parseInstant('2400-01-01T00:00Z'),
})

test('text and instant turn into each other without loss', () => {
  fc.assert(
    fc.property(fc.oneof(anyInstant, nearInstant), (instant) => {
      expect(parseInstant(formatInstant(instant))).toBe(instant)
    }),
    { numRuns: 5000 },
  )
})

test('the number form is the same instant, and a number only when it is exact', () => {
  fc.assert(
    fc.property(fc.oneof(anyInstant, nearInstant), (instant) => {
      const read = readInstant(formatInstant(instant))
      expect(BigInt(read)).toBe(instant)
      if (typeof read === 'number') expect(Number.isSafeInteger(read)).toBe(true)
    }),
    { numRuns: 5000 },
  )
})

test('texts of Date and of any offset read as the Date', () => {
  fc.assert(
    fc.property(
      fc.date({
        min: new Date('0001-01-02T00:00Z'),
        max: new Date('9999-12-30T00:00Z'),
        noInvalidDate: true,
      }),
      fc.integer({ min: -15 * 60 - 59, max: 15 * 60 + 59 }),
      (date, offset) => {
        expect(parseInstant(date.toISOString())).toBe(instantFromDate(date))
        const local = new Date(date.getTime() + offset * 60_000).toISOString().slice(0, -1)
        const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, '0')
        const minutes = String(Math.abs(offset) % 60).padStart(2, '0')
        const text = `${local}${offset < 0 ? '-' : '+'}${hours}:${minutes}`
        if (/^\d{4}-/.test(text) && !text.startsWith('0000')) {
          expect(parseInstant(text)).toBe(instantFromDate(date))
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('no text makes the reader throw anything but its own problem, or read what Date refuses', () => {
  const pieces = fc.constantFrom(
    '2026',
    '-',
    '01',
    '31',
    'T',
    ' ',
    ':',
    '00',
    '59',
    '.',
    '123456',
    'Z',
    '+',
    '05',
    'é',
    '99',
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 16 }), (parts) => {
      const text = parts.join('')
      const result = tryParseInstant(text)
      if (
        typeof result === 'string' ||
        /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z$/.exec(text) === null
      )
        return
      if (text.includes(':60') || text.includes('T24')) return
      expect(result).toBe(BigInt(Date.parse(text)) * 1000n)
    }),
    { numRuns: 5000 },
  )
})

test('an invalid Date is no instant', () => {
  expect(() => instantFromDate(new Date(Number.NaN))).toThrow(TimeProblem)
})

test('days and civil dates agree with Date over all its years', () => {
  fc.assert(
    fc.property(fc.integer({ min: -100_000_000, max: 100_000_000 }), (days) => {
      const date = new Date(days * 86_400_000)
      const civil = civilFromDays(days)
      expect(civil).toEqual({
        year: date.getUTCFullYear(),
        month: date.getUTCMonth() + 1,
        day: date.getUTCDate(),
      })
      expect(daysFromCivil(civil.year, civil.month, civil.day)).toBe(days)
    }),
    { numRuns: 5000 },
  )
  expect(formatDay(0)).toBe('1970-01-01')
})

test('days and their text as PostgreSQL writes it turn into each other', () => {
  fc.assert(
    fc.property(fc.integer({ min: -2_451_545, max: 2_145_031_948 }), (day) => {
      expect(dayOfText(textOfDay(day))).toBe(day)
    }),
    { numRuns: 1000 },
  )
  expect(textOfDay(0)).toBe('1970-01-01')
  expect(textOfDay(-719_528)).toBe('0001-01-01 BC')
  expect(dayOfText('10000-01-01')).toBe(2_932_897)
  expect([infiniteDay, infinitePastDay].map(textOfDay)).toEqual(['infinity', '-infinity'])
  expect(dayOfText('today')).toBeNaN()
})
