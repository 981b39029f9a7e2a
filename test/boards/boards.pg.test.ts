import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { exportSPKI, generateKeyPair, SignJWT } from 'jose'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Actor } from '../../src/access/index.ts'
import { createServer } from '../../src/api/index.ts'
import type { Board, BoardInput } from '../../src/boards/index.ts'
import { createClient, type IssuedShare, type Panel } from '../../src/client/index.ts'
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
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text(), ms: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})
const costs = hypertable('billing.costs', {
  columns: { time: t.timestamptz(), tenant: t.text(), usd: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})
const hourly = continuousAggregate('metrics.two_hourly', {
  from: requests,
  bucket: '2 hours',
  by: ['model'],
  select: { n: { fn: 'count' } },
})
const models = table('public.models', {
  columns: { model: t.text(), label: t.text() },
  primaryKey: ['model'],
})
const issuer = 'https://id.example.org'
const manyFailures = { failures: { requests: 1_000_000, per: '1 second' } } as const
const configWith = (server: ServerSectionOptions, boards = ['boards/*.json']) =>
  defineConfig({ datasets: [requests, costs, models, hourly], boards, server })

const clock = fixedClock(parseInstant('2026-03-10T12:00:00Z'))
const operator: Actor = {
  kind: 'cli',
  id: 'root',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
}
const place = { x: 0, y: 0, w: 6, h: 4 }
const panel = (id: string, query: Panel['query'], more: Partial<Panel> = {}): Panel => ({
  id,
  title: id,
  chart: 'line',
  place,
  query,
  ...more,
})
const count = { n: { fn: 'count' } }
const boardOf = (name: string, ...panels: Panel[]): BoardInput => ({
  name,
  document: { range: { from: '-1 day' }, refresh: 'live', panels },
})
const perModel = panel(
  'models',
  { dataset: 'metrics.requests', bucket: 'auto', by: ['model'], select: count, order: ['bucket', 'model'] },
  { compare: 'previous' },
)

let engine: TestEngine
/** Everything that was logged: by a logger that takes nothing out by itself. */
const logged: string[] = []
const logger = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) })
let app: FastifyInstance
let tokenKey: Awaited<ReturnType<typeof generateKeyPair>>
let jwt: { issuer: string; audience: string; keys: string[] }
const opened: (() => Promise<void>)[] = []

