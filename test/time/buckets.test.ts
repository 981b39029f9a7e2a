import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  assertBucketSpec,
  type BucketSpec,
  bucketBorders,
  bucketStart,
  fixedBucket,
  formatInstant,
  nextBucket,
  parseInstant,
  parseInterval,
  TimeProblem,
} from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

const spec = (every: string, zone: string | null): BucketSpec => ({ every: parseInterval(every), zone })
const borders = (every: string, zone: string | null, from: string, to: string): string[] =>
  bucketBorders(spec(every, zone), { from: parseInstant(from), to: parseInstant(to) }, { max: 1000 }).map(
    formatInstant,
  )

describe('the examples of docs/design/buckets.md', () => {
  test('a 1 hour bucket at the autumn change in Berlin gives two separate hours', () => {
    expect(borders('1 hour', 'Europe/Berlin', '2026-10-24T23:30Z', '2026-10-25T02:00Z')).toEqual([
      '2026-10-24T23:00:00Z',
      '2026-10-25T00:00:00Z',
      '2026-10-25T01:00:00Z',
      '2026-10-25T02:00:00Z',
    ])
  })
  test('a 6 hour bucket gives one of 7 hours there, and one of 5 in spring', () => {
    expect(borders('6 hours', 'Europe/Berlin', '2026-10-24T22:00Z', '2026-10-25T11:00Z')).toEqual([
      '2026-10-24T22:00:00Z',
      '2026-10-25T05:00:00Z',
      '2026-10-25T11:00:00Z',
    ])
    expect(borders('6 hours', 'Europe/Berlin', '2026-03-28T23:00Z', '2026-03-29T05:00Z')).toEqual([
      '2026-03-28T23:00:00Z',
      '2026-03-29T04:00:00Z',
      '2026-03-29T10:00:00Z',
    ])
  })
  test('the half hour of Lord Howe gives a bucket of 1.5 hours for 1 hour, and two separate ones for 30 minutes', () => {
    expect(borders('1 hour', 'Australia/Lord_Howe', '2026-04-04T14:00Z', '2026-04-04T16:00Z')).toEqual([
      '2026-04-04T14:00:00Z',
      '2026-04-04T15:30:00Z',
      '2026-04-04T16:30:00Z',
    ])
    expect(borders('30 minutes', 'Australia/Lord_Howe', '2026-04-04T14:30Z', '2026-04-04T16:00Z')).toEqual([
      '2026-04-04T14:30:00Z',
      '2026-04-04T15:00:00Z',
      '2026-04-04T15:30:00Z',
      '2026-04-04T16:00:00Z',
    ])
  })
  test('a day begins at its first instant where midnight is skipped', () => {
    expect(borders('1 day', 'America/Sao_Paulo', '2018-11-03T12:00Z', '2018-11-05T12:00Z')).toEqual([
      '2018-11-03T03:00:00Z',
      '2018-11-04T03:00:00Z',
      '2018-11-05T02:00:00Z',
      '2018-11-06T02:00:00Z',
    ])
  })
  test('a day that a zone skipped is no bucket', () => {
    expect(borders('1 day', 'Pacific/Apia', '2011-12-29T10:00Z', '2011-12-31T10:00Z')).toEqual([
      '2011-12-29T10:00:00Z',
      '2011-12-30T10:00:00Z',
      '2011-12-31T10:00:00Z',
    ])
  })
  test('a midnight that is shown twice does not begin its day twice', () => {
    // Havana, 2025-11-02: 01:00 becomes 00:00
    expect(borders('1 day', 'America/Havana', '2025-11-02T04:00Z', '2025-11-03T05:00Z')).toEqual([
      '2025-11-02T04:00:00Z',
      '2025-11-03T05:00:00Z',
    ])
    // St. John's, 2010-11-07: 00:01 becomes 23:01 of the day before, which had ended
    expect(borders('1 day', 'America/St_Johns', '2010-11-06T12:00Z', '2010-11-08T03:30Z')).toEqual([
      '2010-11-06T02:30:00Z',
      '2010-11-07T02:30:00Z',
      '2010-11-08T03:30:00Z',
    ])
  })
  test('weeks begin on Monday, months on their first day, several of them count from 2000', () => {
    expect(borders('1 week', null, '2026-01-01T00:00Z', '2026-01-02T00:00Z')[0]).toBe('2025-12-29T00:00:00Z')
    expect(borders('2 weeks', 'Asia/Tokyo', '2000-01-03T00:00Z', '2000-01-04T00:00Z')).toEqual([
      '2000-01-02T15:00:00Z',
      '2000-01-16T15:00:00Z',
    ])
    expect(borders('1 quarter', null, '2026-02-01T00:00Z', '2026-07-01T00:00Z')).toEqual([
      '2026-01-01T00:00:00Z',
      '2026-04-01T00:00:00Z',
      '2026-07-01T00:00:00Z',
    ])
    expect(borders('5 months', null, '1999-12-31T00:00Z', '2000-01-02T00:00Z')).toEqual([
      '1999-08-01T00:00:00Z',
      '2000-01-01T00:00:00Z',
      '2000-06-01T00:00:00Z',
    ])
    expect(borders('1 year', 'Europe/Berlin', '2026-06-01T00:00Z', '2026-06-02T00:00Z')).toEqual([
      '2025-12-31T23:00:00Z',
      '2026-12-31T23:00:00Z',
    ])
  })
})

