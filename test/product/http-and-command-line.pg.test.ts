import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { productKinds } from '../../src/product/index.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { formatInstant } from '../../src/time/index.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { day, start, visitArbitrary, visits } from './fixture.ts'

const config = `
import { defineConfig, hypertable, t } from 'tidemark/schema'
export default defineConfig({ datasets: [hypertable('web.visits', {
  columns: {
    at: t.timestamptz(), who: t.text().nullable(), device: t.text().nullable(), what: t.text(), visit: t.text().nullable(),
    page: t.text().nullable(), plan: t.text().nullable(), props: t.jsonb().nullable(),
  },
  time: 'at', chunk: '1 day', events: { user: 'who', anonymous: 'device', event: 'what', page: 'page' },
})] })
`

let test: TestDatabase
let folder: string
let tm: Tidemark
let app: FastifyInstance
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-product-'))
  await writeFile(join(folder, 'tidemark.config.ts'), config)
  tm = await createTidemark(defineConfig({ datasets: [visits] }), {
    connectionString: test.connectionString,
    root: folder,
  })
  await tm.migrate()
  await tm.insertUnknown('web.visits', fc.sample(visitArbitrary(4), { seed: 5, numRuns: 200 }) as never)
  await tm.freeze('web.visits', { from: formatInstant(start), to: formatInstant(start + 2n * day) })
  app = await createServer(tm)
}, 60_000)
afterAll(async () => {
  await app?.close()
  await tm?.close()
  await test?.drop()
  await rm(folder, { recursive: true, force: true })
})

const { run, json } = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

const range = { from: formatInstant(start), to: formatInstant(start + 4n * day) }
const questions: Readonly<Record<string, object>> = {
  funnel: { ...range, steps: ['view', 'buy'], within: '1 day', by: 'plan' },
  retention: { ...range, period: '1 day', periods: 3 },
  sessions: { ...range, bucket: '1 day' },
  topPages: { ...range, top: 3 },
  paths: { ...range, start: '/a' },
  activeUsers: { ...range, windows: ['1 day', '2 days'] },
  lifecycle: { ...range, period: '1 day', where: { plan: 'paid' } },
}
const pathOf = (kind: string) => kind.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)

const post = async (path: string, body: object) => {
  const response = await app.inject({
    method: 'POST',
    url: `/api/v1/datasets/web.visits/${path}`,
    payload: body,
  })
  return { status: response.statusCode, body: response.json() }
}

it('every question has a route that answers as the library does', async () => {
  for (const kind of productKinds) {
    const { rows } = await tm.productUnknown(kind, 'web.visits', questions[kind])
    expect(rows.length).toBeGreaterThan(0)
    const { status, body } = await post(pathOf(kind), questions[kind]!)
    expect({ kind, status, rows: body.rows }).toEqual({ kind, status: 200, rows })
    expect(
      body.plan.parts.map(({ source, rows }: { source: string; rows: number }) => [source, rows > 0]),
    ).toEqual([
      ['hot', true],
      ['cold', true],
    ])
  }
})

it('active users by sketches say over HTTP that they are estimated, and how far off that may be', async () => {
  const exact = await tm.productUnknown('activeUsers', 'web.visits', questions['activeUsers'])
  const { body } = await post('active-users', { ...questions['activeUsers'], method: 'uniques' })
  // so few users are counted exactly by sketches, too
  expect(body.rows).toEqual(exact.rows)
  expect(body.plan).toMatchObject({ method: 'uniques', errorBound: expect.stringContaining('1.63 %') })
  expect((await post('active-users', questions['activeUsers']!)).body.plan.method).toBe('exact')
})

it('a question that is wrong comes back with the place', async () => {
  expect(await post('funnel', { ...range, steps: ['view'], within: 'soon' })).toMatchObject({
    status: 400,
    body: { code: 'TM_QUERY', params: { path: 'within' } },
  })
  expect(await post('sessions', { ...range, timeoutMs: 0 })).toMatchObject({
    status: 400,
    body: { code: 'TM_QUERY', params: { path: 'timeoutMs' } },
  })
  const nowhere = await app.inject({ method: 'POST', url: '/api/v1/datasets/web.no/funnel', payload: {} })
  expect(nowhere.json()).toMatchObject({ code: 'TM_UNKNOWN_DATASET' })
})

