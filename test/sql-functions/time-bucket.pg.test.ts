import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  bucketStart,
  formatInstant,
  type Instant,
  parseInstant,
  parseInterval,
} from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})

const one = async (expression: string): Promise<unknown> =>
  (await test.db.query(raw(`select (${expression})::text`))).rows[0]?.[0]

const from = parseInstant('1975-01-01T00:00Z')
const to = parseInstant('2030-01-01T00:00Z')
const hour = 3_600_000_000n

/** Around every hour at which clocks of the zone were set, and anywhere. */
async function instantsOf(zone: string): Promise<Instant[]> {
  const { rows } = await test.db.query(sql`
    select h
    from
      generate_series(timestamptz '1975-01-01 00:00+00', timestamptz '2029-12-31 00:00+00', interval '24 hours') d,
      generate_series(d + interval '1 hour', d + interval '24 hours', interval '1 hour') h
    where (d + interval '24 hours') at time zone ${zone}::text - d at time zone ${zone}::text <> interval '24 hours'
      and h at time zone ${zone}::text - (h - interval '1 hour') at time zone ${zone}::text <> interval '1 hour'`)
  const minute = hour / 60n
  const near = rows.flatMap(([at]) =>
    [-121n, -61n, -59n, -31n, -1n, 0n, 1n, 29n, 30n, 31n, 61n, 90n, 121n, 301n, 1439n].map(
      (minutes) => (at as bigint) + minutes * minute,
    ),
  )
  return [...near, ...fc.sample(fc.bigInt({ min: from, max: to }), { numRuns: 500, seed: 7 })]
}

const zones = [
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'America/Sao_Paulo',
  'America/Havana',
  'America/St_Johns',
]
const widths = [
  '15 minutes',
  '30 minutes',
  '1 hour',
  '2 hours',
  '6 hours',
  '12 hours',
  '1 day',
  '3 days',
  '1 week',
]
const months = ['1 month', '3 months', '1 year']

describe('time_bucket', () => {
  it.each(zones)('has the buckets of the query engine in %s, also where clocks are set', async (zone) => {
    const instants = await instantsOf(zone)
    for (const width of [...widths, ...months]) {
      const { rows } = await test.db.query(sql`
        select tidemark.time_bucket(${width}::text::interval, ts, ${zone}::text)
        from unnest(${instants.map(formatInstant)}::timestamptz[]) ts`)
      const spec = { every: parseInterval(width), zone }
      const wrong = instants.flatMap((ts, i) => {
        const expected = bucketStart(spec, ts)
        return rows[i]?.[0] === expected ? [] : [{ ts, is: rows[i]?.[0], expected }]
      })
      expect({ zone, width, wrong }).toEqual({ zone, width, wrong: [] })
    }
  })

  it('has the buckets of the query engine without a zone', async () => {
    const instants = fc.sample(fc.bigInt({ min: parseInstant('0001-01-01T00:00Z'), max: to }), {
      numRuns: 500,
      seed: 8,
    })
    for (const width of [...widths, ...months, '7 milliseconds', '63 seconds', '123 hours']) {
      const { rows } = await test.db.query(sql`
        select tidemark.time_bucket(${width}::text::interval, ts)
        from unnest(${instants.map(formatInstant)}::timestamptz[]) ts`)
      const spec = { every: parseInterval(width), zone: 'UTC' }
      expect(rows.map(([start]) => start)).toEqual(instants.map((ts) => bucketStart(spec, ts)))
    }
  })

  it('takes an origin, an offset, dates and integers as TimescaleDB does', async () => {
    expect(
      await one(
        `tidemark.time_bucket('1 week', timestamptz '2022-01-05 10:00+00', timestamptz '2022-01-02 00:00+00')`,
      ),
    ).toBe('2022-01-02 00:00:00+00')
    expect(
      await one(`tidemark.time_bucket('5 minutes', timestamptz '2022-01-05 10:04+00', interval '2 minutes')`),
    ).toBe('2022-01-05 10:02:00+00')
    expect(
      await one(
        `tidemark.time_bucket('1 day', timestamptz '2022-01-05 01:00+00', "offset" => interval '-2 hours')`,
      ),
    ).toBe('2022-01-04 22:00:00+00')
    expect(
      await one(
        `tidemark.time_bucket('1 day', timestamptz '2022-01-05 01:00+00', 'Europe/Berlin', "offset" => '6 hours')`,
      ),
    ).toBe('2022-01-04 05:00:00+00')
    expect(
      await one(
        `tidemark.time_bucket('1 day', timestamptz '2022-01-05 04:00+00', 'Europe/Berlin', origin => '2000-01-01 05:00+00')`,
      ),
    ).toBe('2022-01-04 05:00:00+00')
    expect(await one(`tidemark.time_bucket('1 month', date '2022-02-17')`)).toBe('2022-02-01')
    expect(await one(`tidemark.time_bucket('4 days', date '2022-02-17', interval '2 days')`)).toBe(
      '2022-02-14',
    )
    expect(await one(`tidemark.time_bucket('1 day', timestamp '2022-02-17 11:11')`)).toBe(
      '2022-02-17 00:00:00',
    )
    expect(await one(`tidemark.time_bucket('2 months', timestamptz '1999-11-17 11:11+00')`)).toBe(
      '1999-11-01 00:00:00+00',
    )
    expect(await one('tidemark.time_bucket(10, -3)')).toBe('-10')
    expect(await one('tidemark.time_bucket(10, -10)')).toBe('-10')
    expect(await one('tidemark.time_bucket(10::int2, 11::int2, 2::int2)')).toBe('2')
    expect(await one('tidemark.time_bucket(10::int8, 11::int8, -2::int8)')).toBe('8')
    for (const [ts, zone] of [
      [`'infinity'`, ''],
      [`'-infinity'`, `, 'Europe/Berlin'`],
    ])
      expect(await one(`tidemark.time_bucket('1 day', timestamptz ${ts}${zone})`)).toBe(
        ts?.replaceAll(`'`, ''),
      )
    for (const call of [
      `'1 day', null::timestamptz`,
      `null::interval, now()`,
      `'1 day', now(), null::text`,
      'null::int4, 1',
    ])
      expect(await one(`tidemark.time_bucket(${call})`)).toBe(null)
  })

  it.each([
    [`'1 month 1 day', now()`, 'mixes months'],
    [`'0', now()`, 'greater than 0'],
    [`interval '-1 month', now()`, 'greater than 0'],
    [`0, 5`, 'greater than 0'],
    [`-5, 5`, 'greater than 0'],
    [`'25 hours', date '2022-01-01'`, 'whole number of days'],
    [`'1 hour', now(), 'Mars/Olympus'`, 'not recognized'],
    [`10::int2, '-32768'::int2`, 'out of range'],
  ])('refuses time_bucket(%s)', async (call, problem) => {
    await expect(one(`tidemark.time_bucket(${call})`)).rejects.toThrow(problem)
  })

  it('costs no call: of a constant width the plan has date_bin', async () => {
    await test.db.execute('create table plain (time timestamptz, n int4)')
    const { rows } = await test.db.query(
      raw(
        `explain (verbose, costs off) select tidemark.time_bucket('1 hour', time), tidemark.time_bucket(5, n) from plain`,
      ),
    )
    const plan = rows.flat().join('\n')
    expect(plan).toContain(`date_bin('01:00:00'::interval, "time", '2000-01-03 00:00:00+00'`)
    expect(plan).not.toContain('time_bucket')
  })
})
