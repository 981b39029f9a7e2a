import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { withReadSnapshot } from '../../src/hot/index.ts'
import { allTenants, noTenant, type TenantScope } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { identifier, raw, sql } from '../../src/util/sql.ts'
import { CountingProxy } from '../helpers/counting-proxy.ts'
import { pgBouncer, startPgBouncer } from '../helpers/pgbouncer.ts'
import { createRandom } from '../helpers/split-tiers.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { clock, fillWorld, hourly, plans, ticks, visits, World, worldConfig } from './world.ts'

const world = new World(Math.floor(Math.random() * 2 ** 31))
const { a, b } = world
let engine: TestEngine

beforeAll(async () => {
  engine = await createTestEngine(worldConfig, { clock })
  await fillWorld(engine.tm, world, 6)
})
afterAll(() => engine.close())

async function through<T>(connectionString: string, use: (tm: Tidemark) => Promise<T>): Promise<T> {
  const config = { ...worldConfig, cache: { memoryBytes: 0 } } as typeof worldConfig
  const tm = await createTidemark(config, { clock, connectionString, root: engine.root })
  try {
    return await use(tm)
  } finally {
    await tm.close()
  }
}

it('PostgreSQL itself shows a snapshot that is lent on behalf of a tenant its rows alone', async () => {
  const { db } = engine.test
  const { rows: partitions } = await db.query(
    raw(`select inhrelid::regclass::text from pg_inherits where inhparent = 'site.visits'::regclass`),
  )
  const seen = (tenant: string) =>
    withReadSnapshot(db, { timeoutMs: 10_000, tenant, dataset: visits }, async (snapshot) => {
      const { rows } = await snapshot.query(
        sql`select distinct tenant, current_user::text, current_setting('tidemark.tenant') from site.visits`,
        null,
      )
      return rows
    })
  expect(await seen(a.tenant)).toEqual([[a.tenant, 'tidemark_tenant', a.tenant]])
  expect(await seen(b.tenant)).toEqual([[b.tenant, 'tidemark_tenant', b.tenant]])
  expect(await seen('')).toEqual([])
  expect(await seen('nobody')).toEqual([])
  const [schema, table] = String(partitions[0]![0]).split('.') as [string, string]
  await expect(
    withReadSnapshot(db, { timeoutMs: 10_000, tenant: a.tenant }, (snapshot) =>
      snapshot.query(sql`select from ${identifier(schema, table)}`, null),
    ),
  ).rejects.toMatchObject({ code: 'TM_DATABASE', params: { sqlstate: '42501' } })
  // with the transaction both are gone
  const { rows } = await db.query(
    sql`select current_user = session_user, current_setting('tidemark.tenant', true)`,
  )
  expect(rows[0]![0]).toBe(true)
  expect(rows[0]![1] || null).toBeNull()
})

it('a database that has not been made ready for tenants says what to do', async () => {
  const { tm, test } = engine
  await test.db.execute('revoke select on site.plans from tidemark_reader')
  try {
    await expect(tm.queryUnknown(plans.name, {}, { scope: a.scope })).rejects.toMatchObject({
      code: 'TM_MIGRATION',
      message: expect.stringContaining('tidemark migrate'),
    })
  } finally {
    await tm.migrate()
  }
  expect((await tm.queryUnknown(plans.name, {}, { scope: a.scope })).rows.length).toBeGreaterThan(0)
})

it('answers of a tenant are computed once more from its rows alone, and are right', async () => {
  const config = { ...worldConfig, shadow: { share: 1, timeoutMs: 20_000 } }
  const options = { clock, connectionString: engine.test.connectionString, root: engine.root }
  const tm = await createTidemark(config, options)
  for (const scope of [a.scope, b.scope, noTenant])
    for (const bucket of ['1 hour', '1 day']) {
      const range = { from: '2026-03-01', to: '2026-03-06', bucket, by: ['name'] }
      const before = tm.shadowChecks
      await tm.queryUnknown(visits.name, { ...range, select: { n: { fn: 'count' } } }, { scope })
      await expect.poll(() => tm.shadowChecks.checked).toBe(before.checked + 1)
      await tm.queryUnknown(hourly.name, { from: '2026-03-01', to: '2026-03-05', bucket }, { scope })
      await expect.poll(() => tm.shadowChecks.checked).toBe(before.checked + 2)
    }
  expect(tm.shadowChecks).toMatchObject({ different: 0, failed: 0, skipped: 0 })
  await tm.close()
})

