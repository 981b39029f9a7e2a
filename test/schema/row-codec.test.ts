import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  createCoercer,
  createRowCodec,
  dayOfDate,
  hypertable,
  outputOf,
  t,
  table,
  ValueProblem,
} from '../../src/schema/index.ts'
import { formatInstant, infinityInstant, parseInstant } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

const all = hypertable('metrics.all', {
  columns: {
    time: t.timestamptz(),
    other: t.timestamptz().nullable(),
    day: t.date().nullable(),
    text: t.text().nullable(),
    id: t.uuid().nullable(),
    ok: t.bool().nullable(),
    i2: t.int2().nullable(),
    i4: t.int4().nullable(),
    i8: t.int8().nullable(),
    f4: t.float4().nullable(),
    f8: t.float8().nullable(),
    n: t.numeric().nullable(),
    price: t.numeric(6, 2).nullable(),
    j: t.jsonb().nullable(),
    words: t.textArray().nullable(),
  },
  time: 'time',
})
const codec = createRowCodec(all)
const time = '2026-01-01T00:00:00Z'
/** The canonical value of one column, or what is wrong with it. */
const of = (column: string, value: unknown): unknown => {
  const row = { time, [column]: value }
  const values = codec.encode(row)
  const problems = codec.problems(row)
  if (values === null) {
    expect(problems.map((p) => p.column)).toEqual([column])
    return problems[0]?.problem
  }
  expect(problems).toEqual([])
  return values[codec.columns.indexOf(column)]
}

