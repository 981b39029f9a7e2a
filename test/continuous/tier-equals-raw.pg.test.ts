import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAggregateTier } from '../../src/continuous/tier.ts'
import { createAggregateCatalogs } from '../../src/continuous/tier-catalog.ts'
import type { AggregateVersion } from '../../src/continuous/version.ts'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import { type Answer, executeQuery, parseQuery, queryLimits, type Tier } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, type JsonValue, t } from '../../src/schema/index.ts'
import { formatInstant, parseInstant, systemClock, type TimeRange } from '../../src/time/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createRandom } from '../helpers/split-tiers.ts'
import { createTestHypertable } from '../hot/create-test-hypertable.ts'
import { insertForReading } from '../hot/reading-fixture.ts'
import { type AggregateShape, aggregateOf, createCells, fillCells } from './cells-fixture.ts'

const hour = 3_600_000_000n
/** Weeks in which clocks are set. */
const weeks = [
  { zone: 'Europe/Berlin', from: '2026-03-22T00:00:00Z' },
  { zone: 'America/New_York', from: '2026-10-26T00:00:00Z' },
  { zone: 'Asia/Kolkata', from: '2026-01-05T00:00:00Z' },
  { zone: 'Australia/Lord_Howe', from: '2026-03-30T00:00:00Z' },
]
const calls = {
  rows: { fn: 'count' },
  withN: { fn: 'count', column: 'n' },
  sumN: { fn: 'sum', column: 'n' },
  avgPrice: { fn: 'avg', column: 'price' },
  minV: { fn: 'min', column: 'v' },
  maxPrice: { fn: 'max', column: 'price' },
  firstN: { fn: 'first', column: 'n' },
  lastHost: { fn: 'last', column: 'host' },
  p90: { fn: 'percentile', column: 'v', q: 0.9 },
  hosts: { fn: 'uniques', column: 'host' },
  kinds: { fn: 'countDistinct', column: 'props.kind' },
  spread: { fn: 'stddev', column: 'v' },
  busy: { fn: 'count', where: { n: { gt: 3 } } },
  top: { fn: 'topK', column: 'host', k: 2 },
  grown: { fn: 'increase', column: 'n', series: ['host', 'tenant'] },
  level: { fn: 'timeWeightedAvg', column: 'n', series: ['host'] },
  shape: { fn: 'histogram', column: 'n', borders: [0, 2, 5] },
} as const
type CallName = keyof typeof calls
const callNames = Object.keys(calls) as CallName[]
const keys = ['tenant', 'host', 'grade', 'props.kind'] as const

/** What is computed in floats in an order of its own; the others are equal to the last bit. */
const bounded = ['spread', 'level'] as const

function rounded({ rows }: Answer): readonly unknown[] {
  return rows.map((row) => {
    const shown: Record<string, unknown> = { ...row }
    for (const name of bounded) {
      const value = shown[name]
      if (typeof value === 'number') shown[name] = Number(value.toPrecision(9))
    }
    return shown
  })
}

