import { gzipSync } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    status: t.text().default('ok'),
    latency_ms: t.float8().nullable(),
    tokens: t.int8(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  chunk: '1 day',
})
const models = table('models', { columns: { name: t.text(), price: t.numeric(10, 4) }, primaryKey: ['name'] })
const config = defineConfig({ datasets: [requests, models] })

let engine: TestEngine<typeof config>
let app: FastifyInstance
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm, { bodyLimitBytes: 100_000 })
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

const rowsUrl = '/api/v1/datasets/metrics.requests/rows'
const row = (minute: number, over: object = {}): object => ({
  time: `2026-03-01T10:${String(minute).padStart(2, '0')}:00.123456Z`,
  model: 'small',
  latency_ms: minute,
  tokens: 1,
  ...over,
})

const json = { 'content-type': 'application/json' }
const ndjson = { 'content-type': 'application/x-ndjson' }

async function post(url: string, payload: string | Buffer, headers: Record<string, string>) {
  const response = await app.inject({ method: 'POST', url, payload, headers })
  return { status: response.statusCode, type: response.headers['content-type'], body: response.json() }
}
const postJson = (url: string, body: unknown) =>
  post(url, JSON.stringify(body), { 'content-type': 'application/json' })
const countRows = async (): Promise<number> => {
  const { body } = await postJson('/api/v1/query', {
    dataset: 'metrics.requests',
    select: { n: { fn: 'count' } },
  })
  return body.rows[0].n
}

