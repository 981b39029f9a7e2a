import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate, createAggregateTiers, readVersions } from '../../src/continuous/index.ts'
import type { AggregateVersion } from '../../src/continuous/version.ts'
import { createTidemark } from '../../src/engine.ts'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import {
  type Answer,
  count,
  defaultQueryLimits,
  executeQuery,
  parseQuery,
  percentile,
  sum,
  type Tier,
} from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { parseInstant, systemClock } from '../../src/time/index.ts'
import { printSql, type Sql, sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { withoutRowSecurity } from '../helpers/without-row-security.ts'
import { fillCells, invalidate } from './cells-fixture.ts'

const cpu = hypertable('metrics.cpu', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    host: t.text(),
    load: t.int4(),
    note: t.text().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  changeCell: '1 hour',
})
const select = { n: count(), load: sum('load'), p95: percentile('load', 0.95) }
const hourly = continuousAggregate('metrics.cpu_hourly', {
  from: cpu,
  bucket: '1 hour',
  by: ['host'],
  select,
})
const daily = continuousAggregate('metrics.cpu_daily', {
  from: hourly,
  bucket: '1 day',
  by: ['host'],
  select: { n: count(), load: sum('load') },
})
const config = defineConfig({ datasets: [cpu, hourly, daily], cache: { memory: 0 } })

const at = (text: string): bigint => parseInstant(text)
const all = { from: at('2026-01-01T00:00:00Z'), to: at('2026-01-05T00:00:00Z') }
const days = { from: '2026-01-01T00:00:00Z', to: '2026-01-05T00:00:00Z' }
const byHour = {
  ...days,
  bucket: '1 hour',
  by: ['host'],
  select: { n: count(), p95: percentile('load', 0.95) },
}

