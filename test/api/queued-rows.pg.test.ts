import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { defineConfig, t, table } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const items = table('items', { columns: { id: t.int4() }, primaryKey: ['id'] })
const config = defineConfig({ datasets: [items], ingest: { spool: { dir: 'spool', max: '1MB' } } })

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

const write = (query: string, rows: readonly unknown[]) =>
  app.inject({ method: 'POST', url: `/api/v1/datasets/items/rows${query}`, payload: rows as object[] })

it('ack=queued answers 202 when rows are on disk, and says what is wrong with others; status and doctor know of them', async () => {
  const blocker = await engine.test.connect()
  await blocker.execute('begin; lock table items in share mode')
  const answer = await write('?ack=queued', [{ id: 1 }, { id: 'x' }, { id: 2 }])
  expect(answer.statusCode).toBe(202)
  expect(answer.json()).toMatchObject({
    accepted: 2,
    inserted: 0,
    rejected: { count: 1, rows: [{ index: 1 }] },
  })
  const { spool } = await engine.tm.status()
  expect(spool.waitingBytes).toBeGreaterThan(0)
  expect(Date.now() - Date.parse(spool.oldest!)).toBeLessThan(60_000)
  expect(spool.lanes).toMatchObject([{ dataset: 'public.items', isOwned: true }])
  const findings = (await engine.tm.doctor()).filter(({ check }) => check === 'spool')
  expect(findings).toMatchObject([
    { level: 'ok', message: `${spool.waitingBytes} bytes of the spool are being written` },
  ])
  await blocker.execute('rollback')
  await blocker.close()
  await expect
    .poll(async () => (await engine.test.db.query(raw('select id from items order by id'))).rows)
    .toEqual([[1], [2]])
  await expect.poll(async () => (await engine.tm.status()).spool.waitingBytes).toBe(0)
})

it('of which no row is right is answered as ever, and another word than the two is refused', async () => {
  expect((await write('?ack=queued', [{ id: 'x' }])).statusCode).toBe(422)
  expect((await write('?ack=later', [{ id: 3 }])).json()).toMatchObject({ code: 'TM_QUERY' })
})
