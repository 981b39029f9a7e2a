import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InputType, type StateSpec, states } from '../../src/aggregate/index.ts'
import {
  type BucketSpec,
  bucketStart,
  nextBucket,
  parseInstant,
  parseInterval,
} from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { buildState, bytesOf, finishAll } from '../aggregate/harness.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { readVectors, specOf } from '../vectors/format.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(() => test.drop())

const hex = (spec: StateSpec, state: object) => `\\x${bytesOf(spec, state)}`

const rollups = {
  ddsketch: 'rollup_percentile',
  hll: 'rollup_uniques',
  distinct: 'rollup_count_distinct',
  histogram: 'rollup_histogram',
} as const

async function rollup(kind: keyof typeof rollups, bytes: readonly string[]): Promise<string | null> {
  const { rows } = await test.db.query(sql`
    select tidemark.${raw(rollups[kind])}(s::bytea) from unnest(${[...bytes, null]}::text[]) as s`)
  return rows[0]![0] === null ? null : Buffer.from(rows[0]![0] as Uint8Array).toString('hex')
}

describe('states of many cells as one, in SQL', () => {
  it.each(Object.keys(rollups) as (keyof typeof rollups)[])(
    '%s: as TypeScript merges the vectors',
    async (kind) => {
      const { cases } = readVectors().find(({ state }) => state === kind)!
      const groups = new Map<string, (typeof cases)[number][]>()
      for (const vector of cases) {
        const key = JSON.stringify(vector.borders ?? null)
        groups.set(key, [...(groups.get(key) ?? []), vector])
      }
      for (const vectors of groups.values()) {
        // bytes know no input type
        const spec = {
          ...specOf(kind, vectors[0]!),
          input: kind === 'distinct' ? 'text' : 'float8',
        } as StateSpec
        const decode = (bytes: string) => states[kind].decode(Buffer.from(bytes, 'hex'), spec)
        const merged = vectors.map(({ state }) => decode(state)).reduce((a, b) => states[kind].merge(a, b))
        expect(
          await rollup(
            kind,
            vectors.map(({ state }) => `\\x${state}`),
          ),
        ).toBe(bytesOf(spec, merged))
        for (let i = 0; i + 1 < vectors.length; i += 3) {
          const [a, b] = [vectors[i]!.state, vectors[i + 1]!.state]
          const both = bytesOf(spec, states[kind].merge(decode(a), decode(b)))
          expect(await rollup(kind, [`\\x${a}`, `\\x${b}`])).toBe(both)
        }
      }
      expect(await rollup(kind, [])).toBe(null)
    },
  )

  it('uniques of sets that overlap, on both sides of 512', async () => {
    const spec: StateSpec = { kind: 'hll', input: 'int4', borders: null }
    const of = (from: number, to: number) =>
      buildState(
        spec,
        Array.from({ length: to - from }, (_, i) => String(from + i)),
      )
    for (const [a, b] of [
      [of(0, 300), of(100, 512)],
      [of(0, 300), of(100, 513)],
      [of(0, 300), of(200, 5000)],
      [of(0, 9000), of(8000, 20_000)],
    ] as const) {
      const bytes = [hex(spec, a), hex(spec, b)]
      const both = states.hll.merge(a, b)
      const merged = await rollup('hll', bytes)
      expect(merged).toBe(bytesOf(spec, both))
      const { rows } = await test.db.query(sql`select tidemark.uniques(${`\\x${merged}`}::text::bytea)::int4`)
      expect(rows[0]![0]).toBe(finishAll(spec, both)['uniques'])
    }
  })

  it('percentiles of values that lie further apart than the buckets reach', async () => {
    const spec: StateSpec = { kind: 'ddsketch', input: 'float8' as InputType, borders: null }
    const small = buildState(spec, ['1e-200', '2e-200', '-1e-190', '5'])
    const large = buildState(spec, ['1e200', '-1e180', 'NaN', '-Infinity'])
    const both = bytesOf(
      spec,
      states.ddsketch.merge(states.ddsketch.decode(states.ddsketch.encode(small), spec), large),
    )
    expect(await rollup('ddsketch', [hex(spec, small), hex(spec, large)])).toBe(both)
  })

  it('a state of another version is refused, and a quantile that is none', async () => {
    await expect(test.db.query(raw(`select tidemark.percentile('\\x02', 0.5)`))).rejects.toThrow(/22P03/)
    await expect(
      test.db.query(raw(`select tidemark.percentile('\\x0100000000000000', 1.5)`)),
    ).rejects.toThrow(/22023/)
  })
})

describe('buckets of calendars and zones, in SQL', () => {
  const days = [
    '2011-12-29',
    '2018-11-03',
    '2025-11-01',
    '2026-03-28',
    '2026-10-24',
    '2026-04-04',
    '2026-10-03',
    '2026-06-30',
  ]
  it.each([
    ['1 hour', 'Europe/Berlin'],
    ['6 hours', 'Europe/Berlin'],
    ['30 minutes', 'Australia/Lord_Howe'],
    ['1 hour', 'Australia/Lord_Howe'],
    ['1 hour', 'Asia/Kolkata'],
    ['1 day', 'America/New_York'],
    ['1 day', 'America/Sao_Paulo'],
    ['1 day', 'America/Havana'],
    ['1 day', 'Pacific/Apia'],
    ['1 week', 'Europe/Berlin'],
    ['1 month', 'America/New_York'],
    ['3 months', 'UTC'],
  ])('%s in %s begin and end where TypeScript says', async (every, zone) => {
    const spec: BucketSpec = { every: parseInterval(every), zone }
    const instants = days.flatMap((day) =>
      Array.from({ length: 24 }, (_, i) => parseInstant(`${day}T00:10:00Z`) + BigInt(i) * 7_800_000_001n),
    )
    const text = spec.every.kind === 'fixed' ? `${spec.every.micros} microseconds` : every
    const { rows } = await test.db.query(sql`
      select
        tidemark.bucket_border(${text}::interval, ${zone}::text, null, t.at, false),
        tidemark.bucket_border(${text}::interval, ${zone}::text, null, t.at, true)
      from (
        select timestamptz 'epoch' + (m / 1000000) * interval '1 second' + (m % 1000000) * interval '1 microsecond', n
        from unnest(${instants}::int8[]) with ordinality as u (m, n)
      ) as t (at, n)
      order by t.n`)
    expect(rows).toEqual(instants.map((at) => [bucketStart(spec, at), nextBucket(spec, at)]))
  })
})
