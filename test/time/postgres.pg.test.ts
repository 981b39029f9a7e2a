import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import {
  addInterval,
  bucketStart,
  formatInstant,
  type Instant,
  infinityInstant,
  minInstant,
  parseInstant,
  parseInterval,
} from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
})

const zones = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  'Australia/Lord_Howe',
  'America/Sao_Paulo',
  'Asia/Kathmandu',
  'Africa/Cairo',
  'Pacific/Apia',
]

const from = parseInstant('1975-01-01T00:00Z')
const to = parseInstant('2026-01-01T00:00Z')
const randomInstants = (count: number): Instant[] =>
  fc.sample(fc.bigInt({ min: from, max: to }), { numRuns: count, seed: 42 })

const instantsOf = (zone: string): Promise<Instant[]> => {
  const known = found.get(zone) ?? findInstants(zone)
  found.set(zone, known)
  return known
}
const found = new Map<string, Promise<Instant[]>>()

/** A few minutes around each change of the zone's clock since 1975, as PostgreSQL knows it, and random instants. */
async function findInstants(zone: string): Promise<Instant[]> {
  const answer = await database.db.query(sql`
    select h
    from
      -- days in which the clock is set, then their hours
      generate_series(timestamptz '1975-01-01 00:00+00', timestamptz '2025-12-31 00:00+00', interval '24 hours') d,
      generate_series(d + interval '1 hour', d + interval '24 hours', interval '1 hour') h
    where (d + interval '24 hours') at time zone ${zone}::text - d at time zone ${zone}::text <> interval '24 hours'
      and h at time zone ${zone}::text - (h - interval '1 hour') at time zone ${zone}::text <> interval '1 hour'
    order by h`)
  const changes = answer.rows.map(([h]) => h as bigint)
  const minute = 60_000_000n
  return [
    ...changes.flatMap((at) => [-90n, -31n, -1n, 0n, 1n, 29n, 31n, 89n, 600n].map((m) => at + m * minute)),
    ...randomInstants(1500),
  ]
}

/** Where the wall clock is set by less than the unit, date_trunc('hour') gives a start before the change. */
const hourDiffers = new Set(['Australia/Lord_Howe', 'Asia/Kathmandu'])

for (const zone of zones) {
  test(`buckets in ${zone} begin where date_trunc says`, { timeout: 60_000 }, async () => {
    const instants = await instantsOf(zone)
    const texts = JSON.stringify(instants.map(formatInstant))
    for (const unit of ['hour', 'day', 'week', 'month', 'quarter', 'year']) {
      if (unit === 'hour' && hourDiffers.has(zone)) continue
      const answer = await database.db.query(sql`
        select date_trunc(${unit}::text, t::timestamptz, ${zone}::text)
        from jsonb_array_elements_text(${texts}::jsonb) with ordinality x(t, i)
        order by i`)
      const spec = { every: parseInterval(`1 ${unit}`), zone }
      const ours = instants.map((t) => `${formatInstant(t)} -> ${formatInstant(bucketStart(spec, t))}`)
      const theirs = answer.rows.map(
        ([start], i) => `${formatInstant(instants[i] as bigint)} -> ${formatInstant(start as bigint)}`,
      )
      expect(ours, unit).toEqual(theirs)
    }
  })

  test(`local times of ${zone} that were skipped or shown twice are the instants that PostgreSQL makes of them`, async () => {
    const answer = await database.db.query(sql`
      select to_char(t::timestamptz at time zone ${zone}::text, 'YYYY-MM-DD HH24:MI:SS') as near
      from jsonb_array_elements_text(${JSON.stringify((await instantsOf(zone)).map(formatInstant))}::jsonb) t`)
    // shown times, and times an hour and half an hour off them: some of those were skipped
    const texts = answer.rows.flatMap(([near]) => {
      const local = parseInstant(`${near as string}Z`)
      return [-60n, -30n, 0n, 30n, 60n].map((m) => formatInstant(local + m * 60_000_000n).slice(0, -1))
    })
    const read = await database.db.query(sql`
      select t::timestamp at time zone ${zone}::text
      from jsonb_array_elements_text(${JSON.stringify(texts)}::jsonb) with ordinality x(t, i)
      order by i`)
    expect(texts.map((text) => `${text} ${formatInstant(parseInstant(text, { zone }))}`)).toEqual(
      read.rows.map(([t], i) => `${texts[i]} ${formatInstant(t as bigint)}`),
    )
  })
}

test('intervals are added as PostgreSQL adds them in the zone of the connection', async () => {
  const instants = randomInstants(300)
  for (const zone of ['UTC', 'Europe/Berlin', 'America/Sao_Paulo']) {
    for (const [text, times] of [
      ['1 month', 1],
      ['1 month', -13],
      ['1 day', 3],
      ['2 weeks', -5],
      ['1 year', 4],
      ['90 minutes', 7],
    ] as const) {
      const answer = await database.db.transaction({}, async (connection) => {
        await connection.query(sql`select set_config('timezone', ${zone}::text, true)`)
        return connection.query(sql`
          select t::timestamptz + ${times}::int * ${text}::interval
          from jsonb_array_elements_text(${JSON.stringify(instants.map(formatInstant))}::jsonb) with ordinality x(t, i)
          order by i`)
      })
      const interval = parseInterval(text)
      expect(instants.map((t) => formatInstant(addInterval(t, interval, zone, times)))).toEqual(
        answer.rows.map(([t]) => formatInstant(t as bigint)),
      )
    }
  }
})

test('what PostgreSQL prints is read as the same instant', async () => {
  const instants = [...randomInstants(500), minInstant, 0n, -1n, parseInstant('0001-01-01T00:00Z') - 1n]
  for (const zone of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu', 'America/New_York']) {
    const answer = await database.db.transaction({}, async (connection) => {
      await connection.query(sql`select set_config('timezone', ${zone}::text, true)`)
      return connection.query(sql`
        select (timestamptz '1970-01-01 00:00+00' + make_interval(secs => (n / 1000000)::float8) + (n % 1000000) * interval '1 microsecond')::text
        from jsonb_array_elements_text(${JSON.stringify(instants.map(String))}::jsonb) with ordinality x(t, i),
          lateral (select t::int8 as n) y
        order by i`)
    })
    expect(answer.rows.map(([t]) => formatInstant(parseInstant(t as string)))).toEqual(
      instants.map(formatInstant),
    )
  }
})

test('infinity is the instant that a statement gives back', async () => {
  const answer = await database.db.query(sql`select timestamptz 'infinity', timestamptz '-infinity'`)
  expect(answer.rows[0]).toEqual([infinityInstant, -infinityInstant - 1n])
})

test('the canonical text of an interval is one that PostgreSQL reads', async () => {
  for (const text of ['15m', '1 quarter', '2 years', '1w', '500ms', '3us', '1 day']) {
    const answer = await database.db.query(sql`select ${parseInterval(text).text}::interval > interval '0'`)
    expect(answer.rows[0]).toEqual([true])
  }
})
