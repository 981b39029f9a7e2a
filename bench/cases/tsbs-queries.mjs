// TSBS cpu-only queries: tm.query() over a hypertable against the SQL that one writes by hand over a plain table.
import { createChunkManager } from '../../dist/hot/index.js'
import { avg, createTidemark, defineConfig, hypertable, max, t } from '../../dist/index.js'
import { applyPartitionPolicies } from '../../dist/migrate/index.js'
import { interleave, markdownTable, ms, text } from '../harness.mjs'
import { createRandom, rowCount, startMs, tsbsCopyText, tsbsDefaults, usages } from '../tsbs.mjs'

export const about =
  'TSBS cpu-only queries, a hypertable through tm.query() against hand-written SQL on a plain table'

const hourMs = 3_600_000
const columns = ['time', 'hostname', ...usages]

const cpu = hypertable('bench.cpu', {
  columns: {
    time: t.timestamptz(),
    hostname: t.text(),
    ...Object.fromEntries(usages.map((name) => [name, t.float8()])),
  },
  time: 'time',
  chunk: '12 hours',
  indexes: [['hostname', 'time'], ['time']],
})

export async function run({ db, connectionString, rounds, quick }) {
  const set = { ...tsbsDefaults, ...(quick ? { hosts: 20, days: 1 } : {}) }
  const tm = await createTidemark(defineConfig({ datasets: [cpu] }), { connectionString })
  try {
    await load(db, tm, set)
    const results = []
    for (const [name, make] of Object.entries(queries(set))) {
      const shapes = Array.from({ length: 16 }, (_, i) => make(createRandom(i + 1)))
      const at = (round) => shapes[round % shapes.length]
      for (const shape of shapes.slice(0, 3)) await assertSame(name, db, tm, shape)
      const contenders = {
        plain: (round) => db.query(text(at(round).sql)),
        tidemark: (round) => tm.query(cpu, at(round).query),
      }
      // A process that serves has compiled its code and filled PostgreSQL's caches long ago.
      await interleave(contenders, { rounds: 50, maxMs: 1_000 })
      const times = await interleave(contenders, { rounds })
      results.push({ query: name, ...times })
      console.log(line(results.at(-1)))
    }
    console.log(`\n${table(results)}`)
    return { set, results }
  } finally {
    await tm.close()
  }
}

/** For docs/benchmarks.md. */
export function table(results) {
  return markdownTable(
    ['query', 'plain PostgreSQL, ms', 'Tidemark, ms', 'ratio'],
    results.map(({ query, plain, tidemark }) => [
      query,
      ms(plain.median),
      ms(tidemark.median),
      `${(tidemark.median / plain.median).toFixed(2)}x`,
    ]),
  )
}

function line({ query, plain, tidemark }) {
  const shown = ({ median, least }) => `${ms(median)} (least ${ms(least)})`.padEnd(22)
  const ratio = (tidemark.median / plain.median).toFixed(2)
  return `  ${query.padEnd(24)} plain ${shown(plain)} tidemark ${shown(tidemark)} ${ratio}x`
}

async function load(db, tm, set) {
  await tm.migrate()
  await db.execute(`create table bench.plain (
    time timestamptz not null, hostname text not null, ${usages.map((name) => `${name} float8 not null`).join(', ')})`)
  await db.withConnection((connection) =>
    connection.copyFrom(text('copy bench.plain from stdin'), tsbsCopyText(set)),
  )
  await db.execute('create index on bench.plain (hostname, time); create index on bench.plain (time)')
  await db.execute('create table bench.host as select distinct hostname from bench.plain')
  const times = Array.from({ length: set.days * 2 }, (_, i) => BigInt(startMs + i * 12 * hourMs) * 1000n)
  await createChunkManager({ db, applyPolicies: applyPartitionPolicies }).ensureChunks(cpu, times)
  await db.execute('insert into bench.cpu select * from bench.plain')
  for (const name of ['plain', 'cpu', 'host']) await db.query(text(`vacuum analyze bench.${name}`))
  const { rows } = await db.query(
    text('select (select count(*) from bench.cpu), (select count(*) from bench.plain)'),
  )
  const [inHypertable, inPlain] = rows[0].map(Number)
  if (inHypertable !== rowCount(set) || inPlain !== rowCount(set))
    throw new Error(`expected ${rowCount(set)} rows, found ${inHypertable} and ${inPlain}`)
  console.log(`  ${inPlain} rows, ${set.hosts} hosts, ${set.days} days`)
}

