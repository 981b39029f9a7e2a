import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import { describe, expect, it } from 'vitest'
import { type ImportOptions, type ImportPreview, previewImport } from '../../src/ingest/index.ts'
import { hypertable, type StoredDefinition, t, table } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { temporaryFolder, writeFile } from './files.ts'

const cpu = hypertable('test.cpu', {
  columns: {
    time: t.timestamptz(),
    hostName: t.text(),
    usage: t.float8().nullable(),
    note: t.text().nullable(),
    count: t.int4().default(7),
  },
  time: 'time',
  chunk: '1 day',
})

const first = { time: '2026-01-01T00:00:00Z', hostName: 'a', usage: 1.5, note: null, count: 7 }

async function preview(
  content: string | Buffer,
  options: ImportOptions = {},
  definition: StoredDefinition = cpu,
  name = 'file.csv',
): Promise<ImportPreview> {
  return previewImport({ definition, file: writeFile(name, content), options })
}

async function problem(
  content: string | Buffer,
  options: ImportOptions = {},
  definition: StoredDefinition = cpu,
): Promise<string> {
  return problemOf(preview(content, options, definition))
}

async function problemOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
  } catch (error) {
    if (isTidemarkError(error)) return error.message
    throw error
  }
  throw new Error('nothing was refused')
}

describe('what is guessed', () => {
  it.each([
    ['comma', 'time,hostName,usage\n2026-01-01T00:00:00Z,a,1.5\n'],
    ['semicolon', 'time;hostName;usage\n2026-01-01T00:00:00Z;a;1.5\n'],
    ['tab', 'time\thostName\tusage\n2026-01-01T00:00:00Z\ta\t1.5\n'],
    ['pipe', 'time|hostName|usage\n2026-01-01T00:00:00Z|a|1.5\n'],
    ['names in another case and with other marks', 'TIME,Host Name,USAGE\n2026-01-01T00:00:00Z,a,1.5\n'],
    ['snake case', 'time,host_name,usage\n2026-01-01T00:00:00Z,a,1.5\n'],
    ['another order, more fields', 'x,usage,host-name,y,time\n1,1.5,a,2,2026-01-01T00:00:00Z\n'],
    ['CRLF, quotes, no end', '"time","hostName","usage"\r\n"2026-01-01T00:00:00Z","a","1.5"'],
    ['NDJSON', '{"time":"2026-01-01T00:00:00Z","host_name":"a","usage":1.5}\n'],
    ['nested NDJSON', '{"time":"2026-01-01T00:00:00Z","tags":{"hostName":"a"},"fields":{"usage":1.5}}\n'],
    ['unix seconds', 'time,hostName,usage\n1767225600,a,1.5\n'],
    ['unix nanoseconds', 'time,hostName,usage\n1767225600000000000,a,1.5\n'],
  ])('%s', async (_name, content) => {
    const { rows, dead } = await preview(content)
    expect(rows).toEqual([first])
    expect(dead).toEqual([])
  })

  it('a separator that is rarer than another character', async () => {
    const { plan, rows } = await preview(
      'time;hostName;usage;note\n2026-01-01T00:00:00Z;a;1.5;x,y,z\n2026-01-01T00:00:01Z;b;2.5;x,y\n',
    )
    expect(plan.separator).toBe(';')
    expect(rows[0]).toEqual({ ...first, note: 'x,y,z' })
  })

  it('rows without names, when there are as many fields as columns', async () => {
    const { plan, rows } = await preview('2026-01-01T00:00:00Z,a,1.5,,9\n2026-01-01T00:00:01Z,b,2,x,8\n')
    expect(plan.header).toBe(false)
    expect(rows).toEqual([
      { ...first, count: 9 },
      { time: '2026-01-01T00:00:01Z', hostName: 'b', usage: 2, note: 'x', count: 8 },
    ])
  })

  it('what goes nowhere and what comes from nowhere is said', async () => {
    const { plan } = await preview('time,hostName,other,more\n2026-01-01T00:00:00Z,a,1,2\n')
    expect(plan.unused).toEqual(['other', 'more'])
    const sources = Object.fromEntries(plan.columns.map((column) => [column.column, column.source]))
    expect(sources).toEqual({
      time: { kind: 'field', name: 'time', index: 0 },
      hostName: { kind: 'field', name: 'hostName', index: 1 },
      usage: { kind: 'none', gives: 'null' },
      note: { kind: 'none', gives: 'null' },
      count: { kind: 'none', gives: 'default' },
    })
  })

  it('day and month only when a value decides them', async () => {
    expect(await problem('time,hostName\n01/02/2024,a\n', { timeZone: 'UTC' })).toMatch(
      /could be M\/D\/YYYY or D\/M\/YYYY.*--time-format/,
    )
    const { rows } = await preview('time,hostName\n01/02/2024,a\n', {
      timeZone: 'UTC',
      timeFormat: 'DD/MM/YYYY',
    })
    expect(rows[0]).toMatchObject({ time: '2024-02-01T00:00:00Z' })
  })

  it('times without a zone are refused at once, with the way out', async () => {
    const content = 'time,hostName\n2026-01-01 00:00:00,a\n2026-01-02 00:00:00,b\n'
    expect(await problem(content)).toMatch(/have no zone.*--time-zone UTC/)
    expect((await preview(content, { timeZone: 'Asia/Tokyo' })).rows[0]).toMatchObject({
      time: '2025-12-31T15:00:00Z',
    })
  })

  it('where only some times have a zone, the others are refused one by one', async () => {
    const { rows, dead } = await preview('time,hostName\n2026-01-01T00:00:00Z,a\n2026-01-01 00:00:00,b\n')
    expect(rows.length).toBe(1)
    expect(dead).toMatchObject([
      { line: 3, column: 'time', value: '2026-01-01 00:00:00', reason: 'time_zone' },
    ])
  })
})

