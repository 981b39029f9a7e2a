// TSBS cpu-only into Tidemark by every way in, against psql, pg, InfluxDB 1.6 and ClickHouse in a process (chdb); server, database and
// whoever sends on the same cores. And how long an acknowledge takes at half of the rate that was reached.
import { execFile } from 'node:child_process'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import * as api from '../../dist/index.js'
import { dropChunks } from '../chunks.mjs'
import { cpuColumnsSql } from '../cpu-table.mjs'
import { interleave, markdownTable, ms, processorTime, summarize, text } from '../harness.mjs'
import { startChild } from '../ingest/children.mjs'
import { assertSame, influxContender, insertStatements } from '../ingest/contenders.mjs'
import { startInflux } from '../ingest/influx.mjs'
import { cutBodies, makeSet } from '../ingest/set.mjs'
import { untilDrained } from '../ingest/steady.mjs'
import { cpuConfig } from '../ingest/tables.mjs'
import { tsbsDefaults, usages } from '../tsbs.mjs'

export const about =
  'TSBS cpu-only by every way in, against psql, pg, InfluxDB and chdb (--hosts 100 or 4000)'

const root = new URL('../../dist/', import.meta.url).href
const run_ = promisify(execFile)
/** Rows of a request, as TSBS sends them, and of one while acknowledges are timed. */
const bodyRows = 5000
const smallRows = 500
const connections = 4

