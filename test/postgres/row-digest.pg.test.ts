import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type CopyType,
  createCopyEncoder,
  createRowDigester,
  rowDigestSql,
} from '../../src/postgres/index.ts'
import { identifier, join, raw, type Sql, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { copyTypes, copyValues, toCopy } from './copy-values.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
})
afterAll(() => test.drop())

const headerBytes = 19

/** The tuples of a COPY BINARY stream. */
function tuplesOf(stream: Buffer): Buffer[] {
  const tuples: Buffer[] = []
  let at = headerBytes
  for (;;) {
    const fields = stream.readInt16BE(at)
    if (fields < 0) return tuples
    let end = at + 2
    for (let i = 0; i < fields; i++) end += 4 + Math.max(0, stream.readInt32BE(end))
    tuples.push(stream.subarray(at, end))
    at = end
  }
}

const columns = copyTypes.map((type, i) => ({ name: `c${i}`, type }))

async function createTable(name: string): Promise<void> {
  const list = columns.map(({ name: column, type }) => sql`${identifier(column)} ${raw(type)}`)
  await test.db.execute(sql`create table ${identifier(name)} (n int4, ${join(list, ', ')})`)
}

/** What PostgreSQL computes, and what its COPY BINARY says here. */
async function bothDigests(table: string): Promise<{ inSql: string[]; here: string[] }> {
  const names = columns.map(({ name }) => identifier(name))
  const { rows } = await test.db.query(
    sql`select encode(${rowDigestSql(columns)}, 'hex') from ${identifier(table)} order by n`,
  )
  const digestOf = createRowDigester(copyTypes)
  const select: Sql = sql`select ${join(names, ', ')} from ${identifier(table)} order by n`
  const stream = await test.db.withConnection(async (connection) => {
    const pieces: Uint8Array[] = []
    for await (const piece of connection.copyTo(sql`copy (${select}) to stdout (format binary)`))
      pieces.push(Uint8Array.from(piece))
    return Buffer.concat(pieces)
  })
  return { inSql: rows.map(([digest]) => digest as string), here: tuplesOf(stream).map(digestOf) }
}

