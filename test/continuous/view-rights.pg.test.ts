import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate, migrateAggregates, readVersions } from '../../src/continuous/index.ts'
import { refreshVersion } from '../../src/continuous/refresh-version.ts'
import { createHotTier } from '../../src/hot/index.ts'
import { migrate } from '../../src/migrate/index.ts'
import { count, percentile, queryLimits, sum } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { withoutRowSecurity } from '../helpers/without-row-security.ts'
import { createFixture, type Fixture } from '../lifecycle/fixture.ts'

const columns = { time: t.timestamptz(), tenant: t.text(), value: t.int4() }
const owned = hypertable('metrics.owned', { columns, time: 'time', tenant: 'tenant', chunk: '1 day' })
const shared = hypertable('metrics.shared', { columns, time: 'time', chunk: '1 day' })
const select = { n: count(), total: sum('value'), p50: percentile('value', 0.5) }
const byTenant = continuousAggregate('stats.by_tenant', { from: owned, bucket: '1 hour', by: [], select })
const ofAll = continuousAggregate('stats.of_all', { from: shared, bucket: '1 hour', by: [], select })

/** Roles are of the whole server. */
const role = `reader_${randomBytes(6).toString('hex')}`

describe('who may read the view of an aggregate', () => {
  let fixture: Fixture
  const query = async (text: string) => (await fixture.test.db.query(raw(text))).rows
  /** As the reader, for a tenant. */
  const asReader = (text: string, tenant = '') =>
    fixture.test.db.transaction({ mode: 'read committed' }, async (connection) => {
      await connection.execute(`set local role ${role}; set local tidemark.tenant = '${tenant}'`)
      return (await connection.query(raw(text))).rows
    })

  beforeAll(async () => {
    fixture = await createFixture()
    const { db } = fixture.test
    await migrate(db, [owned, shared])
    await withoutRowSecurity(db, 'metrics.owned')
    await migrateAggregates(db, [byTenant, ofAll])
    await query(`create role ${role}`)
    await query(`grant usage on schema metrics, stats to ${role}`)
    for (const table of [owned, shared])
      await fixture.writer.insert(
        table,
        Array.from({ length: 60 }, (_, i) => ({
          time: parseInstant('2026-05-01T00:00:00Z') + BigInt(i) * 600_000_000n,
          tenant: i % 3 === 0 ? 'one' : 'two',
          value: i,
        })),
      )
    const context = { db, tiers: [createHotTier()], clock: fixture.clock, limits: queryLimits() }
    for (const version of await readVersions(db, null)) await refreshVersion(context, version)
    // not refreshed
    await query(
      `insert into metrics.owned values ('2026-05-01T01:00Z', 'one', 1000), ('2026-05-01T02:00Z', 'two', 1000)`,
    )
    await query(
      `insert into metrics.shared values ('2026-05-01T01:00Z', 'one', 1000), ('2026-05-01T02:00Z', 'two', 1000)`,
    )
  })
  afterAll(async () => {
    await query(`drop owned by ${role}`)
    await query(`drop role ${role}`)
    await fixture.drop()
  })

  it('who may not read every row is told no tenant that writes', async () => {
    const [[id] = []] = await query(`select id from tidemark.hypertable where table_name = 'owned'`)
    const tenants = `select tenants from tidemark.aggregate_validity(${id}, null, 100)`
    expect((await query(tenants)).flat(2).sort()).toEqual([null, 'one', 'two'])
    expect(new Set((await asReader(tenants)).flat(2))).toEqual(new Set([null]))
    await query(`grant select on metrics.owned to ${role}`)
    expect((await asReader(tenants)).flat(2).sort()).toEqual([null, 'one', 'two'])
    await query('alter table metrics.owned enable row level security')
    expect(new Set((await asReader(tenants)).flat(2))).toEqual(new Set([null]))
    await query('alter table metrics.owned disable row level security')
    await query(`revoke select on metrics.owned from ${role}`)
  })

  it('nobody who may not read the rows', async () => {
    await expect(asReader('select * from stats.by_tenant')).rejects.toThrow(
      /permission denied for table owned/,
    )
    expect(await asReader('select * from tidemark_aggregates.stats_by_tenant_1')).toEqual([])
  })

  it('everybody who may read the rows, whenever that was granted', async () => {
    await query(`grant select on metrics.owned, metrics.shared to ${role}`)
    const [all] = await query('select sum(n)::int8, sum(total)::int8 from stats.of_all')
    expect(all).toEqual([62n, 3770n])
    expect(await asReader('select sum(n)::int8, sum(total)::int8 from stats.of_all')).toEqual([all])
    expect(await asReader('select sum(n)::int8, sum(total)::int8 from stats.by_tenant')).toEqual([all])
    expect(await asReader('select count(*) from tidemark_aggregates.stats_by_tenant_1')).toEqual([[20n]])
    const median = 'select tidemark.percentile(tidemark.rollup_percentile(p50_state), 0.5) from stats.of_all'
    expect(await asReader(median)).toEqual(await query(median))
    await expect(asReader('select * from tidemark.aggregate_version')).rejects.toThrow(/permission denied/)
  })

  it('a tenant sees its cells and rows only, and without one nothing', async () => {
    await query(`alter table metrics.owned enable row level security`)
    await query(
      `create policy own on metrics.owned using (tenant = nullif(current_setting('tidemark.tenant', true), ''))`,
    )
    const sums = 'select sum(n)::int8, sum(total)::int8, count(distinct tenant) from stats.by_tenant'
    for (const tenant of ['one', 'two']) {
      const expected = await query(
        `select count(*), sum(value)::int8, 1::int8 from metrics.owned where tenant = '${tenant}'`,
      )
      expect(await asReader(sums, tenant)).toEqual(expected)
      expect(
        await asReader(
          "select count(*) > 0, bool_and(key_0 = current_setting('tidemark.tenant')) from tidemark_aggregates.stats_by_tenant_1",
          tenant,
        ),
      ).toEqual([[true, true]])
    }
    expect(await asReader(sums)).toEqual([[null, null, 0n]])
    expect(await asReader('select * from tidemark_aggregates.stats_by_tenant_1')).toEqual([])
  })

  it('where a policy is another one, only what PostgreSQL itself computes from the rows', async () => {
    await query(`alter table metrics.shared enable row level security`)
    await query(
      `create policy own on metrics.shared using (tenant = 'one' and current_setting('tidemark.tenant', true) <> 'x')`,
    )
    const expected = await query(`select count(*), sum(value)::int8 from metrics.shared where tenant = 'one'`)
    expect(await asReader('select sum(n)::int8, sum(total)::int8 from stats.of_all')).toEqual(expected)
    expect(await asReader('select * from tidemark_aggregates.stats_of_all_1')).toEqual([])
    // one more policy lets everything through: the tenant's cells would be too few, all cells too many
    await query(`create policy more on metrics.owned using (value >= 0)`)
    expect(await asReader('select sum(n)::int8 from stats.by_tenant', 'one')).toEqual([[62n]])
    expect(await asReader('select * from tidemark_aggregates.stats_by_tenant_1', 'one')).toEqual([])
  })

  it('what the owner of a table with forced row security may not read is not in the cells for him either', async () => {
    await query('drop policy more on metrics.owned')
    await query('alter table metrics.owned force row level security')
    const { steps } = await migrateAggregates(fixture.test.db, [byTenant, ofAll])
    expect(steps.map(({ sentence }) => sentence)).toEqual([
      'follows the row security of metrics.owned in stats.by_tenant',
    ])
    expect(
      await query(
        `select relforcerowsecurity from pg_class where oid = 'tidemark_aggregates.stats_by_tenant_1'::regclass`,
      ),
    ).toEqual([[true]])
    expect((await migrateAggregates(fixture.test.db, [byTenant, ofAll])).steps).toEqual([])
  })
})
