import type { ColumnType } from '../schema/index.ts'
import { infinityInstant, isFiniteInstant, minusInfinityInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

/** Where a page ended: the order's keys of its last row, and how many rows with these keys have been shown; 0: not one, it begins with them. */
export interface RowCursor {
  /** In the forms that PostgreSQL's answers have (timestamptz and int8 bigint). */
  readonly keys: readonly unknown[]
  readonly seen: number
}

/** Text that is safe in a URL. */
export function encodeCursor(cursor: RowCursor): string {
  const keys = cursor.keys.map((key) => (typeof key === 'object' ? JSON.stringify(key) : String(key)))
  return Buffer.from(JSON.stringify([...keys, cursor.seen])).toString('base64url')
}

/**
 * It comes from outside, so everything in it is checked before it reaches a statement.
 *
 * @throws TidemarkError TM_QUERY when it is none that this order makes.
 */
export function decodeCursor(text: string, keys: readonly { readonly type: ColumnType }[]): RowCursor {
  const problem =
    'is not a cursor of this query; use the one of the answer before, and the same columns and order'
  const refused = () => new TidemarkError('TM_QUERY', { path: 'cursor', problem })
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    throw refused()
  }
  if (!Array.isArray(parts) || parts.length !== keys.length + 1) throw refused()
  const seen: unknown = parts.at(-1)
  if (!Number.isSafeInteger(seen) || (seen as number) < 0) throw refused()
  const values = keys.map(({ type }, i) => {
    const value: unknown = parts[i]
    if (typeof value !== 'string' || !forms[type].test(value)) throw refused()
    const key = readKey(type, value)
    if (key === null) throw refused()
    return key
  })
  return { keys: values, seen: seen as number }
}

/** Null for what no column of the type holds. */
function readKey(type: ColumnType, text: string): unknown {
  if (forms[type] !== integer) return type === 'text[]' ? readList(text) : text
  const value = BigInt(text)
  if (value !== BigInt.asIntN(64, value)) return null
  const isTime = isFiniteInstant(value) || value === infinityInstant || value === minusInfinityInstant
  return type === 'timestamptz' && !isTime ? null : value
}

function readList(text: string): unknown {
  try {
    const list: unknown = JSON.parse(text)
    return Array.isArray(list) && list.every((item) => item === null || typeof item === 'string')
      ? list
      : null
  } catch {
    return null
  }
}

const integer = /^-?\d{1,19}$/
const float = /^(-?\d+(\.\d+)?(e[+-]?\d+)?|NaN|-?Infinity)$/
const anything = /^[^\0]*$/

const forms: Readonly<Record<ColumnType, RegExp>> = {
  timestamptz: integer,
  date: /^(\d{4,7}-\d{2}-\d{2}( BC)?|-?infinity)$/,
  text: anything,
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  bool: /^(true|false)$/,
  int2: integer,
  int4: integer,
  int8: integer,
  float4: float,
  float8: float,
  numeric: float,
  jsonb: anything,
  'text[]': anything,
}
