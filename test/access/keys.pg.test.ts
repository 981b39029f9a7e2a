import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Actor } from '../../src/access/index.ts'
import { createServer } from '../../src/api/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { allTenants, defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const columns = { time: t.timestamptz(), tenant: t.text(), model: t.text() }
const requests = hypertable('metrics.requests', { columns, time: 'time', tenant: 'tenant', chunk: '1 day' })
const others = hypertable('metrics.others', { columns, time: 'time', tenant: 'tenant', chunk: '1 day' })
const prices = table('prices', { columns: { name: t.text() }, primaryKey: ['name'] })
const config = defineConfig({
  datasets: [requests, others, prices],
  server: { auth: { keys: true }, rateLimit: { failures: { requests: 1000, per: '1 minute' } } },
})
const operator: Actor = {
  kind: 'cli',
  id: 'root',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
}
const day = 86_400_000_000n

let engine: TestEngine<typeof config>
let app: FastifyInstance
/** Another process, as far as keys are concerned. */
let elsewhere: Tidemark
let otherApp: FastifyInstance
const clock = fixedClock(parseInstant('2026-05-01T00:00:00Z'))
beforeAll(async () => {
  engine = await createTestEngine(config, { clock })
  app = await createServer(engine.tm)
  elsewhere = await createTidemark(config, {
    connectionString: engine.test.connectionString,
    clock,
    root: engine.root,
  })
  otherApp = await createServer(elsewhere)
})
afterAll(async () => {
  await otherApp.close()
  await elsewhere.close()
  await app.close()
  await engine.close()
})

