import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import type { RowPosition, RowsRequest, RowsResult } from '../../src/query/index.ts'
import { hypertable, type StoredDefinition, t, table } from '../../src/schema/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { chunksFrom, createForReading, day, hour, start } from './reading-fixture.ts'

const columns = { time: t.timestamptz(), host: t.text(), n: t.int4(), note: t.jsonb().nullable() }
const keyed = hypertable('paged.keyed', { columns, time: 'time', primaryKey: ['host', 'time', 'n'] })
const loose = hypertable('paged.loose', { columns, time: 'time' })
const plain = table('paged.plain', { columns, primaryKey: ['host', 'n'] })
const heap = table('paged.heap', { columns })
const names = ['time', 'host', 'n', 'note'] as const

describe('pages of rows', () => {
  let base: TestDatabase
  const tier = createHotTier()

  beforeAll(async () => {
    base = await createTestDatabase()
    for (const definition of [keyed, loose, plain, heap])
      await createForReading(base.db, definition, chunksFrom(start, hour, 3))
    // 12 instants with 20 rows each over three chunks and the default partition; n tells them apart
    const rows = (first: number) => sql`
      select timestamptz '2026-01-01Z' + (i / 20) * interval '20 minutes',
        (array['b', 'a', 'é', 'B'])[i % 4 + 1], ${first}::int4 + i, jsonb_build_object('i', i)
      from generate_series(0, 239) i`
    for (const definition of [keyed, loose, plain, heap])
      await base.db.query(sql`insert into paged.${identifier(definition.table)} ${rows(0)}`)
    // the same row many times over, and two that only their bytes tell apart
    for (const definition of [loose, heap])
      await base.db.query(sql`
        insert into paged.${identifier(definition.table)}
        select timestamptz '2026-01-01 00:20Z', 'same', -1, case when i % 2 = 0 then '1.0'::jsonb else '1.00' end
        from generate_series(1, 40) i`)
  })
  afterAll(() => base.drop())

  const request = (dataset: StoredDefinition, over: Partial<RowsRequest>): RowsRequest => ({
    kind: 'rows',
    dataset,
    range: null,
    where: null,
    columns: names,
    direction: 'asc',
    after: null,
    limit: 50,
    withKeys: false,
    ...over,
  })
  const page = (asked: RowsRequest, with_ = tier): Promise<RowsResult> =>
    withReadSnapshot(base.db, { timeoutMs: 10_000 }, (snapshot) =>
      with_.rows(asked, { snapshot, signal: null }),
    )
  const allPages = async (asked: RowsRequest, with_ = tier) => {
    const rows: (readonly unknown[])[] = []
    for (let after: RowPosition | null = null, pages = 0; ; pages++) {
      expect(pages).toBeLessThan(1_000)
      const answer: RowsResult = await page({ ...asked, after }, with_)
      expect(answer.rows.length).toBeLessThanOrEqual(asked.limit)
      rows.push(...answer.rows)
      after = answer.end
      if (after === null) return rows
      expect(answer.rows.length).toBeGreaterThan(0)
    }
  }
  const text = (row: readonly unknown[]) =>
    JSON.stringify(row, (_, value) => (typeof value === 'bigint' ? String(value) : value))

  test('hold every row once, in order of time, whatever the size of a page', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(keyed, loose, plain, heap),
        fc.constantFrom('asc' as const, 'desc' as const),
        fc.integer({ min: 3, max: 300 }),
        async (dataset, direction, limit) => {
          const paged = await allPages(request(dataset, { direction, limit }))
          const whole = await page(request(dataset, { direction, limit: 1_000 }))
          expect(whole.end).toBeNull()
          expect(whole.rows).toHaveLength(dataset.primaryKey ? 240 : 280)
          // Without a key, where a page ends decides the order within that instant.
          const order = (rows: readonly string[]) => (dataset.primaryKey ? rows : [...rows].sort())
          expect(order(paged.map(text))).toEqual(order(whole.rows.map(text)))
          if (dataset.kind === 'table') return
          const times = paged.map(([time]) => time as bigint)
          for (let i = 1; i < times.length; i++)
            expect(direction === 'asc' ? times[i]! >= times[i - 1]! : times[i]! <= times[i - 1]!).toBe(true)
        },
      ),
      { numRuns: 40 },
    )
  })

  test('are the same backwards', async () => {
    for (const dataset of [keyed, plain, heap]) {
      const forwards = await allPages(request(dataset, {}))
      const backwards = await allPages(request(dataset, { direction: 'desc', limit: 7 }))
      expect(backwards.map(text)).toEqual(forwards.map(text).reverse())
    }
  })

  test('follow the primary key by bytes within one instant', async () => {
    const { rows } = await page(request(keyed, { limit: 20 }))
    expect(rows.map(([, host]) => host)).toEqual(
      ['B', 'a', 'b', 'é'].flatMap((host) => Array<string>(5).fill(host)),
    )
  })

  test('keep to range and filter', async () => {
    const range = { from: start + hour / 3n, to: start + hour }
    const where = { kind: 'compare', ref: { column: 'host', path: [] }, operator: 'eq', value: 'a' } as const
    const rows = await allPages(request(loose, { range, where, limit: 4 }))
    expect(rows).toHaveLength(10)
    expect(
      rows.every(
        ([time, host]) => host === 'a' && (time as bigint) >= range.from && (time as bigint) < range.to,
      ),
    ).toBe(true)
  })

  test('neither miss nor repeat a row when others are written between two pages', async () => {
    const fresh = hypertable('paged.fresh', { columns, time: 'time' })
    await createForReading(base.db, fresh, chunksFrom(start, hour, 3))
    const insert = (first: number, count: number, minutes: number) =>
      base.db.query(sql`
        insert into paged.fresh
        select timestamptz '2026-01-01Z' + ${minutes}::int4 * interval '1 minute', 'h', ${first}::int4 + i, null
        from generate_series(0, ${count - 1}::int4) i`)
    await insert(0, 30, 10)
    await insert(100, 30, 20)
    const seen: number[] = []
    let after: RowPosition | null = null
    let round = 0
    do {
      const answer: RowsResult = await page(request(fresh, { limit: 7, after }))
      seen.push(...answer.rows.map((row) => row[2] as number))
      after = answer.end
      // before the cursor, at its instant, and far behind it
      await insert(1_000 + round * 100, 5, 5)
      await insert(2_000 + round * 100, 1, 20)
      round++
    } while (after !== null && round < 30)
    expect(new Set(seen).size).toBe(seen.length)
    expect(seen.filter((n) => n < 1_000).sort((a, b) => a - b)).toEqual([
      ...Array.from({ length: 30 }, (_, i) => i),
      ...Array.from({ length: 30 }, (_, i) => 100 + i),
    ])
  })

  test('end early at the limit of bytes and go on from there', async () => {
    const wide = hypertable('paged.wide', { columns, time: 'time' })
    await createForReading(base.db, wide, chunksFrom(start, day, 1))
    await base.db.query(sql`
      insert into paged.wide
      select timestamptz '2026-01-01Z' + i * interval '1 second', 'h', i, jsonb_build_object('text', repeat('x', 1000))
      from generate_series(1, 100) i`)
    const small = createHotTier({ maxPageBytes: 10_000 })
    const first = await page(request(wide, { limit: 100 }), small)
    expect(first.rows.length).toBeGreaterThan(5)
    expect(first.rows.length).toBeLessThan(15)
    const rows = await allPages(request(wide, { limit: 100 }), small)
    expect(rows.map((row) => row[2])).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
    const tiny = createHotTier({ maxPageBytes: 1 })
    expect((await page(request(wide, { limit: 100 }), tiny)).rows).toHaveLength(1)
  })

  test('without a key are the same each time, and as they are written apart from their ends', async () => {
    const whole = async (direction: 'asc' | 'desc') =>
      (await page(request(loose, { direction, limit: 1_000 }))).rows.map(text)
    const forwards = await whole('asc')
    expect(await whole('asc')).toEqual(forwards)
    expect((await whole('desc')).reverse()).toEqual(forwards)
  })

  test('hold an instant with more rows than one statement reads, wide or narrow', async () => {
    const burst = hypertable('paged.burst', { columns, time: 'time' })
    await createForReading(base.db, burst, chunksFrom(start, hour, 3))
    await base.db.query(sql`
      insert into paged.burst
      select timestamptz '2026-01-01 00:30Z' + case when i > 2500 then i * interval '1 second' else '0' end, 'h', i, null
      from generate_series(1, 2600) i`)
    const narrow = await allPages(request(burst, { columns: ['n'], limit: 1_300 }))
    expect(new Set(narrow.flat()).size).toBe(2_600)
    for (const limit of [700, 999, 1_000, 1_001, 2_500, 10_000])
      for (const direction of ['asc', 'desc'] as const) {
        const rows = await allPages(request(burst, { limit, direction }))
        expect(new Set(rows.map((row) => row[2])).size).toBe(2_600)
        expect(rows).toHaveLength(2_600)
      }
  })

  test('stop reading when they are full', async () => {
    const { rowsRead } = await page(request(keyed, { limit: 10, direction: 'desc' }))
    expect(rowsRead).toBe(11)
  })
})