describe('the digest of a row', () => {
  it('is the same in PostgreSQL, from its COPY BINARY, and from rows that are encoded here', async () => {
    await createTable('every_type')
    const seed = Date.now() % 2 ** 31
    const row = fc.tuple(...copyTypes.map((type) => fc.option(copyValues[type], { nil: null, freq: 10 })))
    const digestOf = createRowDigester(copyTypes)
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 40 }), async (rows) => {
        await test.db.execute('truncate every_type')
        const encoder = createCopyEncoder(['int4', ...copyTypes])
        const alone = createCopyEncoder(copyTypes)
        for (const [n, values] of rows.entries()) {
          const canonical = values.map((value, i) => toCopy(copyTypes[i]!, value))
          encoder.addRow([n, ...canonical])
          alone.addRow(canonical)
        }
        await test.db.withConnection((connection) =>
          connection.copyFrom(sql`copy every_type from stdin (format binary)`, encoder.finish()),
        )
        const { inSql, here } = await bothDigests('every_type')
        expect(inSql).toHaveLength(rows.length)
        expect(here).toEqual(inSql)
        const encoded = tuplesOf(Buffer.concat(alone.finish()))
        // PostgreSQL writes JSON its own way, so only rows without any are the same before they have been there
        const json = copyTypes.indexOf('jsonb')
        for (const [n, values] of rows.entries())
          if (values[json] === null) expect(digestOf(encoded[n]!)).toBe(inSql[n])
      }),
      { seed, numRuns: 40 },
    )
  })

  it('is the same for values that only SQL writes', async () => {
    await createTable('by_sql')
    const texts: Readonly<Partial<Record<CopyType, readonly string[]>>> = {
      'text[]': ["'[2:3]={a,NULL}'", "'{{a,b},{c,NULL}}'", "'{}'"],
      numeric: ["'1e131071'", "'0.00'", "'-1.50'", "'1e-1000'"],
      jsonb: [`'{"b": 1.00, "a": [1e3, null]}'`, "'null'", `'"x"'`],
      timestamptz: ["'4714-11-24 00:00:00 BC'", "'294276-12-31 23:59:59.999999'", "'infinity'"],
      date: ["'4714-11-24 BC'", "'5874897-12-31'"],
      // a NaN with its sign set, as the processor makes it
      float8: ["'Infinity'::float8 - 'Infinity'::float8", "'-0'", "'4.9e-324'"],
      float4: ["'Infinity'::float4 - 'Infinity'::float4", "'1e-45'"],
    }
    let n = 0
    for (const { name, type } of columns)
      for (const text of texts[type] ?? [])
        await test.db.execute(
          sql`insert into by_sql (n, ${identifier(name)}) values (${raw(String(n++))}, ${raw(text)}::${raw(type)})`,
        )
    const { inSql, here } = await bothDigests('by_sql')
    expect(inSql).toHaveLength(n)
    expect(new Set(inSql).size).toBe(n)
    expect(here).toEqual(inSql)
  })

  it('is one for every NaN, whatever its bits, and tells -0 from 0', async () => {
    await test.db.execute(`
      create table nans (n int4, a float8, b float4);
      insert into nans values
        (0, 'NaN', 'NaN'),
        (1, 'Infinity'::float8 - 'Infinity'::float8, 'Infinity'::float4 - 'Infinity'::float4),
        (2, 0, 0), (3, '-0', 0), (4, 0, '-0'), (5, null, null)`)
    const { rows } = await test.db.query(sql`
      select encode(${rowDigestSql([
        { name: 'a', type: 'float8' },
        { name: 'b', type: 'float4' },
      ])}, 'hex'), encode(float8send(a), 'hex') from nans order by n`)
    const digests = rows.map(([digest]) => digest)
    expect(rows[1]![1]).not.toBe(rows[0]![1])
    expect(digests[1]).toBe(digests[0])
    expect(new Set(digests).size).toBe(5)
  })

  it('is one for equal arrays, also where a slice took the nulls away', async () => {
    await test.db.execute(`
      create table arrays (n int4, a text[]);
      insert into arrays values (0, array['a']), (1, (array['a', null])[1:1]), (2, '{}'), (3, null), (4, '{NULL}')`)
    const { rows } = await test.db.query(sql`
      select encode(${rowDigestSql([{ name: 'a', type: 'text[]' }])}, 'hex'), encode(array_send(a), 'hex')
      from arrays order by n`)
    const digests = rows.map(([digest]) => digest)
    expect(rows[1]![1]).not.toBe(rows[0]![1])
    expect(digests[1]).toBe(digests[0])
    expect(new Set(digests).size).toBe(4)
  })

  it('never changes from release to release', async () => {
    const { rows } = await test.db.query(sql`
      select encode(${rowDigestSql([
        { name: 'time', type: 'timestamptz' },
        { name: 'host', type: 'text' },
        { name: 'usage', type: 'float8' },
        { name: 'note', type: 'jsonb' },
      ])}, 'hex')
      from (values (timestamptz '2026-01-01Z', 'a'::text, 0.5::float8, null::jsonb)) v (time, host, usage, note)`)
    expect(rows).toEqual([['1782ad3692b6db03a685afbb0e90e9ae']])
  })

  it('is refused for a tuple of other columns', () => {
    const encoder = createCopyEncoder(['text'])
    encoder.addRow(['a'])
    const [tuple] = tuplesOf(Buffer.concat(encoder.finish()))
    expect(() => createRowDigester(['text', 'int4'])(tuple!)).toThrow(
      expect.objectContaining({
        code: 'TM_INTERNAL',
        cause: expect.objectContaining({ message: 'a tuple has 1 fields where 2 columns are declared' }),
      }),
    )
  })
})
