import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isStillValid, readValidity, type VersionValidity } from '../../src/continuous/validity.ts'
import type { AggregateVersion } from '../../src/continuous/version.ts'
import { formatInstant, infinityInstant, minusInfinityInstant, parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings } from '../hot/create-test-hypertable.ts'
import { aggregateOf, createCells, fillCells, invalidate } from './cells-fixture.ts'

const at = (text: string): bigint => parseInstant(text)
const day = { from: at('2026-01-01T00:00:00Z'), to: at('2026-01-02T00:00:00Z') }
const hour = (n: number) => ({
  from: day.from + BigInt(n) * 3_600_000_000n,
  to: day.from + BigInt(n + 1) * 3_600_000_000n,
})

describe('which cells are valid', () => {
  let test: TestDatabase
  let version: AggregateVersion

  beforeAll(async () => {
    test = await createTestDatabase()
    await createTestHypertable(test.db, readings)
    version = await createCells(
      test.db,
      aggregateOf('hourly', readings, { bucket: '1 hour', by: ['sensor'], select: { n: { fn: 'count' } } }),
    )
  })
  afterAll(() => test.drop())
  beforeEach(async () => {
    await test.db.execute('delete from public.readings')
    await insert('2026-01-01T00:00:00Z')
    await fillCells(test.db, version, day)
  })

  const insert = (time: string, tenant = 'a') =>
    test.db.query(
      sql`insert into public.readings values (${time}::timestamptz, ${tenant}::text, gen_random_uuid()::text, 1)`,
    )
  const ask = async (range: typeof day | null = null): Promise<VersionValidity> =>
    (await readValidity((statement) => test.db.query(statement), [version], range))[0]!
  const shown = ({ invalid }: VersionValidity): string[] =>
    invalid.map(
      ({ tenant, range }) => `${tenant ?? '*'} ${formatInstant(range.from)} ${formatInstant(range.to)}`,
    )

  it('nothing of a new version is', async () => {
    const hourly = aggregateOf('fresh', readings, { bucket: '1 hour', select: { n: { fn: 'count' } } })
    const fresh = await createCells(test.db, hourly)
    const [found, other] = await readValidity((statement) => test.db.query(statement), [fresh, version], null)
    expect(found).toMatchObject({ version: fresh.id, startOver: 'new' })
    expect(found!.invalid).toEqual([
      { tenant: null, range: { from: minusInfinityInstant, to: infinityInstant } },
    ])
    expect(other).toMatchObject({ version: version.id, startOver: null, invalid: [], missed: 0n })
  })

  it('all of one whose consumer has caught up is, but for what a refresh has yet to compute', async () => {
    expect(shown(await ask())).toEqual([])
    await invalidate(test.db, version, { tenant: null, range: hour(3) })
    await invalidate(test.db, version, { tenant: 'a', range: hour(5) })
    expect(shown(await ask())).toEqual([
      '* 2026-01-01T03:00:00Z 2026-01-01T04:00:00Z',
      'a 2026-01-01T05:00:00Z 2026-01-01T06:00:00Z',
    ])
    expect(shown(await ask(hour(5)))).toEqual(['a 2026-01-01T05:00:00Z 2026-01-01T06:00:00Z'])
  })

  it('those are not into which somebody wrote since, also by a transaction that was open for long', async () => {
    const writer = await test.connect()
    await writer.execute(`begin; insert into public.readings values ('2026-01-01T07:00:00Z', 'b', 'x', 1)`)
    await insert('2026-01-01T09:30:00Z')
    const before = await ask()
    expect(shown(before)).toEqual(['a 2026-01-01T09:00:00Z 2026-01-01T10:00:00Z'])
    expect(before.missed).toBe(1n)
    // the position passes the second, not the first
    await fillCells(test.db, version, day)
    expect(shown(await ask())).toEqual([])
    await writer.execute('commit')
    expect(shown(await ask())).toEqual(['b 2026-01-01T07:00:00Z 2026-01-01T08:00:00Z'])
    await writer.close()
  })

  it.each([
    ['other-cluster', `system_identifier = '1'`],
    ['other-timeline', `timeline = '0000ABCD'`],
    ['other-database', 'database_oid = 1'],
  ])('none is when the position is of another history: %s', async (reason, change) => {
    await test.db.execute(
      `update tidemark.change_consumer set ${change} where name = 'aggregate:${version.id}'`,
    )
    const found = await ask()
    expect(found.startOver).toBe(reason)
    expect(shown(found)).toEqual(['* -infinity infinity'])
  })

  it('says too much rather than thousands of ranges', async () => {
    await test.db.query(sql`
      insert into tidemark.aggregate_invalid (version_id, tenant, range_from, range_to)
      select ${version.id}::int4, t, h, h + interval '1 hour'
      from unnest(array['a', 'b']) t,
        generate_series(timestamptz '2000-01-01Z', timestamptz '2000-04-09Z', interval '2 hours') h`)
    const { rows } = await test.db.query(sql`
      select cardinality(tenants), tenants[1], froms, tos
      from tidemark.aggregate_validity(${version.hypertableId}::int4, array[${version.id}::int4], 50)`)
    const [count, tenant, froms, tos] = rows[0] as [number, string | null, bigint[], bigint[]]
    expect(count).toBe(50)
    expect(tenant).toBeNull()
    expect([froms[0], tos.at(-1)].map((instant) => formatInstant(instant!))).toEqual([
      '2000-01-01T00:00:00Z',
      '2000-04-09T01:00:00Z',
    ])
    // under the limit each tenant has its own
    expect((await ask()).invalid.length).toBe(1_000)
    expect((await ask()).invalid.every(({ tenant }) => tenant === null)).toBe(true)
  })

  it('is told to whoever may use the schema', async () => {
    await test.db.execute(`
      create role validity_reader_${test.name} login;
      grant usage on schema tidemark to validity_reader_${test.name}`)
    try {
      const rows = await test.db.transaction({}, async (connection) => {
        await connection.execute(`set local role validity_reader_${test.name}`)
        const { rows } = await connection.query(
          sql`select version_id from tidemark.aggregate_validity(${version.hypertableId}::int4, null, 10)`,
        )
        return rows.length
      })
      expect(rows).toBeGreaterThan(0)
    } finally {
      await test.db.execute(
        `drop owned by validity_reader_${test.name}; drop role validity_reader_${test.name}`,
      )
    }
  })

  it('costs little where a consumer has caught up', async () => {
    for (let i = 0; i < 2_000; i += 100)
      await Promise.all(Array.from({ length: 100 }, () => insert('2026-01-01T01:00:00Z')))
    await fillCells(test.db, version, day)
    await test.db.execute('analyze tidemark.change_log')
    const times: number[] = []
    await test.db.withConnection(async (connection) => {
      for (let i = 0; i < 40; i++) {
        const started = performance.now()
        await readValidity((statement) => connection.query(statement), [version], null)
        times.push(performance.now() - started)
      }
    })
    const [fastest] = times.sort((a, b) => a - b)
    console.info(
      `validity of one version: ${fastest!.toFixed(2)} ms with the round trip, median ${times[20]!.toFixed(2)}`,
    )
    expect(fastest).toBeLessThan(3)
  })
})

describe('what was presumed of validity', () => {
  const of = (...invalid: readonly (readonly [string | null, bigint, bigint])[]): VersionValidity => ({
    version: 1,
    epoch: 0n,
    startOver: null,
    missed: 0n,
    invalid: invalid.map(([tenant, from, to]) => ({ tenant, range: { from, to } })),
  })
  it.each([
    [of(), of(), true],
    [of(), of([null, 1n, 2n]), false],
    [of([null, 1n, 9n]), of([null, 2n, 3n], ['a', 4n, 5n]), true],
    [of(['a', 1n, 9n]), of(['a', 2n, 3n]), true],
    [of(['a', 1n, 9n]), of(['b', 2n, 3n]), false],
    [of(['a', 1n, 9n]), of([null, 2n, 3n]), false],
    [of(['a', 1n, 5n], [null, 5n, 9n]), of(['a', 2n, 7n]), true],
  ])('holds when no more is invalid than was taken for it (%#)', (known, found, expected) => {
    expect(isStillValid(known, found)).toBe(expected)
  })
})
