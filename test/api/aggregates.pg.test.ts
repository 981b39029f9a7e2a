import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { count } from '../../src/query/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), model: t.text() },
  time: 'time',
})
const models = table('metrics.models', {
  columns: { model: t.text(), vendor: t.text() },
  primaryKey: ['model'],
})
const hourly = continuousAggregate('metrics.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { requests: count() },
  dimensions: { vendor: { table: models, on: { model: 'model' }, column: 'vendor' } },
  comment: 'requests of an hour',
})
const config = defineConfig({ datasets: [hourly, models, requests] })

let engine: TestEngine<typeof config>
let app: FastifyInstance
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  await engine.tm.insert(requests, [
    { time: '2026-03-01T10:05:00Z', model: 'a' },
    { time: '2026-03-01T10:15:00Z', model: 'a' },
  ])
})
afterAll(async () => {
  await app?.close()
  await engine?.close()
})

const send = async (method: 'GET' | 'POST', url: string, body?: object) => {
  const response = await app.inject({ method, url, ...(body === undefined ? {} : { payload: body }) })
  return { status: response.statusCode, body: response.json() }
}

it('a continuous aggregate is listed with what can be asked of it', async () => {
  const { body } = await send('GET', '/api/v1/datasets')
  expect(body.map(({ name, kind }: { name: string; kind: string }) => [name, kind])).toEqual([
    ['metrics.models', 'table'],
    ['metrics.requests', 'hypertable'],
    ['metrics.hourly', 'aggregate'],
  ])
  const one = await send('GET', '/api/v1/datasets/metrics.hourly')
  expect(one.body).toMatchObject({ time: 'bucket', comment: 'requests of an hour', appendOnly: true })
  expect(one.body.aggregate).toEqual({
    from: 'metrics.requests',
    bucket: '1 hour',
    zone: null,
    keys: ['model'],
    dimensions: ['vendor'],
    select: { requests: { fn: 'count' } },
  })
  expect(one.body.columns.map(({ name }: { name: string }) => name)).toEqual([
    'bucket',
    'model',
    'requests',
    'vendor',
  ])
})

it('and asked by its name', async () => {
  const { status, body } = await send('POST', '/api/v1/query', { dataset: 'metrics.hourly' })
  expect(status).toBe(200)
  expect(body.rows).toEqual([{ bucket: '2026-03-01T10:00:00Z', model: 'a', requests: 2 }])
  const all = await send('POST', '/api/v1/query', {
    dataset: 'metrics.hourly',
    bucket: null,
    select: { n: 'requests' },
  })
  expect(all.body.rows).toEqual([{ n: 2 }])
})

it('and has no rows to write or to list', async () => {
  const write = await send('POST', '/api/v1/datasets/metrics.hourly/rows', { rows: [{ model: 'a' }] })
  expect([write.status, write.body.code]).toEqual([400, 'TM_QUERY'])
  expect(JSON.stringify(write.body)).toContain('metrics.hourly is a continuous aggregate')
  const latest = await send('POST', '/api/v1/query', { dataset: 'metrics.hourly', latestBy: ['model'] })
  expect([latest.status, latest.body.code]).toEqual([400, 'TM_QUERY'])
})
