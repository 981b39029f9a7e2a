import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate, migrateAggregates, readVersions } from '../../src/continuous/index.ts'
import { type RefreshContext, refreshVersion } from '../../src/continuous/refresh-version.ts'
import { createHotTier } from '../../src/hot/index.ts'
import { migrate } from '../../src/migrate/index.ts'
import {
  avg,
  count,
  countDistinct,
  delta,
  first,
  histogram,
  increase,
  last,
  max,
  min,
  percentile,
  queryLimits,
  rate,
  stddev,
  sum,
  timeWeightedAvg,
  topK,
  uniques,
  variance,
} from '../../src/query/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createFixture, type Fixture } from '../lifecycle/fixture.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    region: t.text().nullable(),
    user_id: t.int8().nullable(),
    latency_ms: t.float8().nullable(),
    cost: t.numeric().nullable(),
    tags: t.jsonb().nullable(),
  },
  time: 'time',
  chunk: '1 day',
})
const models = table('metrics.models', { columns: { id: t.text(), vendor: t.text() }, primaryKey: ['id'] })

const everything = continuousAggregate('stats.everything', {
  from: requests,
  bucket: '1 hour',
  by: ['model', 'region'],
  where: { $or: [{ model: { in: ['a', 'b', "c'\\"] } }, { 'tags.kept': true }] },
  dimensions: { vendor: { table: models, on: { id: 'model' }, column: 'vendor' } },
  select: {
    n: count(),
    timed: count('latency_ms', { where: { latency_ms: { gt: 20 } } }),
    total: sum('latency_ms'),
    money: sum('cost'),
    users_sum: sum('user_id'),
    mean: avg('latency_ms'),
    mean_cost: avg('cost'),
    least: min('latency_ms'),
    greatest: max('model'),
    opened: first('latency_ms'),
    closed: last('cost'),
    spread: stddev('latency_ms'),
    variation: variance('latency_ms'),
    p95: percentile('latency_ms', 0.95),
    p5_cost: percentile('cost', 0.05),
    users: uniques('user_id'),
    kinds: countDistinct('tags.kind'),
    shape: histogram('latency_ms', [10, 20, 50]),
    top: topK('model', 3),
    top_users: topK('user_id', 2),
    grown: increase('user_id', { series: ['model', 'region'] }),
    growth: rate('user_id', { series: ['model', 'region'] }),
    moved: delta('cost', { series: [] }),
    held: timeWeightedAvg('latency_ms', { series: ['region'] }),
    sloped: timeWeightedAvg('latency_ms', { series: ['region'], method: 'linear' }),
  },
})
const daily = continuousAggregate('stats.daily', {
  from: requests,
  bucket: { every: '1 day', zone: 'Europe/Berlin' },
  by: [],
  select: { n: count(), users: uniques('user_id') },
})

const startedAt = parseInstant('2026-10-24T00:00:00Z')

