import { TidemarkError } from '../util/errors.ts'

/** What goes over the wire: text, or bytes in binary form (bytea only). */
export type WireValue = string | Buffer | null

/**
 * The form in which a JavaScript value is sent; the statement casts it (`$1::timestamptz`).
 * null and undefined are NULL; Date is ISO text; an array is a PostgreSQL array, nested ones and nulls included;
 * Uint8Array is bytea; any other object is JSON. A JSON array for a jsonb parameter is given as JSON text, because a
 * JavaScript array always means a PostgreSQL array.
 */
export function encodeParameter(value: unknown): WireValue {
  if (value === null || value === undefined) return null
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  return encodeText(value)
}

function encodeText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value)
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'object':
      if (value instanceof Date) return encodeDate(value)
      if (Array.isArray(value)) return encodeArray(value)
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
      return encodeJson(value)
    default:
      throw refused(`a ${typeof value} cannot be sent to PostgreSQL`)
  }
}

function encodeDate(value: Date): string {
  if (Number.isNaN(value.getTime())) throw refused('an invalid Date cannot be sent to PostgreSQL')
  const year = value.getUTCFullYear()
  if (year >= 0 && year <= 9999 && year !== 0) return value.toISOString()
  // ISO 8601's six-digit and negative years are not PostgreSQL's: year 0 is 1 BC there.
  const rest = value.toISOString().replace(/^[+-]?\d+/, '')
  const shown = String(year > 0 ? year : 1 - year).padStart(4, '0')
  return year > 0 ? shown + rest : `${shown}${rest} BC`
}

/** Joined while it is made: of ten thousand texts a list of them and its `join` take half as long again. */
function encodeArray(values: readonly unknown[]): string {
  let text = '{'
  for (let i = 0; i < values.length; i++) text += (i === 0 ? '' : ',') + encodeItem(values[i])
  return `${text}}`
}

function encodeItem(item: unknown): string {
  if (typeof item === 'string') return quoted(item)
  if (item === null || item === undefined) return 'NULL'
  if (Array.isArray(item)) return encodeArray(item)
  if (typeof item === 'number' || typeof item === 'bigint' || typeof item === 'boolean')
    return encodeText(item)
  return quoted(encodeText(item))
}

/** Few texts have anything to escape, and looking costs less than replacing nothing. */
function quoted(text: string): string {
  const isSafe = !text.includes('"') && !text.includes('\\')
  return isSafe ? `"${text}"` : `"${text.replace(/["\\]/g, '\\$&')}"`
}

function encodeJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch (error) {
    throw refused(`an object cannot be written as JSON: ${(error as Error).message}`)
  }
}

function refused(problem: string): TidemarkError {
  return new TidemarkError('TM_DATABASE', { sqlstate: '22023', problem })
}