describe('values are taken in their forms and kept in one', () => {
  const micros = 1_767_225_600_000_000n
  test.each<[string, unknown, unknown]>([
    ['time', time, micros],
    ['time', '2026-01-01 01:00:00.000001+01', micros + 1n],
    ['time', new Date(time), micros],
    ['time', micros, micros],
    ['other', 'infinity', infinityInstant],
    ['other', '-infinity', -infinityInstant - 1n],
    ['day', '2024-02-29', '2024-02-29'],
    ['day', 'infinity', 'infinity'],
    ['day', '0044-03-15 BC', '0044-03-15 BC'],
    ['day', '12345-01-01', '12345-01-01'],
    ['text', '', ''],
    ['text', 'é😀', 'é😀'],
    ['id', '123E4567-E89B-12D3-A456-426614174000', '123e4567-e89b-12d3-a456-426614174000'],
    ['ok', false, false],
    ['i2', -32_768, -32_768],
    ['i4', 2_147_483_647, 2_147_483_647],
    ['i4', -0, 0],
    ['i8', 5, 5n],
    ['i8', '-9223372036854775808', -(2n ** 63n)],
    ['i8', '+7', 7n],
    ['i8', 2n ** 63n - 1n, 2n ** 63n - 1n],
    ['f4', 0.1, Math.fround(0.1)],
    ['f4', Number.NaN, Number.NaN],
    ['f4', Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
    ['f8', -0, -0],
    ['f8', 'NaN', Number.NaN],
    ['f8', '-Infinity', Number.NEGATIVE_INFINITY],
    ['n', 1.5, '1.5'],
    ['n', 10n ** 30n, '1000000000000000000000000000000'],
    ['n', '0012.3400', '12.3400'],
    ['n', '-0.00', '0.00'],
    ['n', '.5', '0.5'],
    ['n', '5.', '5'],
    ['n', '1.5e3', '1500'],
    ['n', '-1.5E-3', '-0.0015'],
    ['n', 1e21, '1000000000000000000000'],
    ['n', 1e-7, '0.0000001'],
    ['n', 'nan', 'NaN'],
    ['n', Number.NEGATIVE_INFINITY, '-Infinity'],
    ['price', 9999.99, '9999.99'],
    ['price', '1.500', '1.50'],
    ['price', 'NaN', 'NaN'],
    ['j', { a: [1, 'x', null, true], b: {} }, '{"a":[1,"x",null,true],"b":{}}'],
    ['j', 'text', '"text"'],
    ['j', 0, '0'],
    ['j', Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    ['words', [], []],
    ['words', ['a', null, ''], ['a', null, '']],
  ])('%s takes %o', (column, value, canonical) => {
    expect(of(column, value)).toEqual(canonical)
  })
})

describe('what does not fit is refused with the reason', () => {
  const cyclic: Record<string, unknown> = {}
  cyclic['self'] = cyclic
  test.each<[string, unknown, RegExp]>([
    ['time', '2026-01-01T00:00:00', /no zone/],
    ['time', 'yesterday', /is not a time/],
    ['time', 'infinity', /not a finite time/],
    ['time', infinityInstant, /outside/],
    ['time', '4714-11-24 00:30:00Z BC', /outside of the years 4713 BC/],
    ['time', '+287600-01-01T00:00:00Z', /outside of the years 4713 BC/],
    ['time', new Date(Number.NaN), /invalid Date/],
    ['time', 1_767_225_600_000, /must be a Date/],
    ['time', '2026-01-01T00:00:00.1234567Z', /7 fractional digits/],
    ['time', null, /must not be null/],
    ['day', '2026-02-29', /no day of the calendar/],
    ['day', '2026-1-1', /must be a date/],
    ['day', '0000-01-01', /no day of the calendar/],
    ['day', '9999999-01-01', /outside of date/],
    ['day', new Date(), /must be a date/],
    ['text', 5, /must be a text/],
    ['text', 'a\0b', /NUL/],
    ['text', 'a\ud800', /surrogate/],
    ['id', '123', /UUID/],
    ['id', '123e4567e89b12d3a456426614174000', /UUID/],
    ['ok', 1, /true or false/],
    ['ok', 'true', /true or false/],
    ['i2', 32_768, /outside of int2: -32768 to 32767/],
    ['i4', 1.5, /whole number/],
    ['i4', Number.NaN, /whole number/],
    ['i4', '5', /must be a number/],
    ['i4', 5n, /must be a number/],
    ['i8', 2 ** 53, /beyond 2\^53/],
    ['i8', 2n ** 63n, /outside of int8/],
    ['i8', '5.0', /whole number/],
    ['i8', '9'.repeat(41), /whole number/],
    ['i8', true, /must be a bigint/],
    ['f4', 1e39, /outside of float4/],
    ['f4', 1e-50, /too small for float4/],
    ['f8', '1.5', /must be a number/],
    ['f8', 'nan', /must be a number/],
    ['n', '1,5', /decimal number/],
    ['n', '', /decimal number/],
    ['n', '.', /decimal number/],
    ['n', '0x10', /decimal number/],
    ['n', '1e999999', /outside of numeric/],
    ['n', true, /decimal text/],
    ['price', 12_345, /5 digits before the point/],
    ['price', '1.234', /3 digits behind the point/],
    ['price', 'Infinity', /does not fit numeric\(6, 2\)/],
    ['j', { a: undefined }, /holds undefined/],
    ['j', { a: () => 1 }, /holds a function/],
    ['j', [Number.NaN], /holds NaN/],
    ['j', { a: 5n }, /holds a bigint/],
    ['j', { a: new Date() }, /instance of Date/],
    ['j', new Map(), /instance of Map/],
    ['j', { a: 'x\0' }, /NUL/],
    ['j', { '\ud800': 1 }, /a key holds half of a surrogate/],
    // biome-ignore lint/suspicious/noSparseArray: the hole is what is tested
    ['j', [1, , 2], /holds undefined/],
    ['j', Symbol('x'), /holds a symbol/],
    ['j', cyclic, /holds itself/],
    ['words', 'a', /array of texts/],
    ['words', ['a', 5], /element 1 must be a text or null/],
    ['words', ['\0'], /element 0 holds a NUL/],
    // biome-ignore lint/suspicious/noSparseArray: the hole is what is tested
    ['words', ['a', , 'b'], /element 1/],
  ])('%s refuses %o', (column, value, reason) => {
    expect(of(column, value)).toMatch(reason)
  })
})

test('digits and nesting have a limit', () => {
  expect(of('n', '9'.repeat(131_072))).toBe('9'.repeat(131_072))
  expect(of('n', '9'.repeat(131_073))).toMatch(/more digits than numeric keeps/)
  const nested = (depth: number): unknown => JSON.parse('['.repeat(depth) + ']'.repeat(depth))
  expect(of('j', nested(1000))).toBe(JSON.stringify(nested(1000)))
  expect(of('j', nested(1002))).toMatch(/deeper than 1000/)
})

describe('columns that are left out', () => {
  const withDefaults = table('x', {
    columns: {
      a: t.int4(),
      b: t.int8().default(7),
      c: t.jsonb().default({ x: [1] }),
      d: t.timestamptz().defaultSql('now()'),
      e: t.text().nullable(),
      f: t.text().nullable().default('f'),
      constructor: t.text().nullable(),
      valueOf: t.text(),
    },
  })
  const made = createRowCodec(withDefaults)

  test('get their default; what PostgreSQL must evaluate stays undefined', () => {
    expect(made.encode({ a: 1, valueOf: 'v' })).toEqual([1, 7n, '{"x":[1]}', undefined, null, 'f', null, 'v'])
    expect(made.encode({ a: 1, b: undefined, e: undefined, valueOf: 'v' })).toEqual([
      1,
      7n,
      '{"x":[1]}',
      undefined,
      null,
      'f',
      null,
      'v',
    ])
  })
  test('null is not left out: it is null, or refused', () => {
    expect(made.encode({ a: 1, f: null, valueOf: 'v' })?.[5]).toBeNull()
    expect(made.encode({ a: 1, b: null, valueOf: 'v' })).toBeNull()
    expect(made.problems({ a: 1, b: null, valueOf: 'v' })).toEqual([
      { column: 'b', value: 'null', problem: 'must not be null' },
    ])
  })
  test('are missing when nothing stands in for them, also where every object inherits the name', () => {
    expect(made.encode({})).toBeNull()
    expect(made.problems({}).map((p) => p.column)).toEqual(['a', 'valueOf'])
    expect(made.problems({})[0]?.problem).toMatch(/is missing/)
  })
})

test('a column that is not declared is refused, with the name that was probably meant', () => {
  const row = { time, f9: 1 }
  expect(codec.encode(row)).toBeNull()
  expect(codec.problems(row)).toEqual([
    { column: 'f9', value: '1', problem: 'is not a column of metrics.all; did you mean "f4"?' },
  ])
  // as many keys as columns that are there: counting must not be fooled
  expect(codec.encode({ time, text: undefined, unknown: 1 })).toBeNull()
  expect(codec.encode({ time, unknown: undefined })).toBeNull()
})

test('an unknown column is seen beside columns that are not enumerable, in any order of keys', () => {
  class Hidden {
    readonly unknown = 1
    get time(): string {
      return time
    }
  }
  expect(codec.encode(new Hidden())).toBeNull()
  expect(codec.problems(new Hidden()).map((p) => p.column)).toEqual(['unknown'])
  expect(codec.encode({ words: ['a'], time, f8: 1 })).not.toBeNull()
  expect(codec.encode({ words: ['a'], unknown: 1, time, f8: 1 })).toBeNull()
})

test('all problems of a row are named, and a row that is no object is one problem', () => {
  expect(codec.problems({ i2: 1e6, ok: 'x' }).map((p) => p.column)).toEqual(['time', 'ok', 'i2'])
  for (const row of [null, undefined, 5, 'x', [1]]) {
    expect(codec.encode(row as never)).toBeNull()
    expect(codec.problems(row)).toHaveLength(1)
  }
  const [problem] = codec.problems({ time: 'x'.repeat(10_000) })
  expect(problem?.value.length).toBeLessThanOrEqual(60)
  expect(problem?.problem.length).toBeLessThan(300)
})

test('a row that is no object is said to be none, without a column', () => {
  const codec = createRowCodec(table('x', { columns: { a: t.int4() } }))
  for (const [row, shown] of [
    [[1], 'an array'],
    [null, 'null'],
    [7, '7'],
  ]) {
    const [problem] = codec.problems(row)
    expect(new TidemarkError('TM_ROW', { row: 0, ...problem! }).message).toBe(
      `row 0 (${shown as string}): the row is not an object; give one with a value for each column`,
    )
  }
})

test('rows of a class and rows with inherited keys are rows too', () => {
  class Reading {
    readonly time = time
    readonly f8 = 1
    get twice(): number {
      return 2
    }
  }
  expect(codec.encode(new Reading())?.[0]).toBe(parseInstant(time))
  const inherited = Object.create({ f8: 2, other: null }) as Record<string, unknown>
  inherited['time'] = time
  expect(codec.encode(inherited)?.[codec.columns.indexOf('f8')]).toBe(2)
})

test('encode refuses exactly the rows in which problems are found, and never throws', () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.constantFrom(...codec.columns, 'extra'),
        fc.anything({ withBigInt: true, withDate: true }),
      ),
      fc.boolean(),
      (values, hasTime) => {
        const row = hasTime ? { ...values, time } : { ...values }
        expect(codec.encode(row) === null).toBe(codec.problems(row).length > 0)
      },
    ),
    { numRuns: 3000 },
  )
})

