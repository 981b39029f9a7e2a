import { afterAll, beforeAll, expect, it } from 'vitest'
import { listen } from '../../src/api/index.ts'
import { createClient } from '../../src/client/index.ts'
import { type config, keywords, pairs, type RecordServer, startRecordServer } from '../api/record-server.ts'

let server: RecordServer
let url: string
beforeAll(async () => {
  server = await startRecordServer()
  await listen(server.app, { host: '127.0.0.1', port: 0 })
  url = `http://127.0.0.1:${(server.app.server.address() as { port: number }).port}`
})
afterAll(() => server?.close())

it('the client reads, changes and pages rows, and minds versions by itself', async () => {
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
