import type { ColumnType, DatasetDefinition } from '../../src/schema/index.ts'
import { naiveInstant, naiveIso } from './naive-time.ts'

/** A row with one form per type: time bigint µs, int8 bigint, numeric text, JSON parsed, absent null. */
export type NaiveRow = Readonly<Record<string, unknown>>

/** Type of a value in the oracle: a column's, or JSON inside of a path. */
export type NaiveType = ColumnType | 'count' | 'histogram' | 'percentiles' | 'topK'

export function normalValue(type: ColumnType, value: unknown): unknown {
  if (value === null || value === undefined) return null
  switch (type) {
    case 'timestamptz':
      return naiveInstant(value)
    case 'int8':
      return BigInt(value as string)
    case 'numeric':
      return plainDecimal(String(value))
    case 'float4':
      return Math.fround(Number(value))
    case 'int2':
    case 'int4':
    case 'float8':
      return Number(value)
    case 'uuid':
      return String(value).toLowerCase()
    default:
      return value
  }
}

/** Without an exponent, as PostgreSQL keeps it. */
function plainDecimal(text: string): string {
  const decimal = /e/i.test(text) ? decimalOf(text) : null
  if (!decimal) return text
  const digits = (decimal.units < 0n ? -decimal.units : decimal.units)
    .toString()
    .padStart(decimal.scale + 1, '0')
  const whole = digits.slice(0, digits.length - decimal.scale)
  return `${decimal.units < 0n ? '-' : ''}${whole}${decimal.scale > 0 ? `.${digits.slice(-decimal.scale)}` : ''}`
}

export function normalRow(dataset: DatasetDefinition, row: Readonly<Record<string, unknown>>): NaiveRow {
  return Object.fromEntries(
    Object.entries(dataset.columns).map(([name, { type }]) => [name, normalValue(type, row[name])]),
  )
}

export function outputValue(type: NaiveType, value: unknown): unknown {
  if (type === 'timestamptz' && value !== null) return naiveIso(value as bigint)
  return value
}

/** What a path inside of a JSON value leads to; null when it leads nowhere. */
export function jsonAt(value: unknown, path: readonly string[]): unknown {
  let at: unknown = value
  for (const key of path) {
    if (Array.isArray(at) && /^-?\d+$/.test(key)) at = at.at(Number(key))
    else if (typeof at === 'object' && at !== null && !Array.isArray(at) && Object.hasOwn(at, key))
      at = (at as Record<string, unknown>)[key]
    else return null
  }
  return at ?? null
}

/** The text that PostgreSQL's `#>>` gives. Null stays null. */
export function jsonText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  return typeof value === 'string' ? value : jsonSource(value)
}

/** jsonb as PostgreSQL writes it: spaces after colon and comma, shorter keys first. */
export function jsonSource(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonSource).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const keys = Object.keys(value).sort((a, b) => {
    const [x, y] = [Buffer.from(a), Buffer.from(b)]
    return x.length - y.length || Buffer.compare(x, y)
  })
  const parts = keys.map(
    (key) => `${JSON.stringify(key)}: ${jsonSource((value as Record<string, unknown>)[key])}`,
  )
  return `{${parts.join(', ')}}`
}

/** A finite decimal as an exact fraction of a power of ten. */
export function decimalOf(text: string): { readonly units: bigint; readonly scale: number } | null {
  const match = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d+))?$/.exec(text)
  if (!match) return null
  const units = BigInt(`${match[2]}${match[3]}` || '0') * (match[1] === '-' ? -1n : 1n)
  const scale = (match[3] as string).length - Number(match[4] ?? 0)
  return scale < 0 ? { units: units * 10n ** BigInt(-scale), scale: 0 } : { units, scale }
}

function compareDecimals(a: string, b: string): number {
  const rank = (text: string): number =>
    ['-Infinity', '', 'Infinity', 'NaN'].indexOf(decimalOf(text) ? '' : text)
  if (rank(a) !== 1 || rank(b) !== 1) return rank(a) - rank(b)
  const [x, y] = [decimalOf(a)!, decimalOf(b)!]
  const difference = x.units * 10n ** BigInt(y.scale) - y.units * 10n ** BigInt(x.scale)
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

function compareFloats(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b))
  return a < b ? -1 : a > b ? 1 : 0
}

/** PostgreSQL's order of two values of a type that are not null; text by its bytes. */
export function compareTyped(type: NaiveType, a: unknown, b: unknown): number {
  switch (type) {
    case 'text':
    case 'uuid':
      return Buffer.compare(Buffer.from(a as string), Buffer.from(b as string))
    case 'numeric':
      return compareDecimals(String(a), String(b))
    case 'float4':
    case 'float8':
    case 'int2':
    case 'int4':
    case 'count':
      return compareFloats(a as number, b as number)
    case 'date': {
      const day = (text: string): number =>
        text === 'infinity' ? Infinity : text === '-infinity' ? -Infinity : Date.parse(`${text}T00:00:00Z`)
      return compareFloats(day(a as string), day(b as string))
    }
    case 'text[]': {
      const [x, y] = [a as (string | null)[], b as (string | null)[]]
      for (let i = 0; i < Math.min(x.length, y.length); i++) {
        const order = compareNulls(x[i], y[i], () => compareTyped('text', x[i], y[i]))
        if (order !== 0) return order
      }
      return x.length - y.length
    }
    default:
      return (a as bigint) < (b as bigint) ? -1 : (a as bigint) > (b as bigint) ? 1 : 0
  }
}

/** Nulls after everything. */
export function compareNulls(a: unknown, b: unknown, compare: () => number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null)
  return compare()
}

/** Equal values of a type have equal texts. */
export function groupText(type: NaiveType, value: unknown): string {
  if (value === null) return 'null'
  if (type === 'numeric') {
    const decimal = decimalOf(String(value))
    if (!decimal) return `"${String(value)}"`
    let { units, scale } = decimal
    while (scale > 0 && units % 10n === 0n) {
      units /= 10n
      scale--
    }
    return `${units}e-${scale}`
  }
  if (typeof value === 'number') return String(value === 0 ? 0 : value)
  if (typeof value === 'bigint') return value.toString()
  return JSON.stringify(value)
}
