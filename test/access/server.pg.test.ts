import { once } from 'node:events'
import fc from 'fast-check'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { type AccessScope, type Actor, accessScopes } from '../../src/access/index.ts'
import { createServer, listen } from '../../src/api/index.ts'
import { createClient } from '../../src/client/index.ts'
import { createTidemark } from '../../src/engine.ts'
import {
  allTenants,
  defineConfig,
  hypertable,
  metricsTable,
  type ServerSectionOptions,
  t,
} from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})
const points = metricsTable('metrics.points', { chunk: '1 day' })
const events = hypertable('analytics.events', {
  columns: { time: t.timestamptz(), event_id: t.uuid().nullable(), event_name: t.text(), category: t.text() },
  time: 'time',
  chunk: '1 day',
  dedupe: { by: 'event_id', within: '7 days' },
})
const configWith = (server: ServerSectionOptions) =>
  defineConfig({
    datasets: [requests, points, events],
    ingest: { lineProtocol: { catchAll: points }, analytics: { into: events } },
    server,
  })
const manyFailures = { failures: { requests: 1_000_000, per: '1 second' } } as const
const operator: Actor = {
  kind: 'cli',
  id: 'root',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
}

let engine: TestEngine
let app: FastifyInstance
let address: string
let tokenKey: Awaited<ReturnType<typeof generateKeyPair>>
/** Everything that was logged: by a logger that takes nothing out by itself. */
const logged: string[] = []
/** Every secret of this file. */
const secrets: string[] = []
const opened: (() => Promise<void>)[] = []
const logger = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) })

async function serverWith(server: ServerSectionOptions): Promise<FastifyInstance> {
  const tm = await createTidemark(configWith(server), {
    connectionString: engine.test.connectionString,
    root: engine.root,
  })
  opened.push(() => tm.close())
  const made = await createServer(tm, { logger, access: { watchMs: 50 } })
  opened.push(() => made.close().then(() => undefined))
  return made
}

beforeAll(async () => {
  tokenKey = await generateKeyPair('ES256')
  engine = (await createTestEngine(configWith({}))) as unknown as TestEngine
  app = await serverWith({
    auth: {
      keys: true,
      jwt: {
        issuer: 'https://id.example.org',
        audience: 'tidemark',
        keys: [await exportSPKI(tokenKey.publicKey)],
      },
    },
    rateLimit: manyFailures,
    cors: { origins: ['https://app.example.org'] },
  })
  address = await listen(app, { host: '127.0.0.1', port: 0 })
})
afterAll(async () => {
  for (const close of opened.reverse()) await close()
  await engine.close()
})

async function keyOf(...scopes: AccessScope[]): Promise<{ id: string; secret: string }> {
  const { key, secret } = await engine.tm.access.keys.create(
    { name: 'test', scopes, tenant: allTenants, datasets: null, expiresAt: null },
    operator,
  )
  secrets.push(secret.slice(16))
  return { id: key.id, secret }
}
async function tokenOf(claims: Record<string, unknown>, seconds = 60): Promise<string> {
  const token = await new SignJWT({ sub: 'user-1', ...claims })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer('https://id.example.org')
    .setAudience('tidemark')
    .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
    .sign(tokenKey.privateKey)
  secrets.push(token.split('.')[2] as string)
  return token
}
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
const basic = (user: string, password: string) => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
})
const inject = (options: InjectOptions, to = app) => to.inject(options)
const line = 'cpu,host=a usage=1'

