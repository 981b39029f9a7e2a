import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import WebSocket from 'ws'
import { createServer, listen } from '../../src/api/index.ts'
import { createTidemark } from '../../src/index.ts'
import { defineConfig, t, table } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
let folder: string
beforeAll(async () => {
  test = await createTestDatabase()
  folder = await mkdtemp(join(tmpdir(), 'tidemark-shutdown-'))
  await writeFile(
    join(folder, 'tidemark.config.mjs'),
    `import { defineConfig, table, t } from 'tidemark/schema'
export default defineConfig({ datasets: [table('notes', { columns: { id: t.int8() }, primaryKey: ['id'] })] })`,
  )
})
afterAll(async () => {
  await test.drop()
  await rm(folder, { recursive: true, force: true })
})

const postRow = (base: string, id: number) =>
  fetch(`${base}/api/v1/datasets/notes/rows`, {
    method: 'POST',
    body: JSON.stringify([{ id }]),
    headers: { 'content-type': 'application/json' },
  })

/** Holds the table until the function that comes back is called. */
async function hold(): Promise<() => Promise<void>> {
  const blocker = await test.connect()
  await blocker.execute('begin; lock table notes in access exclusive mode')
  return () => blocker.close()
}

async function waitingWriters(): Promise<void> {
  await expect
    .poll(async () => {
      const { rows } = await test.db.query(sql`
        select count(*)::int4 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`)
      return rows[0]![0]
    })
    .toBe(1)
}

it('a server that is told to stop answers what runs, closes streams, takes nothing more and ends with 0', async () => {
  const { start } = createCommandLine({
    cwd: () => folder,
    env: () => ({ DATABASE_URL: test.connectionString }),
  })
  const dev = await start('dev', '--port', '0', '--json', '--log-level', 'debug')
  await expect.poll(() => dev.out().includes('\n') || dev.process.exitCode !== null).toBe(true)
  const { address } = JSON.parse(dev.out())
  const stream = new WebSocket(`${address.replace('http', 'ws')}/api/v1/datasets/notes/stream`)
  await new Promise((resolve, reject) => stream.once('open', resolve).once('error', reject))
  const closed = new Promise((resolve) => stream.once('close', resolve))
  const release = await hold()
  const answer = postRow(address, 1)
  await waitingWriters()
  dev.process.kill('SIGTERM')
  await closed
  await expect
    .poll(() =>
      postRow(address, 2).then(
        () => 'taken',
        () => 'refused',
      ),
    )
    .toBe('refused')
  await release()
  expect((await answer).status).toBe(201)
  const { code, err } = await dev.ended
  expect(code).toBe(0)
  const lines = err
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines).toContainEqual(
    expect.objectContaining({
      msg: 'request',
      route: '/api/v1/datasets/:dataset/rows',
      status: 201,
      rows: 1,
    }),
  )
}, 120_000)

it('what still runs after the time for closing is cut off', async () => {
  const config = defineConfig({
    datasets: [table('notes', { columns: { id: t.int8() }, primaryKey: ['id'] })],
  })
  const tm = await createTidemark(config, { connectionString: test.connectionString, root: folder })
  await tm.migrate()
  const app = await createServer(tm, { closeTimeoutMs: 100 })
  const address = await listen(app, { host: '127.0.0.1', port: 0 })
  const release = await hold()
  const answer = postRow(address, 3).then(
    () => 'answered',
    () => 'cut off',
  )
  await waitingWriters()
  const startedMs = performance.now()
  await app.close()
  expect(performance.now() - startedMs).toBeLessThan(5000)
  expect(await answer).toBe('cut off')
  await release()
  await tm.close()
})