describe('the plan of a query over a hypertable with aggregates', () => {
  let engine: TestEngine<typeof config>
  let versions: ReadonlyMap<string, AggregateVersion>

  beforeAll(async () => {
    engine = await createTestEngine(config)
    const rows = Array.from({ length: 4 * 24 * 60 }, (_, i) =>
      ['a', 'b', 'c'].map((host, h) => ({
        time: all.from + BigInt(i) * 60_000_000n,
        tenant: h === 2 ? 't2' : 't1',
        host,
        load: (i * 7 + h) % 100,
        note: null,
      })),
    ).flat()
    await engine.tm.insert(cpu, rows)
    await engine.test.db.execute('analyze')
    const found = await readVersions(engine.test.db, cpu)
    versions = new Map(found.map((version) => [version.name, version]))
    for (const version of found) await fillCells(engine.test.db, version, all)
  })
  afterAll(() => engine.close())

  const ask = (query: unknown, dataset = 'metrics.cpu'): Promise<Answer> =>
    engine.tm.queryUnknown(dataset, query)
  const parts = ({ plan }: Answer) => plan.parts.map(({ source, from, to }) => [source, from, to])
  const why = ({ plan }: Answer) =>
    Object.fromEntries((plan.aggregates ?? []).map(({ name, why }) => [name, why]))
  const valid = async (): Promise<void> => {
    for (const version of versions.values()) await fillCells(engine.test.db, version, all)
  }

  it('reads the coarsest one that is right', async () => {
    const perDay = await ask({ ...days, bucket: '1 day', select: { n: count(), load: sum('load') } })
    expect(parts(perDay)).toEqual([['metrics.cpu_daily', days.from, days.to]])
    expect(perDay.rows.map(({ n }) => n)).toEqual([4320, 4320, 4320, 4320])
    const perHour = await ask(byHour)
    expect(parts(perHour)).toEqual([['metrics.cpu_hourly', days.from, days.to]])
    expect(perHour.rows).toHaveLength(4 * 24 * 3)
    expect(perHour.plan.parts[0]?.rows).toBe(4 * 24 * 3)
    expect(perHour.plan.aggregates).toEqual([
      { name: 'metrics.cpu_hourly', used: true, why: 'its cells hold what is asked for' },
      { name: 'metrics.cpu_daily', used: false, why: 'it does not keep ddsketch of load' },
    ])
  })

  it('reads ragged ends from rows', async () => {
    const answer = await ask({ ...byHour, from: '2026-01-01T10:30:00Z', to: '2026-01-02T10:15:00Z' })
    expect(parts(answer)).toEqual([
      ['hot', '2026-01-01T10:30:00Z', '2026-01-01T11:00:00Z'],
      ['metrics.cpu_hourly', '2026-01-01T11:00:00Z', '2026-01-02T10:00:00Z'],
      ['hot', '2026-01-02T10:00:00Z', '2026-01-02T10:15:00Z'],
    ])
    expect(why(answer)['metrics.cpu_hourly']).toBe('the ends are no whole buckets: that is read from rows')
    expect(answer.rows[0]).toMatchObject({ bucket: '2026-01-01T10:00:00Z', host: 'a', n: 30 })
  })

  it('reads from rows only the bucket that a late row has touched, and only for its tenant', async () => {
    await engine.test.db.query(
      sql`insert into metrics.cpu values ('2026-01-02T10:20:30Z', 't2', 'c', 1000, null)`,
    )
    const touched = await ask(byHour)
    expect(parts(touched)).toEqual([
      ['metrics.cpu_hourly', days.from, '2026-01-02T10:00:00Z'],
      ['hot', '2026-01-02T10:00:00Z', '2026-01-02T11:00:00Z'],
      ['metrics.cpu_hourly', '2026-01-02T11:00:00Z', days.to],
    ])
    expect(why(touched)['metrics.cpu_hourly']).toContain('rows have been written since its refresh')
    expect(
      touched.rows.find(({ bucket, host }) => bucket === '2026-01-02T10:00:00Z' && host === 'c')?.['n'],
    ).toBe(61)
    const ofOther = await ask({ ...byHour, where: { tenant: 't1' } })
    expect(parts(ofOther)).toEqual([['metrics.cpu_hourly', days.from, days.to]])
    await valid()
    // what was not valid is presumed not to be, once more
    await ask(byHour)
    expect(parts(await ask(byHour))).toEqual([['metrics.cpu_hourly', days.from, days.to]])
  })

  it('says of every aggregate why it was not used', async () => {
    const reason = async (query: object): Promise<string | undefined> =>
      why(await ask({ ...days, select: { n: count() }, ...query }))['metrics.cpu_hourly']
    expect(await reason({ by: ['note'] })).toBe('it does not keep note apart')
    expect(await reason({ where: { load: { gt: 3 } } })).toBe(
      'it cannot be filtered by load, which is none of its keys',
    )
    expect(await reason({ select: { m: { fn: 'max', column: 'load' } } })).toBe(
      'it does not keep max of load',
    )
    expect(await reason({ bucket: '15 minutes' })).toBe(
      "its buckets of '1 hour' do not divide those of the query",
    )
    expect(await reason({ bucket: '1 day', zone: 'Asia/Kolkata' })).toBe(
      "a bucket of the query begins at 2026-01-01T18:30:00Z, inside of one of its buckets of '1 hour'",
    )
    expect(await reason({ bucket: '1 day', zone: 'Europe/Berlin' })).toBe('its cells hold what is asked for')
    const rows = await ask({ ...days, columns: ['host'], limit: 3 })
    expect(rows.plan.aggregates).toBeUndefined()
  })

  describe('in statements', () => {
    const hot = createHotTier()
    const tier = createAggregateTiers([hourly])[0] as Tier
    const trips: string[] = []
    const beside: string[] = []
    const run = (query: object) =>
      withReadSnapshot(
        engine.test.db,
        { timeoutMs: 30_000, dataset: cpu, taken: 'with the first statement' },
        (snapshot) => {
          const counted = new Proxy(snapshot, {
            get(target, key) {
              if (key !== 'query' && key !== 'cursor' && key !== 'beside')
                return Reflect.get(target, key, target)
              return (statement: Sql, signal: AbortSignal | null) => {
                const { text } = printSql(statement)
                if (key === 'beside') beside.push(text)
                else trips.push(text)
                return target[key](statement, signal)
              }
            },
          })
          const node = parseQuery(query, { dataset: cpu, clock: systemClock })
          return executeQuery(node, {
            tiers: [hot, tier],
            snapshot: counted,
            clock: systemClock,
            signal: null,
            limits: defaultQueryLimits,
          })
        },
      )

    it('is one round trip, also for what is valid', async () => {
      await ask(byHour)
      const first = await run(byHour)
      expect(trips.length).toBeGreaterThan(2)
      trips.length = 0
      expect((await run(byHour)).rows).toEqual(first.rows)
      expect(trips).toHaveLength(1)
      expect(trips[0]).toContain('tidemark_aggregates')
      expect(beside.join()).toContain('aggregate_validity')
    })

    it('is nothing for pages of rows and newest rows, which no aggregate has', async () => {
      for (const query of [
        { ...days, columns: ['host'], limit: 3 },
        { latestBy: ['host'], columns: ['host'] },
      ]) {
        trips.length = 0
        beside.length = 0
        expect((await run(query)).rows).toHaveLength(3)
        expect([...trips, ...beside].join()).not.toContain('aggregate')
      }
    })
  })

  describe('asked by its name', () => {
    it('gives its cells, from rows where they are not valid', async () => {
      const cells = await ask({ ...days }, 'metrics.cpu_hourly')
      expect(cells.rows).toHaveLength(4 * 24 * 3)
      expect(parts(cells)).toEqual([['metrics.cpu_hourly', days.from, days.to]])
      const version = versions.get('metrics.cpu_hourly') as AggregateVersion
      await invalidate(engine.test.db, version, {
        tenant: null,
        range: { from: at('2026-01-03T00:00:00Z'), to: all.to },
      })
      const later = await ask({ ...days }, 'metrics.cpu_hourly')
      expect(later.rows).toEqual(cells.rows)
      expect(parts(later).map(([source]) => source)).toEqual(['metrics.cpu_hourly', 'hot'])
      await valid()
      await ask({ ...days }, 'metrics.cpu_hourly')
    })

    it('knows what the rows of dropped chunks were, and says what it did not keep of them', async () => {
      const { db } = engine.test
      const expected = await ask({ ...days }, 'metrics.cpu_hourly')
      await db.transaction({}, async (connection) => {
        await connection.query(
          sql`select tidemark.begin_logged_write(${versions.get('metrics.cpu_hourly')!.hypertableId}::int4)`,
        )
        await connection.execute(`
          delete from metrics.cpu where time < '2026-01-02Z';
          delete from tidemark.change_log;
          update tidemark.chunk set state = 'dropped' where range_from = '2026-01-01Z';
          update tidemark.hypertable set epoch = epoch + 1`)
      })
      for (const version of versions.values())
        await db.query(sql`
          update tidemark.change_consumer set position = pg_current_snapshot() where name = ${`aggregate:${version.id}`}::text`)
      expect((await ask({ ...days }, 'metrics.cpu_hourly')).rows).toEqual(expected.rows)
      // whoever asks for the rows is told of those that there are
      const raw = await ask({ ...days, bucket: '1 day', select: { n: count() } })
      expect(raw.rows.map(({ bucket }) => bucket)).toEqual([
        '2026-01-02T00:00:00Z',
        '2026-01-03T00:00:00Z',
        '2026-01-04T00:00:00Z',
      ])
      // a version that came later: its sketches of the first day are not known
      const { id, relation } = versions.get('metrics.cpu_hourly') as AggregateVersion
      const { rows: columns } = await db.query(sql`
        select attname from pg_attribute
        where attrelid = format('tidemark_aggregates.%I', ${relation}::text)::regclass and attname like 'state\_2%'`)
      await db.execute(`
        update tidemark_aggregates.${relation} set ${columns.map(([name]) => `${name} = null`).join(', ')}
        where bucket < '2026-01-02Z'`)
      await db.query(sql`
        update tidemark.aggregate_version set unknown_before = '{"2": "2026-01-02T00:00:00Z"}', epoch = epoch + 1
        where id = ${id}::int4`)
      const partial = await ask({ ...days }, 'metrics.cpu_hourly')
      expect(partial.plan.partial).toEqual([{ output: 'p95', before: '2026-01-02T00:00:00Z' }])
      expect(partial.rows.map(({ n, load }) => [n, load])).toEqual(
        expected.rows.map(({ n, load }) => [n, load]),
      )
      expect(partial.rows.map(({ p95 }) => p95)).toEqual(
        expected.rows.map(({ bucket, p95 }) => (String(bucket) < '2026-01-02' ? null : p95)),
      )
      const wide = await ask(
        { bucket: '1 week', ...days, select: { n: 'n', p95: 'p95' } },
        'metrics.cpu_hourly',
      )
      expect(wide.rows).toEqual([{ bucket: '2025-12-29T00:00:00Z', n: 17_281, p95: null }])
    })
  })
})