describe('rows over HTTP', () => {
  it('are written from a JSON array, NDJSON and CSV, gzipped or not, and counted once each', async () => {
    expect(await postJson(rowsUrl, [row(1), row(2)])).toMatchObject({ status: 201, body: { inserted: 2 } })
    const ndjson = `${JSON.stringify(row(3))}\n\n${JSON.stringify(row(4))}\n`
    expect(await post(rowsUrl, ndjson, { 'content-type': 'application/x-ndjson' })).toMatchObject({
      status: 201,
      body: { inserted: 2 },
    })
    const csv =
      'time,model,status,latency_ms,tokens,properties\r\n' +
      '2026-03-01T10:05:00Z,large,,5.5,9007199254740993,"{""plan"":""pro""}"\r\n'
    expect(
      await post(rowsUrl, gzipSync(csv), { 'content-type': 'text/csv', 'content-encoding': 'gzip' }),
    ).toMatchObject({ status: 201, body: { inserted: 1 } })
    expect(await countRows()).toBe(5)
    const { body } = await postJson('/api/v1/query', {
      dataset: 'metrics.requests',
      where: { model: 'large' },
      columns: '*',
    })
    expect(body.rows).toEqual([
      {
        time: '2026-03-01T10:05:00Z',
        model: 'large',
        status: 'ok',
        latency_ms: 5.5,
        tokens: '9007199254740993',
        properties: { plan: 'pro' },
      },
    ])
  })

  it('are written but for those that do not fit, which come back with row, column, value and reason', async () => {
    const before = await countRows()
    const rows = [row(6), row(7, { latency_ms: 'slow' }), 1, row(8)]
    expect(await postJson(rowsUrl, { rows })).toMatchObject({
      status: 207,
      body: {
        accepted: 2,
        inserted: 2,
        rejected: {
          count: 2,
          rows: [
            { index: 1, column: 'latency_ms', value: '"slow"', reason: 'type' },
            { index: 2, column: null, reason: 'json' },
          ],
        },
      },
    })
    expect(await countRows()).toBe(before + 2)
    expect(await postJson(rowsUrl, [row(9, { latency_ms: 'slow' }), { ...row(9), nope: 1 }])).toMatchObject({
      status: 422,
      type: 'application/problem+json; charset=utf-8',
      body: {
        code: 'TM_REJECTED',
        params: { count: 2, rows: [{ index: 0 }, { index: 1, reason: 'column' }] },
      },
    })
    expect(await countRows()).toBe(before + 2)
  })

  it('are refused whole with atomic=true when one does not fit', async () => {
    const before = await countRows()
    const answer = await postJson(`${rowsUrl}?atomic=true`, [row(6), row(7, { latency_ms: 'slow' })])
    expect(answer).toMatchObject({
      status: 422,
      type: 'application/problem+json; charset=utf-8',
      body: { code: 'TM_ROW', params: { row: 1, column: 'latency_ms' } },
    })
    expect(answer.body.detail).toContain('slow')
    expect(await countRows()).toBe(before)
  })

  it('follow onConflict: error, ignore, update', async () => {
    const url = '/api/v1/datasets/models/rows'
    const price = async () =>
      (await postJson('/api/v1/query', { dataset: 'models', columns: ['price'] })).body.rows
    expect(await postJson(url, [{ name: 'a', price: '1.5' }])).toMatchObject({ status: 201 })
    expect(await postJson(url, [{ name: 'a', price: '2' }])).toMatchObject({
      status: 422,
      body: { code: 'TM_REJECTED', params: { rows: [{ index: 0, reason: 'duplicate_key' }] } },
    })
    expect(await postJson(`${url}?atomic=true`, [{ name: 'a', price: '2' }])).toMatchObject({
      status: 409,
      body: { code: 'TM_DUPLICATE_KEY' },
    })
    expect(await postJson(`${url}?onConflict=ignore`, [{ name: 'a', price: '3' }])).toMatchObject({
      body: { inserted: 0, ignored: 1 },
    })
    expect(await price()).toEqual([{ price: '1.5000' }])
    expect(await postJson(`${url}?onConflict=update`, [{ name: 'a', price: '4' }])).toMatchObject({
      status: 201,
      body: { accepted: 1, inserted: 0, updated: 1 },
    })
    expect(await price()).toEqual([{ price: '4.0000' }])
    for (const wrong of ['onConflict=maybe', 'atomic=perhaps'])
      expect(await postJson(`${url}?${wrong}`, [])).toMatchObject({ status: 400, body: { code: 'TM_QUERY' } })
  })

  it('are written once with an idempotency key, and answered the same again', async () => {
    const before = await countRows()
    const rows = [row(20), row(21, { latency_ms: 'slow' })]
    const headers = { ...json, 'idempotency-key': 'upload 17' }
    const first = await post(rowsUrl, JSON.stringify(rows), headers)
    expect(first).toMatchObject({ status: 207, body: { inserted: 1, replayed: false } })
    const again = await post(rowsUrl, JSON.stringify(rows), headers)
    expect(again).toMatchObject({ status: 207, body: { ...first.body, replayed: true } })
    expect(await post(rowsUrl, JSON.stringify([row(22)]), headers)).toMatchObject({
      status: 409,
      body: { code: 'TM_IDEMPOTENCY' },
    })
    expect(await countRows()).toBe(before + 1)
  })

  it('are refused with the place of a forbidden key and the reason', async () => {
    const body = `[{"model":"a"},{"properties":{"tags":[{"__proto__":1}]}}]`
    const answer = await post(rowsUrl, body, json)
    expect(answer.body.detail).toMatch(
      /the key "\[1\]\.properties\.tags\[0\]\.__proto__", which is refused: .*prototype/,
    )
  })

  it.each<[string, string | Buffer, Record<string, string>, number, string]>([
    ['JSON that is cut off', '[{"time":', { 'content-type': 'application/json' }, 400, 'TM_BODY'],
    ['an empty body', '', { 'content-type': 'application/json' }, 400, 'TM_BODY'],
    ['an object', '{}', { 'content-type': 'application/json' }, 400, 'TM_BODY'],
    ['a key that reaches the prototype', '[{"__proto__":{}}]', json, 400, 'TM_BODY'],
    ['the same in NDJSON', '{}\n{"properties":{"\\u005f_proto__":1}}', ndjson, 400, 'TM_BODY'],
    ['the same by its constructor', '[{"a":{"constructor":{"prototype":{}}}}]', json, 400, 'TM_BODY'],
    ['a number in the list', '[1]', { 'content-type': 'application/json' }, 422, 'TM_REJECTED'],
    ['rows beside something else', '{"rows":[],"row":1}', json, 400, 'TM_BODY'],
    ['a key that is no key', '[]', { ...json, 'idempotency-key': 'ü' }, 400, 'TM_QUERY'],
    ['a bad NDJSON line', '{}\n{', { 'content-type': 'application/x-ndjson' }, 400, 'TM_BODY'],
    ['CSV with an unknown column', 'time,nope\n1,2\n', { 'content-type': 'text/csv' }, 400, 'TM_BODY'],
    ['an unknown type', '<row/>', { 'content-type': 'application/xml' }, 415, 'TM_MEDIA_TYPE'],
    [
      'an unknown encoding',
      'x',
      { 'content-type': 'text/csv', 'content-encoding': 'br' },
      415,
      'TM_MEDIA_TYPE',
    ],
    ['gzip that is none', 'x', { 'content-type': 'text/csv', 'content-encoding': 'gzip' }, 400, 'TM_BODY'],
    [
      'gzip that is cut off',
      gzipSync('time,model\n').subarray(0, 15),
      { 'content-type': 'text/csv', 'content-encoding': 'gzip' },
      400,
      'TM_BODY',
    ],
    ['a body over the limit', 'x'.repeat(100_001), { 'content-type': 'text/csv' }, 413, 'TM_BODY_TOO_LARGE'],
    [
      'a small body that unpacks over the limit',
      gzipSync('x'.repeat(10_000_000)),
      { 'content-type': 'text/csv', 'content-encoding': 'gzip' },
      413,
      'TM_BODY_TOO_LARGE',
    ],
  ])('%s gets one clear error and writes nothing', async (_name, body, headers, status, code) => {
    const before = await countRows()
    expect(await post(rowsUrl, body, headers)).toMatchObject({ status, body: { code, status } })
    expect(await countRows()).toBe(before)
  })
})

