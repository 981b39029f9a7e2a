import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { country } from '../../src/enrich/index.ts'
import { defineConfig, hypertable, type TidemarkConfig, t } from '../../src/schema/index.ts'
import { writeMmdb } from '../enrich/mmdb-writer.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const events = hypertable('events', {
  columns: {
    time: t.timestamptz(),
    event_id: t.uuid().nullable(),
    event_name: t.text(),
    category: t.text(),
    user_id: t.text().nullable(),
    session_id: t.text().nullable(),
    properties: t.jsonb().nullable(),
    device_info: t.jsonb().nullable(),
  },
  time: 'time',
  chunk: '1 day',
  dedupe: { by: 'event_id', within: '7 days' },
})
/** Whose requests' addresses tell the country. */
const visits = hypertable('visits', {
  columns: {
    time: t.timestamptz(),
    event_id: t.uuid().nullable(),
    event_name: t.text(),
    country: t.text().nullable(),
  },
  time: 'time',
  dedupe: { by: 'event_id', within: '7 days' },
})
const shop = 'https://shop.example.org'
const config = defineConfig({
  datasets: [events, visits],
  ingest: { analytics: { into: events, origins: [shop] } },
  server: { hosts: ['stats.example.org'] },
})

let engine: TestEngine<typeof config>
let app: FastifyInstance
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

const url = '/api/v1/analytics'
async function send(body: unknown, headers: Record<string, string> = {}) {
  const response = await app.inject({
    method: 'POST',
    url,
    payload: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'content-type': 'text/plain;charset=UTF-8', ...headers },
  })
  return { status: response.statusCode, headers: response.headers, body: response.json() }
}

const secondsAgo = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString()
const event = (over: object = {}) => ({
  id: randomUUID(),
  event: 'clicked',
  category: 'general',
  timestamp: secondsAgo(2),
  userId: 'u',
  sessionId: 's',
  properties: {},
  device: {},
  ...over,
})
const batch = (...list: unknown[]) => ({ sentAt: new Date().toISOString(), dropped: 0, events: list })

const rowsOf = async (name: string) =>
  (
    await engine.tm.queryUnknown('events', {
      where: { event_name: name },
      columns: '*',
    })
  ).rows
