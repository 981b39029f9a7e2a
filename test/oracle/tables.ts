import fc from 'fast-check'
import { hypertable, type StoredDefinition, t, table } from '../../src/schema/index.ts'

/**
 * The tables of the oracle: every column type, every kind of table, small domains so that keys collide and times tie.
 * A feature that needs another kind of table adds it here, with a domain below.
 */

/** A row as it is given to insert: any form that insert takes. */
export type InputRow = Readonly<Record<string, unknown>>

const keyed = hypertable('oracle.keyed', {
  columns: {
    time: t.timestamptz(),
    tag: t.text(),
    num: t.int4(),
    value: t.float8().nullable(),
    price: t.numeric().nullable(),
    state: t.text().default('new'),
    source: t.text().defaultSql(`'sql'::text`),
    properties: t.jsonb().nullable(),
    mark: t.text().nullable(),
  },
  time: 'time',
  primaryKey: ['tag', 'time'],
  orderBy: ['tag', 'time'],
  chunk: '1 day',
  changeCell: '1 hour',
  maxChunks: 11,
  indexes: [['num', '-time']],
})

const events = hypertable('oracle.events', {
  columns: {
    time: t.timestamptz(),
    tag: t.text(),
    num: t.int4(),
    device: t.uuid().nullable(),
    ok: t.bool().nullable(),
    small: t.int2().nullable(),
    big: t.int8().nullable(),
    single: t.float4().nullable(),
    value: t.float8().nullable(),
    price: t.numeric().nullable(),
    fee: t.numeric(12, 2).nullable(),
    day: t.date().nullable(),
    seen: t.timestamptz().nullable(),
    properties: t.jsonb().nullable(),
    labels: t.textArray().nullable(),
    mark: t.text().nullable(),
  },
  time: 'time',
  orderBy: ['tag', 'time'],
  chunk: '6 hours',
  changeCell: '15 minutes',
  maxChunks: 24,
})

const ledger = hypertable('oracle.ledger', {
  columns: {
    time: t.timestamptz(),
    tag: t.text(),
    num: t.int4(),
    amount: t.numeric(30, 6).nullable(),
    mark: t.text().nullable(),
  },
  time: 'time',
  primaryKey: ['tag', 'num', 'time'],
  chunk: '12 hours',
  appendOnly: true,
  maxChunks: 10,
})

const usage = hypertable('oracle.usage', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    tag: t.text(),
    num: t.int4(),
    value: t.float8().nullable(),
    properties: t.jsonb().nullable(),
    mark: t.text().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  primaryKey: ['tenant', 'tag', 'time'],
  orderBy: ['tag', 'time'],
  chunk: '1 month',
  changeCell: '1 day',
  maxChunks: 9,
})

const settings = table('oracle.settings', {
  columns: {
    tag: t.text(),
    version: t.numeric(),
    num: t.int4(),
    value: t.float8().nullable(),
    mark: t.text().nullable(),
  },
  primaryKey: ['tag', 'version'],
})

export const oracleTables: readonly StoredDefinition[] = [keyed, events, ledger, usage, settings]
/** The same, where one merges late rows: for a world that follows them (steps/late-rows.ts). */
export const mergingTables: readonly StoredDefinition[] = oracleTables.map((definition) =>
  definition === ledger ? Object.freeze({ ...ledger, late: 'merge' as const }) : definition,
)
export const tableNames: readonly string[] = oracleTables.map(({ name }) => name)
export const hypertableNames: readonly string[] = oracleTables
  .filter(({ kind }) => kind === 'hypertable')
  .map(({ name }) => name)
/** Tables whose rows can be changed. */
export const changeableNames: readonly string[] = oracleTables
  .filter(({ appendOnly }) => !appendOnly)
  .map(({ name }) => name)

/** JSON paths that queries use. */
export const jsonPaths: Readonly<Record<string, readonly string[]>> = {
  'oracle.keyed': ['properties.plan', 'properties.score'],
  'oracle.events': ['properties.plan', 'properties.score', 'properties.deep.list.1'],
  'oracle.usage': ['properties.plan'],
}

const micros = { hour: 3_600_000_000n, day: 86_400_000_000n }

/** 2026-03-28T00:00Z: Berlin's clocks go forward in the night after. */
export const firstDay = 1_774_656_000_000_000n
/** What "now" is for every engine of the oracle: 2026-03-29T12:00Z. */
export const oracleNow = firstDay + micros.day + 12n * micros.hour

