import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readMissing } from '../../src/changelog/index.ts'
import {
  consumerOf,
  continuousAggregate,
  migrateAggregates,
  migrateDeclared,
  readVersions,
} from '../../src/continuous/index.ts'
import { migrate } from '../../src/migrate/index.ts'
import { avg, count, max, percentile, uniques } from '../../src/query/index.ts'
import { hypertable, t, table, view } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createFixture, readings } from '../lifecycle/fixture.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    user_id: t.int8().nullable(),
    latency_ms: t.float8().nullable(),
  },
  time: 'time',
  chunk: '1 day',
})
const models = table('metrics.models', { columns: { id: t.text(), vendor: t.text() }, primaryKey: ['id'] })

const select = { requests: count(), p95: percentile('latency_ms', 0.95), users: uniques('user_id') }
const hourly = continuousAggregate('stats.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select,
})

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await migrate(test.db, [requests, models])
})
afterAll(() => test.drop())

async function rows(text: string): Promise<readonly (readonly unknown[])[]> {
  return (await test.db.query(raw(text))).rows
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  )
  if (!isTidemarkError(error)) throw new Error(`not refused as expected: ${String(error)}`)
  return `${error.code}: ${error.message}`
}

const states = () =>
  rows('select relation_name, state, current_since is not null from tidemark.aggregate_version order by id')

