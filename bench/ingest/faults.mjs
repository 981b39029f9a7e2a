// Things that happen to a server that takes rows. Each is told the world and a source of chance that is the same for the same seed.
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { text } from '../harness.mjs'

const run = promisify(execFile)
const somewhere = (random, from, to) => from + Math.floor(random() * (to - from))

/**
 * @typedef {object} Fault
 * @property {string} about a row of the table
 * @property {'durable' | 'queued' | 'event ids'} protection
 * @property {number} [maxRows] of a batch
 * @property {boolean} [kills] needs a database of its own that may be killed
 * @property {(world: any) => Promise<string | null>} [prepare] before the server starts; says why it cannot be had here
 * @property {(world: any, random: () => number) => Promise<void>} act while rows are being written; `world.times(n)` is n, or half
 * of it where it has to be quick
 */

/** Ends every connection that is doing something. */
async function terminate({ db }) {
  await db.query(
    text(`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`),
  )
}

async function terminateOften(world, random) {
  for (let i = 0; i < world.times(8); i++) {
    await sleep(somewhere(random, 20, 250))
    await terminate(world)
  }
}

async function cutOften({ proxy, times }, random) {
  for (let i = 0; i < times(8); i++) {
    const before = proxy.cuts
    proxy.cutAfter(somewhere(random, 1, 60_000))
    for (let waited = 0; proxy.cuts === before && waited < 3000; waited += 10) await sleep(10)
    await sleep(somewhere(random, 0, 100))
  }
  proxy.cutAll()
}

async function killDatabase({ cluster, times, writers }, random) {
  for (let i = 0; i < times(2); i++) {
    await cluster.kill()
    await sleep(somewhere(random, 100, 1500))
    await cluster.restart()
    await writers.more(20)
  }
}

async function killServer({ server, times, writers }, random) {
  for (let i = 0; i < times(4); i++) {
    await sleep(somewhere(random, 50, 400))
    await server.kill()
    await sleep(somewhere(random, 0, 200))
    await server.start()
    await writers.more(10)
  }
}

/** A small disk at a folder of the server's; needs root. */
function smallDisk(folder, size) {
  return async ({ dir, onEnd }) => {
    const path = join(dir, folder)
    await mkdir(path, { recursive: true })
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tidemark-bench', path])
    } catch (error) {
      return `no small disk can be mounted here (root, and the right to mount, are needed): ${String(error.stderr ?? error.message).trim()}`
    }
    onEnd(() => run('umount', ['-l', path]))
    return null
  }
}

/** Rows are acknowledged and cannot be written, until the disk is full; then they can. */
async function fillSpool({ holdTable, writers }) {
  const letGo = await holdTable()
  await writers.refused(5)
  await letGo()
}

/** Chunks cannot be frozen, until there is room. */
async function fillLake({ dir, server, writers }) {
  const failed = []
  for (const end = Date.now() + 60_000; failed.length === 0; await sleep(100)) {
    failed.push(...(await server.ask('jobs')).failed.filter((problem) => problem.startsWith('freeze')))
    if (Date.now() > end)
      throw new Error(`no freeze has failed for want of room: ${JSON.stringify(await server.ask('jobs'))}`)
  }
  await writers.more(20)
  await run('mount', ['-o', 'remount,size=512m', join(dir, 'lake')])
  // the worker leaves it alone for a while after a failure; whoever has made room does not
  const { rows } = await server.ask('freeze')
  if (!(rows > 0)) throw new Error('nothing was frozen, though there is room again')
}

/** @type {Record<string, Fault>} */
export const faults = {
  'backends-ended': {
    about: 'connections ended by the database (pg_terminate_backend), 8 times',
    protection: 'durable',
    act: terminateOften,
  },
  'backends-ended-ids': {
    about: 'the same, a fifth of the answers lost besides; event ids, no keys',
    protection: 'event ids',
    act: terminateOften,
  },
  'network-cut': {
    about: 'connections cut in the middle of a COPY, 8 times',
    protection: 'durable',
    maxRows: 2000,
    act: cutOften,
  },
  'database-killed': {
    about: 'SIGKILL of the postmaster, restarted, twice',
    protection: 'durable',
    kills: true,
    act: killDatabase,
  },
  'database-killed-queued': {
    about: 'SIGKILL of the postmaster, restarted, twice; ack=queued',
    protection: 'queued',
    kills: true,
    act: killDatabase,
  },
  'server-killed': {
    about: 'SIGKILL of the server, started again, 4 times',
    protection: 'durable',
    act: killServer,
  },
  'server-killed-queued': {
    about: 'SIGKILL of the server, started again, 4 times; ack=queued',
    protection: 'queued',
    act: killServer,
  },
  'server-killed-ids': {
    about: 'SIGKILL of the server, started again, 4 times; event ids, no keys',
    protection: 'event ids',
    act: killServer,
  },
  'spool-full': {
    about: 'the disk of the spool is full while the table is locked; ack=queued',
    protection: 'queued',
    prepare: smallDisk('spool', '2m'),
    act: fillSpool,
  },
  'lake-full': {
    about: 'the disk of the lake is full while chunks are frozen, then larger',
    protection: 'durable',
    jobs: true,
    prepare: smallDisk('lake', '16k'),
    act: fillLake,
  },
}
