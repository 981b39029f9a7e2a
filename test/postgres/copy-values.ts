import fc from 'fast-check'
import type { CopyType } from '../../src/postgres/index.ts'

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
export const copyValues: Readonly<Record<CopyType, fc.Arbitrary<unknown>>> = {
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
  bytea: fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constant(new Uint8Array(5000).fill(7))),
}
export const copyTypes = Object.keys(copyValues) as CopyType[]

/** The form in which COPY takes it. */
export function toCopy(type: CopyType, value: unknown): unknown {
  return type === 'jsonb' && value !== null ? JSON.stringify(value) : value
}
