import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { createClient } from '../../src/client/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const keywords = table('app.keywords', {
  columns: {
    id: t.uuid().defaultSql('gen_random_uuid()'),
    phrase: t.text(),
    volume: t.int8().nullable(),
    score: t.float8().nullable(),
    active: t.bool().default(true),
    seen: t.timestamptz().nullable(),
    info: t.jsonb<{ lang?: string }>().nullable(),
  },
  primaryKey: ['id'],
  indexes: [{ columns: ['phrase'], unique: true }],
})
const pairs = table('app.pairs', {
  columns: { left: t.text(), right: t.int4(), note: t.text().nullable() },
  primaryKey: ['left', 'right'],
})
const settings = table('app.settings', {
  columns: { name: t.text(), value: t.text().nullable() },
  primaryKey: ['name'],
})
const log = table('app.log', { columns: { id: t.int4() }, primaryKey: ['id'], appendOnly: true })
const keyless = table('app.keyless', { columns: { id: t.int4() } })
const ranks = hypertable('app.ranks', {
  columns: { time: t.timestamptz(), keyword: t.text(), rank: t.int4().nullable() },
  time: 'time',
  primaryKey: ['keyword', 'time'],
  chunk: '1 day',
})
const config = defineConfig({
  datasets: [keywords, pairs, settings, log, keyless, ranks],
  records: { requireVersion: ['app.settings'] },
})

let engine: TestEngine<typeof config>
let app: FastifyInstance
let url: string
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  await listen(app, { host: '127.0.0.1', port: 0 })
  url = `http://127.0.0.1:${(app.server.address() as { port: number }).port}`
})
afterAll(async () => {
  await app?.close()
  await engine?.close()
})

interface Got {
  readonly status: number
  readonly body: ReturnType<typeof JSON.parse>
  readonly etag: string
  readonly location: string
}

interface Failure {
  readonly index: number
  readonly status: number
  readonly code: string
}

