// What tm.query() adds to the statements that it runs: parsing, planning, the snapshot, merging, forming the answer.
import { createChunkManager, withReadSnapshot } from '../../dist/hot/index.js'
import { avg, count, createTidemark, defineConfig, hypertable, max } from '../../dist/index.js'
import { applyPartitionPolicies } from '../../dist/migrate/index.js'
import { parseQuery } from '../../dist/query/index.js'
import { systemClock } from '../../dist/time/index.js'
import { cpuColumns } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, summarize, text } from '../harness.mjs'
import { startMs, tsbsCopyText, tsbsDefaults, usages } from '../tsbs.mjs'

export const about = 'milliseconds of a query that are not spent in its statements'

const cpu = hypertable('bench.cpu', {
  columns: cpuColumns,
  time: 'time',
  chunk: '12 hours',
  indexes: [['hostname', 'time'], ['time']],
})
const columns = ['time', 'hostname', ...usages]
const hour = { from: '2026-01-01T06:00:00Z', to: '2026-01-01T07:00:00Z' }
const day = { from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }

const queries = {
  'one number, one host, one hour': {
    ...hour,
    where: { hostname: 'host_7' },
    select: { top: max('usage_user') },
  },
  'one host, one hour by minute': {
    ...hour,
    bucket: '1 minute',
    where: { hostname: 'host_7' },
    select: { top: max('usage_user') },
  },
  'ten averages, one host, one day by hour': {
    ...day,
    bucket: '1 hour',
    where: { hostname: 'host_7' },
    select: Object.fromEntries(usages.map((name) => [name, avg(name)])),
  },
  '100 rows of one host': { ...hour, where: { hostname: 'host_7' }, columns, limit: 100 },
  'newest row of one host': { latestBy: ['hostname'], where: { hostname: 'host_7' }, columns },
  'every host, one day by hour': { ...day, bucket: '1 hour', by: ['hostname'], select: { n: count() } },
}

export async function run({ db, connectionString, rounds = 200, quick }) {
  const set = { ...tsbsDefaults, ...(quick ? { hosts: 20, days: 1 } : {}) }
  const tm = await createTidemark(defineConfig({ datasets: [cpu] }), { connectionString })
  try {
    await tm.migrate()
    const times = Array.from({ length: set.days * 2 }, (_, i) => BigInt(startMs + i * 43_200_000) * 1000n)
    await createChunkManager({ db, applyPolicies: applyPartitionPolicies }).ensureChunks(cpu, times)
    await db.withConnection((connection) =>
      connection.copyFrom(text('copy bench.cpu from stdin'), tsbsCopyText(set)),
    )
    await db.execute('vacuum analyze bench.cpu')
    const results = []
    for (const [name, query] of Object.entries(queries)) {
      const spent = { total: [], read: [], plan: [], merge: [] }
      const timing = await interleave(
        {
          query: async (round) => {
            const startedAt = performance.now()
            const { plan } = await tm.query(cpu, query)
            if (round === 0) return
            spent.total.push(performance.now() - startedAt)
            for (const stage of ['read', 'plan', 'merge']) spent[stage].push(plan.ms[stage])
          },
          snapshot: () => withReadSnapshot(db, { timeoutMs: 30_000, dataset: cpu }, async () => {}),
          parse: () => parseQuery(query, { dataset: cpu, clock: systemClock }),
        },
        { rounds, maxMs: 20_000 },
      )
      const stages = Object.fromEntries(Object.entries(spent).map(([key, list]) => [key, summarize(list)]))
      results.push({ name, ...stages, snapshot: timing.snapshot, parse: timing.parse })
      console.log(line(results.at(-1)))
    }
    console.log(`\n${table(results)}`)
    return { set, results }
  } finally {
    await tm.close()
  }
}

const outside = ({ total, read }) => total.median - read.median

/** For docs/benchmarks.md. */
export function table(results) {
  return markdownTable(
    [
      'query',
      'whole, ms',
      'its statements',
      'snapshot and COMMIT',
      'parse',
      'plan',
      'merge and finish',
      'outside of statements',
    ],
    results.map((one) => [
      one.name,
      ...[one.total, one.read, one.snapshot, one.parse, one.plan, one.merge].map(({ median }) =>
        fine(median),
      ),
      `${fine(outside(one))} (${((outside(one) / one.total.median) * 100).toFixed(0)} %)`,
    ]),
  )
}

const fine = (value) => (value < 1 ? value.toFixed(3) : ms(value))

function line(one) {
  const share = ((outside(one) / one.total.median) * 100).toFixed(0)
  return `  ${one.name.padEnd(42)} ${fine(one.total.median)} ms, statements ${fine(one.read.median)}, snapshot ${fine(one.snapshot.median)}, outside ${fine(outside(one))} (${share} %)`
}
