import type { FastifyInstance } from 'fastify'
import { createServer, listen } from '../../src/api/index.ts'
import { type Client, createClient } from '../../src/client/index.ts'
import { continuousAggregate, count } from '../../src/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { type FixedClock, fixedClock, parseInstant } from '../../src/time/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

export const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), model: t.text(), latency_ms: t.float8() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['model'],
  freeze: { after: '7 days' },
  retain: '60 days',
})
export const models = table('models', {
  columns: { name: t.text(), price: t.float8() },
  primaryKey: ['name'],
})
export const hourly = continuousAggregate('metrics.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count() },
  refresh: { every: '1 hour' },
  retain: '2 years',
})
export const config = defineConfig({ datasets: [requests, models, hourly] })

/** A server over a store of its own, at noon of 10 March 2026, and a client that speaks with it. */
export interface OperationsWorld {
  readonly engine: TestEngine<typeof config>
  readonly app: FastifyInstance
  readonly client: Client<typeof config>
  readonly clock: FixedClock
  readonly url: string
  close(): Promise<void>
}

export async function openWorld(): Promise<OperationsWorld> {
  const clock = fixedClock(parseInstant('2026-03-10T12:00:00Z'))
  const engine = await createTestEngine(config, { clock })
  const app = await createServer(engine.tm)
  const url = await listen(app, { host: '127.0.0.1', port: 0 })
  const client = createClient<typeof config>({ url, maxAttempts: 1 })
  return {
    ...{ engine, app, client, clock, url },
    async close() {
      await client.close()
      await app.close()
      await engine.close()
    },
  }
}

/** So many rows a day, one each minute from midnight on. */
export function rowsOf(day: string, rows: number, model = 'small') {
  return Array.from({ length: rows }, (_, i) => ({
    time: new Date(Date.parse(`${day}T00:00:00Z`) + i * 60_000).toISOString(),
    model,
    latency_ms: i,
  }))
}
