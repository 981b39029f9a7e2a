// Sends rows at a steady rate, one way of acknowledging after the other, and asks a dashboard's question beside, every second; keeps
// what was acknowledged by minute and host.
import { setTimeout as sleep } from 'node:timers/promises'
import { obey, usedMs } from './children.mjs'
import { createClock } from './clock.mjs'
import { createSender } from './sender.mjs'

const { url, clock: orders, hosts, batchRows } = JSON.parse(process.argv[2])
const clock = createClock(orders)
const sender = createSender({ url, connections: 16 })
const path = '/api/v1/datasets/bench.readings/rows'
const minuteMs = 60_000

/** Of what was acknowledged, by minute and host: rows, and the sums of their numbers and values. */
const cells = new Map()
let seq = 0
let [rows, refused, waits, queries] = [0, 0, [], []]

function makeBatch() {
  const nowMs = Math.floor(clock.nowMs())
  const time = new Date(nowMs).toISOString()
  const minute = Math.floor(nowMs / minuteMs)
  const list = []
  let lines = ''
  for (let i = 0; i < batchRows; i++) {
    const row = { n: seq++, host: `host_${seq % hosts}`, a: seq % 101 }
    list.push(row)
    lines += `{"time":"${time}","host":"${row.host}","seq":${row.n},"a":${row.a},"b":${(seq * 7919) % 1000}.5}\n`
  }
  return { minute, list, lines }
}

async function send(ack, due) {
  const { minute, list, lines } = makeBatch()
  const { accepted, rejected } = await sender.write(`${path}?ack=${ack}`, lines)
  // what came so late that retention has dropped its time is told, and nobody was promised anything
  const told = new Set(rejected.rows.map(({ index }) => index))
  if (accepted + told.size !== list.length) throw new Error(`${accepted} of ${list.length} rows were taken`)
  waits.push(performance.now() - due)
  rows += accepted
  refused += told.size
  for (const [index, { n, host, a }] of list.entries()) {
    if (told.has(index)) continue
    const key = `${minute} ${host}`
    const cell = cells.get(key) ?? { minute, host, n: 0, seqs: 0, a: 0 }
    cell.n += 1
    cell.seqs += n
    cell.a += a
    cells.set(key, cell)
  }
}

async function ask() {
  const startedAt = performance.now()
  const now = clock.nowMs()
  await sender.query({
    dataset: 'bench.readings',
    from: new Date(now - 15 * minuteMs).toISOString(),
    to: new Date(now).toISOString(),
    bucket: '1 minute',
    select: { n: { fn: 'count' }, a: { fn: 'sum', column: 'a' } },
  })
  queries.push(performance.now() - startedAt)
}

const shares = (list) => {
  const sorted = list.sort((x, y) => x - y)
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? null
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), most: sorted.at(-1) ?? null }
}

obey(
  {},
  {
    /** As fast as they are taken, for so long: what the rate is a share of. */
    async most({ seconds }) {
      const [startedAt, before] = [performance.now(), rows]
      const writer = async () => {
        while (performance.now() - startedAt < seconds * 1000) await send('durable', performance.now())
      }
      await Promise.all(Array.from({ length: 4 }, writer))
      const perSecond = (rows - before) / ((performance.now() - startedAt) / 1000)
      waits = []
      return { perSecond }
    },
    /** One part of the run; returns what was acknowledged in it. */
    async part({ ack, seconds, rate }) {
      const [startedAt, usedBefore, before, againBefore] = [
        performance.now(),
        usedMs(),
        rows,
        sender.counts.again,
      ]
      let isOver = false
      const asking = (async () => {
        while (!isOver) {
          const next = performance.now() + 1000
          await ask()
          await sleep(Math.max(0, next - performance.now()))
        }
      })()
      const perSecond = rate / batchRows
      const all = new Set()
      for (let i = 0; i < perSecond * seconds; i++) {
        const due = startedAt + (i * 1000) / perSecond
        const wait = due - performance.now()
        if (wait > 0) await sleep(wait)
        const work = send(ack, due).finally(() => all.delete(work))
        // awaited below, and told there
        work.catch(() => {})
        all.add(work)
        // a server that cannot keep up is waited for, so that the generator's memory stays flat, too
        while (all.size > 256) await Promise.race(all)
      }
      await Promise.all(all)
      isOver = true
      await asking
      const answer = {
        rows: rows - before,
        ms: performance.now() - startedAt,
        usedMs: usedMs() - usedBefore,
        again: sender.counts.again - againBefore,
        waits: shares(waits),
        queries: shares(queries),
      }
      waits = []
      queries = []
      return answer
    },
    cells: () => ({ rows, refused, cells: [...cells.values()] }),
    stop: () => sender.close(),
  },
)