export async function run({ db, connectionString, rounds = 3, quick, hosts }) {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-ingest-'))
  const influx = await startInflux(dir)
  if (influx === null) console.log('  influxd is not installed (apt-get install -y influxdb): left out')
  if (!process.env.BENCH_MODULES)
    console.log('  BENCH_MODULES names no folder with chdb (npm install --ignore-scripts chdb): left out')
  try {
    const results = []
    for (const count of hosts === undefined ? [100, 4000] : [hosts]) {
      // as many rows for each number of hosts
      const instants = Math.ceil((quick ? 40_000 : 2_592_000) / count)
      const set = { ...tsbsDefaults, hosts: count, days: (instants * tsbsDefaults.everySeconds) / 86_400 }
      console.log(`  making the files of ${count} hosts …`)
      const data = await makeSet(dir, set, bodyRows)
      for (const indexes of [true, false]) {
        const result = await load({ db, connectionString, dir, influx, data, set, indexes, rounds, quick })
        results.push(result)
        console.log(`\n${table(result)}`)
        if (result.waits.length > 0) console.log(`\n${waitTable(result)}`)
      }
    }
    return { bodyRows, smallRows, results }
  } finally {
    await influx?.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

/** For docs/benchmarks.md. */
export function table({ name, rows, contenders }) {
  const base = Object.fromEntries(
    contenders.filter(({ isBase }) => isBase).map((one) => [one.connections, one.median]),
  )
  return markdownTable(
    [
      `${name}: ${rows.toLocaleString('en')} rows`,
      'connections',
      'metrics/s',
      'best run',
      'against \\copy, 1',
      'against \\copy, 2',
      'database, us a row',
      'Tidemark’s server, us a row',
      'load generator, us a row',
    ],
    contenders.map(({ label, connections: own, median, least, micros }) => [
      label,
      own,
      metrics(rows, median),
      metrics(rows, least),
      `${(base[1] / median).toFixed(2)}x`,
      `${(base[2] / median).toFixed(2)}x`,
      micros.database?.toFixed(2) ?? '',
      micros.server?.toFixed(2) ?? '',
      micros.client?.toFixed(2) ?? '',
    ]),
  )
}

export function waitTable({ name, waits }) {
  return markdownTable(
    [`${name}, at half of the rate`, 'rows/s', 'requests', 'p50, ms', 'p95, ms', 'p99, ms', 'longest, ms'],
    waits.map(({ label, rowsPerSecond, requests, p50, p95, p99, most }) => [
      label,
      Math.round(rowsPerSecond).toLocaleString('en'),
      requests,
      ...[p50, p95, p99, most].map(ms),
    ]),
  )
}

const metrics = (rows, milliseconds) => `${Math.round((rows * usages.length) / milliseconds)} k`

async function load({ db, connectionString, dir, influx, data, set, indexes, rounds, quick }) {
  const { rows, total, files, objects } = data
  const config = cpuConfig(api, { indexes })
  const [cpu] = config.datasets
  const plain = 'bench.plain'
  const openTidemark = () => api.createTidemark(config, { connectionString })
  let tm = await openTidemark()
  await tm.migrate()
  await tm.close()
  tm = null
  await db.execute(`drop table if exists ${plain}; create table ${plain} (${cpuColumnsSql})`)
  if (indexes)
    for (const keys of ['(hostname, time)', '(time)']) await db.execute(`create index on ${plain} ${keys}`)

  const halves = halvesOf(files.copy)
  const psql = (source) =>
    run_('psql', [
      ...['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', connectionString],
      ...['-c', `\\copy ${plain} from ${source}`],
    ])
  const sender = (url, form, path, contentType) =>
    startChild('load-child.mjs', { url, path, contentType, connections, ...files[form] })
  const serving = async () => {
    const server = await startChild('server-child.mjs', {
      ...{ root, connectionString, dir },
      ...{ config: 'cpuConfig', options: { indexes } },
    })
    return server
  }
  const chdb =
    process.env.BENCH_MODULES && indexes
      ? await startChild('chdb-child.mjs', { dir, file: files.copy.file })
      : null

  const http = (form, path, contentType) => {
    let [server, generator] = [null, null]
    return {
      connections,
      before: async () => {
        server = await serving()
        generator = await sender(server.ready.url, form, path, contentType)
      },
      run: async () => {
        const before = await server.ask('usage')
        const { usedMs, rows: sent } = await generator.ask('closed')
        if (sent !== rows) throw new Error(`${sent} of ${rows} rows were sent`)
        const after = await server.ask('usage')
        return { client: usedMs, server: after.usedMs - before.usedMs }
      },
      after: async () => {
        await generator.stop()
        await server.stop()
      },
    }
  }
  const engine = (own, run) => ({
    connections: own,
    before: async () => {
      tm = await openTidemark()
    },
    run,
    after: () => tm.close(),
  })
  async function* each() {
    for (let at = 0; at < rows; at += bodyRows) yield* objects(at, at + bodyRows)
  }
  const ndjson = ['ndjson', '/api/v1/datasets/bench.cpu/rows', 'application/x-ndjson']
  const contenders = {
    'psql 1': {
      ...{ label: '`psql \\copy`, text', connections: 1, isBase: true, isPlain: true },
      run: () => psql(`'${files.copy.file}'`),
    },
    'psql 2': {
      ...{ label: '`psql \\copy`, text, two at once', connections: 2, isBase: true, isPlain: true },
      run: () => Promise.all(halves.map(psql)),
    },
    pg: {
      ...{
        label: '`pg`, INSERT of 1,000 rows',
        connections: 2,
        isPlain: true,
      },
      run: () => insertStatements(connectionString, plain, objects, rows),
    },
    'insert 1': {
      label: '`tm.insert` of objects',
      ...engine(1, () => tm.insert(cpu, each(), { connections: 1 })),
    },
    'insert 2': {
      label: '`tm.insert` of objects',
      ...engine(2, () => tm.insert(cpu, each(), { connections: 2 })),
    },
    ingest: {
      label: `\`tm.ingest\` of ${bodyRows.toLocaleString('en')} rows, ${connections} callers`,
      ...engine(2, () => ingestAll(tm, cpu, objects, rows)),
    },
    ndjson: { label: 'HTTP, NDJSON', ...http(...ndjson) },
    line: { label: 'HTTP, line protocol', ...http('line', '/write', 'text/plain') },
    ...(influx &&
      indexes && {
        influx: {
          ...{ label: 'InfluxDB 1.6, line protocol', connections, isOther: true },
          ...influxContender(influx, sender, rows, total),
        },
      }),
    ...(chdb && {
      chdb: {
        label: `chdb (ClickHouse ${chdb.ready.version}), its own reader of the file`,
        ...{ connections: 1, isOther: true },
        before: () => chdb.ask('clear'),
        run: async () => ({ database: (await chdb.ask('load')).usedMs, client: null }),
        check: async () => assertSame('chdb', await chdb.ask('check'), { rows, total }),
      },
    }),
  }

  const verify = async (relation) => {
    const { rows: found } = await db.query(
      text(`select count(*)::float8, coalesce(sum(${usages.join(' + ')}), 0)::float8 from ${relation}`),
    )
    assertSame(relation, { rows: found[0][0], total: found[0][1] }, { rows, total })
  }
  const clear = async () => {
    await db.execute(`truncate ${plain}; truncate ${cpu.name}`)
    await dropChunks(db, cpu)
    await db.execute('checkpoint')
  }
  const spent = await processorTime(db)
  const processor = Object.fromEntries(
    Object.keys(contenders).map((key) => [key, { database: [], server: [], client: [] }]),
  )
  const variants = Object.fromEntries(
    Object.entries(contenders).map(([key, contender]) => {
      let [usedBefore, own] = [null, null]
      return [
        key,
        {
          before: async () => {
            await clear()
            await contender.before?.()
            usedBefore = spent()
          },
          run: async () => {
            own = await contender.run()
          },
          after: async (round) => {
            await contender.after?.()
            // until the processes of connections that were closed have ended and are counted
            await sleep(200)
            const used = spent()
            if (round > 0)
              keep(processor[key], {
                database: contender.isOther ? own.database : used.server - usedBefore.server,
                server: own?.server,
                // whoever is not told apart is this process with what it has started
                client: own?.client === undefined ? used.client - usedBefore.client : own.client,
              })
            if (contender.isOther) await contender.check()
            else await verify(contender.isPlain ? plain : cpu.name)
          },
        },
      ]
    }),
  )
  const times = await interleave(variants, { rounds, maxMs: Number.POSITIVE_INFINITY })
  const result = {
    name: `${set.hosts.toLocaleString('en')} hosts, ${indexes ? 'indexes (hostname, time) and (time)' : 'no index'}`,
    ...{ hosts: set.hosts, indexes, rows },
    contenders: Object.entries(contenders).map(([key, { label, connections: own, isBase }]) => ({
      ...{ key, label, connections: own, isBase: isBase === true },
      ...times[key],
      micros: Object.fromEntries(
        Object.entries(processor[key]).map(([who, list]) => [
          who,
          list.length === 0 ? null : (summarize(list).median * 1000) / rows,
        ]),
      ),
    })),
    waits: [],
  }
  for (const { label, median } of result.contenders)
    console.log(`  ${result.name}: ${label} ${metrics(rows, median)} metrics/s`)
  await chdb?.stop()
  if (indexes) {
    const half = (key) => rows / times[key].median / 2
    const seconds = quick ? 3 : 20
    await clear()
    const handle = await open(files.ndjson.file)
    const bodies = await cutBodies(handle, files.ndjson.bodies.slice(0, 40), smallRows)
    await handle.close()
    for (const [label, query] of [
      ['HTTP, NDJSON', ''],
      ['HTTP, NDJSON, ack=queued', '?ack=queued'],
    ])
      result.waits.push({
        label,
        ...(await waitsAt({ serving, bodies, query, files, perMs: half('ndjson'), seconds, db, cpu, clear })),
      })
  }
  await db.execute(`drop table ${plain}; drop table ${cpu.name}; delete from tidemark.hypertable`)
  return result
}

/** Requests that are due at fixed times, whatever becomes of those before: half as many rows as were taken at most. */
async function waitsAt({ serving, bodies, query, files, perMs, seconds, db, cpu, clear }) {
  const server = await serving()
  const generator = await startChild('load-child.mjs', {
    ...{ url: server.ready.url, path: `/api/v1/datasets/bench.cpu/rows${query}`, bodies },
    ...{ contentType: 'application/x-ndjson', file: files.ndjson.file, connections: 16 },
  })
  const perSecond = (perMs * 1000) / smallRows
  // the first requests compile what they run
  const warm = await generator.ask('open', { perSecond, seconds: seconds / 4 })
  const found = await generator.ask('open', { perSecond, seconds })
  await generator.stop()
  await untilDrained(server)
  await server.stop()
  const { rows } = await db.query(
    text(`select count(*)::float8, coalesce(sum(${usages.join(' + ')}), 0)::float8 from ${cpu.name}`),
  )
  assertSame(
    `at half of the rate${query}`,
    { rows: rows[0][0], total: rows[0][1] },
    { rows: warm.rows + found.rows, total: warm.total + found.total },
  )
  await clear()
  return { rowsPerSecond: found.rows / (found.ms / 1000), ...found }
}

function keep(lists, used) {
  for (const [who, value] of Object.entries(used))
    if (typeof value === 'number' && Number.isFinite(value)) lists[who].push(value)
}

/** What writes each half of the file to its standard output, cut at the end of a body. */
function halvesOf({ file, bodies }) {
  const { at } = bodies[bodies.length >> 1]
  return [`program 'head -c ${at} ${file}'`, `program 'tail -c +${at + 1} ${file}'`]
}

async function ingestAll(tm, cpu, objects, rows) {
  let next = 0
  const caller = async () => {
    for (let at = next; at < rows; at = next) {
      next += bodyRows
      const { inserted } = await tm.ingest(cpu, objects(at, at + bodyRows))
      if (inserted !== Math.min(bodyRows, rows - at)) throw new Error(`${inserted} rows were inserted`)
    }
  }
  await Promise.all(Array.from({ length: connections }, caller))
}
