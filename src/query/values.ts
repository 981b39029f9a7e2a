import { compareText, type ResultType } from '../aggregate/index.ts'
import { unreachable } from '../util/unreachable.ts'

/**
 * Values inside the query engine, by type: how they compare, when two are the same group. Their forms are those of
 * tier.ts (`KeyValue`, `RowValue`) and of the algebra (`FinishedValue`).
 */

/** PostgreSQL's order of floats: NaN is equal to itself and above everything; -0 is 0. */
export function compareNumbers(a: number, b: number): number {
  if (a < b) return -1
  if (a > b) return 1
  if (a === b) return 0
  const aNaN = Number.isNaN(a)
  return aNaN === Number.isNaN(b) ? 0 : aNaN ? 1 : -1
}

interface Decimal {
  readonly negative: boolean
  /** Without leading zeros; empty for zero. */
  readonly whole: string
  /** Without trailing zeros. */
  readonly fraction: string
}

const decimalPattern = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/

/** Null for text that is no decimal number. NaN and infinities are not decimals. */
export function parseDecimal(text: string): Decimal | null {
  const match = decimalPattern.exec(text)
  if (!match || (match[2] === '' && (match[3] ?? '') === '')) return null
  let whole = match[2] as string
  let fraction = match[3] ?? ''
  const exponent = Number(match[4] ?? 0)
  if (Math.abs(exponent) > 20_000) return null
  if (exponent > 0) {
    const moved = fraction.padEnd(exponent, '0')
    whole += moved.slice(0, exponent)
    fraction = moved.slice(exponent)
  } else if (exponent < 0) {
    const moved = whole.padStart(-exponent, '0')
    fraction = moved.slice(moved.length + exponent) + fraction
    whole = moved.slice(0, moved.length + exponent)
  }
  whole = whole.replace(/^0+/, '')
  fraction = fraction.replace(/0+$/, '')
  return { negative: match[1] === '-' && (whole !== '' || fraction !== ''), whole, fraction }
}

/** One text for each number: `1.0`, `1.00` and `+01` are `1`; `-0` is `0`. NaN and infinities as PostgreSQL says. */
export function canonicalNumeric(text: string): string {
  const decimal = parseDecimal(text)
  if (!decimal) return text
  const fraction = decimal.fraction === '' ? '' : `.${decimal.fraction}`
  return `${decimal.negative ? '-' : ''}${decimal.whole === '' ? '0' : decimal.whole}${fraction}`
}

function specialRank(text: string): number {
  return text === 'NaN' ? 2 : text === 'Infinity' ? 1 : text === '-Infinity' ? -1 : 0
}

/** PostgreSQL's order of numeric: -Infinity, numbers, Infinity, NaN. */
function compareNumeric(a: string, b: string): number {
  const specialA = specialRank(a)
  const specialB = specialRank(b)
  if (specialA !== 0 || specialB !== 0) return Math.sign(specialA - specialB)
  const x = parseDecimal(a)
  const y = parseDecimal(b)
  if (!x || !y) return compareText(a, b)
  if (x.negative !== y.negative) return x.negative ? -1 : 1
  const sign = x.negative ? -1 : 1
  if (x.whole.length !== y.whole.length) return x.whole.length < y.whole.length ? -sign : sign
  if (x.whole !== y.whole) return x.whole < y.whole ? -sign : sign
  if (x.fraction === y.fraction) return 0
  // Without trailing zeros digit text compares as fractions do.
  return x.fraction < y.fraction ? -sign : sign
}

function compareDates(a: string, b: string): number {
  const rank = (text: string): number => (text === 'infinity' ? 1 : text === '-infinity' ? -1 : 0)
  const x = rank(a)
  const y = rank(b)
  if (x !== 0 || y !== 0) return Math.sign(x - y)
  const xBefore = a.endsWith('BC')
  if (xBefore !== b.endsWith('BC')) return xBefore ? -1 : 1
  const length = Math.max(a.length, b.length)
  const order = compareText(a.padStart(length, '0'), b.padStart(length, '0'))
  // Years before Christ count downwards; month and day do not.
  if (xBefore && a.slice(0, -9) !== b.slice(0, -9)) return -order
  return order
}

/** Order of two values of one type, neither of them null. Used for `order`, `having` and merging; as PostgreSQL's. */
export function compareValues(type: ResultType, a: unknown, b: unknown): number {
  switch (type) {
    case 'numeric':
      return compareNumeric(String(a), String(b))
    case 'date':
      return compareDates(a as string, b as string)
    case 'text':
    case 'uuid':
      return compareText(a as string, b as string)
    case 'int2':
    case 'int4':
    case 'float4':
    case 'float8':
    case 'count':
      return compareNumbers(a as number, b as number)
    case 'int8':
    case 'timestamptz':
      return (a as bigint) < (b as bigint) ? -1 : (a as bigint) > (b as bigint) ? 1 : 0
    case 'bool':
      return Number(a) - Number(b)
    case 'text[]':
      return compareLists(a as readonly (string | null)[], b as readonly (string | null)[])
    case 'histogram':
    case 'percentiles':
    case 'topK':
    case 'jsonb':
      // parse.ts lets neither be compared, ordered by or grouped by.
      return unreachable(`${type} has no order`)
  }
}

/** Element by element, null after every value, the shorter list first: as PostgreSQL compares arrays. */
function compareLists(a: readonly (string | null)[], b: readonly (string | null)[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const x = a[i] ?? null
    const y = b[i] ?? null
    const order = x === null || y === null ? Number(x === null) - Number(y === null) : compareText(x, y)
    if (order !== 0) return order
  }
  return a.length - b.length
}

/** Nulls last in both directions: an empty average is never the top of a list. */
export function compareNullable(type: ResultType, a: unknown, b: unknown, descending: boolean): number {
  if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1
  const order = compareValues(type, a, b)
  return descending ? -order : order
}

/**
 * The form of a group key that stands for all equal ones: numeric without needless zeros (or with the declared
 * scale), 0 for -0. The others have one form already.
 */
export function canonicalKey(type: ResultType, value: unknown, scale: number | null): unknown {
  if (value === null) return null
  if (typeof value === 'number') return value === 0 ? 0 : value
  if (type === 'numeric') {
    const text = canonicalNumeric(String(value))
    if (scale === null || scale <= 0 || specialRank(text) !== 0) return text
    const dot = text.indexOf('.')
    const digits = dot < 0 ? 0 : text.length - dot - 1
    return digits >= scale ? text : `${dot < 0 ? `${text}.` : text}${'0'.repeat(scale - digits)}`
  }
  return value
}

/**
 * A text that is equal for equal canonical values of one type and different for different ones, and does not run into
 * its neighbours when several are joined.
 */
export function keyText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `${value.length}:${value}`
    case 'number':
    case 'bigint':
      return `${value};`
    case 'boolean':
      return value ? 't' : 'f'
    default:
      if (value === null) return 'n'
      return `[${(value as readonly (string | null)[]).map(keyText).join('')}]`
  }
}
