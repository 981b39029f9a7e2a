// A server that takes rows at a steady rate for as long as it is told to, while its worker freezes, refreshes, trims and drops, and
// somebody looks at a dashboard. In the end every row that was acknowledged is counted, by minute and host.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startChild } from './children.mjs'
import { steadyConfig } from './tables.mjs'

/**
 * @param {object} options
 * @param {string} options.root URL of the folder of the build that is measured
 * @param {any} options.api its index.js
 * @param {string} options.connectionString of an empty database
 * @param {number} options.seconds
 * @param {number | null} options.rate rows a second; null: a quarter of what is taken at most
 * @param {number} options.partSeconds length of one line of the report, and of one way of acknowledging
 * @param {number} options.speed of the clock: 60 makes minutes of seconds
 * @param {{ chunk: string, freezeAfter: string, retain: string }} options.life
 * @param {() => Promise<number>} options.databaseBytes
 * @param {[string, number][]} [options.awaited] how much of what the worker must have done before rows are counted:
 * ['expire bench.readings chunks', 1]
 * @param {(line: object) => void} [options.onPart]
 */
export async function runSteady(options) {
  const { root, connectionString, seconds, partSeconds, speed, life, hosts = 50, batchRows = 500 } = options
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-steady-'))
  const clock = { originMs: Date.now(), speed }
  const server = await startChild(
    'server-child.mjs',
    {
      ...{ root, connectionString, dir, clock, migrate: true },
      ...{ config: 'steadyConfig', options: life, jobsEveryMs: options.jobsEveryMs ?? 1000 },
    },
    { execArgv: ['--expose-gc'] },
  )
  let generator = null
  try {
    generator = await startChild('steady-child.mjs', { url: server.ready.url, clock, hosts, batchRows })
    const rate = options.rate ?? Math.round((await generator.ask('most', { seconds: 10 })).perSecond / 4)
    const parts = []
    for (let part = 0; part * partSeconds < seconds; part++) {
      const ack = part % 2 === 0 ? 'durable' : 'queued'
      const used = await server.ask('usage')
      const sent = await generator.ask('part', { ack, seconds: partSeconds, rate })
      const usage = await server.ask('usage')
      const line = {
        ...{ part, ack, ...sent, rate },
        serverMs: usage.usedMs - used.usedMs,
        ...{ rss: usage.rss, heap: usage.heapUsed, external: usage.external, spoolBytes: usage.spoolBytes },
        database: await options.databaseBytes(),
      }
      parts.push(line)
      options.onPart?.(line)
    }
    await untilDrained(server)
    const jobs = await untilDone(server, options.awaited ?? [])
    const { rows, refused, cells } = await generator.ask('cells')
    const found = await compare(options, dir, clock, cells, rows)
    return { rate, parts, jobs, acknowledged: rows, refused, ...found, heap: heapOf(parts) }
  } finally {
    await generator?.stop()
    await server.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

export async function untilDrained(server) {
  for (const end = Date.now() + 300_000; ; await sleep(50)) {
    const bytes = await server.ask('waiting')
    if (bytes === 0) return
    if (Date.now() > end) throw new Error(`${bytes} bytes are left in the spool`)
  }
}

/** What the worker has done by then, with all that is awaited of it. */
async function untilDone(server, awaited) {
  const failed = []
  for (const end = Date.now() + 60_000; ; await sleep(50)) {
    const jobs = await server.ask('jobs')
    failed.push(...jobs.failed)
    const open = awaited.filter(([job, least]) => !(jobs.done[job] >= least))
    if (open.length === 0) return { done: jobs.done, failed }
    if (Date.now() > end)
      throw new Error(`the worker has not done ${open}: ${JSON.stringify([jobs.done, failed])}`)
  }
}

/** By the continuous aggregate, which keeps the minutes whose rows were dropped, and by the rows that are there. */
async function compare({ api, connectionString, life }, dir, clock, cells, acknowledged) {
  const config = steadyConfig(api, life)
  const tm = await api.createTidemark(config, {
    connectionString,
    root: dir,
    clock: {
      now: () => BigInt(Math.floor((clock.originMs + (Date.now() - clock.originMs) * clock.speed) * 1000)),
    },
  })
  try {
    const [readings, minutes] = [config.datasets[0], config.aggregates[0]]
    const { rows } = await tm.query(minutes, {
      bucket: '1 minute',
      by: ['host'],
      select: { n: 'n', seqs: 'seqs', a: 'a' },
    })
    const stored = new Map(
      rows.map(({ bucket, host, n, seqs, a }) => [
        `${Date.parse(bucket) / 60_000} ${host}`,
        { n: Number(n), seqs: Number(seqs), a },
      ]),
    )
    let [missing, doubled, wrong, total] = [0, 0, 0, 0]
    for (const { n } of stored.values()) total += n
    for (const { minute, host, n, seqs, a } of cells) {
      const cell = stored.get(`${minute} ${host}`) ?? { n: 0, seqs: 0, a: 0 }
      if (cell.n < n) missing += n - cell.n
      else if (cell.n > n) doubled += cell.n - n
      else if (cell.seqs !== seqs || cell.a !== a) wrong += 1
    }
    const { rows: whole } = await tm.query(readings, { select: { n: api.count() } })
    // by the spool: those of durable rows are told to whoever sent them
    const { rows: dead } = await tm.sql(
      "select count(*)::int4 as n from tidemark.dead_letter where file = 'spool' and reason = 'expired'",
    )
    const { rows: states } = await tm.sql(
      'select state, count(*)::int4 as n from tidemark.chunk group by state order by state',
    )
    return {
      ...{ stored: total, doubled, wrong, dead: dead[0].n },
      // what was acknowledged, and came out of the spool when its time was dropped, is kept as a dead letter
      lost: missing - dead[0].n,
      unknown: Math.max(0, total - acknowledged),
      rowsLeft: Number(whole[0].n),
      chunks: Object.fromEntries(states.map(({ state, n }) => [state, n])),
    }
  } finally {
    await tm.close()
  }
}

/** After a part that warms up: the heap after a collection, of the first and the last quarter. */
function heapOf(parts) {
  const later = parts.slice(1)
  const quarter = Math.max(1, Math.floor(later.length / 4))
  const mean = (list) => list.reduce((sum, { heap }) => sum + heap, 0) / Math.max(1, list.length)
  const [first, last] = [mean(later.slice(0, quarter)), mean(later.slice(-quarter))]
  return { first, last, isFlat: last <= first * 1.25 + 16 * 2 ** 20 }
}