/** Another server on the same database. */
async function serve(other: TidemarkConfig) {
  const tm = await createTidemark(other, {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  const server = await createServer(tm)
  return {
    server,
    async close() {
      await server.close()
      await tm.close()
    },
  }
}
const letters = async () =>
  (await engine.tm.sql('select reason, value, raw from tidemark.dead_letter order by id')).rows

describe('a batch of a browser', () => {
  it('is stored when it is answered, whatever its content type says', async () => {
    for (const type of ['text/plain;charset=UTF-8', 'application/json', 'application/x-www-form-urlencoded'])
      expect(
        await send(batch(event({ event: 'typed', properties: { type } })), { 'content-type': type }),
      ).toMatchObject({ status: 200, body: { accepted: 1, duplicates: 0, rejected: { count: 0 } } })
    expect(await rowsOf('typed')).toHaveLength(3)
  })

  it('that comes again is stored once, and counted as taken', async () => {
    const body = batch(event({ event: 'again' }), event({ event: 'again' }))
    expect((await send(body)).body).toMatchObject({ accepted: 2, duplicates: 0 })
    body.events.push(event({ event: 'again' }))
    expect((await send(body)).body).toMatchObject({ accepted: 3, duplicates: 2 })
    const tries = await Promise.all(Array.from({ length: 4 }, () => send(body)))
    expect(tries.map((answer) => answer.body.duplicates)).toEqual([3, 3, 3, 3])
    expect(await rowsOf('again')).toHaveLength(3)
  })

  it('of a browser whose clock is days wrong is stored with the right time', async () => {
    const day = 86_400
    const { status } = await send({
      sentAt: secondsAgo(3 * day),
      dropped: 0,
      events: [event({ event: 'skewed', timestamp: secondsAgo(3 * day + 60) })],
    })
    expect(status).toBe(200)
    const [row] = await rowsOf('skewed')
    expect(Date.parse(String(row!.time))).toBeGreaterThan(Date.now() - 70_000)
    expect(Date.parse(String(row!.time))).toBeLessThan(Date.now() - 50_000)
  })

  it('gives its good events; those that do not fit are kept, and no reason for 4xx', async () => {
    const before = (await letters()).length
    const answer = await send(
      batch(
        event({ event: 'good' }),
        event({ event: 5 }),
        'no event',
        event({ id: 'no uuid' }),
        event({ timestamp: '1970-01-02T00:00:00Z' }),
        event({ event: 'good' }),
      ),
    )
    expect(answer).toMatchObject({ status: 200, body: { accepted: 2, rejected: { count: 4 } } })
    expect(
      answer.body.rejected.rows.map((row: { index: number; reason: string }) => [row.index, row.reason]),
    ).toEqual([
      [1, 'type'],
      [2, 'json'],
      [3, 'type'],
      [4, 'time'],
    ])
    expect(await rowsOf('good')).toHaveLength(2)
    expect((await letters()).slice(before)).toHaveLength(4)
    // none of them fits
    expect(await send(batch(null))).toMatchObject({ status: 200, body: { accepted: 0 } })
  })

  it('of an older tracker is taken: a list, other names, no ids', async () => {
    const older = {
      event_name: 'older',
      category: 'assets',
      user_id: 'u',
      session_id: 's',
      properties: { asset_type: 'image' },
      device_info: { os: 'x' },
      timestamp: secondsAgo(30),
    }
    expect(await send([older, older])).toMatchObject({
      status: 200,
      body: { accepted: 2, duplicates: 0 },
    })
    expect(await send({ events: [older] })).toMatchObject({ status: 200, body: { accepted: 1 } })
    expect(await rowsOf('older')).toMatchObject([
      { category: 'assets', event_id: null, properties: { asset_type: 'image' }, device_info: { os: 'x' } },
      {},
      {},
    ])
  })

  it.each([
    ['no JSON', 'nothing', 400],
    ['no list of events', { events: 1 }, 400],
    ['a sentAt without a zone', { sentAt: '2026-01-01T00:00:00', events: [] }, 400],
    ['more than a mebibyte', 'x'.repeat(1024 * 1024 + 1), 413],
  ])('with %s is refused as a whole', async (_, body, status) => {
    const answer = await send(body, { origin: shop })
    expect(answer.status).toBe(status)
    expect(answer.headers['access-control-allow-origin']).toBe(shop)
    expect(answer.body.detail).toEqual(expect.any(String))
  })
})

describe('pages of other origins', () => {
  it('may send when they are declared, also after a preflight, and read Retry-After', async () => {
    const preflight = await app.inject({
      method: 'OPTIONS',
      url,
      headers: { origin: shop, 'access-control-request-method': 'POST' },
    })
    expect(preflight.statusCode).toBe(204)
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': shop,
      'access-control-allow-methods': 'POST',
      'access-control-allow-headers': 'content-type',
      vary: 'origin',
    })
    const { status, headers } = await send(batch(event()), { origin: shop })
    expect(status).toBe(200)
    expect(headers).toMatchObject({
      'access-control-allow-origin': shop,
      'access-control-expose-headers': 'retry-after',
    })
  })

  it('may not when they are not; the server of the page itself, and what is no page, may', async () => {
    const body = batch(event({ event: 'origin' }))
    const other = 'https://shop.example.org.evil.example'
    expect(await send(body, { origin: other })).toMatchObject({ status: 403, body: { code: 'TM_ORIGIN' } })
    expect(await send(body, { origin: 'null' })).toMatchObject({ status: 403 })
    expect((await app.inject({ method: 'OPTIONS', url, headers: { origin: other } })).statusCode).toBe(403)
    expect(await rowsOf('origin')).toHaveLength(0)
    expect(
      await send(body, { origin: 'https://stats.example.org', host: 'stats.example.org' }),
    ).toMatchObject({ status: 200 })
    expect(await send(body)).toMatchObject({ status: 200 })
  })

  it('may all when nothing is declared, without credentials', async () => {
    const { server, close } = await serve(defineConfig({ datasets: [events], ingest: { analytics: events } }))
    const answer = await server.inject({
      method: 'POST',
      url,
      payload: JSON.stringify(batch(event())),
      headers: { origin: 'https://anybody.example' },
    })
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['access-control-allow-origin']).toBe('*')
    expect(answer.headers['access-control-allow-credentials']).toBeUndefined()
    await close()
  })
})

it('there is no such route where the configuration takes no events', async () => {
  const { server, close } = await serve(defineConfig({ datasets: [events] }))
  expect((await server.inject({ method: 'POST', url, payload: '{}' })).statusCode).toBe(404)
  await close()
})

it('the steps of the table find the address of the request, which is kept nowhere', async () => {
  writeFileSync(join(engine.root, 'countries.mmdb'), writeMmdb({ '9.9.9.0/24': { country: 'CH' } }))
  const { server, close } = await serve(
    defineConfig({
      datasets: [visits],
      ingest: {
        analytics: visits,
        enrich: [
          { into: visits, steps: [country({ from: 'ip', into: 'country', database: 'countries.mmdb' })] },
        ],
      },
    }),
  )
  const post = async (...list: unknown[]) =>
    (
      await server.inject({
        method: 'POST',
        url,
        remoteAddress: '9.9.9.7',
        payload: JSON.stringify(batch(...list)),
      })
    ).json()
  const old = event({ event: 'old', timestamp: secondsAgo(86_400 * 60) })
  const bad = event({ event: null })
  expect(await post(event({ event: 'seen' }), bad, old)).toMatchObject({
    accepted: 1,
    rejected: { count: 2 },
  })
  const { rows } = await engine.tm.sql('select event_name, country from visits')
  expect(rows).toEqual([{ event_name: 'seen', country: 'CH' }])
  const kept = (await letters()).filter(({ raw }) => /"old"|"CH"/.test(String(raw)))
  expect(kept).toHaveLength(2)
  expect(JSON.stringify(await letters())).not.toContain('9.9.9.7')
  await close()
})
