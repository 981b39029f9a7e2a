// What a query costs as the set grows: 2.6 M and 26 M rows as a plain table, hot and cold; 260 M rows cold only. One size a run
// (--rows), results of other sizes are kept, so the table grows as well.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { avg, count, max, sum as total } from '../../dist/index.js'
import { plainTableSql } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, processorTime, readResults, text } from '../harness.mjs'
import {
  bytesInPostgres,
  cpuHypertable,
  filesOf,
  lakeConfig,
  openTidemark,
  openWithColdTier,
  sum,
  withFolder,
} from '../lake.mjs'
import { makeCpu } from '../load-data.mjs'
import { createRandom, rowCount, startMs, tsbsDefaults, usages } from '../tsbs.mjs'
import { assertSame, canonicalAnswer, canonicalRows, tsbsQueries } from '../tsbs-queries.mjs'

export const about = 'the same queries at 2.6 M, 26 M and (cold only) 260 M rows'

const hot = cpuHypertable('cpu_hot')
const cold = cpuHypertable('cpu_cold')
/** Beyond it rows are in the lake only: a table of 260 M rows with two indexes takes 52 GB and half an hour. */
const mostRowsInPostgres = 30_000_000
const dayMs = 86_400_000

export async function run({ db, connectionString, rounds = 21, quick, rows }) {
  const blockDays = quick ? 1 : tsbsDefaults.days
  const block = { ...tsbsDefaults, days: blockDays }
  const asked = rows ?? (quick ? 2 : 1) * rowCount(block)
  const blocks = Math.max(1, Math.round(asked / rowCount(block)))
  const set = { ...block, days: blocks * blockDays }
  const isInPostgres = rowCount(set) <= mostRowsInPostgres
  const startedAt = performance.now()
  const result = await withFolder(async (dir) => {
    const config = lakeConfig([hot, cold], dir)
    const tm = await openTidemark(config, connectionString)
    const without = openWithColdTier(config, connectionString, { useSummaries: false })
    try {
      await tm.migrate()
      const load = await fillAll({ db, tm, connectionString, dir, set, block, blocks, isInPostgres })
      const queries = await measure({ db, tm, without, set, isInPostgres, rounds, quick })
      return { rows: rowCount(set), days: set.days, isInPostgres, load, queries }
    } finally {
      await without.close()
      await tm.close()
    }
  })
  console.log(`  ${Math.round((performance.now() - startedAt) / 1000)} s in all`)
  const sizes = [...(await otherSizes(result.rows)), result].sort((a, b) => a.rows - b.rows)
  console.log(`\n${table(sizes)}\n\n${sizesTable(sizes)}`)
  return { sizes }
}

/** Those that were measured before, by other runs. */
async function otherSizes(rows) {
  const known = await readResults('growth').catch((error) => {
    if (error.code === 'ENOENT') return { sizes: [] }
    throw error
  })
  return known.sizes.filter((each) => each.rows !== rows)
}

/**
 * The set is blocks of three days that hold the same walk, each later than the one before: made in no time, and no smaller in
 * files, because a file holds half a day.
 */
async function fillAll({ db, tm, connectionString, dir, set, block, blocks, isInPostgres }) {
  console.log(`  making ${rowCount(set).toLocaleString('en')} rows: ${blocks} blocks of ${block.days} days`)
  const { parquet } = await makeCpu(dir, block)
  const spentMs = { cold: 0, hot: 0, plain: 0 }
  const timed = async (name, work) => {
    const startedAt = performance.now()
    await work()
    spentMs[name] += performance.now() - startedAt
  }
  const numbers = Array.from({ length: blocks }, (_, i) => i)
  const orders = {
    ...{ table: cold.table, connectionString, dir, parquet },
    ...{ blockMs: block.days * dayMs, blockRows: rowCount(block), isKept: isInPostgres },
  }
  let done = 0
  const onBlock = () => {
    done += 1
    if (done % 10 === 0) console.log(`  ${done} of ${blocks} blocks`)
  }
  await timed('cold', () =>
    Promise.all(
      [0, 1].map((lane) => fillLane({ ...orders, blocks: numbers.filter((i) => i % 2 === lane) }, onBlock)),
    ),
  )
  if (isInPostgres) {
    await timed('hot', async () => {
      for (const i of numbers) {
        const file = join(dir, `block-${i}.parquet`)
        const { rows, dead } = await tm.import(hot.name, file)
        if (rows !== rowCount(block) || dead !== 0)
          throw new Error(`${rows} of ${rowCount(block)} rows are hot`)
        await rm(file)
      }
    })
    await timed('plain', async () => {
      await db.execute(
        `${plainTableSql('bench.plain', [])}; insert into bench.plain select * from ${hot.name}`,
      )
      await db.execute('create index on bench.plain (hostname, time); create index on bench.plain (time)')
      await db.execute('create table bench.host as select distinct hostname from bench.plain')
    })
    for (const name of ['bench.plain', 'bench.host', hot.name]) await db.query(text(`vacuum analyze ${name}`))
  }
  const files = await filesOf(db, cold)
  const [{ n }] = (await tm.query(cold, { select: { n: count() } })).rows
  if (Number(n) !== rowCount(set)) throw new Error(`${n} cold rows, expected ${rowCount(set)}`)
  const { rows: size } = await db.query(
    text(`select ${isInPostgres ? "pg_total_relation_size('bench.plain')" : '0'}::float8`),
  )
  const load = {
    spentMs,
    files: files.length,
    fileBytes: sum(files, ({ bytes }) => bytes),
    summaryBytes: sum(files, ({ summaryBytes }) => summaryBytes),
    hotBytes: isInPostgres ? (await bytesInPostgres(db, hot)).total : 0,
    plainBytes: size[0][0],
  }
  const seconds = (millis) => `${Math.round(millis / 1000)} s`
  console.log(
    `  made in ${seconds(spentMs.cold)} cold, ${seconds(spentMs.hot)} hot, ${seconds(spentMs.plain)} plain; ${mb(load.fileBytes)} MB in ${load.files} files, ${mb(load.hotBytes)} MB hot`,
  )
  return load
}

