// Loading: tm.insert, tidemark import and Parquet against psql \copy of the same rows into a plain table with the same
// indexes, on the same server.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createTidemark, defineConfig, hypertable, t } from '../../dist/index.js'
import { createCopyEncoder } from '../../dist/postgres/index.js'
import { dropChunks, hasChunks } from '../chunks.mjs'
import { cpuColumns, cpuColumnsSql } from '../cpu-table.mjs'
import { interleave, markdownTable, processorTime, summarize, text } from '../harness.mjs'
import { makeCpu, makeFlights } from '../load-data.mjs'
import { tsbsDefaults, tsbsRows, usages } from '../tsbs.mjs'

export const about = 'rows/s into a hypertable, against psql \\copy into a plain table with the same indexes'

const run_ = promisify(execFile)
const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

const cpu = hypertable('bench.cpu', {
  columns: cpuColumns,
  time: 'time',
  chunk: '12 hours',
  indexes: [['hostname', 'time'], ['time']],
})
const cpuBare = hypertable('bench.cpu_bare', {
  columns: cpuColumns,
  time: 'time',
  chunk: '12 hours',
  timeIndex: false,
})
const flights = hypertable('bench.flights', {
  columns: {
    date: t.timestamptz(),
    delay: t.int4(),
    distance: t.int4(),
    origin: t.text(),
    destination: t.text(),
  },
  time: 'date',
  chunk: '7 days',
  indexes: [['origin', '-date'], ['-date']],
})
const datasets = [cpu, cpuBare, flights]

