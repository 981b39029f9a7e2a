import { rm } from 'node:fs/promises'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { avg, count, percentile } from '../../src/query/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import type { TestDatabase } from '../helpers/database.ts'
import { createTestEngine } from '../helpers/test-engine.ts'

export const day = 86_400_000
export const today = Math.floor(Date.now() / day) * day

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), model: t.text(), latency_ms: t.float8() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['model', 'time'],
  freeze: { after: '7 days' },
  retain: '60 days',
})
const ticks = hypertable('metrics.ticks', {
  columns: { time: t.timestamptz(), symbol: t.text(), price: t.float8() },
  time: 'time',
  chunk: '7 days',
})
const vendors = table('metrics.vendors', {
  columns: { model: t.text(), vendor: t.text() },
  primaryKey: ['model'],
})
const hourly = {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  refresh: { every: '1 minute' },
  retain: '2 years',
} as const
const select = { requests: count(), latency: avg('latency_ms') }
const server = { auth: { keys: true } } as const
const before = defineConfig({
  datasets: [
    requests,
    ticks,
    vendors,
    continuousAggregate('aggregates.hourly_requests', { ...hourly, select }),
  ],
  server,
})
const changed = { ...select, p95: percentile('latency_ms', 0.95) }
const after = defineConfig({
  datasets: [
    requests,
    ticks,
    vendors,
    continuousAggregate('aggregates.hourly_requests', { ...hourly, select: changed }),
  ],
  server,
})

/** Days ago, at noon. */
const ago = (days: number): string => new Date(today - days * day + day / 2).toISOString()
export const dayText = (days: number): string => new Date(today - days * day).toISOString().slice(0, 10)

/**
 * A month of rows: cold beyond ten days, with late rows in some chunks, hot since; an aggregate with open ranges, and a changed definition
 * of it that is built beside it.
 */
export async function openStore(): Promise<{ readonly tm: Tidemark; readonly test: TestDatabase }> {
  const engine = await createTestEngine(before)
  const { test, root } = engine
  afterFile(async () => {
    await test.drop()
    await rm(root, { recursive: true, force: true })
  })
  await engine.tm.insert(
    requests,
    Array.from({ length: 30 * 144 + Math.ceil((Date.now() - today) / 600_000) }, (_, i) => ({
      time: new Date(today - 30 * day + i * 600_000),
      model: `model ${i % 5}`,
      latency_ms: 20 + (i % 977) * 0.25,
    })),
  )
  await engine.tm.insert(
    ticks,
    Array.from({ length: 21 * 48 }, (_, i) => ({
      time: new Date(today - 21 * day + i * 1_800_000),
      symbol: `T${i % 20}`,
      price: 100 + (i % 31),
    })),
  )
  await engine.tm.freeze('metrics.requests', { olderThan: '10 days' })
  await engine.tm.refresh('aggregates.hourly_requests')
  await engine.tm.insert(
    requests,
    [20, 20, 19, 12].map((days) => ({ time: ago(days), model: 'model 0', latency_ms: 1 })),
  )
  // PostgreSQL's sessions count what they have deleted when they end, at the latest: later, VACUUM would be contradicted
  await engine.tm.close()
  const tm = await createTidemark(after, { connectionString: test.connectionString, root })
  afterFile(() => tm.close())
  await tm.migrate()
  await test.db.execute('vacuum analyze metrics.requests, metrics.ticks')
  return { tm, test }
}

/** That the aggregate answers. */
export async function askByTheDay(tm: Tidemark): Promise<void> {
  await tm.query(requests, { from: '-20 days', bucket: '1 day', select: { n: count() } })
}
