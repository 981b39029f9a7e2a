// A dashboard's answer over HTTP: kept in the process, kept in Redis, computed; and a write of one row beside them. Redis is Debian's
// redis-server, started here on a free port; without it that line is left out.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { createServer as createListener } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer, listen } from '../../dist/api/index.js'
import { avg, count, createTidemark, defineConfig, hypertable, max, t } from '../../dist/index.js'
import { markdownTable, ms } from '../harness.mjs'

export const about = 'a dashboard answer over HTTP: kept in the process, in Redis, computed'

const program = '/usr/bin/redis-server'
const day = 86_400_000
const start = Date.UTC(2026, 0, 1)

const readings = hypertable('bench.readings', {
  columns: { time: t.timestamptz(), device: t.int4(), value: t.float8() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['device'],
})

/** 24 h by hour and device: some 100 kB of JSON. */
const question = {
  dataset: 'bench.readings',
  from: new Date(start).toISOString(),
  to: new Date(start + day).toISOString(),
  bucket: '1 hour',
  by: ['device'],
  select: { n: count(), mean: avg('value'), top: max('value') },
}

export async function run({ connectionString, rounds = 300, quick }) {
  const redis = existsSync(program) ? await startRedis() : null
  const open = (layers, redisUrl) => openServer(connectionString, { memory: 0, layers }, redisUrl)
  const servers = [
    ['computed', await open({}, null), {}],
    ['kept in the process', await open({}, null), { cache: 'dashboard' }],
    // nothing is held in the process, so that each answer comes from there
    ...(redis
      ? [['kept in Redis', await open({ dashboard: { memory: 0 } }, redis.url), { cache: 'dashboard' }]]
      : []),
  ]
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  try {
    const [, { tm }] = servers[0]
    await tm.migrate()
    const devices = quick ? 10 : 40
    for (let hour = 0; hour < 24; hour++)
      await tm.insert(
        readings,
        Array.from({ length: devices * 360 }, (_, i) => ({
          time: new Date(start + hour * 3_600_000 + Math.floor(i / devices) * 10_000),
          device: i % devices,
          value: Math.sin(i) * 100,
        })),
      )
    const times = Object.fromEntries(servers.map(([name]) => [name, []]))
    const given = {}
    let bytes = 0
    // the first ones connect, join, and fill
    for (let round = -60; round < rounds; round++) {
      for (const [name, { port }, more] of servers) {
        const began = performance.now()
        const { status, text, cache } = await post(agent, port, '/api/v1/query', { ...question, ...more })
        const took = performance.now() - began
        if (status !== 200) throw new Error(`${name}: ${status} ${text}`)
        bytes = text.length
        if (round < 0) {
          await sleep(20)
          continue
        }
        times[name].push(took)
        const outcome = cache?.split(';')[0] ?? 'computed'
        given[name] = { ...given[name], [outcome]: (given[name]?.[outcome] ?? 0) + 1 }
      }
    }
    const writes = {}
    for (const [name, { port }] of servers) {
      writes[name] = []
      for (let i = 0; i < rounds; i++) {
        const row = { time: new Date(start + 3 * day + i).toISOString(), device: 1, value: i }
        const began = performance.now()
        const { status, text } = await post(agent, port, '/api/v1/datasets/bench.readings/rows', [row])
        if (status >= 300) throw new Error(`${name}: ${status} ${text}`)
        writes[name].push(performance.now() - began)
      }
    }
    const figures = Object.fromEntries(
      servers.map(([name]) => [
        name,
        { answer: percentiles(times[name]), write: percentiles(writes[name]), given: given[name] },
      ]),
    )
    console.log(`${bytes} bytes of JSON, one caller`)
    console.log(
      markdownTable(
        ['', 'p50', 'p95', 'p99', 'a row written: p50', 'p99', 'given'],
        Object.entries(figures).map(([name, { answer, write, given: how }]) => [
          name,
          ...[answer.p50, answer.p95, answer.p99, write.p50, write.p99].map(ms),
          Object.entries(how)
            .map(([outcome, n]) => `${n} ${outcome}`)
            .join(', '),
        ]),
      ),
    )
    return { bytes, figures }
  } finally {
    agent.destroy()
    for (const [, { close }] of servers) await close()
    await redis?.stop()
  }
}

async function openServer(connectionString, cache, redisUrl) {
  const tm = await createTidemark(defineConfig({ datasets: [readings], cache }), { connectionString })
  await tm.migrate()
  const app = await createServer(tm, { redisUrl })
  const address = await listen(app, { host: '127.0.0.1', port: 0 })
  return {
    tm,
    port: Number(new URL(address).port),
    close: async () => {
      await app.close()
      await tm.close()
    },
  }
}

function post(agent, port, path, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const sent = request({ agent, port, path, headers, host: '127.0.0.1', method: 'POST' }, (reply) => {
      let text = ''
      reply.setEncoding('utf8')
      reply.on('data', (data) => {
        text += data
      })
      reply.on('end', () =>
        resolve({ status: reply.statusCode, text, cache: reply.headers['x-tidemark-cache'] }),
      )
    })
    sent.on('error', reject)
    sent.end(JSON.stringify(body))
  })
}

function percentiles(list) {
  const sorted = [...list].sort((a, b) => a - b)
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99), runs: sorted.length }
}

async function startRedis() {
  const port = await new Promise((resolve) => {
    const probe = createListener()
    probe.listen(0, '127.0.0.1', () => {
      const { port: free } = probe.address()
      probe.close(() => resolve(free))
    })
  })
  const server = spawn(
    program,
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    {
      stdio: 'ignore',
    },
  )
  return {
    url: `redis://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        server.once('exit', resolve)
        server.kill()
      }),
  }
}
