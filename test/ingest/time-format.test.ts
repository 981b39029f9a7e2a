import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { guessTimeFormat } from '../../src/ingest/guess-time-format.ts'
import { problemOfTimeFormat, TimeReader } from '../../src/ingest/time-format.ts'
import { formatInstant, resolveZone } from '../../src/time/index.ts'

const utc = resolveZone('UTC')

function read(format: string, text: string, zone: string | null = null): string {
  const reader = new TimeReader(format, zone === null ? null : resolveZone(zone))
  const micros = reader.read(text)
  return micros === null ? reader.problem : formatInstant(micros)
}

describe('times', () => {
  it.each([
    ['iso', '2026-01-31T07:45:00Z', '2026-01-31T07:45:00Z'],
    ['iso', '2026-01-31 07:45:00.5+01', '2026-01-31T06:45:00.5Z'],
    ['iso', '2026-01-31 07:45:00,123456 +0530', '2026-01-31T02:15:00.123456Z'],
    ['iso', '2026-01-31t07:45-02:30', '2026-01-31T10:15:00Z'],
    ['iso', '2026-01-31 07:45:00 UTC', '2026-01-31T07:45:00Z'],
    ['iso', '1969-12-31T23:59:59.999999Z', '1969-12-31T23:59:59.999999Z'],
    ['iso', '0001-01-01T00:00:00Z', '0001-01-01T00:00:00Z'],
    ['iso', '9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
    ['iso', '2016-12-31T23:59:60Z', '2017-01-01T00:00:00Z'],
    ['unix-s', '1723560043', '2024-08-13T14:40:43Z'],
    ['unix-s', '1723560043.25', '2024-08-13T14:40:43.25Z'],
    ['unix-s', '-1', '1969-12-31T23:59:59Z'],
    ['unix-ms', '1625097600000', '2021-07-01T00:00:00Z'],
    ['unix-us', '1625097600000001', '2021-07-01T00:00:00.000001Z'],
    ['unix-ns', '1723161253937085768', '2024-08-08T23:54:13.937085Z'],
    ['unix-ns', '-1', '1969-12-31T23:59:59.999999Z'],
    ['clf', '17/May/2015:10:05:03 +0000', '2015-05-17T10:05:03Z'],
    ['clf', '17/May/2015:10:05:03 -0700', '2015-05-17T17:05:03Z'],
    ['DD/MM/YYYY HH:mm Z', '31/12/2024 23:59 +01:00', '2024-12-31T22:59:00Z'],
    ['M/D/YYYY h:mm A Z', '7/1/2021 12:00 AM Z', '2021-07-01T00:00:00Z'],
    ['M/D/YYYY h:mm A Z', '7/1/2021 12:00 pm Z', '2021-07-01T12:00:00Z'],
    ['MMM D, YYYY[ at ]HH:mm:ss.SSS Z', 'March 3, 2020 at 04:05:06.789 Z', '2020-03-03T04:05:06.789Z'],
  ])('%s reads %s', (format, text, expected) => {
    expect(read(format, text)).toBe(expected)
  })

  it.each([
    ['iso', '2026-02-30T00:00:00Z', 'time'],
    ['iso', '2026-13-01', 'time'],
    ['iso', '2026-01-01T24:00:00Z', 'time'],
    ['iso', '2026-01-01T00:00:00.Z', 'time'],
    ['iso', '2026-01-01T00:00:00.0123456789Z', 'time'],
    ['iso', '2026-01-01T00:00:00Zx', 'time'],
    ['iso', '2026-01-01T00:00:00+1', 'time'],
    ['iso', '26-01-01 00:00:00', 'time'],
    ['iso', '2026-01-01x00:00', 'time'],
    ['iso', 'yesterday', 'time'],
    ['iso', '2026-01-01', 'time_zone'],
    ['iso', '2026-01-01 00:00:00', 'time_zone'],
    ['unix-s', '12a', 'time'],
    ['unix-s', '9999999999999999', 'range'],
    ['DD/MM/YYYY', '31/11/2024', 'time'],
    ['h:mm A D/M/YYYY', '13:00 PM 1/1/2024', 'time'],
  ])('%s refuses %s: %s', (format, text, problem) => {
    expect(read(format, text)).toBe(problem)
  })

  it('reads times without a zone in the zone given, over changes of the clock too', () => {
    expect(read('iso', '2026-07-01 12:00:00', 'Europe/Berlin')).toBe('2026-07-01T10:00:00Z')
    expect(read('iso', '2026-01-01 12:00:00', 'Europe/Berlin')).toBe('2026-01-01T11:00:00Z')
    // skipped: read with the offset before the change
    expect(read('iso', '2026-03-29 02:30:00', 'Europe/Berlin')).toBe('2026-03-29T01:30:00Z')
    // shown twice: the second
    expect(read('iso', '2026-10-25 02:30:00', 'Europe/Berlin')).toBe('2026-10-25T01:30:00Z')
    // a zone in the text wins
    expect(read('iso', '2026-07-01 12:00:00Z', 'Europe/Berlin')).toBe('2026-07-01T12:00:00Z')
  })

  it('counts digits beyond the microsecond, and the times that lost any', () => {
    const reader = new TimeReader('iso', utc)
    for (const text of [
      '2023-11-16 18:17:03.9799600',
      '2023-11-16 18:17:03.9799601',
      '2023-11-16 18:17:03.9799601',
      '2023-11-16 18:17:03.979960',
    ])
      expect(formatInstant(reader.read(text)!)).toBe('2023-11-16T18:17:03.97996Z')
    expect([reader.longFractions, reader.truncated]).toEqual([3, 2])
  })

  it('reads back every instant that it is given', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -62135596800000000n, max: 253402300799999999n }), (micros) => {
        expect(new TimeReader('iso', null).read(formatInstant(micros))).toBe(micros)
        expect(new TimeReader('unix-us', null).read(String(micros))).toBe(micros)
      }),
    )
  })

  it.each([
    [['2026-01-01T00:00:00Z'], 'iso', 'none'],
    [['2026-01-01', '2026-01-02'], 'iso', 'all'],
    [['2026-01-01 00:00:00', '2026-01-01 00:00:00+01'], 'iso', 'some'],
    [['1723560043'], 'unix-s', 'none'],
    [['1625097600000'], 'unix-ms', 'none'],
    [['0', '1625097600000'], 'unix-ms', 'none'],
    [['1625097600000000'], 'unix-us', 'none'],
    [['1723161253937085768'], 'unix-ns', 'none'],
    [['20240131', '20240201'], 'YYYYMMDD', 'all'],
    [['17/May/2015:10:05:03 +0000'], 'clf', 'none'],
    [['01/02/2024', '01/13/2024'], 'M/D/YYYY', 'all'],
    [['01/02/2024 10:00', '13/01/2024 10:00'], 'D/M/YYYY H:mm', 'all'],
    [['7/1/2021, 12:00:00 AM', '7/31/2021, 12:00:00 AM'], 'M/D/YYYY, h:mm:ss A', 'all'],
    [['31.12.2024 23:59:59'], 'D.M.YYYY H:mm:ss', 'all'],
    [['2008-4-1', '2008-10-11'], 'YYYY-M-D', 'all'],
    [['4 Jul 2020'], 'D MMM YYYY', 'all'],
  ])('guesses %j', (samples, format, isLocal) => {
    expect(guessTimeFormat(samples)).toMatchObject({ kind: 'found', format, isLocal })
  })

  it('never guesses between day and month', () => {
    expect(guessTimeFormat(['01/02/2024', '03/04/2024'])).toEqual({
      kind: 'ambiguous',
      formats: ['M/D/YYYY', 'D/M/YYYY'],
      example: '01/02/2024',
    })
  })

  it('never guesses between units of unix time', () => {
    expect(guessTimeFormat(['1723560043', '1625097600000'])).toMatchObject({ kind: 'ambiguous' })
  })

  it('says when it knows no format', () => {
    expect(guessTimeFormat(['soon', 'later'])).toEqual({ kind: 'unknown', example: 'soon' })
  })

  it.each([
    ['YYYY-MM', 'needs year, month and day'],
    ['YYYY-MM-DD MM', 'stands twice'],
    ['YYYY-MM-DD at HH', 'put text into brackets'],
    ['YYYY-MM-DD hh', 'hh needs A'],
  ])('refuses the pattern %s', (pattern, problem) => {
    expect(problemOfTimeFormat(pattern)).toContain(problem)
  })
})