describe('every route', () => {
  it('says who may call it, and nobody else may', async () => {
    const keys: Readonly<Record<AccessScope, string>> = {
      ingest: (await keyOf('ingest')).secret,
      query: (await keyOf('query')).secret,
      admin: (await keyOf('admin')).secret,
    }
    const scopeless = await tokenOf({ scope: 'openid', tenant: 'acme' })
    expect(app.guardedRoutes.length).toBeGreaterThan(30)
    const wrong: string[] = []
    for (const { method, url, access } of app.guardedRoutes) {
      if (method === 'HEAD' || method === 'OPTIONS') continue
      const path = url.replace(':dataset', 'metrics.requests').replace('*', 'x').replace(/:\w+/g, '0')
      const ask = async (credential: string | null) => {
        const signal = AbortSignal.timeout(3000)
        const { statusCode, body } = await inject({
          method: method as 'GET',
          url: path,
          headers: credential === null ? {} : bearer(credential),
          signal,
        })
        return { statusCode, isRefused: statusCode === 403 && body.includes('lacks the scope') }
      }
      const nobody = await ask(null)
      if ((nobody.statusCode === 401) !== (access !== 'public'))
        wrong.push(`${method} ${url} (${access}) answers ${nobody.statusCode} to nobody`)
      if (access === 'public') continue
      const nothing = await ask(scopeless)
      if (nothing.isRefused !== (access !== 'known'))
        wrong.push(`${method} ${url} (${access}) answers ${nothing.statusCode} without a scope`)
      for (const scope of accessScopes) {
        const { statusCode, isRefused } = await ask(keys[scope])
        const may = access === 'known' || access === scope
        if (isRefused === may || statusCode === 401 || statusCode === 500)
          wrong.push(`${method} ${url} (${access}) answers ${statusCode} to ${scope}`)
      }
    }
    expect(wrong).toEqual([])
  })

  it('has to say it: one that does not is refused when it is made', async () => {
    const { guardRoutes } = await import('../../src/api/server/access.ts')
    const { TokenBuckets } = await import('../../src/access/index.ts')
    const { default: Fastify } = await import('fastify')
    const bare = Fastify()
    guardRoutes(bare, engine.tm, { authenticator: null, limiter: new TokenBuckets() })
    expect(() => bare.get('/forgotten', async () => 'everything')).toThrow(/says not who may call it/)
  })
})

describe('a credential', () => {
  it('comes in the headers of each sender that is known, and in no URL but where nothing else can be', async () => {
    const { secret } = await keyOf('ingest', 'query')
    const status = async (options: InjectOptions) => (await inject(options)).statusCode
    const write = (url: string, headers: Record<string, string> = {}) =>
      status({ method: 'POST', url, payload: line, headers: { 'content-type': 'text/plain', ...headers } })
    expect(await write('/api/v2/write?org=a&bucket=b', { authorization: `Token ${secret}` })).toBe(204)
    expect(await write('/write', { authorization: `Token any:${secret}` })).toBe(204)
    expect(await write('/write', basic('telegraf', secret))).toBe(204)
    expect(await write(`/write?u=telegraf&p=${secret}`)).toBe(204)
    expect(await write('/write?u=telegraf&p=wrong')).toBe(401)
    expect(await write('/write')).toBe(401)
    expect(await status({ url: '/api/v1/me', headers: basic('grafana', secret) })).toBe(200)
    expect(await status({ url: `/api/v1/me?p=${secret}` })).toBe(401)
    expect(await status({ url: `/api/v1/me?key=${secret}` })).toBe(401)
    const batch = {
      method: 'POST',
      payload:
        '{"events":[{"event":"seen","timestamp":"2026-05-01T00:00:00Z"}],"sentAt":"2026-05-01T00:00:00Z"}',
      headers: { 'content-type': 'text/plain' },
    } as const
    const { secret: writeKey } = await keyOf('ingest')
    const written = await inject({ ...batch, url: `/api/v1/analytics?key=${writeKey}` })
    expect(written.json()).toMatchObject({ accepted: 1 })
    // in a page everybody can read it
    expect(await status({ ...batch, url: `/api/v1/analytics?key=${secret}` })).toBe(403)
    expect(await status({ ...batch, url: '/api/v1/analytics' })).toBe(401)
    const refused = await inject({ url: '/api/v1/me' })
    expect(refused.headers['www-authenticate']).toContain('Bearer')
    expect(refused.json()).toMatchObject({ code: 'TM_UNAUTHORIZED', status: 401 })
  })

  it('may be a token', async () => {
    const token = await tokenOf({ scope: 'query', tenant: 'acme', name: 'Ada' })
    expect((await inject({ url: '/api/v1/me', headers: bearer(token) })).json()).toMatchObject({
      kind: 'token',
      id: 'user-1',
      name: 'Ada',
      tenant: 'acme',
      scopes: ['query'],
      expiresAt: expect.any(String),
    })
    const [head, , signature] = token.split('.')
    const forged = `${head}.${Buffer.from('{"sub":"root","scope":"admin"}').toString('base64url')}.${signature}`
    expect((await inject({ url: '/api/v1/me', headers: bearer(forged) })).statusCode).toBe(401)
  })

  it('that is none is 401 or 400, whatever it looks like', async () => {
    const { secret } = await keyOf('query')
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: 'grapheme', maxLength: 50 }),
      fc.constantFrom(
        'Bearer',
        'Bearer ',
        'Basic',
        'Basic :',
        'Token',
        'Bearer tm_',
        'Bearer ey.ey.ey',
        ', ,',
      ),
      fc.string({ maxLength: 40 }).map((tail) => `Bearer ${secret}${tail}x`),
      fc.string({ maxLength: 40 }).map((tail) => `Bearer ${secret.slice(0, -2)}${tail}`),
      fc.base64String({ maxLength: 200 }).map((body) => `Basic ${body}`),
      fc
        .tuple(fc.base64String({ maxLength: 60 }), fc.base64String({ maxLength: 60 }), fc.base64String())
        .map((parts) => `Bearer ${parts.join('.')}`),
      fc.integer({ min: 1, max: 12_000 }).map((length) => `Bearer ${'x'.repeat(length)}`),
    )
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.constantFrom('authorization', 'cookie', 'p', 'ticket'),
        async (value, where) => {
          fc.pre(value !== `Bearer ${secret}`)
          const options: InjectOptions =
            where === 'authorization'
              ? { url: '/api/v1/me', headers: { authorization: value } }
              : where === 'cookie'
                ? { url: '/api/v1/me', headers: { cookie: `tidemark_session=${value}` } }
                : where === 'p'
                  ? { method: 'POST', url: '/write', query: { p: value } }
                  : { url: '/api/v1/me', query: { ticket: value }, headers: { accept: 'text/event-stream' } }
          expect([400, 401]).toContain((await inject(options)).statusCode)
        },
      ),
      { numRuns: 60 },
    )
  })
})