/**
 * The oracle: a clock on a wall, read minute by minute. The readings come from Intl every hour; where two of
 * them differ from each other by something else, every minute between is read too. Nothing here knows of offsets.
 */
function* wallClock(
  zone: string,
  from: number,
  to: number,
): Generator<{ minute: number; local: number; before: number | null }> {
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
  })
  const read = (minute: number): number => {
    // 29/03/2026, 03:00
    const text = format.format(minute * 60_000)
    const field = (at: number, length: number): number => Number(text.slice(at, at + length))
    return Date.UTC(field(6, 4), field(3, 2) - 1, field(0, 2), field(12, 2), field(15, 2)) / 60_000
  }
  let here = read(from)
  let before: number | null = null
  for (let minute = from; minute < to; minute += 60) {
    const next = read(minute + 60)
    const isEven = next - here === 60
    for (let i = 0; i < 60; i++) {
      const local = isEven ? here + i : read(minute + i)
      // While the clock runs evenly nothing begins off a multiple of 5 minutes; skipping those makes this quick.
      if (before === null || local !== before + 1 || local % 5 === 0)
        yield { minute: minute + i, local, before }
      before = local
    }
    here = next
  }
}

const dayMinutes = 1440
const origin = Date.UTC(2000, 0, 3) / 60_000
const unitsOfDates: Readonly<Record<string, (local: number) => number>> = {
  '1 day': (local) => Math.floor((local - origin) / dayMinutes),
  '2 days': (local) => Math.floor((local - origin) / (2 * dayMinutes)),
  '1 week': (local) => Math.floor((local - origin) / (7 * dayMinutes)),
  '2 weeks': (local) => Math.floor((local - origin) / (14 * dayMinutes)),
  '1 month': (local) => monthOf(local),
  '1 quarter': (local) => Math.floor(monthOf(local) / 3),
  '5 months': (local) => Math.floor(monthOf(local) / 5),
}
const months = new Map<number, number>()
function monthOf(local: number): number {
  const day = Math.floor(local / dayMinutes)
  let month = months.get(day)
  if (month === undefined) {
    const date = new Date(local * 60_000)
    month = (date.getUTCFullYear() - 2000) * 12 + date.getUTCMonth()
    months.set(day, month)
  }
  return month
}
const widths: Readonly<Record<string, number>> = {
  '15 minutes': 15,
  '20 minutes': 20,
  '30 minutes': 30,
  '1 hour': 60,
  '90 minutes': 90,
  '3 hours': 180,
  '6 hours': 360,
  '12 hours': 720,
}

function oracle(zone: string, from: number, to: number): Map<string, bigint[]> {
  const found = new Map<string, bigint[]>()
  for (const name of [...Object.keys(unitsOfDates), ...Object.keys(widths)]) found.set(name, [])
  const highest = new Map<string, number>()
  for (const { minute, local, before } of wallClock(zone, from, to)) {
    const instant = BigInt(minute) * 60_000_000n
    for (const [name, unit] of Object.entries(unitsOfDates)) {
      const value = unit(local)
      const known = highest.get(name)
      if (known === undefined || value > known) {
        highest.set(name, value)
        if (known !== undefined) found.get(name)?.push(instant)
      }
    }
    if (before !== null) {
      // what the clock would have shown, had it not been set
      const expected: number = before + 1
      for (const [name, width] of Object.entries(widths)) {
        const isOnMultiple = local % width === 0
        const hasPassed = expected < local && Math.floor(local / width) * width >= expected
        if (isOnMultiple || hasPassed) found.get(name)?.push(instant)
      }
    }
  }
  return found
}

