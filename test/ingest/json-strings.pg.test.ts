import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const events = hypertable('events', {
  columns: { time: t.timestamptz(), n: t.int4(), payload: t.jsonb().nullable() },
  time: 'time',
})
const config = defineConfig({ datasets: [events] })

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
})
afterAll(() => engine.close())

it('a JSON string of an NDJSON field stays a string, whatever it looks like', async () => {
  const { tm, root } = engine
  const payloads = ['plain', '0', 'true', '{"a":1}', '', 'null', 7, { a: '0' }, ['x']]
  const lines = payloads.map((payload, n) => JSON.stringify({ time: '2026-01-01T00:00:00Z', n, payload }))
  const file = join(root, 'events.ndjson')
  await writeFile(file, lines.join('\n'))
  expect(await tm.import('events', file)).toMatchObject({ rows: payloads.length, dead: 0 })
  const { rows } = await tm.query(events, { columns: ['n', 'payload'] })
  expect(rows.toSorted((a, b) => a.n - b.n).map((row) => row.payload)).toEqual(payloads)
})
