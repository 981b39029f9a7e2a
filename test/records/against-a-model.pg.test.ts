import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Precondition, RecordSet, StoredRecord } from '../../src/records/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const columns = {
  id: t.int4(),
  part: t.text(),
  label: t.text().default('none'),
  made: t.text().defaultSql("'by ' || 'postgres'"),
  count: t.int8().nullable(),
  ratio: t.float8().nullable(),
  small: t.float4().nullable(),
  amount: t.numeric(24, 4).nullable(),
  at: t.timestamptz().nullable(),
  day: t.date().nullable(),
  flag: t.bool().default(false),
  doc: t.jsonb().nullable(),
  tags: t.textArray().nullable(),
}
const things = table('app.things', { columns, primaryKey: ['part', 'id'] })
const readings = hypertable('app.readings', {
  columns: { time: t.timestamptz(), ...columns },
  time: 'time',
  chunk: '1 day',
  primaryKey: ['part', 'time', 'id'],
})
const config = defineConfig({ datasets: [things, readings] })

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
})
afterAll(() => engine.close())

type Row = Record<string, unknown>

/** Values in the form that comes out, so that what goes in is what is expected back. */
const values: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  label: fc.constantFrom('', 'ä "quoted" \\ \'', '𝒳\u0301', 'null', '; drop table app.things; --'),
  count: fc.constantFrom(null, 0n, -1n, 9_007_199_254_740_993n, -(2n ** 63n), 2n ** 63n - 1n),
  ratio: fc.constantFrom(null, 0, -0, 0.1, Number.NaN, Number.POSITIVE_INFINITY, -1e300),
  small: fc.constantFrom(null, 0.5, Math.fround(0.1), Number.NaN),
  amount: fc.constantFrom(null, '0.0000', '-1.2500', '12345678901234567890.1234'),
  at: fc.constantFrom(null, '2026-01-01T00:00:00.000001Z', '0001-01-01T00:00:00Z', 'infinity'),
  day: fc.constantFrom(null, '2024-02-29', '9999-12-31', '-infinity'),
  flag: fc.boolean(),
  doc: fc.constantFrom(null, {}, { a: [1, { b: null }], ü: 'x' }, [1, 'two'], 'text', 1.5),
  tags: fc.constantFrom(null, [], ['a', null, 'NULL', '"', '\\', '{}']),
}
const some = fc.record(values, { requiredKeys: [] })
const keyOf = fc.record({
  id: fc.integer({ min: 0, max: 3 }),
  part: fc.constantFrom('a', '', '..', 'x/y,z%', '~'),
  hour: fc.integer({ min: 0, max: 3 }),
})
const state = fc.constantFrom('none', 'current', 'stale', 'exists', 'new')

type Step =
  | {
      readonly kind: 'create' | 'put' | 'patch'
      readonly key: Key
      readonly row: Row
      readonly state: string
    }
  | { readonly kind: 'delete'; readonly key: Key; readonly state: string }
  | { readonly kind: 'sql'; readonly key: Key }
  | { readonly kind: 'freeze' }
type Key = { readonly id: number; readonly part: string; readonly hour: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constantFrom('create', 'put', 'patch'), key: keyOf, row: some, state }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key: keyOf, state }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('sql' as const), key: keyOf }) },
) as fc.Arbitrary<Step>

const defaults: Row = {
  label: 'none',
  made: 'by postgres',
  count: null,
  ratio: null,
  small: null,
  amount: null,
  at: null,
  day: null,
  flag: false,
  doc: null,
  tags: null,
}

/** What the table should be, and what each call should say. */
class Model {
  readonly rows = new Map<string, Row>()

  expected(kind: string, id: string, key: Row, row: Row, precondition: string): string {
    const now = this.rows.get(id)
    const whole = { ...key, ...defaults, ...row }
    switch (kind) {
      case 'create':
        if (now) return 'TM_DUPLICATE_KEY'
        this.rows.set(id, whole)
        return 'made'
      case 'put':
        if (precondition === 'new' ? now !== undefined : precondition !== 'none' && !now) return 'TM_VERSION'
        if (precondition === 'stale') return 'TM_VERSION'
        this.rows.set(id, whole)
        return now ? 'changed' : 'made'
      case 'patch':
        if (!now) return 'TM_NOT_FOUND'
        if (precondition === 'stale') return 'TM_VERSION'
        this.rows.set(id, { ...now, ...row })
        return 'changed'
      default:
        if (!now) return 'TM_NOT_FOUND'
        if (precondition === 'stale') return 'TM_VERSION'
        this.rows.delete(id)
        return 'gone'
    }
  }
}

async function outcome(work: () => Promise<string>): Promise<string> {
  try {
    return await work()
  } catch (error) {
    if (isTidemarkError(error)) return error.code
    throw error
  }
}

