import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  hashRows,
  type LakeFiles,
  type WrittenFile,
} from '../../src/lake/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { identifier, join, raw, type Sql, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { collect, rowsOf } from './lake-rows.ts'

/** Every type, each nullable: what goes through a file and back into PostgreSQL is the row that went in. */
const everything = hypertable('lake.everything', {
  columns: {
    time: t.timestamptz(),
    instant: t.timestamptz().nullable(),
    date: t.date().nullable(),
    text: t.text().nullable(),
    uuid: t.uuid().nullable(),
    bool: t.bool().nullable(),
    int2: t.int2().nullable(),
    int4: t.int4().nullable(),
    int8: t.int8().nullable(),
    float4: t.float4().nullable(),
    float8: t.float8().nullable(),
    numeric: t.numeric().nullable(),
    money: t.numeric(12, 2).nullable(),
    json: t.jsonb().nullable(),
    texts: t.textArray().nullable(),
  },
  time: 'time',
  orderBy: ['text', 'int4', 'time'],
  chunk: '1 day',
}) as HypertableDefinition
const names = Object.keys(everything.columns)
const range = { from: 1767225600000000n, to: 1767225600000000n + 86_400_000_000n }

let database: TestDatabase
let duckdb: DuckDB
let files: LakeFiles
let folder: string

beforeAll(async () => {
  database = await createTestDatabase({ empty: true })
  const columns = join(
    Object.entries(everything.columns).map(([name, column]) => sql`${identifier(name)} ${raw(column.type)}`),
    ', ',
  )
  await database.db.execute(sql`
    create table source (${columns});
    create table target (${columns});
    create table stored (row int, ${columns})`)
  folder = await mkdtemp(joinPath(tmpdir(), 'tidemark-lake-'))
  duckdb = createDuckDB({ threads: 2, memoryBytes: 256 * 1024 * 1024 })
  files = createLakeFiles({ duckdb, store: createFolderStore({ dir: folder }) })
})

afterAll(async () => {
  await duckdb.close()
  await rm(folder, { recursive: true, force: true })
})

const columnList = (): Sql =>
  join(
    names.map((name) => identifier(name)),
    ', ',
  )

/** Writes the rows of `source` into a file, gives them to `target`, and compares the two. */
async function throughTheLake(): Promise<WrittenFile> {
  const { db } = database
  const copyOut = (table: string): Sql =>
    sql`copy (select ${columnList()} from ${identifier(table)}) to stdout (format binary)`
  const written = await db.withConnection((connection) =>
    files.write({ definition: everything, range, rows: connection.copyTo(copyOut('source')), signal: null }),
  )
  if (written === null) throw new Error('nothing was written')
  await db.execute('truncate target')
  await db.withConnection((connection) =>
    connection.copyFrom(
      sql`copy target (${columnList()}) from stdin (format binary)`,
      files.rows({ definition: everything, file: written, choice: { kind: 'all' }, signal: null }),
    ),
  )
  const digests = (table: string): Sql => sql`
    select md5(record_send(row(${columnList()}))) as digest, ${columnList()}
    from ${identifier(table)}
    order by digest`
  const before = await db.query(digests('source'))
  const after = await db.query(digests('target'))
  // by the text of every value first: it says more than a digest
  expect(after.rows.map(([, ...values]) => values)).toEqual(before.rows.map(([, ...values]) => values))
  expect(after.rows.map(([digest]) => digest)).toEqual(before.rows.map(([digest]) => digest))
  const again = await db.withConnection((connection) =>
    hashRows(connection.copyTo(copyOut('target')), everything, null),
  )
  expect(again).toEqual({ rowCount: written.rowCount, contentHash: written.contentHash })
  await files.verify({ definition: everything, file: written, signal: null })
  return written
}

/** Rows as SQL literals: what JavaScript's forms cannot say is said in text. */
async function insert(rows: readonly Readonly<Record<string, string | null>>[]): Promise<void> {
  await database.db.execute('truncate source')
  const values = rows.map((row, i) => {
    const time = `2026-01-01T00:00:${String(i % 60).padStart(2, '0')}.${String(i).padStart(6, '0')}Z`
    const list = names.map((name) => {
      const value = name === 'time' ? time : (row[name] ?? null)
      const type = everything.columns[name]!.type
      return value === null ? sql`null::${raw(type)}` : sql`${value}::text::${raw(type)}`
    })
    return sql`(${join(list, ', ')})`
  })
  for (let at = 0; at < values.length; at += 500)
    await database.db.query(
      sql`insert into source (${columnList()}) values ${join(values.slice(at, at + 500), ', ')}`,
    )
}