describe('a definition in the catalog that does not fit what is declared here', () => {
  it('leaves the answer to the rows, and says so', async () => {
    const engine = await createTestEngine(config)
    try {
      await engine.tm.insert(cpu, [{ time: all.from, tenant: 't1', host: 'a', load: 1, note: null }])
      await engine.test.db.execute(`
        update tidemark.aggregate_version
        set definition = replace(definition::text, '"load"', '"gone"')::jsonb
        where relation_name like '%hourly%'`)
      const { rows, plan } = await engine.tm.queryUnknown('metrics.cpu', { select: { n: { fn: 'count' } } })
      expect(rows).toEqual([{ n: 1 }])
      expect(plan.aggregates?.[0]?.why).toContain(
        'aggregates in the catalog do not fit what is declared here',
      )
    } finally {
      await engine.close()
    }
  })
})

describe('a role that may not see every row', () => {
  it('is answered from the rows that it may see', async () => {
    const engine = await createTestEngine(config)
    const { db, name, connectionString } = engine.test
    await withoutRowSecurity(db, 'metrics.cpu')
    const role = `cells_reader_${name}`
    const url = new URL(connectionString)
    url.username = role
    await db.execute(`
      create role ${role} login;
      grant usage on schema tidemark, metrics, tidemark_aggregates to ${role};
      grant select on all tables in schema tidemark, metrics to ${role}`)
    const reader = await createTidemark(config, { connectionString: url.href })
    try {
      const rows = Array.from({ length: 3_000 }, (_, i) => ({
        time: all.from + BigInt(i) * 60_000_000n,
        tenant: i % 2 === 0 ? 't1' : 't2',
        host: 'a',
        load: 1,
        note: null,
      }))
      await engine.tm.insert(cpu, rows)
      for (const version of await readVersions(db, cpu)) await fillCells(db, version, all)
      const ask = async () => {
        const { rows, plan } = await reader.queryUnknown('metrics.cpu', {
          ...days,
          select: { n: { fn: 'count' } },
        })
        return { n: rows[0]?.['n'], from: plan.parts[0]?.source, why: plan.aggregates?.[0]?.why }
      }
      expect((await ask()).from).toMatch(/^metrics\.cpu_(hourly|daily)$/)
      await db.execute(`revoke usage on schema tidemark_aggregates from ${role}, public`)
      expect(await ask()).toEqual({ n: 3_000, from: 'hot', why: 'the role may not read its cells' })
      await db.execute(`grant usage on schema tidemark_aggregates to ${role}`)
      await ask()
      expect((await ask()).from).toMatch(/^metrics\.cpu_(hourly|daily)$/)
      await db.execute(`
        alter table metrics.cpu enable row level security;
        create policy own on metrics.cpu to ${role} using (tenant = 't1')`)
      expect(await ask()).toEqual({
        n: 1_500,
        from: 'hot',
        why: 'the role may not see every row of metrics.cpu, and cells are of all rows',
      })
    } finally {
      await reader.close()
      await db.execute(`drop owned by ${role}; drop role ${role}`)
      await engine.close()
    }
  })
})
