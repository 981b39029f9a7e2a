import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Actor } from '../../src/access/index.ts'
import { createServer, listen } from '../../src/api/index.ts'
import { type Client, createClient } from '../../src/client/index.ts'
import { allTenants, defineConfig, hypertable, type TenantScope, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const columns = { time: t.timestamptz(), tenant: t.text(), name: t.text(), ms: t.float8() }
const visits = hypertable('site.visits', { columns, time: 'time', tenant: 'tenant' })
const clicks = hypertable('site.clicks', { columns, time: 'time', tenant: 'tenant' })
const config = defineConfig({ datasets: [visits, clicks], server: { auth: { keys: true } } })

const operator: Actor = {
  ...{ kind: 'cli', id: 'test', tenant: allTenants, datasets: null, requestId: null, address: null },
}
const time = '2026-03-01T10:00:00Z'

let engine: TestEngine<typeof config>
let app: FastifyInstance
let url: string
const clients: Client[] = []
/** Somebody with a key of his own. */
async function somebody(tenant: TenantScope, datasets: readonly string[] | null = null): Promise<Client> {
  const wanted = {
    name: 'some key',
    tenant,
    datasets,
    expiresAt: null,
    scopes: ['ingest', 'query', 'admin'] as const,
  }
  const { secret } = await engine.tm.access.keys.create(wanted, operator)
  const client = createClient({ url, apiKey: secret, maxAttempts: 1 })
  clients.push(client)
  return client
}
let all: Client
let acme: Client
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  url = await listen(app, { host: '127.0.0.1', port: 0 })
  all = await somebody(allTenants)
  acme = await somebody({ kind: 'one', tenant: 'acme' })
})
afterAll(async () => {
  for (const client of clients) await client.close()
  await app?.close()
  await engine?.close()
})
beforeEach(async () => {
  await engine.test.db.execute('delete from tidemark.dead_letter')
  for (const tenant of ['acme', 'umbrella']) {
    const scope: TenantScope = { kind: 'one', tenant }
    for (const name of ['first', 'second'])
      await engine.tm.ingestUnknown('site.visits', [{ time, name: `${name} of ${tenant}`, ms: 'slow' }], {
        scope,
      })
    await engine.tm.ingestUnknown('site.clicks', [{ time, ms: 1 }], { scope })
  }
})