it('summaries of files answer for a tenant as they do for all', async () => {
  const { tm } = engine
  const start = parseInstant('2026-03-01T00:00:00Z')
  const random = createRandom(world.seed)
  const rows = world.parties.flatMap(({ tenant }, i) =>
    Array.from({ length: 2000 }, (_, n) => ({
      time: start + BigInt(n) * 40_000_000n,
      tenant,
      // what compresses well has no summary
      value: Math.floor(random() * 2 ** 30) + i,
    })),
  )
  await tm.insertUnknown(ticks.name, rows)
  await tm.freeze(ticks.name, { from: '2026-03-01', to: '2026-03-02' })
  const query = {
    from: '2026-03-01',
    to: '2026-03-02',
    bucket: '6 hours',
    select: { n: { fn: 'count' }, sum: { fn: 'sum', column: 'value' } },
  }
  const ask = async (where: object, scope: TenantScope) => {
    const { rows, plan } = await tm.queryUnknown(ticks.name, { ...query, ...where }, { scope })
    return { rows, summaries: plan.parts[0]?.summaries, files: plan.parts[0]?.files }
  }
  expect(await ask({}, allTenants)).toMatchObject({ summaries: 1, files: 0 })
  // what a scope adds to the query
  const right = await ask({ where: { tenant: b.tenant } }, allTenants)
  expect(right).toMatchObject({ summaries: 1, files: 0 })
  expect(right.rows.map((row) => row['n'])).toEqual([540, 540, 540, 380])
  expect((await ask({}, b.scope)).rows).toEqual(right.rows)
})

it('a tenant asks in as many round trips as everybody does', async () => {
  const proxy = new CountingProxy(engine.test.connectionString)
  const trips = await through(await proxy.listen(), async (tm) => {
    const query = { from: '2026-03-01', to: '2026-03-06', bucket: '1 hour', select: { n: { fn: 'count' } } }
    const counted: Record<string, number[]> = { all: [], one: [], none: [] }
    for (const scope of [allTenants, a.scope, noTenant])
      for (const [name, asked] of [
        [visits.name, query],
        [hourly.name, { from: '2026-03-01', to: '2026-03-04' }],
      ] as const) {
        // the first ones learn what there is, and what is known of it is looked at again from time to time
        let least = Number.POSITIVE_INFINITY
        for (let i = 0; i < 6; i += 1) {
          const before = proxy.ready
          await tm.queryUnknown(name, asked, { scope })
          // its COMMIT is answered after it
          await expect.poll(() => proxy.ready - before).toBeGreaterThan(1)
          least = Math.min(least, proxy.ready - before)
        }
        counted[scope.kind]!.push(least)
      }
    return counted
  })
  await proxy.close()
  // one, and the COMMIT that nobody waits for; what lies in several places takes more
  expect(trips['all']![0]).toBe(2)
  expect(trips['one']).toEqual(trips['all'])
  for (const [i, most] of trips['all']!.entries()) expect(trips['none']![i]).toBeLessThanOrEqual(most)
})

it('behind PgBouncer nobody finds the tenant of whoever had the connection before', async ({ skip }) => {
  skip(!pgBouncer, 'pgbouncer is not installed')
  const bouncer = await startPgBouncer(engine.test.connectionString)
  await through(bouncer.connectionString, async (tm) => {
    const query = { select: { n: { fn: 'count' }, secrets: { fn: 'topK', column: 'secret', k: 3 } } }
    const rowsOf = (scope: TenantScope) =>
      scope.kind === 'all'
        ? world.parties.flatMap((one) => one.rows[visits.name]!)
        : scope === a.scope
          ? a.rows[visits.name]!
          : scope === b.scope
            ? b.rows[visits.name]!
            : []
    await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const scope = [a.scope, b.scope, noTenant, allTenants][i % 4] as TenantScope
        const { rows } = await tm.queryUnknown(visits.name, query, { scope })
        expect(rows[0]!['n']).toBe(rowsOf(scope).length)
      }),
    )
    const { rows } = await tm.sql(
      `select current_user = session_user as own, current_setting('tidemark.tenant', true) as tenant`,
    )
    expect(rows[0]!['own']).toBe(true)
    expect(rows[0]!['tenant'] || null).toBeNull()
  })
  await bouncer.stop()
})
