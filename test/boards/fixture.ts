import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { pino } from 'pino'
import type { Actor } from '../../src/access/index.ts'
import { createServer } from '../../src/api/index.ts'
import type { BoardInput } from '../../src/boards/index.ts'
import { createClient, type Panel } from '../../src/client/index.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import {
  allTenants,
  defineConfig,
  hypertable,
  type ServerSectionOptions,
  t,
  table,
} from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

/** Two tenants, a board of a file, and servers that ask who one is. */

export const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text(), ms: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})
export const costs = hypertable('billing.costs', {
  columns: { time: t.timestamptz(), tenant: t.text(), usd: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})
export const hourly = continuousAggregate('metrics.two_hourly', {
  from: requests,
  bucket: '2 hours',
  by: ['model'],
  select: { n: { fn: 'count' } },
})
export const models = table('public.models', {
  columns: { model: t.text(), label: t.text() },
  primaryKey: ['model'],
})
export const issuer = 'https://id.example.org'
export const manyFailures = { failures: { requests: 1_000_000, per: '1 second' } } as const
export const configWith = (server: ServerSectionOptions, boards = ['boards/*.json']) =>
  defineConfig({ datasets: [requests, costs, models, hourly], boards, server })

export const clock = fixedClock(parseInstant('2026-03-10T12:00:00Z'))
export const operator: Actor = {
  kind: 'cli',
  id: 'root',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
}
export const place = { x: 0, y: 0, w: 6, h: 4 }
export const panel = (id: string, query: Panel['query'], more: Partial<Panel> = {}): Panel => ({
  id,
  title: id,
  chart: 'line',
  place,
  query,
  ...more,
})
export const count = { n: { fn: 'count' } }
export const boardOf = (name: string, ...panels: Panel[]): BoardInput => ({
  name,
  document: { range: { from: '-1 day' }, refresh: 'live', panels },
})
export const perModel = panel(
  'models',
  { dataset: 'metrics.requests', bucket: 'auto', by: ['model'], select: count, order: ['bucket', 'model'] },
  { compare: 'previous' },
)

export let engine: TestEngine
/** Everything that was logged: by a logger that takes nothing out by itself. */
export const logged: string[] = []
export const logger = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) })
export let app: FastifyInstance
let tokenKey: Awaited<ReturnType<typeof generateKeyPair>>
let jwt: { issuer: string; audience: string; keys: string[] }
export const opened: (() => Promise<void>)[] = []

export async function serverWith(
  server: ServerSectionOptions,
  boards?: string[],
): Promise<{ app: FastifyInstance; tm: Tidemark }> {
  const options = { connectionString: engine.test.connectionString, root: engine.root, clock }
  const tm = await createTidemark(configWith(server, boards), options)
  opened.push(() => tm.close())
  const made = await createServer(tm, { logger })
  opened.push(() => made.close().then(() => undefined))
  return { app: made, tm }
}

export async function keyFor(
  tenant: string | null,
  { datasets = null, expires = null }: { datasets?: string[] | null; expires?: string | null } = {},
): Promise<{ id: string; secret: string }> {
  const { key, secret } = await engine.tm.access.keys.create(
    {
      name: 'test',
      scopes: ['query'],
      tenant: tenant === null ? { kind: 'all' } : { kind: 'one', tenant },
      datasets,
      expiresAt: expires === null ? null : parseInstant(expires),
    },
    operator,
  )
  return { id: key.id, secret }
}

export const tokenFor = (tenant: string) =>
  new SignJWT({ tenant, scope: 'query' })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(issuer)
    .setAudience('tidemark')
    .setSubject('ann')
    .setExpirationTime(Math.floor(Date.parse('2026-03-10T13:00:00Z') / 1000))
    .sign(tokenKey.privateKey)

/** A client whose requests go to the server without a network. */
export function clientOf(apiKey: string | undefined, to: FastifyInstance = app) {
  return createClient({
    url: 'http://tidemark.test',
    ...(apiKey === undefined ? {} : { apiKey }),
    maxAttempts: 1,
    fetch: async (url, init) => {
      const body = init.body as string | Uint8Array | undefined
      const answer = await to.inject({
        method: init.method as 'GET',
        url: url.slice('http://tidemark.test'.length),
        headers: init.headers as Record<string, string>,
        ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : Buffer.from(body) }),
      })
      const headers = Object.entries(answer.headers).map(
        ([name, value]) => [name, String(value)] as [string, string],
      )
      return new Response(answer.statusCode === 204 ? null : answer.body, {
        status: answer.statusCode,
        headers,
      })
    },
  })
}

export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    return (error as { code: string }).code
  }
  return 'done'
}

export const nobody = () => clientOf(undefined).boards

export async function openWorld(): Promise<void> {
  tokenKey = await generateKeyPair('ES256')
  jwt = { issuer, audience: 'tidemark', keys: [await exportSPKI(tokenKey.publicKey)] }
  engine = await createTestEngine(configWith({}), { clock })
  await mkdir(join(engine.root, 'boards'))
  const file = boardOf('From the repository', panel('all', { dataset: 'metrics.requests', select: count }))
  await writeFile(
    join(engine.root, 'boards', 'overview.json'),
    JSON.stringify({ ...file, description: 'Reviewed' }),
  )
  ;({ app } = await serverWith({ auth: { keys: true, jwt }, rateLimit: manyFailures }))
  const at = (hours: number) => parseInstant('2026-03-08T12:30:00Z') + BigInt(hours) * 3_600_000_000n
  const rows = ['acme', 'globex'].flatMap((tenant) =>
    Array.from({ length: 48 }, (_, i) => ({ time: at(i), tenant, model: `${tenant}-${i % 2}`, ms: i })),
  )
  await engine.tm.insert(requests, rows)
  await engine.tm.insert(
    costs,
    rows.map(({ time, tenant, ms }) => ({ time, tenant, usd: ms })),
  )
  await engine.tm.insert(models, [{ model: 'acme-0', label: 'Small' }])
}

export async function closeWorld(): Promise<void> {
  for (const close of opened.reverse()) await close()
  await engine.close()
}
