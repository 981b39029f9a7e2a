import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { createServer, listen } from '../../src/api/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const ticks = hypertable('market.ticks', {
  columns: { time: t.timestamptz(), symbol: t.text(), price: t.float8() },
  time: 'time',
})
const config = defineConfig({ datasets: [ticks] })

let engine: TestEngine<typeof config>
let app: FastifyInstance
let base: string
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  base = (await listen(app, { host: '127.0.0.1', port: 0 })).replace('http', 'ws')
})
afterAll(async () => {
  await app.close()
  await engine.close()
})
const open: WebSocket[] = []
beforeEach(() => engine.test.db.execute('delete from market.ticks'))
afterEach(() => {
  for (const socket of open.splice(0)) socket.terminate()
})

interface Answer {
  seq: number
  accepted?: number
  replayed?: boolean
  rejected?: { count: number; rows: { index: number; column: string }[] }
  error?: { code: string }
}

async function connect(query = '') {
  const socket = new WebSocket(`${base}/api/v1/datasets/market.ticks/stream${query}`)
  open.push(socket)
  const answers: Answer[] = []
  let closed: number | null = null
  socket.on('message', (data) => answers.push(JSON.parse(data.toString())))
  socket.on('close', (code) => {
    closed = code
  })
  await new Promise((resolve, reject) => {
    socket.once('open', resolve)
    socket.once('error', reject)
  })
  return { socket, answers, closed: () => closed }
}

const row = (n: number, symbol = 'a') => ({
  time: `2026-03-01T10:00:00.${String(n).padStart(6, '0')}Z`,
  symbol,
  price: n,
})
const count = async () =>
  Number((await engine.test.db.query(sql`select count(*) from market.ticks`)).rows[0]![0])

it('frames of NDJSON and of JSON arrays are acknowledged in their order, after COMMIT', async () => {
  const { socket, answers } = await connect()
  socket.send(JSON.stringify([row(1), row(2)]))
  socket.send(`${JSON.stringify(row(3))}\n${JSON.stringify(row(4))}\n`)
  socket.send(Buffer.from(JSON.stringify(row(5))))
  await expect.poll(() => answers.length).toBe(3)
  expect(answers).toMatchObject([
    { seq: 1, accepted: 2, replayed: false },
    { seq: 2, accepted: 2 },
    { seq: 3, accepted: 1 },
  ])
  expect(await count()).toBe(5)
})

it('a bad row and a bad frame are told, and the stream goes on', async () => {
  const { socket, answers } = await connect()
  socket.send(JSON.stringify([row(1), { ...row(2), price: 'dear' }]))
  socket.send('{"time": ')
  socket.send(JSON.stringify([row(3)]))
  await expect.poll(() => answers.length).toBe(3)
  expect(answers).toMatchObject([
    { seq: 1, accepted: 1, rejected: { count: 1, rows: [{ index: 1, column: 'price' }] } },
    { seq: 2, error: { code: 'TM_BODY', retryable: false } },
    { seq: 3, accepted: 1 },
  ])
  expect(await count()).toBe(2)
})

it('after a connection is lost, frames that are sent again with their numbers are written once', async () => {
  const first = await connect('?stream=feed-1')
  for (let i = 1; i <= 3; i += 1) first.socket.send(JSON.stringify([row(i)]))
  await expect.poll(() => first.answers.length).toBe(3)
  first.socket.terminate()
  // as if the answers to 2 and 3 had been lost
  const second = await connect('?stream=feed-1&from=2')
  for (let i = 2; i <= 4; i += 1) second.socket.send(JSON.stringify([row(i)]))
  await expect.poll(() => second.answers.length).toBe(3)
  expect(second.answers).toMatchObject([
    { seq: 2, accepted: 1, replayed: true },
    { seq: 3, accepted: 1, replayed: true },
    { seq: 4, accepted: 1, replayed: false },
  ])
  second.socket.send(JSON.stringify([row(9)]))
  const third = await connect('?stream=feed-1&from=1')
  third.socket.send(JSON.stringify([row(8)]))
  await expect.poll(() => third.answers).toMatchObject([{ seq: 1, error: { code: 'TM_IDEMPOTENCY' } }])
  await expect.poll(count).toBe(5)
})

it('a sender is not read while as much is being written as may be', async () => {
  const blocker = await engine.test.connect()
  const { socket, answers } = await connect()
  const frames = 400
  try {
    await blocker.execute('begin; lock table market.ticks in access exclusive mode')
    for (let i = 0; i < frames; i += 1)
      socket.send(JSON.stringify(Array.from({ length: 20 }, (_, k) => row(i * 20 + k, 'x'.repeat(2000)))))
    await expect.poll(() => engine.tm.ingestState.pendingRows).toBe(16 * 20)
    let before = -1
    await expect
      .poll(
        () => {
          const isStill = before === socket.bufferedAmount
          before = socket.bufferedAmount
          return isStill
        },
        { interval: 300 },
      )
      .toBe(true)
    // what the kernel does not hold is still with the sender
    expect(socket.bufferedAmount).toBeGreaterThan(1_000_000)
    expect(engine.tm.ingestState.pendingRows).toBe(16 * 20)
    expect(answers).toEqual([])
  } finally {
    await blocker.execute('rollback')
    await blocker.close()
  }
  await expect.poll(() => answers.length, { timeout: 40_000 }).toBe(frames)
  expect(answers.map(({ seq }) => seq)).toEqual(Array.from({ length: frames }, (_, i) => i + 1))
  expect(await count()).toBe(frames * 20)
})

it('a frame over the limit ends the connection with 1009', async () => {
  const { socket, closed } = await connect()
  socket.send(JSON.stringify([row(1, 'x'.repeat(1_100_000))]))
  await expect.poll(closed).toBe(1009)
  expect(await count()).toBe(0)
})

it.each([
  ['/api/v1/datasets/nothing/stream', 404],
  ['/api/v1/datasets/market.ticks/stream?onConflict=maybe', 400],
  ['/api/v1/datasets/market.ticks/stream?stream=a%20b', 400],
  ['/api/v1/datasets/market.ticks/stream?from=0', 400],
])('%s is refused before the protocol is switched', async (path, status) => {
  const socket = new WebSocket(`${base}${path}`)
  open.push(socket)
  const answered = await new Promise((resolve) => {
    socket.once('unexpected-response', (_request, response) => resolve(response.statusCode))
    socket.once('error', () => {})
  })
  expect(answered).toBe(status)
})

it('without WebSocket the route says what it is', async () => {
  const answer = await app.inject('/api/v1/datasets/market.ticks/stream')
  expect([answer.statusCode, answer.json().detail]).toEqual([
    404,
    expect.stringContaining('open it as a WebSocket'),
  ])
})
