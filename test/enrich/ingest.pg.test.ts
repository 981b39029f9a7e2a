import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { bots, country, urlParts, userAgent } from '../../src/enrich/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { writeMmdb } from './mmdb-writer.ts'

const text = () => t.text().nullable()
const events = hypertable('web.events', {
  columns: {
    time: t.timestamptz(),
    id: t.text().nullable(),
    url: text(),
    path: text(),
    browser: text(),
    country: text(),
    n: t.int4().nullable(),
  },
  time: 'time',
})
const plain = hypertable('web.plain', { columns: { time: t.timestamptz(), browser: text() }, time: 'time' })
const config = defineConfig({
  datasets: [events, plain],
  ingest: {
    enrich: [
      {
        into: events,
        steps: [
          bots({ from: 'user_agent' }),
          userAgent({ from: 'user_agent', into: { browser: 'browser' } }),
          country({ from: 'ip', into: 'country', database: 'country.mmdb' }),
          urlParts({ from: 'url', into: { path: 'path' } }),
        ],
      },
    ],
  },
})
const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
const robot = 'Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'
const time = '2026-03-01T10:00:00Z'

let engine: TestEngine<typeof config>
let app: FastifyInstance
beforeAll(async () => {
  engine = await createTestEngine(config)
  await expect(createServer(engine.tm)).rejects.toThrow(/country\.mmdb cannot be read/)
  writeFileSync(join(engine.root, 'country.mmdb'), writeMmdb({ '9.9.9.0/24': { country: 'CH' } }))
  app = await createServer(engine.tm)
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

const post = async (rows: readonly unknown[], headers: Record<string, string> = {}) => {
  const response = await app.inject({
    method: 'POST',
    url: '/api/v1/datasets/web.events/rows',
    payload: JSON.stringify(rows),
    headers: { 'content-type': 'application/json', ...headers },
  })
  return { status: response.statusCode, body: response.json() }
}
const letters = async () => {
  const { rows } = await engine.test.db.query(sql`
    select line::int4, column_name, reason, raw from tidemark.dead_letter order by id`)
  return rows
}

describe('steps of enrichment', () => {
  it('see every row that comes over HTTP; what they drop is counted by reason and written nowhere', async () => {
    const { status, body } = await post([
      { time, id: 'a', url: 'https://x.example/prices?q=1', user_agent: firefox, ip: '9.9.9.9' },
      { time, id: 'b', user_agent: robot, ip: '9.9.9.9' },
      { time, id: 'c' },
    ])
    expect([status, body]).toMatchObject([
      201,
      { accepted: 2, inserted: 2, rejected: { count: 0 }, dropped: { count: 1, reasons: { bot: 1 } } },
    ])
    const { rows } = await engine.tm.query(events, {
      from: '2026-03-01',
      to: '2026-03-02',
      columns: ['id', 'path', 'browser', 'country'],
    })
    expect([...rows].sort((a, b) => (a.id! < b.id! ? -1 : 1))).toEqual([
      { id: 'a', path: '/prices', browser: 'Firefox', country: 'CH' },
      { id: 'c', path: null, browser: null, country: null },
    ])
  })

  it('that drop every row leave nothing to be refused: 201, and nothing written', async () => {
    const { status, body } = await post([{ time, user_agent: robot }])
    expect([status, body]).toMatchObject([
      201,
      { accepted: 0, dropped: { count: 1 }, rejected: { count: 0 } },
    ])
  })

  it('come before the check: places in the report are those of the body, and no address is kept with a row that is refused', async () => {
    const { status, body } = await post([
      { time, user_agent: robot },
      { time, n: 'many', ip: '9.9.9.9', user_agent: firefox },
      { time, id: 'd', nonsense: 1 },
      [1],
      { time, id: 'e' },
    ])
    expect([status, body]).toMatchObject([
      207,
      {
        accepted: 1,
        dropped: { count: 1 },
        rejected: {
          count: 3,
          rows: [{ index: 1, column: 'n' }, { index: 2, column: 'nonsense' }, { index: 3 }],
        },
      },
    ])
    const kept = await letters()
    expect(kept.map(([line, column, reason]) => [line, column, reason])).toEqual([
      [1, 'n', 'type'],
      [2, 'nonsense', 'column'],
      [3, null, 'json'],
    ])
    expect(JSON.parse(kept[0]![3] as string)).toEqual({ time, n: 'many', country: 'CH', browser: 'Firefox' })
    expect(JSON.stringify(kept)).not.toContain('9.9.9.9')
  })

  it('leave a repeated batch what it was', async () => {
    const rows = [
      { time, id: 'k', user_agent: firefox },
      { time, id: 'l', user_agent: robot },
    ]
    const first = await post(rows, { 'idempotency-key': 'one' })
    const again = await post(rows, { 'idempotency-key': 'one' })
    expect(again.body).toEqual({ ...first.body, replayed: true })
    expect(first.body).toMatchObject({ inserted: 1, dropped: { count: 1, reasons: { bot: 1 } } })
    const other = await post([rows[0]], { 'idempotency-key': 'one' })
    expect([other.status, other.body.code]).toEqual([409, 'TM_IDEMPOTENCY'])
  })

  it('are those of their own table alone', async () => {
    const report = await engine.tm.ingestUnknown('web.plain', [{ time, user_agent: robot }])
    expect(report).toMatchObject({
      rejected: { count: 1, rows: [{ column: 'user_agent' }] },
      dropped: { count: 0 },
    })
  })
})

it('a step whose file is missing refuses the rows of its table, and is opened when the file is there', async () => {
  const own = defineConfig({
    datasets: [events],
    ingest: {
      enrich: [{ into: events, steps: [country({ from: 'ip', into: 'country', database: 'later.mmdb' })] }],
    },
  })
  const tm = await createTidemark(own, {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  try {
    await expect(tm.ingestUnknown('web.events', [{ time }])).rejects.toMatchObject({ code: 'TM_CONFIG' })
    writeFileSync(join(engine.root, 'later.mmdb'), writeMmdb({ '9.9.9.0/24': { country: 'CH' } }))
    expect(await tm.ingestUnknown('web.events', [{ time, ip: '9.9.9.1' }])).toMatchObject({ accepted: 1 })
  } finally {
    await tm.close()
  }
})

it('events of browsers are enriched as any row is: robots are counted in the answer', async () => {
  const views = hypertable('web.views', {
    columns: {
      time: t.timestamptz(),
      id: t.uuid().nullable(),
      event: t.text(),
      user_agent: t.text().nullable(),
      browser: t.text().nullable(),
    },
    time: 'time',
    dedupe: { by: 'id', within: '7 days' },
  })
  const steps = [
    bots({ from: 'user_agent' }),
    userAgent({ from: 'user_agent', into: { browser: 'browser' } }),
  ]
  const other = await createTestEngine(
    defineConfig({
      datasets: [views],
      ingest: { analytics: { into: views }, enrich: [{ into: views, steps }] },
    }),
  )
  const server = await createServer(other.tm)
  try {
    const send = async (agent: string) => {
      const events = [{ id: randomUUID(), event: 'page_view', timestamp: new Date().toISOString() }]
      const answer = await server.inject({
        method: 'POST',
        url: '/api/v1/analytics',
        payload: JSON.stringify({ events }),
        headers: { 'content-type': 'text/plain', 'user-agent': agent },
      })
      return answer.json()
    }
    expect(await send(firefox)).toMatchObject({ accepted: 1, dropped: { count: 0 } })
    expect(await send(robot)).toMatchObject({ accepted: 0, dropped: { count: 1, reasons: { bot: 1 } } })
    const { rows } = await other.test.db.query(sql`select browser from web.views`)
    expect(rows).toEqual([['Firefox']])
  } finally {
    await server.close()
    await other.close()
  }
})