describe('the client', () => {
  it('writes and asks by its key', async () => {
    const client = createClient({ url: address, apiKey: (await keyOf('ingest', 'query')).secret })
    const time = '2026-06-01T00:00:00Z'
    await client.insertNow('metrics.requests', [{ time, tenant: 'client', model: 'a' }] as never)
    const { rows } = await client.query('metrics.requests', {
      where: { tenant: 'client' },
      select: { n: { fn: 'count' } },
    } as never)
    expect(rows).toEqual([{ n: 1 }])
    await client.close()
    const stranger = createClient({ url: address, maxAttempts: 1 })
    await expect(stranger.query('metrics.requests', {} as never)).rejects.toMatchObject({
      code: 'TM_UNAUTHORIZED',
      status: 401,
    })
    await stranger.close()
  })
})

describe('a browser', () => {
  it('signs in by a key, asks by its cookie, and is signed out; changes need a header of its own', async () => {
    const { id, secret } = await keyOf('query', 'admin')
    const signedIn = await inject({ method: 'POST', url: '/api/v1/session', headers: bearer(secret) })
    expect(signedIn.statusCode).toBe(201)
    const cookie = String(signedIn.headers['set-cookie'])
    expect(cookie).toMatch(/^tidemark_session=\w{43}; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
    const headers = { cookie: cookie.split(';')[0] as string }
    secrets.push(headers.cookie.split('=')[1] as string)
    const me = await inject({ url: '/api/v1/me', headers })
    expect(me.json()).toMatchObject({ kind: 'session', id })
    const list = { dataset: 'metrics.requests', select: { n: { fn: 'count' } } }
    const ask = (more: object = {}) =>
      inject({ method: 'POST', url: '/api/v1/query', payload: list, headers: { ...headers, ...more } })
    expect((await ask()).json()).toMatchObject({
      status: 403,
      detail: expect.stringContaining('x-tidemark-csrf'),
    })
    expect((await ask({ 'x-tidemark-csrf': '1' })).statusCode).toBe(200)
    const { rows } = await engine.test.db.query(
      sql`select string_agg(to_jsonb(p)::text, '') from tidemark.pass as p`,
    )
    expect(rows[0]?.[0]).not.toContain(secrets.at(-1))
    const out = await inject({
      method: 'DELETE',
      url: '/api/v1/session',
      headers: { ...headers, 'x-tidemark-csrf': '1' },
    })
    expect(out.statusCode).toBe(204)
    expect((await inject({ url: '/api/v1/me', headers })).statusCode).toBe(401)
  })

  it('is signed out when its key is revoked', async () => {
    const { id, secret } = await keyOf('query')
    const admin = await keyOf('admin')
    const signedIn = await inject({ method: 'POST', url: '/api/v1/session', headers: bearer(secret) })
    const headers = { cookie: String(signedIn.headers['set-cookie']).split(';')[0] as string }
    expect((await inject({ url: '/api/v1/me', headers })).statusCode).toBe(200)
    await inject({ method: 'DELETE', url: `/api/v1/keys/${id}`, headers: bearer(admin.secret) })
    expect((await inject({ url: '/api/v1/me', headers })).statusCode).toBe(401)
  })

  it('of a declared origin may ask by key or token, of another not; every answer has the headers that keep pages safe', async () => {
    const preflight = (origin: string) =>
      inject({
        method: 'OPTIONS',
        url: '/api/v1/query',
        headers: { origin, 'access-control-request-method': 'POST' },
      })
    const ours = await preflight('https://app.example.org')
    expect(ours.statusCode).toBe(204)
    expect(ours.headers).toMatchObject({
      'access-control-allow-origin': 'https://app.example.org',
      'access-control-allow-headers': expect.stringContaining('authorization'),
      vary: 'origin',
    })
    expect(ours.headers['access-control-allow-credentials']).toBeUndefined()
    const theirs = await preflight('https://evil.example')
    expect(theirs.headers['access-control-allow-origin']).toBeUndefined()
    for (const url of ['/api/v1/health', '/api/v1/me', '/nothing'])
      expect((await inject({ url })).headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'content-security-policy': expect.stringContaining("default-src 'none'"),
        'cache-control': 'no-store',
      })
  })
})