/** Beyond 1685 and 2255 a time in µs is no exact double; each of these needs a chunk of its own. */
const farTimes = [
  -11_676_096_000_000_000n, // 1600-01-01
  946_684_799_999_999n, // 1999-12-31T23:59:59.999999Z
  978_307_200_000_000n, // 2001-01-01
  2_000_000_000_000_000n, // 2033-05-18
  10_413_792_000_000_000n, // 2300-01-01
] as const

const aroundBorders = (step: bigint, count: number): fc.Arbitrary<bigint> =>
  fc
    .tuple(fc.integer({ min: 0, max: count }), fc.constantFrom(-1n, 0n, 0n, 1n))
    .map(([i, shift]) => firstDay + BigInt(i) * step + shift)

/** Times of three days, most of them on a grid, many at the borders of chunks and cells. */
const nearTime: fc.Arbitrary<bigint> = fc.oneof(
  { weight: 4, arbitrary: aroundBorders(6n * micros.hour, 12) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 72 }).map((h) => firstDay + BigInt(h) * micros.hour) },
  { weight: 3, arbitrary: fc.bigInt({ min: firstDay, max: firstDay + 3n * micros.day }) },
)

/** Months around, for the table with chunks of a month. */
const monthTime: fc.Arbitrary<bigint> = fc.oneof(
  nearTime,
  fc
    .tuple(fc.integer({ min: -2, max: 2 }), fc.constantFrom(-1n, 0n, 1n))
    .map(([months, shift]) => BigInt(Date.UTC(2026, 3 + months, 1)) * 1000n + shift),
)

export const farTime: fc.Arbitrary<bigint> = fc.constantFrom(...farTimes)

/** The forms in which a time may be given. */
function timeForm(time: fc.Arbitrary<bigint>): fc.Arbitrary<unknown> {
  return fc.tuple(time, fc.nat(5)).map(([instant, form]) => {
    const millis = instant / 1000n
    if (form === 0 && instant % 1000n === 0n) return new Date(Number(millis))
    if (form === 1 && instant > 0n) {
      const seconds = instant / 1_000_000n
      const fraction = (instant % 1_000_000n).toString().padStart(6, '0')
      return `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${fraction}Z`
    }
    return instant
  })
}

const tags = ['', 'a', 'A', 'a%b', "o'clock", 'é', '\u{1F600}', 'a\\b', '"q", z\n'] as const
const some = <T>(values: readonly T[], freq = 4): fc.Arbitrary<T | null> =>
  fc.option(fc.constantFrom(...values), { freq, nil: null })
