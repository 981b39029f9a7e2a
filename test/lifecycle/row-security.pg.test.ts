import { afterEach, beforeEach, expect, it } from 'vitest'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import { createColdTier, createDuckDB, createLakeFiles } from '../../src/lake/index.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { defaultQueryLimits, executeQuery, parseQuery } from '../../src/query/index.ts'
import { createFixture, day, type Fixture, samples } from './fixture.ts'

let fixture: Fixture
const duckdb = createDuckDB({ threads: 1 })
beforeEach(async () => {
  fixture = await createFixture(samples)
})
afterEach(() => fixture.drop())

it('a role that a policy limits is refused what lies in the lake, and gets no row of another tenant', async () => {
  const { test, writer, store, clock, another } = fixture
  const ofOther = day('2026-01-01', 2, 'z').map((row) => ({ ...row, tenant: 't2' }))
  await writer.insert(samples, [...day('2026-01-01'), ...ofOther])
  const role = `limited_${test.name}`
  await test.db.execute(`
    create role ${role} login;
    grant usage on schema tidemark to ${role};
    grant select on all tables in schema tidemark to ${role};
    grant select on samples to ${role};
    alter table samples enable row level security;
    create policy own on samples using (tenant = nullif(current_setting('tidemark.tenant', true), ''))`)
  const url = new URL(test.connectionString)
  url.username = role
  const limited = createDatabase({ connectionString: url.href, max: 1 })
  const tiers = [createHotTier(), createColdTier({ duckdb, store })]
  const ask = async (db: typeof limited) => {
    const node = parseQuery({ columns: ['sensor'] }, { dataset: samples, clock })
    const context = { tiers, clock, signal: null, limits: defaultQueryLimits }
    const answer = await withReadSnapshot(
      db,
      { timeoutMs: 30_000, dataset: samples, tenant: 't1' },
      (snapshot) => executeQuery(node, { ...context, snapshot }),
    )
    return answer.rows.length
  }
  try {
    expect(await ask(limited)).toBe(3)
    await another({ files: createLakeFiles({ duckdb, store }) }).freeze(samples)
    await expect(ask(limited)).rejects.toMatchObject({
      code: 'TM_LAKE',
      message: expect.stringContaining('row security'),
    })
    expect(await ask(test.db)).toBe(5)
    // what was cached while nothing limited the role
    await test.db.execute('alter table samples disable row level security')
    expect(await ask(limited)).toBe(5)
    await test.db.execute('alter table samples enable row level security')
    await expect(ask(limited)).rejects.toMatchObject({ code: 'TM_LAKE' })
  } finally {
    await limited.close()
    await test.db.execute(`drop owned by ${role}; drop role ${role}`)
  }
})
