import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { continuousAggregate, count, createTidemark } from '../../src/index.ts'
import { createLogger, metricTable } from '../../src/observe/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestDatabase } from '../helpers/database.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), model: t.text(), latency_ms: t.float8() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['model'],
  freeze: { after: '7 days' },
  retain: '10 years',
})
const models = table('models', { columns: { name: t.text(), price: t.float8() }, primaryKey: ['name'] })
const hourly = continuousAggregate('metrics.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count() },
  refresh: { every: '1 hour' },
})
const config = defineConfig({ datasets: [requests, models, hourly], server: { slowQuery: '1ms' } })

const marker = 'somebodys-value'
let engine: TestEngine<typeof config>
let app: FastifyInstance
const lines: Record<string, unknown>[] = []
beforeAll(async () => {
  engine = await createTestEngine(config)
  const logger = createLogger({
    level: 'debug',
    format: 'json',
    write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>),
  })
  app = await createServer(engine.tm, { logger })
  await app.inject({
    method: 'POST',
    url: '/api/v1/datasets/metrics.requests/rows',
    payload: [
      { time: '2026-01-01T10:00:00Z', model: marker, latency_ms: 5 },
      { time: '2026-01-01T11:00:00Z', model: marker, latency_ms: 7 },
      { time: '2026-01-02T11:00:00Z', model: 'small', latency_ms: 'slow' },
    ],
  })
  await engine.tm.freeze('metrics.requests', { olderThan: '1 hour' })
  await engine.tm.refresh('metrics.hourly')
  await ask({ dataset: 'metrics.requests', where: { model: marker }, select: { n: { fn: 'count' } } })
  await ask({ dataset: 'metrics.hourly', select: { n: 'n' } })
  await ask({ dataset: 'metrics.requests', where: { nothing: 1 } })
  await engine.tm.createWorker().runOnce({ force: true })
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

const ask = (payload: object, headers: Record<string, string> = {}) =>
  app.inject({ method: 'POST', url: '/api/v1/query', payload, headers })
const scrape = async (): Promise<string> => (await app.inject('/metrics')).body
/** `name{labels}` to its value. */
function samplesOf(text: string): Map<string, number> {
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  )
}

