/**
 * What a parse tree is here: plain JSON. A node is an object with one key that names its kind, `{ ColumnRef: { … } }`;
 * below an operation of sets the two statements are without it.
 */
export type Node = { [key: string]: unknown }

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function listOf(value: unknown): Node[] {
  return Array.isArray(value) ? value.filter(isNode) : []
}

/** The fields of a node of that kind, otherwise null. */
export function as(kind: string, value: unknown): Node | null {
  if (!isNode(value)) return null
  const fields = value[kind]
  return isNode(fields) ? fields : null
}

/** The texts of a list of names: a column's, a function's. */
export function namesOf(list: unknown): string[] {
  return listOf(list).flatMap((entry) => {
    const text = as('String', entry)?.['sval']
    return typeof text === 'string' ? [text] : []
  })
}

/** The last name of a called function in lower case (as PostgreSQL folded it), or null. */
export function calledName(value: unknown): string | null {
  const call = as('FuncCall', value)
  return call === null ? null : (namesOf(call['funcname']).at(-1) ?? null)
}

/** Equal in meaning: where they stand in the text does not count, and an unqualified column is the qualified one. */
export function sameTree(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((entry, i) => sameTree(entry, b[i]))
  if (!isNode(a) || !isNode(b)) return a === b
  const [left, right] = [columnOf(a), columnOf(b)]
  if (left !== null && right !== null) {
    const shorter = Math.min(left.length, right.length)
    return left.slice(-shorter).join('\0') === right.slice(-shorter).join('\0')
  }
  const keys = new Set([...Object.keys(a), ...Object.keys(b)])
  for (const place of places) keys.delete(place)
  return [...keys].every((key) => sameTree(a[key], b[key]))
}

/** The names of a column, qualified or not; null for `*` and what is no column. */
export function columnOf(value: unknown): string[] | null {
  const fields = as('ColumnRef', value)?.['fields']
  const names = namesOf(fields)
  return names.length > 0 && names.length === listOf(fields).length ? names : null
}

const places = [
  'location',
  'stmt_location',
  'stmt_len',
  'list_start',
  'list_end',
  'rexpr_list_start',
  'rexpr_list_end',
]

/** A copy in which `change` has replaced nodes from above; what it gives is not looked into. */
export function mapTree(value: unknown, change: (node: Node) => Node | null): unknown {
  if (Array.isArray(value)) return value.map((entry) => mapTree(entry, change))
  if (!isNode(value)) return value
  const changed = change(value)
  if (changed !== null) return changed
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, mapTree(entry, change)]))
}

/** Every node of one query level: subqueries are left out. */
export function* levelOf(value: unknown): Generator<Node> {
  if (Array.isArray(value)) for (const entry of value) yield* levelOf(entry)
  if (!isNode(value)) return
  yield value
  for (const [key, entry] of Object.entries(value))
    if (key !== 'SelectStmt' && key !== 'subselect') yield* levelOf(entry)
}

export function columnRef(...names: readonly string[]): Node {
  return { ColumnRef: { fields: names.map((sval) => ({ String: { sval } })) } }
}

/** The name that PostgreSQL gives to an output without AS. */
export function outputName(value: unknown): string {
  return figureName(value) ?? '?column?'
}

function figureName(value: unknown): string | null {
  const column = as('ColumnRef', value)
  if (column) return namesOf(column['fields']).at(-1) ?? null
  const called = calledName(value)
  if (called !== null) return called
  const cast = as('TypeCast', value)
  if (cast) {
    const type = isNode(cast['typeName']) ? namesOf(cast['typeName']['names']).at(-1) : undefined
    return figureName(cast['arg']) ?? type ?? null
  }
  if (as('CaseExpr', value)) return figureName(as('CaseExpr', value)?.['defresult']) ?? 'case'
  if (as('CoalesceExpr', value)) return 'coalesce'
  const minMax = as('MinMaxExpr', value)
  if (minMax) return minMax['op'] === 'IS_LEAST' ? 'least' : 'greatest'
  if (as('A_ArrayExpr', value)) return 'array'
  if (as('RowExpr', value)) return 'row'
  const link = as('SubLink', value)
  if (link?.['subLinkType'] === 'EXISTS_SUBLINK') return 'exists'
  if (link?.['subLinkType'] === 'ARRAY_SUBLINK') return 'array'
  if (link?.['subLinkType'] === 'EXPR_SUBLINK') {
    const target = as('ResTarget', listOf(as('SelectStmt', link['subselect'])?.['targetList'])[0])
    return typeof target?.['name'] === 'string' ? target['name'] : figureName(target?.['val'])
  }
  return null
}
