import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
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

it('the worker forgets the event ids of a hypertable that knows none any more, and of no other', async () => {
  const counts = async () =>
    (
      await engine.test.db.query(
        sql`select (select count(*) from tidemark.seen_generation)::int4, (select count(*) from tidemark.seen_event)::int4`,
      )
    ).rows[0]
  const work = async (tm: Tidemark) => {
    const runs = await tm.createWorker().runOnce({ force: true })
    return runs.find(({ name }) => name === 'forget-undeclared')
  }
  await send('kept')
  const [, before] = (await counts()) as [number, number]
  expect(before).toBeGreaterThan(0)
  const plain = hypertable('clicks', { columns: { time: t.timestamptz(), id: t.text() }, time: 'time' })
  const next = await createTidemark(defineConfig({ datasets: [plain] }), {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  // declared by the catalog until somebody migrates
  expect(await work(next)).toMatchObject({ error: null, result: { deleted: 0 } })
  await next.migrate()
  // declared by this process, whatever the catalog says
  expect(await work(engine.tm)).toMatchObject({ error: null, result: { deleted: 0 } })
  expect(await send('kept')).toMatchObject({ duplicates: 1 })
  // somebody who writes ids just now is waited for, not overtaken
  const writer = await engine.test.connect()
  await writer.execute('begin; select from tidemark.seen_generation for key share')
  expect(await work(next)).toMatchObject({ error: { params: { sqlstate: '55P03' } } })
  await writer.execute('rollback')
  await writer.close()
  expect(await work(next)).toMatchObject({ error: null, result: { deleted: before } })
  expect(await counts()).toEqual([0, 0])
  expect(await send('kept')).toMatchObject({ inserted: 1 })
  await next.close()
})
