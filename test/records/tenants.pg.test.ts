import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { RecordSet } from '../../src/records/index.ts'
import { defineConfig, hypertable, noTenant, type TenantScope, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const columns = { tenant: t.text(), id: t.int4(), name: t.text().nullable() }
const notes = table('app.notes', { columns, tenant: 'tenant', primaryKey: ['tenant', 'id'] })
const ranks = hypertable('app.ranks', {
  columns: { time: t.timestamptz().defaultSql(`'2026-03-01T00:00:00Z'`), ...columns },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  primaryKey: ['tenant', 'id', 'time'],
})
const shared = table('app.shared', { columns: { id: t.int4() }, primaryKey: ['id'] })
const config = defineConfig({ datasets: [notes, ranks, shared] })

const marker = 'belongs to globex'
const acme: TenantScope = { kind: 'one', tenant: 'acme' }
const globex: TenantScope = { kind: 'one', tenant: 'globex' }

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
})
afterAll(() => engine.close())

/** What an answer or an error says, all of it. */
async function said(work: Promise<unknown>): Promise<{ code: string | null; text: string }> {
  try {
    return { code: null, text: JSON.stringify((await work) ?? null) }
  } catch (error) {
    const { code, params, message } = error as { code: string; params: unknown; message: string }
    return { code, text: JSON.stringify([params, message]) }
  }
}

describe.each([
  ['a plain table', 'app.notes', {}],
  ['a hypertable', 'app.ranks', { time: '2026-03-01T00:00:00Z' }],
  ['a hypertable, of rows in the lake', 'app.ranks', { time: '2026-03-01T00:00:00Z' }],
] as const)('%s', (title, name, more) => {
  let mine: RecordSet
  let theirs: RecordSet
  beforeEach(async () => {
    const { tm } = engine
    await tm.delete(name === 'app.notes' ? notes : ranks, { all: true })
    mine = tm.records(name, { scope: acme })
    theirs = tm.records(name, { scope: globex })
    await theirs.create({ ...more, id: 1, name: marker })
    await mine.create({ ...more, id: 2, name: 'belongs to acme' })
    if (title.includes('lake')) await tm.freeze(name, { from: '2026-03-01', to: '2026-03-02' })
  })

  it('is filled with its tenant, which a key may leave out', async () => {
    const { row } = await mine.get({ ...more, id: 2 })
    expect(row).toMatchObject({ tenant: 'acme', id: 2 })
    const text = mine.keyText(row)
    expect(text).toMatch(/^acme,2/)
    expect(await mine.get(mine.readKey(text))).toEqual(
      await mine.get(mine.readKey(text.slice('acme,'.length))),
    )
    expect((await mine.list({ count: true, versions: true })).rows).toEqual([row])
    expect((await mine.list({ count: true })).count).toBe(1)
    expect((await mine.list({ sort: ['-name'] })).rows).toEqual([row])
  })

  it('says nothing of the rows of another, and changes nothing of them', async () => {
    const before = await theirs.list({ versions: true })
    const [version] = before.versions!
    const other = { ...more, tenant: 'globex', id: 1 }
    const versions = { kind: 'versions', versions: [version!] } as const
    const attempts: [string | null, () => Promise<unknown>][] = [
      ['TM_NOT_FOUND', () => mine.get(other)],
      ['TM_NOT_FOUND', () => mine.get({ ...more, id: 1 })],
      ['TM_NOT_FOUND', () => mine.patch(other, { name: 'x' })],
      ['TM_NOT_FOUND', () => mine.patch(other, { name: 'x' }, versions)],
      ['TM_NOT_FOUND', () => mine.delete(other)],
      ['TM_NOT_FOUND', () => mine.delete(other, versions)],
      ['TM_TENANT', () => mine.put(other, { name: 'x' })],
      ['TM_TENANT', () => mine.put(other, { name: 'x' }, versions)],
      ['TM_TENANT', () => mine.put(other, { name: 'x' }, { kind: 'new' })],
      ['TM_TENANT', () => mine.create({ ...other, name: 'x' })],
      ['TM_ROW', () => mine.patch({ ...more, id: 2 }, { tenant: 'globex' })],
      [null, () => mine.list({ where: { tenant: 'globex' }, count: true })],
      [
        null,
        () => mine.list({ where: { $or: [{ tenant: 'globex' }, { id: 1 }] }, sort: ['name'], count: true }),
      ],
      [null, () => mine.bulk({ op: 'patch', rows: [{ key: other, set: { name: 'x' } }], return: 'rows' })],
      [null, () => mine.bulk({ op: 'delete', rows: [{ key: other }, { key: other, version: version! }] })],
      [null, () => mine.bulk({ op: 'create', rows: [{ ...other, name: 'x' }] })],
      [null, () => mine.bulk({ op: 'upsert', rows: [{ ...other, name: 'x' }] })],
    ]
    for (const [i, [code, work]] of attempts.entries()) {
      const answer = await said(work())
      expect([i, answer.code]).toEqual([i, code])
      expect(answer.text).not.toContain(marker)
      expect(answer.text).not.toContain(version)
      expect(answer.text).not.toMatch(/"(created|updated|deleted|count)":[1-9]/)
    }
    expect(await theirs.list({ versions: true })).toEqual(before)
  })

  it('is nothing to a caller without a tenant', async () => {
    const nobody = engine.tm.records(name, { scope: noTenant })
    expect((await nobody.list({ count: true })).count).toBe(0)
    const key = { ...more, tenant: 'globex', id: 1 }
    expect((await said(nobody.get(key))).code).toBe('TM_NOT_FOUND')
    const writes = [
      () => nobody.create({ ...key, id: 3 }),
      () => nobody.patch(key, { name: 'x' }),
      () => nobody.delete(key),
    ]
    for (const write of writes) expect((await said(write())).code).toBe('TM_TENANT')
  })
})

it('a table without a tenant is read by everybody, and written by those of every tenant', async () => {
  await engine.tm.records('app.shared').create({ id: 1 })
  const mine = engine.tm.records('app.shared', { scope: acme })
  expect((await mine.get({ id: 1 })).row).toEqual({ id: 1 })
  expect((await mine.list()).rows).toEqual([{ id: 1 }])
  const writes = [
    () => mine.create({ id: 2 }),
    () => mine.put({ id: 1 }, {}),
    () => mine.patch({ id: 1 }, {}),
    () => mine.delete({ id: 1 }),
    () => mine.bulk({ op: 'create', rows: [{ id: 2 }] }),
    () => mine.bulk({ op: 'delete', rows: [{ key: { id: 1 } }] }),
  ]
  for (const write of writes) expect((await said(write())).code).toBe('TM_FORBIDDEN')
})
