import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createHotTier, type PostgresSnapshot, withReadSnapshot } from '../../src/hot/index.ts'
import { createCopyEncoder } from '../../src/postgres/index.ts'
import { defaultQueryLimits, everything, executeQuery, parseQuery } from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { systemClock } from '../../src/time/index.ts'
import { raw, type Sql, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createRandom } from '../helpers/split-tiers.ts'
import { chunksFrom, createForReading, day, start } from './reading-fixture.ts'

const columns = { time: t.timestamptz(), n: t.int4() }
const dayOf = (n: number): bigint => start + BigInt(n) * day

describe('what the hot tier covers of cold chunks', () => {
  let base: TestDatabase
  let tables = 0
  let table: HypertableDefinition
  let tier = createHotTier()

  beforeAll(async () => {
    base = await createTestDatabase()
  })
  afterAll(() => base.drop())

  /** Five chunks of a day, a row at noon of each. */
  beforeEach(async () => {
    table = hypertable(`cold.t${tables++}`, { columns, time: 'time' })
    tier = createHotTier()
    await createForReading(base.db, table, chunksFrom(start, day, 5))
    for (let n = 0; n < 5; n++) await insert(n, n)
  })

  const insert = (onDay: number, n: number) =>
    base.db.query(
      sql`insert into cold.${raw(table.table)} values (timestamptz '2026-01-01 12:00Z' + ${onDay}::int4 * interval '1 day', ${n}::int4)`,
    )
  const chunk = (n: number): string => `tidemark_chunks.${table.table}_c${n}`
  const defaultOf = (): string => `tidemark_chunks.${table.table}_default`
  const bump = (change: Sql) =>
    base.db.transaction({}, async (connection) => {
      await connection.query(change)
      await connection.query(
        sql`update tidemark.hypertable set epoch = epoch + 1 where table_name = ${table.table}::text`,
      )
    })
  const setState = (n: number, state: string) =>
    bump(sql`
      update tidemark.chunk k set state = ${state}::text
      from tidemark.hypertable h
      where h.id = k.hypertable_id and h.table_name = ${table.table}::text
        and k.range_from = timestamptz '2026-01-01Z' + ${n}::int4 * interval '1 day'`)
  const emptied = async (relation: string): Promise<void> => {
    await base.db.execute(`delete from ${relation}`)
    // pages go once no snapshot of another session can see a row of them
    await expect
      .poll(
        async () => {
          await base.db.execute(`vacuum ${relation}`)
          const { rows } = await base.db.query(sql`select pg_relation_size(${relation}::text::regclass)`)
          return rows[0]?.[0]
        },
        { timeout: 20_000 },
      )
      .toBe(0n)
  }
  const freeze = async (n: number): Promise<void> => {
    await setState(n, 'cold')
    await emptied(chunk(n))
  }
  const dropPartition = async (n: number): Promise<void> => {
    await base.db.execute(`drop table ${chunk(n)}`)
    await bump(
      sql`update tidemark.chunk set relation_name = null where relation_name = ${`${table.table}_c${n}`}::text`,
    )
  }

  const coverageIn = async (snapshot: PostgresSnapshot, range: { from: bigint; to: bigint } | null = null) =>
    tier.coverage(table, range, { snapshot, signal: null })
  const ask = (range: { from: bigint; to: bigint } | null = null) =>
    withReadSnapshot(base.db, { timeoutMs: 10_000, dataset: table }, (snapshot) =>
      coverageIn(snapshot, range),
    )
  const ranges = async (range: { from: bigint; to: bigint } | null = null) =>
    (await ask(range)).map(({ range: { from, to } }) => [
      from === everything.from ? 'begin' : Number(from - start) / Number(day),
      to === everything.to ? 'end' : Number(to - start) / Number(day),
    ])

  /** Counts rows as tm.query does, and how often the tier is asked what it covers for that. */
  const count = async (range: object = {}): Promise<{ n: unknown; looks: number }> => {
    let looks = 0
    const watched: typeof tier = {
      ...tier,
      coverage: (...args) => {
        looks += 1
        return tier.coverage(...args)
      },
    }
    const query = { ...range, select: { n: { fn: 'count' } } }
    const { rows } = await withReadSnapshot(
      base.db,
      { timeoutMs: 10_000, dataset: table, taken: 'with the first statement' },
      (snapshot) =>
        executeQuery(parseQuery(query, { dataset: table, clock: systemClock }), {
          tiers: [watched],
          snapshot,
          clock: systemClock,
          signal: null,
          limits: defaultQueryLimits,
        }),
    )
    return { n: rows[0]!.n, looks }
  }

  test('is presumed to be what it was; a late row is counted by the next query all the same', async () => {
    await freeze(1)
    await base.db.execute(`vacuum ${defaultOf()}`)
    expect(await count()).toEqual({ n: 4, looks: 1 })
    expect(await count()).toEqual({ n: 4, looks: 1 })
    await insert(1, 100)
    expect(await count()).toEqual({ n: 5, looks: 2 })
    expect(await count()).toEqual({ n: 5, looks: 1 })
    // Outside of every chunk: nobody had rows there.
    await insert(9, 101)
    const outside = { from: '2026-01-02T00:00:00Z', to: '2026-01-20T00:00:00Z' }
    expect(await count(outside)).toEqual({ n: 5, looks: 2 })
    expect(await count(outside)).toEqual({ n: 5, looks: 1 })
    // What is empty by now costs nothing more than a look at it.
    await emptied(chunk(1))
    expect(await count()).toEqual({ n: 5, looks: 1 })
    await freeze(2)
    expect(await count()).toEqual({ n: 4, looks: 2 })
    expect(await count()).toEqual({ n: 4, looks: 1 })
  })

  test('is everything while nothing is cold, without another statement', async () => {
    const statements: Sql[] = []
    const coverage = await withReadSnapshot(
      base.db,
      { timeoutMs: 10_000, dataset: table },
      async (snapshot) => {
        await coverageIn(snapshot)
        const counting: PostgresSnapshot = Object.create(snapshot, {
          query: {
            value: (statement: Sql, signal: AbortSignal | null) => {
              statements.push(statement)
              return snapshot.query(statement, signal)
            },
          },
        })
        return coverageIn(counting)
      },
    )
    expect(coverage).toMatchObject([{ range: everything, holds: 'share', pieces: 5 }])
    expect(statements).toEqual([])
  })

  test('leaves out a cold chunk as soon as its partition has no page, and takes it back for a late row', async () => {
    await setState(1, 'cold')
    expect(await ranges()).toEqual([['begin', 'end']])
    await emptied(chunk(1))
    expect(await ranges()).toEqual([
      ['begin', 1],
      [2, 'end'],
    ])
    await insert(1, 100)
    expect(await ranges()).toEqual([['begin', 'end']])
    await emptied(chunk(1))
    expect(await ranges({ from: dayOf(1), to: dayOf(2) })).toEqual([])
    expect(await ranges({ from: dayOf(1) + 5n, to: dayOf(2) + 5n })).toEqual([[2, 2 + 5 / Number(day)]])
  })

  test('is cut to chunks that may have rows, and tells how many', async () => {
    await base.db.execute(
      `insert into cold.${table.table} select '2026-01-04 13:00Z', i from generate_series(1, 99) i`,
    )
    await freeze(0)
    await freeze(1)
    await base.db.execute(`analyze cold.${table.table}`)
    tier = createHotTier()
    expect(await ask()).toEqual([
      { range: { from: dayOf(2), to: everything.to }, holds: 'share', estimatedRows: 102, pieces: 3 },
    ])
    // what has no chunk at all has no row either, as the default partition is empty
    expect(await ask({ from: dayOf(-9), to: dayOf(1) })).toEqual([])
  })

  test('is the outside of all partitions too while the default partition has a page', async () => {
    await freeze(0)
    await freeze(4)
    await insert(-3, 7)
    expect(await ranges()).toEqual([
      ['begin', 0],
      [1, 4],
      [5, 'end'],
    ])
    await emptied(defaultOf())
    expect(await ranges()).toEqual([[1, 4]])
  })

  test('leaves out a cold chunk without a partition only while the default partition is empty', async () => {
    await freeze(2)
    await dropPartition(2)
    expect(await ranges()).toEqual([
      ['begin', 2],
      [3, 'end'],
    ])
    await insert(2, 100)
    expect(await ranges()).toEqual([['begin', 'end']])
  })

  test('trusts no catalog about partitions that somebody detached or attached by hand', async () => {
    await freeze(0)
    await freeze(1)
    await base.db.execute(`alter table cold.${table.table} detach partition ${chunk(1)}`)
    await insert(1, 100)
    expect(await ranges()).toEqual([
      ['begin', 0],
      [1, 'end'],
    ])
    await base.db.execute(`drop table ${chunk(1)}`)
    await emptied(defaultOf())
    await base.db.execute(
      `create table cold.foreign_${table.table} partition of cold.${table.table} for values from ('2025-06-01Z') to ('2025-07-01Z')`,
    )
    expect(await ranges()).toContainEqual(['begin', 0])
  })

  test('holds for a snapshot that sees rows which have moved since', async () => {
    await withReadSnapshot(base.db, { timeoutMs: 20_000 }, async (snapshot) => {
      const before = await coverageIn(snapshot)
      expect(before).toMatchObject([{ range: everything }])
      await setState(1, 'cold')
      await base.db.execute(`delete from ${chunk(1)}`)
      await base.db.execute(`vacuum ${chunk(1)}`)
      tier = createHotTier()
      expect(await coverageIn(snapshot)).toEqual(before)
      const { rows } = await tier.rows(
        {
          kind: 'rows',
          dataset: table,
          range: null,
          where: null,
          columns: ['n'],
          direction: 'asc',
          limit: 10,
          after: null,
          withKeys: false,
        },
        { snapshot, signal: null },
      )
      expect(rows.flat()).toEqual([0, 1, 2, 3, 4])
    })
    // and one that is taken now sees cold, still with pages or without
    expect((await ask()).length).toBeGreaterThan(0)
  })

  test('holds for a snapshot that sees rows which a drain of the default partition has put into a chunk since', async () => {
    await freeze(0)
    await insert(-3, 77)
    await withReadSnapshot(base.db, { timeoutMs: 20_000 }, async (snapshot) => {
      await snapshot.query(sql`select 1`, null)
      const encoder = createCopyEncoder(['timestamptz', 'int4'])
      encoder.addRow([dayOf(-3) + day / 2n, 77])
      await base.db.transaction({}, async (connection) => {
        await connection.execute(`
          create table tidemark_chunks.${table.table}_drained (like cold.${table.table});
          truncate ${defaultOf()}`)
        await connection.copyFrom(
          sql`copy tidemark_chunks.${raw(table.table)}_drained from stdin (format binary, freeze)`,
          encoder.finish(),
        )
        await connection.execute(`
          alter table cold.${table.table} attach partition tidemark_chunks.${table.table}_drained
            for values from ('2025-12-29Z') to ('2025-12-30Z');
          insert into tidemark.chunk (hypertable_id, range_from, range_to, relation_name)
          select id, '2025-12-29Z', '2025-12-30Z', '${table.table}_drained'
          from tidemark.hypertable where table_name = '${table.table}';
          update tidemark.hypertable set epoch = epoch + 1 where table_name = '${table.table}'`)
      })
      const { rows } = await snapshot.query(sql`select n from cold.${raw(table.table)} where n = 77`, null)
      expect(rows).toEqual([[77]])
      const coverage = await coverageIn(snapshot)
      const time = dayOf(-3) + day / 2n
      expect(coverage.some(({ range }) => time >= range.from && time < range.to)).toBe(true)
    })
    expect(await ranges()).toEqual([
      ['begin', 0],
      [1, 'end'],
    ])
  })

  test('holds every row that there is, whatever happened to chunks', async () => {
    const seed = Date.now() % 2 ** 31
    const random = createRandom(seed)
    const gone = new Set<number>()
    for (let step = 0; step < 60; step++) {
      const n = Math.floor(random() * 5)
      const kind = Math.floor(random() * 6)
      if (kind === 0) await setState(n, 'cold')
      else if (kind === 1) await setState(n, 'hot')
      else if (kind === 2) await insert(n, 1000 + step)
      else if (kind === 3) await insert(n + (random() < 0.5 ? -7 : 7), 1000 + step)
      else if (kind === 4 && !gone.has(n)) {
        await base.db.execute(`delete from ${chunk(n)}`)
        await base.db.execute(`vacuum ${chunk(n)}`)
      } else if (kind === 5 && !gone.has(n) && random() < 0.2) {
        await freeze(n)
        await dropPartition(n)
        gone.add(n)
      } else await base.db.execute(`vacuum ${defaultOf()}`)
      const { rows: all } = await base.db.query(sql`select count(*) from cold.${raw(table.table)}`)
      expect(BigInt((await count()).n as number), `seed ${seed}, step ${step}`).toBe(all[0]![0])
      await withReadSnapshot(base.db, { timeoutMs: 10_000, dataset: table }, async (snapshot) => {
        const coverage = await coverageIn(snapshot)
        const { rows } = await snapshot.query(sql`select time from cold.${raw(table.table)}`, null)
        for (const [time] of rows as unknown as [bigint][])
          expect(
            coverage.some(({ range }) => time >= range.from && time < range.to),
            `seed ${seed}, step ${step}`,
          ).toBe(true)
        for (const [i, { range }] of coverage.entries())
          if (i > 0) expect(coverage[i - 1]!.range.to).toBeLessThanOrEqual(range.from)
      })
    }
  })
})
