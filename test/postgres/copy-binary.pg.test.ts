import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCopyEncoder, RowSlots, slotHow } from '../../src/postgres/index.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { toCopy, copyTypes as types, copyValues as values } from './copy-values.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
})
afterAll(() => test.drop())

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

  it('gives an instant the same bytes as a number and as a bigint, to the ends of safe integers', () => {
    const safe = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER })
    const early = fc.constantFrom(Number.MIN_SAFE_INTEGER, -8060514454740993, -8060514454740995, -1, 0)
    fc.assert(
      fc.property(fc.oneof(safe, early), (micros) => {
        const [asNumber, asSlot, asBigint] = [1, 2, 3].map(() => createCopyEncoder(['timestamptz']))
        const slots = new RowSlots(1)
        slots.how[0] = slotHow.number
        slots.numbers[0] = micros
        asNumber!.addRow([micros])
        asSlot!.addSlots(slots)
        asBigint!.addRow([BigInt(micros)])
        const bytes = Buffer.concat(asBigint!.finish())
        expect(Buffer.concat(asNumber!.finish())).toEqual(bytes)
        expect(Buffer.concat(asSlot!.finish())).toEqual(bytes)
      }),
    )
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