describe('what can be said', () => {
  it('which field goes where, by name, by path and by position', async () => {
    const { rows } = await preview('a,b,c\n2026-01-01T00:00:00Z,x,1.5\n', {
      map: { time: 'a', hostName: 'B', usage: '@3' },
    })
    expect(rows[0]).toMatchObject({ time: '2026-01-01T00:00:00Z', hostName: 'x', usage: 1.5 })
    const json = await preview('{"t":"2026-01-01T00:00:00Z","p":{"main_model":"m"}}\n', {
      map: { time: 't', hostName: 'p.main_model' },
    })
    expect(json.rows[0]).toMatchObject({ hostName: 'm' })
  })

  it('one field for two columns', async () => {
    const { rows } = await preview('time,hostName\n2026-01-01T00:00:00Z,a\n', { map: { note: 'hostName' } })
    expect(rows[0]).toMatchObject({ hostName: 'a', note: 'a' })
  })

  it('constants, line numbers and the name of the file', async () => {
    const { rows } = await preview('time\n2026-01-01T00:00:00Z\n\n2026-01-01T00:00:01Z\n', {
      set: { hostName: 'acme' },
      map: { count: '@line', note: '@file' },
    })
    expect(rows.map(({ hostName, count }) => [hostName, count])).toEqual([
      ['acme', 2],
      ['acme', 4],
    ])
    expect(rows[0]!['note']).toMatch(/file\.csv$/)
  })

  it('a time put together from several fields', async () => {
    const { rows, plan } = await preview('year;month;day;hostName\n2008;4;1;a\n2008;10;11;b\n', {
      time: 'year-month-day',
      timeZone: 'UTC',
    })
    expect(rows.map((row) => row['time'])).toEqual(['2008-04-01T00:00:00Z', '2008-10-11T00:00:00Z'])
    expect(plan.unused).toEqual([])
    const two = await preview('Date,Time,hostName\n2026-01-01,10:00:00,a\n', {
      time: 'Date Time',
      timeZone: 'UTC',
    })
    expect(two.rows[0]).toMatchObject({ time: '2026-01-01T10:00:00Z' })
  })

  it('words for null', async () => {
    const { rows } = await preview('time,hostName,usage,note\n2026-01-01T00:00:00Z,a,-999,missing\n', {
      nullWords: ['-999', 'missing'],
    })
    expect(rows[0]).toMatchObject({ usage: null, note: null })
  })

  it('rows with too few or too many fields: refused, or filled', async () => {
    const content = 'time,hostName,usage\n2026-01-01T00:00:00Z,a\n2026-01-01T00:00:00Z,a,1.5,x\n'
    const refusing = await preview(content)
    expect(refusing.dead.map(({ line, reason }) => [line, reason])).toEqual([
      [2, 'fields'],
      [3, 'fields'],
    ])
    const filling = await preview(content, { ragged: 'fill' })
    expect(filling.rows).toEqual([{ ...first, usage: null }, first])
  })

  it('a limit', async () => {
    expect((await preview('time,hostName\n1767225600,a\n1767225601,b\n', { limit: 1 })).rows.length).toBe(1)
  })
})

