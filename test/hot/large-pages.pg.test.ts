import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import type { RowPosition } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { chunksFrom, createForReading, hour, start } from './reading-fixture.ts'

const columns = { time: t.timestamptz(), n: t.int4(), note: t.jsonb().nullable() }
const loose = hypertable('large.loose', { columns, time: 'time' })
const texts = hypertable('large.texts', {
  columns: { time: t.timestamptz(), host: t.text(), n: t.int4(), body: t.text() },
  time: 'time',
  indexes: [['host', 'time']],
})
const keyed = hypertable('large.keyed', { columns, time: 'time', primaryKey: ['time', 'n'] })

/** A column of JSON makes the first piece of a page 16 rows, so these pages have several. */
describe('a page of more rows than one piece', () => {
  let base: TestDatabase

  beforeAll(async () => {
    base = await createTestDatabase()
    for (const definition of [loose, keyed, texts])
      await createForReading(base.db, definition, chunksFrom(start, hour, 3))
  })
  afterAll(() => base.drop())

  /** So many rows in each minute from the start on; n counts them through. */
  const fill = async (sizes: readonly number[]) => {
    await base.db.execute('truncate large.loose; truncate large.keyed')
    await base.db.query(sql`
      insert into large.loose
      select timestamptz '2026-01-01Z' + (minute - 1) * interval '1 minute', row_number() over (order by minute, i),
        jsonb_build_object('i', i)
      from unnest(${sizes}::int4[]) with ordinality as s (size, minute), generate_series(1, size) i`)
    await base.db.execute('insert into large.keyed select * from large.loose')
  }

  /** How many rows each statement was asked for at once. */
  let asked: number[][] = []

  const pagesOf = async (
    dataset: HypertableDefinition,
    names: readonly string[],
    direction: 'asc' | 'desc',
    limit: number,
    maxPageBytes: number,
  ) => {
    const tier = createHotTier({ maxPageBytes })
    const found: unknown[] = []
    let after: RowPosition | null = null
    let statements = 0
    do {
      const page = await withReadSnapshot(base.db, { timeoutMs: 60_000 }, (snapshot) => {
        const counting = {
          ...snapshot,
          id: snapshot.id,
          takenAt: snapshot.takenAt,
          cursor: (...args: Parameters<typeof snapshot.cursor>) => {
            statements += 1
            const cursor = snapshot.cursor(...args)
            const sizes: number[] = []
            asked.push(sizes)
            return {
              ...cursor,
              next: (rows: number) => {
                sizes.push(rows)
                return cursor.next(rows)
              },
            }
          },
          query: (...args: Parameters<typeof snapshot.query>) => {
            statements += 1
            return snapshot.query(...args)
          },
        }
        return tier.rows(
          {
            kind: 'rows',
            dataset,
            range: null,
            where: null,
            columns: names,
            direction,
            after,
            limit,
            withKeys: false,
          },
          { snapshot: counting, signal: null },
        )
      })
      expect(page.rows.length).toBeLessThanOrEqual(limit)
      if (page.end !== null) expect(page.rows.length).toBeGreaterThan(0)
      found.push(...page.rows.map((row) => row[names.indexOf('n')]))
      after = page.end
    } while (after !== null)
    return { found, statements }
  }

  test('is one statement', async () => {
    await fill(Array(30).fill(100))
    for (const dataset of [loose, keyed]) {
      const { found, statements } = await pagesOf(dataset, ['time', 'n', 'note'], 'asc', 5_000, 2 ** 26)
      expect(found).toEqual(Array.from({ length: 3_000 }, (_, i) => i + 1))
      expect(statements).toBe(1)
    }
  })

  test('begins with few rows where texts may be large, and asks for no more than four times as many as it has', async () => {
    await base.db.execute(`insert into large.texts
      select timestamptz '2026-01-01Z' + i * interval '1 second', 'host_' || i % 10, i, 'x'
      from generate_series(1, 3000) as i`)
    const sizesOf = async (names: readonly string[]) => {
      asked = []
      expect((await pagesOf(texts, names, 'asc', 10_000, 2 ** 26)).found.length).toBe(3_000)
      return asked
    }
    expect(await sizesOf(['n', 'body'])).toEqual([[16, 16 * 4, 80 * 4, 400 * 4, 2_000 * 4]])
    // an index takes no large value, and so its columns are short
    expect(await sizesOf(['n', 'host'])).toEqual([])
  })

  test('never asks for more large texts at once than a few pages of them', async () => {
    const mebibyte = 2 ** 20
    await base.db.execute(`truncate large.texts; insert into large.texts
      select timestamptz '2026-01-01Z' + i * interval '1 second', 'host_' || i % 10, i, repeat('x', ${mebibyte})
      from generate_series(1, 60) as i`)
    asked = []
    const { found } = await pagesOf(texts, ['n', 'body'], 'asc', 10_000, 8 * mebibyte)
    expect(found).toEqual(Array.from({ length: 60 }, (_, i) => i + 1))
    expect(Math.max(...asked.flat())).toBeLessThanOrEqual(16)
  })

  test('has every row once, wherever pieces and pages end', async () => {
    const someSizes = fc.array(
      fc.oneof(fc.nat(60), fc.nat(1_400), fc.constantFrom(15, 16, 17, 63, 64, 65, 999, 1_000, 1_001)),
      {
        minLength: 1,
        maxLength: 8,
      },
    )
    const property = fc.asyncProperty(
      someSizes,
      fc.constantFrom('asc' as const, 'desc' as const),
      fc.constantFrom(loose, keyed),
      fc.constantFrom(['time', 'n', 'note'], ['n', 'note']),
      fc.integer({ min: 900, max: 4_000 }),
      fc.constantFrom(20_000, 2 ** 26),
      async (sizes, direction, dataset, names, limit, maxPageBytes) => {
        await fill(sizes)
        const { found } = await pagesOf(dataset, names, direction, limit, maxPageBytes)
        const total = sizes.reduce((sum, size) => sum + size, 0)
        const all = Array.from({ length: total }, (_, i) => i + 1)
        expect(found.toSorted((a, b) => (a as number) - (b as number))).toEqual(all)
        // minutes in order; where there is a key, the rows of a minute, too
        const minuteOf = sizes.flatMap((size, minute) => Array<number>(size).fill(minute))
        const order = found.map((n) => (dataset === keyed ? (n as number) : minuteOf[(n as number) - 1]!))
        expect(order).toEqual(order.toSorted((a, b) => (direction === 'asc' ? a - b : b - a)))
      },
    )
    await fc.assert(property, { numRuns: 40 })
  }, 120_000)
})
