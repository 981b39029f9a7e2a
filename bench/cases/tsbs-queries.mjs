// TSBS cpu-only queries: tm.query() over a hypertable against the SQL that one writes by hand over a plain table.
import { createChunkManager } from '../../dist/hot/index.js'
import { createTidemark, defineConfig, hypertable } from '../../dist/index.js'
import { applyPartitionPolicies } from '../../dist/migrate/index.js'
import { cpuColumns, plainTableSql } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, text } from '../harness.mjs'
import { createRandom, rowCount, startMs, tsbsCopyText, tsbsDefaults } from '../tsbs.mjs'
import { assertSame, canonicalAnswer, canonicalRows, tsbsQueries } from '../tsbs-queries.mjs'

export const about =
  'TSBS cpu-only queries, a hypertable through tm.query() against hand-written SQL on a plain table'

const hourMs = 3_600_000

const cpu = hypertable('bench.cpu', {
  columns: cpuColumns,
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
    for (const [name, make] of Object.entries(tsbsQueries(set))) {
      const shapes = Array.from({ length: 16 }, (_, i) => make(createRandom(i + 1)))
      const at = (round) => shapes[round % shapes.length]
      for (const shape of shapes.slice(0, 3)) {
        assertSame(name, {
          plain: canonicalRows((await db.query(text(shape.sql))).rows),
          tidemark: canonicalAnswer((await tm.query(cpu, shape.query)).rows, shape),
        })
      }
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
  await db.execute(plainTableSql('bench.plain', []))
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