it('the command line asks with options or with JSON, and draws the answer', async () => {
  const times = ['--from', range.from, '--to', range.to]
  const { rows } = await tm.productUnknown('funnel', 'web.visits', questions['funnel'])
  const steps = ['--steps', 'view,buy', '--within', '1 day', '--by', 'plan']
  const asked = await json('product', 'funnel', 'web.visits', ...times, ...steps)
  expect(asked).toMatchObject({ code: 0, data: { rows } })
  const pages = await run('product', 'top-pages', 'web.visits', '-q', JSON.stringify(questions['topPages']))
  expect(pages.code).toBe(0)
  expect(pages.out).toMatch(/page +views +users +entrances/)
  expect(pages.out).toMatch(/events of PostgreSQL, .* events of 2 files/)
  const sketched = ['--windows', '1 day,2 days', '--method', 'uniques']
  const users = await run('product', 'active-users', 'web.visits', ...times, ...sketched)
  expect(users.out).toMatch(/users exact up to 512, beyond a standard error of 1.63 %/)
}, 120_000)

it('a kind of question that is not known is a wrong call', async () => {
  const wrong = await run('product', 'funel', 'web.visits')
  expect(wrong).toMatchObject({ code: 2 })
  expect(wrong.err).toMatch(/there is no "funel"; known: funnel/)
}, 60_000)

it('an answer that may be a kept one is as new as every write that this server has acknowledged', async () => {
  const visit = async (at: bigint, who: string) => {
    const rows = [{ at: formatInstant(at), who, what: 'view', page: '/a' }]
    const url = '/api/v1/datasets/web.visits/rows'
    expect((await app.inject({ method: 'POST', url, payload: rows })).statusCode).toBe(201)
  }
  const ask = async (kind: string) => {
    const payload = { ...questions[kind], cache: 'dashboard' }
    const url = `/api/v1/datasets/web.visits/${pathOf(kind)}`
    const reply = await app.inject({ method: 'POST', url, payload })
    expect(reply.statusCode, reply.body).toBe(200)
    const { rows, plan } = reply.json()
    return { rows, plan, outcome: String(reply.headers['x-tidemark-cache']).split(';')[0] }
  }
  const warm = async () => {
    for (const kind of productKinds)
      await expect.poll(async () => (await ask(kind)).outcome, { message: kind }).toBe('hit')
  }
  const outcomes = async () =>
    Object.fromEntries(
      await Promise.all(productKinds.map(async (kind) => [kind, (await ask(kind)).outcome] as const)),
    )
  const assertNew = async () => {
    for (const kind of productKinds) {
      const { rows } = await ask(kind)
      expect({ kind, rows }).toEqual({
        kind,
        rows: (await tm.productUnknown(kind, 'web.visits', questions[kind])).rows,
      })
    }
  }
  const all = (outcome: string) => Object.fromEntries(productKinds.map((kind) => [kind, outcome]))
  await warm()
  const { plan } = await ask('funnel')
  expect(plan.cache).toMatchObject({ layer: 'dashboard', outcome: 'hit' })
  // a funnel may end a day after its range
  expect(plan).toMatchObject({ range, read: { ...range, to: formatInstant(start + 5n * day) } })
  await visit(start + 3n * day, 'new in the range')
  expect(await outcomes()).toEqual(all('miss'))
  await assertNew()
  await warm()
  await visit(start - 10n * day, 'long before')
  expect(await outcomes()).toEqual({ ...all('hit'), lifecycle: 'miss' })
  await assertNew()
  await warm()
  await visit(start + 4n * day + 1n, 'just behind the range')
  expect(await outcomes()).toMatchObject({ funnel: 'miss', sessions: 'hit', lifecycle: 'hit' })
  await assertNew()
  const wrong = await post('funnel', { ...questions['funnel'], cache: 'sessions' })
  expect(wrong).toMatchObject({ status: 400, body: { code: 'TM_QUERY', params: { path: 'cache' } } })
})