describe('queries over HTTP', () => {
  it('answer with rows, columns and the plan', async () => {
    const { status, body } = await postJson('/api/v1/query', {
      dataset: 'metrics.requests',
      from: '2026-03-01T00:00:00Z',
      to: '2026-03-02T00:00:00Z',
      bucket: '1 hour',
      by: ['model'],
      select: { n: { fn: 'count' }, p50: { fn: 'percentile', column: 'latency_ms', q: 0.5 } },
      order: ['model'],
    })
    expect(status).toBe(200)
    expect(
      body.rows.map((r: { bucket: string; model: string; n: number }) => [r.bucket, r.model, r.n]),
    ).toEqual([
      ['2026-03-01T10:00:00Z', 'large', 1],
      ['2026-03-01T10:00:00Z', 'small', 7],
    ])
    expect(body.columns.map((c: { name: string }) => c.name)).toEqual(['bucket', 'model', 'n', 'p50'])
    expect(body.plan.parts[0]).toMatchObject({ source: 'hot', rows: 8 })
    expect(Object.keys(body.plan.errorBounds)).toEqual(['p50'])
  })

  it.each<[string, unknown, number, RegExp]>([
    ['an unknown dataset', { dataset: 'nope' }, 404, /declared: metrics.requests, public.models/],
    ['no dataset', { select: {} }, 400, /dataset/],
    [
      'an unknown column',
      { dataset: 'metrics.requests', where: { latency: 1 } },
      400,
      /where\.latency.*latency_ms/,
    ],
    ['a timeout that is none', { dataset: 'models', timeoutMs: -1 }, 400, /timeoutMs/],
    ['a list', [], 400, /JSON object/],
  ])('with %s are refused with what is allowed', async (_name, query, status, detail) => {
    const answer = await postJson('/api/v1/query', query)
    expect(answer.status).toBe(status)
    expect(answer.body.detail).toMatch(detail)
  })

  it('stop in the database when the client goes away', async () => {
    const address = await app.listen({ host: '127.0.0.1', port: 0 })
    const blocker = await engine.test.connect()
    await blocker.execute('begin; lock table metrics.requests in access exclusive mode')
    const controller = new AbortController()
    const waiting = fetch(`${address}/api/v1/query`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ dataset: 'metrics.requests', select: { n: { fn: 'count' } } }),
      signal: controller.signal,
    })
    const blocked = () => countSessions(`wait_event_type = 'Lock'`)
    await expect.poll(blocked).toBe(1)
    controller.abort()
    await expect(waiting).rejects.toThrow(/abort/)
    await expect.poll(blocked).toBe(0)
    await blocker.execute('rollback')
    await blocker.close()
  })
})

async function countSessions(condition: string): Promise<number> {
  const connection = await engine.test.connect()
  const { raw, sql } = await import('../../src/util/sql.ts')
  const { rows } = await connection.query(
    sql`select count(*)::int4 from pg_stat_activity where datname = current_database() and ${raw(condition)}`,
  )
  await connection.close()
  return rows[0]?.[0] as number
}

