// Chunks on their way between PostgreSQL and the lake: freeze, verify, compact, thaw; what they take before and after, what it
// costs, and how long others wait meanwhile.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { count, max, sum as total } from '../../dist/index.js'
import { markdownTable, ms, processorTime, summarize, text } from '../harness.mjs'
import {
  assertSameWhole,
  bytesInPostgres,
  chunksOf,
  cpuHypertable,
  filesOf,
  fill,
  lakeConfig,
  openTidemark,
  rowsInPostgres,
  sum,
  wholeQuery,
  withFolder,
} from '../lake.mjs'
import { timescaleBytes, timescaleNote } from '../timescale-figures.mjs'
import { rowCount, tsbsDefaults, tsbsValues } from '../tsbs.mjs'

export const about =
  'rows/s of freeze, verify, compact and thaw, bytes before and after, and what others wait meanwhile'

const kinds = Object.keys(tsbsValues)
const tables = Object.fromEntries(kinds.map((kind) => [kind, cpuHypertable(`cpu_${kind.replace(' ', '_')}`)]))
const everything = wholeQuery({ count, max, sum: total })

export async function run({ db, connectionString, rounds = 2, quick, values }) {
  if (values !== undefined && !kinds.includes(values))
    throw new Error(`--values is one of ${kinds.join(', ')}, not ${values}`)
  const set = { ...tsbsDefaults, ...(quick ? { days: 1 } : {}) }
  return withFolder(async (dir) => {
    const results = []
    for (const kind of values === undefined ? kinds : [values]) {
      const config = lakeConfig([tables[kind]], dir)
      const tm = await openTidemark(config, connectionString)
      try {
        await tm.migrate()
        const context = { db, tm, connectionString, dir, cpu: tables[kind], set: { ...set, values: kind } }
        results.push(await measure(context, quick ? 1 : rounds))
      } finally {
        await tm.close()
      }
    }
    console.log(
      `\n${bytesTable(results)}\n\n${speedTable(results)}\n\n${waitsTable(results)}\n\n${timescaleNote}`,
    )
    return { set, results, timescale: timescaleBytes, timescaleNote }
  })
}

async function measure(context, rounds) {
  const { db, tm, cpu, set } = context
  const rows = rowCount(set)
  await fill(db, tm, cpu, set)
  context.inPostgres = await rowsInPostgres(db, cpu.name)
  ;[context.answer] = (await tm.query(cpu, everything)).rows
  if (context.inPostgres.count !== rows)
    throw new Error(`expected ${rows} rows, found ${context.inPostgres.count}`)
  const before = await bytesInPostgres(db, cpu)
  const steps = {
    'freeze, one chunk at a time': { run: () => freezeEach(context), isCold: true },
    verify: { run: () => verify(context), isCold: true },
    compact: { run: async () => assertMoved(await tm.compact(cpu.name, { all: true }), rows), isCold: true },
    thaw: { run: async () => assertMoved(await tm.thaw(cpu.name, { all: true }), rows), isCold: false },
    "freeze, as the worker's job": { run: () => runFreezeJob(context), isCold: true },
    'thaw ': { run: async () => assertMoved(await tm.thaw(cpu.name, { all: true }), rows), isCold: false },
  }
  const spent = await processorTime(db)
  context.spent = spent
  const taken = Object.fromEntries(Object.keys(steps).map((name) => [name, []]))
  let after = null
  for (let round = 0; round <= rounds; round++) {
    for (const [name, { run, isCold }] of Object.entries(steps)) {
      // Nothing is left to write from the step before, and rows are as rows are that have been there for a while.
      if (name.startsWith('freeze')) await db.query(text(`vacuum ${cpu.name}`))
      await db.execute('checkpoint')
      const usedBefore = spent()
      const startedAt = performance.now()
      const own = await run()
      const elapsed = performance.now() - startedAt
      await setTimeout(200)
      const used = spent()
      const whole = {
        ms: elapsed,
        server: (used.server ?? Number.NaN) - usedBefore.server,
        client: used.client - usedBefore.client,
      }
      if (round > 0) taken[name].push(own ?? whole)
      await assertPlace(context, name, isCold)
      if (name.startsWith('freeze')) after ??= await bytesInLake(context)
    }
    console.log(`  ${set.values}: ${round === 0 ? 'warmed up' : `round ${round}`}`)
  }
  // the thaws are one thing
  taken.thaw.push(...taken['thaw '])
  delete taken['thaw ']
  const result = {
    values: set.values,
    rows,
    bytes: { before, ...after, ratio: before.total / (after.files + after.summaries) },
    steps: Object.fromEntries(
      Object.entries(taken).map(([name, list]) => [
        name,
        {
          ...summarize(list.map((each) => each.ms)),
          microsPerRow: {
            server: (summarize(list.map((each) => each.server)).median * 1000) / rows,
            client: (summarize(list.map((each) => each.client)).median * 1000) / rows,
          },
        },
      ]),
    ),
    waits: await probe(context),
  }
  for (const line of lines(result)) console.log(`  ${line}`)
  return result
}

