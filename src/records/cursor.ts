import { createHash } from 'node:crypto'
import { canonicalFilter, type FilterNode } from '../query/index.ts'
import { type CanonicalValue, ValueProblem } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ListOrder } from './order.ts'
import type { RecordTable } from './record-table.ts'

/** Where a list goes on: behind the row with these values of what it is ordered by. */
export interface ListPosition {
  readonly values: readonly CanonicalValue[]
  /** The range of the first page, as ISO text; null ends are open. Lists of hypertables alone. */
  readonly range: readonly [string | null, string | null] | null
}

const version = 1
/** Far above what can be in an index, far below what is a burden. */
const maxLength = 100_000

/** What a cursor belongs to. The caller's tenant is no part of it: his own condition holds on every page anyway. */
function bindingOf({ definition }: RecordTable, order: ListOrder, where: FilterNode | null): string {
  const terms = order.map(({ column, type, descending }) => [column, type, descending])
  return digest(JSON.stringify([definition.name, terms, canonicalFilter(where)]))
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}

/** base64url of versioned JSON with a digest, bound to table, order and filter. */
export function encodePosition(
  table: RecordTable,
  order: ListOrder,
  where: FilterNode | null,
  { values, range }: ListPosition,
): string {
  const texts = values.map((value) =>
    typeof value === 'number' || typeof value === 'bigint'
      ? Object.is(value, -0)
        ? '-0'
        : String(value)
      : value,
  )
  const body = [version, bindingOf(table, order, where), texts, range]
  return Buffer.from(JSON.stringify([...body, digest(JSON.stringify(body))])).toString('base64url')
}

/** It comes from outside and its digest is no secret: everything in it is checked. @throws TidemarkError TM_QUERY */
export function decodePosition(
  table: RecordTable,
  order: ListOrder,
  where: FilterNode | null,
  text: string,
): ListPosition {
  const refuse = (problem: string): never => {
    throw new TidemarkError('TM_QUERY', { path: 'cursor', problem })
  }
  const broken = (): never => refuse('it is not a cursor of an earlier answer, or was changed')
  if (text.length > maxLength || !/^[A-Za-z0-9_-]+$/.test(text)) return broken()
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    // text that is not JSON is as wrong as JSON that is no cursor
    return broken()
  }
  if (!Array.isArray(parsed) || parsed.length !== 5) return broken()
  const body = parsed.slice(0, -1)
  if (parsed.at(-1) !== digest(JSON.stringify(body)) || body[0] !== version) return broken()
  const [, binding, texts, range] = body as readonly unknown[]
  if (binding !== bindingOf(table, order, where))
    return refuse('it belongs to a list of another table, sort or filter')
  if (!Array.isArray(texts) || texts.length !== order.length || !isRange(range)) return broken()
  const values = order.map((term, i): CanonicalValue => {
    const given = texts[i] as unknown
    if (given === null) return term.nullable ? null : broken()
    const read = table.coercers[term.index]!(fromText(term.type, given))
    return read instanceof ValueProblem ? broken() : read
  })
  return { values, range }
}

function fromText(type: string, given: unknown): unknown {
  if (typeof given !== 'string') return given
  switch (type) {
    case 'int2':
    case 'int4':
      return /^-?\d{1,10}$/.test(given) ? Number(given) : given
    case 'float4':
    case 'float8':
      return /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(given) ? Number(given) : given
    case 'timestamptz':
      return /^-?\d{1,19}$/.test(given) ? BigInt(given) : given
    default:
      return given
  }
}

function isRange(range: unknown): range is ListPosition['range'] {
  if (range === null) return true
  return (
    Array.isArray(range) &&
    range.length === 2 &&
    range.every((end) => end === null || (typeof end === 'string' && /^[-+\d][-+:.\dTZ]{1,40}$/.test(end)))
  )
}
