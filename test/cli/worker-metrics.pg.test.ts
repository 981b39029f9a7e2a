import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createWorkerServer, listen } from '../../src/api/index.ts'
import { createTidemark, defineConfig, hypertable, type Tidemark, t } from '../../src/index.ts'
import { allTenants } from '../../src/schema/index.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const visits = hypertable('web.visits', { columns: { time: t.timestamptz() }, time: 'time', chunk: '1 day' })
const config = defineConfig({ datasets: [visits], server: { auth: { keys: true } } })

let test: TestDatabase
let folder: string
let tm: Tidemark<typeof config>
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-worker-'))
  await writeFile(
    join(folder, 'tidemark.config.ts'),
    `import { defineConfig, hypertable, t } from 'tidemark/schema'
export default defineConfig({
  datasets: [hypertable('web.visits', { columns: { time: t.timestamptz() }, time: 'time', chunk: '1 day' })],
  server: { metrics: 'public' }, worker: { every: '100ms', port: 0 },
})`,
  )
  tm = await createTidemark(config, { connectionString: test.connectionString, root: folder })
  await tm.migrate()
})
afterAll(async () => {
  await tm.close()
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

it('a worker with a port answers metrics of its jobs and probes, until it stops', async () => {
  const { start } = createCommandLine({
    cwd: () => folder,
    env: () => ({ DATABASE_URL: test.connectionString }),
  })
  const worker = await start('worker', '--json')
  const address = (): string | undefined => /"address":"([^"]+)"/.exec(worker.out())?.[1]
  await expect.poll(address, { message: worker.err() }).toBeDefined()
  const get = async (path: string): Promise<{ status: number; text: string }> => {
    const response = await fetch(`${address()}${path}`)
    return { status: response.status, text: await response.text() }
  }
  expect(await get('/healthz')).toMatchObject({ status: 200, text: expect.stringContaining('"status":"ok"') })
  expect((await get('/readyz')).status).toBe(200)
  await expect
    .poll(async () => (await get('/metrics')).text, { timeout: 30_000 })
    .toMatch(/tidemark_job_runs_total\{job_name="create-chunks",dataset="web\.visits"\} [1-9]/)
  // it runs jobs, and takes no rows and no questions
  for (const path of ['/api/v1/status', '/api/v1/query', '/openapi.json'])
    expect(await get(path)).toMatchObject({ status: 404 })
  worker.process.kill('SIGTERM')
  const { code, err } = await worker.ended
  expect({ code, err }).toMatchObject({ code: 0 })
  await expect(get('/healthz')).rejects.toThrow()
})

it('asks for who may read metrics, as the server does', async () => {
  const app = createWorkerServer(tm, { logger: false })
  try {
    const address = await listen(app, { host: '127.0.0.1', port: 0 })
    const asked = (secret: string | null) =>
      fetch(`${address}/metrics`, { headers: secret === null ? {} : { authorization: `Bearer ${secret}` } })
    expect((await asked(null)).status).toBe(401)
    const actor = {
      kind: 'cli',
      id: 'test',
      tenant: allTenants,
      datasets: null,
      requestId: null,
      address: null,
    }
    const wanted = { name: 'scraper', tenant: allTenants, datasets: null, expiresAt: null, scopes: ['admin'] }
    const { secret } = await tm.access.keys.create(wanted as never, actor as never)
    const answered = await asked(secret)
    expect(answered.status).toBe(200)
    expect(await answered.text()).toContain('tidemark_build_info')
    expect((await fetch(`${address}/healthz`)).status).toBe(200)
  } finally {
    await app.close()
  }
})
