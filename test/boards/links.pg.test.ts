import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Board } from '../../src/boards/index.ts'
import type { IssuedShare } from '../../src/client/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import {
  app,
  boardOf,
  clientOf,
  clock,
  closeWorld,
  codeOf,
  count,
  engine,
  keyFor,
  logged,
  nobody,
  openWorld,
  operator,
  panel,
  perModel,
  serverWith,
  tokenFor,
} from './fixture.ts'

beforeAll(openWorld, 60_000)
afterAll(closeWorld)

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
