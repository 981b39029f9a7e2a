import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Tidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import type { TestDatabase } from '../helpers/database.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { writeFile } from './files.ts'

const columns = {
  time: t.timestamptz(),
  flag: t.bool().nullable(),
  small: t.int2().nullable(),
  whole: t.int4().default(7),
  large: t.int8().nullable(),
  short: t.float4().nullable(),
  long: t.float8().nullable(),
  exact: t.numeric().nullable(),
  money: t.numeric(12, 2).nullable(),
  name: t.text().default('nobody'),
  id: t.uuid().nullable(),
  on: t.date().nullable(),
  at: t.timestamptz().nullable(),
  tags: t.textArray().nullable(),
  details: t.jsonb<unknown>().default({ z: 1, a: [1.5, 'x'], '': null }),
} as const
const shape = { columns, time: 'time', chunk: '1 day' } as const
const hot = hypertable('values.hot', shape)
const cold = hypertable('values.cold', shape)
const computed = hypertable('values.computed', {
  columns: { time: t.timestamptz(), id: t.uuid().defaultSql('gen_random_uuid()'), n: t.int4() },
  time: 'time',
  chunk: '1 day',
})
const lanes = {
  columns: {
    time: t.timestamptz(),
    host: t.text().nullable(),
    value: t.float8().nullable(),
    single: t.float4().nullable(),
    number: t.int8(),
    small: t.int2().nullable(),
  },
  time: 'time',
  chunk: '1 day',
  orderBy: ['host', 'time'],
} as const
const hotLanes = hypertable('values.hot_lanes', lanes)
const coldLanes = hypertable('values.cold_lanes', lanes)
const config = defineConfig({
  datasets: [hot, cold, computed, hotLanes, coldLanes],
  lake: { dir: 'lake', threads: 1 },
})

let engine: TestEngine<typeof config>
let test: TestDatabase
let tm: Tidemark<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
  ;({ test, tm } = engine)
})
afterAll(() => engine.close())

const floats = ['0', '-0', 'NaN', 'Infinity', '-Infinity', '1e-300', '0.1', '3.4028235e38', '-7']
const shortFloats = ['0', '-0', 'NaN', '-Infinity', '0.1', '3.4028235e38', '1.1e-40']
const exact = [
  '0',
  '-0.00',
  '1.50',
  '1e3',
  '12e-4',
  'NaN',
  '123456789012345678901234567890.123',
  '007.10',
  '.5',
]
const texts = ['', 'ü☃', 'a,"b"\nc', 'None', "'", '\u{1f600}', ' x ', '\\', '\ufeffmark']
const documents: readonly unknown[] = [
  {},
  [],
  'text',
  null,
  { b: 1, a: { y: 2.5, x: null, yy: [true, { k: 'ü' }] }, '': 'empty', ä: 1 },
  { e: 1e21, f: 1e-7, quote: 'a"b\\c\n\u0001' },
]
/** As text, because JavaScript's numbers would not keep them. */
const rawDocuments = [
  '{"n": 1.0, "n2": -0, "n3": 1E400, "n4": 0.10, "n": 2}',
  '[1.50,100e-2,1e2,12345678901234567890,1e-400]',
  '"\\u00e9\\/"',
]

const pick = <T>(list: readonly T[], i: number): T => list[i % list.length]!

function record(i: number): string {
  const fields: Record<string, unknown> = {
    time: new Date(Date.UTC(2026, 0, 1) + i * 97_000)
      .toISOString()
      .replace('Z', `${i % 1000}`.padStart(3, '0') + 'Z'),
    flag: pick([true, false, null], i),
    small: pick([0, -32768, 32767, null], i),
    large: pick(['9007199254740993', -1, null], i),
    short: pick(shortFloats, i),
    long: pick(floats, i),
    exact: pick(exact, i),
    money: pick(['1', '-2.5', '0.10', null], i),
    id: i % 3 === 0 ? null : `${String(i).padStart(8, '0')}-0000-4000-8000-00000000abCD`,
    on: pick(['2026-02-28', '0001-01-01', '9999-12-31', null], i),
    at: pick(['2026-01-01T00:00:00.123456Z', '1999-12-31T23:59:59+05:30', '1680-01-01T00:00:00Z', null], i),
    tags: pick([[], ['a', null, ''], ['ü'], null], i),
  }
  if (i % 4 !== 0) fields['whole'] = i
  if (i % 5 !== 0) fields['name'] = pick(texts, i)
  const text = JSON.stringify(fields)
  if (i % 7 === 0) return text
  const details = i % 3 === 0 ? pick(rawDocuments, i) : JSON.stringify(pick(documents, i))
  return `${text.slice(0, -1)}, "details": ${details}}`
}

async function content(table: string): Promise<readonly unknown[]> {
  const { rows } = await test.db.query(sql`
    select count(*), sum(hashtextextended(encode(record_send(r), 'hex'), 0))::text
    from ${identifier('values', table)} as r`)
  return rows[0]!
}

