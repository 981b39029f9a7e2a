// A dashboard of ten panels, 30 days by hour, over 100 M rows that were imported cold: from continuous aggregates, from results that
// are kept, from the summaries of files, from rows; DuckDB by hand over the same files, and plain PostgreSQL over a tenth of the rows.
// Then the same dashboard as its window slides, with newer rows in PostgreSQL. --rows N takes another number of rows: of hosts, in truth.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import {
  avg,
  continuousAggregate,
  count,
  createTidemark,
  defineConfig,
  max,
  percentile,
} from '../../dist/index.js'
import { plainTableSql } from '../cpu-table.mjs'
import {
  assertAlike,
  duckdbOf,
  p95OfAll,
  panels,
  postgresOf,
  queryOf,
  valuesOf,
} from '../dashboard-panels.mjs'
import { interleave, markdownTable, ms, processorTime, text } from '../harness.mjs'
import {
  clock,
  cpuHypertable,
  filesOf,
  openFilesByHand,
  openWithColdTier,
  sum,
  withFolder,
} from '../lake.mjs'
import { makeCpu } from '../load-data.mjs'
import { rowCount, startMs, tsbsCopyText, tsbsDefaults } from '../tsbs.mjs'

export const about =
  'ten panels, 30 days by hour: from aggregates, kept results, summaries, rows; and as the window slides'

const cpu = cpuHypertable('cpu')
const means = ['usage_user', 'usage_system', 'usage_iowait', 'usage_nice', 'usage_irq', 'usage_softirq']
/** Of hosts, and from it of all of them: the coarser one answers what is not asked by host. */
const byHost = continuousAggregate('bench.cpu_by_host', {
  from: cpu,
  bucket: '1 hour',
  by: ['hostname'],
  select: {
    n: count(),
    top: max('usage_system'),
    p95: percentile('usage_user', 0.95),
    ...Object.fromEntries(means.map((name) => [name, avg(name)])),
  },
})
const hourly = continuousAggregate('bench.cpu_hourly', {
  from: byHost,
  bucket: '1 hour',
  select: Object.fromEntries(['n', 'top', 'p95', ...means].map((name) => [name, name])),
})

const days = 30
const dayMs = 86_400_000
const hourMs = 3_600_000
const isoOf = (millis) => new Date(millis).toISOString()
const month = { from: isoOf(startMs), to: isoOf(startMs + days * dayMs) }
/** Hours after the month whose rows are in PostgreSQL, for the window to slide over. */
const hotHours = 2
/** 10 M rows: with 100 M, each round of PostgreSQL alone would take minutes. */
const mostPlainHosts = 40

export async function run({ db, connectionString, rounds = 31, quick, rows }) {
  const asked = rows ?? (quick ? 2_000_000 : 100_000_000)
  const hosts = Math.max(6, Math.round(asked / rowCount({ ...tsbsDefaults, hosts: 1, days })))
  const set = { ...tsbsDefaults, hosts, days }
  const plainSet = { ...set, hosts: Math.min(hosts, mostPlainHosts) }
  return withFolder(async (dir) => {
    const lake = { dir: join(dir, 'lake') }
    const open = (datasets, memory) =>
      createTidemark(defineConfig({ datasets, lake, cache: { memory } }), { connectionString, clock })
    const withCells = await open([cpu, byHost, hourly], 0)
    const kept = await open([cpu, byHost, hourly], '256MB')
    const withSummaries = await open([cpu], 0)
    const fromRows = openWithColdTier(defineConfig({ datasets: [cpu], lake }), connectionString, {
      useSummaries: false,
    })
    const engines = { withCells, kept, withSummaries, fromRows }
    let byHand = null
    try {
      await withCells.migrate()
      const load = await fillAll({ db, tm: withCells, connectionString, dir, set, plainSet })
      const files = await filesOf(db, cpu)
      byHand = await openFilesByHand(files.map(({ path }) => join(lake.dir, path)))
      const isComparable = plainSet.hosts === hosts
      await checkAnswers({ db, engines, byHand, isComparable })
      const spent = await processorTime(db)
      const whole = await measureWhole({ db, engines, byHand, spent, rounds, quick })
      const sliding = await measureSliding({ engines, spent, rounds, hosts })
      const plainRows = rowCount(plainSet)
      console.log(`\nplain PostgreSQL has ${plainRows.toLocaleString('en')} rows of these`)
      for (const [name, timings] of Object.entries({ ...whole, sliding }))
        console.log(`\n${name}\n${table(timings)}`)
      return { rows: rowCount(set), plainRows, files: files.length, load, ...whole, sliding }
    } finally {
      byHand?.close()
      await fromRows.close()
      for (const tm of [withCells, kept, withSummaries]) await tm.close()
    }
  })
}