describe('migrating continuous aggregates', () => {
  it('says what it would do without doing it', async () => {
    const { steps } = await migrateAggregates(test.db, [hourly], { dryRun: true })
    expect(steps.map(({ kind, sentence }) => [kind, sentence])).toEqual([
      ['create-schema', 'creates the schema stats'],
      ['aggregate', 'creates the continuous aggregate stats.hourly over metrics.requests'],
    ])
    expect(await states()).toEqual([])
  })

  it('creates table, view, consumer and an invalid range, and nothing the second time', async () => {
    const { steps } = await migrateAggregates(test.db, [hourly])
    expect(steps).toHaveLength(2)
    expect(await states()).toEqual([['stats_hourly_1', 'current', true]])
    expect(
      await rows('select range_from::text, range_to::text, tenant from tidemark.aggregate_invalid'),
    ).toEqual([['-infinity', 'infinity', null]])
    expect(
      await rows(`select column_name::text, data_type::text from information_schema.columns
        where table_schema = 'stats' and table_name = 'hourly' order by ordinal_position`),
    ).toEqual([
      ['bucket', 'timestamp with time zone'],
      ['model', 'text'],
      ['requests', 'bigint'],
      ['p95', 'double precision'],
      ['users', 'bigint'],
      ['p95_state', 'bytea'],
      ['users_state', 'bytea'],
    ])
    const [version] = await readVersions(test.db, requests)
    const missing = await test.db.transaction({ mode: 'repeatable read' }, (connection) =>
      readMissing(connection, consumerOf(version!)),
    )
    expect(missing.kind).toBe('start-over')
    expect(
      await rows(
        `select kind, definition_after ->> 'name' from tidemark.schema_change where relation = 'stats.hourly'`,
      ),
    ).toEqual([['aggregate', 'stats.hourly']])
    expect((await migrateAggregates(test.db, [hourly])).steps).toEqual([])
  })

  it('one cell is unique by bucket and keys, also where they are null', async () => {
    await rows(`insert into tidemark_aggregates.stats_hourly_1 (bucket, key_0) values ('2026-01-01', null)`)
    await expect(
      rows(`insert into tidemark_aggregates.stats_hourly_1 (bucket, key_0) values ('2026-01-01', null)`),
    ).rejects.toThrow(/Key \(bucket, key_0\)=.* already exists/)
    await rows('delete from tidemark_aggregates.stats_hourly_1')
  })

  it('refresh, retention, comment and dimensions change in place', async () => {
    const changed = continuousAggregate('stats.hourly', {
      from: requests,
      bucket: '1 hour',
      by: ['model'],
      select,
      refresh: { every: '5 minutes' },
      retain: '2 years',
      comment: 'by model',
      dimensions: { vendor: { table: models, on: { id: 'model' }, column: 'vendor' } },
    })
    const { steps } = await migrateAggregates(test.db, [changed])
    expect(steps.map(({ sentence }) => sentence)).toEqual([
      'changes comment, dimensions, refresh, retain of stats.hourly',
    ])
    expect(await states()).toEqual([['stats_hourly_1', 'current', true]])
    expect(await rows(`select obj_description('stats.hourly'::regclass)`)).toEqual([['by model']])
    expect(await rows('select vendor from stats.hourly')).toEqual([])
    expect((await migrateAggregates(test.db, [changed])).steps).toEqual([])
    await migrateAggregates(test.db, [hourly])
    expect(await rows(`select obj_description('stats.hourly'::regclass)`)).toEqual([[null]])
  })

  it('a changed definition is built beside the current one, and going back gives it up', async () => {
    const changed = continuousAggregate('stats.hourly', {
      from: requests,
      bucket: '1 hour',
      by: ['model'],
      select: { ...select, slowest: max('latency_ms') },
    })
    const first = await migrateAggregates(test.db, [changed])
    expect(first.steps.map(({ sentence }) => sentence)).toEqual([
      'begins to build the changed definition of stats.hourly beside the current one',
    ])
    expect(await states()).toEqual([
      ['stats_hourly_1', 'current', true],
      ['stats_hourly_2', 'building', false],
    ])
    expect((await migrateAggregates(test.db, [changed])).steps).toEqual([])
    const again = continuousAggregate('stats.hourly', {
      from: requests,
      bucket: '1 hour',
      by: ['model'],
      select: { mean: avg('latency_ms') },
    })
    expect((await migrateAggregates(test.db, [again])).steps.map(({ sentence }) => sentence)).toEqual([
      'gives up the version of stats.hourly that was being built',
      'begins to build the changed definition of stats.hourly beside the current one',
    ])
    await migrateAggregates(test.db, [hourly])
    expect(await states()).toEqual([
      ['stats_hourly_1', 'current', true],
      ['stats_hourly_2', 'retired', false],
      ['stats_hourly_3', 'retired', false],
    ])
    expect(await rows('select count(*) from tidemark.change_consumer')).toEqual([[1n]])
    expect((await readVersions(test.db, null)).map(({ relation }) => relation)).toEqual(['stats_hourly_1'])
  })

  it('aggregates whose names look alike have cells of their own', async () => {
    const like = ['stats_hourly.x', 'stats.hourly_x', 'public.stats_hourly_x'].map((name) =>
      continuousAggregate(name, { from: requests, bucket: '1 hour', select: { n: count() } }),
    )
    await migrateAggregates(test.db, [hourly, ...like])
    expect((await migrateAggregates(test.db, [hourly, ...like])).steps).toEqual([])
    expect((await readVersions(test.db, null)).map(({ name, relation }) => [name, relation])).toEqual([
      ['stats.hourly', 'stats_hourly_1'],
      ['stats_hourly.x', 'stats_hourly_x_1'],
      ['stats.hourly_x', 'stats_hourly_x_2'],
      ['public.stats_hourly_x', 'stats_hourly_x_3'],
    ])
    for (const { name } of like) await rows(`select tidemark.drop_aggregate('${name}')`)
  })

  it('an aggregate that is declared no more is named and stays', async () => {
    const { steps, undeclared } = await migrateAggregates(test.db, [])
    expect(steps).toEqual([])
    expect(undeclared).toEqual(['stats.hourly'])
    expect(await rows('select count(*) from stats.hourly')).toEqual([[0n]])
  })

  it('a view that was dropped by hand is made again', async () => {
    await rows('drop view stats.hourly')
    expect((await migrateAggregates(test.db, [hourly])).steps.map(({ sentence }) => sentence)).toEqual([
      'replaces the view stats.hourly',
    ])
    expect(await rows('select count(*) from stats.hourly')).toEqual([[0n]])
  })

  it('what was granted on the view is still granted when its columns change', async () => {
    await rows('revoke select on stats.hourly from public')
    await rows('grant select on stats.hourly to pg_monitor')
    const changed = continuousAggregate('stats.hourly', {
      from: requests,
      bucket: '1 hour',
      by: ['model'],
      select,
      dimensions: { vendor: { table: models, on: { id: 'model' }, column: 'vendor' } },
    })
    await migrateAggregates(test.db, [changed])
    expect(
      await rows(`select has_table_privilege('pg_monitor', 'stats.hourly', 'select'), (
        select count(*) from pg_class as c, aclexplode(c.relacl) as a where c.oid = 'stats.hourly'::regclass and a.grantee = 0
      )`),
    ).toEqual([[true, 0n]])
    await rows('create view public.reader as select vendor from stats.hourly')
    expect(await refusal(migrateAggregates(test.db, [hourly]))).toMatch(
      /TM_MIGRATION.*something reads the old ones/,
    )
    await rows('drop view public.reader')
    await migrateAggregates(test.db, [hourly])
  })

  it('refuses a name that something else has, and another hypertable under the same name', async () => {
    await rows('create table public.taken (id int)')
    const taken = continuousAggregate('public.taken', { from: requests, bucket: '1 hour', by: [], select })
    expect(await refusal(migrateAggregates(test.db, [taken]))).toMatch(
      /TM_MIGRATION_DESTRUCTIVE.*public\.taken/s,
    )
    const other = hypertable('metrics.others', { columns: { time: t.timestamptz() }, time: 'time' })
    await migrate(test.db, [other])
    const moved = continuousAggregate('stats.hourly', {
      from: other,
      bucket: '1 hour',
      by: [],
      select: { n: count() },
    })
    expect(await refusal(migrateAggregates(test.db, [moved]))).toMatch(/stands on metrics\.requests/)
    expect(await rows('select count(*) from tidemark.aggregate')).toEqual([[1n]])
  })

  it('nothing is half created when a step fails, and many processes make it once', async () => {
    const daily = continuousAggregate('stats.daily', {
      from: requests,
      bucket: '1 day',
      by: [],
      select: { n: count() },
    })
    await rows('create table tidemark_aggregates.stats_daily_1 (id int)')
    await expect(migrateAggregates(test.db, [hourly, daily])).rejects.toThrow(/stats_daily_1/)
    expect(await rows(`select count(*) from tidemark.aggregate where table_name = 'daily'`)).toEqual([[0n]])
    await rows('drop table tidemark_aggregates.stats_daily_1')
    const reports = await Promise.all(
      Array.from({ length: 4 }, () => migrateAggregates(test.db, [hourly, daily])),
    )
    expect(reports.flatMap(({ steps }) => steps)).toHaveLength(1)
    expect(await rows(`select count(*) from tidemark.aggregate where table_name = 'daily'`)).toEqual([[1n]])
  })

  it('what an aggregate stands on cannot be taken away from under it', async () => {
    await expect(rows('alter table metrics.requests drop column latency_ms')).rejects.toThrow(
      /other objects depend|depends on/,
    )
    await expect(rows('drop table metrics.requests')).rejects.toThrow(/depend/)
    const { test: other, lifecycle, drop } = await createFixture(readings)
    const n = continuousAggregate('stats.n', {
      from: readings,
      bucket: '1 hour',
      by: [],
      select: { n: count() },
    })
    await migrateAggregates(other.db, [n])
    expect(await refusal(lifecycle.eject(readings))).toMatch(
      /stand on .*readings: stats\.n; .*drop_aggregate\('stats\.n'\)/,
    )
    await other.db.query(raw(`select tidemark.drop_aggregate('stats.n')`))
    expect((await other.db.query(raw('select count(*) from tidemark.change_consumer'))).rows).toEqual([[0n]])
    await lifecycle.eject(readings)
    await drop()
  })

  it('a hypertable that was dropped by hand is not made again under its old aggregates', async () => {
    await rows('drop table metrics.requests cascade')
    expect(await refusal(migrate(test.db, [requests, models]))).toMatch(
      /continuous aggregates stand on it still/,
    )
    await rows(`select tidemark.drop_aggregate('stats.hourly'), tidemark.drop_aggregate('stats.daily')`)
    await migrate(test.db, [requests, models])
    await migrateAggregates(test.db, [hourly])
    expect(await rows('select count(*) from stats.hourly')).toEqual([[0n]])
  })

  it('an aggregate over a hypertable that is not there is one error', async () => {
    const absent = hypertable('metrics.absent', { columns: { time: t.timestamptz() }, time: 'time' })
    const on = continuousAggregate('stats.absent', {
      from: absent,
      bucket: '1 hour',
      by: [],
      select: { n: count() },
    })
    expect(await refusal(migrateAggregates(test.db, [on]))).toMatch(/metrics\.absent is no hypertable/)
  })

  it('a declared view may read an aggregate that is made in the same run', async () => {
    const config = {
      datasets: [requests, models],
      aggregates: [hourly],
      views: [
        view(
          'stats.by_day',
          `select date_trunc('day', bucket) as day, sum(requests) as n from stats.hourly group by 1`,
        ),
      ],
    }
    await rows(`select tidemark.drop_aggregate('stats.hourly')`)
    const { steps, undeclared } = await migrateDeclared(test.db, config)
    expect(steps.map(({ sentence }) => sentence)).toEqual([
      'creates the continuous aggregate stats.hourly over metrics.requests',
      'creates the view stats.by_day',
    ])
    expect(undeclared).toEqual(['metrics.others'])
    expect((await migrateDeclared(test.db, config)).steps).toEqual([])
    expect((await migrateDeclared(test.db, config, { dryRun: true })).steps).toEqual([])
  })
})
