// Writers that go through the client, whatever happens: they know of each row whether it was acknowledged, and when.
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * @param {object} options
 * @param {any} options.client the client's index.js
 * @param {string} options.url
 * @param {'durable' | 'queued' | 'event ids'} options.protection
 * @param {() => number} options.random
 * @param {number} [options.maxRows] of a batch
 */
export function startWriters({
  client: { createClient },
  url,
  protection,
  random,
  maxRows = 40,
  writers = 4,
}) {
  const acknowledged = new Set()
  /** Sent and never acknowledged: the client has given up. */
  const open = new Set()
  const refusals = new Map()
  const [startedAt, acks] = [performance.now(), []]
  let [isOver, seq, tries] = [false, 0, 0]
  const table = protection === 'event ids' ? 'bench.clicks' : 'bench.writes'
  const client = createClient({
    url,
    maxAttempts: 100,
    timeoutMs: 20_000,
    fetch: async (to, init) => {
      tries += 1
      const headers = { ...init.headers }
      // nothing but the ids tells the server that a batch comes again
      if (protection === 'event ids') delete headers['idempotency-key']
      const answer = await fetch(protection === 'queued' ? `${to}&ack=queued` : to, { ...init, headers })
      if (!answer.ok) count(answer.status)
      // the answer is lost on its way
      if (protection === 'event ids' && answer.ok && random() < 0.2) {
        await answer.text()
        throw new TypeError('the answer was lost')
      }
      return answer
    },
  })
  const count = (status) => refusals.set(status, (refusals.get(status) ?? 0) + 1)
  const write = async () => {
    while (!isOver) {
      const size = 1 + Math.floor(random() * maxRows)
      const numbers = Array.from({ length: size }, () => seq++)
      const time = new Date(Date.UTC(2026, 0, 1) + Math.floor(random() * 3_600_000))
      const rows = numbers.map((n) => ({
        ...{
          time,
          seq: n,
          note: `row ${n} ${Array.from({ length: 4 }, () => random().toString(36).slice(2))}`,
        },
        ...(protection === 'event ids' && { id: `event ${n}` }),
      }))
      for (const n of numbers) open.add(n)
      try {
        await client.insertNow(table, rows)
      } catch (error) {
        count(error.code ?? error.message)
        await sleep(20)
        continue
      }
      acks.push(performance.now())
      for (const n of numbers) {
        open.delete(n)
        acknowledged.add(n)
      }
    }
  }
  const all = Promise.all(Array.from({ length: writers }, write))
  return {
    table,
    acknowledged,
    open,
    refusals,
    get acks() {
      return acks.length
    },
    get tries() {
      return tries
    },
    /** Begins no more batches, and waits for those that are under way. */
    async stop() {
      isOver = true
      await all
      await client.close()
      const times = [startedAt, ...acks]
      return { longestPauseMs: Math.max(...times.slice(1).map((at, i) => at - times[i])) }
    },
  }
}
