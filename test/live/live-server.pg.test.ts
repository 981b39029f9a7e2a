import type { FastifyInstance } from 'fastify'
import { afterAll, afterEach, beforeAll, beforeEach, expect, expectTypeOf, it } from 'vitest'
import { WebSocket } from 'ws'
import type { Actor } from '../../src/access/index.ts'
import { createServer, listen } from '../../src/api/index.ts'
import { type Client, createClient, type LiveState, type SubscribeOptions } from '../../src/client/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { allTenants, defineConfig, hypertable, type TenantScope, t, table } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { until } from './test-reader.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text(), tokens: t.int8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})
const projects = table('app.projects', {
  columns: { tenant: t.text(), id: t.int4(), name: t.text() },
  primaryKey: ['tenant', 'id'],
  tenant: 'tenant',
})
const config = defineConfig({ datasets: [requests, projects], server: { auth: { keys: true } } })
const operator: Actor = {
  kind: 'cli',
  id: 'root',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
}

let engine: TestEngine<typeof config>
let app: FastifyInstance
let base: string
/** Another process that writes. */
let elsewhere: Tidemark<typeof config>
const clients: Client<typeof config>[] = []
const sockets: WebSocket[] = []

class NotedSocket extends WebSocket {
  constructor(url: string, protocols?: string[]) {
    super(url, protocols)
    sockets.push(this)
    this.on('error', () => {})
  }
}

async function start(port: number): Promise<void> {
  app = await createServer(engine.tm, { access: { watchMs: 50 }, live: { restMs: 5 } })
  base = await listen(app, { host: '127.0.0.1', port })
}

beforeAll(async () => {
  engine = await createTestEngine(config)
  elsewhere = await createTidemark(config, {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  await start(0)
})
afterAll(async () => {
  await elsewhere.close()
  await app.close()
  await engine.close()
})
beforeEach(() => engine.test.db.execute('truncate metrics.requests; delete from app.projects'))
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()))
  for (const socket of sockets.splice(0)) socket.terminate()
})

async function keyOf(tenant: TenantScope): Promise<{ id: string; secret: string }> {
  const { key, secret } = await engine.tm.access.keys.create(
    { name: 'live', scopes: ['query'], tenant, datasets: null, expiresAt: null },
    operator,
  )
  return { id: key.id, secret }
}

async function clientOf(tenant: TenantScope = allTenants): Promise<Client<typeof config>> {
  const { secret } = await keyOf(tenant)
  const client = createClient<typeof config>({ url: base, apiKey: secret, WebSocket: NotedSocket })
  clients.push(client)
  return client
}

/** What a subscriber knows. */
interface Known<Row> extends SubscribeOptions<Row> {
  rows: readonly Row[] | null
  readonly states: LiveState[]
  code: string | null
}
function known<Row>(): Known<Row> {
  const state: Known<Row> = {
    rows: null,
    states: [],
    code: null,
    onChange: ({ rows }) => {
      state.rows = rows
    },
    onState: (now, error) => {
      state.states.push(now)
      state.code = error?.code ?? null
    },
  }
  return state
}

const perModel = {
  from: '2026-06-01T00:00:00Z',
  bucket: '1 hour',
  by: ['model'],
  select: { n: { fn: 'count' }, tokens: { fn: 'sum', column: 'tokens' } },
} as const
interface PerModel {
  bucket: string
  model: string
  n: number
  tokens: string | null
}
const rowAt = (hour: number, model = 'm', tenant = 'a') => ({
  time: `2026-06-01T${String(hour).padStart(2, '0')}:10:00Z`,
  tenant,
  model,
  tokens: 1n,
})