async function play(name: 'app.things' | 'app.readings', steps: readonly Step[]): Promise<void> {
  const { tm, test } = engine
  const set: RecordSet = tm.records(name)
  const isTimed = name === 'app.readings'
  await tm.delete(isTimed ? readings : things, { all: true })
  const model = new Model()
  for (const at of steps) {
    if (at.kind === 'freeze') {
      if (isTimed) await tm.freeze(name, { from: '2026-03-01', to: '2026-03-02' })
      continue
    }
    const { id, part, hour } = at.key
    const key: Row = { id, part, ...(isTimed ? { time: `2026-03-0${1 + (hour & 1)}T0${hour}:00:00Z` } : {}) }
    const text = set.keyText(key)
    expect(set.readKey(text)).toEqual(expect.objectContaining(isTimed ? { part, id } : key))
    if (at.kind === 'sql') {
      // somebody else changes a row; rows of the lake are not SQL's to change
      const now = model.rows.get(text)
      if (!now || isTimed) continue
      const { version } = await set.get(key)
      await test.db.query(
        sql`update ${identifier('app', 'things')} set label = label || '!' where id = ${id}::int and part = ${part}::text`,
      )
      model.rows.set(text, { ...now, label: `${String(now['label'])}!` })
      const stale: Precondition = { kind: 'versions', versions: [version] }
      expect(await outcome(() => set.delete(key, stale).then(() => 'gone'))).toBe('TM_VERSION')
      continue
    }
    // what a caller has read before; -0 is 0 to whoever reads JSON
    const current = model.rows.has(text) ? (await set.get(key)).version : 'A'.repeat(22)
    const precondition: Precondition =
      at.kind === 'create' || at.state === 'none'
        ? { kind: 'none' }
        : at.state === 'exists'
          ? { kind: 'exists' }
          : at.state === 'new' && at.kind === 'put'
            ? { kind: 'new' }
            : {
                kind: 'versions',
                versions: at.state === 'stale' ? ['B'.repeat(22)] : ['C'.repeat(22), current],
              }
    const said = at.kind !== 'put' && at.state === 'new' ? 'current' : at.state
    const row = at.kind === 'delete' ? {} : at.row
    const want = model.expected(at.kind, text, key, row, at.kind === 'create' ? 'none' : said)
    const seen = (record: StoredRecord | null): void => expect(record?.row).toEqual(model.rows.get(text))
    const got = await outcome(async () => {
      switch (at.kind) {
        case 'create':
          seen((await set.create({ ...key, ...row })).record)
          return 'made'
        case 'put': {
          const { record, isNew } = await set.put(key, row, precondition)
          seen(record)
          return isNew ? 'made' : 'changed'
        }
        case 'patch':
          seen(await set.patch(key, row, precondition))
          return 'changed'
        default:
          await set.delete(key, precondition)
          return 'gone'
      }
    })
    expect(got, `${at.kind} ${text} ${at.state}`).toBe(want)
  }
  const all: StoredRecord['row'][] = []
  for (let cursor: string | null = null; ; ) {
    const page = await set.list({ limit: 3, cursor, versions: true, count: true })
    expect(page.count).toBe(model.rows.size)
    for (const [i, row] of page.rows.entries()) {
      all.push(row)
      expect(await set.get(Object.fromEntries(set.definition.primaryKey!.map((c) => [c, row[c]])))).toEqual({
        row,
        version: page.versions![i],
      })
    }
    cursor = page.cursor
    if (cursor === null) break
  }
  const byKey = (row: Row): string => set.keyText(row)
  expect(Object.fromEntries(all.map((row) => [byKey(row), row]))).toEqual(Object.fromEntries(model.rows))
  expect(all).toHaveLength(model.rows.size)
}

describe('random changes by key give what a model of the table gives', () => {
  it('in a plain table, whatever else changes its rows', async () => {
    await fc.assert(
      fc.asyncProperty(fc.noShrink(fc.array(step, { minLength: 20, maxLength: 60 })), (steps) =>
        play('app.things', steps),
      ),
      { numRuns: 8 },
    )
  })

  it('in a hypertable, whose rows move to the lake meanwhile', async () => {
    // with a database each step of shrinking would be a run
    const withFreeze = fc
      .tuple(
        fc.array(step, { minLength: 10, maxLength: 25 }),
        fc.array(step, { minLength: 10, maxLength: 25 }),
      )
      .map(([before, after]): Step[] => [...before, { kind: 'freeze' }, ...after])
    await fc.assert(
      fc.asyncProperty(fc.noShrink(withFreeze), (steps) => play('app.readings', steps)),
      { numRuns: 3 },
    )
  })
})
