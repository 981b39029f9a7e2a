import { dayOfText, textOfDay } from '../time/index.ts'
import { raw, type Sql, sql } from '../util/sql.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'
import type { FinishedValue, InputType, InputValue } from './contract.ts'
import { compareDecimals, trimDecimal } from './decimal.ts'

/**
 * A value in the one form that equal values share: -0 is 0, numeric without trailing zeros, uuid in lower case, int8 and
 * timestamptz bigint, date as days since 1970 (infinity is 2147483647, -infinity -2147483648, as PostgreSQL keeps them).
 */
export type CanonicalValue = string | number | bigint | boolean

/** What the algebra has to know about an input type. */
interface ValueType {
  canonical(value: InputValue): CanonicalValue
  /** PostgreSQL's order (text in COLLATE "C"); NaN is greatest and equals itself. */
  compare(a: CanonicalValue, b: CanonicalValue): number
  /** The text whose UTF-8 bytes are hashed and counted by uniques and countDistinct. */
  text(value: CanonicalValue): string
  fromText(text: string): CanonicalValue
  write(writer: ByteWriter, value: CanonicalValue): void
  read(reader: ByteReader): CanonicalValue
  present(value: CanonicalValue): FinishedValue
  /** An expression with the type's order, for min, max, first and last; and the type of that expression. */
  ordered(value: Sql): Sql
  readonly orderedType: string
  /** The same as `text`, of a value that `ordered` gave. */
  textSql(ordered: Sql): Sql
}

const compareNumbers = (a: CanonicalValue, b: CanonicalValue): number => {
  const x = a as number
  const y = b as number
  if (x < y) return -1
  if (x > y) return 1
  if (x === y) return 0
  return Number(Number.isNaN(x)) - Number(Number.isNaN(y))
}

const compareBigints = (a: CanonicalValue, b: CanonicalValue): number => (a < b ? -1 : a > b ? 1 : 0)

/**
 * Order of the UTF-8 bytes, which is the order of code points. UTF-16 units differ from it in one thing: surrogates
 * (code points from U+10000 on) lie below U+E000 to U+FFFF.
 */
export function compareText(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i += 1) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return fixup(x) - fixup(y)
  }
  return a.length - b.length
}

function fixup(unit: number): number {
  if (unit < 0xd800) return unit
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}

const bits = new DataView(new ArrayBuffer(8))

function doubleBits(value: number): string {
  if (Number.isNaN(value)) return '9221120237041090560'
  bits.setFloat64(0, value)
  return bits.getBigInt64(0).toString()
}

const float: ValueType = {
  canonical: (value) => Number(value) + 0,
  compare: compareNumbers,
  text: (value) => doubleBits(value as number),
  fromText: (text) => {
    bits.setBigInt64(0, BigInt(text))
    return bits.getFloat64(0)
  },
  write: (writer, value) => void writer.double(value as number),
  read: (reader) => reader.double(),
  present: (value) => value as number,
  ordered: (value) => sql`(${value})::float8`,
  orderedType: 'float8',
  // adding zero makes -0 the zero; a NaN may carry any payload
  textSql: (value) =>
    sql`case when ${value} = 'NaN'::float8 then '9221120237041090560' else ('x' || encode(float8send(${value} + 0e0::float8), 'hex'))::bit(64)::int8::text end`,
}

const smallInteger: ValueType = {
  canonical: (value) => Number(value),
  compare: compareNumbers,
  text: String,
  fromText: Number,
  write: (writer, value) => void writer.integer(BigInt(value as number)),
  read: (reader) => Number(reader.integer()),
  present: (value) => value as number,
  ordered: (value) => sql`(${value})`,
  orderedType: 'int4',
  textSql: (value) => sql`${value}::text`,
}

const bigInteger: ValueType = {
  canonical: (value) => BigInt(value as bigint),
  compare: compareBigints,
  text: String,
  fromText: BigInt,
  write: (writer, value) => void writer.integer(value as bigint),
  read: (reader) => reader.integer(),
  present: (value) => value as bigint,
  ordered: (value) => sql`(${value})`,
  orderedType: 'int8',
  textSql: (value) => sql`${value}::text`,
}

const text: ValueType = {
  canonical: (value) => value as string,
  compare: (a, b) => compareText(a as string, b as string),
  text: (value) => value as string,
  fromText: (value) => value,
  write: (writer, value) => void writer.text(value as string),
  read: (reader) => reader.text(),
  present: (value) => value as string,
  ordered: (value) => sql`((${value}) collate "C")`,
  orderedType: 'text',
  textSql: (value) => value,
}