describe('the other routes', () => {
  it('list datasets with their columns', async () => {
    const list = (await app.inject('/api/v1/datasets')).json()
    expect(list.map((d: { name: string }) => d.name)).toEqual(['metrics.requests', 'public.models'])
    const one = (await app.inject('/api/v1/datasets/metrics.requests')).json()
    expect(one).toMatchObject({ kind: 'hypertable', time: 'time' })
    expect(one.columns[2]).toEqual({
      name: 'status',
      type: 'text',
      nullable: false,
      hasDefault: true,
      comment: null,
    })
    expect((await app.inject('/api/v1/datasets/nope')).statusCode).toBe(404)
  })

  it('say that the server and its database are well', async () => {
    expect((await app.inject('/api/v1/health')).json()).toMatchObject({
      status: 'ok',
      postgres: { reachable: true },
    })
  })

  it('say so when the database is not', async () => {
    const gone = await createTidemark(config, {
      connectionString: 'postgres://nobody:secret@127.0.0.1:1/none',
    })
    const lonely = await createServer(gone)
    const response = await lonely.inject('/api/v1/health')
    expect(response.statusCode).toBe(503)
    expect(response.json()).toMatchObject({ status: 'down', postgres: { reachable: false } })
    const query = await lonely.inject({
      method: 'POST',
      url: '/api/v1/query',
      payload: { dataset: 'models' },
    })
    expect(query.statusCode).toBe(503)
    expect(query.json()).toMatchObject({ code: 'TM_CONNECT', retryable: true })
    expect(query.body).not.toContain('secret')
    await lonely.close()
    await gone.close()
  })

  it('serve an OpenAPI 3.1 document of every route', async () => {
    const document = (await app.inject('/openapi.json')).json()
    expect(document.openapi).toBe('3.1.0')
    const expected = [
      '/api/v1/datasets',
      '/api/v1/datasets/{dataset}',
      '/api/v1/datasets/{dataset}/active-users',
      '/api/v1/datasets/{dataset}/funnel',
      '/api/v1/datasets/{dataset}/lifecycle',
      '/api/v1/datasets/{dataset}/paths',
      '/api/v1/datasets/{dataset}/retention',
      '/api/v1/datasets/{dataset}/rows',
      '/api/v1/datasets/{dataset}/sessions',
      '/api/v1/datasets/{dataset}/stream',
      '/api/v1/datasets/{dataset}/top-pages',
      '/api/v1/health',
      '/api/v1/query',
      '/api/v1/slow-queries',
      '/api/v1/status',
      '/healthz',
      '/readyz',
    ]
    expect(expected.filter((path) => !(path in document.paths))).toEqual([])
    const written = document.paths['/api/v1/datasets/{dataset}/rows'].post.responses['201']
    expect(JSON.stringify([written, document.components])).toMatch(/inserted.*ignored.*duplicates.*rejected/)
  })

  it('answer a wrong address with a problem', async () => {
    const response = await app.inject('/nope')
    expect(response.statusCode).toBe(404)
    expect(response.json()).toMatchObject({ code: 'TM_ROUTE' })
  })
})

describe('a port that is taken', () => {
  it('is an error that names it and the way out', async () => {
    const [one, other] = [await createServer(engine.tm), await createServer(engine.tm)]
    try {
      const { port } = new URL(await listen(one, { host: '127.0.0.1', port: 0 }))
      await expect(listen(other, { host: '127.0.0.1', port: Number(port) })).rejects.toMatchObject({
        code: 'TM_CONFIG',
        message: `server: 127.0.0.1:${port} is taken by another program; name another port, or 0 for a free one`,
      })
    } finally {
      await one.close()
      await other.close()
    }
  })
})

describe('the lake over HTTP', () => {
  it('status says what is in it, and the plan of an answer which files it opened', async () => {
    const ask = () =>
      postJson('/api/v1/query', {
        dataset: 'metrics.requests',
        by: ['model'],
        select: { n: { fn: 'count' } },
      })
    const before = await ask()
    const { chunks } = await engine.tm.freeze('metrics.requests', { all: true })
    const after = await ask()
    expect(after.body.rows).toEqual(before.body.rows)
    const cold = after.body.plan.parts.filter((part: { source: string }) => part.source === 'cold')
    expect(cold).toMatchObject([{ files: expect.any(Number), bytes: expect.any(Number) }])
    const status = await app.inject({ url: '/api/v1/status' })
    expect(status.statusCode).toBe(200)
    const { datasets, lake } = status.json()
    expect(datasets[0].lake).toMatchObject({ coldChunks: chunks, files: chunks, before: { chunks } })
    expect(datasets[1].lake).toBeNull()
    expect(lake).toMatchObject({ files: chunks, trash: { files: 0 }, freeBytes: expect.any(Number) })
  })
})
