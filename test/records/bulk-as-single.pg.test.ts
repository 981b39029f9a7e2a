import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BulkInput, RecordSet } from '../../src/records/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const columns = {
  id: t.int4(),
  name: t.text().nullable(),
  size: t.int8().default(7n),
  made: t.text().defaultSql(`'sql'`),
}
const plain = (name: string) => table(name, { columns, primaryKey: ['id'] })
const timed = (name: string) =>
  hypertable(name, {
    columns: { time: t.timestamptz(), ...columns },
    time: 'time',
    chunk: '1 day',
    primaryKey: ['id', 'time'],
  })
const config = defineConfig({
  datasets: [plain('app.one'), plain('app.many'), timed('app.timed_one'), timed('app.timed_many')],
})

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
  // what only PostgreSQL knows; a unique index would make one row's fate hang on when another is written
  for (const { name } of config.datasets)
    await engine.test.db.execute(`alter table ${name} add constraint not_c check (name <> 'c')`)
})
afterAll(() => engine.close())

type Row = Record<string, unknown>
const values = fc.record(
  {
    name: fc.constantFrom(null, 'a', 'b', 'c', 5),
    size: fc.constantFrom(1n, '2', 'x', null),
    made: fc.constantFrom('given', null),
    nope: fc.constant(1),
  },
  { requiredKeys: [] },
)
const state = fc.constantFrom('none', 'current', 'stale')
const items = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 9 }), values, state), {
  maxLength: 8,
  selector: ([id]) => id,
})
const call = fc.tuple(fc.constantFrom('create', 'upsert', 'patch', 'delete'), items)

/** The same one by one: what a bulk should have counted, and said of each. */
async function one(set: RecordSet, op: string, rows: readonly Row[]) {
  const failed: [number, string][] = []
  const counts = { created: 0, updated: 0, deleted: 0 }
  for (const [index, row] of rows.entries()) {
    const precondition = row['version']
      ? ({ kind: 'versions', versions: [row['version'] as string] } as const)
      : undefined
    try {
      if (op === 'create') {
        await set.create(row)
        counts.created += 1
      } else if (op === 'upsert') {
        const key = Object.fromEntries(set.definition.primaryKey!.map((name) => [name, row[name]]))
        const { isNew } = await set.put(key, row)
        counts[isNew ? 'created' : 'updated'] += 1
      } else if (op === 'patch') {
        await set.patch(row['key'] as Row, row['set'], precondition)
        counts.updated += 1
      } else {
        await set.delete(row['key'] as Row, precondition)
        counts.deleted += 1
      }
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      failed.push([index, error.code])
    }
  }
  return { ...counts, failed }
}

async function all(set: RecordSet): Promise<readonly Row[]> {
  return (await set.list({ limit: 1000 })).rows
}

describe.each([
  ['plain tables', 'app.one', 'app.many', {}],
  ['hypertables', 'app.timed_one', 'app.timed_many', { time: '2026-03-01T00:00:00Z' }],
] as const)('of %s', (_, single, several, more) => {
  it('a bulk does and says what single calls do and say', async () => {
    const { tm } = engine
    const [a, b] = [tm.records(single), tm.records(several)]
    await fc.assert(
      fc.asyncProperty(fc.noShrink(fc.array(call, { minLength: 3, maxLength: 6 })), async (calls) => {
        for (const set of [a, b]) {
          const rows = (await all(set)).map((row) => ({
            key: { id: row['id'], ...('time' in row ? { time: row['time'] } : {}) },
          }))
          await set.bulk({ op: 'delete', rows })
        }
        for (const [op, list] of calls) {
          const versions = async (set: RecordSet): Promise<Map<unknown, string>> => {
            const page = await set.list({ limit: 1000, versions: true })
            return new Map(page.rows.map((row, i) => [row['id'], page.versions![i]!]))
          }
          const rowsOf = async (set: RecordSet): Promise<Row[]> => {
            const now = await versions(set)
            return list.map(([id, row, said]) => {
              if (op === 'create' || op === 'upsert') return { ...more, id, ...row }
              const version =
                said === 'none'
                  ? {}
                  : { version: said === 'stale' ? 'A'.repeat(22) : (now.get(id) ?? 'B'.repeat(22)) }
              return { key: { ...more, id }, ...(op === 'patch' ? { set: row } : {}), ...version }
            })
          }
          const expected = await one(a, op, await rowsOf(a))
          const rows = await rowsOf(b)
          const input: BulkInput = { op: op as 'create', rows, return: 'rows' }
          const { failed, records, ...counts } = await b.bulk(input)
          expect({ ...counts, failed: failed.map(({ index, code }) => [index, code]) }).toEqual(expected)
          expect(await all(b)).toEqual(await all(a))
          const present = new Map((await all(b)).map((row) => [row['id'], row]))
          if (op !== 'delete')
            for (const [i, record] of records!.entries()) {
              const isFailed = failed.some(({ index }) => index === i)
              expect(record?.row ?? null).toEqual(isFailed ? null : present.get(list[i]![0]))
            }
        }
      }),
      { numRuns: single === 'app.one' ? 12 : 5 },
    )
  })
})
