import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CopyType, createCopyEncoder } from '../../src/postgres/index.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
})
afterAll(() => test.drop())

const text = fc
  .string({ unit: 'grapheme', maxLength: 200 })
  .filter((s) => !s.includes('\0') && s.isWellFormed())
const int8 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
const decimal = fc
  .tuple(
    fc.boolean(),
    fc.stringMatching(/^(0|[1-9]\d{0,60})$/),
    fc.option(fc.stringMatching(/^\d{1,40}$/), { nil: null }),
  )
  .map(([negative, whole, fraction]) => {
    const body = fraction === null ? whole : `${whole}.${fraction}`
    return negative && /[1-9]/.test(body) ? `-${body}` : body
  })
const day = fc
  .integer({ min: -2_440_588 + 700_000, max: 2_900_000 })
  .map((days) => new Date(days * 86_400_000).toISOString())
  .filter((iso) => /^\d{4}-/.test(iso) && !iso.startsWith('0000'))
  .map((iso) => iso.slice(0, 10))

/** Values as they go in; they must come back equal. */
const values: Readonly<Record<CopyType, fc.Arbitrary<unknown>>> = {
  timestamptz: fc.oneof(
    fc.bigInt({ min: -200_000_000_000_000_000n, max: 9_000_000_000_000_000_000n }),
    fc.constantFrom(9223372036854775807n, -9223372036854775808n, 0n, -1n, 946684800000000n),
  ),
  date: fc.oneof(
    day,
    fc.constantFrom(
      'infinity',
      '-infinity',
      '0044-03-15 BC',
      '12345-06-07',
      '4714-11-24 BC',
      '5874897-12-31',
    ),
  ),
  text: fc.oneof(text, fc.constantFrom('', 'x'.repeat(1000), 'ä'.repeat(41), '𝄞')),
  uuid: fc.uuid(),
  bool: fc.boolean(),
  int2: fc.integer({ min: -32768, max: 32767 }),
  int4: fc.integer(),
  int8: fc.oneof(int8, fc.maxSafeInteger().map(BigInt)),
  float4: fc.oneof(fc.float(), fc.constantFrom(NaN, -0, Infinity, -Infinity)),
  float8: fc.oneof(fc.double(), fc.constantFrom(NaN, -0, Infinity, -Infinity, 5e-324)),
  numeric: fc.oneof(
    decimal,
    fc.constantFrom('NaN', 'Infinity', '-Infinity', '0', '0.000', '10000', '0.0001', '100000000.00010000'),
  ),
  jsonb: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value).replaceAll('\\u0000', ''))),
  'text[]': fc.array(fc.option(text, { nil: null }), { maxLength: 20 }),
}
const types = Object.keys(values) as CopyType[]

function toCopy(type: CopyType, value: unknown): unknown {
  return type === 'jsonb' && value !== null ? JSON.stringify(value) : value
}

describe('COPY BINARY', () => {
  it('brings every value of every type to PostgreSQL and back unchanged', async () => {
    const columns = types.map((type, i) => ({ name: `c${i}`, type }))
    await test.db.execute(sql`
      create table every_type (
        n int4,
        ${join(
          columns.map(({ name, type }) => sql`${identifier(name)} ${raw(type)}`),
          ', ',
        )}
      )`)
    const row = fc.tuple(...types.map((type) => fc.option(values[type], { nil: null, freq: 10 })))
    await fc.assert(
      fc.asyncProperty(
        fc.array(row, { maxLength: 40 }),
        fc.constantFrom(300, 4096),
        async (rows, chunkBytes) => {
          const encoder = createCopyEncoder(['int4', ...types], { chunkBytes })
          // Twice, so that buffers are used again.
          for (let round = 0; round < 2; round += 1) {
            encoder.reset()
            rows.forEach((row, n) => {
              encoder.addRow([n, ...row.map((value, i) => toCopy(types[i]!, value))])
            })
            await test.db.execute('truncate every_type')
            const stream = encoder.finish()
            expect(stream.reduce((sum, chunk) => sum + chunk.length, 0)).toBe(encoder.bytes)
            const count = await test.db.withConnection((connection) =>
              connection.copyFrom(sql`copy every_type from stdin (format binary)`, stream),
            )
            expect(count).toBe(rows.length)
            const answer = await test.db.query(sql`select * from every_type order by n`)
            answer.rows.forEach((back, n) => {
              expect(back.slice(1)).toStrictEqual(rows[n])
            })
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  it('keeps the exact bits of zero, negative zero and NaN', async () => {
    await test.db.execute('create table bits (a float8, b float4)')
    const encoder = createCopyEncoder(['float8', 'float4'])
    for (const value of [0, -0, NaN, Infinity, -Infinity]) encoder.addRow([value, value])
    await test.db.withConnection((connection) =>
      connection.copyFrom(sql`copy bits from stdin (format binary)`, encoder.finish()),
    )
    const { rows } = await test.db.query(
      sql`select encode(float8send(a), 'hex'), encode(float4send(b), 'hex') from bits`,
    )
    expect(rows).toEqual([
      ['0000000000000000', '00000000'],
      ['8000000000000000', '80000000'],
      ['7ff8000000000000', '7fc00000'],
      ['7ff0000000000000', '7f800000'],
      ['fff0000000000000', 'ff800000'],
    ])
  })

  it('takes safe integers for timestamptz and int8, and places of values in a wider row', async () => {
    await test.db.execute('create table numbers (a timestamptz, b int8)')
    const encoder = createCopyEncoder(['timestamptz', 'int8'])
    encoder.addRowFrom(['unused', 9007199254740991, 1767225600123456], [2, 1])
    encoder.addRowFrom(['unused', -9007199254740991, -1], [2, 1])
    await test.db.withConnection((connection) =>
      connection.copyFrom(sql`copy numbers from stdin (format binary)`, encoder.finish()),
    )
    const { rows } = await test.db.query(sql`select * from numbers order by a`)
    expect(rows).toEqual([
      [-1n, -9007199254740991n],
      [1767225600123456n, 9007199254740991n],
    ])
  })

  it('sends no rows as an empty stream', async () => {
    await test.db.execute('create table nothing (a int4)')
    const count = await test.db.withConnection((connection) =>
      connection.copyFrom(sql`copy nothing from stdin (format binary)`, createCopyEncoder(['int4']).finish()),
    )
    expect(count).toBe(0)
  })

  it('refuses what is not canonical instead of writing something else', () => {
    const encoder = createCopyEncoder(['uuid', 'numeric', 'date', 'text'])
    const good = ['00000000-0000-0000-0000-000000000000', '1', '2026-01-01', '']
    for (const [i, bad] of [
      [0, 'no'],
      [1, '1e5'],
      [1, ''],
      [2, '2026-1-1'],
      [3, 5],
    ] as const) {
      expect(() => encoder.addRow(good.with(i, bad as string))).toThrow(TypeError)
      encoder.reset()
    }
  })
})
