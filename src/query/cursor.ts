import { createHash } from 'node:crypto'
import type { TimeRange } from '../time/index.ts'
import { canonicalFilter } from './canonical.ts'
import type { RowsQueryNode } from './nodes.ts'
import { fail } from './problem.ts'

/** Where a rows query goes on. */
export interface Position {
  /** What is left to read, from the part in which the page before ended; null for a table without time. */
  readonly rest: TimeRange | null
  /** The cursor of the tier that answered that part; null: the rest begins with a fresh part. */
  readonly inner: string | null
}

const version = 1

/**
 * Short digest of what a cursor belongs to. The range is not part of it: it is kept inside, so that a page asked for
 * "-1 day" a minute later goes on in the range of the first page.
 */
function bindingOf(node: RowsQueryNode): string {
  const { dataset, direction, columns, where } = node
  return digest(JSON.stringify([dataset.name, direction, columns, canonicalFilter(where)]))
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 16)
}

/** Opaque text: base64url of versioned JSON with a digest, bound to dataset, direction, columns and filter. */
export function encodeCursor(node: RowsQueryNode, position: Position): string {
  const { rest, inner } = position
  const body = [version, bindingOf(node), rest && [rest.from.toString(), rest.to.toString()], inner]
  return Buffer.from(JSON.stringify([...body, digest(JSON.stringify(body))])).toString('base64url')
}

/** @throws TidemarkError TM_QUERY when the text is no cursor, was changed, or belongs to another query. */
export function decodeCursor(node: RowsQueryNode, text: string): Position {
  const broken = (): never => fail('cursor', 'it is not a cursor of an earlier answer, or was changed')
  if (text.length > 16_384 || !/^[A-Za-z0-9_-]+$/.test(text)) return broken()
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
  } catch {
    // Text that is not JSON is as wrong as JSON that is no cursor.
    return broken()
  }
  if (!Array.isArray(parsed) || parsed.length !== 5) return broken()
  const [found, binding, rest, inner, sum] = parsed as readonly unknown[]
  if (found !== version)
    return fail('cursor', `its version ${String(found)} is not ${version}; begin again without a cursor`)
  if (sum !== digest(JSON.stringify(parsed.slice(0, 4)))) return broken()
  if (binding !== bindingOf(node))
    return fail('cursor', 'it belongs to a query with another dataset, direction, columns or where')
  if (inner !== null && typeof inner !== 'string') return broken()
  const isTable = node.dataset.kind === 'table'
  if (rest === null) return isTable ? { rest, inner } : broken()
  if (isTable || !isPairOfIntegers(rest)) return broken()
  const range = { from: BigInt(rest[0]), to: BigInt(rest[1]) }
  return range.from < range.to ? { rest: range, inner } : broken()
}

function isPairOfIntegers(value: unknown): value is readonly [string, string] {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    value.every((item) => typeof item === 'string' && /^-?\d{1,19}$/.test(item))
  )
}
