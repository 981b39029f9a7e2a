import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sql } from '../../src/util/sql.ts'
import { pairs, type RecordServer, startRecordServer } from './record-server.ts'

let server: RecordServer
const call: RecordServer['call'] = (...request) => server.call(...request)
beforeAll(async () => {
  server = await startRecordServer()
})
afterAll(() => server?.close())

interface Failure {
  readonly index: number
  readonly status: number
  readonly code: string
}

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
    await server.engine.tm.delete(pairs, { all: true })
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
          await server.engine.test.db.query(
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
    await server.engine.tm.delete(pairs, { all: true })
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
