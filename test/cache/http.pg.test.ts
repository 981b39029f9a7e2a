import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { createServer } from '../../src/api/index.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { count } from '../../src/query/index.ts'
import { allTenants, defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { startRedis, type TestRedis, whyNoRedis } from '../helpers/redis.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const readings = hypertable('app.readings', {
  columns: { time: t.timestamptz(), tenant: t.text(), device: t.int4(), value: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  orderBy: ['device'],
})
const devices = table('app.devices', {
  columns: { id: t.int4(), name: t.text() },
  primaryKey: ['id'],
})
const ticks = hypertable('app.ticks', {
  columns: { time: t.timestamptz(), id: t.int4() },
  time: 'time',
  primaryKey: ['id', 'time'],
})
const hourly = continuousAggregate('app.hourly', {
  from: readings,
  bucket: '1 hour',
  by: ['device'],
  dimensions: { name: { table: devices, on: { id: 'device' }, column: 'name' } },
  select: { n: count() },
  refresh: { every: '1 minute' },
})
const config = defineConfig({ datasets: [readings, devices, ticks, hourly] })
const counting = {
  dataset: 'app.readings',
  from: '2026-01-01T00:00:00Z',
  to: '2026-01-02T00:00:00Z',
  select: { n: { fn: 'count' } },
  cache: 'dashboard',
}

interface Server {
  readonly app: FastifyInstance
  readonly tm: Tidemark<typeof config>
}

let engine: TestEngine<typeof config>
let redis: TestRedis | null = null
let x: Server
let y: Server

beforeAll(async () => {
  engine = await createTestEngine(config)
  redis = whyNoRedis === null ? await startRedis() : null
  x = await serve(engine.tm)
  y = await serve(
    await createTidemark(config, { connectionString: engine.test.connectionString, root: engine.root }),
  )
})

afterAll(async () => {
  await x.app.close()
  await y.app.close()
  await y.tm.close()
  await engine.close()
})

async function serve(tm: Tidemark<typeof config>): Promise<Server> {
  const app = await createServer(tm, { redisUrl: redis?.url ?? null, logger: logger() })
  await app.ready()
  return { app, tm }
}

/** What the servers log of Redis. */
const logged: string[] = []

function logger(): FastifyBaseLogger {
  const note = (_: unknown, message?: string) => {
    if (message?.startsWith('Redis ')) logged.push(message)
  }
  const nothing = () => {}
  const all = { fatal: note, error: note, warn: note, info: note, debug: nothing, trace: nothing }
  return { ...all, level: 'info', silent: nothing, child: logger } as FastifyBaseLogger
}

async function ask({ app }: Server, query: object = counting) {
  const reply = await app.inject({ method: 'POST', url: '/api/v1/query', payload: query })
  expect(reply.statusCode, reply.body).toBe(200)
  const { rows, plan } = reply.json() as {
    rows: Record<string, unknown>[]
    plan: { range: object; cache?: { layer: string; outcome: string; ageMs: number } }
  }
  return { rows, plan, cache: reply.headers['x-tidemark-cache'] as string | undefined }
}

async function insert({ app }: Server, rows: readonly object[], dataset = 'app.readings'): Promise<void> {
  const reply = await app.inject({ method: 'POST', url: `/api/v1/datasets/${dataset}/rows`, payload: rows })
  expect(reply.statusCode, reply.body).toBeLessThan(300)
}

const reading = (time: string, device = 1, tenant = 'a') => ({ time, tenant, device, value: 1 })

/** Until answers are kept: the feed has looked for the first time. */
async function warm(server: Server, query: object = counting): Promise<void> {
  await expect.poll(async () => (await ask(server, query)).cache).toMatch(/^hit/)
}

