// Runs a fault against a server that takes rows, and counts afterwards: what was acknowledged is stored, once.
import { randomUUID } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { text } from '../harness.mjs'
import { createRandom } from '../tsbs.mjs'
import { startChild } from './children.mjs'
import { faults } from './faults.mjs'
import { freePort } from './ports.mjs'
import { startProxy } from './proxy.mjs'
import { chaosConfig } from './tables.mjs'
import { startWriters } from './writers.mjs'

const patienceMs = 120_000

/**
 * @typedef {object} Build what is measured: the folder of its files as a URL, and what is in some of them
 * @property {string} root
 * @property {any} api its index.js
 * @property {any} client its client/index.js
 * @property {any} postgres its postgres/index.js
 *
 * @typedef {object} Cluster a server of PostgreSQL
 * @property {string} connectionString of a database in which others can be made
 * @property {() => Promise<void>} [kill]
 * @property {() => Promise<void>} [restart]
 */

/**
 * @param {{ build: Build, cluster: Cluster, name: string, seed: number, quick?: boolean }} options
 * @returns {Promise<object>} `skipped` says why a fault cannot be had here
 */
export async function runFault({ build, cluster, name, seed, quick = false }) {
  const fault = faults[name]
  if (fault === undefined)
    throw new Error(`there is no fault ${name}; there are: ${Object.keys(faults).join(', ')}`)
  const { about } = fault
  if (fault.kills && cluster.kill === undefined)
    return { name, about, skipped: 'the database is not ours to kill' }
  const random = createRandom(seed + [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7))
  const endings = []
  const onEnd = (end) => endings.unshift(end)
  try {
    const dir = await mkdtemp(join(tmpdir(), 'tidemark-chaos-'))
    onEnd(() => rm(dir, { recursive: true, force: true }))
    const skipped = (await fault.prepare?.({ dir, onEnd })) ?? null
    if (skipped !== null) return { name, about, skipped }
    const world = await createWorld({ build, cluster, fault, dir, onEnd, random })
    world.times = (count) => (quick ? Math.ceil(count / 2) : count)
    const { writers, proxy } = world
    const enough = quick ? 20 : 200
    await writers.more(enough)
    await fault.act(world, random)
    await writers.more(enough)
    const { longestPauseMs } = await writers.stop()
    await world.untilDrained()
    const stored = await world.stored()
    return { name, about, seed, ...countAll(writers, stored), longestPauseMs, cuts: proxy.cuts }
  } finally {
    for (const end of endings) await end()
  }
}

/** What has to be nothing: rows that were acknowledged and are not there, rows that are there twice. */
function countAll({ acknowledged, open, refusals, tries }, stored) {
  let [lost, doubled] = [0, 0]
  for (const seq of acknowledged) if (!stored.has(seq)) lost += 1
  for (const count of stored.values()) doubled += count - 1
  return {
    acknowledged: acknowledged.size,
    stored: stored.size,
    doubled,
    lost,
    // the client gave up, or was told that it never will be: stored or not, nobody was promised anything
    neverAcknowledged: open.size,
    refusals: Object.fromEntries(refusals),
    requests: tries,
  }
}

async function createWorld({ build, cluster, fault, dir, onEnd, random }) {
  const { root, api, client, postgres } = build
  const admin = postgres.createDatabase({ connectionString: cluster.connectionString, max: 1 })
  const database = `chaos_${randomUUID().replaceAll('-', '')}`
  await admin.query(text(`create database ${database} template template0`))
  await admin.close()
  const direct = new URL(cluster.connectionString)
  direct.pathname = `/${database}`
  const openDb = () => postgres.createDatabase({ connectionString: direct.href, max: 2 })
  const db = openDb()
  onEnd(async () => {
    await db.close()
    const last = postgres.createDatabase({ connectionString: cluster.connectionString, max: 1 })
    await last.query(text(`drop database if exists ${database} with (force)`))
    await last.close()
  })
  const proxy = await startProxy(Number(direct.port))
  onEnd(() => proxy.stop())
  const through = new URL(direct)
  through.port = String(proxy.port)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  let child = null
  const server = {
    start: async () => {
      child = await startChild('server-child.mjs', {
        ...{ root, connectionString: through.href, dir, port, migrate: child === null },
        ...{ config: 'chaosConfig', options: {}, ...(fault.jobs && { jobsEveryMs: 300 }) },
      })
    },
    kill: () => child.kill('SIGKILL'),
    ask: (order) => child.ask(order),
  }
  await server.start()
  onEnd(() => child.stop())
  const { protection, maxRows } = fault
  const own = startWriters({ client, url, protection, random, ...(maxRows === undefined ? {} : { maxRows }) })
  onEnd(() => own.stop().catch(() => {}))
  const until = async (isTrue, what) => {
    for (const end = Date.now() + patienceMs; !(await isTrue()); await sleep(10))
      if (Date.now() > end)
        throw new Error(
          `it never came that ${what}; the server has answered ${JSON.stringify([...own.refusals])}`,
        )
  }
  return {
    ...{ cluster, db, dir, proxy, server },
    writers: Object.assign(own, {
      /** Until so many batches more are acknowledged. */
      more: (count) => {
        const wanted = own.acks + count
        return until(() => own.acks >= wanted, `${count} more batches were acknowledged`)
      },
      refused: (count) => {
        const all = () => [...own.refusals.values()].reduce((sum, n) => sum + n, 0)
        const wanted = all() + count
        return until(() => all() >= wanted, 'the server refused batches')
      },
    }),
    async holdTable() {
      let letGo
      const released = new Promise((resolve) => {
        letGo = resolve
      })
      let [held, ended] = [null, null]
      await new Promise((resolve, reject) => {
        ended = db.withConnection(async (connection) => {
          await connection.execute(`begin; lock table ${own.table} in share mode`)
          resolve()
          await released
          await connection.execute('rollback')
        })
        held = ended.catch(reject)
      })
      return async () => {
        letGo()
        await held
        await ended
      }
    },
    untilDrained: () =>
      until(async () => {
        const answer = await fetch(`${url}/api/v1/status`).catch(() => null)
        return answer?.ok && (await answer.json()).spool.waitingBytes === 0
      }, 'the spool is empty'),
    /** How often each row is there, wherever it is. */
    async stored() {
      const tm = await api.createTidemark(chaosConfig(api, {}), { connectionString: direct.href, root: dir })
      try {
        await tm.thaw(own.table, { all: true })
        const { rows } = await db.query(
          text(`select seq::float8, count(*)::float8 from ${own.table} group by seq`),
        )
        return new Map(rows)
      } finally {
        await tm.close()
      }
    },
  }
}

/**
 * A server of npm's binaries in a folder of its own, which may be killed.
 *
 * @returns {Promise<Cluster & { stop: () => Promise<void> }>}
 */
export async function startCluster(startEmbedded, dataDir) {
  let running = await startEmbedded({ dataDir })
  const { connectionString, port } = running
  return {
    connectionString,
    async kill() {
      const [pid] = (await readFile(join(running.dataDir, 'postmaster.pid'), 'utf8')).split('\n')
      process.kill(Number(pid), 'SIGKILL')
    },
    async restart() {
      running = await startEmbedded({ dataDir, port })
    },
    async stop() {
      await running.stop()
      for (const dir of new Set([dataDir, running.dataDir])) await rm(dir, { recursive: true, force: true })
    },
  }
}