describe('a WebSocket', () => {
  const url = () => `${address.replace('http', 'ws')}/api/v1/datasets/metrics.requests/stream`
  const open = async (query: string, protocols: string[] = [], headers: Record<string, string> = {}) => {
    const socket = new WebSocket(`${url()}${query}`, protocols, { headers })
    const outcome = await Promise.race([
      once(socket, 'open').then(() => 'open' as const),
      once(socket, 'unexpected-response').then(
        ([, response]) => (response as { statusCode: number }).statusCode,
      ),
    ])
    if (outcome !== 'open') socket.terminate()
    return { socket, outcome }
  }

  it('is opened by a header, a protocol, or a ticket that is good once', async () => {
    const { secret } = await keyOf('ingest')
    expect((await open('')).outcome).toBe(401)
    const byHeader = await open('', [], bearer(secret))
    expect(byHeader.outcome).toBe('open')
    byHeader.socket.terminate()
    const byProtocol = await open('', ['tidemark', `tidemark.bearer.${secret}`])
    expect(byProtocol).toMatchObject({ outcome: 'open', socket: { protocol: 'tidemark' } })
    byProtocol.socket.terminate()
    const { ticket } = (
      await inject({ method: 'POST', url: '/api/v1/tickets', headers: bearer(secret) })
    ).json()
    secrets.push(ticket)
    const byTicket = await open(`?ticket=${ticket}`)
    expect(byTicket.outcome).toBe('open')
    byTicket.socket.send(JSON.stringify([{ time: '2026-05-01T00:00:00Z', tenant: 'acme', model: 'a' }]))
    const [answer] = await once(byTicket.socket, 'message')
    expect(JSON.parse(String(answer))).toMatchObject({ seq: 1, accepted: 1 })
    byTicket.socket.terminate()
    expect((await open(`?ticket=${ticket}`)).outcome).toBe(401)
  })

  it('is not opened by the cookie of somebody who is signed in, from a page of another origin', async () => {
    const { secret } = await keyOf('ingest')
    const signedIn = await inject({ method: 'POST', url: '/api/v1/session', headers: bearer(secret) })
    const cookie = String(signedIn.headers['set-cookie']).split(';')[0] as string
    expect((await open('', [], { cookie, origin: 'https://evil.example' })).outcome).toBe(403)
    const own = await open('', [], { cookie, origin: address })
    expect(own.outcome).toBe('open')
    own.socket.terminate()
  })

  it('is cut when its key is revoked, also by another server', async () => {
    const { id, secret } = await keyOf('ingest')
    const { socket, outcome } = await open('', [], bearer(secret))
    expect(outcome).toBe('open')
    const closed = once(socket, 'close')
    await engine.tm.access.keys.revoke(id, operator)
    await closed
  })
})

