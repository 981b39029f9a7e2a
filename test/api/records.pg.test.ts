import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RecordServer, startRecordServer } from './record-server.ts'

let server: RecordServer
const call: RecordServer['call'] = (...request) => server.call(...request)
beforeAll(async () => {
  server = await startRecordServer()
})
afterAll(() => server?.close())

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
    await server.engine.tm.freeze('app.ranks', { from: '2026-02-01', to: '2026-02-02' })
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

it('every problem of the list has the type and status that answers have', async () => {
  const kinds = (await server.app.inject('/api/v1/problems')).json() as {
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