describe('what cannot be imported says why and what to do', () => {
  it.each<[string, string | Buffer, ImportOptions, RegExp]>([
    ['an empty file', '', {}, /it is empty/],
    ['blank lines', '\n\n  \n', {}, /only blank lines/],
    ['binary', Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7) % 256)), {}, /binary/],
    ['UTF-16', Buffer.from('\ufefftime,hostName\n', 'utf16le'), {}, /UTF-16.*iconv/],
    ['old line ends', 'time,hostName\r1,2\r3,4\r', {}, /CR alone.*tr/],
    ['a JSON array', '[\n{"time":1}\n]\n', {}, /JSON array.*jq/],
    ['a JSON document', '{\n "a": {\n "b": 1\n }\n}\n', {}, /JSON document/],
    ['a zip archive', Buffer.from('PK\x03\x04aaaaaaaa'), {}, /zip/],
    ['bzip2', Buffer.from('BZh91AY&SY'), {}, /bzip2 -dk/],
    [
      'the wrong separator',
      'time,hostName\n1767225600,a\n',
      { separator: ';' },
      /nothing in the file is called.*--separator/,
    ],
    [
      'no field for a column',
      'time,other\n1767225600,a\n',
      {},
      /"hostName".*NOT NULL.*has time, other.*--map FIELD=hostName/,
    ],
    [
      'names of other columns',
      'time,hostName\n1767225600,a\n',
      { map: { nope: 'time' } },
      /"nope" is no column/,
    ],
    [
      'names of other fields',
      'time,hostName\n1767225600,a\n',
      { map: { note: 'nope' } },
      /no field "nope".*time, hostName/,
    ],
    [
      'a name twice',
      'time,hostName,host_name\n1767225600,a,b\n',
      { map: { hostName: 'HOSTNAME' } },
      /several fields.*@2 or @3/,
    ],
    [
      'a header twice',
      'time,hostName,hostName\n1767225600,a,b\n',
      {},
      /"hostName" \(@2\) and "hostName" \(@3\).*--map @2=hostName/,
    ],
    ['an unknown zone', 'time,hostName\n1767225600,a\n', { timeZone: 'Mars/Olympus' }, /timeZone/],
    ['a pattern that is none', 'time,hostName\n1767225600,a\n', { timeFormat: 'nope' }, /timeFormat.*token/],
    [
      'a time format that fits no row',
      'time,hostName\n1767225600,a\n',
      { timeFormat: 'iso' },
      /none of the first 1 values.*iso/,
    ],
    ['times of no known format', 'time,hostName\nsoon,a\n', {}, /no time format/],
    [
      'a constant that does not fit',
      'time,hostName\n1767225600,a\n',
      { set: { count: 'many' } },
      /constant "many".*int4/,
    ],
    ['an unknown format', 'time,hostName\n', { format: 'xml' as 'csv' }, /must be one of csv, ndjson/],
    ['a wide separator', 'time,hostName\n', { separator: '::' }, /one character/],
    ['no connections', 'time,hostName\n', { connections: 0 }, /connections.*1 to 64/],
    [
      'parts of a time that are no fields',
      'time,hostName\n1,a\n',
      { time: 'year-month' },
      /does not consist of names/,
    ],
  ])('%s', async (_name, content, options, expected) => {
    expect(await problem(content, options)).toMatch(expected)
  })

  it('a path that is none, and a directory', async () => {
    expect(await problemOf(previewImport({ definition: cpu, file: '/nowhere/x.csv' }))).toMatch(
      /no such file/,
    )
    expect(await problemOf(previewImport({ definition: cpu, file: temporaryFolder() }))).toMatch(
      /it is a directory/,
    )
  })

  it('a packed file that is cut off or damaged', async () => {
    const rows = Array.from({ length: 50_000 }, (_, i) => `${1767225600 + i},host${Math.imul(i, 2654435761)}`)
    const packed = gzipSync(`time,hostName\n${rows.join('\n')}\n`)
    expect(gunzipSync(packed).length).toBeGreaterThan(500_000)
    const cut = packed.subarray(0, 2000)
    expect(await problem(Buffer.from(cut))).toMatch(/cut off/)
    const damaged = Buffer.from(packed)
    damaged.fill(0xff, 100, 200)
    expect(await problem(damaged)).toMatch(/damaged/)
  })

  it('zstd, where Node.js cannot unpack it', async () => {
    const zstd = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), Buffer.alloc(20)])
    expect(await problem(zstd)).toMatch(/zstd/)
  })

  it('a header and no row is a file without rows, not an error', async () => {
    const { rows, dead } = await preview('time,hostName\n')
    expect([rows, dead]).toEqual([[], []])
  })
})