it('a client has the answer, and what this server, another process and psql write, within two seconds', async () => {
  const client = await clientOf()
  const live = known<PerModel>()
  const list = known<{ tenant: string; id: number; name: string }>()
  client.subscribe('metrics.requests', perModel, live)
  client.subscribe('app.projects', { where: { tenant: 'a' }, order: ['-name'], limit: 2 }, list)
  await until('there are answers', () => live.rows !== null && list.rows !== null)
  expect(sockets).toHaveLength(1)
  expect(live.states).toEqual(['connecting', 'live'])
  await engine.tm.insert(requests, [rowAt(1)])
  await until('it came from here', () => live.rows?.length === 1, 2000)
  await elsewhere.insert(requests, [rowAt(2)])
  await until('it came from another process', () => live.rows?.length === 2, 2000)
  await engine.test.db.query(sql`insert into metrics.requests values ('2026-06-01T03:00:00Z', 'a', 'x', 4)`)
  await until('it came from psql', () => live.rows?.length === 3, 2000)
  await engine.test.db.query(sql`insert into app.projects values ('a', 1, 'b'), ('a', 2, 'c'), ('a', 3, 'a')`)
  await until('the list came from psql', () => list.rows?.length === 2, 2000)
  expect(list.rows?.map(({ name }) => name)).toEqual(['c', 'b'])
  const { rows } = await engine.tm.query(requests, perModel)
  expect(live.rows).toEqual(rows)
  expectTypeOf(live.rows![0]!.n).toEqualTypeOf<number>()
})

it('types: names that are nowhere are refused, rows follow from the query', () => {
  const check = (client: Client<typeof config>): void => {
    client.subscribe('metrics.requests', perModel, {
      onChange: ({ rows }) => {
        expectTypeOf(rows[0]!.n).toEqualTypeOf<number>()
        expectTypeOf(rows[0]!.model).toEqualTypeOf<string>()
      },
    })
    client.subscribe(
      'app.projects',
      { order: '-id', columns: ['name'] },
      {
        onChange: ({ rows }) => expectTypeOf(rows[0]!).toEqualTypeOf<{ name: string }>(),
      },
    )
    // @ts-expect-error no such column
    client.subscribe('app.projects', { order: ['nothing'] }, { onChange: () => {} })
    // @ts-expect-error no such dataset
    client.subscribe('app.nothing', {}, { onChange: () => {} })
    // @ts-expect-error rows of a hypertable have the order of time
    client.subscribe('metrics.requests', { order: ['model'] }, { onChange: () => {} })
  }
  expect(check).toBeTypeOf('function')
})

it('after a cut socket only what has changed since is sent, and nothing is lost', async () => {
  const client = await clientOf()
  const live = known<PerModel>()
  await engine.tm.insert(requests, [rowAt(1), rowAt(2)])
  client.subscribe('metrics.requests', perModel, live)
  await until('there is an answer', () => live.rows?.length === 2)
  for (let cut = 1; cut <= 3; cut++) {
    sockets.at(-1)!.terminate()
    await engine.tm.insert(requests, [rowAt(cut + 2), rowAt(1, 'x')])
    await until('it is there again', () => sockets.length === cut + 1)
    const types: string[] = []
    sockets.at(-1)!.on('message', (data) => types.push(JSON.parse(data.toString()).type))
    await until('it has caught up', () => live.rows?.length === 3 + cut)
    expect(types).not.toContain('answer')
  }
  await until('it is right', async () => {
    const { rows } = await engine.tm.query(requests, perModel)
    return JSON.stringify(live.rows, text) === JSON.stringify(rows, text)
  })
  expect(live.states.slice(0, 4)).toEqual(['connecting', 'live', 'connecting', 'live'])
})

const text = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value)

it('outlives a restart of the server: what was written meanwhile is there', async () => {
  const client = await clientOf()
  const live = known<PerModel>()
  client.subscribe('metrics.requests', perModel, live)
  await until('there is an answer', () => live.rows !== null)
  const { port } = new URL(base)
  await app.close()
  await elsewhere.insert(requests, [rowAt(5)])
  await start(Number(port))
  await until('it is there again', () => live.rows?.length === 1, 15_000)
  expect(live.states.at(-1)).toBe('live')
  await elsewhere.insert(requests, [rowAt(6)])
  await until('it goes on', () => live.rows?.length === 2)
})

