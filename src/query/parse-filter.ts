import type { ResultType } from '../aggregate/index.ts'
import { type CoerceContext, coerceText, coerceValue } from './coerce.ts'
import { assertWithin } from './limits.ts'
import type { ColumnRef, CompareOperator, FilterNode } from './nodes.ts'
import { at, fail, isPlainObject, plainObject, show, suggest } from './problem.ts'

/** What a name in a filter stands for: a column of the dataset for `where`, an output of the query for `having`. */
export type ResolveName = (
  name: string,
  path: string,
) => { readonly ref: ColumnRef; readonly type: ResultType }

export interface FilterContext extends CoerceContext {
  readonly resolve: ResolveName
  /** Counts conditions over all filters of one query. */
  readonly budget: { nodes: number }
}

const comparisons = ['eq', 'ne', 'gt', 'gte', 'lt', 'lte'] as const satisfies readonly CompareOperator[]
const operators: readonly string[] = [...comparisons, 'in', 'notIn', 'like', 'ilike', 'contains', 'not']

function spend(context: FilterContext): void {
  context.budget.nodes++
  assertWithin(
    'the number of conditions',
    context.budget.nodes,
    context.limits.maxFilterNodes,
    'ask in parts (the limit is maxFilterNodes)',
  )
}

function all(filters: FilterNode[]): FilterNode {
  return filters.length === 1 ? (filters[0] as FilterNode) : { kind: 'and', filters }
}

/** `{ status: 'ok', latencyMs: { gte: 10 }, $or: [ … ] }`: every entry must be true. Null for an empty filter. */
export function parseFilter(
  input: unknown,
  path: string,
  context: FilterContext,
  depth = 1,
): FilterNode | null {
  const filter = plainObject(input, path, 'a filter such as { status: "ok" }')
  const { maxFilterDepth } = context.limits
  assertWithin(
    `the depth of ${path}`,
    depth,
    maxFilterDepth,
    'nest $and, $or and $not less deeply (the limit is maxFilterDepth)',
  )
  const parts: FilterNode[] = []
  for (const [name, condition] of Object.entries(filter)) {
    if (condition === undefined) continue
    const place = at(path, name)
    if (name === '$and' || name === '$or') {
      parts.push(parseList(name, condition, place, context, depth))
    } else if (name === '$not') {
      spend(context)
      parts.push({
        kind: 'not',
        filter: parseFilter(condition, place, context, depth + 1) ?? { kind: 'and', filters: [] },
      })
    } else if (name.startsWith('$')) {
      fail(place, `there is no "${name}"${suggest(name, ['$and', '$or', '$not'])}`)
    } else {
      const { ref, type } = context.resolve(name, place)
      parts.push(...parseCondition(ref, type, condition, place, context))
    }
  }
  return parts.length === 0 ? null : all(parts)
}

function parseList(
  name: '$and' | '$or',
  input: unknown,
  path: string,
  context: FilterContext,
  depth: number,
): FilterNode {
  if (!Array.isArray(input)) return fail(path, `${show(input)} is not a list of filters`)
  if (input.length === 0) fail(path, 'the list is empty; leave it out, or give it a filter')
  spend(context)
  const filters = input.map(
    (item, i): FilterNode =>
      parseFilter(item, at(path, i), context, depth + 1) ?? { kind: 'and', filters: [] },
  )
  return { kind: name === '$and' ? 'and' : 'or', filters }
}

function parseCondition(
  ref: ColumnRef,
  type: ResultType,
  condition: unknown,
  path: string,
  context: FilterContext,
): FilterNode[] {
  if (condition === null) {
    spend(context)
    return [{ kind: 'isNull', ref }]
  }
  if (Array.isArray(condition)) return fail(path, 'a list is not a value; write { in: [ … ] }')
  if (!isPlainObject(condition)) return [compare(ref, type, 'eq', condition, path, context)]
  const entries = Object.entries(condition).filter(([, value]) => value !== undefined)
  if (entries.length === 0) fail(path, 'the condition is empty')
  return entries.map(([operator, value]) =>
    parseOperator(ref, type, operator, value, at(path, operator), context),
  )
}

function parseOperator(
  ref: ColumnRef,
  type: ResultType,
  operator: string,
  value: unknown,
  path: string,
  context: FilterContext,
): FilterNode {
  if ((comparisons as readonly string[]).includes(operator)) {
    if (value !== null) return compare(ref, type, operator as CompareOperator, value, path, context)
    spend(context)
    const isNull: FilterNode = { kind: 'isNull', ref }
    if (operator === 'eq') return isNull
    if (operator === 'ne') return { kind: 'not', filter: isNull }
    return fail(path, 'null is neither above nor below anything')
  }
  spend(context)
  switch (operator) {
    case 'not':
      return { kind: 'not', filter: all(parseCondition(ref, type, value, path, context)) }
    case 'in':
      return parseIn(ref, type, value, path, context)
    case 'notIn':
      return { kind: 'not', filter: parseIn(ref, type, value, path, context) }
    case 'like':
    case 'ilike':
      return parseLike(ref, type, operator === 'ilike', value, path, context)
    case 'contains':
      if (type !== 'text[]') fail(path, `contains needs a text[] column, and this is ${nameOf(ref, type)}`)
      return { kind: 'contains', ref, value: coerceText(value, path, context) }
    default:
      return fail(path, `there is no operator "${operator}"${suggest(operator, operators)}`)
  }
}

function nameOf(ref: ColumnRef, type: ResultType): string {
  return ref.path.length > 0 ? 'a JSON path' : type
}

function assertComparable(ref: ColumnRef, type: ResultType, path: string): void {
  if (type === 'jsonb' && ref.path.length === 0)
    fail(path, `"${ref.column}" is jsonb; compare a path inside of it, such as "${ref.column}.key", or null`)
}

function compare(
  ref: ColumnRef,
  type: ResultType,
  operator: CompareOperator,
  value: unknown,
  path: string,
  context: FilterContext,
): FilterNode {
  spend(context)
  assertComparable(ref, type, path)
  return { kind: 'compare', ref, operator, value: coerceValue(type, value, path, context) }
}

function parseIn(
  ref: ColumnRef,
  type: ResultType,
  input: unknown,
  path: string,
  context: FilterContext,
): FilterNode {
  if (!Array.isArray(input)) return fail(path, `${show(input)} is not a list of values`)
  const { maxInList } = context.limits
  assertWithin(
    `the number of values in ${path}`,
    input.length,
    maxInList,
    'ask in parts (the limit is maxInList)',
  )
  assertComparable(ref, type, path)
  const values = input.map((item, i) => {
    if (item === null)
      fail(at(path, i), 'null is equal to nothing; write $or: [{ … in … }, { column: null }]')
    return coerceValue(type, item, at(path, i), context)
  })
  return { kind: 'in', ref, values }
}

function parseLike(
  ref: ColumnRef,
  type: ResultType,
  caseInsensitive: boolean,
  input: unknown,
  path: string,
  context: FilterContext,
): FilterNode {
  if (type !== 'text' && type !== 'jsonb')
    fail(path, `patterns need a text column or a JSON path, and this is ${nameOf(ref, type)}`)
  assertComparable(ref, type, path)
  const pattern = coerceText(input, path, context)
  let backslashes = 0
  while (pattern[pattern.length - 1 - backslashes] === '\\') backslashes++
  if (backslashes % 2 === 1) fail(path, 'the pattern ends with a backslash, which has nothing to escape')
  return { kind: 'like', ref, pattern, caseInsensitive }
}