/** Days that hold the same walk, each later than the one before, imported cold by two commands at once. */
async function fillAll({ db, tm, connectionString, dir, set, plainSet }) {
  console.log(`  making ${rowCount(set).toLocaleString('en')} rows: ${set.hosts} hosts, ${days} days`)
  const spentMs = {}
  const timed = async (name, work) => {
    const startedAt = performance.now()
    await work()
    spentMs[name] = performance.now() - startedAt
    console.log(`  ${name}: ${(spentMs[name] / 1000).toFixed(1)} s`)
  }
  const day = { ...set, days: 1 }
  const { parquet } = await makeCpu(dir, day)
  const orders = {
    table: cpu.table,
    connectionString,
    dir,
    parquet,
    blockMs: dayMs,
    blockRows: rowCount(day),
  }
  const numbers = Array.from({ length: days }, (_, i) => i)
  await timed('import --cold, two at once', () =>
    Promise.all(
      [0, 1].map((lane) =>
        fillLane({ ...orders, blocks: numbers.filter((i) => i % 2 === lane), isKept: false }),
      ),
    ),
  )
  const newest = join(dir, 'newest.parquet')
  await writeNewest(parquet, newest)
  await timed('the newest hours, hot', () => tm.import(cpu.name, newest))
  await db.execute('vacuum analyze bench.cpu')
  await timed('refresh by host', () => tm.refresh(byHost.name))
  await timed('refresh of all hosts, from it', () => tm.refresh(hourly.name))
  await timed('plain table', () => fillPlain(db, plainSet))
  await db.execute('vacuum analyze')
  const [{ n }] = (await tm.query(cpu, { ...month, select: { n: count() } })).rows
  if (Number(n) !== rowCount(set)) throw new Error(`${n} rows, expected ${rowCount(set)}`)
  const files = await filesOf(db, cpu)
  return { spentMs, fileBytes: sum(files, ({ bytes }) => bytes) }
}

