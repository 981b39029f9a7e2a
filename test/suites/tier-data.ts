import fc from 'fast-check'
import { hypertable, t, table } from '../../src/schema/index.ts'

/** Every column type, with and without null. Three days in chunks of one day. */
export const everyType = hypertable('suite.every_type', {
  columns: {
    time: t.timestamptz(),
    id: t.int4(),
    tag: t.text(),
    note: t.text().nullable(),
    device: t.uuid().nullable(),
    ok: t.bool().nullable(),
    small: t.int2().nullable(),
    whole: t.int4().nullable(),
    big: t.int8().nullable(),
    single: t.float4().nullable(),
    value: t.float8().nullable(),
    price: t.numeric().nullable(),
    fee: t.numeric(12, 2).nullable(),
    day: t.date().nullable(),
    seen: t.timestamptz().nullable(),
    properties: t.jsonb().nullable(),
    labels: t.textArray().nullable(),
  },
  time: 'time',
  orderBy: ['tag', 'time'],
  chunk: '1 day',
})

/** A table without time. */
export const plainTable = table('suite.plain_table', {
  columns: { id: t.int4(), name: t.text(), weight: t.float8().nullable() },
  primaryKey: ['id'],
})

/** A key of several columns, some of whose orders engines see differently. */
export const keyedTable = hypertable('suite.keyed_table', {
  columns: {
    time: t.timestamptz(),
    tag: t.text(),
    value: t.float8(),
    price: t.numeric(),
    ok: t.bool(),
    n: t.int4(),
  },
  time: 'time',
  primaryKey: ['tag', 'value', 'price', 'ok', 'time'],
  orderBy: ['tag', 'time'],
  chunk: '1 day',
})

/** Few instants, so that the other columns decide; no key twice. */
export function keyedRows(): readonly Row[] {
  const keys = texts.flatMap((tag, i) =>
    [floats[i % floats.length] as number, floats[(i * 5 + 3) % floats.length] as number].flatMap((value) =>
      ['1.50', '-2', 'NaN'].flatMap((price) => [true, false].map((ok) => ({ tag, value, price, ok }))),
    ),
  )
  const rows = keys.map((key, n) => ({ ...key, n, time: start + BigInt((n * 7) % 4) * 12n * hour }))
  const keyOf = ({ tag, value, price, ok, time }: (typeof rows)[number]): string =>
    JSON.stringify([tag, value === 0 ? 0 : String(value), price, ok, String(time)])
  return [...new Map(rows.map((row) => [keyOf(row), row])).values()]
}

/** Many rows of few instants that are the same to the last byte, and some that differ in one. */
export function identicalRows(): readonly Row[] {
  return Array.from({ length: 60 }, (_, i) => ({
    ...nothing,
    time: start + BigInt(i % 3) * hour,
    id: 7,
    tag: 'same',
    value: [1.5, 0, -0, Number.NaN, 1.5][i % 5],
    properties: i % 4 === 0 ? { plan: 'pro', score: 1 } : null,
  }))
}

export const paths = ['properties.plan', 'properties.score', 'properties.deep.list.1'] as const

type Row = Readonly<Record<string, unknown>>

/** 2026-03-28T12:00Z: the last Sunday of March, when Berlin's clocks go forward, lies in the second day. */
export const start = 1_774_699_200_000_000n
const second = 1_000_000n
const hour = 3600n * second

const nothing = {
  note: null,
  device: null,
  ok: null,
  small: null,
  whole: null,
  big: null,
  single: null,
  value: null,
  price: null,
  fee: null,
  day: null,
  seen: null,
  properties: null,
  labels: null,
}

const devices = [
  '00000000-0000-0000-0000-000000000000',
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
] as const

/** Values where engines differ: one of each at least. */
const texts = [
  '',
  'a',
  'A',
  'ab',
  'a%b',
  'a_b',
  'a\\b',
  "o'clock",
  '"q"',
  'é',
  'e\u0301',
  'ÿ',
  '\u{1F600}',
  '\uFFFD',
  'z\n',
  ' a ',
] as const
const floats = [
  0,
  -0,
  1.5,
  -1.5,
  0.1,
  1e308,
  -1e308,
  5e-324,
  Number.NaN,
  Infinity,
  -Infinity,
  2 ** 53 + 2,
  1e-300,
] as const
const numerics = [
  '0',
  '1.0',
  '1.00',
  '-0.00',
  '0.1',
  '123456789012345678901234567890.123456789',
  '-1.5',
  'NaN',
  '1e3',
] as const
const bigs = [0n, 1n, -1n, 9007199254740993n, 9223372036854775807n, -9223372036854775808n] as const
const days = ['2026-03-28', '2026-03-29', '1969-12-31', '2000-02-29', 'infinity', '-infinity'] as const
const documents = [
  {},
  { plan: 'pro', score: 1 },
  { plan: 'free', score: 2.5, deep: { list: ['x', 'y'] } },
  { plan: 7, score: 'high', deep: { list: [1, 2, 3] } },
  { plan: null, score: null },
  { plan: true, score: false, deep: { list: [] } },
  { plan: '', score: -3, deep: { list: [null, { k: 'v' }] } },
  { plan: '\u{1F600}', score: 1e3, 'a.b': { c: 'dotted' } },
  [1, 2],
  'scalar',
  null,
] as const
const labelLists = [[], ['a'], ['a', 'b'], ['b', null], [null], ['', '\u{1F600}'], ['a', 'a']] as const