async function serverWith(
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

async function keyFor(
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

const tokenFor = (tenant: string) =>
  new SignJWT({ tenant, scope: 'query' })
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(issuer)
    .setAudience('tidemark')
    .setSubject('ann')
    .setExpirationTime(Math.floor(Date.parse('2026-03-10T13:00:00Z') / 1000))
    .sign(tokenKey.privateKey)

/** A client whose requests go to the server without a network. */
function clientOf(apiKey: string | undefined, to: FastifyInstance = app) {
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

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
  } catch (error) {
    return (error as { code: string }).code
  }
  return 'done'
}

const nobody = () => clientOf(undefined).boards

beforeAll(async () => {
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
}, 60_000)

afterAll(async () => {
  for (const close of opened.reverse()) await close()
  await engine.close()
})

describe('boards', () => {
  it('are kept, changed while they are the version that was read, and removed', async () => {
    const { boards } = clientOf((await keyFor('acme')).secret)
    const made = await boards.create({ ...boardOf('Latency', perModel), description: 'Of every model' })
    expect(made).toMatchObject({
      name: 'Latency',
      version: 1,
      source: 'stored',
      description: 'Of every model',
    })
    expect(made.document.panels).toEqual([perModel])
    expect(await boards.get(made.id)).toEqual(made)
    const saved = await boards.save(made, boardOf('Latency, by model', perModel))
    expect(saved).toMatchObject({ name: 'Latency, by model', version: 2, description: null })
    expect(await codeOf(boards.save(made, boardOf('too late', perModel)))).toBe('TM_VERSION')
    expect(await codeOf(boards.remove(made))).toBe('TM_VERSION')
    expect(await boards.list()).toMatchObject([
      { id: 'file-overview', name: 'From the repository', panels: 1, source: 'file' },
      { id: made.id, name: 'Latency, by model', panels: 1, version: 2 },
    ])
    await boards.remove(saved)
    expect(await codeOf(boards.get(made.id))).toBe('TM_UNKNOWN_BOARD')
    expect(await codeOf(boards.save(saved, boardOf('gone', perModel)))).toBe('TM_UNKNOWN_BOARD')
  })

  it('of a tenant are nobody else’s, and those over other datasets are not shown', async () => {
    const acme = clientOf((await keyFor('acme')).secret).boards
    const made = await acme.create(
      boardOf('Costs', panel('usd', { dataset: 'billing.costs', select: count })),
    )
    const others = [
      clientOf((await keyFor('globex')).secret).boards,
      clientOf((await keyFor('acme', { datasets: ['metrics.requests'] })).secret).boards,
      clientOf((await keyFor(null)).secret).boards,
    ]
    for (const other of others) {
      expect((await other.list()).map(({ id }) => id)).toEqual(['file-overview'])
      expect(await codeOf(other.get(made.id))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.save(made, boardOf('mine', perModel)))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.remove(made))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.share(made.id))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.shares(made.id))).toBe('TM_UNKNOWN_BOARD')
    }
    const [, restricted] = others
    expect(await codeOf(restricted!.create(made))).toBe('TM_QUERY')
    const { name, document } = made
    expect(await codeOf(restricted!.create({ name, document }))).toBe('TM_FORBIDDEN')
    await acme.remove(made)
  })

  it('are checked whole, and what is wrong is told with its place', async () => {
    const { boards } = clientOf((await keyFor('acme')).secret)
    const wrongs: [unknown, string][] = [
      [boardOf('', perModel), 'name'],
      [{ ...boardOf('a', perModel), owner: 'me' }, 'owner'],
      [boardOf('a', perModel, perModel), 'document.panels[1].id'],
      [boardOf('a', { ...perModel, chart: 'pie' as never }), 'document.panels[0].chart'],
      [boardOf('a', { ...perModel, place: { ...place, x: 8 } }), 'document.panels[0].place'],
      [boardOf('a', { ...perModel, compare: 'yesterday' }), 'document.panels[0].compare'],
      [
        boardOf('a', panel('p', { dataset: 'metrics.requests', select: { n: { fn: 'median' } } })),
        'document.panels[0].query.select.n.fn',
      ],
      [boardOf('a', panel('p', { dataset: 'metrics.nothing' })), 'document.panels[0].query.dataset'],
      [
        boardOf('a', panel('p', { ...perModel.query, from: '-9 days' } as never)),
        'document.panels[0].query.from',
      ],
      [
        boardOf('a', panel('p', { dataset: 'public.models' }, { compare: 'previous' })),
        'document.panels[0].query.dataset',
      ],
      [{ name: 'a', document: { range: { from: 'tomorrow' }, panels: [] } }, 'document.range.from'],
      [{ name: 'a', document: { range: { from: '+1 day' }, panels: [] } }, 'document.range'],
      [
        { name: 'a', document: { range: { from: '-1 day' }, refresh: '5ms', panels: [] } },
        'document.refresh',
      ],
    ]
    for (const [input, path] of wrongs) {
      const error = await boards.create(input as BoardInput).catch((caught) => caught)
      expect([path, error.code, error.params?.path]).toEqual([path, 'TM_QUERY', path])
    }
    const many = Array.from({ length: 61 }, (_, i) => ({ ...perModel, id: `p${i}` }))
    expect(await codeOf(boards.create(boardOf('a', ...many)))).toBe('TM_LIMIT')
    const long = panel('p', { ...perModel.query, where: { model: { in: Array(30_000).fill('long text') } } })
    expect(await codeOf(boards.create(boardOf('a', long)))).toBe('TM_LIMIT')
  })

  it('are a thousand for a tenant at most, with a hundred links each', async () => {
    const { boards } = clientOf((await keyFor('crowded')).secret)
    const made = await boards.create(boardOf('First', perModel))
    const many = (count: number) => sql`
      insert into tidemark.board (
        id, tenant, name, document, datasets, panel_count, created_at, created_by, updated_at, updated_by
      )
      select lpad(n::text, 12, '0'), tenant, name, document, datasets, panel_count, created_at, created_by, updated_at, updated_by
      from tidemark.board, generate_series(1, ${count}::int4) as n
      where id = ${made.id}::text`
    await engine.test.db.query(many(999))
    expect(await codeOf(boards.create(boardOf('One more', perModel)))).toBe('TM_LIMIT')
    expect(await boards.list()).toHaveLength(1001)
    for (let i = 0; i < 100; i++) await boards.share(made.id)
    expect(await codeOf(boards.share(made.id))).toBe('TM_LIMIT')
    expect(await codeOf(boards.share('000000000001'))).toBe('done')
  })

  it('of files are read at start, for everybody, and are changed nowhere else', async () => {
    const { boards } = clientOf((await keyFor('globex')).secret)
    const board = await boards.get('file-overview')
    expect(board).toMatchObject({
      description: 'Reviewed',
      source: 'file',
      updatedBy: 'boards/overview.json',
    })
    expect(await codeOf(boards.save(board, boardOf('mine', perModel)))).toBe('TM_FORBIDDEN')
    expect(await codeOf(boards.remove(board))).toBe('TM_FORBIDDEN')
    const findings = async () => {
      const { tm } = await serverWith({})
      return (await tm.doctor()).filter(({ check }) => check === 'boards')
    }
    expect(await findings()).toMatchObject([
      { level: 'ok', message: 'boards of files: 1, and each can be asked' },
    ])
    const broken = join(engine.root, 'boards', 'broken.json')
    const input = boardOf('x', panel('p', { dataset: 'metrics.requests', select: { n: { fn: 'median' } } }))
    await writeFile(broken, JSON.stringify(input))
    await expect(serverWith({})).rejects.toThrow(
      /boards: boards\/broken\.json: document\.panels\[0\]\.query\.select\.n\.fn/,
    )
    const tm = await createTidemark(configWith({}), {
      connectionString: engine.test.connectionString,
      root: engine.root,
    })
    opened.push(() => tm.close())
    const [finding] = (await tm.doctor()).filter(({ check }) => check === 'boards')
    expect(finding).toMatchObject({ level: 'fail', message: expect.stringContaining('boards/broken.json') })
    await writeFile(broken, '{')
    await expect(serverWith({})).rejects.toThrow(/boards\/broken\.json: .*JSON/)
    await writeFile(broken, JSON.stringify(boardOf('Good again', perModel)))
  })
})