describe.each(weeks)('answers from cells, in $zone', ({ zone, from }) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  let test: TestDatabase
  let table: HypertableDefinition
  let random: () => number
  const start = parseInstant(from)
  const range: TimeRange = { from: start, to: start + 14n * 24n * hour }

  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const some = <T>(list: readonly T[], share: number): T[] => list.filter(() => random() < share)
  const chance = (share: number): boolean => random() < share
  const instant = (): bigint => {
    const at = range.from + BigInt(Math.floor(random() * 14 * 24 * 4)) * (hour / 4n)
    return chance(0.7) ? at : at + BigInt(Math.floor(random() * 9e8))
  }
  const call = (names: readonly CallName[]) => Object.fromEntries(names.map((name) => [name, calls[name]]))

  const row = (): Record<string, unknown> => ({
    time: instant(),
    tenant: pick(['a', 'b', 'c']),
    host: pick(['h1', 'h2', 'H1', 'é']),
    grade: pick([0, 1, -0, Number.NaN, 0.5]),
    n: chance(0.1) ? null : Math.floor(random() * 8) - 1,
    v: chance(0.1) ? null : pick([random() * 100, -random(), 1e-9, 0]),
    price: chance(0.1) ? null : (random() * 10).toFixed(2),
    props: pick([null, { kind: 'x' }, { kind: 1 }, { kind: '1' }, {}]),
  })

  beforeAll(async () => {
    test = await createTestDatabase()
    table = hypertable('public.events', {
      columns: {
        time: t.timestamptz(),
        tenant: t.text(),
        host: t.text(),
        grade: t.float8(),
        n: t.int4().nullable(),
        v: t.float8().nullable(),
        price: t.numeric(10, 2).nullable(),
        props: t.jsonb().nullable(),
      },
      time: 'time',
      tenant: 'tenant',
      chunk: '7 days',
      changeCell: '30 minutes',
    })
    await createTestHypertable(test.db, table)
    random = createRandom(seed)
    await insertForReading(
      test.db,
      table,
      Array.from({ length: 400 }, () => row()),
    )
  })
  afterAll(() => test.drop())

  const aggregateWhere = { n: { gte: 1 } }

  function randomShape(): AggregateShape {
    return {
      bucket: pick(['15 minutes', '30 minutes', '1 hour', '1 hour', '6 hours', '1 day', '1 week']),
      zone: chance(0.5) ? zone : null,
      by: some(keys.slice(1), 0.5),
      where: chance(0.25) ? aggregateWhere : null,
      select: call(some(callNames, 0.8).concat('rows')),
    }
  }

  /** Of anything, or of something that an aggregate may hold. */
  function randomQuery(shape: AggregateShape | null): Record<string, JsonValue> {
    const ends = [instant(), instant()].sort((a, b) => (a < b ? -1 : 1))
    const conditions: Record<string, JsonValue>[] = []
    if (chance(0.3)) conditions.push({ tenant: pick(['a', 'b']) })
    if (shape ? shape.where : chance(0.3)) conditions.push(aggregateWhere)
    if (!shape || (shape.by?.includes('host') && chance(0.2))) {
      if (chance(0.3)) conditions.push({ host: { in: ['h1', 'é'] } })
      if (chance(0.1)) conditions.push({ $or: [{ host: 'H1' }, { host: { gte: 'h2' } }] })
    }
    if (shape?.by?.includes('grade') && chance(0.2)) conditions.push({ grade: { gt: 0.2 } })
    if (chance(0.1)) conditions.push({ 'props.kind': null })
    if (chance(0.05)) conditions.push({ 'props.kind': '1' })
    const buckets = ['30 minutes', '1 hour', '3 hours', '1 day', '1 day', '1 week', '1 month']
    const bucket = chance(0.8) ? (shape && chance(0.4) ? shape.bucket : pick(buckets)) : null
    const zoned = bucket !== null && (shape && chance(0.7) ? shape.zone !== null : chance(0.5))
    const by = shape ? some(['tenant', ...(shape.by ?? [])], 0.6) : some(keys, 0.25)
    const names = shape ? (Object.keys(shape.select) as CallName[]) : callNames
    return {
      ...(chance(0.2) ? {} : { from: formatInstant(ends[0]!), to: formatInstant(ends[1]! + 1n) }),
      ...(bucket === null ? {} : { bucket }),
      ...(zoned ? { zone } : {}),
      ...(by.length > 0 ? { by } : {}),
      ...(conditions.length > 0 ? { where: { $and: conditions } } : {}),
      select: call(some(names, 0.35).concat('rows')),
      ...(bucket !== null && chance(0.2) ? { limit: 5, order: ['-bucket'] } : {}),
    } as Record<string, JsonValue>
  }

  /** Cells in what is not valid are wrong on purpose. */
  async function spoil(version: AggregateVersion): Promise<void> {
    const cells = identifier('tidemark_aggregates', version.relation)
    await test.db.query(sql`
      delete from ${cells} as c
      using tidemark.aggregate_invalid as i
      where i.version_id = ${version.id}::int4 and c.bucket >= i.range_from and c.bucket < i.range_to
        and (i.tenant is null or i.tenant = c.key_0)`)
  }

  it(`are those from rows, whatever is written meanwhile (seed ${seed})`, async () => {
    const versions: AggregateVersion[] = []
    const shapes: AggregateShape[] = []
    for (let i = 0; i < 5; i++) {
      const shape = randomShape()
      shapes.push(shape)
      const version = await createCells(test.db, aggregateOf(`kept_${i}`, table, shape))
      const invalid = Array.from({ length: Math.floor(random() * 4) }, () => {
        const at = instant()
        return {
          tenant: chance(0.4) ? pick(['a', 'b']) : null,
          range: { from: at, to: at + BigInt(1 + Math.floor(random() * 30)) * hour },
        }
      })
      await fillCells(test.db, version, range, invalid)
      await spoil(version)
      versions.push(version)
    }
    const hot = createHotTier()
    // so dear that cells are read wherever they can be
    const dear: Tier = {
      ...hot,
      coverage: async (...args) =>
        (await hot.coverage(...args)).map((one) => ({ ...one, estimatedRows: 1_000_000_000 })),
    }
    const catalogs = createAggregateCatalogs(async () => versions)
    const kept = versions.map(({ materialization: { definition } }) =>
      createAggregateTier({ definition, catalogs }),
    )
    const limits = queryLimits({})
    const ask = (query: unknown, tiers: readonly Tier[]): Promise<Answer> =>
      withReadSnapshot(
        test.db,
        { timeoutMs: 30_000, dataset: table, taken: 'with the first statement' },
        (snapshot) =>
          executeQuery(parseQuery(query, { dataset: table, clock: systemClock, limits }), {
            tiers,
            snapshot,
            clock: systemClock,
            signal: null,
            limits,
          }),
      )
    let fromCells = 0
    for (let i = 0; i < 40; i++) {
      if (i % 6 === 3)
        await insertForReading(
          test.db,
          table,
          Array.from({ length: 1 + Math.floor(random() * 3) }, () => row()),
        )
      if (i % 20 === 7)
        await test.db.query(sql`
          delete from public.events
          where time = (select time from public.events offset ${Math.floor(random() * 100)}::int8 limit 1)`)
      const query = randomQuery(chance(0.75) ? pick(shapes) : null)
      const [expected, found] = [await ask(query, [hot]), await ask(query, [dear, ...kept])]
      fromCells += found.plan.parts.filter(({ source }) => source.startsWith('public.kept')).length
      const about = `${inspect(query, { depth: 9 })}\n${inspect(
        versions.map(({ materialization: { definition } }) => [
          definition.name,
          definition.bucket.every.text,
          definition.bucket.zone,
          definition.by,
          definition.where,
        ]),
      )}\n${inspect(found.plan, { depth: 5 })}`
      expect(rounded(found), about).toEqual(rounded(expected))
    }
    // few where the shapes of a seed are narrow
    expect(fromCells, 'parts that were read from cells').toBeGreaterThan(2)
  })
})