test('canonical values are taken again unchanged, and come out in the form for people', () => {
  const row = { time, other: 'infinity', i8: 5, price: 1, j: { a: 1 }, words: ['x'] }
  const values = codec.encode(row) as unknown[]
  const at = (name: string): unknown => values[codec.columns.indexOf(name)]
  expect(outputOf('timestamptz')(at('time'))).toBe(time)
  expect(outputOf('timestamptz')(at('other'))).toBe('infinity')
  expect(outputOf('jsonb')(at('j'))).toEqual({ a: 1 })
  expect(outputOf('jsonb')(null)).toBeNull()
  expect(outputOf('numeric')(at('price'))).toBe('1.00')
  expect(outputOf('int8')(at('i8'))).toBe(5n)
  fc.assert(
    fc.property(
      fc.bigInt({ min: parseInstant('0001-01-01T00:00Z'), max: parseInstant('9999-01-01T00:00Z') }),
      (instant) => {
        const coerce = createCoercer({ type: 'timestamptz', precision: null, scale: null }, { isTime: true })
        expect(coerce(instant)).toBe(instant)
        expect(coerce(formatInstant(instant))).toBe(instant)
      },
    ),
  )
})

test('a coercer without a row says what is wrong the same way', () => {
  const coerce = createCoercer({ type: 'numeric', precision: 4, scale: 1 })
  expect(coerce('12.5')).toBe('12.5')
  expect(coerce('1.25')).toBeInstanceOf(ValueProblem)
})

test('the day number of a date is the calendar one', () => {
  expect(dayOfDate('1970-01-02')).toBe(1)
  expect(dayOfDate('2000-03-01')).toBe(11_017)
  expect(dayOfDate('0001-12-31 BC')).toBe(dayOfDate('0001-01-01')! - 1)
  expect(dayOfDate('infinity')).toBeNull()
})
