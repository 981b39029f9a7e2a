import { afterAll, beforeAll, expect, it } from 'vitest'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const clicks = hypertable('clicks', {
  columns: { time: t.timestamptz(), id: t.text() },
  time: 'time',
  dedupe: { by: 'id', within: '7 days' },
})
const config = defineConfig({ datasets: [clicks] })

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
})
afterAll(() => engine.close())

const send = (id: string, idempotencyKey: string | null = null) =>
  engine.tm.ingest(clicks, [{ time: '2026-01-01T00:00:00Z', id }], { idempotencyKey })
const age = (days: number) =>
  engine.test.db.query(sql`
    with batches as (
      update tidemark.ingest_batch set created_at = created_at - ${days}::int4 * interval '1 day'
    )
    update tidemark.seen_generation set started_at = started_at - ${days}::int4 * interval '1 day'`)

it('the worker forgets idempotency keys after two days, and event ids after one to two windows', async () => {
  const work = async () => {
    const runs = await engine.tm.createWorker().runOnce({ force: true })
    expect(runs.filter(({ error }) => error !== null)).toEqual([])
    return Object.fromEntries(runs.map(({ name, result }) => [name, result]))
  }
  expect(await send('a', 'key')).toMatchObject({ inserted: 1 })
  await age(1)
  expect(await work()).toMatchObject({
    'forget-batches': { deleted: 0 },
    'forget-events public.clicks': { isRotated: false, deleted: 0 },
  })
  expect(await send('a', 'key')).toMatchObject({ isReplayed: true })
  await age(6)
  expect(await work()).toMatchObject({
    'forget-batches': { deleted: 1 },
    'forget-events public.clicks': { isRotated: true, deleted: 0 },
  })
  expect(await send('a', 'key')).toMatchObject({ duplicates: 1, isReplayed: false })
  await age(7)
  expect(await work()).toMatchObject({ 'forget-events public.clicks': { isRotated: true, deleted: 1 } })
  expect(await send('a')).toMatchObject({ inserted: 1, duplicates: 0 })
})
