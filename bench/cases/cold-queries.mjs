// TSBS cpu-only queries over rows that are all in the lake: tm.query() against DuckDB by hand over the same files and
// PostgreSQL by hand over the same rows.
import { join } from 'node:path'
import { plainTableSql } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, processorTime, text } from '../harness.mjs'
import {
  cpuHypertable,
  filesOf,
  fill,
  lakeConfig,
  openFilesByHand,
  openTidemark,
  openWithColdTier,
  sum,
  withFolder,
} from '../lake.mjs'
import { timescaleNote, timescaleQueryMs } from '../timescale-figures.mjs'
import { createRandom, rowCount, tsbsDefaults } from '../tsbs.mjs'
import { assertSame, canonicalAnswer, canonicalRows, tsbsQueries } from '../tsbs-queries.mjs'

export const about =
  'TSBS cpu-only queries over cold rows, against DuckDB by hand over the same files and plain PostgreSQL'

const cpu = cpuHypertable('cpu')
/** The same rows in files that are sorted by time first: edges of ranges are cheap, a single series is not. */
const byTime = cpuHypertable('cpu_by_time', ['time', 'hostname'])

/** What TSBS asks, and the queries that summaries are for with whole hours, as a dashboard asks them. */
function queriesOf(set) {
  const aligned = Object.entries(tsbsQueries(set, { stepMs: 3_600_000 }))
    .filter(([name]) => name.startsWith('double-groupby'))
    .map(([name, make]) => [`${name}, whole hours`, make])
  return { ...tsbsQueries(set), ...Object.fromEntries(aligned) }
}

const timescaleMs = (query) => timescaleQueryMs[query.replace(', whole hours', '')]

export async function run({ db, connectionString, rounds, quick }) {
  // fewer hosts: summaries would not fit their share of the files
  const set = { ...tsbsDefaults, ...(quick ? { days: 1 } : {}) }
  return withFolder(async (dir) => {
    const config = lakeConfig([cpu, byTime], dir)
    const tm = await openTidemark(config, connectionString)
    const without = openWithColdTier(config, connectionString, { useSummaries: false })
    // every summary is let go at once, so each query reads its own from the files, as the first one of a process does
    const notHeld = openWithColdTier(config, connectionString, { maxHeldSummaryBytes: 1 })
    let byHand = null
    try {
      const files = await prepare(db, tm, set)
      const firstMs = await firstQueryMs(config, connectionString)
      byHand = await openFilesByHand(files.map(({ path }) => join(config.lake.dir, path)))
      const results = await measure({ db, tm, without, notHeld, byHand, set, rounds, quick })
      console.log(`\n${table(results)}\n\n${timescaleNote}\n${verdict(results)}`)
      return {
        set,
        firstQueryMs: firstMs,
        bytes: sum(files, ({ bytes }) => bytes),
        results,
        timescale: timescaleQueryMs,
        timescaleNote,
      }
    } finally {
      byHand?.close()
      await without.close()
      await notHeld.close()
      await tm.close()
    }
  })
}

async function prepare(db, tm, set) {
  await tm.migrate()
  for (const definition of [cpu, byTime]) await fill(db, tm, definition, set)
  await db.execute(`${plainTableSql('bench.plain', [])}; insert into bench.plain select * from bench.cpu`)
  await db.execute('create index on bench.plain (hostname, time); create index on bench.plain (time)')
  await db.execute('create table bench.host as select distinct hostname from bench.plain')
  for (const name of ['plain', 'host']) await db.query(text(`vacuum analyze bench.${name}`))
  await tm.freeze(byTime.name, { all: true })
  const { rows, failed } = await tm.freeze(cpu.name, { all: true })
  const files = await filesOf(db, cpu)
  const { rows: left } = await db.query(text('select count(*) from bench.cpu'))
  if (rows !== rowCount(set) || Number(left[0][0]) !== 0 || failed.length > 0)
    throw new Error(`expected ${rowCount(set)} cold rows: ${rows} were frozen, ${left[0][0]} are hot`)
  const mb = (list) => (sum(list, ({ bytes }) => bytes) / 1e6).toFixed(1)
  console.log(
    `  ${rows} rows, ${set.hosts} hosts, ${set.days} days, in ${files.length} files of ${mb(files)} MB;` +
      ` sorted by time first ${mb(await filesOf(db, byTime))} MB`,
  )
  return files
}

/** What the first cold query of a process takes, DuckDB's start included, and the same query again. */
async function firstQueryMs(config, connectionString) {
  const fresh = await openTidemark(config, connectionString)
  try {
    const { query } = queriesOf(tsbsDefaults)['double-groupby-all, whole hours'](createRandom(1))
    const taken = []
    for (let i = 0; i < 2; i++) {
      const startedAt = performance.now()
      await fresh.query(cpu, query)
      taken.push(performance.now() - startedAt)
    }
    console.log(`  first cold query of a process ${ms(taken[0])} ms, the same again ${ms(taken[1])} ms`)
    return taken
  } finally {
    await fresh.close()
  }
}

