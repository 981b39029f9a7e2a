import { createHash } from 'node:crypto'
import type { ColumnType } from '../schema/index.ts'
import {
  type Instant,
  infinityInstant,
  isFiniteInstant,
  minusInfinityInstant,
  type TimeRange,
} from '../time/index.ts'
import { canonicalFilter } from './canonical.ts'
import type { RowsQueryNode } from './nodes.ts'
import { fail } from './problem.ts'
import { type RowOrder, type RowOrderKey, rowOrder } from './row-order.ts'
import { everything, type RowPosition, type RowValue } from './tier.ts'

/** Where a rows query goes on. It names no tier: rows may have moved by then. */
export interface Position {
  /** The range of the first page; null for a table without time. */
  readonly range: TimeRange | null
  readonly after: RowPosition
}

const version = 2

/** Far above what a key can take in an index, far below what is a burden. */
const maxCursorLength = 100_000

/**
 * Short digest of what a cursor belongs to. The range is not part of it: it is kept inside, so that a page asked for
 * "-1 day" a minute later goes on in the range of the first page. All declared columns are, where the digest of the
 * row orders: another column gives every row another place.
 */
function bindingOf(node: RowsQueryNode, order: RowOrder): string {
  const { dataset, direction, columns, where } = node
  const ordered = order.isUnique
    ? order.keys
    : Object.entries(dataset.columns).map(([name, c]) => [name, c.type])
  return digest(JSON.stringify([dataset.name, direction, columns, canonicalFilter(where), ordered]))
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}

/** Opaque text: base64url of versioned JSON with a digest, bound to dataset, direction, columns, filter and order. */
export function encodeCursor(node: RowsQueryNode, position: Position): string {
  const { range, after } = position
  const keys = after.keys.map((key) =>
    typeof key === 'number' || typeof key === 'bigint' ? String(key) : key,
  )
  const binding = bindingOf(node, rowOrder(node.dataset))
  const body = [version, binding, range && [String(range.from), String(range.to)], keys, after.seen]
  return Buffer.from(JSON.stringify([...body, digest(JSON.stringify(body))])).toString('base64url')
}

/** @throws TidemarkError TM_QUERY when the text is no cursor, was changed, or belongs to another query. */
export function decodeCursor(node: RowsQueryNode, text: string): Position {
  const broken = (): never => fail('cursor', 'it is not a cursor of an earlier answer, or was changed')
  if (text.length > maxCursorLength || !/^[A-Za-z0-9_-]+$/.test(text)) return broken()
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    // Text that is not JSON is as wrong as JSON that is no cursor.
    return broken()
  }
  if (!Array.isArray(parsed)) return broken()
  const body = parsed.slice(0, -1)
  const sum: unknown = parsed.at(-1)
  if (typeof body[0] !== 'number' || sum !== digest(JSON.stringify(body))) return broken()
  if (body[0] !== version)
    return fail('cursor', `its version ${String(body[0])} is not ${version}; begin again without a cursor`)
  if (body.length !== 5) return broken()
  const [, binding, range, keys, seen] = body as readonly unknown[]
  const order = rowOrder(node.dataset)
  if (binding !== bindingOf(node, order))
    return fail('cursor', 'it belongs to a query with another dataset, direction, columns or where')
  const after = readPosition(node, order, keys, seen)
  if (after === null) return broken()
  if (node.dataset.kind === 'table') return range === null ? { range, after } : broken()
  if (!isPairOfIntegers(range)) return broken()
  const read = { from: BigInt(range[0]), to: BigInt(range[1]) }
  const isWithin = read.from >= everything.from && read.from < read.to && read.to <= everything.to
  return isWithin ? { range: read, after } : broken()
}

/**
 * The part of the range that rows behind the position can lie in. Direct SQL can write infinity into a time: its row is
 * beyond every instant, and in an open range nevertheless.
 */
export function restOf(node: RowsQueryNode, { range, after }: Position): TimeRange | null {
  if (range === null) return null
  const { from, to } = range
  const time = after.keys[0] as Instant
  // rows of this instant may be to come, unless all of them are behind
  const isPassed = after.keys.length < rowOrder(node.dataset).keys.length
  return node.direction === 'asc'
    ? { from: least(greatest(isPassed ? time + 1n : time, from), isPassed ? to : to - 1n), to }
    : { from, to: greatest(least(isPassed ? time : time + 1n, to), isPassed ? from : from + 1n) }
}

function least(a: Instant, b: Instant): Instant {
  return a < b ? a : b
}

function greatest(a: Instant, b: Instant): Instant {
  return a > b ? a : b
}

/** It comes from outside, and its digest is no secret: everything in it is checked before a tier sees it. */
function readPosition(
  node: RowsQueryNode,
  order: RowOrder,
  keys: unknown,
  seen: unknown,
): RowPosition | null {
  if (!Array.isArray(keys) || !Number.isSafeInteger(seen) || (seen as number) < 0) return null
  const isTimeAlone = node.dataset.kind === 'hypertable' && keys.length === 1
  if (keys.length !== order.keys.length && !isTimeAlone) return null
  const read: RowValue[] = []
  for (const [i, key] of keys.entries()) {
    const value = readKey(order.keys[i] as RowOrderKey, key)
    if (value === null) return null
    read.push(value)
  }
  return { keys: read, seen: seen as number }
}

/** Null for what no column of the type holds. */
function readKey(key: RowOrderKey, value: unknown): RowValue {
  if (key.kind === 'digest') return typeof value === 'string' && /^[0-9a-f]{32}$/.test(value) ? value : null
  if (key.type === 'bool') return typeof value === 'boolean' ? value : null
  if (typeof value !== 'string' || !forms[key.type].test(value)) return null
  switch (key.type) {
    case 'int2':
    case 'int4':
    case 'float4':
    case 'float8':
      return Number(value)
    case 'int8':
      return int8(value)
    case 'timestamptz': {
      const instant = int8(value)
      const isTime = (at: Instant): boolean =>
        isFiniteInstant(at) || at === infinityInstant || at === minusInfinityInstant
      return instant !== null && isTime(instant) ? instant : null
    }
    default:
      return value
  }
}

function int8(text: string): bigint | null {
  const value = BigInt(text)
  return value === BigInt.asIntN(64, value) ? value : null
}

const integer = /^-?\d{1,19}$/
const float = /^(-?\d+(\.\d+)?(e[+-]?\d+)?|NaN|-?Infinity)$/
const anything = /^[^\0]*$/

const forms: Readonly<Record<ColumnType, RegExp>> = {
  timestamptz: integer,
  date: /^(\d{4,7}-\d{2}-\d{2}( BC)?|-?infinity)$/,
  text: anything,
  uuid: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  bool: anything,
  int2: /^-?\d{1,5}$/,
  int4: /^-?\d{1,10}$/,
  int8: integer,
  float4: float,
  float8: float,
  numeric: float,
  jsonb: anything,
  'text[]': anything,
}

function isPairOfIntegers(value: unknown): value is readonly [string, string] {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    value.every((item) => typeof item === 'string' && /^-?\d{1,19}$/.test(item))
  )
}