describe('the SQL view of an aggregate', () => {
  let fixture: Fixture
  let context: RefreshContext
  const query = async (text: string) => (await fixture.test.db.query(raw(text))).rows
  const all = () => query('select * from stats.everything order by bucket, model, region')

  const rows = (from: bigint, amount: number, everyMinutes: number) =>
    Array.from({ length: amount }, (_, i) => ({
      time: from + BigInt(i * everyMinutes) * 60_000_000n,
      model: ['a', 'b', "c'\\", 'd', 'e'][i % 5]!,
      region: i % 3 === 0 ? null : `r${i % 2}`,
      user_id: i % 11 === 0 ? null : BigInt((i * 7919) % 97),
      latency_ms: i % 13 === 0 ? null : (i * 37) % 101,
      cost: i % 7 === 0 ? null : `${(i * 31) % 50}.50`,
      tags: i % 2 === 0 ? { kept: i % 4 === 0, kind: `k${i % 6}` } : null,
    }))

  async function refresh(): Promise<void> {
    for (const version of await readVersions(fixture.test.db, requests))
      await refreshVersion(context, version)
  }

  beforeAll(async () => {
    fixture = await createFixture()
    const { db } = fixture.test
    await migrate(db, [requests, models])
    await query(`insert into metrics.models values ('a', 'first'), ('b', 'second')`)
    await migrateAggregates(db, [everything, daily])
    context = { db, tiers: [createHotTier()], clock: fixture.clock, limits: queryLimits() }
    await fixture.writer.insert(requests, rows(startedAt, 900, 4))
  })
  afterAll(() => fixture.drop())

  let before: readonly (readonly unknown[])[]
  const close = (value: unknown) => (typeof value === 'number' ? Number(value.toPrecision(12)) : value)
  const comparable = (given: typeof before) => given.map((row) => row.map(close))

  it('shows every row before anything was refreshed', async () => {
    before = await all()
    const [sums] = await query('select sum(n)::int8, count(distinct bucket) from stats.everything')
    const [expected] =
      await query(`select count(*), count(distinct date_trunc('hour', time)) from metrics.requests
      where model in ('a', 'b', 'c''\\') or tags -> 'kept' = 'true'`)
    expect(sums).toEqual(expected)
    const [checked] = await query(`select count(*) from stats.everything as s where exists (
      select from (
        select count(*) as n, sum(latency_ms) as total, sum(cost) as money, avg(cost) as mean_cost, min(latency_ms) as least,
          stddev(latency_ms)::float8 as spread, count(distinct tags ->> 'kind') as kinds
        from metrics.requests
        where time >= s.bucket and time < s.bucket + interval '1 hour'
          and model = s.model and region is not distinct from s.region
          and (model in ('a', 'b', 'c''\\') or tags -> 'kept' = 'true')
      ) as r
      where (r.n, r.total, r.money, r.mean_cost, r.least, r.kinds)
        is not distinct from (s.n, s.total, s.money, s.mean_cost, s.least, s.kinds)
        and (r.spread is null) = (s.spread is null) and coalesce(abs(r.spread - s.spread) < 1e-9, true)
    )`)
    expect(checked).toEqual([BigInt(before.length)])
    expect(before.length).toBeGreaterThan(100)
  })

  it('shows the same after a refresh, from cells', async () => {
    await refresh()
    const after = await all()
    expect(comparable(after)).toEqual(comparable(before))
    const { columns } = await fixture.test.db.query(raw('select * from stats.everything limit 0'))
    for (const name of ['top', 'top_state', 'top_users', 'grown', 'moved', 'held', 'sloped'])
      expect(
        after.some((row) => row[columns.indexOf(name)] !== null),
        name,
      ).toBe(true)
    const plan = await fixture.test.db.transaction({ mode: 'read committed' }, async (connection) => {
      await connection.execute('set local enable_seqscan = off; set local enable_bitmapscan = off')
      const { rows } = await connection.query(
        raw(`explain select n from stats.everything where bucket >= '2026-10-26'`),
      )
      return rows.flat() as string[]
    })
    const at = plan.findIndex((line) => line.includes('Index Scan using stats_everything_1_'))
    expect(plan.slice(at, at + 2).join(' '), plan.join('\n')).toMatch(/Index Cond: \(bucket >= '2026-10-26/)
  })

  it('is right at once after late rows, changes and deletes, and within the transaction that writes', async () => {
    const total = async (run = query) => (await run('select sum(n)::int8 from stats.everything'))[0]![0]
    const raws = async () =>
      (
        await query(`select count(*) from metrics.requests
        where model in ('a', 'b', 'c''\\') or tags -> 'kept' = 'true'`)
      )[0]![0]
    await fixture.writer.insert(requests, rows(startedAt + 3_600_000_000n, 40, 1))
    expect(await total()).toBe(await raws())
    await query(
      `delete from metrics.requests where time >= '2026-10-25T10:00Z' and time < '2026-10-25T11:30Z'`,
    )
    expect(await total()).toBe(await raws())
    await fixture.test.db.transaction({ mode: 'read committed' }, async (connection) => {
      const seen = async (text: string) => (await connection.query(raw(text))).rows
      const held = (await total(seen)) as bigint
      await seen(
        `insert into metrics.requests (time, model) values ('2026-10-24T02:30Z', 'a'), ('2026-10-26T02:30Z', 'b')`,
      )
      expect(await total(seen)).toBe(held + 2n)
    })
    expect(await total()).toBe(await raws())
    const seen = await all()
    expect(comparable(seen)).not.toEqual(comparable(before))
    await refresh()
    expect(await total()).toBe(await raws())
    expect(comparable(await all())).toEqual(comparable(seen))
  })

  it('states of many cells are merged and finished in SQL', async () => {
    const [merged] = await query(`select
        tidemark.uniques(tidemark.rollup_uniques(users_state)),
        tidemark.count_distinct(tidemark.rollup_count_distinct(kinds_state)),
        tidemark.histogram_counts(tidemark.rollup_histogram(shape_state)),
        tidemark.percentile(tidemark.rollup_percentile(p95_state), 1)
      from stats.everything`)
    const [expected] = await query(`select
        count(distinct user_id), count(distinct tags ->> 'kind'),
        array[
          count(*) filter (where latency_ms < 10), count(*) filter (where latency_ms >= 10 and latency_ms < 20),
          count(*) filter (where latency_ms >= 20 and latency_ms < 50), count(*) filter (where latency_ms >= 50)
        ],
        max(latency_ms)
      from metrics.requests where model in ('a', 'b', 'c''\\') or tags -> 'kept' = 'true'`)
    expect(merged).toEqual(expected)
  })

  it('days of a zone are right over the night in which clocks are set back', async () => {
    const expected =
      await query(`select date_trunc('day', time, 'Europe/Berlin'), count(*), count(distinct user_id)
      from metrics.requests group by 1 order by 1`)
    expect(await query('select bucket, n, users from stats.daily order by 1')).toEqual(expected)
    await query(
      `insert into metrics.requests (time, model) values ('2026-10-25T22:59:59Z', 'z'), ('2026-10-25T23:00Z', 'z')`,
    )
    const now =
      await query(`select date_trunc('day', time, 'Europe/Berlin'), count(*), count(distinct user_id)
      from metrics.requests group by 1 order by 1`)
    expect(now).not.toEqual(expected)
    expect(await query('select bucket, n, users from stats.daily order by 1')).toEqual(now)
  })

  it('columns of plain tables are those of now', async () => {
    await query(`update metrics.models set vendor = 'other' where id = 'a'`)
    expect(await query(`select distinct model, vendor from stats.everything order by 1`)).toEqual([
      ['a', 'other'],
      ['b', 'second'],
      ["c'\\", null],
      ['d', null],
      ['e', null],
    ])
  })

  it('opens only chunks in which something is not valid', async () => {
    await refresh()
    await query(`insert into metrics.requests (time, model) values ('2026-10-25T01:30Z', 'a')`)
    const lines = (
      await query('explain (analyze, costs off, timing off) select count(*) from stats.daily')
    ).flat() as string[]
    const scans = lines.filter((line) => /on requests_|on metrics_requests_/.test(line) && /Scan/.test(line))
    expect(scans.length, lines.join('\n')).toBeGreaterThan(2)
    expect(scans.filter((line) => !line.includes('never executed')).length, lines.join('\n')).toBeLessThan(
      scans.length,
    )
  })

  it('of days in the lake it shows what was refreshed, and late rows there when they are refreshed', async () => {
    const day = `bucket >= '2026-10-24' and bucket < '2026-10-25'`
    const sums = async () =>
      (await query(`select count(*), sum(n)::int8, max(p95) from stats.everything where ${day}`))[0]
    await refresh()
    const held = await sums()
    await fixture.lifecycle.freeze(requests, { olderThan: parseInstant('2026-10-25T00:00:00Z') })
    expect(
      await query(`select count(*) from metrics.requests where time >= '2026-10-24' and time < '2026-10-25'`),
    ).toEqual([[0n]])
    expect(await sums()).toEqual(held)
    await query(`insert into metrics.requests (time, model) values ('2026-10-24T02:30Z', 'a')`)
    expect(await sums()).toEqual(held)
  })
})