it('a key of a tenant sees his rows alone; when it is revoked its streams end', async () => {
  const { id, secret } = await keyOf({ kind: 'one', tenant: 'a' })
  const client = createClient<typeof config>({ url: base, apiKey: secret, WebSocket: NotedSocket })
  clients.push(client)
  const live = known<PerModel>()
  const list = known<{ tenant: string; id: number; name: string }>()
  client.subscribe('metrics.requests', perModel, live)
  client.subscribe('app.projects', { columns: ['tenant', 'id', 'name'] }, list)
  await until('there are answers', () => live.rows !== null && list.rows !== null)
  const heard: string[] = []
  sockets[0]!.on('message', (data) => heard.push(data.toString()))
  await engine.tm.insert(requests, [rowAt(1, 'marker', 'b'), rowAt(2)])
  await engine.tm.insert(projects, [
    { tenant: 'b', id: 1, name: 'marker' },
    { tenant: 'a', id: 1, name: 'mine' },
  ])
  await until('his rows are there', () => live.rows?.length === 1 && list.rows?.length === 1)
  expect(heard.join()).not.toContain('marker')
  const stream = await events(secret, { dataset: 'metrics.requests', ...perModel })
  await until('the stream has an answer', () => stream.events.length > 0)
  await engine.tm.access.keys.revoke(id, operator)
  await until('both have ended', () => stream.isOver() && live.states.at(-1) === 'connecting')
  expect(
    (await fetch(`${base}/api/v1/live?query={}`, { headers: { authorization: `Bearer ${secret}` } })).status,
  ).toBe(401)
})

interface Event {
  readonly type: string
  readonly id: string
  readonly data: {
    readonly rows?: unknown[]
    readonly removed?: string[]
    readonly set?: unknown[]
    readonly code?: string
  }
}

/** As EventSource reads them. */
async function events(secret: string, query: object, last?: string) {
  const stop = new AbortController()
  const response = await fetch(`${base}/api/v1/live?query=${encodeURIComponent(JSON.stringify(query))}`, {
    signal: stop.signal,
    headers: { authorization: `Bearer ${secret}`, ...(last === undefined ? {} : { 'last-event-id': last }) },
  })
  const found: Event[] = []
  let isOver = false
  const reading = (async () => {
    let rest = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + chunk).split('\n\n')
      rest = parts.pop()!
      for (const part of parts) {
        const fields = Object.fromEntries(part.split('\n').map((line) => line.split(/: (.*)/s)))
        if (fields.data) found.push({ type: fields.event, id: fields.id, data: JSON.parse(fields.data) })
      }
    }
  })()
  reading
    .catch(() => {})
    .finally(() => {
      isOver = true
    })
  return { response, events: found, isOver: () => isOver, stop: () => stop.abort() }
}

it('server-sent events: the answer, what changes, and after a reconnect what has changed since', async () => {
  const { secret } = await keyOf(allTenants)
  const query = { dataset: 'metrics.requests', ...perModel }
  const stream = await events(secret, query)
  expect(stream.response.headers.get('content-type')).toMatch(/^text\/event-stream/)
  await until('there is an answer', () => stream.events.length === 1)
  expect(stream.events[0]).toMatchObject({ type: 'answer', data: { rows: [] } })
  await engine.tm.insert(requests, [rowAt(1)])
  await until('there is a change', () => stream.events.length === 2)
  expect(stream.events[1]).toMatchObject({ type: 'change', data: { removed: [] } })
  stream.stop()
  await engine.tm.insert(requests, [rowAt(2)])
  const again = await events(secret, query, stream.events[1]!.id)
  await until('it has caught up', () => again.events.flatMap(({ data }) => data.set ?? []).length > 0)
  expect(again.events.map(({ type }) => type)).not.toContain('answer')
  again.stop()
})

it('what cannot be streamed is a problem with its status', async () => {
  const { secret } = await keyOf(allTenants)
  const ask = async (query: string) => {
    const response = await fetch(`${base}/api/v1/live?${query}`, {
      headers: { authorization: `Bearer ${secret}` },
    })
    return [response.status, ((await response.json()) as { code: string }).code]
  }
  expect(await ask('')).toEqual([400, 'TM_QUERY'])
  expect(await ask('query=%7B')).toEqual([400, 'TM_QUERY'])
  expect(await ask('query={"dataset":"no.such"}')).toEqual([404, 'TM_UNKNOWN_DATASET'])
  expect((await fetch(`${base}/api/v1/live?query={}`)).status).toBe(401)
})

