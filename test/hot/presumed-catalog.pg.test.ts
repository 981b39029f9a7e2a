import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import {
  type Coverage,
  defaultQueryLimits,
  executeQuery,
  parseQuery,
  type Tier,
} from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { systemClock } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { chunksFrom, createForReading, day, firstRows, start } from './reading-fixture.ts'

const cpu = hypertable('presumed.cpu', {
  columns: { time: t.timestamptz(), host: t.text() },
  time: 'time',
  indexes: [['host', 'time']],
})

describe('a snapshot that is taken with the first statement', () => {
  let base: TestDatabase

  beforeAll(async () => {
    base = await createTestDatabase()
    await createForReading(base.db, cpu, chunksFrom(start, day, 2))
  })
  beforeEach(() =>
    base.db.execute(
      `truncate presumed.cpu; insert into presumed.cpu values ('2026-01-01Z', 'a'), ('2026-01-02Z', 'b')`,
    ),
  )
  afterAll(() => base.drop())

  /** A tier that tells what it said about its coverage, and lets something happen after it has said so. */
  const watched = (onCoverage: () => Promise<void> = async () => {}) => {
    const hot = createHotTier()
    const said: (readonly Coverage[])[] = []
    const state = { onCoverage }
    const tier: Tier = {
      ...hot,
      coverage: async (...args) => {
        const coverage = await hot.coverage(...args)
        said.push(coverage)
        await state.onCoverage()
        return coverage
      },
    }
    return { tier, said, state }
  }
  const ask = (tier: Tier, query: object = { select: { n: { fn: 'count' } } }) =>
    withReadSnapshot(
      base.db,
      { timeoutMs: 30_000, dataset: cpu, taken: 'with the first statement' },
      (snapshot) =>
        executeQuery(parseQuery(query, { dataset: cpu, clock: systemClock }), {
          tiers: [tier],
          snapshot,
          clock: systemClock,
          signal: null,
          limits: defaultQueryLimits,
        }),
    )
  const attach = (name: string, from: string, to: string) =>
    base.db.execute(`
      begin;
      create table tidemark_chunks.${name} partition of presumed.cpu for values from ('${from}') to ('${to}');
      insert into tidemark.chunk (hypertable_id, range_from, range_to, relation_name)
        select id, '${from}', '${to}', '${name}' from tidemark.hypertable where table_name = 'cpu';
      insert into presumed.cpu values ('${from}', 'new');
      update tidemark.hypertable set epoch = epoch + 1 where table_name = 'cpu';
      commit`)

  test('is taken anew when the catalog was wrong and the transaction had failed by then', async () => {
    const options = { timeoutMs: 30_000, dataset: cpu, taken: 'with the first statement' } as const
    const misled = async (version: string | null, isFirst: boolean) => {
      let calls = 0
      const answer = withReadSnapshot(base.db, options, async (snapshot) => {
        calls += 1
        if (calls > 1) return snapshot.query(sql`select 7`, null)
        expect(snapshot.isCatalog(cpu, version ?? 'of another time')).toBe(true)
        if (!isFirst) await snapshot.query(sql`select 7`, null)
        await expect(snapshot.query(sql`select 1 / 0`, null)).rejects.toMatchObject({ code: 'TM_DATABASE' })
        await snapshot.confirm().catch(() => true)
        throw new Error('a file is gone')
      })
      return { answer: await answer.then(({ rows }) => rows, String), calls }
    }
    expect(await misled(null, false)).toEqual({ answer: [[7]], calls: 2 })
    expect(await misled(null, true)).toEqual({ answer: [[7]], calls: 2 })
    const right = await withReadSnapshot(base.db, { timeoutMs: 30_000 }, (snapshot) =>
      snapshot.catalogVersion(cpu),
    )
    expect(await misled(right, false)).toEqual({ answer: 'Error: a file is gone', calls: 1 })
  })

  test('plans with the catalog of the snapshot, also when a chunk came after the plan', async () => {
    const { tier, said, state } = watched()
    expect((await ask(tier)).rows).toEqual([{ n: 2 }])
    expect((await ask(tier)).rows).toEqual([{ n: 2 }])
    expect(said).toHaveLength(2)
    state.onCoverage = async () => {
      state.onCoverage = async () => {}
      await attach('presumed_c8', '2026-01-08Z', '2026-01-09Z')
    }
    const answer = await ask(tier)
    expect(answer.rows).toEqual([{ n: 3 }])
    expect(answer.plan.parts).toHaveLength(1)
    // once with what was remembered, once with what the snapshot sees
    expect(said.slice(2).map(([coverage]) => coverage!.pieces)).toEqual([2, 3])
    expect((await ask(tier)).rows).toEqual([{ n: 3 }])
    expect(said).toHaveLength(5)
  })

  test('plans with the catalog of the snapshot, also when a chunk came before it', async () => {
    const { tier, said } = watched()
    await ask(tier)
    await attach('presumed_c9', '2026-01-09Z', '2026-01-10Z')
    const pages = await ask(tier, { columns: ['host'], limit: 10 })
    expect(pages.rows).toEqual([{ host: 'a' }, { host: 'b' }, { host: 'new' }])
    expect(said).toHaveLength(3)
    expect((await ask(tier, { latestBy: ['host'], columns: ['host'] })).rows).toHaveLength(3)
    expect(said).toHaveLength(4)
  })

  test('sees one moment in all of its statements, the one that the answer names', async () => {
    const { tier } = watched()
    await ask(tier)
    const before = BigInt(Date.now()) * 1000n
    await withReadSnapshot(
      base.db,
      { timeoutMs: 30_000, dataset: cpu, taken: 'with the first statement' },
      async (snapshot) => {
        // there is none yet
        expect(() => snapshot.id).toThrow()
        await base.db.execute(`insert into presumed.cpu values ('2026-01-01Z', 'c')`)
        const context = { snapshot, signal: null }
        const rows = firstRows(cpu, ['host'], 10)
        expect((await tier.rows(rows, context)).rows).toHaveLength(3)
        await base.db.execute('delete from presumed.cpu')
        expect((await tier.rows(rows, context)).rows).toHaveLength(3)
        expect(await snapshot.confirm()).toBe(true)
        expect(snapshot.id).toMatch(/^\d+:\d+:/)
        expect(snapshot.takenAt >= before - 1_000n).toBe(true)
      },
    )
  })

  test('has an error of its own, not one of reading again in a failed transaction', async () => {
    const { tier, state } = watched()
    await ask(tier)
    state.onCoverage = async () => {
      await base.db.execute(`update tidemark.hypertable set epoch = epoch + 1 where table_name = 'cpu'`)
      await base.db.execute('alter table presumed.cpu rename column host to gone')
    }
    try {
      const failing = ask(tier, { columns: ['host'] })
      await expect(failing).rejects.toMatchObject({ code: 'TM_DATABASE', params: { sqlstate: '42703' } })
    } finally {
      await base.db.execute('alter table presumed.cpu rename column gone to host')
    }
  })
})
