import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatAgo,
  formatBytes,
  formatInstant,
  formatMs,
  formatNumber,
  formatPercent,
  formatUnit,
  parseDuration,
} from '../../dashboard/src/format/index.ts'

/** As a reader sees it: every space is one. */
const seen = (text: string): string => text.replace(/[\u00a0\u202f]/g, ' ')

describe('numbers', () => {
  test.each([
    [null, '—'],
    [0, '0'],
    [-0, '0'],
    [1234567, '1 234 567'],
    [-1234.56, '−1 235'],
    [0.1 + 0.2, '0.3'],
    [0.00012346, '0.0001235'],
    [12.345678, '12.35'],
    [Number.NaN, 'NaN'],
    [Number.NEGATIVE_INFINITY, '−∞'],
    [1e300, '1.000e+300'],
    ['9007199254740993', '9 007 199 254 740 993'],
    ['-12345.678900', '−12 345.678900'],
    ['NaN', 'NaN'],
    [9007199254740993n, '9 007 199 254 740 993'],
  ])('%s is written %s', (x, text) => {
    expect(seen(formatNumber(x))).toBe(text)
  })

  test('short ones keep three digits and their unit of a thousand', () => {
    expect([9999, 12_345, 1_234_567, -9.87e12].map((x) => seen(formatNumber(x, { compact: true })))).toEqual([
      '9 999',
      '12.3 k',
      '1.23 M',
      '−9.87 T',
    ])
  })

  test('what is written of a number is that number, within its digits', () => {
    fc.assert(
      fc.property(fc.double({ min: -1e12, max: 1e12, noNaN: true }), (x) => {
        const read = Number(
          formatNumber(x, { digits: 6 })
            .replace(/\u202f/g, '')
            .replace('−', '-'),
        )
        expect(Math.abs(read - x)).toBeLessThanOrEqual(
          Math.max(Math.abs(x) * 1e-5, Number.isInteger(x) ? 0 : 1e-12),
        )
      }),
    )
  })

  test('bytes, lengths of time and shares have their units', () => {
    expect([0, 1023, 1024, 1_572_864, 1024 ** 3 - 1, 5e12].map((x) => seen(formatBytes(x)))).toEqual([
      '0 B',
      '1023 B',
      '1 KiB',
      '1.5 MiB',
      '1 GiB',
      '4.55 TiB',
    ])
    expect(
      [0.8, 12.3, 999, 2300, 59_999, 250_000, 3.5 * 86_400_000, -1500].map((x) => seen(formatMs(x))),
    ).toEqual(['0.8 ms', '12 ms', '999 ms', '2.3 s', '1 min', '4 min 10 s', '3 d 12 h', '−1.5 s'])
    expect(seen(formatPercent(0.1234))).toBe('12.3 %')
    expect(
      ['bytes', 'ms', 's', 'percent', 'perSecond', 'USD', undefined].map((unit) =>
        seen(formatUnit(2048, unit)),
      ),
    ).toEqual(['2 KiB', '2.05 s', '34 min 8 s', '205 000 %', '2 048 /s', '2 048 USD', '2 048'])
  })
})

describe('times', () => {
  test('are of the reader’s zone, also across the change of its clocks', () => {
    expect(formatInstant('2026-03-29T00:59:59.123456Z', 'Europe/Berlin', { precision: 'milli' })).toBe(
      '2026-03-29 01:59:59.123',
    )
    expect(formatInstant('2026-03-29T01:00:00Z', 'Europe/Berlin')).toBe('2026-03-29 03:00')
    expect(formatInstant('2026-03-29T01:00:00Z', 'UTC', { precision: 'day' })).toBe('2026-03-29')
    expect(formatInstant('infinity', 'UTC')).toBe('infinity')
  })

  test('are told from now, whichever way', () => {
    const now = Date.parse('2026-01-01T00:00:00Z')
    expect(
      [0, 999, 59_000, 3_600_000, -90_000, 3 * 86_400_000].map((ms) => seen(formatAgo(now - ms, now))),
    ).toEqual(['now', 'now', '59 s ago', '1 h ago', 'in 1 min', '3 d ago'])
  })

  test('lengths are read with their unit; months have none', () => {
    expect(['7 days', '90min', '1 hour', '250 ms', '2w', '1.5 h', '10s'].map(parseDuration)).toEqual([
      604_800_000, 5_400_000, 3_600_000, 250, 1_209_600_000, 5_400_000, 10_000,
    ])
    expect(['1 month', '5', 'days', '1 m', '-1 day'].map(parseDuration)).toEqual([
      null,
      null,
      null,
      null,
      null,
    ])
  })
})