/** Each edge value at least once, ties of time, rows on both sides of chunk and bucket borders. */
export function fixedRows(): readonly Row[] {
  const rows: Row[] = []
  const count = Math.max(texts.length, floats.length, documents.length) * 2
  for (let i = 0; i < count; i++) {
    const pick = <T>(list: readonly T[]): T => list[i % list.length] as T
    rows.push({
      // Every third row shares its instant with the one before.
      time: start + BigInt(Math.floor((i * 2) / 3)) * 3n * hour,
      id: i,
      tag: pick(texts),
      note: i % 5 === 0 ? null : pick([...texts].reverse()),
      device: i % 4 === 0 ? null : pick(devices),
      ok: pick([true, false, null]),
      small: pick([0, 1, -32_768, 32_767, null]),
      whole: pick([0, -1, 2_147_483_647, -2_147_483_648, 7, null]),
      big: pick([...bigs, null]),
      single: pick([0, -0, 0.5, -0.25, Number.NaN, Infinity, null]),
      value: pick([...floats, null]),
      price: pick([...numerics, null]),
      fee: pick(['0.10', '12.50', '-3.00', '12.5', null]),
      day: pick([...days, null]),
      seen: pick([start, start + 1n, '1999-12-31T23:59:59.999999Z', 'infinity', '-infinity', null]),
      properties: pick(documents),
      labels: pick([...labelLists, null]),
    })
  }
  const borders = [0n, 12n, 36n, 37n].flatMap((h) => [-1n, 0n, 1n].map((micro) => start + h * hour + micro))
  borders.forEach((time, i) => {
    rows.push({ ...nothing, time, id: 1000 + i, tag: 'border' })
  })
  return rows
}

/** Few different values, so that groups, ties and filters meet. */
export function randomRows(seed: number, count: number): readonly Row[] {
  const some = <T>(values: readonly T[], freq = 4): fc.Arbitrary<T | null> =>
    fc.option(fc.constantFrom(...values), { freq, nil: null })
  const row = fc.record({
    time: fc.oneof(
      fc.bigInt({ min: 0n, max: 60n * hour }).map((micros) => start + micros),
      fc.integer({ min: 0, max: 60 }).map((hours) => start + BigInt(hours) * hour),
    ),
    id: fc.nat(50),
    tag: fc.constantFrom(...texts),
    note: some(texts),
    device: some(devices),
    ok: some([true, false]),
    small: some([0, 1, 2, -5]),
    whole: fc.option(fc.integer({ min: -100, max: 100 }), { nil: null }),
    big: fc.option(fc.oneof(fc.constantFrom(...bigs), fc.bigInt({ min: -50n, max: 50n })), { nil: null }),
    single: fc.option(fc.float({ min: -100, max: 100, noNaN: true }), { nil: null }),
    value: fc.option(
      fc.oneof(
        { weight: 8, arbitrary: fc.double({ min: -1000, max: 1000, noNaN: true }) },
        { weight: 1, arbitrary: fc.constantFrom(0, -0, 1.5, Number.NaN, Infinity, -Infinity) },
      ),
      { nil: null },
    ),
    price: some(numerics.filter((text) => text !== 'NaN')),
    fee: some(['0.10', '12.50', '-3.00']),
    day: some(days),
    seen: some([start, start + 1n]),
    properties: some(documents.filter((document) => document !== null) as readonly unknown[]),
    labels: some<readonly (string | null)[]>(labelLists),
  })
  return fc.sample(row, { seed, numRuns: count })
}

export const plainRows: readonly Row[] = [
  { id: 1, name: 'one', weight: 1.5 },
  { id: 3, name: 'three', weight: null },
  { id: 2, name: 'two', weight: -2 },
  { id: 10, name: 'ten', weight: 10 },
]
