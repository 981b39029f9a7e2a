import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { infinityInstant, minusInfinityInstant } from '../../src/time/index.ts'
import { raw, type Sql, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(() => test.drop())

async function one(statement: Sql): Promise<unknown> {
  const { rows } = await test.db.query(statement)
  return rows[0]![0]
}

const microsOf2026 = BigInt(Date.UTC(2026, 0, 1)) * 1000n

describe('what comes back', () => {
  it.each<[string, unknown]>([
    [`null::int4`, null],
    [`true`, true],
    [`false`, false],
    [`(-32768)::int2`, -32768],
    [`(-2147483648)::int4`, -2147483648],
    [`9223372036854775807::int8`, 9223372036854775807n],
    [`(-9223372036854775808)::int8`, -9223372036854775808n],
    [`18446744073709551615::text::xid8`, 18446744073709551615n],
    [`4294967295::oid`, 4294967295],
    [`0.1::float8`, 0.1],
    [`0.1::float4`, Math.fround(0.1)],
    [`'-0'::float8`, -0],
    [`'NaN'::float8`, Number.NaN],
    [`'-Infinity'::float4`, -Infinity],
    [`5e-324::float8`, 5e-324],
    [`'zß水🌊'::text`, 'zß水🌊'],
    [`''::varchar`, ''],
    [`'ab'::char(4)`, 'ab  '],
    [`'pg_class'::name`, 'pg_class'],
    [`'x'::"char"`, 'x'],
    [`'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid`, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    [`'2026-01-01 00:00:00.123456+00'::timestamptz`, microsOf2026 + 123456n],
    [`'2026-01-01 02:00:00+02'::timestamptz`, microsOf2026],
    [`'2026-01-01 00:00:00'::timestamp`, microsOf2026],
    [`'1969-12-31 23:59:59.999999+00'::timestamptz`, -1n],
    [`'infinity'::timestamptz`, infinityInstant],
    [`'-infinity'::timestamp`, minusInfinityInstant],
    [`'infinity'::date`, 'infinity'],
    [`'-infinity'::date`, '-infinity'],
    [`'2024-02-29'::date`, '2024-02-29'],
    [`'0044-03-15 BC'::date`, '0044-03-15 BC'],
    [`'12026-11-20'::date`, '12026-11-20'],
    [`'4713-01-01 BC'::date`, '4713-01-01 BC'],
    [`'5874897-12-31'::date`, '5874897-12-31'],
    [`'{"b":[1,null,"x"],"a":1.5}'::jsonb`, { a: 1.5, b: [1, null, 'x'] }],
    [`'[1, 2]'::json`, [1, 2]],
    [`'null'::jsonb`, null],
    [`'\\x00ff10'::bytea`, new Uint8Array([0, 255, 16])],
    [`'10:20:10,14,15'::pg_snapshot`, '10:20:10,14,15'],
    [`'10:10:'::pg_snapshot`, '10:10:'],
    [`'16/B374D848'::pg_lsn`, '16/B374D848'],
    [`pg_sleep(0)`, null],
    [`'{}'::text[]`, []],
    [`array['a', null, 'NULL', '', '{"x"}']`, ['a', null, 'NULL', '', '{"x"}']],
    [
      `array[[1, 2], [3, null]]::int8[]`,
      [
        [1n, 2n],
        [3n, null],
      ],
    ],
    [`'[5:6]={1.50,NaN}'::numeric[]`, ['1.50', 'NaN']],
    [`array['2026-01-01Z'::timestamptz, null]`, [microsOf2026, null]],
    [`array['\\x01'::bytea]`, [new Uint8Array([1])]],
    [`array['{"a":1}'::jsonb]`, [{ a: 1 }]],
    [`'1 2 3'::int2vector`, [1, 2, 3]],
  ])('%s', async (expression, expected) => {
    expect(await one(raw(`select ${expression}`))).toStrictEqual(expected)
  })

  it.each([
    '0',
    '0.00',
    '1',
    '-1',
    '10000',
    '0.0001',
    '0.00001',
    '-0.00010',
    '99999999.99999999',
    '100000000',
    '123456789012345678901234567890.123456789012345678901234567890',
    '1e-20',
    '1e40',
    'NaN',
    'Infinity',
    '-Infinity',
  ])('numeric %s as PostgreSQL writes it', async (value) => {
    const { rows } = await test.db.query(sql`select x, x::text from (select ${value}::numeric as x) t`)
    expect(rows[0]![0]).toBe(rows[0]![1])
  })

  it('random numerics and dates are written as PostgreSQL writes them', async () => {
    const numeric = fc
      .tuple(fc.bigInt(-(10n ** 60n), 10n ** 60n), fc.integer({ min: -30, max: 60 }))
      .map(([digits, exponent]) => `${digits}e${-exponent}`)
    await fc.assert(
      fc.asyncProperty(
        fc.array(numeric, { minLength: 1, maxLength: 50 }),
        fc.array(fc.integer({ min: -2440588, max: 3_000_000 }), { minLength: 1, maxLength: 50 }),
        async (numerics, days) => {
          const { rows } = await test.db.query(sql`
            select x, x::text from unnest(${numerics}::numeric[]) x`)
          for (const [value, text] of rows) expect(value).toBe(text)
          const dates = await test.db.query(sql`
            select d, d::text from (select '1970-01-01'::date + n as d from unnest(${days}::int4[]) n) t`)
          for (const [value, text] of dates.rows) expect(value).toBe(text)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('a row, a column name and a value larger than a network packet arrive whole', async () => {
    const { rows } = await test.db.query(sql`
      select repeat('水', 3000000) as long, n from generate_series(1::int4, 3::int4) n`)
    expect(rows.map(([long, n]) => [(long as string).length, n])).toEqual([
      [3_000_000, 1],
      [3_000_000, 2],
      [3_000_000, 3],
    ])
  })

  it('bytea values are copies that do not hold the network buffer', async () => {
    const bytes = (await one(raw(`select '\\x01'::bytea`))) as Uint8Array
    expect(bytes.buffer.byteLength).toBe(1)
  })
})

describe('a type that is not read', () => {
  it.each([
    [`'1 day'::interval as pause`, 'column "pause"'],
    [`'[1,2)'::int4range as range`, 'column "range"'],
    [`row(1, 2) as pair`, 'column "pair"'],
  ])('%s is one error that names the column and the way out', async (expression, named) => {
    const call = test.db.query(raw(`select 1::int4 as fine, ${expression} from generate_series(1, 1000)`))
    await expect(call).rejects.toMatchObject({ code: 'TM_DATABASE' })
    await expect(call).rejects.toThrow(named)
    await expect(call).rejects.toThrow('cast it in the statement, for example to text')
    expect(await one(raw(`select 'usable'::text`))).toBe('usable')
  })

  it('one that has no binary form at all is an error of PostgreSQL, with its SQLSTATE', async () => {
    const call = test.db.query(raw(`select '{}'::aclitem[]::text, 'postgres=r/postgres'::aclitem as acl`))
    await expect(call).rejects.toMatchObject({ code: 'TM_DATABASE' })
  })
})

describe('what is sent', () => {
  it.each<[string, unknown, string, unknown]>([
    ['undefined as null', undefined, 'int4', null],
    ['bigint', 9007199254740993n, 'int8', 9007199254740993n],
    ['number', 1.5, 'float8', 1.5],
    ['minus zero', -0, 'float8', -0],
    ['NaN', Number.NaN, 'float8', Number.NaN],
    ['Infinity', -Infinity, 'float8', -Infinity],
    ['boolean', false, 'bool', false],
    ['Date', new Date(Date.UTC(2026, 0, 1)), 'timestamptz', microsOf2026],
    ['Date before Christ', new Date('-000043-03-15T00:00:00Z'), 'date', '0044-03-15 BC'],
    ['Date in the year 0', new Date('0000-03-15T00:00:00Z'), 'date', '0001-03-15 BC'],
    ['Date after 9999', new Date('+012026-11-20T00:00:00Z'), 'date', '12026-11-20'],
    ['bytes', new Uint8Array([0, 1, 255]), 'bytea', new Uint8Array([0, 1, 255])],
    ['part of a buffer', Buffer.from('abcdef').subarray(2, 4), 'bytea', new Uint8Array([99, 100])],
    ['object as JSON', { a: [1, null], 'ü"': '\\' }, 'jsonb', { a: [1, null], 'ü"': '\\' }],
    ['empty array', [], 'text[]', []],
    ['array of bytes', [new Uint8Array([7]), null], 'bytea[]', [new Uint8Array([7]), null]],
    ['array of objects', [{ a: '"' }], 'jsonb[]', [{ a: '"' }]],
    [
      'nested array',
      [
        ['a', null],
        ['{', '"\\'],
      ],
      'text[]',
      [
        ['a', null],
        ['{', '"\\'],
      ],
    ],
    ['array of bigint', [1n, null], 'int8[]', [1n, null]],
    ['array of Date', [new Date(0)], 'timestamptz[]', [0n]],
  ])('%s', async (_what, value, type, expected) => {
    expect(await one(sql`select ${value}::${raw(type)}`)).toStrictEqual(expected)
  })

  it('any text array comes back as it was', async () => {
    // PostgreSQL has no NUL in text, and a lone surrogate is not UTF-8.
    const text = fc.string({ unit: 'grapheme' }).filter((s) => !s.includes('\0') && !/\p{Surrogate}/u.test(s))
    await fc.assert(
      fc.asyncProperty(fc.array(fc.option(text), { minLength: 1 }), async (values) => {
        expect(await one(sql`select ${values}::text[]`)).toStrictEqual(values)
      }),
      { numRuns: 100 },
    )
  })

  it.each([
    ['an invalid Date', new Date(Number.NaN)],
    ['a function', () => {}],
    ['a symbol', Symbol('x')],
    ['an object that holds itself', cyclic()],
  ])('%s is refused before it is sent', async (_what, value) => {
    await expect(test.db.query(sql`select ${value}::text`)).rejects.toMatchObject({
      code: 'TM_DATABASE',
      params: { sqlstate: '22023' },
    })
  })
})

function cyclic(): object {
  const object: { self?: object } = {}
  object.self = object
  return object
}
