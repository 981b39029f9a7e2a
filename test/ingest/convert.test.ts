import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createConvert } from '../../src/ingest/convert.ts'
import { type ConvertContext, refused } from '../../src/ingest/convert-context.ts'
import { ExactNumber, parseExactJson, toJsonText } from '../../src/ingest/exact-json.ts'
import { describeNotes } from '../../src/ingest/index.ts'
import { toFloat } from '../../src/ingest/read-number.ts'
import { TimeReader } from '../../src/ingest/time-format.ts'
import type { ColumnDefinition, ColumnType } from '../../src/schema/index.ts'
import { resolveZone } from '../../src/time/index.ts'

function convertOf(
  type: ColumnType,
  column: Partial<ColumnDefinition> = {},
  nullWords: readonly string[] | null = null,
): { convert: (value: unknown) => unknown; context: ConvertContext } {
  const context: ConvertContext = {
    reason: 'type',
    message: '',
    notes: { nullWords: {}, wholeFractions: 0, scientific: 0, longFractions: 0, truncated: 0 },
  }
  const definition: ColumnDefinition = {
    type,
    nullable: true,
    default: null,
    precision: null,
    scale: null,
    comment: null,
    ...column,
  }
  const time = new TimeReader('iso', resolveZone('UTC'))
  const convert = createConvert(definition, { nullWords, time }, context)
  return {
    context,
    convert: (value) => {
      const result = convert(value)
      return result === refused ? context.reason : result
    },
  }
}

describe('values', () => {
  it.each<[ColumnType, unknown, unknown]>([
    ['int4', '13085', 13085],
    ['int4', '-0', 0],
    ['int4', '+7', 7],
    ['int4', ' 7 ', 7],
    ['int4', '13085.0', 13085],
    ['int4', '1e3', 1000],
    ['int4', '1.5', 'type'],
    ['int4', '1,000', 'type'],
    ['int4', '0x10', 'type'],
    ['int4', '2147483648', 'range'],
    ['int4', '-2147483648', -2147483648],
    ['int4', '1e30', 'range'],
    ['int4', 'NaN', 'type'],
    ['int2', '32768', 'range'],
    ['int8', '9223372036854775807', 9223372036854775807n],
    ['int8', '9223372036854775808', 'range'],
    ['int8', '-9223372036854775808.00', -9223372036854775808n],
    ['int8', 12, 12n],
    ['int8', 12n, 12n],
    ['int4', 12n, 12],
    ['int4', 1.5, 'type'],
    ['float8', '35171.486304850056', 35171.486304850056],
    ['float8', '6.8e-7', 6.8e-7],
    ['float8', '.5', 0.5],
    ['float8', '5.', 5],
    ['float8', '-0', -0],
    ['float8', 'NaN', Number.NaN],
    ['float8', '-Infinity', Number.NEGATIVE_INFINITY],
    ['float8', '1.2.3', 'type'],
    ['float8', '-', null],
    ['float8', '--', 'type'],
    ['float8', '1e', 'type'],
    ['float8', '0x1f', 'type'],
    ['float8', '1 2', 'type'],
    ['float4', '1e39', 'range'],
    ['float4', '0.1', Math.fround(0.1)],
    ['numeric', '6.8e-7', '0.00000068'],
    ['numeric', '1e3', '1000'],
    ['numeric', 'abc', 'type'],
    ['numeric', 0.1, '0.1'],
    ['bool', 'False', false],
    ['bool', 'YES', true],
    ['bool', '1', true],
    ['bool', '2', 'type'],
    ['bool', true, true],
    ['date', '2026-01-31', '2026-01-31'],
    ['date', '2026-02-29', 'time'],
    ['date', '2026-01-31T00:00:00Z', '2026-01-31'],
    ['date', '2026-01-31 01:00', 'type'],
    ['uuid', '52B5CC12-f16d-45f3-b30c-95ab4ae904ee', '52b5cc12-f16d-45f3-b30c-95ab4ae904ee'],
    ['uuid', '52b5cc12', 'type'],
    ['text', ' a ', ' a '],
    ['text', 'NA', 'NA'],
    ['text', 'a\0b', 'nul'],
    ['text', 5, '5'],
    ['text', true, 'true'],
    ['text', '\ud800', 'encoding'],
    ['jsonb', '{"a": [1, 2.50]}', '{"a":[1,2.5]}'],
    ['jsonb', '{"a": ', 'type'],
    ['jsonb', { a: { b: null } }, '{"a":{"b":null}}'],
    ['jsonb', '"\\u0000"', 'nul'],
    ['jsonb', '"\\\\u0000"', '"\\\\u0000"'],
    ['jsonb', { a: '\ud800' }, 'encoding'],
    ['text[]', '["a", null, 1]', ['a', null, '1']],
    ['text[]', '{a,"b,c",NULL,"\\"x\\""}', ['a', 'b,c', null, '"x"']],
    ['text[]', '{}', []],
    ['text[]', 'a,b', 'type'],
    ['text[]', ['a', 'b'], ['a', 'b']],
    ['timestamptz', '2026-01-01T00:00:00Z', 1767225600000000n],
    ['timestamptz', 'null', null],
  ])('%s from %o is %o', (type, value, expected) => {
    expect(convertOf(type).convert(value)).toEqual(expected)
  })

  it('a numeric that does not fit its declared digits is refused, not rounded', () => {
    const { convert } = convertOf('numeric', { precision: 6, scale: 2 })
    expect(convert('1234.5')).toBe('1234.50')
    expect(convert('1234.567')).toBe('range')
    expect(convert('12345')).toBe('range')
  })

  it.each(['NA', 'N/A', 'null', 'NULL', 'None', '-', '\\N'])(
    '%s is null in a column that is not text, and counted',
    (word) => {
      const { convert, context } = convertOf('int4')
      expect(convert(word)).toBeNull()
      expect(convert(word)).toBeNull()
      expect(context.notes.nullWords).toEqual({ [word]: 2 })
    },
  )

  it('words that the user gives hold for every column, and are the only ones', () => {
    const text = convertOf('text', {}, ['None', '-999'])
    expect(text.convert('None')).toBeNull()
    expect(text.convert('NA')).toBe('NA')
    const int = convertOf('int4', {}, ['None', '-999'])
    expect(int.convert('-999')).toBeNull()
    expect(int.convert('NA')).toBe('type')
    expect(int.context.notes.nullWords).toEqual({ '-999': 1 })
  })

  it('an empty field is null, and an empty text where a text column takes no null', () => {
    expect(convertOf('text').convert('')).toBeNull()
    expect(convertOf('int4').convert('')).toBeNull()
    expect(convertOf('int4').convert('  ')).toBeNull()
    expect(convertOf('text', { nullable: false }).convert('')).toBe('')
  })

  it('says how often whole numbers had a fraction and numbers an exponent', () => {
    const int = convertOf('int4')
    for (const text of ['1', '2.0', '3.00', '4']) int.convert(text)
    expect(int.context.notes.wholeFractions).toBe(2)
    const numeric = convertOf('numeric')
    for (const text of ['1', '2e-5', '3.5']) numeric.convert(text)
    expect(numeric.context.notes.scientific).toBe(1)
  })

  it('the fast way to a double gives what Number gives, bit for bit', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.integer({ min: 0, max: 20 }), (value, digits) => {
        for (const text of [String(value), value.toFixed(digits), value.toPrecision(digits + 1)])
          expect(Object.is(toFloat(text), Number(text))).toBe(true)
      }),
    )
    for (const text of ['', '.', '-', '+', 'e5', '1e5e', ' 1', '١']) expect(toFloat(text)).toBeNull()
  })
})

