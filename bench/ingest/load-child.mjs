// Sends bodies that lie in a file, over a few connections that are kept: all of them as fast as they are taken (closed), or so many
// a second whatever becomes of them (open), with the wait counted from the moment when each was due.
import { open } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { obey, usedMs } from './children.mjs'

const { url, path, contentType, file, bodies, connections, headers = {} } = JSON.parse(process.argv[2])
const handle = await open(file)
const agent = new Agent({ keepAlive: true, maxSockets: connections })

async function bodyOf({ at, bytes }) {
  const buffer = Buffer.allocUnsafe(bytes)
  await handle.read(buffer, 0, bytes, at)
  return buffer
}

function post(body) {
  return new Promise((resolve, reject) => {
    const sent = request(
      new URL(path, url),
      {
        agent,
        method: 'POST',
        headers: { 'content-type': contentType, 'content-length': body.length, ...headers },
      },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (data) => {
          text += data
        })
        response.on('end', () => resolve({ status: response.statusCode, text }))
        response.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(body)
  })
}

async function send(one, waits, since = performance.now()) {
  const { status, text } = await post(await bodyOf(one))
  if (![201, 202, 204].includes(status)) throw new Error(`answered ${status}: ${text.slice(0, 500)}`)
  waits.push(performance.now() - since)
}

function report(startedAt, usedBefore, waits, sent) {
  waits.sort((a, b) => a - b)
  const at = (share) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))]
  return {
    ms: performance.now() - startedAt,
    usedMs: usedMs() - usedBefore,
    requests: waits.length,
    rows: sent.reduce((sum, { rows }) => sum + rows, 0),
    total: sent.reduce((sum, { total }) => sum + total, 0),
    p50: at(0.5),
    p95: at(0.95),
    p99: at(0.99),
    most: waits.at(-1),
  }
}

obey(
  {},
  {
    async closed() {
      const [startedAt, usedBefore, waits] = [performance.now(), usedMs(), []]
      let next = 0
      const sender = async () => {
        for (let i = next++; i < bodies.length; i = next++) await send(bodies[i], waits)
      }
      await Promise.all(Array.from({ length: connections }, sender))
      return report(startedAt, usedBefore, waits, bodies)
    },
    async open({ perSecond, seconds }) {
      const [startedAt, usedBefore, waits, sent] = [performance.now(), usedMs(), [], []]
      const count = Math.max(1, Math.round(perSecond * seconds))
      const all = []
      for (let i = 0; i < count; i++) {
        const due = startedAt + (i * 1000) / perSecond
        const wait = due - performance.now()
        if (wait > 0) await sleep(wait)
        const one = bodies[i % bodies.length]
        sent.push(one)
        const work = send(one, waits, due)
        // awaited below; until then it is nobody's
        work.catch(() => {})
        all.push(work)
      }
      await Promise.all(all)
      return report(startedAt, usedBefore, waits, sent)
    },
    async stop() {
      agent.destroy()
      await handle.close()
    },
  },
)