async function fillLane(orders) {
  const child = fork(fileURLToPath(new URL('../fill-child.mjs', import.meta.url)), [JSON.stringify(orders)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`making days ended with ${code}`)
}

async function writeNewest(parquet, file) {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const later = BigInt(days * dayMs) * 1000n
  const end = BigInt(startMs + hotHours * hourMs) * 1000n
  await connection.run(`
    copy (
      select * replace (make_timestamptz(epoch_us(time) + ${later}) as time)
      from read_parquet('${parquet}') where epoch_us(time) < ${end}
    ) to '${file}' (format parquet, compression snappy)`)
  connection.closeSync()
  instance.closeSync()
}

async function fillPlain(db, plainSet) {
  await db.execute(`${plainTableSql('bench.plain', [])}; create table bench.plain_day (like bench.plain)`)
  await db.withConnection((connection) =>
    connection.copyFrom(text('copy bench.plain_day from stdin'), tsbsCopyText({ ...plainSet, days: 1 })),
  )
  for (let i = 0; i < days; i++)
    await db.execute(`
      insert into bench.plain
      select (time + interval '${i * 24} hours'), ${Object.keys(cpu.columns).slice(1)} from bench.plain_day`)
  await db.execute(`
    create index on bench.plain (hostname, time); create index on bench.plain (time); drop table bench.plain_day`)
}

async function checkAnswers({ db, engines, byHand, isComparable }) {
  const questions = { ...panels, 'p95 of all': p95OfAll }
  for (const [name, panel] of Object.entries(questions)) {
    const bucket = panel === p95OfAll ? null : '1 hour'
    const answers = {
      'DuckDB by hand': valuesOf(panel, await byHand.query(duckdbOf(panel, month, byHand.from, bucket))),
    }
    // the second answer of the one that keeps results is from them
    for (const [engine, tm] of [...Object.entries(engines), ['kept, again', engines.kept]])
      answers[engine] = valuesOf(panel, (await tm.query(cpu, queryOf(panel, month, bucket))).rows)
    if (isComparable) {
      const { rows } = await db.query(text(postgresOf(panel, month, 'bench.plain', bucket)))
      answers['plain PostgreSQL'] = valuesOf(panel, rows)
    }
    assertAlike(name, panel, answers)
  }
}

/** Whole hours, all of them settled. The last contender is the one that the others are compared with. */
async function measureWhole({ db, engines, byHand, spent, rounds, quick }) {
  const { withCells, kept, withSummaries, fromRows } = engines
  const all = Object.values(panels)
  const ask = (tm) => Promise.all(all.map((panel) => tm.query(cpu, queryOf(panel, month))))
  const handAsk = async () => {
    for (const panel of all) await byHand.query(duckdbOf(panel, month, byHand.from))
  }
  const plainAsk = () =>
    Promise.all(all.map((panel) => db.query(text(postgresOf(panel, month, 'bench.plain')))))
  const slow = { rounds: Math.min(rounds, quick ? 5 : 3), spent }
  const dashboard = await interleave(
    {
      aggregates: () => ask(withCells),
      'kept results': () => ask(kept),
      'summaries of files': () => ask(withSummaries),
      'rows in files': () => ask(fromRows),
      'DuckDB by hand': handAsk,
      'plain PostgreSQL': plainAsk,
    },
    slow,
  )
  const p95 = async (panel, bucket) => {
    const query = queryOf(panel, month, bucket)
    return interleave(
      {
        aggregates: () => withCells.query(cpu, query),
        'kept results': () => kept.query(cpu, query),
        'summaries of files': () => withSummaries.query(cpu, query),
        'rows in files': () => fromRows.query(cpu, query),
        'DuckDB by hand': () => byHand.query(duckdbOf(panel, month, byHand.from, bucket)),
        'plain PostgreSQL': () => db.query(text(postgresOf(panel, month, 'bench.plain', bucket))),
      },
      slow,
    )
  }
  const fast = await interleave(
    { 'kept results': () => ask(kept), aggregates: () => ask(withCells) },
    { rounds, maxMs: 30_000, spent },
  )
  return {
    'ten panels, whole hours': dashboard,
    'the same, more rounds': fast,
    'p95 by hour': await p95(panels.p95, '1 hour'),
    'p95 of 30 days, one number': await p95(p95OfAll, null),
  }
}

/** The window of a round ends ten seconds later than that of the round before, among rows that are in PostgreSQL. */
function measureSliding({ engines: { withCells, kept }, spent, rounds, hosts }) {
  const endOf = (round) => startMs + days * dayMs + hourMs + 600_000 + round * 10_000
  const slid = (round) => ({ from: isoOf(endOf(round) - days * dayMs), to: isoOf(endOf(round)) })
  const fromHour = (round) => ({ from: isoOf(startMs + hourMs), to: isoOf(endOf(round)) })
  const ask = (tm, range) =>
    Promise.all(Object.values(panels).map((panel) => tm.query(cpu, queryOf(panel, range))))
  const newRow = (round) => ({
    time: new Date(endOf(round) - 1 - round),
    hostname: `host_${round % hosts}`,
    ...Object.fromEntries(
      Object.keys(cpu.columns)
        .slice(2)
        .map((name) => [name, 1]),
    ),
  })
  return interleave(
    {
      'kept results, from a whole hour on': (round) => ask(kept, fromHour(round)),
      'the same, a row written before': {
        before: (round) => kept.insert(cpu, [newRow(round)]),
        run: (round) => ask(kept, fromHour(round)),
      },
      'kept results, both ends within an hour': (round) => ask(kept, slid(round)),
      'aggregates, from a whole hour on': (round) => ask(withCells, fromHour(round)),
      'aggregates, both ends within an hour': (round) => ask(withCells, slid(round)),
    },
    { rounds, maxMs: 60_000, spent },
  )
}

/** How many times as fast as the last one; processor time of server and client together. */
function table(timings) {
  const entries = Object.entries(timings)
  const [, last] = entries.at(-1)
  return markdownTable(
    ['', 'median', 'least', 'processor', 'times as fast as the last'],
    entries.map(([name, { median, least, processorMs }]) => [
      name,
      ms(median),
      ms(least),
      ms(processorMs),
      `${(last.median / median).toFixed(1)}x`,
    ]),
  )
}