const interesting: Readonly<Record<string, readonly (string | null)[]>> = {
  instant: [
    'infinity',
    '-infinity',
    '4713-01-01 00:00:00+00 BC',
    '294276-12-31 23:59:59.999999+00',
    '294247-01-10 04:00:54.775806+00',
    '294247-01-10 04:00:54.775807+00',
    '294247-01-10 04:00:54.775808+00',
    '1969-12-31 23:59:59.999999+00',
    '2000-01-01 00:00:00+00',
    '1999-12-31 23:59:59.999999+00',
    '2026-01-01 00:00:00.123456+00',
    '0001-01-01 00:00:00+00',
  ],
  date: [
    'infinity',
    '-infinity',
    '4714-11-24 BC',
    '5874897-12-31',
    '1970-01-01',
    '1969-12-31',
    '2000-01-01',
    '0001-01-01',
    '0001-12-31 BC',
  ],
  text: [
    '',
    ' ',
    'twelve bytes',
    'thirteen byte',
    'ünïcödé',
    '𝒳🐘',
    'it\'s "quoted"\\',
    '\ufeffmark',
    '\u0001\t\n',
    'a'.repeat(300),
  ],
  uuid: [
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
    '80000000-0000-4000-8000-000000000001',
    '7fffffff-1234-5678-9abc-def012345678',
  ],
  bool: ['true', 'false'],
  int2: ['0', '-1', '32767', '-32768'],
  int4: ['0', '-1', '2147483647', '-2147483648'],
  int8: ['0', '-1', '9223372036854775807', '-9223372036854775808', '9007199254740993'],
  float4: ['0', '-0', 'NaN', 'Infinity', '-Infinity', '0.1', '1e-45', '3.4028235e38', '-1.5'],
  float8: [
    '0',
    '-0',
    'NaN',
    'Infinity',
    '-Infinity',
    '0.1',
    '5e-324',
    '1.7976931348623157e308',
    '2.2250738585072014e-308',
    '-1.5',
  ],
  numeric: [
    'NaN',
    'Infinity',
    '-Infinity',
    '0',
    '0.00',
    '-0.10',
    '1.50',
    '1.5',
    '100',
    '10000',
    '12345678.00010000',
    '0.000000000000000000001',
    '1e400',
    '-1e-300',
    '99999999999999999999999999999999999999',
    '123456789012345678901234567890123456789.5',
    '0.0001',
    '0.00012',
    '9999.9999',
  ],
  money: ['0', '0.01', '-0.01', '9999999999.99', '-9999999999.99', '100', '10000', '1234.5'],
  json: [
    'null',
    '{}',
    '[]',
    '""',
    '0',
    '1.0',
    '1.50',
    '1e400',
    '-0',
    '-0.0',
    'true',
    '12345678901234567890123456789',
    '{"a": {}}',
    '{"a": {"b": null}}',
    '{"a": {"b": 1}}',
    '{"a": {"b": 1, "c": {}}}',
    '{"a": {"b": "x"}, "b": 1}',
    '{"a.b": 1, "a": {"b": 2}}',
    '{"\\"": "q", "": "empty", "\\\\": 1}',
    '{"é": 1, "zz": 2, "𝒳": 3, "\uffff": 4}',
    '{"a": "\\u0001\\n\\t", "A": "b"}',
    '{"n": 0.1, "m": 1e21, "o": 1e-7}',
    '{"l": [1, {"a": 2}, []], "bb": 1, "a": 2}',
    '{"a": 1, "a": 2}',
    '"text"',
    '[1, [2, [3]], {"k": "v"}]',
    '{"rest": 1, "json": {"json": 2}}',
    '{"__proto__": 1, "constructor": {"a": 1}}',
  ],
  texts: [
    '{}',
    '{""}',
    '{NULL}',
    '{a,NULL,"","twelve bytes","a longer element than twelve"}',
    '{"NULL","{}"}',
    '{{a,b},{c,d}}',
    '[0:1]={x,y}',
    '[-2:-1][5:6]={{1,2},{3,NULL}}',
    '{é,𝒳}',
  ],
}

test('each value that is hard to keep comes back, alone in its column', async () => {
  // values of all columns at once: each column still holds one value and null
  const most = Math.max(...Object.values(interesting).map((values) => values.length))
  for (let i = 0; i < most; i += 1) {
    await insert([
      Object.fromEntries(Object.entries(interesting).map(([name, all]) => [name, all[i] ?? null])),
      {},
    ])
    await throughTheLake()
  }
}, 120_000)

test('all hard values of a column come back from one file, with nulls between them', async () => {
  const count = Math.max(...Object.values(interesting).map((values) => values.length))
  const rows = Array.from({ length: count * 3 }, (_, i) =>
    Object.fromEntries(
      Object.entries(interesting).map(([name, values]) => [
        name,
        i % 3 === 2 ? null : values[(i >> 1) % values.length]!,
      ]),
    ),
  )
  await insert(rows)
  await throughTheLake()
})