describe('GET /metrics', () => {
  it('tells of requests, queries, rows, sizes, lags and jobs', async () => {
    const samples = samplesOf(await scrape())
    const value = (name: string): number | undefined => samples.get(`tidemark_${name}`)
    expect(value('up')).toBe(1)
    expect(
      value('http_request_duration_seconds_count{method="POST",route="/api/v1/query",status="400"}'),
    ).toBe(1)
    expect(value('queries_total{dataset="metrics.requests",outcome="ok"}')).toBe(1)
    expect(value('queries_total{dataset="metrics.requests",outcome="TM_QUERY"}')).toBe(1)
    expect(value('query_duration_seconds_count{kind="hypertable",tier="failed"}')).toBe(1)
    expect(value('query_duration_seconds_count{kind="hypertable",tier="cold"}')).toBe(1)
    expect(value('ingest_rows_total{dataset="metrics.requests",outcome="inserted"}')).toBe(2)
    expect(value('ingest_rows_total{dataset="metrics.requests",outcome="rejected"}')).toBe(1)
    expect(value('ingest_duration_seconds_count{dataset="metrics.requests",acknowledge="durable"}')).toBe(1)
    expect(value('ingest_committed_rows_total{dataset="metrics.requests"}')).toBe(2)
    expect(value('storage_rows{dataset="metrics.requests",tier="cold"}')).toBe(2)
    expect(value('storage_bytes{dataset="metrics.requests",tier="cold"}')).toBeGreaterThan(0)
    expect(value('compression_ratio{dataset="metrics.requests"}')).toBeGreaterThan(0)
    expect(value('chunks{dataset="metrics.requests",tier="cold"}')).toBe(1)
    expect(value('freeze_lag_seconds{dataset="metrics.requests"}')).toBe(0)
    expect(value('aggregate_lag_seconds{aggregate="metrics.hourly"}')).toBeGreaterThanOrEqual(0)
    expect(value('job_runs_total{job_name="freeze",dataset="metrics.requests"}')).toBe(1)
    expect(value('job_failures_in_a_row{job_name="freeze",dataset="metrics.requests"}')).toBe(0)
    const success = value('job_last_success_timestamp_seconds{job_name="freeze",dataset="metrics.requests"}')
    expect(Math.abs(success! - Date.now() / 1000)).toBeLessThan(60)
    expect(value('pool_max_connections')).toBe(10)
    expect(value('cache_requests_total{layer="results",result="miss"}')).toBeGreaterThanOrEqual(0)
    expect(samples.get('process_cpu_seconds_total')).toBeGreaterThan(0)
  })

  it('has every metric of the table under its name and type, and no other of Tidemark', async () => {
    const text = await scrape()
    const types = new Map(
      [...text.matchAll(/^# TYPE (tidemark_\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]),
    )
    const declared = Object.values(metricTable).flatMap((group) => Object.values(group))
    expect(types).toEqual(new Map(declared.map(({ name, type }) => [name, type])))
  })

  it('has no label of what a caller sent', async () => {
    const odd = '/api/v1/datasets/odd.%22name%22/rows'
    await app.inject({ method: 'POST', url: odd, payload: [] })
    await app.inject(`/nowhere/${marker}`)
    await ask({ dataset: marker })
    const text = await scrape()
    expect(text).not.toContain(marker)
    expect(text).not.toContain('odd.')
    expect(text).toContain('route="none",status="404"')
  })

  it.skipIf(!existsSync('/usr/bin/promtool'))('passes the lint of promtool', async () => {
    const own = (await scrape()).split('\n').filter((line) => /^(# (HELP|TYPE) )?tidemark_/.test(line))
    const { status, stdout, stderr } = spawnSync('/usr/bin/promtool', ['check', 'metrics'], {
      input: `${own.join('\n')}\n`,
      encoding: 'utf8',
    })
    expect([stdout, stderr, status]).toEqual(['', '', 0])
  })

  it('tells what can be read while a migration holds a table', async () => {
    const blocker = await engine.test.connect()
    await blocker.execute('begin; lock table public.models in access exclusive mode')
    try {
      const { errors, storage, server, work } = await engine.tm.gauges()
      expect(errors).toMatchObject([{ part: 'storage' }])
      expect([storage, server === null, work === null]).toEqual([null, false, false])
    } finally {
      await blocker.close()
    }
  })
})

describe('the log', () => {
  it('has one line for each request: route, status, time, rows and who asked, never what was sent', async () => {
    lines.length = 0
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
    const body = { dataset: 'metrics.requests', where: { model: marker }, limit: 1 }
    const answer = await ask(body, {
      traceparent: `00-${trace}-00f067aa0ba902b7-01`,
      authorization: 'Bearer of-nobody',
      'x-request-id': 'checkout-17',
    })
    expect(answer.headers['x-request-id']).toBe('checkout-17')
    const route = '/api/v1/query'
    await expect
      .poll(() => lines.filter(({ msg }) => msg === 'request'))
      .toEqual([
        {
          ...{ level: 'info', time: expect.any(String), request: 'checkout-17', trace, msg: 'request' },
          ...{ method: 'POST', route, status: 200, ms: expect.any(Number), rows: 1, principal: 'anonymous' },
        },
      ])
    await app.inject(`/api/v1/datasets/${marker}?token=${marker}`)
    await app.inject('/healthz')
    const text = JSON.stringify(lines)
    expect(text).not.toContain(marker)
    expect(text).not.toContain('of-nobody')
    expect(lines.find(({ route }) => route === '/healthz')).toMatchObject({ level: 'debug' })
  })

  it('gives a request a new id in place of one that is not well-formed', async () => {
    const { headers } = await app.inject({ url: '/healthz', headers: { 'x-request-id': 'a b\u00e9' } })
    expect(headers['x-request-id']).toMatch(/^[\da-f]{8}-[\da-f-]{27}$/)
  })
})

describe('slow queries', () => {
  it('are logged and kept with their plan, and without values', async () => {
    lines.length = 0
    const asked = await ask(
      {
        dataset: 'metrics.requests',
        from: '-30 years',
        where: { model: marker, latency_ms: { gte: 4.25 } },
        select: { n: { fn: 'count' } },
      },
      { 'x-request-id': 'slow-1' },
    )
    expect(asked.json().rows).toEqual([{ n: 2 }])
    const slow = {
      ...{ kind: 'query', dataset: 'metrics.requests', outcome: 'ok', rows: 1 },
      ...{ request: 'slow-1', principal: 'anonymous', ms: expect.any(Number) },
      query: {
        ...{ from: '-30 years', select: { n: { fn: 'count' } } },
        where: { model: '?', latency_ms: { gte: '?' } },
      },
      plan: {
        parts: expect.arrayContaining([expect.objectContaining({ source: 'cold', why: expect.any(String) })]),
      },
    }
    expect(lines.find(({ msg }) => msg === 'slow query')).toMatchObject({ ...slow, level: 'warn' })
    const { queries, thresholdMs } = (await app.inject('/api/v1/slow-queries')).json()
    expect(thresholdMs).toBe(1)
    expect(queries[0]).toMatchObject(slow)
    expect(JSON.stringify(queries)).not.toMatch(new RegExp(`${marker}|4\\.25`))
    expect(samplesOf(await scrape()).get('tidemark_slow_queries_total{dataset="metrics.requests"}')).toBe(
      queries.filter(({ dataset }: { dataset: string }) => dataset === 'metrics.requests').length,
    )
  })
})

describe('probes', () => {
  it('tell of a process that runs and of one that can answer', async () => {
    const live = await app.inject('/healthz')
    expect([live.statusCode, live.json()]).toMatchObject([200, { status: 'ok' }])
    const ready = await app.inject('/readyz')
    expect([ready.statusCode, ready.json()]).toEqual([
      200,
      {
        status: 'ready',
        checks: ['database', 'catalog', 'datasets', 'spool'].map((check) => ({
          ...{ check, ok: true, problem: null, todo: null },
        })),
      },
    ])
  })

  it('say what to do where something is missing', async () => {
    const blank = await createTestDatabase({ empty: true })
    const tm = await createTidemark(config, { connectionString: blank.connectionString })
    const other = await createServer(tm)
    try {
      const { statusCode, body } = await other.inject('/readyz')
      expect([statusCode, JSON.parse(body)]).toMatchObject([
        503,
        {
          status: 'not ready',
          checks: [
            { check: 'database', ok: true },
            { check: 'catalog', ok: false, todo: 'run `tidemark migrate`' },
            { check: 'datasets', ok: false, problem: expect.stringContaining('metrics.requests') },
            { check: 'spool', ok: true },
          ],
        },
      ])
    } finally {
      await other.close()
      await tm.close()
      await blank.drop()
    }
  })

  it('with the database gone: alive, not ready, and metrics that say so', async () => {
    const tm = await createTidemark(config, { connectionString: 'postgres://nobody@127.0.0.1:1/none' })
    const other = await createServer(tm)
    try {
      expect((await other.inject('/healthz')).statusCode).toBe(200)
      const ready = await other.inject('/readyz')
      expect([ready.statusCode, ready.json().checks[0]]).toMatchObject([
        503,
        { check: 'database', ok: false, problem: 'PostgreSQL does not answer (TM_CONNECT)' },
      ])
      // names of hosts and users are for the log
      expect(ready.body).not.toMatch(/nobody|127\.0\.0\.1/)
      const text = (await other.inject('/metrics')).body
      const samples = samplesOf(text)
      expect(samples.get('tidemark_up')).toBe(0)
      expect(samples.get('tidemark_collect_errors_total{part="server"}')).toBe(1)
      expect(samples.get('tidemark_pool_max_connections')).toBe(10)
      expect(text).not.toMatch(/^tidemark_(storage|job|aggregate|database)_/m)
    } finally {
      await other.close()
      await tm.close()
    }
  })
})