it('rows that went straight into the lake are those that PostgreSQL would have had, bit by bit', async () => {
  const lines = Array.from({ length: 3000 }, (_, i) => record(i))
  // rows that do not fit, some of them only because of what PostgreSQL would have found
  lines.splice(
    100,
    0,
    '{"time":"2026-01-01T00:00:00Z","small":40000}',
    '{"time":null}',
    '{',
    '{"time":"infinity"}',
  )
  lines.splice(2000, 0, '{"time":"2026-01-01T00:00:00Z","name":"a\\u0000b"}')
  const file = writeFile('rows.ndjson', lines.join('\n'))
  const reports = [
    await tm.import('values.hot', file, { batchRows: 500 }),
    await tm.import('values.cold', file, { batchRows: 500, cold: true }),
  ]
  expect(reports[1]).toMatchObject({ rows: 3000, dead: 5 })
  const { rows, dead, deadByReason, notes } = reports[0]!
  expect(reports[1]).toMatchObject({ rows, dead, deadByReason, notes })
  expect((await tm.verify()).problems).toEqual([])
  expect(await content('cold')).toEqual([0n, null])
  await tm.thaw('values.cold', { all: true })
  expect(await content('cold')).toEqual(await content('hot'))
  const letters = async (dataset: string) =>
    (
      await test.db.query(sql`
        select line, column_name, value, reason, message, raw from tidemark.dead_letter where dataset = ${dataset}::text order by line`)
    ).rows
  expect(await letters('values.cold')).toEqual(await letters('values.hot'))
  const { rows: kept } = await test.db.query(sql`
    select count(*), min(length(details ->> 'n3')) from values.hot where details ? 'n3'`)
  expect(kept[0]![0]).toBeGreaterThan(100n)
  expect(kept[0]![1]).toBe(401)
})

it('a number that jsonb cannot hold makes a dead letter, not the end of the import', async () => {
  const file = writeFile(
    'limits.ndjson',
    '{"time":"2025-01-01T00:00:00Z","details":1e200000}\n{"time":"2025-01-01T00:00:00Z"}\n',
  )
  const report = await tm.import('values.cold', file, { cold: true })
  expect(report).toMatchObject({ rows: 1, dead: 1, deadByReason: { range: 1 } })
})

it('a default that PostgreSQL evaluates is refused where no field gives the column', async () => {
  const file = writeFile('computed.csv', 'time,n\n2026-01-01T00:00:00Z,1\n')
  await expect(tm.import('values.computed', file, { cold: true })).rejects.toThrow(
    /column "id" would get its default gen_random_uuid\(\), which PostgreSQL evaluates/,
  )
  const id = '00000000-0000-4000-8000-000000000001'
  const given = writeFile('given.csv', `time,n,id\n2026-01-01T00:00:00Z,1,${id}\n2026-01-01T00:00:00Z,2,\n`)
  const report = await tm.import('values.computed', given, { cold: true })
  expect(report).toMatchObject({ rows: 1, dead: 1, deadByReason: { null: 1 } })
})

/** Rows that take the short ways, and among them some that have to go the long one. */
const laneRows = Array.from({ length: 9000 }, (_, i) => ({
  time: new Date(Date.UTC(2026, 0, 1) + i * 20_000).toISOString(),
  host: i % 53 === 0 ? (i % 2 === 0 ? '' : 'ein Gerät mit einem langen Namen') : `host_${i % 10}`,
  value: i % 7 === 0 ? '-0' : i % 101 === 0 ? '' : String(i / 8),
  single: i % 97 === 0 ? '1e39' : String((i % 50) / 4),
  number: i % 89 === 0 ? '9007199254740993' : String(i),
  small: i % 83 === 0 ? '40000' : String(i % 100),
}))

async function assertSame(file: string, rows: number): Promise<void> {
  const reports = [
    await tm.import('values.hot_lanes', file),
    await tm.import('values.cold_lanes', file, { cold: true, batchRows: 1000 }),
  ]
  for (const report of reports) expect(report).toMatchObject({ records: 9000, rows, dead: 9000 - rows })
  expect((await tm.verify()).problems).toEqual([])
  await tm.thaw('values.cold_lanes', { all: true })
  expect(await content('cold_lanes')).toEqual(await content('hot_lanes'))
  await test.db.execute('delete from values.hot_lanes; delete from values.cold_lanes')
}

it('the short ways of CSV and Parquet give the same rows', async () => {
  const lines = laneRows.map((row) => Object.values(row).join(','))
  const csv = writeFile('lanes.csv', `time,host,value,single,number,small\n${lines.join('\n')}\n`)
  const rows = laneRows.filter(({ single, small }) => single !== '1e39' && small !== '40000').length
  await assertSame(csv, rows)
  const parquet = csv.replace(/csv$/, 'parquet')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run("set TimeZone = 'UTC'")
  await connection.run(`
    copy (
      select time::timestamptz as time, case when number = '500' then 'a' || chr(0) else host end as host,
        value::double as value, single::double as single, number::bigint as number, small::int as small
      from read_csv('${csv}', header = true, all_varchar = true)
    ) to '${parquet}' (format parquet)`)
  connection.closeSync()
  instance.closeSync()
  await assertSame(parquet, rows - 1)
})