const years: [string, number[]][] = [
  ['Europe/Berlin', [1980, 2026]],
  ['America/New_York', [1974, 2007, 2026]],
  ['Asia/Kolkata', [1942, 1945, 2026]],
  ['Australia/Lord_Howe', [1981, 1985, 2026]],
  ['America/Sao_Paulo', [2000, 2018, 2019]],
  ['Asia/Kathmandu', [1985, 1986]],
  ['Africa/Cairo', [2010, 2014, 2023]],
  ['Pacific/Apia', [2010, 2011]],
  ['America/St_Johns', [1988, 2010]],
  ['America/Havana', [2025]],
  ['Africa/Casablanca', [2026]],
  ['Antarctica/Troll', [2026]],
  ['Pacific/Kwajalein', [1993]],
]

describe('borders are those of a clock that is read minute by minute', () => {
  for (const [zone, list] of years) {
    test.each(list)(`${zone} in %i`, (year) => {
      const from = Date.UTC(year, 0, 1) / 60_000 - 2 * dayMinutes
      const to = Date.UTC(year + 1, 0, 1) / 60_000 + 2 * dayMinutes
      const expected = oracle(zone, from, to)
      for (const [name, wanted] of expected) {
        expect(wanted.length, `${name}: the oracle found borders`).toBeGreaterThan(0)
        const last = wanted.at(-1) as bigint
        const range = { from: wanted[0] as bigint, to: last }
        const found = bucketBorders(spec(name, zone), range, { max: 100_000 })
        const right = wanted.length === 1 ? [] : wanted
        // as numbers: there are 35,000 in a year
        const wrong = right.findIndex((border, i) => found[i] !== border)
        const shown = [right, found].map((list) => list.slice(wrong, wrong + 3).map(formatInstant))
        expect({ wrong, count: found.length }, `${name} in ${zone}: ${shown.join(' is not ')}`).toEqual({
          wrong: -1,
          count: right.length,
        })
      }
    })
  }
})

const zones = [
  null,
  'UTC',
  '+05:30',
  'Etc/GMT+5',
  ...years.map(([zone]) => zone),
  'Asia/Tehran',
  'Africa/Monrovia',
  'Europe/Dublin',
]
const everyText = [
  ...Object.keys(unitsOfDates),
  ...Object.keys(widths),
  '1 minute',
  '1 year',
  '3 years',
  '3 days',
]

const anySpec = fc.tuple(fc.constantFrom(...everyText), fc.constantFrom(...zones)).map(([e, z]) => spec(e, z))
const instants = fc.oneof(
  fc.bigInt({ min: parseInstant('1850-01-01T00:00Z'), max: parseInstant('2100-01-01T00:00Z') }),
  // near local midnights and full hours, where things happen
  fc
    .tuple(fc.integer({ min: -1_000_000, max: 1_140_000 }), fc.integer({ min: -2, max: 2 }))
    .map(([hour, micros]) => BigInt(hour) * 3_600_000_000n + BigInt(micros)),
  fc.bigInt({
    min: parseInstant('4714-11-25 00:00:00+00 BC'),
    max: parseInstant('294246-01-01 00:00:00+00'),
  }),
)