describe('dead letters over HTTP', () => {
  it('are listed page by page, the newest first, counted and filtered', async () => {
    const { operations } = all
    const page = await operations.deadLetters({ limit: 4 })
    expect(page.letters.map(({ dataset, tenant }) => `${dataset} ${tenant}`)).toEqual([
      'site.clicks umbrella',
      'site.visits umbrella',
      'site.visits umbrella',
      'site.clicks acme',
    ])
    expect(page.letters[1]).toMatchObject({
      reason: 'type',
      column: 'ms',
      value: '"slow"',
      state: 'refused',
      row: { time, name: 'second of umbrella', ms: 'slow' },
      source: expect.any(String),
    })
    expect(page.groups).toEqual([
      { dataset: 'site.visits', reason: 'type', column: 'ms', rows: 4 },
      { dataset: 'site.clicks', reason: 'null', column: 'name', rows: 2 },
    ])
    const rest = await operations.deadLetters({ limit: 4, before: page.next })
    expect(rest).toMatchObject({ next: null, groups: [] })
    expect(rest.letters.map(({ row }) => (row as { name: string }).name)).toEqual([
      'second of acme',
      'first of acme',
    ])
    const found = async (filter: Parameters<typeof operations.deadLetters>[0]) =>
      (await operations.deadLetters(filter)).letters.length
    expect(await found({ dataset: 'site.clicks' })).toBe(2)
    expect(await found({ reason: 'type' })).toBe(4)
    expect(await found({ column: 'name' })).toBe(2)
    expect(await found({ text: 'FIRST OF' })).toBe(2)
    expect(await found({ text: '%' })).toBe(0)
    expect(await found({ state: 'corrected' })).toBe(0)
    expect(await found({ text: 'first', dataset: 'site.clicks' })).toBe(0)
    for (const wrong of [{ state: 'odd' }, { limit: 0 }, { limit: 501 }, { nothing: 1 }])
      await expect(operations.deadLetters(wrong as never)).rejects.toMatchObject({ code: 'TM_QUERY' })
  })

  it('are explained, edited and replayed; each act is in the audit log', async () => {
    const { operations } = all
    const [letter] = (await operations.deadLetters({ text: 'first of acme' })).letters
    const { id } = letter!
    expect(await operations.deadLetter(id)).toMatchObject({
      id,
      problems: [{ column: 'ms' }],
      allowed: [expect.stringContaining('float8')],
      todo: expect.stringContaining('correct it'),
      canReplay: true,
    })
    const still = await operations.editDeadLetter(id, { time, name: 'first of acme', ms: 'slower' })
    expect(still).toMatchObject({ state: 'refused', value: '"slower"', row: { ms: 'slower' } })
    expect(await operations.replayDeadLetters({ ids: [id] })).toMatchObject({
      replayed: 0,
      rejected: { count: 1, letters: [{ id, column: 'ms' }] },
    })
    const edited = await operations.editDeadLetter(id, { time, name: 'first of acme', ms: 5 })
    expect(edited).toMatchObject({ state: 'corrected', problems: [], row: { ms: 5 } })
    expect((await operations.deadLetters({ state: 'corrected' })).letters).toHaveLength(1)
    expect(await operations.replayDeadLetters({ ids: [id] })).toMatchObject({ replayed: 1, inserted: 1 })
    await expect(operations.deadLetter(id)).rejects.toMatchObject({ code: 'TM_NOT_FOUND', status: 404 })
    const { rows } = await acme.query('site.visits', { where: { name: 'first of acme' } as never, limit: 5 })
    expect(rows).toMatchObject([{ ms: 5 }])
    const acts = await engine.tm.access.audit.list({ tenant: allTenants }, { limit: 5 })
    expect(acts.map(({ act, subject, outcome }) => [act, subject, outcome])).toEqual([
      ['dead-letters.replay', null, 'done'],
      ['dead-letters.fix', id, 'done'],
      ['dead-letters.replay', null, 'done'],
      ['dead-letters.fix', id, 'done'],
      ['key.create', expect.any(String), 'done'],
    ])
    expect(JSON.stringify(acts)).not.toContain('first of')
  })

  it('are replayed and deleted by what they have in common', async () => {
    const { operations } = all
    const replayed = await operations.replayDeadLetters({ filter: { dataset: 'site.clicks' } })
    expect(replayed).toMatchObject({ replayed: 0, rejected: { count: 2 } })
    expect(await operations.deleteDeadLetters({ filter: { text: 'umbrella', reason: 'type' } })).toBe(2)
    const [one, ...others] = (await operations.deadLetters()).letters
    expect(others).toHaveLength(3)
    await operations.deleteDeadLetter(one!.id)
    await expect(operations.deleteDeadLetter(one!.id)).rejects.toMatchObject({ code: 'TM_NOT_FOUND' })
    expect(await operations.deleteDeadLetters({ ids: [others[0]!.id] })).toBe(1)
    // nothing chosen is not everything
    for (const wrong of [{}, { filter: {} }, { ids: [] }, { ids: ['x'] }, { ids: ['1'], filter: {} }])
      await expect(operations.deleteDeadLetters(wrong as never)).rejects.toMatchObject({ code: 'TM_QUERY' })
    expect((await operations.deadLetters()).letters).toHaveLength(2)
    expect(await operations.deleteDeadLetters({ filter: { all: true } })).toBe(2)
  })

  it('that hold no row say what to do instead', async () => {
    await engine.test.db.query(sql`
      insert into tidemark.dead_letter (dataset, tenant, file, line, reason, message, raw)
      values ('site.visits', null, 'visits.csv', 17, 'type', 'is no number', '2026-03-01,slow')`)
    const [letter] = (await all.operations.deadLetters({ state: 'unreadable' })).letters
    expect(letter).toMatchObject({ row: '2026-03-01,slow', source: 'visits.csv', line: 17 })
    const explained = await all.operations.deadLetter(letter!.id)
    expect(explained).toMatchObject({ canReplay: false, row: '2026-03-01,slow' })
    expect(await all.operations.replayDeadLetters({ ids: [letter!.id] })).toMatchObject({
      replayed: 0,
      unreadable: { [explained.todo]: 1 },
    })
  })

  it('of another tenant are not there, whatever is asked', async () => {
    const theirs = (await all.operations.deadLetters({ text: 'umbrella' })).letters.map(({ id }) => id)
    expect(theirs).toHaveLength(3)
    const mine = await acme.operations.deadLetters()
    expect(mine.letters.map(({ tenant }) => tenant)).toEqual(['acme', 'acme', 'acme'])
    expect(mine.groups.reduce((sum, { rows }) => sum + rows, 0)).toBe(3)
    expect((await acme.operations.deadLetters({ text: 'umbrella' })).letters).toEqual([])
    const [id] = theirs as [string]
    for (const ask of [
      () => acme.operations.deadLetter(id),
      () => acme.operations.editDeadLetter(id, { time, name: 'stolen', ms: 1 }),
      () => acme.operations.deleteDeadLetter(id),
    ])
      await expect(ask()).rejects.toMatchObject({ code: 'TM_NOT_FOUND' })
    expect(await acme.operations.replayDeadLetters({ ids: theirs })).toMatchObject({ replayed: 0 })
    expect(await acme.operations.deleteDeadLetters({ ids: theirs })).toBe(0)
    expect(await acme.operations.deleteDeadLetters({ filter: { all: true } })).toBe(3)
    expect((await all.operations.deadLetters()).letters).toHaveLength(3)
  })

  it('of datasets that a key may not use are not there', async () => {
    const restricted = await somebody(allTenants, ['site.clicks'])
    const { letters, groups } = await restricted.operations.deadLetters()
    expect(new Set([...letters, ...groups].map(({ dataset }) => dataset))).toEqual(new Set(['site.clicks']))
    const [visit] = (await all.operations.deadLetters({ dataset: 'site.visits' })).letters
    await expect(restricted.operations.deadLetter(visit!.id)).rejects.toMatchObject({ code: 'TM_NOT_FOUND' })
    expect(await restricted.operations.deleteDeadLetters({ filter: { all: true } })).toBe(2)
    // nor is what else those who run it see
    const { datasets } = await restricted.operations.storage()
    expect(datasets.map(({ name }) => name)).toEqual(['site.clicks'])
    const { jobs } = await restricted.operations.jobs()
    expect(jobs.filter(({ dataset }) => dataset === 'site.visits')).toEqual([])
    for (const request of [{ kind: 'freeze', dataset: 'site.visits', all: true }, { kind: 'sweep' }] as const)
      await expect(restricted.operations.start(request)).rejects.toMatchObject({ code: 'TM_FORBIDDEN' })
  })
})

describe('what is of all tenants together', () => {
  it('is not for somebody of one', async () => {
    const { operations } = acme
    for (const ask of [
      () => operations.storage(),
      () => operations.growth(),
      () => operations.aggregates(),
      () => operations.jobs(),
      () => operations.list(),
      () => operations.overview(),
      () => operations.start({ kind: 'verify' }),
    ])
      await expect(ask()).rejects.toMatchObject({ code: 'TM_FORBIDDEN' })
  })
})