type Call = {
  method?: 'GET' | 'POST' | 'DELETE'
  body?: unknown
  headers?: Record<string, string>
  to?: FastifyInstance
}
async function call(
  url: string,
  secret: string | null,
  { method = 'GET', body, headers = {}, to = app }: Call = {},
) {
  const response = await to.inject({
    method,
    url,
    headers: {
      ...(secret === null ? {} : { authorization: `Bearer ${secret}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
  })
  const text = response.body
  return {
    status: response.statusCode,
    headers: response.headers,
    body: text.startsWith('{') ? JSON.parse(text) : text,
  }
}
const me = (secret: string | null, to = app) => call('/api/v1/me', secret, { to })

async function newKey(over: Partial<Parameters<typeof engine.tm.access.keys.create>[0]> = {}) {
  return engine.tm.access.keys.create(
    {
      name: 'test',
      scopes: ['query'],
      tenant: { kind: 'one', tenant: 'acme' },
      datasets: null,
      expiresAt: null,
      ...over,
    },
    operator,
  )
}

describe('an API key', () => {
  it('is told once, stored as a hash only, and says who somebody is', async () => {
    const { key, secret } = await newKey({ name: 'collector', scopes: ['query', 'ingest'] })
    expect(secret).toMatch(new RegExp(`^tm_${key.id}_[0-9A-Za-z]{43}$`))
    expect(await me(secret)).toMatchObject({
      status: 200,
      body: {
        kind: 'key',
        id: key.id,
        name: 'collector',
        tenant: 'acme',
        allTenants: false,
        scopes: ['ingest', 'query'],
        datasets: null,
        expiresAt: null,
      },
    })
    const { rows } = await engine.test.db.query(sql`
      select string_agg(to_jsonb(k)::text || to_jsonb(s)::text, ' ')
      from tidemark.api_key as k, tidemark.api_key_secret as s`)
    expect(rows[0]?.[0]).toContain(key.id)
    expect(rows[0]?.[0]).not.toContain(secret.slice(16))
    const audited = JSON.stringify(await engine.tm.access.audit.list(operator))
    expect(audited).toContain('key.create')
    expect(audited).not.toContain(secret.slice(16))
  })

  it('is good until it expires', async () => {
    const { secret } = await newKey({ expiresAt: clock.now() + day })
    expect(await me(secret)).toMatchObject({ status: 200, body: { expiresAt: '2026-05-02T00:00:00Z' } })
    clock.advance(day - 1n)
    expect(await me(secret)).toMatchObject({ status: 200 })
    clock.advance(1n)
    expect(await me(secret)).toMatchObject({ status: 401, body: { code: 'TM_UNAUTHORIZED' } })
  })

  it('keeps its old secret beside the new one for as long as the overlap', async () => {
    const { key, secret } = await newKey()
    expect((await me(secret)).status).toBe(200)
    const rotated = await engine.tm.access.keys.rotate(key.id, operator, { overlapMs: 3_600_000 })
    expect(rotated.key.overlapUntil).not.toBeNull()
    expect((await me(rotated.secret, otherApp)).status).toBe(200)
    expect((await me(secret, otherApp)).status).toBe(200)
    clock.advance(3_600_000_000n)
    expect((await me(rotated.secret, otherApp)).status).toBe(200)
    const old = await me(secret, otherApp)
    expect(old).toMatchObject({ status: 401, body: { detail: expect.stringContaining('was replaced') } })
  })

  it('is replaced at once when the overlap is 0, through the server that is asked', async () => {
    const admin = await newKey({ scopes: ['admin'] })
    const { key, secret } = await newKey()
    expect((await me(secret)).status).toBe(200)
    const rotated = await call(`/api/v1/keys/${key.id}/rotate`, admin.secret, {
      method: 'POST',
      body: { overlap: '0' },
    })
    expect(rotated.status).toBe(200)
    expect((await me(secret)).status).toBe(401)
    expect((await me(rotated.body.secret)).status).toBe(200)
  })

  it('takes so many replacements only while earlier ones are good', async () => {
    const { key } = await newKey()
    const { keys } = engine.tm.access
    for (let i = 0; i < 3; i++) await keys.rotate(key.id, operator)
    await expect(keys.rotate(key.id, operator)).rejects.toMatchObject({ code: 'TM_LIMIT' })
    await keys.rotate(key.id, operator, { overlapMs: 0 })
    await keys.rotate(key.id, operator)
  })

  it('that is revoked ends here at once, and through another server within seconds', async () => {
    const admin = await newKey({ scopes: ['admin'] })
    const { key, secret } = await newKey()
    expect((await me(secret)).status).toBe(200)
    expect((await me(secret, otherApp)).status).toBe(200)
    const answer = await call(`/api/v1/keys/${key.id}`, admin.secret, { method: 'DELETE' })
    expect(answer).toMatchObject({ status: 200, body: { id: key.id, revokedAt: expect.any(String) } })
    expect(await me(secret)).toMatchObject({
      status: 401,
      body: { detail: expect.stringContaining('was revoked') },
    })
    await expect.poll(async () => (await me(secret, otherApp)).status, { timeout: 5000 }).toBe(401)
    // somebody who names the whole key by mistake
    const whole = await call(`/api/v1/keys/${secret}`, admin.secret, { method: 'DELETE' })
    expect(whole.body.detail).toContain(key.id)
    expect(JSON.stringify(whole.body)).not.toContain(secret.slice(16))
    expect(await call(`/api/v1/keys/${key.id}`, admin.secret, { method: 'DELETE' })).toMatchObject({
      status: 404,
      body: { code: 'TM_UNKNOWN_KEY' },
    })
  })

  it('shows when it was used, beside requests', async () => {
    const { key, secret } = await newKey()
    expect(key.lastUsedAt).toBeNull()
    await me(secret)
    const used = async () =>
      (await engine.tm.access.keys.list(operator)).find(({ id }) => id === key.id)?.lastUsedAt
    await expect.poll(used).not.toBeNull()
  })

  it('with a wrong secret is told no more than one that is not there', async () => {
    const { key, secret } = await newKey()
    await engine.tm.access.keys.revoke(key.id, operator)
    const wrong = `${secret.slice(0, -1)}${secret.endsWith('x') ? 'y' : 'x'}`
    const unknown = `tm_${'0'.repeat(12)}_${'0'.repeat(43)}`
    expect((await me(wrong)).body.detail).toBe((await me(unknown)).body.detail)
  })
})

describe('whoever manages keys', () => {
  it('makes, lists and takes away those of his own tenant only', async () => {
    const acme = await newKey({ scopes: ['admin'] })
    const globex = await newKey({ tenant: { kind: 'one', tenant: 'globex' }, name: 'marker of globex' })
    const made = await call('/api/v1/keys', acme.secret, {
      method: 'POST',
      body: { name: 'reader', scopes: ['query'] },
    })
    expect(made).toMatchObject({
      status: 201,
      body: { key: { tenant: 'acme', createdBy: `key ${acme.key.id}` } },
    })
    for (const body of [
      { name: 'x', scopes: ['query'], tenant: 'globex' },
      { name: 'x', scopes: ['query'], allTenants: true },
    ])
      expect(await call('/api/v1/keys', acme.secret, { method: 'POST', body })).toMatchObject({ status: 403 })
    const listed = await call('/api/v1/keys?all=true', acme.secret)
    expect(listed.body.keys.map(({ tenant }: { tenant: string }) => tenant)).toEqual(
      listed.body.keys.map(() => 'acme'),
    )
    expect(JSON.stringify(listed.body)).not.toContain('globex')
    for (const [url, method] of [
      [`/api/v1/keys/${globex.key.id}`, 'DELETE'],
      [`/api/v1/keys/${globex.key.id}/rotate`, 'POST'],
    ] as const)
      expect(await call(url, acme.secret, { method })).toMatchObject({
        status: 404,
        body: { code: 'TM_UNKNOWN_KEY' },
      })
    expect((await me(globex.secret)).status).toBe(200)
    const audit = await call('/api/v1/audit', acme.secret)
    expect(audit.status).toBe(200)
    expect(JSON.stringify(audit.body)).not.toContain('globex')
    expect(audit.body.entries).toContainEqual(
      expect.objectContaining({ act: 'key.create', actor: acme.key.id, tenant: 'acme', outcome: 'done' }),
    )
    expect(audit.body.entries).toContainEqual(
      expect.objectContaining({ act: 'DELETE /api/v1/keys/:id', outcome: 'refused' }),
    )
  })

  it('hands out no more datasets than he has', async () => {
    const some = await newKey({ scopes: ['admin', 'query'], datasets: ['metrics.requests'] })
    const all = await newKey()
    const post = (body: object) => call('/api/v1/keys', some.secret, { method: 'POST', body })
    expect(await post({ name: 'x', scopes: ['query'], datasets: ['metrics.requests'] })).toMatchObject({
      status: 201,
    })
    expect(await post({ name: 'x', scopes: ['query'] })).toMatchObject({ status: 403 })
    expect(await post({ name: 'x', scopes: ['query'], datasets: ['metrics.others'] })).toMatchObject({
      status: 403,
    })
    expect(await call(`/api/v1/keys/${all.key.id}/rotate`, some.secret, { method: 'POST' })).toMatchObject({
      status: 404,
    })
  })

  it('is told what is wrong with what he asks for', async () => {
    const { secret } = await newKey({ scopes: ['admin'], tenant: allTenants })
    const problemOf = async (body: unknown) =>
      (await call('/api/v1/keys', secret, { method: 'POST', body })).body.params?.path
    expect(await problemOf({ scopes: ['query'], tenant: 'a' })).toBe('name')
    expect(await problemOf({ name: 'x', scopes: ['root'], tenant: 'a' })).toBe('scopes')
    expect(await problemOf({ name: 'x', scopes: [], tenant: 'a' })).toBe('scopes')
    expect(await problemOf({ name: 'x', scopes: ['query'] })).toBe('tenant')
    expect(await problemOf({ name: 'x', scopes: ['query'], tenant: 'a', allTenants: true })).toBe('tenant')
    expect(await problemOf({ name: 'x', scopes: ['query'], tenant: 'a', expires: '-1 day' })).toBe(
      'expiresAt',
    )
    expect(await problemOf({ name: 'x', scopes: ['query'], tenant: 'a', expires: 'soon' })).toBe('expires')
    expect(await problemOf({ name: 'x', scopes: ['query'], tenant: 'a', scope: 1 })).toBe('scope')
    const unknown = await call('/api/v1/keys', secret, {
      method: 'POST',
      body: { name: 'x', scopes: ['query'], tenant: 'a', datasets: ['metrics.nothing'] },
    })
    expect(unknown).toMatchObject({ status: 404, body: { code: 'TM_UNKNOWN_DATASET' } })
  })
})

describe('a key for some datasets', () => {
  it('uses and lists no other', async () => {
    const { secret } = await newKey({ scopes: ['query', 'ingest'], datasets: ['metrics.requests'] })
    const query = (dataset: string) =>
      call('/api/v1/query', secret, { method: 'POST', body: { dataset, select: { n: { fn: 'count' } } } })
    const write = (dataset: string) =>
      call(`/api/v1/datasets/${dataset}/rows`, secret, {
        method: 'POST',
        body: [{ time: '2026-05-01T00:00:00Z', model: 'a' }],
      })
    expect(await write('metrics.requests')).toMatchObject({ status: 201 })
    expect(await query('metrics.requests')).toMatchObject({ status: 200, body: { rows: [{ n: 1 }] } })
    for (const answer of [
      await query('metrics.others'),
      await write('metrics.others'),
      await query('prices'),
    ])
      expect(answer).toMatchObject({ status: 403, body: { code: 'TM_FORBIDDEN' } })
    const listed = await call('/api/v1/datasets', secret)
    expect(JSON.stringify(listed.body)).toContain('metrics.requests')
    expect(JSON.stringify(listed.body)).not.toContain('metrics.others')
  })
})

describe('the audit log', () => {
  it('is append-only, also for its owner, and leaves when its time is over', async () => {
    await newKey()
    for (const statement of [
      'update tidemark.audit_log set actor = null',
      'delete from tidemark.audit_log',
      'truncate tidemark.audit_log',
    ])
      await expect(engine.test.db.execute(statement)).rejects.toThrow(/append-only/)
    const before = await engine.tm.access.audit.list(operator, { limit: 1000 })
    expect(before.length).toBeGreaterThan(5)
    clock.advance(10n * day)
    await newKey()
    const { entries } = await engine.tm.access.trim({ auditKeepMs: 86_400_000 })
    expect(entries).toBe(before.length)
    expect(await engine.tm.access.audit.list(operator)).toHaveLength(1)
  })

  it('is read page by page', async () => {
    const { secret } = await newKey({ scopes: ['admin'], tenant: allTenants })
    for (let i = 0; i < 4; i++) await newKey()
    const first = await call('/api/v1/audit?limit=2&act=key.create', secret)
    expect(first.body.entries).toHaveLength(2)
    const second = await call(`/api/v1/audit?limit=2&before=${first.body.next}`, secret)
    expect(Number(second.body.entries[0].id)).toBeLessThan(Number(first.body.entries[1].id))
    expect(await call('/api/v1/audit?limit=0', secret)).toMatchObject({ status: 400 })
    expect(await call('/api/v1/audit?before=x', secret)).toMatchObject({ status: 400 })
  })

  it('is asked for what was done to one key, and for what was refused', async () => {
    const { key, secret } = await newKey({ scopes: ['admin'], tenant: allTenants })
    await newKey()
    await call('/api/v1/keys/nobodys', secret, { method: 'DELETE' })
    const acts = async (search: string): Promise<string[]> =>
      (await call(`/api/v1/audit?${search}`, secret)).body.entries.map(({ act }: { act: string }) => act)
    expect(await acts(`subject=${key.id}`)).toEqual(['key.create'])
    expect(await acts(`outcome=refused&actor=${key.id}`)).toEqual(['DELETE /api/v1/keys/:id'])
    expect(await call('/api/v1/audit?outcome=maybe', secret)).toMatchObject({
      status: 400,
      body: { params: { path: 'outcome' } },
    })
  })
})
