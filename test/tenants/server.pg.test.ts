import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import type { Actor } from '../../src/access/index.ts'
import { createServer, listen } from '../../src/api/index.ts'
import { allTenants, type TenantScope } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { type Example, examplesOf } from './examples.ts'
import { anything, collectRoutes, samples, serverConfig, written } from './server-world.ts'
import { clock, fillWorld, type Party, projects, visits, World } from './world.ts'

const world = new World(Math.floor(Math.random() * 2 ** 31))
const { a, b } = world
const told = `seed ${world.seed}`

let engine: TestEngine
let app: FastifyInstance
let base: string
let routes: readonly string[]
/** Of A, B, of somebody whose tenant has no rows. */
const secrets = new Map<string, string>()
/** Id of a key of B. */
let theirKey: string

const operator: Actor = {
  kind: 'cli',
  id: 'test',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
}

beforeAll(async () => {
  engine = await createTestEngine(serverConfig, { clock })
  await fillWorld(engine.tm, world, 6)
  for (const tenant of [a.tenant, b.tenant, 'stranger']) {
    const scope: TenantScope = { kind: 'one', tenant }
    const wanted = { name: `of ${tenant}`, tenant: scope, datasets: null, expiresAt: null }
    const scopes = ['ingest', 'query', 'admin'] as const
    const issued = await engine.tm.access.keys.create({ ...wanted, scopes }, operator)
    secrets.set(tenant, issued.secret)
    if (tenant === b.tenant) theirKey = issued.key.id
    const mine = engine.tm.reportsOf(scope)
    for (const name of tenant === b.tenant ? ['weekly', 'theirs'] : ['weekly']) {
      await mine.save(name, { dataset: visits.name, query: { limit: 500 }, title: `of ${tenant}` }, tenant)
      await mine.run(name)
    }
    await makeBoards(tenant, scope)
  }
  const collected = await collectRoutes(() => createServer(engine.tm))
  ;({ made: app, routes } = collected)
  base = await listen(app, { host: '127.0.0.1', port: 0 })
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

/** Ids that examples name: of A (MY…) and of B (THEIR…). */
const made = new Map<string, string>()

async function makeBoards(tenant: string, scope: TenantScope): Promise<void> {
  const boards = engine.tm.boardsOf(scope)
  const secrets = {
    dataset: visits.name,
    bucket: '1 day',
    by: ['tenant', 'secret'],
    select: { n: { fn: 'count' } },
  }
  const panel = {
    id: 'secrets',
    title: `of ${tenant}`,
    chart: 'bar',
    place: { x: 0, y: 0, w: 6, h: 4 },
    query: secrets,
  }
  const document = {
    range: { from: '2026-03-01', to: '2026-03-06' },
    panels: [{ ...panel, compare: '1 day' }],
  }
  const board = await boards.create({ name: `of ${tenant}`, document }, tenant)
  const spare = await boards.create({ name: `spare of ${tenant}`, document }, tenant)
  const actor = { ...operator, kind: 'key', id: tenant, tenant: scope } as const
  const share = await boards.share(board.id, {}, { actor, keyId: (await keyOf(tenant)).id })
  const whose = tenant === a.tenant ? 'MY' : tenant === b.tenant ? 'THEIR' : null
  if (whose === null) return
  for (const [name, id] of Object.entries({
    BOARD: board.id,
    SPARE: spare.id,
    SHARE: share.id,
    TOKEN: share.token,
  }))
    made.set(`${whose}${name}`, id)
}

async function keyOf(tenant: string) {
  const keys = await engine.tm.access.keys.list(operator)
  return keys.find(({ name }) => name === `of ${tenant}`)!
}

interface Heard {
  readonly status: number
  /** Head and body. */
  readonly text: string
}

async function send(
  method: string,
  { path, headers = {}, body }: Example,
  secret: string | null,
): Promise<Heard> {
  // what is a stream of events does not end
  const stop = new AbortController()
  const url = `${base}${path.replace(/(MY|THEIR)[A-Z]+/g, (name) => made.get(name)!).replace('KEY', theirKey)}`
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(secret === null ? {} : { authorization: `Bearer ${secret}` }) },
    ...(body === undefined ? {} : { body }),
    signal: stop.signal,
  })
  const head = JSON.stringify([...response.headers])
  const { status } = response
  if (!response.headers.get('content-type')?.startsWith('text/event-stream'))
    return { status, text: head + (await response.text()) }
  const first = await response.body!.getReader().read()
  stop.abort()
  return { status, text: head + new TextDecoder().decode(first.value) }
}