/** As somebody does who looks after each. */
async function freezeEach({ tm, cpu, set }) {
  let rows = 0
  for (const chunk of chunksOf(set)) rows += (await tm.freeze(cpu.name, chunk)).rows
  assertMoved({ rows, failed: [], taken: [] }, rowCount(set))
}

/** The job alone; what the worker does besides (chunks ahead, reclaim) is not its time. */
async function runFreezeJob({ tm, cpu, set, spent }) {
  let own = null
  let before = spent()
  const worker = tm.createWorker({
    onRun: ({ name, ms: elapsed, error, result }) => {
      if (error) throw error
      const after = spent()
      if (name === `freeze ${cpu.name}`) {
        assertMoved({ ...result, failed: result.failed ?? [] }, rowCount(set))
        own = { ms: elapsed, server: after.server - before.server, client: after.client - before.client }
      }
      before = after
    },
  })
  await worker.runOnce({ force: true })
  await worker.stop()
  return own
}

async function verify({ tm, cpu, set }) {
  const { rows, problems } = await tm.verify([cpu.name])
  if (rows !== rowCount(set) || problems.length > 0)
    throw new Error(`verify: ${rows} of ${rowCount(set)} rows; ${problems.map((each) => each.problem)}`)
}

function assertMoved({ rows, failed }, expected) {
  if (rows !== expected || failed.length > 0)
    throw new Error(`${rows} of ${expected} rows were moved; ${JSON.stringify(failed)}`)
}

/** Every row is where it should be and nowhere else, and a query finds what it found at first. */
async function assertPlace({ db, tm, cpu, inPostgres, answer }, name, isCold) {
  const found = await rowsInPostgres(db, cpu.name)
  const expected = isCold ? { count: 0, hash: '0' } : inPostgres
  if (found.count !== expected.count || found.hash !== expected.hash)
    throw new Error(`after ${name}: PostgreSQL holds ${found.count} rows, expected ${expected.count}`)
  assertSameWhole(`after ${name}`, answer, (await tm.query(cpu, everything)).rows[0])
}

async function bytesInLake({ db, cpu }) {
  const files = await filesOf(db, cpu)
  return {
    files: sum(files, ({ bytes }) => bytes),
    summaries: sum(files, ({ summaryBytes }) => summaryBytes),
    left: (await bytesInPostgres(db, cpu)).total,
  }
}

/**
 * Freezes once more while others read and write; each of them in a process of its own, so that only the database is shared. The
 * first chunk is cold before they begin, as it is with a table that has a history.
 */
async function probe(context) {
  const { db, tm, cpu, set, connectionString, dir } = context
  await db.query(text(`vacuum ${cpu.name}`))
  const first = (await tm.freeze(cpu.name, chunksOf(set)[0])).rows
  const orders = { table: cpu.table, connectionString, dir, set }
  const probes = await Promise.all(['reader', 'writer'].map((role) => startProbe({ ...orders, role })))
  await setTimeout(1_000)
  for (const { child } of probes) child.send('before')
  await setTimeout(3_000)
  for (const { child } of probes) child.send('meanwhile')
  const startedAt = performance.now()
  const { rows, failed } = await tm.freeze(cpu.name, { all: true })
  const elapsed = performance.now() - startedAt
  for (const { child } of probes) child.send('after')
  const told = await Promise.all(probes.map((each) => each.stop()))
  // the newest chunk is frozen too, with what the writer had put there by then
  if (first + rows < rowCount(set) || failed.length > 0)
    throw new Error(`${first + rows} of ${rowCount(set)} rows were moved; ${JSON.stringify(failed)}`)
  const written = told[1].calls
  const [{ n }] = (await tm.query(cpu, { select: { n: count() } })).rows
  if (Number(n) !== rowCount(set) + written)
    throw new Error(`${n} rows, expected ${rowCount(set)} and ${written} that were written meanwhile`)
  const waits = Object.fromEntries(
    told.flatMap(({ seen }) =>
      Object.entries(seen).map(([name, { before, meanwhile }]) => [
        name,
        { before: waitsOf(before), meanwhile: waitsOf(meanwhile) },
      ]),
    ),
  )
  return { freezeMs: elapsed, rowsMoved: rows, written, firstColdMs: probes[0].firstMs, waits }
}

