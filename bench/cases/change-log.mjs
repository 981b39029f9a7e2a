// What the change log costs a writer: the same hypertable with its triggers and without them, and a plain table.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beginLoggedWriteSql, findHypertable, logCells, TouchedCells } from '../../dist/changelog/index.js'
import { chunkSchema, createChunkManager, loadChunkMap } from '../../dist/hot/index.js'
import { createTidemark, defineConfig, hypertable } from '../../dist/index.js'
import { applyPartitionPolicies } from '../../dist/migrate/index.js'
import { createCopyEncoder } from '../../dist/postgres/index.js'
import { cpuColumns, plainTableSql, toObject } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, processorTime, text } from '../harness.mjs'
import { startMs, tsbsCopyText, tsbsDefaults, tsbsRows, usages } from '../tsbs.mjs'

export const about = 'what change logging costs: ingest, single inserts, direct SQL, psql into the table'

const runFile = promisify(execFile)
const declare = (name) =>
  hypertable(name, {
    columns: cpuColumns,
    time: 'time',
    chunk: '12 hours',
    indexes: [['hostname', 'time'], ['time']],
  })
const logged = declare('bench.logged')
const quiet = declare('bench.quiet')
const columns = ['time', 'hostname', ...usages]

export async function run({ db, connectionString, rounds = 11, quick }) {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-log-'))
  const tm = await createTidemark(defineConfig({ datasets: [logged, quiet] }), { connectionString })
  try {
    await tm.migrate()
    // Less than one chunk, so that a partition can be written to by its name.
    const set = { ...tsbsDefaults, hosts: quick ? 10 : 100, days: 0.4 }
    const file = join(dir, 'rows.tsv')
    await writeFile(file, Buffer.concat([...tsbsCopyText(set)]))
    await db.execute(plainTableSql('bench.plain'))
    await db.execute(plainTableSql('bench.source', []))
    await runFile('psql', psqlArguments(connectionString, 'bench.source', file))
    const chunks = createChunkManager({ db, applyPolicies: applyPartitionPolicies })
    for (const table of [logged, quiet]) await chunks.ensureChunks(table, [BigInt(startMs) * 1000n])
    await switchTriggersOff(db)
    const spent = await processorTime(db)
    const context = { db, tm, connectionString, set, file, rounds, spent }
    const results = []
    for (const part of [ingest, singleInserts, directSql, psqlCopy]) {
      const found = await part(context)
      results.push(...found)
      for (const one of found) console.log(line(one))
    }
    console.log(`\n${table(results)}`)
    return { set, results }
  } finally {
    await tm.close()
    await rm(dir, { recursive: true, force: true })
  }
}

/** For docs/benchmarks.md. */
export function table(results) {
  return markdownTable(
    ['write', 'with the log, ms', 'without, ms', 'cost', 'cost in processor time', 'plain table, ms'],
    results.map(({ name, logged, quiet, plain }) => [
      name,
      ms(logged.median),
      ms(quiet.median),
      percent(logged.median, quiet.median),
      percent(logged.processorMs, quiet.processorMs),
      plain ? ms(plain.median) : '',
    ]),
  )
}

const percent = (one, other) => (one / other > 0 ? `${((one / other - 1) * 100).toFixed(1)} %` : '')

function line({ name, logged, quiet, plain }) {
  const beside = plain ? `, plain ${ms(plain.median)}` : ''
  return `  ${name.padEnd(52)} ${ms(logged.median)} ms, without ${ms(quiet.median)} (${percent(logged.median, quiet.median)}; processor ${percent(logged.processorMs, quiet.processorMs)})${beside}`
}

/** Everything that Tidemark's ingest does for the log, around the same COPY of the same bytes. */
async function ingest({ db, set, rounds, spent }) {
  const encoder = createCopyEncoder(['timestamptz', 'text', ...usages.map(() => 'float8')])
  const times = []
  for (const [at, host, values] of tsbsRows(set)) {
    encoder.addRow([at * 1000, host, ...values])
    times.push(at * 1000)
  }
  const buffers = encoder.finish()
  const relation = async (definition) => {
    const map = await loadChunkMap(db, definition)
    return `${chunkSchema}.${map.chunks[0].relation}`
  }
  const [intoLogged, intoQuiet] = [await relation(logged), await relation(quiet)]
  const record = await findHypertable(db, logged)
  const copy = (connection, target) =>
    connection.copyFrom(text(`copy ${target} (${columns}) from stdin (format binary)`), buffers)
  const times1 = await interleave(
    {
      logged: {
        before: () => clear(db),
        run: () => {
          const cells = new TouchedCells(record.cellMicros)
          for (const time of times) cells.add(null, time)
          return db.transaction({}, async (connection) => {
            await connection.execute(
              `lock table only ${intoLogged} in row exclusive mode; ${beginLoggedWriteSql(record)}`,
            )
            await copy(connection, intoLogged)
            await logCells(connection, record, cells)
          })
        },
      },
      quiet: {
        before: () => clear(db),
        run: () =>
          db.transaction({}, async (connection) => {
            await connection.execute(`lock table only ${intoQuiet} in row exclusive mode`)
            await copy(connection, intoQuiet)
          }),
      },
    },
    { rounds, maxMs: Number.POSITIVE_INFINITY, spent },
  )
  return [{ name: `Tidemark's COPY into a chunk, ${times.length.toLocaleString('en')} rows`, ...times1 }]
}