/** Left out of the row altogether once in a while. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { freq: 5, nil: undefined })

const documents: readonly unknown[] = [
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
  0,
  false,
]
const float8 = fc.oneof(
  fc.double({ min: -1000, max: 1000, noNaN: true }),
  fc.constantFrom(0, -0, 1.5, Number.NaN, Infinity, -Infinity, 1e308, 5e-324),
)

const domains: Readonly<Record<string, Readonly<Record<string, fc.Arbitrary<unknown>>>>> = {
  'oracle.keyed': {
    tag: fc.constantFrom(...tags.slice(0, 5)),
    num: fc.integer({ min: -3, max: 9 }),
    value: fc.option(float8, { nil: null }),
    price: some(['0', '1.0', '1.00', '-0.00', '0.1', '123456789012345678901234567890.123456789', 'NaN']),
    state: maybe(fc.constantFrom('new', 'old', '')),
    source: maybe(fc.constantFrom('api', 'sql')),
    properties: some(documents),
  },
  'oracle.events': {
    tag: fc.constantFrom(...tags),
    num: fc.oneof(fc.integer({ min: -3, max: 9 }), fc.constantFrom(2_147_483_647, -2_147_483_648)),
    device: maybe(
      some([
        '00000000-0000-0000-0000-000000000000',
        'A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11',
        'ffffffff-ffff-ffff-ffff-ffffffffffff',
      ]),
    ),
    ok: some([true, false]),
    small: some([0, 1, -32_768, 32_767]),
    big: fc.option(
      fc.constantFrom(0, 7n, '-1', 9007199254740993n, 9223372036854775807n, -9223372036854775808n),
      { nil: null },
    ),
    single: some([0, -0, 0.5, -0.25, 3.25, Number.NaN, Infinity, 'NaN']),
    value: fc.option(float8, { nil: null }),
    price: fc.option(fc.constantFrom(1, 1.5, 10n, '1.10', '-7', '0.000001', 'Infinity', '-Infinity'), {
      nil: null,
    }),
    fee: some(['0.10', '12.50', '-3.00', '12.5', 3, '9999999999.99']),
    day: some(['2026-03-28', '2026-03-29', '1969-12-31', '2000-02-29', 'infinity', '-infinity']),
    seen: some([firstDay, firstDay + 1n, '1999-12-31T23:59:59.999999Z', 'infinity', '-infinity']),
    properties: some(documents),
    labels: some<readonly (string | null)[]>([
      [],
      ['a'],
      ['a', 'b'],
      ['b', null],
      ['', '\u{1F600}', 'x"y,z'],
    ]),
  },
  'oracle.ledger': {
    tag: fc.constantFrom(...tags.slice(0, 4)),
    num: fc.integer({ min: 0, max: 20 }),
    amount: some(['0.10', '12.500000', '-3', '999999999999999999999999.999999']),
  },
  'oracle.usage': {
    tenant: fc.constantFrom('acme', 'globex', ''),
    tag: fc.constantFrom(...tags.slice(0, 3)),
    num: fc.integer({ min: -3, max: 9 }),
    value: fc.option(float8, { nil: null }),
    properties: some(documents.slice(0, 5)),
  },
  'oracle.settings': {
    tag: fc.constantFrom(...tags.slice(0, 5)),
    version: fc.constantFrom('1', '1.0', '1.00', 2, '-0.5', '1e2', 'NaN'),
    num: fc.integer({ min: -3, max: 9 }),
    value: fc.option(float8, { nil: null }),
  },
}

/** Values of columns that migrations add on the fly; a row that has none of them is as common. */
export const addedColumns = { extra1: 'x', extra2: '', extra3: 'é' } as const

const isTimed = (name: string): boolean => hypertableNames.includes(name)

/** A time of the table's domain, now and then far away. */
export function timeArbitrary(name: string): fc.Arbitrary<bigint> {
  return name === 'oracle.usage' ? monthTime : nearTime
}

/** A row that fits the table. `mark` is left to the steps that need to find their rows again. */
export function rowArbitrary(name: string, time = timeArbitrary(name)): fc.Arbitrary<InputRow> {
  return fc
    .record({ ...(isTimed(name) ? { time: timeForm(time) } : {}), ...domains[name] })
    .map((row) => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== undefined)))
}

/** Rows of one call, now and then some of them far away. */
export function rowsArbitrary(
  name: string,
  length: { readonly minLength?: number; readonly maxLength: number },
): fc.Arbitrary<readonly InputRow[]> {
  const near = fc.array(rowArbitrary(name), { minLength: 1, size: 'max', ...length })
  if (!isTimed(name)) return near
  const far = fc.array(rowArbitrary(name, farTime), { maxLength: 3 })
  return fc.oneof(
    { weight: 8, arbitrary: near },
    { weight: 1, arbitrary: fc.tuple(near, far).map(([rows, more]) => [...rows, ...more]) },
  )
}

/** New values of an update by column; keys and the time among them. */
export function setArbitrary(name: string): fc.Arbitrary<InputRow> {
  const fields: Readonly<Record<string, fc.Arbitrary<unknown>>> = isTimed(name)
    ? { ...domains[name], time: timeArbitrary(name) }
    : { ...domains[name] }
  return fc
    .uniqueArray(fc.constantFrom(...Object.keys(fields)), { minLength: 1, maxLength: 2 })
    .chain((names) => fc.record(Object.fromEntries(names.map((column) => [column, fields[column]!]))))
    .map((set) => {
      const given = Object.entries(set).filter(([, value]) => value !== undefined)
      return given.length > 0 ? Object.fromEntries(given) : { num: 1 }
    })
}

/** Rows that values of random filters and ranges are taken from. */
export function poolOf(name: string): readonly InputRow[] {
  const far = isTimed(name) ? fc.sample(rowArbitrary(name, farTime), { seed: 1, numRuns: 4 }) : []
  return [...fc.sample(rowArbitrary(name), { seed: 1, numRuns: 80 }), ...far]
}