async function call(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Got> {
  const response = await app.inject({
    method: method as 'GET',
    url: `/api/v1/datasets/${path}`,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  return {
    status: response.statusCode,
    body: response.body === '' ? null : response.json(),
    etag: String(response.headers['etag'] ?? ''),
    location: String(response.headers['location'] ?? ''),
  }
}

describe('a row by its key over HTTP', () => {
  it('is made with its defaults and a place, read, changed, replaced and deleted', async () => {
    const made = await call('POST', 'app.keywords/records', {
      phrase: 'shoes',
      volume: '9007199254740993',
      score: 'NaN',
    })
    expect(made).toMatchObject({
      status: 201,
      body: { phrase: 'shoes', volume: '9007199254740993', score: 'NaN', active: true, seen: null },
    })
    const path = `app.keywords/records/${made.body.id}`
    expect(made.location).toBe(`/api/v1/datasets/${path}`)
    expect(made.etag).toMatch(/^"[\w-]{22}"$/)
    expect(await call('GET', path)).toMatchObject({ status: 200, body: made.body, etag: made.etag })
    expect(await call('GET', path, undefined, { 'if-none-match': `W/"x", ${made.etag}` })).toMatchObject({
      status: 304,
      body: null,
    })

    const patched = await call('PATCH', path, {
      score: null,
      info: { lang: 'de' },
      seen: '2026-01-01T01:00:00.000001+01:00',
    })
    expect(patched).toMatchObject({
      status: 200,
      body: { ...made.body, score: null, info: { lang: 'de' }, seen: '2026-01-01T00:00:00.000001Z' },
    })
    expect(patched.etag).not.toBe(made.etag)
    expect(await call('PATCH', path, {})).toMatchObject({
      status: 200,
      body: patched.body,
      etag: patched.etag,
    })

    const put = await call('PUT', path, { phrase: 'boots' })
    expect(put.body).toEqual({
      id: made.body.id,
      phrase: 'boots',
      volume: null,
      score: null,
      active: true,
      seen: null,
      info: null,
    })
    expect(await call('DELETE', path)).toMatchObject({ status: 204, body: null })
    for (const method of ['GET', 'PATCH', 'DELETE'])
      expect(await call(method, path, method === 'PATCH' ? {} : undefined)).toMatchObject({
        status: 404,
        body: { code: 'TM_NOT_FOUND' },
      })
    expect(await call('PUT', path, { phrase: 'new' })).toMatchObject({ status: 201, location: made.location })
    await call('DELETE', path)
  })

  it('is refused with what was wrong, and nothing is written', async () => {
    await call('POST', 'app.pairs/records', { left: 'a', right: 1 })
    const cases: [string, string, unknown, number, string][] = [
      ['POST', 'app.pairs/records', { left: 'a', right: 1 }, 409, 'TM_DUPLICATE_KEY'],
      ['POST', 'app.pairs/records', { left: 'a' }, 422, 'TM_ROW'],
      ['POST', 'app.pairs/records', { left: 'a', right: 2, nope: 1 }, 422, 'TM_ROW'],
      ['POST', 'app.pairs/records', [{ left: 'a', right: 2 }], 400, 'TM_BODY'],
      ['POST', 'app.pairs/records', '{"left":', 400, 'TM_BODY'],
      ['POST', 'app.pairs/records', { left: randomBytes(9_000).toString('base64'), right: 2 }, 422, 'TM_ROW'],
      ['PUT', 'app.pairs/records/a,1', { left: 'b' }, 422, 'TM_ROW'],
      ['PATCH', 'app.pairs/records/a,1', { right: 2 }, 422, 'TM_ROW'],
      ['PATCH', 'app.pairs/records/a,1', { left: null }, 422, 'TM_ROW'],
      ['PATCH', 'app.pairs/records/a,1', { nope: 1 }, 400, 'TM_QUERY'],
      ['GET', 'app.pairs/records/a', undefined, 400, 'TM_QUERY'],
      ['GET', 'app.pairs/records/a,one', undefined, 400, 'TM_QUERY'],
      ['GET', 'app.pairs/records/a,1/x', undefined, 400, 'TM_QUERY'],
      ['GET', 'app.pairs/records/~*,1', undefined, 400, 'TM_QUERY'],
      ['GET', 'app.pairs/records/%ff,1', undefined, 404, 'TM_ROUTE'],
      ['GET', 'app.nope/records', undefined, 404, 'TM_UNKNOWN_DATASET'],
      ['GET', 'app.keyless/records', undefined, 400, 'TM_QUERY'],
      ['PUT', 'app.log/records/1', {}, 409, 'TM_APPEND_ONLY'],
      ['DELETE', 'app.log/records/1', undefined, 409, 'TM_APPEND_ONLY'],
      ['POST', 'app.log/bulk', { op: 'delete', rows: [] }, 409, 'TM_APPEND_ONLY'],
    ]
    for (const [method, path, body, status, code] of cases) {
      const got = await call(method, path, body)
      expect([method, path, got.status, got.body.code]).toEqual([method, path, status, code])
      expect(got.body).toMatchObject({
        type: `urn:tidemark:error:${code}`,
        status,
        instance: expect.any(String),
      })
    }
    expect((await call('GET', 'app.pairs/records?count=true')).body).toMatchObject({ count: 1 })
  })

  it('has a key that stands in a path whatever is in it', async () => {
    const lefts = [
      '',
      '.',
      '..',
      '/',
      '../x',
      'a,b',
      'a%2Cb',
      '~',
      '~Lg',
      'ü 𝒳',
      '?#&=+',
      '\\',
      "';--",
      '\u0001',
      'x'.repeat(500),
    ]
    for (const left of lefts) {
      const { location, body } = await call('POST', 'app.pairs/records', { left, right: -7 })
      // as a browser would resolve it
      const resolved = new URL(location, 'http://host.example').pathname
      expect(resolved).toBe(location)
      expect(await call('GET', location.slice('/api/v1/datasets/'.length))).toMatchObject({
        status: 200,
        body,
      })
      expect(await call('DELETE', location.slice('/api/v1/datasets/'.length))).toMatchObject({ status: 204 })
    }
  })
})

describe('versions', () => {
  it('let one of two writers win, and tell the other what is there', async () => {
    const { body, etag } = await call('POST', 'app.keywords/records', { phrase: 'race' })
    const path = `app.keywords/records/${body.id}`
    const both = await Promise.all(
      Array.from({ length: 8 }, (_, i) => call('PATCH', path, { volume: i }, { 'if-match': etag })),
    )
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412, 412, 412, 412, 412])
    const winner = both.find(({ status }) => status === 200)!
    expect(await call('GET', path)).toMatchObject({ body: winner.body, etag: winner.etag })
    const loser = both.find(({ status }) => status === 412)!
    expect(loser.body).toMatchObject({ code: 'TM_VERSION', params: { current: winner.etag.slice(1, -1) } })
    await call('DELETE', path)
  })

  it('of a row of a hypertable do the same, in PostgreSQL and in the lake', async () => {
    const row = { time: '2026-02-01T10:00:00Z', keyword: 'k', rank: 1 }
    const { etag, location } = await call('POST', 'app.ranks/records', row)
    const path = location.slice('/api/v1/datasets/'.length)
    expect(path).toBe('app.ranks/records/k,2026-02-01T10%3A00%3A00Z')
    await engine.tm.freeze('app.ranks', { from: '2026-02-01', to: '2026-02-02' })
    expect(await call('GET', path)).toMatchObject({ status: 200, body: row, etag })
    const both = await Promise.all(
      [2, 3, 4].map((rank) => call('PATCH', path, { rank }, { 'if-match': etag })),
    )
    expect(both.map(({ status }) => status).sort()).toEqual([200, 412, 412])
    expect(await call('POST', 'app.ranks/records', row)).toMatchObject({
      status: 409,
      body: { code: 'TM_DUPLICATE_KEY' },
    })
    const { rank } = both.find(({ status }) => status === 200)!.body
    expect(await call('GET', path)).toMatchObject({ body: { rank } })
    expect(await call('DELETE', path, undefined, { 'if-match': etag })).toMatchObject({ status: 412 })
    expect(await call('DELETE', path)).toMatchObject({ status: 204 })
  })

  it('are demanded where the configuration says so', async () => {
    const path = 'app.settings/records/theme'
    expect(await call('PUT', path, { value: 'dark' })).toMatchObject({
      status: 428,
      body: { code: 'TM_VERSION_REQUIRED' },
    })
    const made = await call('PUT', path, { value: 'dark' }, { 'if-none-match': '*' })
    expect(made.status).toBe(201)
    expect(await call('PUT', path, { value: 'x' }, { 'if-none-match': '*' })).toMatchObject({
      status: 412,
      body: { code: 'TM_VERSION' },
    })
    for (const headers of [
      {},
      { 'if-match': '"AAAAAAAAAAAAAAAAAAAAAA"' },
      { 'if-match': `W/${made.etag}` },
    ] as Record<string, string>[])
      expect((await call('PATCH', path, { value: 'x' }, headers)).status).toBe(
        'if-match' in headers ? 412 : 428,
      )
    for (const headers of [
      { 'if-match': 'x' },
      { 'if-none-match': made.etag },
      { 'if-match': '*', 'if-none-match': '*' },
    ] as Record<string, string>[])
      expect(await call('PUT', path, { value: 'x' }, headers)).toMatchObject({
        status: 400,
        body: { code: 'TM_QUERY' },
      })
    expect(
      await call('PATCH', path, { value: 'light' }, { 'if-match': `"zzz", ${made.etag}` }),
    ).toMatchObject({ status: 200 })
    expect(await call('PUT', 'app.settings/records/nope', {}, { 'if-match': '*' })).toMatchObject({
      status: 412,
    })
    expect(
      await call('POST', 'app.settings/bulk', { op: 'patch', rows: [{ key: 'theme', set: {} }] }),
    ).toMatchObject({
      status: 207,
      body: { failed: [{ index: 0, status: 428, code: 'TM_VERSION_REQUIRED' }] },
    })
    expect(await call('DELETE', path, undefined, { 'if-match': '*' })).toMatchObject({ status: 204 })
  })
})

describe('lists', () => {
  it('refuse what they do not know, and take nothing for SQL', async () => {
    await call('POST', 'app.pairs/bulk', {
      op: 'create',
      rows: [
        { left: "'; drop table app.pairs; --", right: 1 },
        { left: 'l', right: 2 },
      ],
    })
    const inject = [
      `left=${encodeURIComponent("' or 1=1 --")}`,
      `left[like]=${encodeURIComponent("%' or '1'='1")}`,
      `right[in]=1,2);drop table app.pairs`,
      `sort=${encodeURIComponent('"left" desc; drop table app.pairs')}`,
      `fields=${encodeURIComponent('left") from app.log; --')}`,
      `${encodeURIComponent('left"')}=1`,
      `right[${encodeURIComponent('gte) or (1=1')}]=1`,
      `where=${encodeURIComponent('{"left\\" or 1=1 --": 1}')}`,
      'limit=1;drop',
      'cursor=eyJhIjoxfQ',
      'count=yes',
      'left[gte]=a&left[gte]=b',
      'left[nope]=1',
      'left[]=1',
      'from=2026-01-01',
      'limit=0',
      'limit=1001',
      'where={',
    ]
    for (const query of inject) {
      const { status, body } = await call('GET', `app.pairs/records?${query}`)
      if (status === 200) expect([query, body.rows]).toEqual([query, []])
      else expect([query, status, body.code]).toEqual([query, 400, 'TM_QUERY'])
    }
    const found = await call(
      'GET',
      `app.pairs/records?left=${encodeURIComponent("'; drop table app.pairs; --")}`,
    )
    expect(found.body.rows).toHaveLength(1)
    await call('POST', 'app.pairs/bulk', {
      op: 'delete',
      rows: [
        { key: { left: 'l', right: 2 } },
        {
          key: found.body.rows.map(
            (r: { left: string; right: number }) => `${encodeURIComponent(r.left)},${r.right}`,
          )[0],
        },
      ],
    })
  })

  it('never skip or repeat a row that was there all the time, while others come and go', async () => {
    await engine.tm.delete(pairs, { all: true })
    const rows = Array.from({ length: 60 }, (_, i) => ({
      left: `stays ${i % 7}`,
      right: i,
      note: i % 3 ? `n${i % 5}` : null,
    }))
    await call('POST', 'app.pairs/bulk', { op: 'upsert', rows })
    for (const sort of ['note,-left', '-note', 'left,-right', '-right']) {
      let isOver = false
      const noise = (async () => {
        for (let i = 0; !isOver; i += 1) {
          const passing = Array.from({ length: 5 }, (_, at) => ({
            left: `passes ${(i + at) % 9}`,
            right: 1000 + ((i * 7 + at) % 40),
            note: `n${i % 5}`,
          }))
          await call('POST', 'app.pairs/bulk', { op: 'upsert', rows: passing })
          await engine.test.db.query(
            sql`delete from app.pairs where "right" >= 1000 and "right" % 3 = ${i % 3}::int`,
          )
        }
      })()
      const seen: number[] = []
      for (let cursor: string | null = ''; cursor !== null; ) {
        const { body } = await call(
          'GET',
          `app.pairs/records?sort=${sort}&limit=7${cursor ? `&cursor=${cursor}` : ''}`,
        )
        seen.push(
          ...body.rows.map((row: { right: number }) => row.right).filter((right: number) => right < 1000),
        )
        cursor = body.cursor
      }
      isOver = true
      await noise
      expect([sort, seen.toSorted((a, b) => a - b)]).toEqual([sort, rows.map(({ right }) => right)])
    }
    const other = await call('GET', 'app.pairs/records?sort=left&limit=1')
    expect(await call('GET', `app.pairs/records?sort=-left&cursor=${other.body.cursor}`)).toMatchObject({
      status: 400,
      body: { code: 'TM_QUERY' },
    })
    await engine.tm.delete(pairs, { all: true })
  })
})

describe('bulk', () => {
  it('does what can be done, and says which could not and why', async () => {
    const { body } = await call('POST', 'app.keywords/bulk', {
      op: 'create',
      return: 'rows',
      rows: [
        { phrase: 'one' },
        { phrase: 'two', volume: 'x' },
        { phrase: 'one' },
        7,
        { phrase: 'three', info: { lang: 'en' } },
      ],
    })
    expect(body).toMatchObject({ created: 2, updated: 0, deleted: 0 })
    expect(body.failed.map((f: Failure) => [f.index, f.status, f.code])).toEqual([
      [1, 422, 'TM_ROW'],
      [2, 409, 'TM_DUPLICATE_KEY'],
      [3, 422, 'TM_ROW'],
    ])
    expect(body.rows.map((row: { phrase?: string } | null) => row?.phrase ?? null)).toEqual([
      'one',
      null,
      null,
      null,
      'three',
    ])
    const [one, , , , three] = body.rows
    const patch = await call('POST', 'app.keywords/bulk', {
      op: 'patch',
      return: 'rows',
      rows: [
        { key: one.id, set: { volume: 1 }, version: body.versions[0] },
        { key: { id: three.id }, set: { volume: 3 }, version: body.versions[0] },
        { key: one.id, set: { volume: 2 } },
        { key: '00000000-0000-4000-8000-000000000000', set: { volume: 2 } },
      ],
    })
    expect(patch).toMatchObject({ status: 207, body: { updated: 1 } })
    expect(patch.body.failed.map((f: Failure) => [f.index, f.code])).toEqual([
      [1, 'TM_VERSION'],
      [2, 'TM_QUERY'],
      [3, 'TM_NOT_FOUND'],
    ])
    expect(patch.body.rows[0]).toMatchObject({ phrase: 'one', volume: 1 })
    const atomic = await call('POST', 'app.keywords/bulk', {
      op: 'create',
      atomic: true,
      rows: [{ phrase: 'four' }, { phrase: 'one' }],
    })
    expect(atomic).toMatchObject({ status: 409, body: { code: 'TM_DUPLICATE_KEY' } })
    expect((await call('GET', 'app.keywords/records?phrase=four')).body.rows).toEqual([])
    const gone = await call('POST', 'app.keywords/bulk', {
      op: 'delete',
      rows: [{ key: one.id }, { key: three.id }, { key: one.id }],
    })
    expect(gone.body).toMatchObject({ deleted: 2, failed: [{ index: 2, code: 'TM_QUERY' }] })
    const times = Array.from({ length: 5 }, (_, i) => ({
      time: `2026-04-0${i + 1}T00:00:00Z`,
      keyword: 'b',
      rank: i,
    }))
    expect(
      (await call('POST', 'app.ranks/bulk', { op: 'create', rows: times.slice(0, 3) })).body,
    ).toMatchObject({ created: 3 })
    const more = await call('POST', 'app.ranks/bulk', { op: 'create', return: 'rows', rows: times })
    expect(more.body).toMatchObject({
      created: 2,
      failed: [0, 1, 2].map((index) => ({ index, code: 'TM_DUPLICATE_KEY' })),
    })
    expect(more.body.rows.slice(3)).toEqual(times.slice(3))
    expect(
      (
        await call('POST', 'app.ranks/bulk', {
          op: 'delete',
          rows: times.map(({ time }) => ({ key: { time, keyword: 'b' } })),
        })
      ).body.deleted,
    ).toBe(5)
    expect(await call('POST', 'app.ranks/bulk', { op: 'nope', rows: [] })).toMatchObject({ status: 400 })
  })
})

describe('the client', () => {
  it('reads, changes and pages rows, and minds versions by itself', async () => {
    await using client = createClient<typeof config>({ url })
    const rows = client.records('app.keywords')
    const made = await rows.create({
      phrase: 'client',
      volume: 9_007_199_254_740_993n,
      score: Number.NaN,
      seen: new Date(0),
    })
    expect(made).toMatchObject({
      volume: 9_007_199_254_740_993n,
      score: Number.NaN,
      seen: '1970-01-01T00:00:00Z',
      active: true,
    })
    const known = client.records(keywords)
    const read = await known.get({ id: made.id })
    expect(read).toEqual(made)
    const changed = await known.update(made, { active: false, volume: null })
    expect(changed).toMatchObject({ phrase: 'client', active: false, volume: null })
    await expect(rows.update(read!, { active: true })).rejects.toMatchObject({
      code: 'TM_VERSION',
      status: 412,
    })
    expect(await rows.update(read!, { active: true }, { version: null })).toMatchObject({ active: true })
    const report = await rows.bulk(
      { op: 'create', rows: Array.from({ length: 25 }, (_, i) => ({ phrase: `page ${i}`, volume: i })) },
      { return: 'rows' },
    )
    expect(report).toMatchObject({ created: 25, failed: [] })
    const seen: (bigint | null)[] = []
    for await (const page of rows.pages({
      where: { phrase: { like: 'page%' } },
      sort: ['-volume'],
      fields: ['volume'],
      limit: 10,
      count: true,
    })) {
      expect(page.count).toBe(25)
      seen.push(...page.rows.map(({ volume }) => volume))
    }
    expect(seen).toEqual(Array.from({ length: 25 }, (_, i) => BigInt(24 - i)))
    await rows.delete(report.rows[0]!)
    await expect(rows.delete(report.rows[0]!)).rejects.toMatchObject({ code: 'TM_NOT_FOUND' })
    expect(await rows.get({ id: report.rows[0]!.id })).toBeNull()
    const pair = await client.records(pairs).replace({ left: 'a/b', right: 1 }, { isNew: true })
    expect(await client.records('app.pairs').get({ left: 'a/b', right: 1 })).toEqual(pair)
    await expect(
      client.records(pairs).replace({ left: 'a/b', right: 1 }, { isNew: true }),
    ).rejects.toMatchObject({ code: 'TM_VERSION' })
    const rank = await client
      .records('app.ranks')
      .create({ time: new Date('2026-05-01T00:00:00.5Z'), keyword: 'c' })
    expect(await client.records('app.ranks').get({ keyword: 'c', time: rank.time })).toEqual(rank)
  })
})

it('every problem of the list has the type and status that answers have', async () => {
  const kinds = (await app.inject('/api/v1/problems')).json() as {
    code: string
    type: string
    status: number
  }[]
  expect(kinds.length).toBeGreaterThan(20)
  const { body } = await call('GET', 'app.pairs/records/none,1')
  expect(kinds.find(({ code }) => code === body.code)).toMatchObject({
    type: body.type,
    status: body.status,
    title: body.title,
  })
})
