import fc from 'fast-check'
import type { InputType } from '../../src/aggregate/index.ts'
import type { ValueText } from './harness.ts'

/** Values of each type as PostgreSQL's text, with everything that is awkward about the type. */
const doubles = fc.oneof(
  { weight: 4, arbitrary: fc.double() },
  { weight: 3, arbitrary: fc.double({ min: -1000, max: 1000, noNaN: true }) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      0,
      -0,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      5e-324,
      2.2250738585072014e-308,
      1.7976931348623157e308,
      -1.7976931348623157e308,
      1e308,
      2 ** 53,
    ),
  },
)
const doubleText = doubles.map((x) => (Object.is(x, -0) ? '-0' : String(x)))
const singleText = doubles.map((x) => {
  const single = Math.fround(x)
  return Object.is(single, -0) ? '-0' : String(single)
})
const finiteDecimal = fc
  .tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: 0, max: 12 }))
  .map(([unscaled, scale]) => {
    const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
    const text = scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`
    return unscaled < 0n ? `-${text}` : text
  })
const decimals = fc.oneof(
  { weight: 6, arbitrary: finiteDecimal },
  {
    weight: 3,
    arbitrary: fc
      .integer({ min: -500, max: 500 })
      .map((x) => (x / 100).toFixed(2).replace(/^-0\.00$/, '0.00')),
  },
  { weight: 1, arbitrary: fc.constantFrom('NaN', 'Infinity', '-Infinity', '0.000', `1${'0'.repeat(310)}`) },
)
const texts = fc.oneof(
  fc.constantFrom('', 'a', 'A', 'ä', 'Z', '\u{1f600}', '\uffee', '\ue000', 'a\u0301', ' ', 'ab'),
  fc.string({ unit: 'binary', maxLength: 6 }).map((x) => x.replaceAll('\0', '')),
)

export const arbitraryText: Record<Exclude<InputType, 'text[]'>, fc.Arbitrary<string>> = {
  bool: fc.boolean().map(String),
  int2: fc.integer({ min: -32768, max: 32767 }).map(String),
  int4: fc.integer().map(String),
  int8: fc
    .oneof(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.bigInt({ min: -50n, max: 50n }),
      fc.constantFrom(2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n),
    )
    .map(String),
  float4: singleText,
  float8: doubleText,
  'json-number': fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  numeric: decimals,
  text: texts,
  'json-text': texts,
  uuid: fc.uuid(),
  date: fc.oneof(
    fc.integer({ min: 1, max: 9999 }).map((year) => `${String(year).padStart(4, '0')}-02-28`),
    fc.constantFrom('infinity', '-infinity', '0044-03-15 BC', '10000-01-01', '1970-01-01', '2024-02-29'),
  ),
  timestamptz: fc
    .oneof(
      fc.bigInt({ min: -(10n ** 16n), max: 10n ** 17n }),
      fc.bigInt({ min: -5n, max: 5n }),
      fc.constantFrom(2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n + 1n, 2n ** 53n),
    )
    .map(String),
}

export interface Row {
  readonly value: ValueText
  readonly time: string
}

/** Rows whose times often collide and sometimes lie where a double has no microseconds. */
export function arbitraryRows(input: InputType, maxLength: number): fc.Arbitrary<Row[]> {
  const value = arbitraryText[input as Exclude<InputType, 'text[]'>]
  const time = fc.oneof(
    fc.bigInt({ min: 0n, max: 3n }),
    fc.bigInt({ min: 2n ** 53n - 2n, max: 2n ** 53n + 3n }),
    fc.bigInt({ min: -(10n ** 15n), max: 10n ** 16n }),
  )
  return fc.array(fc.record({ value: fc.option(value, { nil: null, freq: 8 }), time: time.map(String) }), {
    maxLength,
  })
}
