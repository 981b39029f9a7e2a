import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const events = hypertable('events', {
  columns: { time: t.timestamptz(), n: t.int4(), payload: t.jsonb().nullable() },
  time: 'time',
})
const config = defineConfig({ datasets: [events] })

let test: TestDatabase
let tm: Tidemark<typeof config>
let folder: string
beforeAll(async () => {
  test = await createTestDatabase()
  tm = await createTidemark(config, { connectionString: test.connectionString })
  await tm.migrate()
  folder = await mkdtemp(join(tmpdir(), 'tidemark-json-'))
})
afterAll(async () => {
  await tm.close()
  await test.drop()
  await rm(folder, { recursive: true, force: true })
})

it('a JSON string of an NDJSON field stays a string, whatever it looks like', async () => {
  const payloads = ['plain', '0', 'true', '{"a":1}', '', 'null', 7, { a: '0' }, ['x']]
  const lines = payloads.map((payload, n) => JSON.stringify({ time: '2026-01-01T00:00:00Z', n, payload }))
  const file = join(folder, 'events.ndjson')
  await writeFile(file, lines.join('\n'))
  expect(await tm.import('events', file)).toMatchObject({ rows: payloads.length, dead: 0 })
  const { rows } = await tm.query(events, { columns: ['n', 'payload'] })
  expect(rows.toSorted((a, b) => a.n - b.n).map((row) => row.payload)).toEqual(payloads)
})
