// History straight into the lake: `import --cold` of one file against psql \copy of the same rows into a plain table.
import { execFile } from 'node:child_process'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { count, max, sum as total } from '../../dist/index.js'
import { createDatabase } from '../../dist/postgres/index.js'
import { plainTableSql } from '../cpu-table.mjs'
import { interleave, markdownTable, processorTime, summarize, text } from '../harness.mjs'
import {
  assertSameWhole,
  bytesInPostgres,
  cpuHypertable,
  filesOf,
  lakeConfig,
  openTidemark,
  sum,
  wholeQuery,
  withFolder,
} from '../lake.mjs'
import { makeCpu } from '../load-data.mjs'
import { timescaleLoad, timescaleNote } from '../timescale-figures.mjs'
import { rowCount, tsbsDefaults, usages } from '../tsbs.mjs'

export const about = 'rows/s of import --cold, against psql \\copy into a plain table'

const run_ = promisify(execFile)
const child = fileURLToPath(new URL('../import-child.mjs', import.meta.url))
const cpu = cpuHypertable('cpu')

export async function run({ db, connectionString, rounds = 3, quick }) {
  const set = { ...tsbsDefaults, ...(quick ? { days: 1 } : {}) }
  return withFolder(async (dir) => {
    console.log('  making the files …')
    const data = await makeCpu(dir, set)
    const results = await measure({ db, connectionString, dir, data, rounds: quick ? 1 : rounds })
    console.log(`\n${table(results, rowCount(set))}\n\n${timescaleNote}`)
    return { set, results, timescale: timescaleLoad, timescaleNote }
  })
}

async function measure({ db, connectionString, dir, data, rounds }) {
  const psql = (relation, file) => ({
    connections: 1,
    run: () =>
      run_('psql', [
        ...['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', connectionString],
        ...['-c', `\\copy ${relation} from '${file}' (format csv, header)`],
      ]),
  })
  const hasTaskset = await run_('taskset', ['-c', '0', 'true']).then(
    () => true,
    () => false,
  )
  if (!hasTaskset) console.log('  no taskset (util-linux): nothing is bound to one core')
  const cold = (file, core) => ({ file, core, options: { cold: true } })
  const contenders = {
    ...(hasTaskset && {
      'csv, one core': { label: '`import --cold` of the CSV, on one core', ...cold(data.csv, 0) },
      'parquet, one core': { label: '`import --cold` of Parquet, on one core', ...cold(data.parquet, 0) },
    }),
    csv: { label: '`import --cold` of the CSV', ...cold(data.csv) },
    parquet: { label: '`import --cold` of Parquet', ...cold(data.parquet) },
    'csv, two': {
      label: '`import --cold` of two CSV files, two commands at once',
      files: data.halves,
      options: { cold: true },
    },
    hot: { label: '`import` of the CSV (hot)', file: data.csv, options: {}, isHot: true },
    psql: { label: '`psql \\copy`, two indexes', plain: 'plain', ...psql('plain', data.csv) },
    'psql, bare': { label: '`psql \\copy`, no index', plain: 'bare', ...psql('bare', data.csv) },
    'psql, two': {
      label: '`psql \\copy`, no index, two at once',
      plain: 'bare',
      run: () => Promise.all(data.halves.map((file) => psql('bare', file).run())),
    },
  }
  await db.execute(`${plainTableSql('plain')}; ${plainTableSql('bare', [])}`)
  const databases = await templateOf(db, connectionString, dir)
  const spent = await processorTime(db)
  const taken = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]))
  let expected = null
  const check = (name, answer) => {
    if (answer.n !== data.rows) throw new Error(`${name}: ${answer.n} rows, expected ${data.rows}`)
    expected ??= answer
    assertSameWhole(name, expected, answer)
  }
  const variants = {}
  for (const [name, one] of Object.entries(contenders)) {
    let usedBefore
    let target = null
    let told = []
    let startedAt
    variants[name] = {
      before: async (round) => {
        await db.execute('truncate plain; truncate bare')
        target = one.plain ? null : await databases.create(`${name}-${round}`)
        await db.execute('checkpoint')
        usedBefore = spent()
        startedAt = performance.now()
      },
      run: async () => {
        if (one.run) await one.run()
        else told = await Promise.all((one.files ?? [one.file]).map((file) => importOne(target, file, one)))
      },
      after: async (round) => {
        const elapsed = performance.now() - startedAt
        await setTimeout(200)
        const used = spent()
        // of an import the work alone, without the start of Node and the look at what was written
        const client = one.plain ? used.client - usedBefore.client : sum(told, (each) => each.processorMs)
        if (round > 0)
          taken[name].push({
            ms: one.plain ? elapsed : Math.max(...told.map((each) => each.ms)),
            client,
            server: (used.server ?? Number.NaN) - usedBefore.server,
          })
        if (one.plain) return check(name, await plainAnswer(db, one.plain))
        check(name, await target.verify(one.isHot === true, told))
        await target.drop()
      },
    }
  }
  await interleave(variants, { rounds, maxMs: Number.POSITIVE_INFINITY })
  await databases.drop()
  const results = Object.entries(contenders).map(([key, { label, plain, core }]) => ({
    key,
    label,
    isPlain: plain !== undefined,
    core: core ?? null,
    ...summarize(taken[key].map((each) => each.ms)),
    microsPerRow: {
      server: (summarize(taken[key].map((each) => each.server)).median * 1000) / data.rows,
      client: (summarize(taken[key].map((each) => each.client)).median * 1000) / data.rows,
    },
  }))
  for (const { key, median, microsPerRow } of results)
    console.log(
      `  ${key.padEnd(18)} ${(data.rows / median).toFixed(0)} k rows/s, us of processor a row: server ${microsPerRow.server.toFixed(2)}, client ${microsPerRow.client.toFixed(2)}`,
    )
  return results
}