/** What of others was in an answer, but for what the request itself said. */
function leaks({ path, headers, body, says }: Example, { text }: Heard, party: Party | null): string[] {
  const asked = `${decodeURIComponent(path)} ${JSON.stringify(headers ?? {})} ${says ?? body?.toString() ?? ''}`
  const said = new Set(world.leaksIn(asked, party))
  return world.leaksIn(text, party).filter((mark) => !said.has(mark))
}

async function rowsOfOthers(): Promise<unknown> {
  const counts = []
  for (const { name } of written)
    counts.push(
      (
        await engine.tm.queryUnknown(name, {
          where: { tenant: { notIn: [a.tenant, 'stranger'] } },
          by: ['tenant'],
          order: ['tenant'],
          select: { n: { fn: 'count' } },
        })
      ).rows,
    )
  const titles = { where: { tenant: b.tenant }, columns: ['id', 'title', 'note'] }
  return [counts, (await engine.tm.queryUnknown(projects.name, titles)).rows]
}

it('every route of the server says how it is called here', () => {
  const known = examplesOf(a, b)
  // made by the framework beside each GET
  const own = routes.filter((route) => !route.startsWith('HEAD ') && !route.startsWith('OPTIONS *'))
  expect(own.filter((route) => !(route in known))).toEqual([])
  expect(Object.keys(known).filter((route) => !own.includes(route))).toEqual([])
})

it('whatever is sent to whichever route, nothing of another tenant comes back, and nothing of it is changed', async () => {
  const before = await rowsOfOthers()
  const known = examplesOf(a, b)
  const statuses = new Map<string, number[]>()
  // what is made is looked at, and then deleted
  const methods = ['PUT', 'POST', 'GET', 'PATCH', 'DELETE', 'OPTIONS']
  const placeOf = (route: string): number => methods.indexOf(route.split(' ')[0] as string)
  const inOrder = [...routes].sort((x, y) => placeOf(x) - placeOf(y))
  for (const route of inOrder) {
    const [method] = route.split(' ') as [string]
    for (const example of known[route] ?? []) {
      // what is kept for B must not be found by A
      if (/POST \/api\/v1\/query|GET .*records|reports/.test(route) && method !== 'DELETE')
        await send(method, example, secrets.get(b.tenant)!)
      const heard = await send(method, example, secrets.get(a.tenant)!)
      expect(leaks(example, heard, a), `${told}: ${route} ${example.path} ${heard.text}`).toEqual([])
      expect(heard.status, `${told}: ${route} ${example.path} ${heard.text}`).not.toBe(500)
      statuses.set(route, [...(statuses.get(route) ?? []), heard.status])
    }
  }
  // the examples are no errors alone
  const failing = [...statuses]
    .filter(([, all]) => all.every((status) => status >= 400))
    .map(([route]) => route)
  expect(failing.sort()).toEqual(expectedToFail.filter((route) => routes.includes(route)))
  await expect.poll(async () => (await engine.tm.status()).spool.waitingBytes).toBe(0)
  expect(await rowsOfOthers(), told).toEqual(before)
})

/** Routes that one of a tenant may not call, or that want a socket. */
const expectedToFail: readonly string[] = [
  'DELETE /api/v1/keys/:id',
  'DELETE /api/v1/operations/:id',
  'GET /api/v1/aggregates',
  'GET /api/v1/datasets/:dataset/stream',
  'GET /api/v1/jobs',
  'GET /api/v1/operations',
  'GET /api/v1/operations/:id',
  'GET /api/v1/overview',
  'GET /api/v1/slow-queries',
  'GET /api/v1/storage',
  'GET /api/v1/storage/growth',
  'GET /metrics',
  'POST /api/v1/keys/:id/rotate',
  'POST /api/v1/operations',
]

it('who has another tenant, or shows nothing, hears nothing of the others', async () => {
  const known = examplesOf(a, b)
  for (const secret of [secrets.get('stranger')!, null])
    for (const route of routes) {
      const [method] = route.split(' ') as [string]
      for (const example of known[route] ?? []) {
        if (method !== 'GET' && !route.includes('query') && !route.includes('funnel')) continue
        const heard = await send(method, example, secret)
        expect(leaks(example, heard, null), `${told}: ${route} ${example.path} ${heard.text}`).toEqual([])
      }
    }
})