export async function run({ db, connectionString, rounds, quick }) {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-load-'))
  const open = () => createTidemark(defineConfig({ datasets }), { connectionString })
  try {
    const tm = await open()
    await tm.migrate()
    await tm.close()
    const config = join(dir, 'tidemark.config.mjs')
    await writeFile(config, configText())
    const set = { ...tsbsDefaults, ...(quick ? { hosts: 20, days: 1 } : {}) }
    console.log('  making the files …')
    const cpuData = await makeCpu(dir, set)
    const flightData = await makeFlights(dir, quick ? 200_000 : null)
    const context = { db, open, connectionString, config, rounds: rounds ?? 3 }
    const results = [
      await load(context, {
        name: 'TSBS cpu-only, indexes (hostname, time) and (time)',
        table: cpu,
        data: cpuData,
        plainColumns: cpuColumnsSql,
        indexes: ['(hostname, time)', '(time)'],
      }),
      await load(context, {
        name: 'TSBS cpu-only, no index',
        table: cpuBare,
        data: cpuData,
        plainColumns: cpuColumnsSql,
        indexes: [],
        ready: () => encodedCpu(set),
      }),
      await load(context, {
        name: 'flights, indexes (origin, date desc) and (date desc)',
        table: flights,
        data: flightData,
        plainColumns:
          'date timestamptz not null, delay int4 not null, distance int4 not null, origin text not null, destination text not null',
        indexes: ['(origin, date desc)', '(date desc)'],
      }),
    ]
    for (const result of results) console.log(`\n${table(result)}`)
    return { set, results }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** For docs/benchmarks.md. */
export function table({ name, rows, contenders }) {
  const base = Object.fromEntries(
    contenders.filter(({ isBase }) => isBase).map((one) => [one.connections, one.median]),
  )
  const perSecond = (ms) => `${Math.round(rows / ms)} k`
  return markdownTable(
    [
      `${name}: ${rows.toLocaleString('en')} rows`,
      'connections',
      'rows/s',
      'best run',
      'against \\copy',
      'server, us a row',
      'client, us a row',
    ],
    contenders.map(({ label, connections, median, least, microsPerRow }) => [
      label,
      connections,
      perSecond(median),
      perSecond(least),
      base[connections] === undefined ? '' : `${(base[connections] / median).toFixed(2)}x`,
      microsPerRow.server?.toFixed(2) ?? '',
      microsPerRow.client.toFixed(2),
    ]),
  )
}

async function load({ db, open, connectionString, config, rounds }, one) {
  let tm = null
  const { data, table: definition } = one
  const plain = `bench.plain_${definition.table}`
  await db.execute(`create table ${plain} (${one.plainColumns})`)
  for (const columns of one.indexes) await db.execute(`create index on ${plain} ${columns}`)

  const psql = (file) =>
    run_('psql', [
      ...['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', connectionString],
      ...['-c', `\\copy ${plain} from '${file}' (format csv, header)`],
    ])
  const insert = (connections) => tm.insert(definition, data.objects(), { connections })
  const importFile = (file, connections) =>
    tm.import(definition.name, file, { connections, timeZone: 'UTC', again: true })
  const contenders = {
    'psql 1': { base: true, label: '`psql \\copy`, CSV', connections: 1, run: () => psql(data.csv) },
    'psql 2': {
      base: true,
      label: '`psql \\copy`, CSV, two at once',
      connections: 2,
      run: () => Promise.all(data.halves.map(psql)),
    },
    ...(data.objects && {
      'insert 1': { label: '`tm.insert` of objects', connections: 1, run: () => insert(1) },
      'insert 2': { label: '`tm.insert` of objects', connections: 2, run: () => insert(2) },
    }),
    'import 1': { label: '`tm.import` of the CSV', connections: 1, run: () => importFile(data.csv, 1) },
    'import 2': { label: '`tm.import` of the CSV', connections: 2, run: () => importFile(data.csv, 2) },
    ...(one.indexes.length > 0 && {
      'import 1, there': {
        label: '`tm.import` of the CSV into chunks that are there',
        connections: 1,
        isIntoChunks: true,
        run: () => importFile(data.csv, 1),
      },
    }),
    'cli 2': {
      label: '`tidemark import`, the whole command',
      connections: 2,
      run: () =>
        run_(
          process.execPath,
          [cli, '--config', config, '--json', 'import', data.csv, '--into', definition.name, '--again'],
          { env: { ...process.env, DATABASE_URL: connectionString }, maxBuffer: 2 ** 26 },
        ),
    },
    'parquet 1': { label: '`tm.import` of Parquet', connections: 1, run: () => importFile(data.parquet, 1) },
    'parquet 2': { label: '`tm.import` of Parquet', connections: 2, run: () => importFile(data.parquet, 2) },
  }
  if (one.ready) {
    const [columns, buffers] = one.ready()
    contenders['ready bytes 1'] = {
      label: 'COPY BINARY of bytes that are ready (the server alone)',
      connections: 1,
      isPlain: true,
      run: () =>
        db.withConnection((connection) =>
          connection.copyFrom(text(`copy ${plain} (${columns}) from stdin (format binary)`), buffers),
        ),
    }
  }

  let expected = null
  const verify = async (relation) => {
    const { rows } = await db.query(text(`select count(*), ${data.checksum} from ${relation}`))
    const found = rows[0].map(String).join(' ')
    expected ??= found
    if (Number(rows[0][0]) !== data.rows || found !== expected)
      throw new Error(`${relation}: expected ${data.rows} rows (${expected}), found ${found}`)
  }
  /** As if the worker had made them ahead. */
  const seedChunks = async () => {
    const seeding = await open()
    await seeding.import(definition.name, data.csv, { timeZone: 'UTC', again: true })
    await seeding.close()
    await db.execute(`truncate ${definition.name}`)
  }
  const spent = await processorTime(db)
  const variants = {}
  const processor = {}
  let usedBefore
  for (const [key, { base, isPlain, isIntoChunks, run }] of Object.entries(contenders)) {
    const relation = base || isPlain ? plain : definition.name
    variants[key] = {
      // Everybody begins with an empty table, and with nothing left to write from the one before.
      before: async () => {
        await db.execute(`truncate ${plain}; truncate ${definition.name}`)
        if (!isIntoChunks) await dropChunks(db, definition)
        else if (!(await hasChunks(db, definition))) await seedChunks()
        await db.execute('checkpoint')
        tm = await open()
        usedBefore = spent()
      },
      run,
      after: async (round) => {
        // Until the processes of connections that were closed have ended and are counted.
        await setTimeout(200)
        const used = spent()
        if (round > 0) {
          processor[key] ??= { server: [], client: [] }
          for (const side of ['server', 'client'])
            if (used[side] !== null)
              processor[key][side].push(((used[side] - usedBefore[side]) * 1000) / data.rows)
        }
        await verify(relation)
        await tm.close()
      },
    }
  }
  if (data.objects) variants['objects alone'] = { run: () => drain(data.objects()) }
  const times = await interleave(variants, { rounds, maxMs: Number.POSITIVE_INFINITY })
  const result = {
    name: one.name,
    rows: data.rows,
    contenders: Object.entries(contenders).map(([key, { label, connections, base }]) => ({
      key,
      label,
      connections,
      isBase: base === true,
      ...times[key],
      microsPerRow: {
        server: summarize(processor[key].server).median ?? null,
        client: summarize(processor[key].client).median,
      },
    })),
    objectsAlone: times['objects alone'] ?? null,
  }
  for (const { key, median, least, microsPerRow: used } of result.contenders)
    console.log(
      `  ${one.name.split(',')[0]} ${key.padEnd(14)} ${(data.rows / median).toFixed(0)} k rows/s (best ${(data.rows / least).toFixed(0)} k), us of processor a row: server ${used.server?.toFixed(2) ?? '?'}, client ${used.client.toFixed(2)}`,
    )
  if (result.objectsAlone)
    console.log(
      `  making the objects, without writing them: ${(data.rows / result.objectsAlone.median).toFixed(0)} k rows/s`,
    )
  await db.execute(`drop table ${plain}; truncate ${definition.name}`)
  return result
}

async function drain(rows) {
  let count = 0
  for await (const row of rows) if (row.hostname !== '') count += 1
  return count
}

/** What the server could take at most: the bytes exist before the clock starts. */
function encodedCpu(set) {
  const encoder = createCopyEncoder(['timestamptz', 'text', ...usages.map(() => 'float8')])
  for (const [ms, host, values] of tsbsRows(set)) encoder.addRow([ms * 1000, host, ...values])
  return [`time, hostname, ${usages}`, encoder.finish()]
}

/** The same declarations as above, for the command line. */
function configText() {
  const schema = new URL('../../dist/schema/index.js', import.meta.url).href
  const gauges = usages.map((name) => `${name}: t.float8()`).join(', ')
  const cpuText = `time: t.timestamptz(), hostname: t.text(), ${gauges}`
  return `
import { defineConfig, hypertable, t } from '${schema}'
export default defineConfig({ datasets: [
  hypertable('bench.cpu', { columns: { ${cpuText} }, time: 'time', chunk: '12 hours', indexes: [['hostname', 'time'], ['time']] }),
  hypertable('bench.cpu_bare', { columns: { ${cpuText} }, time: 'time', chunk: '12 hours', timeIndex: false }),
  hypertable('bench.flights', {
    columns: { date: t.timestamptz(), delay: t.int4(), distance: t.int4(), origin: t.text(), destination: t.text() },
    time: 'date', chunk: '7 days', indexes: [['origin', '-date'], ['-date']] }),
] })
`
}