async function fillLane(orders, onBlock) {
  if (orders.blocks.length === 0) return
  const child = fork(fileURLToPath(new URL('../fill-child.mjs', import.meta.url)), [JSON.stringify(orders)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  child.on('message', onBlock)
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`making blocks ended with ${code}`)
}

/** The eleven of TSBS, which ask for a part whatever the size, and three that ask for everything. */
function queriesOf(set) {
  const [first] = usages
  const hostName = (random) => `host_${Math.floor(random() * set.hosts)}`
  const endIso = new Date(startMs + set.days * dayMs).toISOString()
  return {
    ...tsbsQueries(set),
    'everything by day': () => ({
      query: { bucket: '1 day', select: { [first]: avg(first) } },
      sql: `select date_trunc('day', time at time zone 'UTC') at time zone 'UTC' as day, avg(${first}) from bench.plain group by day`,
      fields: ['bucket', first],
    }),
    'everything of a host by day': (random) => {
      const host = hostName(random)
      return {
        query: { bucket: '1 day', where: { hostname: host }, select: { [first]: max(first) } },
        sql: `
          select date_trunc('day', time at time zone 'UTC') at time zone 'UTC' as day, max(${first})
          from bench.plain where hostname = '${host}' group by day`,
        fields: ['bucket', first],
      }
    },
    'one number of everything': () => ({
      query: { to: endIso, select: { n: count(), [first]: total(first) } },
      sql: `select count(*), sum(${first}) from bench.plain where time < '${endIso}'`,
      fields: ['n', first],
    }),
  }
}

async function measure({ db, tm, without, set, isInPostgres, rounds, quick }) {
  const spent = await processorTime(db)
  const results = []
  for (const [name, make] of Object.entries(queriesOf(set))) {
    const shapes = Array.from({ length: 16 }, (_, i) => make(createRandom(i + 1)))
    const at = (round) => shapes[round % shapes.length]
    for (const shape of shapes.slice(0, 2)) {
      const answers = {
        cold: canonicalAnswer((await tm.query(cold, shape.query)).rows, shape),
        'cold without summaries': canonicalAnswer((await without.query(cold, shape.query)).rows, shape),
      }
      if (isInPostgres) {
        answers.hot = canonicalAnswer((await tm.query(hot, shape.query)).rows, shape)
        answers.plain = canonicalRows((await db.query(text(shape.sql))).rows)
      }
      assertSame(name, answers)
    }
    const contenders = {
      cold: (round) => tm.query(cold, at(round).query),
      withoutSummaries: (round) => without.query(cold, at(round).query),
      ...(isInPostgres && {
        hot: (round) => tm.query(hot, at(round).query),
        plain: (round) => db.query(text(at(round).sql)),
      }),
    }
    await interleave(contenders, { rounds: 5, maxMs: 1_000 })
    const times = await interleave(contenders, { rounds, maxMs: quick ? 2_000 : 6_000, spent })
    results.push({ query: name, ...times })
    const shown = Object.entries(times).map(([key, { median }]) => `${key} ${ms(median)}`)
    console.log(`  ${name.padEnd(28)} ${shown.join(', ')}`)
  }
  return results
}

const mb = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)
const millions = (rows) => `${(rows / 1e6).toFixed(rows < 1e8 ? 1 : 0)} M`

/** For docs/benchmarks.md: milliseconds, a column for each place and size. */
export function table(sizes) {
  const places = [
    ['plain', 'plain'],
    ['hot', 'hot'],
    ['cold', 'cold'],
    ['withoutSummaries', 'no summaries'],
  ]
  const columns = places.flatMap(([key, label]) =>
    sizes
      .filter(({ queries }) => queries[0][key])
      .map((size) => ({ label: `${label}, ${millions(size.rows)}`, key, size })),
  )
  const names = sizes.at(-1).queries.map(({ query }) => query)
  return markdownTable(
    ['query, ms', ...columns.map(({ label }) => label)],
    names.map((name) => [
      name,
      ...columns.map(({ key, size }) => {
        const found = size.queries.find(({ query }) => query === name)
        return found ? ms(found[key].median) : ''
      }),
    ]),
  )
}

export function sizesTable(sizes) {
  return markdownTable(
    [
      'rows',
      'days',
      'files',
      'files, MB',
      'summaries, MB',
      'hot, MB',
      'plain, MB',
      'import --cold of all, two at once, s',
    ],
    sizes.map(({ rows, days, load }) => [
      millions(rows),
      days,
      load.files,
      mb(load.fileBytes),
      mb(load.summaryBytes),
      load.hotBytes > 0 ? mb(load.hotBytes) : '',
      load.plainBytes > 0 ? mb(load.plainBytes) : '',
      Math.round(load.spentMs.cold / 1000),
    ]),
  )
}
