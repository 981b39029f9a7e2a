import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import { type FilterNode, type LatestRequest, newestKeys } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import type { TimeRange } from '../../src/time/index.ts'
import { identifier, join, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { chunksFrom, createForReading, hour, start } from './reading-fixture.ts'

const columns = {
  time: t.timestamptz(),
  a: t.text(),
  b: t.int4(),
  c: t.text().nullable(),
  value: t.float8().nullable(),
}
/** One table for each way in which an index can hold the series, and one without. */
const tables: readonly HypertableDefinition[] = [
  hypertable('newest.one', { columns, time: 'time', indexes: [{ columns: ['a', 'time'] }] }),
  hypertable('newest.two', { columns, time: 'time', indexes: [{ columns: ['b', 'a', '-time'] }] }),
  hypertable('newest.mixed', { columns, time: 'time', indexes: [{ columns: ['a', '-b', 'time'] }] }),
  hypertable('newest.nullable', { columns, time: 'time', indexes: [{ columns: ['c', 'b', 'time'] }] }),
  hypertable('newest.none', { columns, time: 'time' }),
]
const names = ['time', 'a', 'b', 'c', 'value'] as const
type TestRow = readonly [bigint, string, number, string | null, number | null]

const chunks = chunksFrom(start, hour, 4)
const random = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}

/** Few instants and few series, so that ties and series that stopped long ago are common; some rows have no chunk. */
function makeRows(seed: number, count: number): TestRow[] {
  const next = random(seed)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T
  return Array.from({ length: count }, () => {
    const a = pick(['x', 'y', 'z', 'é', '', '\u{1f600}'])
    const age = a === 'x' || a === '\u{1f600}' ? 3 : a === 'y' ? 1 : 0
    const at = Math.floor(next() * (6 - age) * 4) - 2
    return [
      start + (BigInt(at) * hour) / 4n,
      a,
      Math.floor(next() * 4),
      pick(['p', 'q', null]),
      pick([null, 1, 2, Number.NaN, -1]),
    ]
  })
}

/** null, numbers, NaN; text by its bytes. */
function compare(x: unknown, y: unknown): number {
  if (x === null || y === null) return x === y ? 0 : x === null ? -1 : 1
  if (typeof x === 'string') return Buffer.compare(Buffer.from(x), Buffer.from(y as string))
  const rank = (value: unknown) => (Number.isNaN(value) ? Infinity : (value as number | bigint))
  return rank(x) < rank(y) ? -1 : rank(x) > rank(y) ? 1 : 0
}

function naive(rows: readonly TestRow[], by: readonly string[]): string[] {
  const newest = new Map<string, TestRow>()
  const seriesAt = by.map((name) => names.indexOf(name as (typeof names)[number]))
  for (const row of rows) {
    const key = JSON.stringify(seriesAt.map((at) => row[at]))
    const held = newest.get(key)
    const order = held ? row.map((value, i) => compare(value, held[i])).find((o) => o !== 0) : 1
    if (order === 1) newest.set(key, row)
  }
  return [...newest.values()].map(show).sort()
}

function show(row: readonly unknown[]): string {
  return row.map((value) => String(value)).join('|')
}