describe('a link to a board', () => {
  let board: Board
  let share: IssuedShare
  let acme: ReturnType<typeof clientOf>['boards']
  let key: Awaited<ReturnType<typeof keyFor>>

  beforeAll(async () => {
    key = await keyFor('acme')
    acme = clientOf(key.secret).boards
    board = await acme.create(
      boardOf(
        'Shared',
        perModel,
        panel('names', { dataset: 'public.models', columns: ['label'] }, { chart: 'table' }),
      ),
    )
    share = await acme.share(board.id)
  })

  it('shows the board and the answers of its panels, of the tenant, to whoever has it', async () => {
    expect(share).toMatchObject({
      ended: null,
      createdBy: key.id,
      lastOpenedAt: null,
      path: `/shared/${share.token}`,
    })
    expect(share.expiresAt).toBe('2026-03-17T12:00:00Z')
    const seen = await nobody().shared(share.token)
    expect(seen).toEqual({
      name: 'Shared',
      description: null,
      expiresAt: share.expiresAt,
      document: board.document,
    })
    const { rows, plan } = await nobody().sharedPanel(share.token, 'models')
    expect(plan.range).toEqual({ from: '2026-03-09T12:00:00Z', to: '2026-03-10T12:00:00Z' })
    expect(rows).toHaveLength(24)
    expect(new Set(rows.map((row) => row['model']))).toEqual(new Set(['acme-0', 'acme-1']))
    expect(await nobody().sharedPanel(share.token, 'names')).toMatchObject({ rows: [{ label: 'Small' }] })
  })

  it('answers inside of the range of the board, and what it compares with, and nothing else', async () => {
    const rangeOf = async (question: object) =>
      (await nobody().sharedPanel(share.token, 'models', question)).plan.range
    expect(await rangeOf({ from: '2026-03-10T06:00:00Z', to: '2026-03-10T07:00:00Z' })).toEqual({
      from: '2026-03-10T06:00:00Z',
      to: '2026-03-10T07:00:00Z',
    })
    expect(await rangeOf({ from: '2020-01-01', to: '2030-01-01' })).toEqual({
      from: '2026-03-09T12:00:00Z',
      to: '2026-03-10T12:00:00Z',
    })
    expect(await rangeOf({ compare: true })).toEqual({
      from: '2026-03-08T12:00:00Z',
      to: '2026-03-09T12:00:00Z',
    })
    // buckets of a continuous aggregate are taken whole: three hours are not made of two
    const wide = {
      name: 'Wide',
      document: {
        range: { from: '-20 days' },
        panels: [panel('auto', { dataset: 'metrics.two_hourly', bucket: 'auto', select: { n: 'n' } })],
      },
    }
    const { token } = await acme.share((await acme.create(wide)).id)
    const { rows } = await nobody().sharedPanel(token, 'auto')
    expect(rows.map(({ n }) => n).slice(0, 3)).toEqual([2, 2, 2])
    const shared = (question: object, id = 'models') =>
      codeOf(nobody().sharedPanel(share.token, id, question))
    expect(await shared({ from: '2026-03-01', to: '2026-03-02' })).toBe('TM_QUERY')
    expect(await shared({ where: { tenant: 'globex' } })).toBe('TM_QUERY')
    expect(await shared({ from: 17 })).toBe('TM_QUERY')
    expect(await shared({ compare: true }, 'names')).toBe('TM_QUERY')
    expect(await shared({}, 'none')).toBe('TM_UNKNOWN_BOARD')
  })

  it('is no key: nothing else takes it', async () => {
    const holder = clientOf(share.token)
    expect(await codeOf(holder.boards.list())).toBe('TM_UNAUTHORIZED')
    expect(await codeOf(holder.query('metrics.requests', { select: { n: { fn: 'count' } } }))).toBe(
      'TM_UNAUTHORIZED',
    )
    const tokens = [
      share.id,
      share.token.slice(1),
      `${share.token.slice(0, -1)}_`,
      key.secret,
      'A'.repeat(43),
      '%00',
    ]
    for (const token of tokens) {
      expect(await codeOf(nobody().shared(token))).toBe('TM_UNKNOWN_SHARE')
      expect(await codeOf(nobody().sharedPanel(token, 'models'))).toBe('TM_UNKNOWN_SHARE')
    }
    const { rows } = await engine.test.db.query(sql`
      select s::text from tidemark.board_share as s
      union all
      select a::text from tidemark.audit_log as a`)
    expect(rows.length).toBeGreaterThan(2)
    expect(JSON.stringify(rows)).not.toContain(share.token)
    expect(logged.filter((line) => line.includes('/api/v1/shared/')).length).toBeGreaterThan(2)
    expect(logged.filter((line) => line.includes(share.token))).toEqual([])
  })

  it('shows no dataset that was not on the board when it was made, nor one that its key may not use any more', async () => {
    const two = await acme.create(boardOf('Grows', perModel))
    const link = await acme.share(two.id)
    const usd = panel('usd', { dataset: 'billing.costs', select: count })
    const grown = await acme.save(two, boardOf('Grows', perModel, { ...perModel, id: 'more' }, usd))
    const seen = await nobody().shared(link.token)
    expect(seen.document.panels.map(({ id }) => id)).toEqual(['models', 'more'])
    expect(await codeOf(nobody().sharedPanel(link.token, 'usd'))).toBe('TM_UNKNOWN_BOARD')
    const anew = await acme.share(two.id)
    expect((await nobody().shared(anew.token)).document.panels).toHaveLength(3)
    const restricted = async (datasets: string[] | null) => {
      const query = sql`update tidemark.api_key set datasets = ${datasets}::text[] where id = ${key.id}::text`
      await engine.test.db.query(query)
    }
    await restricted(['billing.costs'])
    expect((await nobody().shared(anew.token)).document.panels.map(({ id }) => id)).toEqual(['usd'])
    expect(await codeOf(nobody().sharedPanel(anew.token, 'models'))).toBe('TM_UNKNOWN_BOARD')
    await restricted(null)
    await acme.remove(grown)
  })

  it('ends by hand, with its time, its board, and the key of whoever made it', async () => {
    const isOver = async (token: string) => [
      await codeOf(nobody().shared(token)),
      await codeOf(nobody().sharedPanel(token, 'models')),
    ]
    const over = ['TM_UNKNOWN_SHARE', 'TM_UNKNOWN_SHARE']
    // by hand
    const first = await acme.share(board.id, { expires: '1 hour' })
    expect(await codeOf(nobody().shared(first.token))).toBe('done')
    expect((await acme.unshare(board.id, first.id)).ended).toBe('revoked')
    expect(await isOver(first.token)).toEqual(over)
    expect(await codeOf(acme.unshare(board.id, 'AAAAAAAAAAAA'))).toBe('TM_UNKNOWN_SHARE')
    // by others: not
    const globex = clientOf((await keyFor('globex')).secret).boards
    expect(await codeOf(globex.unshare('file-overview', share.id))).toBe('TM_UNKNOWN_SHARE')
    // its time
    const second = await acme.share(board.id, { expires: '2026-03-10T12:30:00Z' })
    clock.set(parseInstant('2026-03-10T12:30:00Z'))
    expect(await isOver(second.token)).toEqual(over)
    expect((await acme.shares(board.id)).map(({ id, ended }) => [id, ended])).toEqual(
      expect.arrayContaining([
        [share.id, null],
        [first.id, 'revoked'],
        [second.id, 'expired'],
      ]),
    )
    clock.set(parseInstant('2026-03-10T12:00:00Z'))
    // its board
    const other = await acme.create(boardOf('Short-lived', perModel))
    const third = await acme.share(other.id)
    await acme.remove(other)
    expect(await isOver(third.token)).toEqual(over)
    // its key, revoked
    const leaver = await keyFor('acme')
    const fourth = await clientOf(leaver.secret).boards.share(board.id)
    expect(await codeOf(nobody().shared(fourth.token))).toBe('done')
    await engine.tm.access.keys.revoke(leaver.id, operator)
    expect(await isOver(fourth.token)).toEqual(over)
    expect((await acme.shares(board.id)).find(({ id }) => id === fourth.id)?.ended).toBe('key ended')
    // its key, expired
    const guest = await keyFor('acme', { expires: '2026-03-10T12:10:00Z' })
    const fifth = await clientOf(guest.secret).boards.share(board.id)
    clock.set(parseInstant('2026-03-10T12:10:00Z'))
    expect(await isOver(fifth.token)).toEqual(over)
    clock.set(parseInstant('2026-03-10T12:00:00Z'))
  })

  it('made with a token lasts a month at most; one made where nobody is asked ends where somebody is', async () => {
    const ann = clientOf(await tokenFor('acme')).boards
    expect(await codeOf(ann.share(board.id, { expires: '31 days' }))).toBe('TM_LIMIT')
    const annual = await acme.share(board.id, { expires: '365 days' })
    expect(annual.expiresAt).toBe('2027-03-10T12:00:00Z')
    expect(await codeOf(acme.share(board.id, { expires: '400 days' }))).toBe('TM_LIMIT')
    const made = await ann.share(board.id, { expires: '30 days' })
    expect(made.createdBy).toBe('ann')
    expect(await codeOf(nobody().shared(made.token))).toBe('done')
    const open = (await serverWith({})).app
    const free = await clientOf(undefined, open).boards.share('file-overview')
    const everybody = await clientOf(undefined, open).boards.sharedPanel(free.token, 'all')
    expect(everybody.rows).toEqual([{ n: 48 }])
    expect(await codeOf(nobody().shared(free.token))).toBe('TM_UNKNOWN_SHARE')
    // of a file that is there no more
    const ofFile = await acme.share('file-overview')
    expect((await nobody().sharedPanel(ofFile.token, 'all')).rows).toEqual([{ n: 24 }])
    const { app: without } = await serverWith({ auth: { keys: true } }, [])
    expect(await codeOf(clientOf(undefined, without).boards.shared(ofFile.token))).toBe('TM_UNKNOWN_SHARE')
    expect(await codeOf(clientOf(undefined, without).boards.shared(annual.token))).toBe('done')
    const keysOnly = (await serverWith({ auth: { keys: true } })).app
    expect(await codeOf(clientOf(undefined, keysOnly).boards.shared(made.token))).toBe('TM_UNKNOWN_SHARE')
  })

  it('is in the audit log: made, opened once an hour, ended; by whom', async () => {
    const one = await acme.share(board.id)
    for (let i = 0; i < 3; i++) await nobody().shared(one.token)
    clock.set(parseInstant('2026-03-10T13:01:00Z'))
    await nobody().shared(one.token)
    clock.set(parseInstant('2026-03-10T12:00:00Z'))
    await acme.unshare(board.id, one.id)
    // kept for a month after it has ended, for whoever asks what it was
    const worker = engine.tm.createWorker()
    const trimmed = async () =>
      (await worker.runOnce({ force: true })).find(({ name }) => name === 'trim-access')!.result
    expect(await trimmed()).toMatchObject({ links: 0 })
    clock.set(parseInstant('2026-04-12T12:00:00Z'))
    expect(await trimmed()).not.toMatchObject({ links: 0 })
    clock.set(parseInstant('2026-03-10T12:00:00Z'))
    await worker.stop()
    const entries = await engine.tm.access.audit.list(operator, { limit: 1000 })
    const mine = entries.filter(
      ({ actor, detail }) => actor === one.id || (detail as { share?: string } | null)?.share === one.id,
    )
    expect(mine.map(({ act, actorKind, actor, tenant }) => [act, actorKind, actor, tenant]).sort()).toEqual([
      ['board.open', 'share', one.id, 'acme'],
      ['board.open', 'share', one.id, 'acme'],
      ['board.share', 'key', key.id, 'acme'],
      ['board.unshare', 'key', key.id, 'acme'],
    ])
  })

  it('is asked no oftener than the limits allow, and guessed no oftener than keys', async () => {
    const { app: strict } = await serverWith({
      auth: { keys: true },
      rateLimit: {
        key: { requests: 1, per: '1 hour', burst: 3 },
        failures: { requests: 1, per: '1 hour', burst: 2 },
      },
    })
    const reader = clientOf(undefined, strict).boards
    const seen = [0, 1, 2, 3].map(() => codeOf(reader.shared(share.token)))
    expect((await Promise.all(seen)).sort()).toEqual(['TM_RATE_LIMIT', 'done', 'done', 'done'])
    // what is sent with it is not read
    const body = JSON.stringify({ from: ' '.repeat(20_000) })
    const headers = { 'content-type': 'application/json' }
    const send = async (token: string, to: FastifyInstance) => {
      const url = `/api/v1/shared/${token}/panels/models`
      const { statusCode, headers: heard } = await to.inject({ method: 'POST', url, payload: body, headers })
      return [statusCode, heard['connection']]
    }
    expect(await send(share.token, app)).toEqual([413, 'close'])
    expect(await send('A'.repeat(43), app)).toEqual([404, 'close'])
    const guesses: string[] = []
    for (let i = 0; i < 3; i++) guesses.push(await codeOf(reader.shared(String(i).repeat(43))))
    expect(guesses).toEqual(['TM_UNKNOWN_SHARE', 'TM_UNKNOWN_SHARE', 'TM_RATE_LIMIT'])
  })
})