describe('requests', () => {
  it('of a key and of a tenant are limited, and told when to come again', async () => {
    const limited = await serverWith({
      auth: { keys: true },
      rateLimit: {
        key: { requests: 3, per: '1 hour' },
        tenant: { requests: 4, per: '1 hour' },
        ...manyFailures,
      },
    })
    const make = async () => {
      const { secret } = await engine.tm.access.keys.create(
        {
          name: 'x',
          scopes: ['query'],
          tenant: { kind: 'one', tenant: 'acme' },
          datasets: null,
          expiresAt: null,
        },
        operator,
      )
      return () => inject({ url: '/api/v1/me', headers: bearer(secret) }, limited)
    }
    const one = await make()
    const other = await make()
    const first = await one()
    expect(first.headers).toMatchObject({ 'ratelimit-limit': '3', 'ratelimit-remaining': '2' })
    await one()
    await one()
    const fourth = await one()
    expect(fourth.json()).toMatchObject({ code: 'TM_RATE_LIMIT', status: 429, retryable: true })
    expect(Number(fourth.headers['retry-after'])).toBeGreaterThan(1000)
    expect(fourth.headers['ratelimit-remaining']).toBe('0')
    expect((await other()).statusCode).toBe(200)
    expect((await other()).json()).toMatchObject({ detail: expect.stringContaining('the tenant "acme"') })
    expect((await inject({ url: '/api/v1/health' }, limited)).statusCode).toBe(200)
  })

  it('that fail too often from one address are not looked up; whoever is known there goes on', async () => {
    const strict = await serverWith({
      auth: { keys: true },
      rateLimit: { failures: { requests: 3, per: '1 hour' } },
      trustProxy: ['127.0.0.1'],
    })
    const { secret } = await keyOf('query')
    const ask = (key: string, from: string) =>
      inject({ url: '/api/v1/me', headers: { ...bearer(key), 'x-forwarded-for': from } }, strict)
    expect((await ask(secret, '2001:db8::1')).statusCode).toBe(200)
    for (let i = 0; i < 3; i++) expect((await ask('tm_wrong', '2001:db8::1')).statusCode).toBe(401)
    expect((await ask('tm_wrong', '2001:db8::1')).json()).toMatchObject({ code: 'TM_RATE_LIMIT' })
    // of the same network
    expect((await ask('tm_wrong', '2001:db8::2')).statusCode).toBe(429)
    expect((await ask('tm_wrong', '2001:db8:1::1')).statusCode).toBe(401)
    expect((await ask(secret, '2001:db8::1')).statusCode).toBe(200)
  })
})

describe('a server', () => {
  it('that asks nobody who he is listens for this machine only, or says aloud that it does not', async () => {
    await expect(serverWith({ host: '0.0.0.0' })).rejects.toMatchObject({ code: 'TM_CONFIG' })
    const local = await serverWith({})
    await expect(listen(local, { host: '0.0.0.0', port: 0 })).rejects.toMatchObject({ code: 'TM_CONFIG' })
    expect((await inject({ url: '/api/v1/me' }, local)).json()).toMatchObject({
      kind: 'anonymous',
      allTenants: true,
      scopes: ['ingest', 'query', 'admin'],
    })
    expect((await inject({ method: 'POST', url: '/api/v1/tickets' }, local)).statusCode).toBe(404)
    const open = await serverWith({ host: '0.0.0.0', auth: 'none' })
    expect((await inject({ url: '/api/v1/keys' }, open)).statusCode).toBe(200)
  })

  it('has logged who asked, and no secret of any of this', () => {
    const all = logged.join('')
    expect(logged.length).toBeGreaterThan(50)
    expect(secrets.length).toBeGreaterThan(10)
    expect(secrets.filter((secret) => all.includes(secret))).toEqual([])
  })
})
