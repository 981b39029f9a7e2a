import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import { createColdTier, createDuckDB, createLakeFiles } from '../../src/lake/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { defaultQueryLimits, executeQuery, parseQuery } from '../../src/query/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { createFixture, day, type Fixture, samples } from './fixture.ts'

/** An engine of its own whose login has every right on Tidemark's catalog, few on the table, and is not above row security. */
let fixture: Fixture
let role: string
let limited: Database
const duckdb = createDuckDB({ threads: 1 })
beforeEach(async () => {
  fixture = await createFixture(samples)
  const { test, writer } = fixture
  const ofOther = day('2026-01-01', 2, 'z').map((row) => ({ ...row, tenant: 't2' }))
  await writer.insert(samples, [...day('2026-01-01'), ...ofOther, ...day('2026-01-02', 1, 'x')])
  role = `limited_${test.name}`
  await test.db.execute(`
    create role ${role} login;
    alter role ${role} set tidemark.tenant = 't1';
    grant usage on schema tidemark to ${role};
    grant select on all tables in schema tidemark to ${role}`)
  const url = new URL(test.connectionString)
  url.username = role
  limited = createDatabase({ connectionString: url.href, max: 1 })
})
afterEach(async () => {
  await limited.close()
  await fixture.test.db.execute(`drop owned by ${role}; drop role ${role}`)
  await fixture.drop()
})

const first = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }
const second = { from: '2026-01-02T00:00:00Z', to: '2026-01-03T00:00:00Z' }
const total = { select: { n: { fn: 'count' }, total: { fn: 'sum', column: 'value' } } }
/** Every kind of query; those of whole hours could be answered from a summary. */
const kinds: Readonly<Record<string, object>> = {
  rows: { columns: ['sensor'] },
  latest: { latestBy: ['sensor'], columns: ['sensor', 'value'] },
  'by hour': { ...total, bucket: '1 hour' },
  'by tenant': { ...total, by: ['tenant'] },
}

/** Tiers that remember, as those of a process do. */
function asker(): (db: Database, query: object) => Promise<number> {
  const { store, clock } = fixture
  const tiers = [createHotTier(), createColdTier({ duckdb, store })]
  return async (db, query) => {
    const node = parseQuery(query, { dataset: samples, clock })
    const answer = await withReadSnapshot(
      db,
      { timeoutMs: 30_000, dataset: samples, taken: 'with the first statement' },
      (snapshot) => executeQuery(node, { tiers, clock, signal: null, limits: defaultQueryLimits, snapshot }),
    )
    return answer.rows.length
  }
}

/** The first day goes to the lake, and PostgreSQL is not asked for it any more. */
async function freezeFirst(): Promise<void> {
  const { another, store } = fixture
  const lifecycle = another({ files: createLakeFiles({ duckdb, store, summaryShare: 100 }) })
  await lifecycle.freeze(samples, { olderThan: parseInstant(first.to) })
  await expect
    .poll(
      async () => {
        await lifecycle.reclaim(samples)
        return (await lifecycle.status(samples))[0]!.hasHotPages
      },
      { timeout: 20_000, interval: 200 },
    )
    .toBe(false)
}

const refused = {
  code: 'TM_DATABASE',
  message: expect.stringContaining('permission denied for table samples'),
}
const limits = (reason: string) => ({ code: 'TM_LAKE', message: expect.stringContaining(reason) })

describe.each(Object.entries(kinds))('%s', (_, kind) => {
  it('a role that may not select from the table gets nothing of it, hot, cold or mixed', async () => {
    const { test, writer } = fixture
    const ask = asker()
    await expect(ask(limited, { ...kind, ...first })).rejects.toMatchObject(refused)
    await freezeFirst()
    for (const range of [first, second, {}])
      await expect(ask(limited, { ...kind, ...range })).rejects.toMatchObject(refused)
    // a late row: hot and cold in one chunk
    await writer.insert(samples, day('2026-01-01', 1, 'late'))
    await expect(ask(limited, { ...kind, ...first })).rejects.toMatchObject(refused)
    // what was cached while it had the right
    await test.db.execute(`grant select on samples to ${role}`)
    expect(await ask(limited, { ...kind, ...first })).toBe(await ask(test.db, { ...kind, ...first }))
    await test.db.execute(`revoke select on samples from ${role}`)
    await expect(ask(limited, { ...kind, ...first })).rejects.toMatchObject(refused)
  })

  it('a role that a policy limits gets its own rows where nothing is frozen, and is refused elsewhere', async () => {
    const { test } = fixture
    const ask = asker()
    await test.db.execute(`
      grant select on samples to ${role};
      alter table samples enable row level security;
      create policy own on samples using (tenant = nullif(current_setting('tidemark.tenant', true), ''))`)
    const own = await ask(limited, { ...kind, ...first, where: { tenant: 't1' } })
    expect(await ask(limited, { ...kind, ...first })).toBe(own)
    await freezeFirst()
    for (const range of [first, {}])
      await expect(ask(limited, { ...kind, ...range })).rejects.toMatchObject(limits('row security'))
    expect(await ask(limited, { ...kind, ...second })).toBe(1)
    // what was cached while nothing limited the role
    await test.db.execute('alter table samples disable row level security')
    expect(await ask(limited, { ...kind, ...first })).toBe(await ask(test.db, { ...kind, ...first }))
    await test.db.execute('alter table samples enable row level security')
    await expect(ask(limited, { ...kind, ...first })).rejects.toMatchObject(limits('row security'))
    // and of an owner who is not above it
    await test.db.execute(
      `alter table samples force row level security; alter table samples owner to ${role}`,
    )
    await expect(ask(limited, { ...kind, ...first })).rejects.toMatchObject(limits('row security'))
  })
})

it('a role with a grant of some columns gets those of hot rows, and is refused what is frozen', async () => {
  const { test } = fixture
  const ask = asker()
  const bySensor = { select: { n: { fn: 'count' } }, by: ['sensor'] }
  await test.db.execute(`grant select (time, sensor) on samples to ${role}`)
  expect(await ask(limited, { ...bySensor, ...first })).toBe(5)
  await expect(ask(limited, { ...total, ...first })).rejects.toMatchObject(refused)
  await freezeFirst()
  for (const kind of [bySensor, total])
    await expect(ask(limited, { ...kind, ...first })).rejects.toMatchObject(limits('every column'))
  expect(await ask(limited, { ...bySensor, ...second })).toBe(1)
})