async function startProbe(orders) {
  const child = fork(fileURLToPath(new URL('../wait-probe.mjs', import.meta.url)), [JSON.stringify(orders)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the ${orders.role} ended with ${code}`)
  })
  ended.catch(() => {})
  const [{ firstMs }] = await Promise.race([once(child, 'message'), ended])
  return {
    child,
    firstMs,
    async stop() {
      const answer = once(child, 'message')
      if (child.connected) child.send('stop')
      const [told] = await Promise.race([answer, ended])
      return told
    },
  }
}

function waitsOf(list = []) {
  const sorted = [...list].sort((a, b) => a - b)
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
  return { calls: sorted.length, median: at(0.5), p99: at(0.99), longest: sorted.at(-1) ?? null }
}

const mb = (bytes) => (bytes / 1e6).toFixed(1)

/** For docs/benchmarks.md. */
export function bytesTable(results) {
  return markdownTable(
    [
      'values',
      'rows with TOAST, MB',
      'indexes, MB',
      'files, MB',
      'summaries, MB',
      'smaller',
      'left in PostgreSQL, MB',
      'TimescaleDB compressed, elsewhere, MB',
    ],
    results.map(({ values, rows, bytes }) => [
      values,
      mb(bytes.before.heap),
      mb(bytes.before.indexes),
      mb(bytes.files),
      mb(bytes.summaries),
      `${bytes.ratio.toFixed(1)}x`,
      mb(bytes.left),
      rows === rowCount(tsbsDefaults) ? mb(timescaleBytes[values].compressed) : '',
    ]),
  )
}

export function speedTable(results) {
  return markdownTable(
    ['step', 'values', 'rows/s', 'best run', 'server, us a row', 'client, us a row'],
    results.flatMap(({ values, rows, steps }) =>
      Object.entries(steps).map(([name, { median, least, microsPerRow }]) => [
        name,
        values,
        `${Math.round(rows / median)} k`,
        `${Math.round(rows / least)} k`,
        microsPerRow.server.toFixed(2),
        microsPerRow.client.toFixed(2),
      ]),
    ),
  )
}

export function waitsTable(results) {
  const shown = (value) => (value === null ? '' : ms(value))
  return markdownTable(
    [
      'call',
      'values',
      'p99 before, ms',
      'longest before, ms',
      'p99 during a freeze, ms',
      'longest during it, ms',
      'calls',
    ],
    results.flatMap(({ values, waits: { waits } }) =>
      Object.entries(waits).map(([name, { before, meanwhile }]) => [
        name,
        values,
        shown(before.p99),
        shown(before.longest),
        shown(meanwhile.p99),
        shown(meanwhile.longest),
        meanwhile.calls,
      ]),
    ),
  )
}

function lines({ values, rows, bytes, steps, waits }) {
  const moved = Object.entries(steps).map(
    ([
      name,
      {
        median,
        microsPerRow: { server, client },
      },
    ]) =>
      `${values}, ${name}: ${Math.round(rows / median)} k rows/s, us of processor a row: server ${server.toFixed(2)}, client ${client.toFixed(2)}`,
  )
  const waited = Object.entries(waits.waits).map(
    ([name, { meanwhile }]) =>
      `${values}, ${name}: longest wait ${meanwhile.longest === null ? '?' : ms(meanwhile.longest)} ms in ${meanwhile.calls} calls`,
  )
  return [
    `${values}: ${mb(bytes.before.total)} -> ${mb(bytes.files + bytes.summaries)} MB, ${bytes.ratio.toFixed(1)}x`,
    ...moved,
    ...waited,
    `${values}, the first query of a process over cold rows (it loads DuckDB): ${ms(waits.firstColdMs)} ms`,
  ]
}