describe('the newest row of each series', () => {
  let base: TestDatabase
  const tier = createHotTier()
  const contents = new Map<string, TestRow[]>()

  beforeAll(async () => {
    base = await createTestDatabase()
    for (const [i, table] of tables.entries()) {
      await createForReading(base.db, table, chunks)
      const rows = makeRows(i + 1, 300)
      contents.set(table.name, rows)
      for (const row of rows) {
        const [time, ...rest] = row
        await base.db.query(sql`
          insert into ${identifier(table.schema, table.table)} (${join(
            names.map((name) => identifier(name)),
            ', ',
          )})
          select timestamptz '2026-01-01Z' + ${String(time - start)}::int8 * interval '1 microsecond',
            ${rest[0]}::text, ${rest[1]}::int4, ${rest[2]}::text, ${rest[3]}::float8`)
      }
    }
  })
  afterAll(() => base.drop())

  const ask = async (
    dataset: HypertableDefinition,
    by: readonly string[],
    range: TimeRange | null,
    where: FilterNode | null,
  ) => {
    const node = { kind: 'latest', dataset, range, where, limit: null, columns: names, by } as const
    return withReadSnapshot(base.db, { timeoutMs: 10_000 }, async (snapshot) => {
      const { rows } = await tier.latest({ ...node, withKeys: false }, { snapshot, signal: null })
      const keyed = await tier.latest({ ...node, withKeys: true }, { snapshot, signal: null })
      expect(keyed.rows.map(show).sort()).toEqual(rows.map(show).sort())
      const keys = newestKeys(dataset, by).map(({ column }) =>
        names.indexOf(column as (typeof names)[number]),
      )
      expect(keyed.keys).toEqual(keyed.rows.map((row) => keys.map((at) => row[at])))
      return rows.map(show).sort()
    })
  }

  test('is the one that a look at every row finds, ties included, whatever index there is', async () => {
    const filters: readonly { node: FilterNode | null; keeps: (row: TestRow) => boolean }[] = [
      { node: null, keeps: () => true },
      {
        node: { kind: 'compare', ref: { column: 'a', path: [] }, operator: 'eq', value: 'x' },
        keeps: (row) => row[1] === 'x',
      },
      {
        node: { kind: 'compare', ref: { column: 'value', path: [] }, operator: 'lt', value: 2 },
        keeps: (row) => row[4] !== null && row[4] < 2,
      },
      {
        node: { kind: 'compare', ref: { column: 'b', path: [] }, operator: 'gt', value: 99 },
        keeps: () => false,
      },
    ]
    const edge = fc.integer({ min: -4, max: 28 }).map((n) => start + (BigInt(n) * hour) / 4n)
    const range = fc.option(
      fc
        .tuple(edge, edge)
        .filter(([from, to]) => from < to)
        .map(([from, to]) => ({ from, to })),
    )
    const subsets = [[], ['a'], ['b'], ['c'], ['a', 'b'], ['c', 'a'], ['b', 'c'], ['a', 'b', 'c']]
    await fc.assert(
      fc.asyncProperty(range, fc.constantFrom(...filters), async (asked, filter) => {
        for (const dataset of tables) {
          const inRange = contents
            .get(dataset.name)!
            .filter((row) => filter.keeps(row) && (!asked || (row[0] >= asked.from && row[0] < asked.to)))
          for (const by of subsets)
            expect(await ask(dataset, by, asked, filter.node), `${dataset.name} by ${by}`).toEqual(
              naive(inRange, by),
            )
        }
      }),
      { numRuns: 16, examples: [[null, filters[0]!]] },
    )
  })

  test('is found where the newest chunks are still empty or never analysed', async () => {
    const dataset = hypertable('newest.ahead', {
      columns,
      time: 'time',
      indexes: [{ columns: ['a', 'time'] }],
    })
    await createForReading(base.db, dataset, chunksFrom(start, hour, 6))
    const insert = (a: string, minutes: number) =>
      base.db.query(sql`
        insert into newest.ahead values (timestamptz '2026-01-01Z' + ${minutes}::int4 * interval '1 minute', ${a}::text, 1, null, null)`)
    expect(await ask(dataset, ['a'], null, null)).toEqual([])
    await insert('old', 10)
    await insert('newer', 130)
    await insert('outside', 100_000)
    await insert('old', -100_000)
    expect((await ask(dataset, ['a'], null, null)).map((row) => row.split('|')[1])).toEqual([
      'old',
      'newer',
      'outside',
    ])
    await base.db.execute('vacuum analyze newest.ahead')
    await insert('last', 300)
    expect((await ask(dataset, ['a'], null, null)).map((row) => row.split('|')[1])).toEqual([
      'old',
      'newer',
      'last',
      'outside',
    ])
  })

  test('is found for a series that stopped, before, between and after those that go on', async () => {
    for (const [i, stopped] of ['a', 'mm', 'z'].entries())
      for (const way of ['a', '-a'] as const) {
        const name = `newest.stopped_${i}_${way.length}` as const
        const dataset = hypertable(name, { columns, time: 'time', indexes: [[way, 'time']] })
        await createForReading(base.db, dataset, chunksFrom(start, hour, 2))
        for (const [a, minutes] of [
          [stopped, 10],
          ['m', 10],
          ['m', 70],
          ['n', 70],
        ] as const)
          await base.db.query(sql`
            insert into ${identifier('newest', dataset.table)}
            values (timestamptz '2026-01-01Z' + ${minutes}::int4 * interval '1 minute', ${a}::text, 1, null, null)`)
        expect((await ask(dataset, ['a'], null, null)).map((row) => row.split('|')[1])).toEqual([
          stopped,
          'm',
          'n',
        ])
      }
  })

  test('more series than the limit are an error that says so', async () => {
    const dataset = tables[0]!
    const small = createHotTier({ maxSeries: 3 })
    const node: LatestRequest = {
      kind: 'latest',
      dataset,
      range: null,
      where: null,
      limit: null,
      columns: names,
      by: ['a'],
      withKeys: false,
    }
    const asked = withReadSnapshot(base.db, { timeoutMs: 10_000 }, (snapshot) =>
      small.latest(node, { snapshot, signal: null }),
    )
    await expect(asked).rejects.toMatchObject({ code: 'TM_LIMIT', params: { limit: '3' } })
  })
})