async function importOne({ connectionString, dir }, file, { core, options }) {
  const orders = JSON.stringify({ table: cpu.table, connectionString, dir, file, options })
  const command = [process.execPath, child, orders]
  const [program, ...args] = core === undefined ? command : ['taskset', '-c', String(core), ...command]
  const { stdout } = await run_(program, args, { maxBuffer: 2 ** 26 })
  return JSON.parse(stdout.trim().split('\n').at(-1))
}

/** A database and a lake of its own for each run: made from a template, so that nobody finds what another one left. */
async function templateOf(db, connectionString, dir) {
  const url = new URL(connectionString)
  const template = `${url.pathname.slice(1)}_template`
  const urlOf = (name) => Object.assign(new URL(connectionString), { pathname: `/${name}` }).href
  await db.query(text(`create database ${template} template template0`))
  const tm = await openTidemark(lakeConfig([cpu], dir), urlOf(template))
  await tm.migrate()
  await tm.close()
  let made = 0
  return {
    async create(folder) {
      made += 1
      const name = `${url.pathname.slice(1)}_${made}`
      await db.query(text(`create database ${name} template ${template}`))
      const target = { connectionString: urlOf(name), dir: `${dir}/${folder.replace(/[^a-z0-9-]/g, '')}` }
      return {
        ...target,
        verify: (isHot, told) => verifyTarget(target, isHot, told),
        drop: () => db.query(text(`drop database ${name} with (force)`)),
      }
    },
    drop: () => db.query(text(`drop database ${template} with (force)`)),
  }
}

/** All rows are where they should be; what a query says of them. */
async function verifyTarget({ connectionString, dir }, isHot, told) {
  for (const { dead, sources } of told)
    if (dead !== 0 || (!isHot && sources.some((source) => source !== 'cold')))
      throw new Error(`${dead} rows were refused; rows were read from ${sources}`)
  const database = createDatabase({ connectionString, max: 1 })
  try {
    const [files, { heap }] = [await filesOf(database, cpu), await bytesInPostgres(database, cpu)]
    const inFiles = sum(files, ({ rowCount: rows }) => rows)
    if (isHot ? inFiles > 0 : heap > 2 ** 20)
      throw new Error(`${inFiles} rows in files, ${heap} bytes in PostgreSQL`)
    if (told.length === 1) return told[0].answer
    const tm = await openTidemark(lakeConfig([cpu], dir), connectionString)
    try {
      const { rows } = await tm.query(cpu, wholeQuery({ count, max, sum: total }))
      return { ...rows[0], n: Number(rows[0].n) }
    } finally {
      await tm.close()
    }
  } finally {
    await database.close()
  }
}

async function plainAnswer(db, relation) {
  const sums = usages.map((name) => `sum(${name})`)
  const { rows } = await db.query(
    text(
      `select count(*)::float8, to_char(max(time) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), ${sums} from ${relation}`,
    ),
  )
  const [n, newest, ...totals] = rows[0]
  return { n, newest, ...Object.fromEntries(usages.map((name, i) => [name, totals[i]])) }
}

/** For docs/benchmarks.md. */
export function table(results, rows) {
  const base = results.find(({ key }) => key === 'psql').median
  const bare = results.find(({ key }) => key === 'psql, bare').median
  return markdownTable(
    [
      `${rows.toLocaleString('en')} rows`,
      'rows/s',
      'best run',
      'to \\copy, two indexes',
      'to \\copy, no index',
      'server, us a row',
      'client, us a row',
    ],
    [
      ...results.map(({ label, median, least, microsPerRow }) => [
        label,
        `${Math.round(rows / median)} k`,
        `${Math.round(rows / least)} k`,
        `${(base / median).toFixed(2)}x`,
        `${(bare / median).toFixed(2)}x`,
        microsPerRow.server.toFixed(2),
        microsPerRow.client.toFixed(2),
      ]),
      [
        'TimescaleDB, direct compress, 1 client (elsewhere)',
        `${timescaleLoad.oneClient / 1000} k`,
        '',
        '',
        '',
        '',
        '',
      ],
      [
        'TimescaleDB, direct compress, 2 clients (elsewhere)',
        `${timescaleLoad.twoClients / 1000} k`,
        '',
        '',
        '',
        '',
        '',
      ],
    ],
  )
}