const types: Record<Exclude<InputType, 'text[]'>, ValueType> = {
  bool: {
    canonical: (value) => value as boolean,
    compare: (a, b) => Number(a) - Number(b),
    text: String,
    fromText: (value) => value === 'true',
    write: (writer, value) => void writer.byte(value ? 1 : 0),
    read: (reader) => reader.byte() === 1,
    present: (value) => value,
    ordered: (value) => sql`(${value})`,
    orderedType: 'bool',
    textSql: (value) => sql`${value}::text`,
  },
  int2: { ...smallInteger, orderedType: 'int2' },
  int4: smallInteger,
  int8: bigInteger,
  float4: float,
  float8: float,
  'json-number': float,
  numeric: {
    canonical: (value) => trimDecimal(String(value)),
    compare: (a, b) => compareDecimals(a as string, b as string),
    text: (value) => value as string,
    fromText: (value) => value,
    write: (writer, value) => void writer.text(value as string),
    read: (reader) => reader.text(),
    present: (value) => value as string,
    ordered: (value) => sql`(${value})`,
    orderedType: 'numeric',
    textSql: (value) => sql`trim_scale(${value})::text`,
  },
  text,
  'json-text': text,
  uuid: {
    ...text,
    canonical: (value) => (value as string).toLowerCase(),
    textSql: (value) => sql`${value}::text`,
    ordered: (value) => sql`(${value})`,
    orderedType: 'uuid',
  },
  date: {
    ...smallInteger,
    canonical: (value) => (typeof value === 'number' ? value : dayOfText(value as string)),
    present: (value) => textOfDay(value as number),
    orderedType: 'date',
    textSql: (value) =>
      sql`case when isfinite(${value}) then (${value} - date '1970-01-01')::text when ${value} > date '1970-01-01' then '2147483647' else '-2147483648' end`,
  },
  timestamptz: {
    ...bigInteger,
    orderedType: 'timestamptz',
    // extract gives numeric: exact to the microsecond over the whole range
    textSql: (value) =>
      sql`case when isfinite(${value}) then (extract(epoch from ${value}) * 1000000)::int8::text when ${value} > timestamptz 'epoch' then '9223372036854775807' else '-9223372036854775808' end`,
  },
}

/** Types with one order; everything but text[]. */
export type OrderedType = keyof typeof types

export function valueType(input: InputType): ValueType {
  return types[input as OrderedType]
}

const numbers: ReadonlySet<InputType> = new Set([
  'int2',
  'int4',
  'int8',
  'float4',
  'float8',
  'numeric',
  'json-number',
])

export function isNumeric(input: InputType): boolean {
  return numbers.has(input)
}

export function isFloat(input: InputType): boolean {
  return input === 'float4' || input === 'float8' || input === 'json-number'
}

/** Numerics nearer to zero than this are zero as float8: PostgreSQL refuses to convert what underflows. */
const tiny = `0.${'0'.repeat(319)}1`

/**
 * The nearest double. A numeric beyond the range is ±Infinity, one within 1e-320 of zero is zero; `float8Sql` gives the
 * same.
 */
export function toFloat8(input: InputType, value: InputValue): number {
  const double = Number(value)
  if (input !== 'numeric' || double === 0 || !(Math.abs(double) < 2e-320)) return double
  const magnitude = trimDecimal(String(value)).replace('-', '')
  return compareDecimals(magnitude, tiny) < 0 ? 0 : double
}

/** From this on a decimal is nearest to no double but infinity: 2^1024 - 2^970. */
const overflow = (2n ** 1024n - 2n ** 970n).toString()

export function float8Sql(input: InputType, value: Sql): Sql {
  if (input === 'float8' || input === 'json-number') return sql`(${value})`
  if (input !== 'numeric') return sql`(${value})::float8`
  const number = sql`(${value})`
  // the first line is the common path; NaN and infinities convert as they are
  return sql`(case
    when ${number} between 1e-300 and 1e300 then ${number}::float8
    when ${number} > '-1e-320'::numeric and ${number} < '1e-320'::numeric then 0e0::float8
    when ${number} >= ${raw(overflow)}::numeric and ${number} < 'Infinity'::numeric then 'Infinity'::float8
    when ${number} <= -${raw(overflow)}::numeric and ${number} > '-Infinity'::numeric then '-Infinity'::float8
    else ${number}::float8 end)`
}
