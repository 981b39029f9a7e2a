import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const cpu = hypertable('metrics.cpu', { columns: { time: t.timestamptz(), usage: t.float8() }, time: 'time' })

let engine: TestEngine
beforeAll(async () => {
  engine = await createTestEngine(defineConfig({ datasets: [cpu] }))
})
afterAll(() => engine.close())

it('dead letters are counted, read with their table and file, and cleared as the reference says', async () => {
  const { tm, test, root } = engine
  const page = readFileSync(fileURLToPath(new URL('../../docs/reference/import.md', import.meta.url)), 'utf8')
  const section = page.slice(page.indexOf('## Dead letters'), page.indexOf('## Limits'))
  const [count, read, clear] = [...section.matchAll(/```sql\n([\s\S]*?)```/g)].map(([, text]) => raw(text!))
  const file = join(root, 'cpu.csv')
  await writeFile(
    file,
    'time,usage\n2026-01-01T00:00:00Z,1\n2026-01-01T00:00:01Z,high\n2026-01-01T00:00:02Z,low\n',
  )
  const { importId } = await tm.import('metrics.cpu', file)
  expect((await test.db.query(count!)).rows).toMatchObject([
    ['metrics.cpu', importId, file, 'type', 'usage', 2n, expect.any(String)],
  ])
  expect((await test.db.query(read!)).rows.map((row) => row.slice(0, 3))).toEqual([
    [3n, 'usage', 'high'],
    [4n, 'usage', 'low'],
  ])
  await test.db.query(clear!)
  expect((await test.db.query(count!)).rows).toHaveLength(1)
  await test.db.query(raw(`update tidemark.dead_letter set created_at = created_at - interval '31 days'`))
  await test.db.query(clear!)
  expect((await test.db.query(count!)).rows).toEqual([])
  // every column of the table is explained
  const { rows } = await test.db.query(
    raw(
      `select attname::text from pg_attribute where attrelid = 'tidemark.dead_letter'::regclass and attnum > 0`,
    ),
  )
  for (const [name] of rows) expect(section).toContain(`\`${name as string}\``)
})
