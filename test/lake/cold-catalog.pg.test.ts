import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { withReadSnapshot } from '../../src/hot/index.ts'
import { createColdTier, statsToJson } from '../../src/lake/index.ts'
import {
  type Answer,
  defaultQueryLimits,
  executeQuery,
  parseQuery,
  type Tier,
} from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, formatInstant } from '../../src/time/index.ts'
import { printSql, type Sql, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { chunksFrom, createForReading } from '../hot/reading-fixture.ts'
import { type ColdFixture, createColdFixture, type ListedFile } from './cold-fixture.ts'

const events = hypertable('cold.events', {
  columns: {
    time: t.timestamptz(),
    id: t.int8(),
    level: t.float8(),
    seen: t.timestamptz().nullable(),
    name: t.text().nullable(),
  },
  time: 'time',
  orderBy: ['id', 'level', 'seen', 'name', 'time'],
  chunk: '1 day',
})
const day = 86_400_000_000n
const start = 1_767_225_600_000_000n
const clock = fixedClock(start + 10n * day)

const rows = Array.from({ length: 90 }, (_, i) => ({
  time: start + BigInt(i % 3) * day + BigInt(i),
  id: 9_007_199_254_740_993n + BigInt(i),
  level: i % 3 === 0 ? Number.NaN : i % 3 === 1 ? Infinity : -i,
  seen: i % 2 === 0 ? null : 'infinity',
  name: i % 3 === 2 ? null : `n${i}`,
}))

let base: TestDatabase
let fixture: ColdFixture
let tier: Tier
let files: readonly ListedFile[]
beforeAll(async () => {
  base = await createTestDatabase()
  fixture = await createColdFixture({ summaryShare: 100 })
  await createForReading(base.db, events, chunksFrom(start, day, 3))
  files = await fixture.add(events, rows)
  for (const { written: w, chunk } of files)
    await base.db.query(sql`
      insert into tidemark.lake_file (hypertable_id, chunk_id, path, row_count, bytes, min_time, max_time, checksum,
        content_hash, layout, stats, summary_path, summary_bytes, summary_checksum, summary_layout)
      select h.id, c.id, ${w.path}::text, ${w.rowCount}::int8, ${w.bytes}::int8, ${formatInstant(w.minTime)}::timestamptz,
        ${formatInstant(w.maxTime)}::timestamptz, ${w.checksum}::bytea, ${w.contentHash}::bytea,
        ${JSON.stringify(w.layout)}::jsonb, ${JSON.stringify(statsToJson(w.stats))}::jsonb,
        ${w.summary?.path ?? null}::text, ${w.summary?.bytes ?? null}::int8, ${w.summary?.checksum ?? null}::bytea,
        ${w.summary ? JSON.stringify(w.summary.layout) : null}::jsonb
      from tidemark.hypertable h join tidemark.chunk c on c.hypertable_id = h.id
      where h.schema_name = 'cold' and c.range_from = ${formatInstant(chunk.from)}::timestamptz`)
})
afterAll(async () => {
  await fixture.close()
  await base.drop()
})
beforeEach(() => {
  tier = createColdTier({ duckdb: fixture.duckdb, store: fixture.store })
})

const ask = (input: unknown): Promise<Answer> =>
  withReadSnapshot(base.db, { timeoutMs: 30_000, dataset: events }, (snapshot) =>
    executeQuery(parseQuery(input, { dataset: events, clock }), {
      tiers: [tier],
      snapshot,
      clock,
      signal: null,
      limits: defaultQueryLimits,
    }),
  )
const count = async (where: unknown = {}): Promise<unknown> =>
  (await ask({ where, select: { n: { fn: 'count' } } })).rows[0]?.['n']

async function removeRows(file: ListedFile, places: readonly number[]): Promise<void> {
  await base.db.query(sql`
    with deleted as (
      insert into tidemark.lake_deletion (file_id, positions)
      select f.id, ${places}::int8[] from tidemark.lake_file f where f.path = ${file.written.path}::text
    )
    update tidemark.hypertable set epoch = epoch + 1 where schema_name = 'cold'`)
}

describe('the catalog of files', () => {
  it('gives files with what is known of their values, whatever these are', async () => {
    expect(await count()).toBe(90)
    expect(await count({ id: '9007199254741000' })).toBe(1)
    expect(await count({ level: 'NaN' })).toBe(30)
    expect(await count({ level: { gt: 0 } })).toBe(60)
    expect(await count({ level: 'Infinity' })).toBe(30)
    expect(await count({ seen: 'infinity' })).toBe(45)
    expect(await count({ name: { not: null } })).toBe(60)
    const { plan } = await ask({ where: { level: 'NaN' }, select: { n: { fn: 'count' } } })
    expect(plan.parts.map(({ source, files: opened }) => [source, opened])).toEqual([['cold', 1]])
  })

  it('leaves out rows that are deleted, from the commit of the deletion on', async () => {
    expect(await count()).toBe(90)
    await withReadSnapshot(base.db, { timeoutMs: 30_000, dataset: events }, async (snapshot) => {
      const node = parseQuery({ select: { n: { fn: 'count' } } }, { dataset: events, clock })
      const read = (): Promise<Answer> =>
        executeQuery(node, { tiers: [tier], snapshot, clock, signal: null, limits: defaultQueryLimits })
      expect((await read()).rows).toEqual([{ n: 90 }])
      await removeRows(files[0]!, [0, 7, 29])
      // this snapshot was taken before
      expect((await read()).rows).toEqual([{ n: 90 }])
    })
    expect(await count()).toBe(87)
    await removeRows(files[0]!, [1])
    await removeRows(files[2]!, [5, 6])
    expect(await count()).toBe(84)
  })

  it('is read once for as long as nothing changes', async () => {
    const before = await count()
    const statements: string[] = []
    const asking = await withReadSnapshot(
      base.db,
      { timeoutMs: 30_000, dataset: events },
      async (snapshot) => {
        const watched = {
          ...snapshot,
          id: snapshot.id,
          takenAt: snapshot.takenAt,
          query: (statement: Sql, signal: AbortSignal | null) => {
            statements.push(printSql(statement).text)
            return snapshot.query(statement, signal)
          },
        }
        const node = parseQuery({ select: { n: { fn: 'count' } } }, { dataset: events, clock })
        return executeQuery(node, {
          tiers: [tier],
          snapshot: watched,
          clock,
          signal: null,
          limits: defaultQueryLimits,
        })
      },
    )
    expect(asking.rows).toEqual([{ n: before }])
    expect(statements.filter((text) => text.includes('lake_file') || text.includes('lake_deletion'))).toEqual(
      [],
    )
  })

  it('covers the chunks that have files, as a share', async () => {
    await withReadSnapshot(base.db, { timeoutMs: 30_000, dataset: events }, async (snapshot) => {
      const coverage = await tier.coverage(events, null, { snapshot, signal: null })
      expect(coverage).toMatchObject([
        { holds: 'share', range: { from: start, to: start + 3n * day }, pieces: 3 },
      ])
      const cut = await tier.coverage(
        events,
        { from: start + day / 2n, to: start + day },
        { snapshot, signal: null },
      )
      expect(cut).toMatchObject([{ range: { from: start + day / 2n, to: start + day }, pieces: 1 }])
    })
  })
})
