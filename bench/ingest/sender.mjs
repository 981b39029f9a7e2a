// One who sends numbered rows over HTTP until they are acknowledged: keep-alive, an idempotency key for each batch, and the same again
// after whatever went wrong.
import { randomUUID } from 'node:crypto'
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/** Answers after which the same batch is sent again. */
const isTemporary = (status) => status === 408 || status === 429 || status >= 500

/** @param {{ url: string, connections: number }} options */
export function createSender({ url, connections }) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const once = (path, body, headers) =>
    new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, url),
        { agent, method: 'POST', headers: { ...headers, 'content-length': Buffer.byteLength(body) } },
        (response) => {
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (data) => {
            text += data
          })
          response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }))
          response.on('error', reject)
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })
  const counts = { again: 0 }
  return {
    counts,
    /** Resolves with the answer when the batch is acknowledged; throws when it never will be. */
    async write(path, lines) {
      const headers = { 'content-type': 'application/x-ndjson', 'idempotency-key': randomUUID() }
      for (let tries = 1; ; tries++) {
        let answer = null
        try {
          answer = await once(path, lines, headers)
        } catch (error) {
          if (tries > 200) throw error
        }
        if (answer !== null && answer.status < 300) return JSON.parse(answer.text)
        if (answer !== null && (!isTemporary(answer.status) || tries > 200))
          throw new Error(`answered ${answer.status}: ${answer.text.slice(0, 500)}`)
        counts.again += 1
        await sleep(Math.min(2000, 50 * tries))
      }
    },
    async query(body) {
      const { status, text } = await once('/api/v1/query', JSON.stringify(body), {
        'content-type': 'application/json',
      })
      if (status !== 200) throw new Error(`the query was answered ${status}: ${text.slice(0, 500)}`)
      return JSON.parse(text)
    },
    close: () => agent.destroy(),
  }
}