test('random rows come back, identical ones as often as they were there', async () => {
  const pick = (name: string): fc.Arbitrary<string | null> => fc.constantFrom(null, ...interesting[name]!)
  const text = fc.string({ unit: 'binary', maxLength: 40 }).map((value) => value.replaceAll('\0', ''))
  const json = fc
    .jsonValue({ stringUnit: 'binary', maxDepth: 4 })
    .map((value) => JSON.stringify(value).replaceAll('\\u0000', ''))
  const row = fc.record({
    instant: fc.oneof(
      pick('instant'),
      fc
        .date({ noInvalidDate: true, min: new Date('1500-01-01'), max: new Date('2500-01-01') })
        .map((date) => date.toISOString()),
    ),
    date: pick('date'),
    text: fc.oneof(pick('text'), text),
    uuid: fc.oneof(pick('uuid'), fc.uuid()),
    bool: pick('bool'),
    int2: fc.oneof(pick('int2'), fc.integer({ min: -32768, max: 32767 }).map(String)),
    int4: fc.oneof(pick('int4'), fc.integer().map(String)),
    int8: fc.oneof(pick('int8'), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String)),
    float4: fc.oneof(pick('float4'), fc.float().map(floatText)),
    float8: fc.oneof(pick('float8'), fc.double().map(floatText)),
    numeric: fc.oneof(
      pick('numeric'),
      fc
        .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: 0, max: 20 }))
        .map(([value, scale]) => `${value}.${'0'.repeat(scale)}${scale}`),
    ),
    money: fc.oneof(
      pick('money'),
      fc
        .integer()
        .map((cents) => `${Math.trunc(cents / 100)}.${String(Math.abs(cents % 100)).padStart(2, '0')}`),
    ),
    json: fc.oneof(pick('json'), json),
    texts: pick('texts'),
  })
  const table = fc.tuple(fc.array(row, { minLength: 1, maxLength: 60 }), fc.integer({ min: 1, max: 3 }))
  await fc.assert(
    fc.asyncProperty(table, async ([rows, times]) => {
      await insert(Array.from({ length: times }, () => rows).flat())
      await throughTheLake()
    }),
    { numRuns: 15 },
  )
}, 120_000)

function floatText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

test('texts and documents of a megabyte come back, and so does a block of many long texts', async () => {
  await database.db.execute('truncate source')
  await database.db.execute(`
    insert into source (time, text, json, texts)
    select
      '2026-01-01T00:00:00Z'::timestamptz + i * interval '1 second',
      repeat(chr(64 + i) || 'é', 349525),
      jsonb_build_object('k', repeat('x', 1000000), 'i', i),
      array[repeat('y', 1000000), null, '']
    from generate_series(1, 6) i`)
  await database.db.execute(`
    insert into source (time, text)
    select '2026-01-01T01:00:00Z'::timestamptz + i * interval '1 second', repeat('long ' || i, 500)
    from generate_series(1, 3000) i`)
  const written = await throughTheLake()
  expect(written.rowCount).toBe(3006)
}, 60_000)

test('special numerics come back as the bytes that PostgreSQL sends, so digests of rows stay', async () => {
  await insert(['Infinity', '-Infinity', 'NaN', '1.50'].map((numeric) => ({ numeric })))
  const sent = await database.db.withConnection((connection) =>
    collect(connection.copyTo(sql`copy (select ${columnList()} from source) to stdout (format binary)`)),
  )
  const file = await throughTheLake()
  const given = await collect(
    files.rows({ definition: everything, file, choice: { kind: 'all' }, signal: null }),
  )
  expect(rowsOf(given).sort()).toEqual(rowsOf(sent).sort())
})

test('paths that repeat become typed columns of the file', async () => {
  await database.db.execute('truncate source')
  await database.db.execute(`
    insert into source (time, json)
    select
      '2026-01-01T00:00:00Z'::timestamptz + i * interval '1 second',
      jsonb_build_object(
        'plan', (array['free', 'pro'])[1 + i % 2], 'n', i, 'ratio', i / 8.0::float8, 'ok', i % 3 = 0,
        'user', jsonb_build_object('id', 'u' || i % 7, 'tags', '["a"]'::jsonb), 'mixed', case when i % 4 = 0 then '1'::jsonb else '"t"' end)
    from generate_series(1, 3000) i`)
  const written = await throughTheLake()
  const layout = written.layout.columns['json']!
  if (layout.kind !== 'json') throw new Error(layout.kind)
  expect(Object.fromEntries(layout.shredded.map(({ column, type }) => [column, type]))).toEqual({
    'json.plan': 'text',
    'json.n': 'float8',
    'json.ratio': 'float8',
    'json.ok': 'bool',
    'json.user.id': 'text',
    'json.mixed': 'text',
  })
  const { rows } = await duckdb.query(
    sql`select "json", count(*) from ${raw(`read_parquet('${joinPath(folder, written.path)}')`)} group by all order by all`,
    null,
  )
  expect(rows).toEqual([
    ['{"user": {"tags": ["a"]}, "mixed": 1}', 750n],
    ['{"user": {"tags": ["a"]}}', 2250n],
  ])
})
