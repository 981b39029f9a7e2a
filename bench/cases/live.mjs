// A thousand subscribers over WebSockets: from the call that writes a row to the message that shows it, at each of them. Server,
// writer and subscribers are one process here, so that all of them are in the figures. One row every 100 ms, open loop.
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { createServer, listen } from '../../dist/api/index.js'
import { count, createTidemark, defineConfig, hypertable, t } from '../../dist/index.js'
import { markdownTable, ms } from '../harness.mjs'

export const about = 'write to push, 1,000 subscribers of live answers'

const readings = hypertable('bench.readings', {
  columns: { time: t.timestamptz(), device: t.int4(), value: t.float8() },
  time: 'time',
  chunk: '1 day',
})

const everyMs = 100

export async function run({ connectionString, quick }) {
  const subscribers = quick ? 100 : 1000
  const writes = quick ? 20 : 150
  const tm = await createTidemark(defineConfig({ datasets: [readings] }), { connectionString })
  await tm.migrate()
  // an hour of 100 devices: some of what a dashboard shows
  const now = Date.now()
  await tm.insert(
    readings,
    Array.from({ length: 36_000 }, (_, i) => ({
      time: new Date(now - 3_600_000 + 100 * i),
      device: i % 100,
      value: 0,
    })),
  )
  const app = await createServer(tm, { live: { maxPerPrincipal: subscribers } })
  const url = `${(await listen(app, { host: '127.0.0.1', port: 0 })).replace('http', 'ws')}/api/v1/live`
  const table = []
  const figures = {}
  try {
    for (const [name, questions] of [
      ['one question', 1],
      ['100 questions', 100],
    ]) {
      const latencies = await measure(tm, url, { subscribers, questions, writes })
      const sorted = latencies.sort((a, b) => a - b)
      const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
      figures[name] = {
        p50: at(0.5),
        p95: at(0.95),
        p99: at(0.99),
        most: sorted.at(-1),
        pushes: sorted.length,
      }
      table.push([
        `${subscribers} subscribers, ${name}`,
        String(sorted.length),
        ms(at(0.5)),
        ms(at(0.95)),
        ms(at(0.99)),
        ms(sorted.at(-1)),
      ])
    }
  } finally {
    await app.close()
    await tm.close()
  }
  console.log(markdownTable(['', 'pushes', 'p50', 'p95', 'p99', 'most'], table))
  return { figures }
}

/** How long each write took to be in an answer of each subscriber. */
async function measure(tm, url, { subscribers, questions, writes }) {
  const from = new Date(Date.now() - 3_600_000).toISOString()
  const startedAt = []
  const latencies = []
  // the rows that are written are of a device of its own: their number says which of them an answer has
  const device = 1000 + Math.floor(Math.random() * 1_000_000)
  const sockets = await Promise.all(
    Array.from({ length: subscribers }, async (_, i) => {
      const socket = new WebSocket(url)
      const query = {
        dataset: 'bench.readings',
        from,
        bucket: '1 hour',
        by: ['device'],
        select: { n: count() },
        // what makes questions different and their answers the same
        where: { device: { gte: 90 - (i % questions) } },
      }
      const has = new Map()
      let seen = 0
      let first = null
      const answered = new Promise((resolve) => {
        first = resolve
      })
      socket.on('message', (data) => {
        const at = performance.now()
        const message = JSON.parse(data.toString())
        if (message.type === 'alive') return
        const rows = message.type === 'answer' ? message.rows : message.set.map(([, key, row]) => [key, row])
        for (const [key, row] of rows) if (row.device === device) has.set(key, row.n)
        const total = [...has.values()].reduce((sum, n) => sum + n, 0)
        while (seen < total) latencies.push(at - startedAt[seen++])
        socket.send(JSON.stringify({ type: 'ack', id: 'a', resume: message.resume }))
        first()
      })
      await new Promise((resolve, reject) => {
        socket.once('open', resolve)
        socket.once('error', reject)
      })
      socket.send(JSON.stringify({ type: 'subscribe', id: 'a', query, ack: true }))
      await answered
      return socket
    }),
  )
  const begun = performance.now()
  const written = []
  for (let i = 0; i < writes; i++) {
    await sleep(Math.max(0, begun + i * everyMs - performance.now()))
    startedAt.push(performance.now())
    written.push(tm.insert(readings, [{ time: new Date(), device, value: i }]))
  }
  await Promise.all(written)
  for (let tries = 0; latencies.length < writes * subscribers; tries++) {
    if (tries === 600) throw new Error(`${latencies.length} of ${writes * subscribers} pushes came`)
    await sleep(50)
  }
  for (const socket of sockets) socket.terminate()
  return latencies
}