it('sockets say nothing of another tenant: streams of rows, and live answers while others write', async () => {
  const headers = { authorization: `Bearer ${secrets.get(a.tenant)!}` }
  const ws = base.replace('http', 'ws')
  const heard: string[] = []
  const open = async (path: string): Promise<WebSocket> => {
    const socket = new WebSocket(`${ws}${path}`, { headers })
    socket.on('message', (data) => heard.push(data.toString()))
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    return socket
  }
  const live = await open('/api/v1/live')
  const questions = [
    { dataset: visits.name, from: '2026-03-05', to: '2026-03-06', limit: 200 },
    {
      dataset: visits.name,
      from: '2026-03-05',
      to: '2026-03-06',
      bucket: '1 hour',
      by: ['secret'],
      select: { n: { fn: 'count' } },
    },
    {
      dataset: visits.name,
      from: '2026-03-05',
      to: '2026-03-06',
      where: { tenant: b.tenant },
      select: { n: { fn: 'count' } },
    },
    { dataset: projects.name },
  ]
  for (const [i, query] of questions.entries())
    live.send(JSON.stringify({ type: 'subscribe', id: `s${i}`, query }))
  await expect.poll(() => new Set(heard.map((text) => (JSON.parse(text) as { id?: string }).id)).size).toBe(4)
  const rows = await open(`/api/v1/datasets/${visits.name}/stream?stream=one`)
  const visit = { time: '2026-03-05T02:00:00Z', user_id: 'u1', name: 'visit', project: 1 }
  const theirs = { ...visit, tenant: b.tenant, secret: `${b.mark} live` }
  await engine.tm.insertUnknown(visits.name, [theirs, theirs])
  await engine.tm.updateUnknown(projects.name, {
    where: { tenant: b.tenant },
    set: { note: `${b.mark} note` },
  })
  rows.send(
    JSON.stringify([
      { ...visit, secret: 'mine, live' },
      { ...visit, secret: 'not mine', tenant: b.tenant },
    ]),
  )
  await expect.poll(() => heard.filter((text) => text.includes('mine, live')).length).toBeGreaterThan(1)
  await expect.poll(() => heard.some((text) => text.includes('"reason":"tenant"'))).toBe(true)
  // what he asked for is his to see
  const said = heard.map((text) => text.replaceAll(JSON.stringify(b.tenant).slice(1, -1), ''))
  expect(
    said.flatMap((text) => world.leaksIn(text, a)),
    told,
  ).toEqual([])
  for (const socket of [live, rows]) socket.terminate()
})

it('dead letters and keys of the walk belong to whoever sent the rows', async () => {
  const { rows } = await engine.test.db.query(
    raw('select distinct tenant from tidemark.dead_letter order by 1'),
  )
  expect(rows.flat()).toEqual(expect.arrayContaining([a.tenant]))
  expect(rows.flat()).not.toContain(null)
  const keys = await engine.test.db.query(raw('select distinct tenant from tidemark.ingest_batch'))
  expect(keys.rows.flat()).not.toContain('')
})

it('tables of protocols have what a key of a tenant has sent as his, and nothing that it sent as somebody else', async () => {
  const rowsSeenBy = async (dataset: string, tenant: string): Promise<unknown> => {
    const headers = {
      'content-type': 'application/json',
      authorization: `Bearer ${secrets.get(tenant)!}`,
    }
    const body = JSON.stringify({ dataset, by: ['tenant'], select: { n: { fn: 'count' } } })
    const reply = await fetch(`${base}/api/v1/query`, { method: 'POST', headers, body })
    return ((await reply.json()) as { rows: unknown }).rows
  }
  const known = examplesOf(a, b)
  const names = [anything.name, samples.name]
  const before = await Promise.all(names.map((name) => rowsSeenBy(name, b.tenant)))
  for (const route of ['POST /write', 'POST /api/v1/prometheus/write'])
    for (const example of known[route]!) await send('POST', example, secrets.get(a.tenant)!)
  for (const name of names) {
    expect(await rowsSeenBy(name, a.tenant)).toEqual([{ tenant: a.tenant, n: expect.any(Number) }])
    expect(await rowsSeenBy(name, 'stranger')).toEqual([])
  }
  expect(await Promise.all(names.map((name) => rowsSeenBy(name, b.tenant)))).toEqual(before)
  // who writes for everybody says by a tag whose a point is
  const collector = await engine.tm.access.keys.create(
    { name: 'collector', tenant: allTenants, scopes: ['ingest'], datasets: null, expiresAt: null },
    operator,
  )
  const line = `odd,tenant=${b.tenant.replaceAll(' ', '\\ ')} x=3 1772672400000000000\nodd x=4 1772672400000000000`
  const partly = await send('POST', { path: '/write', body: line }, collector.secret)
  expect(partly.status).toBe(400)
  expect(partly.text).toContain('dropped=1')
  expect(await rowsSeenBy(anything.name, b.tenant)).toEqual([{ tenant: b.tenant, n: 1 }])
})