describe('what was done to values', () => {
  it('is said in sentences', () => {
    expect(
      describeNotes({
        customer: {
          nullWords: { '-': 5432, NA: 1 },
          wholeFractions: 417534,
          scientific: 2,
          longFractions: 0,
          truncated: 0,
        },
        time: { nullWords: {}, wholeFractions: 0, scientific: 0, longFractions: 8819, truncated: 3 },
      }),
    ).toEqual([
      'customer: "-" was read as null 5,432 times',
      'customer: "NA" was read as null once',
      'customer: 417,534 whole numbers were written with a fraction of zeros or an exponent',
      'customer: 2 numbers in scientific notation were written out',
      'time: 8,819 times were cut to the microsecond, 3 of them lost digits other than zero',
    ])
  })
})

describe('exact JSON', () => {
  it('keeps numbers that a double would change', () => {
    const text = '{"id":9007199254740993,"price":0.12345678901234567891,"small":5,"text":"9007199254740993"}'
    const value = parseExactJson(text) as Record<string, unknown>
    expect(value['id']).toEqual(new ExactNumber('9007199254740993'))
    expect(value['small']).toBe(5)
    expect(value['text']).toBe('9007199254740993')
    expect(toJsonText(value)).toBe(text)
    expect(convertOf('int8').convert(value['id'])).toBe(9007199254740993n)
    expect(convertOf('numeric').convert(value['price'])).toBe('0.12345678901234567891')
    expect(convertOf('text').convert(value['id'])).toBe('9007199254740993')
  })

  it('takes and refuses what JSON.parse takes and refuses', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(JSON.parse(toJsonText(parseExactJson(text)))).toEqual(JSON.parse(text))
      }),
    )
    for (const text of ['{"a":01234567890123456789}', '[1234567890123456.]', '{"a":12345678901234567890'])
      expect(() => parseExactJson(text)).toThrow()
  })
})