it('a socket: many subscriptions, acknowledgements, errors by subscription', async () => {
  const { secret } = await keyOf(allTenants)
  const socket = new NotedSocket(`${base.replace('http', 'ws')}/api/v1/live`, [
    'tidemark',
    `tidemark.bearer.${secret}`,
  ])
  const heard: {
    id: string | null
    type: string
    resume: string
    error?: { code: string; detail: string }
  }[] = []
  socket.on('message', (data) => heard.push(JSON.parse(data.toString())))
  await new Promise((resolve) => socket.once('open', resolve))
  const send = (message: unknown) =>
    socket.send(typeof message === 'string' ? message : JSON.stringify(message))
  const of = (id: string | null) => heard.filter((message) => message.id === id)
  const query = { dataset: 'metrics.requests', ...perModel }
  send({ type: 'subscribe', id: 'slow', query, ack: true })
  send({ type: 'subscribe', id: 'quick', query })
  await until('there are answers', () => of('slow').length === 1 && of('quick').length === 1)
  for (const hour of [1, 2, 3]) {
    await engine.tm.insert(requests, [rowAt(hour)])
    await until('the quick one knows', () => of('quick').length === 1 + hour)
  }
  expect(of('slow')).toHaveLength(1)
  send({ type: 'ack', id: 'slow', resume: 'another' })
  send({ type: 'ack', id: 'slow', resume: of('slow')[0]!.resume })
  await until('the slow one is told all at once', () => of('slow').length === 2)
  expect(of('slow')[1]).toMatchObject({ type: 'change', resume: of('quick').at(-1)!.resume })
  send({ type: 'subscribe', id: 'quick', query })
  send({ type: 'subscribe', id: 'bad', query: { dataset: 'metrics.requests', select: { n: { fn: 'no' } } } })
  send({ type: 'unsubscribe', id: 'quick' })
  send('{')
  send({ type: 'other', id: 'x' })
  await until('all is answered', () => heard.filter(({ type }) => type === 'error').length === 4)
  expect(heard.filter(({ type }) => type === 'error').map(({ id, error }) => [id, error!.code])).toEqual([
    ['quick', 'TM_QUERY'],
    ['bad', 'TM_QUERY'],
    [null, 'TM_BODY'],
    [null, 'TM_QUERY'],
  ])
  const before = of('quick').length
  await engine.tm.insert(requests, [rowAt(4)])
  send({ type: 'ack', id: 'slow', resume: of('slow')[1]!.resume })
  await until('the other goes on', () => of('slow').length === 3)
  expect(of('quick')).toHaveLength(before)
})

it('an error of the query ends a subscription, and says why', async () => {
  const client = await clientOf()
  const live = known<never>()
  client.subscribe(
    'metrics.requests',
    { select: { n: { fn: 'count' } }, where: { model: { like: 7 } } } as never,
    live,
  )
  await until('it has ended', () => live.states.at(-1) === 'ended')
  expect(live.code).toBe('TM_QUERY')
  const stop = new AbortController()
  const other = known<PerModel>()
  client.subscribe('metrics.requests', perModel, { ...other, signal: stop.signal, onState: other.onState! })
  await until('there is an answer', () => other.states.at(-1) === 'live')
  stop.abort()
  expect(other.states.at(-1)).toBe('ended')
})

it('where nobody is asked who he is, pages of other origins are refused', async () => {
  const open = await createTidemark(defineConfig({ datasets: [requests] }), {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  const server = await createServer(open)
  try {
    const address = (await listen(server, { host: '127.0.0.1', port: 0 })).replace('http', 'ws')
    const connect = (origin?: string) =>
      new Promise<string>((resolve) => {
        const socket = new WebSocket(`${address}/api/v1/live`, origin === undefined ? {} : { origin })
        socket.once('open', () => {
          socket.terminate()
          resolve('open')
        })
        socket.once('error', ({ message }) => resolve(message))
      })
    expect(await connect('https://elsewhere.example')).toContain('403')
    expect(await connect(address.replace('ws', 'http'))).toBe('open')
    expect(await connect()).toBe('open')
  } finally {
    await server.close()
    await open.close()
  }
})