describe('a query over HTTP', () => {
  it('is of this moment, unless it asks for the cache; then header and plan say what was given', async () => {
    const { cache: _, ...exact } = counting
    expect((await ask(x, exact)).cache).toBeUndefined()
    await warm(x)
    const found = await ask(x)
    expect(found.cache).toMatch(/^hit; layer=dashboard; age=\d+$/)
    expect(found.plan.cache).toMatchObject({ layer: 'dashboard', outcome: 'hit' })
    expect(found.plan.range).toEqual({ from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' })
    const nowhere = await x.app.inject({ method: 'POST', url: '/api/v1/nowhere', payload: {} })
    expect(nowhere.statusCode).toBe(404)
    const wrong = await x.app.inject({
      method: 'POST',
      url: '/api/v1/query',
      payload: { ...counting, cache: 'sessions' },
    })
    expect(wrong.json()).toMatchObject({ status: 400, code: 'TM_QUERY' })
  })

  it('has every acknowledged write through the same server in it, and what others committed soon', async () => {
    await warm(x)
    const before = Number((await ask(x)).rows[0]!['n'])
    await insert(x, [reading('2026-01-01T10:00:00Z')])
    expect((await ask(x)).rows).toEqual([{ n: before + 1 }])
    await warm(x)
    await engine.test.db.execute(`insert into app.readings values ('2026-01-01T11:00:00Z', 'b', 2, 1)`)
    await expect.poll(async () => (await ask(x)).rows).toEqual([{ n: before + 2 }])
  })

  it('has the rows of a WebSocket in it when their frame is acknowledged', async () => {
    const address = await x.app.listen({ host: '127.0.0.1', port: 0 })
    const socket = new WebSocket(`${address.replace('http', 'ws')}/api/v1/datasets/app.readings/stream`)
    await once(socket, 'open')
    let { n } = (await ask(x)).rows[0] as { n: number }
    for (let i = 0; i < 5; i++) {
      await warm(x)
      socket.send(JSON.stringify([reading(`2026-01-01T09:0${i}:00Z`)]))
      const [text] = await once(socket, 'message')
      expect(JSON.parse(String(text))).toMatchObject({ accepted: 1 })
      n += 1
      expect((await ask(x)).rows).toEqual([{ n }])
    }
    socket.close()
  })

  it('stays in the cache when rows of another time are written', async () => {
    await warm(x)
    await insert(x, [reading('2026-01-05T10:00:00Z')])
    expect((await ask(x)).cache).toMatch(/^hit/)
  })

  it('whose end is now is wrong when something newer is written', async () => {
    const open = { ...counting, from: '-3650 days', to: undefined }
    await warm(x, open)
    const before = Number((await ask(x, open)).rows[0]!['n'])
    await insert(x, [reading(new Date(Date.now() - 1000).toISOString())])
    expect((await ask(x, open)).rows).toEqual([{ n: before + 1 }])
  })

  it('on an aggregate is wrong when its hypertable changes, and when a table that it looks up does', async () => {
    const named = {
      dataset: 'app.hourly',
      from: '2026-01-03T00:00:00Z',
      to: '2026-01-04T00:00:00Z',
      by: ['name'],
      bucket: null,
      select: { n: 'n' },
      cache: 'reports',
    }
    await insert(x, [{ id: 7, name: 'old' }], 'app.devices')
    await insert(x, [reading('2026-01-03T10:00:00Z', 7)])
    await warm(x, named)
    expect((await ask(x, named)).rows).toEqual([{ name: 'old', n: 1 }])
    await x.tm.update(devices, { where: { id: 7 }, set: { name: 'new' } })
    await expect.poll(async () => (await ask(x, named)).rows).toEqual([{ name: 'new', n: 1 }])
    await insert(x, [reading('2026-01-03T10:30:00Z', 7)])
    expect((await ask(x, named)).rows).toEqual([{ name: 'new', n: 2 }])
  })
})

describe('two servers with one database and one Redis', () => {
  beforeEach(({ skip }) => skip(whyNoRedis !== null, whyNoRedis ?? ''))

  const isShared = ({ app }: Server): boolean => app.cache.counts().redis?.isShared ?? false

  it('share what they have computed', async () => {
    await expect.poll(() => isShared(x) && isShared(y)).toBe(true)
    await insert(x, [reading('2026-01-01T12:00:00Z')])
    const { rows } = await ask(x)
    await expect.poll(async () => ((await ask(y)).cache ?? '').startsWith('hit')).toBe(true)
    expect((await ask(y)).rows).toEqual(rows)
  })

  it('keep the state of a reader from going back, with many readers and writers (random)', async () => {
    const seed = Date.now() & 0x7fffffff
    let state = seed
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
      return (state >>> 8) % below
    }
    const days = [10, 11, 12]
    const query = (day: number) => ({
      ...counting,
      from: `2026-01-${day}T00:00:00Z`,
      to: `2026-01-${day + 1}T00:00:00Z`,
    })
    const servers = [x, y]
    /** What was acknowledged, and by which server. */
    const history: { day: number; by: number; at: number }[] = []
    const total = days.map(() => 0)
    const deadline = performance.now() + 6000
    // beyond it nothing is given out: longestBehindMs
    const longestMs = 5000
    const problems: string[] = []
    const read = async (day: number, by: number): Promise<void> => {
      const began = performance.now()
      // everything acknowledged through this server, and through the other one a while ago
      const least = history.filter(
        (write) => write.day === day && (write.by === by || write.at < began - longestMs),
      ).length
      const { rows, cache } = await ask(servers[by]!, query(days[day]!))
      const seen = Number(rows[0]?.['n'] ?? 0)
      if (seen < least) problems.push(`day ${day} through ${by}: ${seen} of ${least} (${cache})`)
    }
    const writer = async (): Promise<void> => {
      while (performance.now() < deadline) {
        const [day, by] = [random(days.length), random(2)]
        const hour = String(random(24)).padStart(2, '0')
        await insert(servers[by]!, [reading(`2026-01-${days[day]}T${hour}:00:00Z`, random(5))])
        total[day] = total[day]! + 1
        history.push({ day, by, at: performance.now() })
        await read(day, by)
        await sleep(random(100))
      }
    }
    const reader = async (): Promise<void> => {
      while (performance.now() < deadline) {
        await read(random(days.length), random(2))
        await sleep(random(5))
      }
    }
    await Promise.all([...Array.from({ length: 3 }, writer), ...Array.from({ length: 8 }, reader)])
    expect(problems, `seed ${seed}`).toEqual([])
    for (const [i, day] of days.entries())
      for (const server of servers)
        await expect
          .poll(async () => (await ask(server, query(day))).rows, { message: `seed ${seed}` })
          .toEqual([{ n: total[i] }])
    const { memoryHits, redisHits, misses } = x.app.cache.counts().layers.dashboard
    // it was not only computed
    expect(memoryHits + redisHits).toBeGreaterThan(misses / 10)
  })

  it('answer on when Redis is killed, and use it again when it is back', async () => {
    await expect.poll(() => isShared(x) && isShared(y)).toBe(true)
    logged.length = 0
    await redis!.kill()
    const before = Number((await ask(x)).rows[0]!['n'])
    await insert(x, [reading('2026-01-01T13:00:00Z')])
    expect((await ask(x)).rows).toEqual([{ n: before + 1 }])
    await expect.poll(async () => (await ask(y)).rows).toEqual([{ n: before + 1 }])
    const { host } = new URL(redis!.url)
    const down = `Redis at ${host} is not used: `
    await expect.poll(() => logged.length).toBe(2)
    expect(logged).toEqual([expect.stringContaining(down), expect.stringContaining(down)])
    await redis!.start()
    await expect.poll(() => isShared(x) && isShared(y)).toBe(true)
    // once for each server and change, however often it was tried
    expect(logged.slice(2)).toEqual(Array(2).fill(`Redis at ${host} is used again`))
    await insert(y, [reading('2026-01-01T14:00:00Z')])
    expect((await ask(y)).rows).toEqual([{ n: before + 2 }])
    await expect.poll(async () => (await ask(x)).rows).toEqual([{ n: before + 2 }])
  })
})

it('tenants who ask the same are given their own, and what one writes makes wrong nothing of the other', async () => {
  const withKeys = defineConfig({ datasets: [readings, devices, hourly], server: { auth: { keys: true } } })
  const tm = await createTidemark(withKeys, {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  const app = await createServer(tm)
  try {
    const day = { ...counting, from: '2026-01-20T00:00:00Z', to: '2026-01-21T00:00:00Z' }
    const headersOf = async (tenant: string) => {
      const { secret } = await tm.access.keys.create(
        {
          name: tenant,
          scopes: ['query', 'ingest'],
          tenant: { kind: 'one', tenant },
          datasets: null,
          expiresAt: null,
        },
        { kind: 'cli', id: 'root', tenant: allTenants, datasets: null, requestId: null, address: null },
      )
      return { authorization: `Bearer ${secret}` }
    }
    const [a, b] = [await headersOf('a'), await headersOf('b')]
    const get = async (headers: Record<string, string>) => {
      const reply = await app.inject({ method: 'POST', url: '/api/v1/query', payload: day, headers })
      expect(reply.statusCode, reply.body).toBe(200)
      const { rows } = reply.json() as { rows: { n: number }[] }
      return `${rows[0]?.n ?? 0} ${String(reply.headers['x-tidemark-cache']).split(';')[0]}`
    }
    const write = async (headers: Record<string, string>, tenant: string) => {
      const payload = [reading('2026-01-20T10:00:00Z', 1, tenant)]
      const url = '/api/v1/datasets/app.readings/rows'
      expect((await app.inject({ method: 'POST', url, payload, headers })).statusCode).toBe(201)
    }
    await write(a, 'a')
    await write(b, 'b')
    await write(b, 'b')
    await expect.poll(() => get(a)).toBe('1 hit')
    await expect.poll(() => get(b)).toBe('2 hit')
    await write(a, 'a')
    expect(await get(a)).toBe('2 miss')
    expect(await get(b)).toBe('2 hit')
  } finally {
    await app.close()
    await tm.close()
  }
})

it('a session that one server has looked up is known to the other, and ended by either, within seconds', async ({
  skip,
}) => {
  skip(redis === null, whyNoRedis ?? '')
  const withKeys = defineConfig({ datasets: [devices], server: { auth: { keys: true } } })
  const tm = await createTidemark(withKeys, {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  const other = await createTidemark(withKeys, {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  const apps = await Promise.all([tm, other].map((one) => createServer(one, { redisUrl: redis!.url })))
  try {
    const [a, b] = apps as [FastifyInstance, FastifyInstance]
    await expect.poll(() => apps.every((app) => app.cache.counts().redis?.isShared)).toBe(true)
    const { secret } = await tm.access.keys.create(
      { name: 'browser', scopes: ['query'], tenant: allTenants, datasets: null, expiresAt: null },
      { kind: 'cli', id: 'root', tenant: allTenants, datasets: null, requestId: null, address: null },
    )
    const signedIn = await a.inject({
      method: 'POST',
      url: '/api/v1/session',
      headers: { authorization: `Bearer ${secret}` },
    })
    expect(signedIn.statusCode, signedIn.body).toBe(201)
    const headers = {
      cookie: String(signedIn.headers['set-cookie']).split(';')[0] as string,
      'x-tidemark-csrf': '1',
    }
    const me = async (app: FastifyInstance) => (await app.inject({ url: '/api/v1/me', headers })).statusCode
    expect(await me(a)).toBe(200)
    await expect.poll(async () => (await redis!.ask('KEYS', '*:e:sessions:*')).startsWith('*1')).toBe(true)
    expect(await me(b)).toBe(200)
    expect(b.cache.counts().layers.sessions).toMatchObject({ redisHits: 1, misses: 0 })
    const kept = await redis!.ask('KEYS', '*')
    expect(kept).not.toContain(headers.cookie.split('=')[1])
    expect((await a.inject({ method: 'DELETE', url: '/api/v1/session', headers })).statusCode).toBe(204)
    expect(await me(a)).toBe(401)
    await expect.poll(() => me(b)).toBe(401)
  } finally {
    for (const app of apps) await app.close()
    for (const one of [tm, other]) await one.close()
  }
})

describe('a list of records', () => {
  const list = async ({ app }: Server, headers: Record<string, string> = {}) => {
    const reply = await app.inject({
      url: '/api/v1/datasets/app.devices/records?id[gte]=100&sort=id',
      headers,
    })
    expect(reply.statusCode, reply.body).toBe(200)
    const { rows } = reply.json() as { rows: { id: number; name: string }[] }
    return { names: rows.map(({ name }) => name), cache: String(reply.headers['x-tidemark-cache']) }
  }
  const send = async (
    { app }: Server,
    method: 'POST' | 'PATCH' | 'DELETE',
    url: string,
    payload?: object,
  ) => {
    const reply = await app.inject({
      method,
      url: `/api/v1/datasets/app.devices/${url}`,
      payload: payload ?? '',
    })
    expect(reply.statusCode, reply.body).toBeLessThan(300)
  }

  it('is kept by itself, and each change of a row through the server is in the next one', async () => {
    await send(x, 'POST', 'records', { id: 100, name: 'a' })
    await expect.poll(async () => (await list(x)).cache).toMatch(/^hit; layer=lists/)
    expect((await list(x)).names).toEqual(['a'])
    await send(x, 'POST', 'records', { id: 101, name: 'b' })
    expect((await list(x)).names).toEqual(['a', 'b'])
    await send(x, 'PATCH', 'records/100', { name: 'c' })
    expect((await list(x)).names).toEqual(['c', 'b'])
    await send(x, 'POST', 'bulk', { op: 'create', rows: [{ id: 102, name: 'd' }] })
    expect((await list(x)).names).toEqual(['c', 'b', 'd'])
    await send(x, 'DELETE', 'records/101')
    expect((await list(x)).names).toEqual(['c', 'd'])
    await expect.poll(async () => (await list(x)).cache).toMatch(/^hit/)
    await expect.poll(async () => (await list(y)).names).toEqual(['c', 'd'])
  })

  it('of times that are relative to now is given out for ten seconds, and no longer', async () => {
    const app = await createServer(x.tm)
    const now = performance.now.bind(performance)
    const clock = vi.spyOn(performance, 'now')
    try {
      const ask = async (parameters: string) => {
        const url = `/api/v1/datasets/app.ticks/records?${parameters}`
        const reply = await app.inject({ url })
        expect(reply.statusCode, reply.body).toBe(200)
        return String(reply.headers['x-tidemark-cache']).split(';')[0]
      }
      const fixed = 'from=2026-01-01&to=2026-01-02'
      const where = encodeURIComponent(JSON.stringify({ time: { gte: '-1 hour' } }))
      const moving = ['from=-1 day', 'to=now', `where=${where}`, 'time[lt]=-1 day']
      for (const one of [fixed, ...moving]) await expect.poll(() => ask(one), { message: one }).toBe('hit')
      clock.mockImplementation(() => now() + 10_001)
      // when the feed has looked again, so that anything is given out
      await expect.poll(() => ask(fixed)).toBe('hit')
      for (const one of moving) expect([one, await ask(one)]).toEqual([one, 'miss'])
    } finally {
      clock.mockRestore()
      await app.close()
    }
  })

  it('is computed for whoever says no-cache', async () => {
    await expect.poll(async () => (await list(x)).cache).toMatch(/^hit/)
    expect((await list(x, { 'cache-control': 'no-cache' })).cache).toBe('bypass; layer=lists')
  })
})
