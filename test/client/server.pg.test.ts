import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { createClient, type WriteFailure } from '../../src/client/index.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { count, max, sum } from '../../src/query/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const readings = hypertable('metrics.readings', {
  columns: {
    time: t.timestamptz(),
    host: t.text(),
    usage: t.float8().nullable(),
    bytes: t.int8().nullable(),
    price: t.numeric().nullable(),
    tags: t.textArray().nullable(),
    properties: t.jsonb<{ plan: string }>().nullable(),
  },
  time: 'time',
})
const hosts = table('hosts', { columns: { name: t.text(), size: t.int4() }, primaryKey: ['name'] })
const hourly = continuousAggregate('metrics.hourly', {
  from: readings,
  bucket: '1 hour',
  by: ['host'],
  select: { n: count(), most: max('bytes') },
})
const config = defineConfig({ datasets: [readings, hosts, hourly] })

let engine: TestEngine<typeof config>
let app: FastifyInstance
let url: string
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  await listen(app, { host: '127.0.0.1', port: 0 })
  const address = app.server.address() as { port: number }
  url = `http://127.0.0.1:${address.port}`
})
afterAll(async () => {
  await app?.close()
  await engine?.close()
})

describe('the client and the real server', () => {
  it('write many rows of many callers, and each is there once', async () => {
    await using client = createClient<typeof config>({ url, maxBatchRows: 300 })
    const start = Date.parse('2026-03-01T00:00:00Z')
    await Promise.all(
      Array.from({ length: 20 }, (_, caller) =>
        client.insert(
          'metrics.readings',
          Array.from({ length: 100 }, (_, i) => ({
            time: new Date(start + i * 60_000),
            host: `many-${caller}`,
            usage: i,
          })),
        ),
      ),
    )
    await client.flush()
    const { rows } = await client.query('metrics.readings', {
      where: { host: { like: 'many-%' } },
      select: { n: { fn: 'count' }, total: { fn: 'sum', column: 'usage' } },
    })
    expect(rows).toEqual([{ n: 2_000, total: 20 * 4_950 }])
  })

  it('answer questions about events as the library does', async () => {
    await using client = createClient<typeof config>({ url })
    const hosts = ['a', 'b', 'a'].map((host, i) => ({ time: `2026-02-0${i + 1}T10:00:00Z`, host }))
    await client.insertNow('metrics.readings', hosts)
    const question = { from: '2026-02-01', to: '2026-02-04', user: 'host', windows: ['1 day', '7 days'] }
    const { rows } = await engine.tm.product.activeUsers(readings, question)
    expect(rows.map(({ users }) => users)).toEqual([
      [1, 1],
      [1, 2],
      [1, 2],
    ])
    const asked = await client.product('activeUsers', 'metrics.readings', question, { cache: 'dashboard' })
    expect(asked).toMatchObject({ rows, plan: { method: 'exact', cache: { layer: 'dashboard' } } })
    const wrong = client.product('activeUsers', 'metrics.readings', { ...question, user: 'usage' })
    await expect(wrong).rejects.toMatchObject({ code: 'TM_QUERY', params: { path: 'user' } })
  })

  it('give values back as the library does', async () => {
    await using client = createClient<typeof config>({ url })
    const row = {
      time: '2026-04-01T10:00:00.123456Z',
      host: 'values',
      usage: Number.NaN,
      bytes: 9_007_199_254_740_993n,
      price: '12345678901234567890.5',
      tags: ['a', null],
      properties: { plan: 'pro' },
    }
    expect(await client.insertNow('metrics.readings', [row])).toMatchObject({ inserted: 1 })
    const where = { host: 'values' }
    const { rows, plan } = await client.query('metrics.readings', { where, columns: '*' })
    expect(rows).toEqual([row])
    expect(plan.parts.length).toBeGreaterThan(0)
    const ask = {
      where,
      bucket: '1 hour',
      select: { most: max('bytes'), bytes: sum('bytes'), usage: max('usage') },
    } as const
    const answer = await client.query('metrics.readings', ask)
    expect(answer.plan.cache).toBeUndefined()
    const kept = await client.query('metrics.readings', ask, { cache: 'dashboard' })
    expect(kept.rows).toEqual(answer.rows)
    expect(kept.plan.cache).toMatchObject({ layer: 'dashboard' })
    expect(answer.rows).toEqual((await engine.tm.query(readings, ask)).rows)
    const cells = { by: ['host'], where, select: { most: 'most', n: 'n' } } as const
    expect((await client.query('metrics.hourly', cells)).rows).toEqual([
      { bucket: '2026-04-01T10:00:00Z', host: 'values', most: 9_007_199_254_740_993n, n: 1 },
    ])
  })

  it('keep a row that is wrong from keeping out the others', async () => {
    const failures: WriteFailure[] = []
    await using client = createClient<typeof config>({ url, onError: (failure) => failures.push(failure) })
    const time = new Date('2026-05-01T00:00:00Z')
    await client.insert('metrics.readings', [
      { time, host: 'mixed', usage: 1 },
      { time, host: 'mixed', usage: 'much' as unknown as number },
      { time, host: 'mixed', usage: 3 },
    ])
    await client.flush()
    expect(failures).toHaveLength(1)
    expect(failures[0]?.rows).toMatchObject([{ usage: 'much' }])
    expect(failures[0]?.error.message).toContain('usage')
    const { rows } = await client.query('metrics.readings', {
      where: { host: 'mixed' },
      select: { n: { fn: 'count' } },
    })
    expect(rows).toEqual([{ n: 2 }])
  })

  it('have each row once after answers that were lost', async () => {
    let tries = 0
    const lossy: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      // the server has written and answered; nobody hears it
      if (tries++ % 3 < 2) {
        await response.arrayBuffer()
        throw new TypeError('the answer was lost')
      }
      return response
    }
    await using client = createClient<typeof config>({ url, fetch: lossy, maxBatchRows: 50 })
    const time = new Date('2026-06-01T00:00:00Z')
    const rows = Array.from({ length: 200 }, (_, i) => ({ time, host: 'lossy', usage: i }))
    await client.insert('metrics.readings', rows)
    await client.flush()
    const report = await client.insertNow('metrics.readings', [{ time, host: 'lossy', usage: 200 }])
    expect(report).toMatchObject({ accepted: 1, inserted: 1, replayed: true })
    const answer = await engine.tm.query(readings, {
      where: { host: 'lossy' },
      select: { n: count(), total: sum('usage') },
    })
    expect(answer.rows).toEqual([{ n: 201, total: (200 * 201) / 2 }])
    expect(tries).toBeGreaterThan(10)
  })

  it('overwrite and leave rows by key', async () => {
    await using client = createClient<typeof config>({ url })
    await client.insertNow('public.hosts', [{ name: 'a', size: 1 }])
    await client.insertNow('public.hosts', [{ name: 'a', size: 2 }], { onConflict: 'update' })
    await client.insert(
      'public.hosts',
      [
        { name: 'a', size: 3 },
        { name: 'b', size: 4 },
      ],
      { onConflict: 'ignore' },
    )
    await client.flush()
    const { rows } = await engine.tm.query(hosts, { columns: '*' })
    expect([...rows].sort((a, b) => a.name.localeCompare(b.name))).toEqual([
      { name: 'a', size: 2 },
      { name: 'b', size: 4 },
    ])
    await expect(client.insertNow('public.hosts', [{ name: 'a', size: 5 }])).rejects.toMatchObject({
      code: 'TM_DUPLICATE_KEY',
      status: 409,
      retryable: false,
    })
  })

  it('say what was wrong with the server’s code, its parameters and the id of the request', async () => {
    await using client = createClient({ url })
    await expect(client.query('metrics.nothing', { columns: '*' })).rejects.toMatchObject({
      name: 'TidemarkClientError',
      code: 'TM_UNKNOWN_DATASET',
      status: 404,
      params: { name: 'metrics.nothing' },
      requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
  })
})
