// What is kept of results, over TSBS rows: a day of 100 hosts by hour, asked again; a dashboard whose window slides by ten seconds;
// the same while rows are written; what the cache costs a query that it is of no use to. Beside it the same engine without the
// cache, and plain SQL.
import { avg, count, createTidemark, defineConfig, hypertable, max, percentile } from '../../dist/index.js'
import { cpuColumns } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, processorTime, text } from '../harness.mjs'
import { fill } from '../lake.mjs'
import { startMs, tsbsDefaults } from '../tsbs.mjs'

export const about = 'whole buckets that are kept: the same question again, and a window that slides'

const cpu = hypertable('bench.cpu', {
  columns: cpuColumns,
  time: 'time',
  chunk: '12 hours',
  indexes: [['hostname', 'time'], ['time']],
})
const day = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }
const byHost = { bucket: '1 hour', by: ['hostname'] }

const panels = [
  { by: [], select: { n: count() } },
  { by: [], select: { mean: avg('usage_user') } },
  { by: [], select: { p95: percentile('usage_user', 0.95) } },
  { by: [], select: { top: max('usage_system'), mean: avg('usage_system') } },
  { by: [], select: { mean: avg('usage_iowait') } },
  { by: [], where: { hostname: 'host_1' }, select: { top: max('usage_user') } },
  { by: [], where: { hostname: 'host_2' }, select: { p95: percentile('usage_idle', 0.95) } },
  {
    by: ['hostname'],
    where: { hostname: { in: ['host_1', 'host_2', 'host_3'] } },
    select: { mean: avg('usage_user') },
  },
  { by: [], select: { a: avg('usage_nice'), b: avg('usage_irq'), c: avg('usage_softirq') } },
  {
    by: ['hostname'],
    where: { hostname: { in: ['host_4', 'host_5'] } },
    select: { top: max('usage_guest') },
  },
]

export async function run({ db, connectionString, rounds = 31, quick }) {
  const set = { ...tsbsDefaults, ...(quick ? { hosts: 20, days: 1 } : {}) }
  const engine = (memory) =>
    createTidemark(defineConfig({ datasets: [cpu], cache: { memory } }), { connectionString })
  const cached = await engine('64MB')
  const anew = await engine(0)
  try {
    await cached.migrate()
    await fill(db, cached, cpu, set)
    await db.execute('vacuum analyze')
    const spent = await processorTime(db)

    const query = { ...day, ...byHost, select: { top: max('usage_user') } }
    const once = await interleave(
      {
        'kept: 24 h x hosts by hour': () => cached.query(cpu, query),
        'kept: five aggregates, p95 among them': () =>
          cached.query(cpu, {
            ...day,
            ...byHost,
            select: {
              n: count(),
              a: avg('usage_user'),
              b: max('usage_system'),
              c: max('usage_idle'),
              p95: percentile('usage_user', 0.95),
            },
          }),
        'kept: 24 h by hour, one group': () =>
          cached.query(cpu, { ...day, bucket: '1 hour', select: { top: max('usage_user') } }),
        'no bucket, so nothing is kept, with the cache': () =>
          cached.query(cpu, { ...day, where: { hostname: 'host_1' }, select: { n: count() } }),
        'no bucket, without it': () =>
          anew.query(cpu, { ...day, where: { hostname: 'host_1' }, select: { n: count() } }),
        'a round trip: select 1': () => db.query(text('select 1')),
        'anew: 24 h x hosts by hour': () => anew.query(cpu, query),
        'plain group by': () =>
          db.query(
            text(`select date_bin('1 hour', time, '2000-01-03Z') as bucket, hostname, max(usage_user) as top
                  from bench.cpu where time >= '${day.from}' and time < '${day.to}' group by 1, 2 order by 1, 2`),
          ),
      },
      { rounds, maxMs: 60_000, spent },
    )

    const hours = set.days * 24
    /** The window of a round: whole hours but for its ends, ten seconds further each time. */
    const window = (round) => {
      const to = startMs + (hours - 1) * 3_600_000 + round * 10_000
      return { from: new Date(to - (hours - 3) * 3_600_000), to: new Date(to), bucket: '1 hour' }
    }
    const dashboard = (tm, at) => Promise.all(panels.map((panel) => tm.query(cpu, { ...at, ...panel })))
    const wholeHours = (round) => ({ ...window(round), from: day.from })
    const slide = await interleave(
      {
        '10 panels, slid by 10 s': (round) => dashboard(cached, window(round)),
        '10 panels, slid, from a whole hour on': (round) => dashboard(cached, wholeHours(round)),
        '10 panels, whole hours': () => dashboard(cached, { ...day, bucket: '1 hour' }),
        'the same with a row written before': {
          before: (round) => cached.insert(cpu, [newRow(window(round).to, round)]),
          run: (round) => dashboard(cached, wholeHours(round)),
        },
        '10 panels anew': (round) => dashboard(anew, window(round)),
      },
      { rounds: Math.min(rounds, 15), maxMs: 60_000, spent },
    )
    const tables = { once, slide }
    for (const [name, timings] of Object.entries(tables)) console.log(`\n${name}\n${table(timings)}`)
    const kept = cached.resultsCache
    console.log(`\nkept: ${kept.buckets} buckets, about ${(kept.bytes / 2 ** 20).toFixed(1)} MiB`)
    return { set, ...tables, kept }
  } finally {
    await cached.close()
    await anew.close()
  }
}

function newRow(time, round) {
  const values = Object.keys(cpuColumns).slice(2)
  return {
    time: new Date(time.getTime() - 1000 - round),
    hostname: 'host_1',
    ...Object.fromEntries(values.map((name) => [name, 1])),
  }
}

/** Ratios to the last one; processor time of server and client together. */
function table(timings) {
  const entries = Object.entries(timings)
  const [, last] = entries.at(-1)
  return markdownTable(
    ['', 'median', 'least', 'processor', 'of the last'],
    entries.map(([name, { median, least, processorMs }]) => [
      name,
      ms(median),
      ms(least),
      ms(processorMs),
      (median / last.median).toFixed(3),
    ]),
  )
}