async function singleInserts({ db, tm, set, rounds, spent }) {
  const calls = 200
  const rows = []
  for (const row of tsbsRows(set)) {
    rows.push(toObject(row))
    if (rows.length === calls) break
  }
  const statement = (target) => (row) =>
    db.query(
      text(
        `insert into ${target} (${columns}) values ('${row.time.toISOString()}', '${row.hostname}', ${usages.map((name) => row[name])})`,
      ),
    )
  const each = (insert) => async () => {
    for (const row of rows) await insert(row)
  }
  const inOne = (target) => () =>
    db.transaction({}, async (connection) => {
      for (const row of rows)
        await connection.query(
          text(
            `insert into ${target} (${columns}) values ('${row.time.toISOString()}', '${row.hostname}', ${usages.map((name) => row[name])})`,
          ),
        )
    })
  const compare = async (name, logged, quiet, plain) => {
    const found = await interleave(
      { logged, quiet, ...(plain && { plain }) },
      { rounds, maxMs: Number.POSITIVE_INFINITY, spent },
    )
    const perCall = ([key, { median, least, p90, runs, processorMs }]) => [
      key,
      {
        median: median / calls,
        least: least / calls,
        p90: p90 / calls,
        processorMs: processorMs / calls,
        runs,
      },
    ]
    return { name, ...Object.fromEntries(Object.entries(found).map(perCall)) }
  }
  await clear(db)
  return [
    await compare(
      'one row, tm.insert',
      each((row) => tm.insert(logged, [row])),
      each((row) => tm.insert(quiet, [row])),
    ),
    await compare(
      'one row, SQL insert, committed',
      each(statement('bench.logged')),
      each(statement('bench.quiet')),
      each(statement('bench.plain')),
    ),
    await compare(
      'one row, SQL insert, many in a transaction',
      inOne('bench.logged'),
      inOne('bench.quiet'),
      inOne('bench.plain'),
    ),
  ]
}

async function directSql({ db, set, rounds, spent }) {
  const rows = (set.hosts * set.days * 86_400) / set.everySeconds
  const hour = `time >= '2026-01-01T01:00Z' and time < '2026-01-01T02:00Z'`
  const compare = async (name, statement, before) => {
    const variant = (target) => ({
      before: async () => {
        await clear(db)
        await before?.(target)
      },
      run: () => db.execute(statement(target)),
    })
    const found = await interleave(
      {
        logged: variant('bench.logged'),
        quiet: variant('bench.quiet'),
        plain: variant('bench.plain'),
      },
      { rounds, maxMs: Number.POSITIVE_INFINITY, spent },
    )
    return { name, ...found }
  }
  const fill = async (target) => {
    await db.execute(`insert into ${target} select * from bench.source`)
    await db.execute(`vacuum analyze ${target}`)
    await db.execute('checkpoint')
  }
  const ofHour = (set.hosts * 3600) / set.everySeconds
  return [
    await compare(
      `SQL insert … select, ${rows.toLocaleString('en')} rows`,
      (target) => `insert into ${target} select * from bench.source`,
    ),
    await compare(
      `SQL update of an hour, ${ofHour.toLocaleString('en')} rows`,
      (target) => `update ${target} set usage_user = usage_user + 1 where ${hour}`,
      fill,
    ),
    await compare(
      `SQL delete of an hour, ${ofHour.toLocaleString('en')} rows`,
      (target) => `delete from ${target} where ${hour}`,
      fill,
    ),
  ]
}

async function psqlCopy({ db, connectionString, set, file, rounds, spent }) {
  const variant = (target) => ({
    before: () => clear(db),
    run: () => runFile('psql', psqlArguments(connectionString, target, file)),
  })
  const rows = (set.hosts * set.days * 86_400) / set.everySeconds
  const found = await interleave(
    { logged: variant('bench.logged'), quiet: variant('bench.quiet'), plain: variant('bench.plain') },
    { rounds, maxMs: Number.POSITIVE_INFINITY, spent },
  )
  return [{ name: `psql \\copy into the table, ${rows.toLocaleString('en')} rows`, ...found }]
}

function psqlArguments(connectionString, target, file) {
  return [
    '-X',
    '-q',
    '-v',
    'ON_ERROR_STOP=1',
    '-d',
    connectionString,
    '-c',
    `\\copy ${target} from '${file}'`,
  ]
}

async function clear(db) {
  await db.execute(
    'truncate bench.logged; truncate bench.quiet; truncate bench.plain; truncate tidemark.change_log; checkpoint',
  )
}

/** The other hypertable is the same in everything else. */
async function switchTriggersOff(db) {
  const { rows } = await db.query(
    text(`select format('%I.%I', n.nspname, c.relname) from pg_partition_tree('bench.quiet') as p
      join pg_class as c on c.oid = p.relid join pg_namespace as n on n.oid = c.relnamespace`),
  )
  for (const [relation] of rows) await db.execute(`alter table ${relation} disable trigger user`)
}