describe('buckets cut the time line into pieces without gap or overlap', () => {
  test('start <= t < next, and start and next are themselves starts', () => {
    fc.assert(
      fc.property(anySpec, instants, (s, t) => {
        const start = bucketStart(s, t)
        const next = nextBucket(s, t)
        expect(start <= t && t < next).toBe(true)
        expect(bucketStart(s, start)).toBe(start)
        expect(bucketStart(s, next)).toBe(next)
        expect(bucketStart(s, next - 1n)).toBe(start)
        expect(nextBucket(s, start)).toBe(next)
      }),
      { numRuns: 1500 },
    )
  })

  test('a later instant never has an earlier bucket', () => {
    fc.assert(
      fc.property(anySpec, instants, fc.bigInt({ min: 0n, max: 200_000_000_000n }), (s, t, later) => {
        expect(bucketStart(s, t) <= bucketStart(s, t + later)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  test('borders are the starts, one after the other, and cover the range', () => {
    fc.assert(
      fc.property(anySpec, instants, fc.integer({ min: 1, max: 60 }), (s, t, count) => {
        let end = t
        for (let i = 0; i < count; i++) end = nextBucket(s, end)
        const list = bucketBorders(s, { from: t, to: end }, { max: count })
        expect(list).toHaveLength(count + 1)
        expect(list[0]).toBe(bucketStart(s, t))
        for (let i = 0; i < count; i++) expect(nextBucket(s, list[i] as bigint)).toBe(list[i + 1])
        expect(() => bucketBorders(s, { from: t, to: end + 1n }, { max: count })).toThrow(TidemarkError)
      }),
      { numRuns: 400 },
    )
  })

  test('where the arithmetic is said to be fixed, it gives the same starts', () => {
    let fixed = 0
    fc.assert(
      fc.property(anySpec, instants, fc.bigInt({ min: 1n, max: 40n * 86_400_000_000n }), (s, t, length) => {
        const range = { from: t, to: t + length }
        const arithmetic = fixedBucket(s, range)
        if (arithmetic === null) return
        fixed++
        const { width, origin: base } = arithmetic
        for (const at of [t, t + length / 3n, t + length - 1n]) {
          const offset = (((at - base) % width) + width) % width
          expect(at - offset).toBe(bucketStart(s, at))
        }
      }),
      { numRuns: 2000 },
    )
    expect(fixed).toBeGreaterThan(250)
  })
})

test('a range across a change of the clock has no fixed arithmetic, one beside it has', () => {
  const s = spec('1 day', 'Europe/Berlin')
  const range = (from: string, to: string) => ({ from: parseInstant(from), to: parseInstant(to) })
  expect(fixedBucket(s)).toBeNull()
  expect(fixedBucket(s, range('2026-03-01T00:00Z', '2026-04-01T00:00Z'))).toBeNull()
  expect(fixedBucket(s, range('2026-03-30T00:00Z', '2026-10-20T00:00Z'))).toEqual({
    width: 86_400_000_000n,
    origin: parseInstant('2000-01-02T22:00Z'),
  })
  expect(fixedBucket(spec('1 month', null))).toBeNull()
  expect(fixedBucket(spec('1 month', null), range('2026-01-01T00:00Z', '2026-02-01T00:00Z'))).toBeNull()
})

test('without a zone and in zones of a fixed offset buckets are plain arithmetic', () => {
  expect(fixedBucket(spec('1 week', null))).toEqual({
    width: 604_800_000_000n,
    origin: parseInstant('2000-01-03T00:00Z'),
  })
  for (const utc of ['UTC', 'utc', 'Etc/UTC', 'GMT', 'Z', '+00:00', '-00:00', 'Zulu']) {
    expect(fixedBucket(spec('5 hours', utc))).toEqual(fixedBucket(spec('5 hours', null)))
  }
  expect(fixedBucket(spec('1 day', '+05:30'))?.origin).toBe(parseInstant('2000-01-02T18:30Z'))
  // POSIX counts westwards
  expect(fixedBucket(spec('1 day', 'Etc/GMT+5'))?.origin).toBe(parseInstant('2000-01-03T05:00Z'))
  expect(borders('1 month', '+05:30', '2026-01-15T00:00Z', '2026-01-16T00:00Z')).toEqual([
    '2025-12-31T18:30:00Z',
    '2026-01-31T18:30:00Z',
  ])
})

test('an unknown zone and a width that does not fit into the day are refused with the reason', () => {
  for (const zone of ['Europe/Atlantis', '', '+25:00', 'CEST', 'Europe/Berlin; drop', '../etc/passwd', '5']) {
    expect(() => assertBucketSpec(spec('1 day', zone)), zone).toThrow(/not a time zone/)
  }
  expect(() => assertBucketSpec(spec('5 hours', 'Europe/Berlin'))).toThrow(TimeProblem)
  expect(() => assertBucketSpec(spec('36 hours', 'Europe/Berlin'))).toThrow(/divide 24 hours/)
  expect(() => assertBucketSpec(spec('7 hours', '+01:00'))).toThrow(/divide 24 hours/)
  expect(() => assertBucketSpec(spec('48 hours', 'europe/berlin'))).not.toThrow()
  expect(() => assertBucketSpec(spec('36 hours', null))).not.toThrow()
})

test('more buckets than allowed are refused with both numbers, however many they would be', () => {
  const all = { from: parseInstant('0001-01-01T00:00Z'), to: parseInstant('9999-01-01T00:00Z') }
  for (const s of [spec('1 second', null), spec('1 hour', 'Europe/Berlin'), spec('1 day', 'Europe/Berlin')]) {
    try {
      bucketBorders(s, all, { max: 10_000 })
      expect.unreachable()
    } catch (error) {
      expect(error).toBeInstanceOf(TidemarkError)
      expect((error as TidemarkError).code).toBe('TM_LIMIT')
      expect((error as Error).message).toMatch(/over the limit of 10000 buckets/)
    }
  }
  expect(bucketBorders(spec('1 day', null), { from: 5n, to: 5n }, { max: 1 })).toEqual([])
})
