import type { Answer } from '../query/index.ts'
import { TidemarkClientError } from './errors.ts'

const maxSafe = BigInt(Number.MAX_SAFE_INTEGER)

/** A bigint is a number where a double holds it, else text; NaN and the infinities are PostgreSQL's words. */
function toJsonScalar(value: unknown): unknown {
  if (typeof value === 'bigint') return value <= maxSafe && value >= -maxSafe ? Number(value) : `${value}`
  if (typeof value === 'number' && !Number.isFinite(value)) return `${value}`
  return value
}

/**
 * A row as a line of NDJSON.
 *
 * @throws TidemarkClientError TM_VALUE
 */
export function encodeRow(row: object, index: number): string {
  const encoded: Record<string, unknown> = {}
  for (const [column, value] of Object.entries(row)) {
    if (typeof value === 'object') checkDocument(value, `row ${index}, column "${column}"`)
    // JSON would write an invalid date as null
    if (value instanceof Date && Number.isNaN(value.getTime())) {
      throw new TidemarkClientError('TM_VALUE', `row ${index}, column "${column}": the Date is invalid`)
    }
    encoded[column] = toJsonScalar(value)
  }
  return JSON.stringify(encoded)
}

/** JSON would change these values without a word. */
function checkDocument(value: unknown, where: string): void {
  let unfit: number | null = null
  try {
    JSON.stringify(value, (_key, inner) => {
      if (typeof inner === 'number' && !Number.isFinite(inner)) unfit ??= inner
      return inner
    })
  } catch (error) {
    throw new TidemarkClientError('TM_VALUE', `${where}: ${(error as Error).message}`, { cause: error })
  }
  if (unfit !== null) throw new TidemarkClientError('TM_VALUE', `${where}: ${unfit} is no JSON`)
}

export function encodeQuery(query: object): string {
  return JSON.stringify(query, (_key, value) => toJsonScalar(value))
}

/** The values of an answer as the library gives them: int8 is a bigint, NaN and the infinities are numbers. */
export function decodeAnswer(answer: Answer): Answer {
  decodeRows(answer.rows as object[], answer.columns)
  return answer
}

/** The same for rows of such columns, in place. */
export function decodeRows(
  rows: readonly object[],
  columns: readonly { readonly name: string; readonly type: string }[],
): void {
  const decoders = columns.flatMap(({ name, type }) => {
    const decode = type === 'int8' ? toBigInt : isFloat(type) ? toNumber : null
    return decode ? [{ name, decode }] : []
  })
  if (decoders.length === 0) return
  for (const row of rows as readonly Record<string, unknown>[]) {
    for (const { name, decode } of decoders) row[name] = decode(row[name])
  }
}

function isFloat(type: string): boolean {
  return type === 'float8' || type === 'float4' || type === 'percentiles'
}

function toBigInt(value: unknown): unknown {
  return typeof value === 'number' || typeof value === 'string' ? BigInt(value) : value
}

function toNumber(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toNumber)
  return typeof value === 'string' ? Number(value) : value
}