/** What `tsbs_generate_queries --use-case=cpu-only` asks, each a function from a random source to one instance. */
function queries(set) {
  const endMs = startMs + set.days * 24 * hourMs
  const range = (random, hours) => {
    const from = startMs + Math.floor(random() * ((endMs - startMs - hours * hourMs) / 1000)) * 1000
    return { from: new Date(from).toISOString(), to: new Date(from + hours * hourMs).toISOString() }
  }
  const someHosts = (random, count) => {
    const hosts = new Set()
    while (hosts.size < count) hosts.add(`host_${Math.floor(random() * set.hosts)}`)
    return [...hosts]
  }
  const select = (fn, count) => Object.fromEntries(usages.slice(0, count).map((name) => [name, fn(name)]))
  const sqlList = (fn, count) => usages.slice(0, count).map((name) => `${fn}(${name})`)
  const within = ({ from, to }) => `time >= '${from}' and time < '${to}'`
  const oneOf = (hosts) => `hostname in (${hosts.map((host) => `'${host}'`)})`

  const singleGroupby = (metrics, hostCount, hours, bucket, unit) => (random) => {
    const [asked, hosts] = [range(random, hours), someHosts(random, hostCount)]
    return {
      query: { ...asked, bucket, where: { hostname: { in: hosts } }, select: select(max, metrics) },
      sql: `
        select date_trunc('${unit}', time) as bucket, ${sqlList('max', metrics)}
        from bench.plain where ${oneOf(hosts)} and ${within(asked)}
        group by bucket order by bucket`,
    }
  }
  const doubleGroupby = (metrics) => (random) => {
    const asked = range(random, 12)
    return {
      query: { ...asked, bucket: '1 hour', by: ['hostname'], select: select(avg, metrics) },
      sql: `
        select date_trunc('hour', time) as hour, hostname, ${sqlList('avg', metrics)}
        from bench.plain where ${within(asked)}
        group by hour, hostname order by hour, hostname`,
    }
  }
  const highCpu = (hostCount) => (random) => {
    const [asked, hosts] = [range(random, 12), hostCount > 0 ? someHosts(random, hostCount) : null]
    return {
      query: {
        ...asked,
        where: { usage_user: { gt: 90 }, ...(hosts ? { hostname: { in: hosts } } : {}) },
        columns,
        limit: 100_000,
      },
      sql: `
        select * from bench.plain
        where usage_user > 90.0 and ${within(asked)} ${hosts ? `and ${oneOf(hosts)}` : ''}`,
    }
  }
  return {
    'single-groupby-1-1-1': singleGroupby(1, 1, 1, '1 minute', 'minute'),
    'single-groupby-1-1-12': singleGroupby(1, 1, 12, '1 minute', 'minute'),
    'single-groupby-5-8-1': singleGroupby(5, 8, 1, '1 minute', 'minute'),
    'cpu-max-all-8': singleGroupby(10, 8, 8, '1 hour', 'hour'),
    'double-groupby-1': doubleGroupby(1),
    'double-groupby-5': doubleGroupby(5),
    'double-groupby-all': doubleGroupby(10),
    'high-cpu-1': highCpu(1),
    'high-cpu-all': highCpu(0),
    lastpoint: () => ({
      query: { latestBy: ['hostname'], columns },
      sql: `
        select l.* from bench.host h cross join lateral (
          select * from bench.plain p where p.hostname = h.hostname order by time desc limit 1) l`,
    }),
    'groupby-orderby-limit': (random) => {
      const { to } = range(random, 1)
      return {
        query: { to, bucket: '1 minute', select: select(max, 1), order: ['-bucket'], limit: 5 },
        sql: `
          select date_trunc('minute', time) as minute, max(usage_user)
          from bench.plain where time < '${to}'
          group by minute order by minute desc limit 5`,
      }
    },
  }
}

/** A fast wrong answer is no figure: as many rows, and the same sum of all their numbers. */
async function assertSame(name, db, tm, { query, sql }) {
  const answer = await tm.query(cpu, query)
  const { rows } = await db.query(text(sql))
  const sum = (list) =>
    list
      .flatMap((row) => Object.values(row))
      .reduce((total, v) => (typeof v === 'number' ? total + v : total), 0)
  const [ours, theirs] = [sum(answer.rows), sum(rows)]
  const isSame = answer.rows.length === rows.length && Math.abs(ours - theirs) <= 1e-9 * Math.abs(theirs)
  if (!isSame)
    throw new Error(
      `${name}: ${answer.rows.length} rows (${ours}), expected ${rows.length} (${theirs})\n${sql}`,
    )
}
