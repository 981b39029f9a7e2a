import { connect, type Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { defineConfig, t, table } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const items = table('items', { columns: { id: t.int4() }, primaryKey: ['id'] })
const config = defineConfig({
  datasets: [items],
  ingest: { maxPending: 400, maxWait: '100 milliseconds', connections: 1 },
})

let engine: TestEngine<typeof config>
let app: FastifyInstance
let base: string
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  base = await listen(app, { host: '127.0.0.1', port: 0 })
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

const path = '/api/v1/datasets/items/rows?onConflict=ignore'
const write = (ids: readonly number[]) =>
  fetch(new URL(path, base), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(ids.map((id) => ({ id }))),
  })

/** The head of a request whose body never comes, and what is answered to it. */
async function knock(bytes: number): Promise<{ answer: Promise<string>; socket: Socket }> {
  const { hostname, port } = new URL(base)
  const socket = connect(Number(port), hostname)
  const answer = new Promise<string>((resolve, reject) => {
    let text = ''
    socket.on('data', (data) => {
      text += data.toString()
      if (text.includes('\r\n\r\n')) resolve(text)
    })
    socket.on('error', reject)
  })
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\ncontent-length: ${bytes}\r\n\r\n`,
  )
  return { answer, socket }
}

it('a body for which there is no room is not read: 503 with Retry-After, and room comes back', async () => {
  const blocker = await engine.test.connect()
  await blocker.execute('begin; insert into items values (1)')
  const first = write(Array.from({ length: 9 }, (_, i) => i))
  await expect
    .poll(async () => {
      const { rows } = await engine.test.db.query(sql`
        select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
      return rows.length
    })
    .toBe(1)
  const { answer, socket } = await knock(1_000_000)
  const text = await answer
  expect(text).toMatch(/^HTTP\/1.1 503/)
  expect(text).toMatch(/\r\nretry-after: \d+\r\n/i)
  socket.destroy()
  const other = await write(Array.from({ length: 9 }, (_, i) => 50 + i))
  expect([other.status, other.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)])
  expect(await other.json()).toMatchObject({ code: 'TM_OVERLOADED', retryable: true })
  await blocker.execute('commit')
  await blocker.close()
  const answered = await first
  expect([answered.status, await answered.json()]).toMatchObject([201, { inserted: 8, ignored: 1 }])
  expect((await write([50])).status).toBe(201)
})

it('a client that goes away before its body has come gives its room back', async () => {
  for (let i = 0; i < 5; i += 1) {
    const { socket } = await knock(1_000_000)
    socket.on('error', () => {})
    socket.destroy()
  }
  await expect.poll(async () => (await write([100])).status).toBe(201)
})