describe('Parquet', () => {
  async function parquet(select: string): Promise<string> {
    const path = join(temporaryFolder(), "it's [1].parquet")
    const instance = await DuckDBInstance.create(':memory:')
    const connection = await instance.connect()
    await connection.run(`copy (${select}) to '${path.replaceAll("'", "''")}' (format parquet)`)
    connection.closeSync()
    instance.closeSync()
    return path
  }

  const types = table('test.types', {
    columns: {
      id: t.int8(),
      at: t.timestamptz().nullable(),
      nanos: t.timestamptz().nullable(),
      day: t.date().nullable(),
      price: t.numeric(12, 3).nullable(),
      ratio: t.float8().nullable(),
      small: t.int2().nullable(),
      flag: t.bool().nullable(),
      name: t.text().nullable(),
      tags: t.textArray().nullable(),
      doc: t.jsonb().nullable(),
      key: t.uuid().nullable(),
    },
  })

  it('every type comes in exactly', async () => {
    const file = await parquet(`
      select 9007199254740993::bigint id, timestamptz '2026-01-01 00:00:00.123456+00' "at",
        timestamp_ns '2026-01-01 00:00:00.123456789' nanos, date '2026-01-31' "day",
        123456789.125::decimal(18,3) price, 0.1::double ratio, 3::tinyint small, true flag, 'ä' "name",
        ['x', null] tags, {'a': 1, 'b': [1, 2]} doc, '52b5cc12-f16d-45f3-b30c-95ab4ae904ee'::uuid "key"
      union all select 2, null, null, null, null, null, null, null, null, null, null, null`)
    const { rows, dead, notes, plan } = await previewImport({
      definition: types,
      file,
      options: { timeZone: 'UTC' },
    })
    expect(dead).toEqual([])
    expect(rows[0]).toEqual({
      id: 9007199254740993n,
      at: '2026-01-01T00:00:00.123456Z',
      nanos: '2026-01-01T00:00:00.123456Z',
      day: '2026-01-31',
      price: '123456789.125',
      ratio: 0.1,
      small: 3,
      flag: true,
      name: 'ä',
      tags: ['x', null],
      doc: { a: 1, b: [1, 2] },
      key: '52b5cc12-f16d-45f3-b30c-95ab4ae904ee',
    })
    expect(Object.values(rows[1]!).filter((value) => value !== null)).toEqual([2n])
    expect(notes).toMatchObject({ nanos: { truncated: 1 } })
    expect(plan.format).toBe('parquet')
  })

  it('times without a zone need one', async () => {
    const file = await parquet(`select timestamp '2026-07-01 12:00:00' "time", 'a' host_name`)
    expect(await problemOf(previewImport({ definition: cpu, file }))).toMatch(/without a zone.*--time-zone/)
    const { rows } = await previewImport({ definition: cpu, file, options: { timeZone: 'Europe/Berlin' } })
    expect(rows[0]).toMatchObject({ time: '2026-07-01T10:00:00Z', hostName: 'a' })
  })

  it('a damaged file says so', async () => {
    expect(
      await problemOf(
        previewImport({ definition: cpu, file: writeFile('x.parquet', 'PAR1 and nothing more') }),
      ),
    ).toMatch(/cannot be read as Parquet/)
  })
})