async function measure({ db, tm, without, notHeld, byHand, set, rounds, quick }) {
  const spent = await processorTime(db)
  const results = []
  for (const [name, make] of Object.entries(queriesOf(set))) {
    const shapes = Array.from({ length: 16 }, (_, i) => make(createRandom(i + 1)))
    const at = (round) => shapes[round % shapes.length]
    const parts = []
    for (const shape of shapes.slice(0, 3)) {
      const answer = await tm.query(cpu, shape.query)
      assertSame(name, {
        plain: canonicalRows((await db.query(text(shape.sql))).rows),
        'DuckDB by hand': canonicalRows(await byHand.query(shape.duckdb(byHand.from)), shape.bucketMicros),
        tidemark: canonicalAnswer(answer.rows, shape),
        'tidemark without summaries': canonicalAnswer((await without.query(cpu, shape.query)).rows, shape),
        'tidemark, not held': canonicalAnswer((await notHeld.query(cpu, shape.query)).rows, shape),
        'tidemark, by time': canonicalAnswer((await tm.query(byTime, shape.query)).rows, shape),
      })
      parts.push(...answer.plan.parts)
    }
    if (parts.some(({ source }) => source !== 'cold')) throw new Error(`${name}: not all of it was read cold`)
    const contenders = {
      plain: (round) => db.query(text(at(round).sql)),
      byHand: (round) => byHand.query(at(round).duckdb(byHand.from)),
      cold: (round) => tm.query(cpu, at(round).query),
      withoutSummaries: (round) => without.query(cpu, at(round).query),
      notHeld: (round) => notHeld.query(cpu, at(round).query),
      sortedByTime: (round) => tm.query(byTime, at(round).query),
    }
    // A process that serves has compiled its code and filled its caches long ago.
    await interleave(contenders, { rounds: 50, maxMs: quick ? 300 : 1_500 })
    const times = await interleave(contenders, { rounds, maxMs: quick ? 3_000 : 20_000, spent })
    results.push({ query: name, usesSummaries: parts.some(({ summaries }) => summaries > 0), ...times })
    console.log(line(results.at(-1)))
  }
  return results
}

/** For docs/benchmarks.md. */
export function table(results) {
  return markdownTable(
    [
      'query',
      'plain PostgreSQL, ms',
      'DuckDB by hand, ms',
      'cold, ms',
      'to DuckDB by hand',
      'cold without summaries, ms',
      'to DuckDB by hand',
      'summaries read anew, ms',
      'files sorted by time first, ms',
      'to plain PostgreSQL',
      'TimescaleDB, elsewhere, ms',
    ],
    results.map(({ query, plain, byHand, cold, withoutSummaries, notHeld, sortedByTime }) => [
      query,
      ms(plain.median),
      ms(byHand.median),
      ms(cold.median),
      ratio(cold, byHand),
      ms(withoutSummaries.median),
      ratio(withoutSummaries, byHand),
      ms(notHeld.median),
      ms(sortedByTime.median),
      ratio(cold, plain),
      ms(timescaleMs(query)),
    ]),
  )
}

const ratio = (one, other) => `${(one.median / other.median).toFixed(2)}x`

/** Where a look-up is better kept hot, and where a summary has to be. */
export function verdict(results) {
  const slower = results.filter(({ query, cold }) => cold.median > timescaleMs(query))
  // a query of few milliseconds asks PostgreSQL for the snapshot and the catalog's version, too
  const missed = results.filter(
    ({ byHand, withoutSummaries }) =>
      withoutSummaries.median > Math.max(1.2 * byHand.median, byHand.median + 1),
  )
  const names = (list, value) => list.map((each) => `${each.query} (${value(each)})`).join(', ') || 'none'
  const times = (one, other) => `${(one / other).toFixed(1)}x`
  return [
    `TimescaleDB's figure is lower: ${names(slower, ({ query, cold }) => times(cold.median, timescaleMs(query)))}`,
    `more than 1.2x and more than 1 ms over DuckDB by hand without summaries: ${names(missed, (each) => ratio(each.withoutSummaries, each.byHand))}`,
    `TimescaleDB's figure by ours: ${names(
      results.filter(({ query }) => query.startsWith('double-groupby')),
      ({ query, cold }) => times(timescaleMs(query), cold.median),
    )}`,
    `answered from summaries: ${
      results
        .filter(({ usesSummaries }) => usesSummaries)
        .map(({ query }) => query)
        .join(', ') || 'none'
    }`,
  ].join('\n')
}

function line({ query, plain, byHand, cold, withoutSummaries, usesSummaries }) {
  const shown = ({ median, processorMs }) => `${ms(median)} (${ms(processorMs)})`.padEnd(15)
  return (
    `  ${query.padEnd(22)} plain ${shown(plain)} by hand ${shown(byHand)} cold ${shown(cold)}` +
    ` without summaries ${shown(withoutSummaries)} ${ratio(withoutSummaries, byHand)}${usesSummaries ? '; summaries ' + ratio(cold, byHand) : ''}`
  )
}
