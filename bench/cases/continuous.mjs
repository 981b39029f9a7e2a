// Continuous aggregates over TSBS rows that are hot, beside what one would do by hand in PostgreSQL: a materialized view, and the plain
// GROUP BY. How long until a late row is right, what it costs to find that there is nothing to do, and a day of 100 hosts by hour.
import pg from 'pg'
import {
  avg,
  continuousAggregate,
  count,
  createTidemark,
  defineConfig,
  hypertable,
  max,
  percentile,
} from '../../dist/index.js'
import { cpuColumns } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, text } from '../harness.mjs'
import { fill } from '../lake.mjs'
import { tsbsDefaults } from '../tsbs.mjs'

export const about = 'refresh of hourly aggregates, late rows, and queries from cells'

const cpu = hypertable('bench.cpu', {
  columns: cpuColumns,
  time: 'time',
  chunk: '12 hours',
  indexes: [['hostname', 'time'], ['time']],
})
const hourly = continuousAggregate('bench.cpu_hourly', {
  from: cpu,
  bucket: '1 hour',
  by: ['hostname'],
  select: { n: count(), top: max('usage_user'), mean: avg('usage_user') },
})
const sketched = continuousAggregate('bench.cpu_sketched', {
  from: cpu,
  bucket: '1 hour',
  by: ['hostname'],
  select: { p95: percentile('usage_user', 0.95) },
})
const day = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }
const byHour = { ...day, bucket: '1 hour', by: ['hostname'] }
const viewSql = `
  select date_bin('1 hour', time, '2000-01-03Z') as bucket, hostname, count(*) as n, max(usage_user) as top, avg(usage_user) as mean
  from bench.cpu group by 1, 2`
const rangeSql = `time >= '${day.from}' and time < '${day.to}'`

export async function run({ db, connectionString, rounds = 31, quick }) {
  const set = { ...tsbsDefaults, ...(quick ? { hosts: 20, days: 1 } : {}) }
  const datasets = [cpu, hourly, sketched]
  // results that are kept are another case
  const tm = await createTidemark(defineConfig({ datasets, cache: { memory: 0 } }), { connectionString })
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await tm.migrate()
    await fill(db, tm, cpu, set)
    await db.execute(`
      create materialized view bench.by_hand as ${viewSql};
      create unique index on bench.by_hand (bucket, hostname)`)
    const whole = {
      from: '2026-01-01T00:00:00Z',
      to: new Date(Date.UTC(2026, 0, 1 + set.days)).toISOString(),
    }
    const refresh = await interleave(
      {
        'hourly: count, max, avg': () => tm.refresh('bench.cpu_hourly', whole),
        'hourly: sketch of one column': () => tm.refresh('bench.cpu_sketched', whole),
        'materialized view by hand': () => db.execute('refresh materialized view bench.by_hand'),
      },
      { rounds: Math.min(rounds, 7), maxMs: 60_000 },
    )
    await tm.refresh('bench.cpu_hourly')
    await tm.refresh('bench.cpu_sketched')
    await db.execute('vacuum analyze')

    const late = (round) => ({
      time: `2026-01-01T07:0${round % 10}:00.${String(round).padStart(6, '0')}Z`,
      hostname: 'host_7',
      ...Object.fromEntries(
        Object.keys(cpuColumns)
          .slice(2)
          .map((name) => [name, 1]),
      ),
    })
    const ask = () => tm.query(cpu, { ...byHour, select: { n: count() } })
    const little = await interleave(
      {
        'nothing to do': () => tm.refresh('bench.cpu_hourly'),
        'a late row is written and asked for, its hour from rows': {
          run: async (round) => {
            await tm.insert(cpu, [late(round)])
            await ask()
          },
          after: () => tm.refresh('bench.cpu_hourly'),
        },
        'a late row is written and refreshed': async (round) => {
          await tm.insert(cpu, [late(round + 100)])
          await tm.refresh('bench.cpu_hourly')
        },
        'materialized view by hand': () => db.execute('refresh materialized view concurrently bench.by_hand'),
      },
      { rounds: Math.min(rounds, 15), maxMs: 60_000 },
    )
    await tm.refresh('bench.cpu_sketched')
    await db.execute('vacuum analyze')

    const queries = await interleave(
      {
        'max, from cells': () => tm.query(cpu, { ...byHour, select: { top: max('usage_user') } }),
        'count and avg, from cells': () =>
          tm.query(cpu, { ...byHour, select: { n: count(), mean: avg('usage_user') } }),
        'p95, from cells': () => tm.query(cpu, { ...byHour, select: { p: percentile('usage_user', 0.95) } }),
        'count and avg of all hosts, from cells': () =>
          tm.query(cpu, { ...byHour, by: [], select: { n: count(), mean: avg('usage_user') } }),
        'materialized view by hand': () =>
          db.query(
            text(
              `select * from bench.by_hand where bucket >= '${day.from}' and bucket < '${day.to}' order by bucket, hostname`,
            ),
          ),
        // what any client pays for these rows: no snapshot, no order, nothing planned
        'the same rows of the view, prepared, by pg': () =>
          client.query({
            name: 'view',
            text: 'select bucket, hostname, top from bench.by_hand where bucket >= $1 and bucket < $2',
            values: [day.from, day.to],
            rowMode: 'array',
          }),
        'plain group by': () =>
          db.query(text(`${viewSql.replace('group by', `where ${rangeSql} group by`)} order by 1, 2`)),
      },
      { rounds, maxMs: 60_000 },
    )

    await tm.freeze('bench.cpu', { all: true })
    await db.execute('vacuum analyze')
    const frozen = await interleave(
      {
        'hourly: count, max, avg': () => tm.refresh('bench.cpu_hourly', whole),
        'hourly: sketch of one column': () => tm.refresh('bench.cpu_sketched', whole),
        'a late row is written and asked for, its hour from rows': {
          run: async (round) => {
            await tm.insert(cpu, [late(round + 200)])
            await ask()
          },
          after: () => tm.refresh('bench.cpu_hourly'),
        },
        'a late row is written and refreshed': async (round) => {
          await tm.insert(cpu, [late(round + 300)])
          await tm.refresh('bench.cpu_hourly')
        },
      },
      // by hand there is nothing to compare: the view is made of what is in PostgreSQL
      { rounds: Math.min(rounds, 7), maxMs: 60_000 },
    )
    const tables = { refresh, little, queries, frozen }
    for (const [name, timings] of Object.entries(tables)) console.log(`\n${name}\n${table(timings)}`)
    return { set, ...tables }
  } finally {
    await client.end()
    await tm.close()
  }
}

/** For docs/benchmarks.md; ratios to the last one. */
export function table(timings) {
  const entries = Object.entries(timings)
  const [, last] = entries.at(-1)
  return markdownTable(
    ['', 'median', 'least', 'of the last'],
    entries.map(([name, { median, least }]) => [
      name,
      ms(median),
      ms(least),
      (median / last.median).toFixed(3),
    ]),
  )
}
