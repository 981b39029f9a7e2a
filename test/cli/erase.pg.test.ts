import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { count, createTidemark, defineConfig, hypertable, type Tidemark, t } from '../../src/index.ts'
import { shellActs } from '../helpers/audit-entries.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const visits = hypertable('web.visits', {
  columns: { time: t.timestamptz(), user_id: t.int8(), page: t.text() },
  time: 'time',
  primaryKey: ['user_id', 'time'],
  chunk: '1 day',
  appendOnly: true,
})
const config = defineConfig({ datasets: [visits] })

let test: TestDatabase
let folder: string
let tm: Tidemark<typeof config>
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-erase-'))
  await writeFile(
    join(folder, 'tidemark.config.ts'),
    `import { defineConfig, hypertable, t } from 'tidemark/schema'
export default defineConfig({ datasets: [hypertable('web.visits', {
  columns: { time: t.timestamptz(), user_id: t.int8(), page: t.text() },
  time: 'time', primaryKey: ['user_id', 'time'], chunk: '1 day', appendOnly: true,
})] })`,
  )
  tm = await createTidemark(config, { connectionString: test.connectionString, root: folder })
})
afterAll(async () => {
  await tm.close()
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const { run } = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

const total = async () => (await tm.query(visits, { select: { n: count() } })).rows[0]!.n

it('writes and erasures of the engine reach what is in the lake', async () => {
  await tm.migrate()
  const rows = [1, 2].flatMap((day) =>
    Array.from({ length: 10 }, (_, i) => ({
      time: `2026-01-0${day}T0${i}:00:00Z`,
      user_id: i % 4,
      page: '/',
    })),
  )
  await tm.insert(visits, rows)
  await tm.freeze('web.visits', { to: '2026-01-02' })
  await expect(tm.insert(visits, rows.slice(0, 1))).rejects.toMatchObject({ code: 'TM_DUPLICATE_KEY' })
  expect(await tm.insert(visits, rows, { onConflict: 'ignore' })).toBe(0)
  expect(await tm.planErasure('web.visits', { where: { user_id: 1 } })).toMatchObject({
    rowsHot: 3,
    rowsCold: 3,
  })
  expect(await tm.erase(visits, { where: { user_id: 1 } }, { waitMs: 20_000 })).toMatchObject({
    rowsHot: 3,
    rowsCold: 3,
    waitsFor: null,
  })
  expect(await total()).toBe(14)
  await expect(tm.erase(visits, { where: {} })).rejects.toMatchObject({ code: 'TM_QUERY' })
})

it('the command says what it would do, asks, and does it', async () => {
  const dry = await run('erase', 'web.visits', '--where', 'user_id=2', '--dry-run')
  expect(dry).toMatchObject({
    code: 0,
    out: expect.stringContaining('4 rows (2 in the lake) would be erased'),
  })
  expect(await run('erase', 'web.visits', '--where', 'user_id=2')).toMatchObject({
    code: 2,
    err: expect.stringContaining('--yes'),
  })
  expect(await run('erase', 'web.visits', '--yes')).toMatchObject({ code: 2 })
  expect(await total()).toBe(14)
  const done = await run('erase', 'web.visits', '--where', 'user_id=2', '--yes', '--wait', '20', '--json')
  expect(JSON.parse(done.out)).toMatchObject({
    rowsHot: 2,
    rowsCold: 2,
    erasedAt: expect.stringMatching(/^\d{4}-.*Z$/),
  })
  expect(await total()).toBe(10)
  // not whose rows they were
  expect(await shellActs(test)).toEqual([
    {
      act: 'erase web.visits done',
      detail: { erasure: expect.any(String), rowsHot: 2, rowsCold: 2, files: 1 },
    },
  ])
})
