import { refuse } from './refuse.ts'
import { as, calledName, isNode, levelOf, listOf, type Node, namesOf, sameTree } from './tree.ts'

/** What a call of time_bucket_gapfill says; null where it says nothing. */
export interface GapfillCall {
  readonly node: Node
  readonly width: Node
  readonly ts: Node
  readonly timezone: Node | null
  readonly start: Node | null
  readonly finish: Node | null
}

/** `tables`: names of the query's own tables. Columns of a query around it (LATERAL) are constant within it. */
export function readCall(node: Node, tables: ReadonlySet<string>): GapfillCall {
  const { positional, named } = argumentsOf(node)
  const [width, ts, third, fourth, fifth] = positional
  const isZone = third !== undefined && (positional.length === 5 || isZoneText(third))
  const call: GapfillCall = {
    node,
    width: width ?? named['bucket_width'] ?? missing('bucket_width'),
    ts: ts ?? named['ts'] ?? missing('ts'),
    timezone: (isZone ? third : undefined) ?? named['timezone'] ?? null,
    start: unlessNull((isZone ? fourth : third) ?? named['start']),
    finish: unlessNull((isZone ? fifth : fourth) ?? named['finish']),
  }
  for (const argument of ['width', 'timezone', 'start', 'finish'] as const)
    if (dependsOnRows(call[argument], tables))
      refuse(
        `its ${argument} depends on rows`,
        `write the ${argument} of time_bucket_gapfill without columns`,
      )
  return call
}

export interface Bounds {
  readonly lower: readonly { readonly value: Node; readonly isIncluded: boolean }[]
  readonly upper: readonly { readonly value: Node; readonly isIncluded: boolean }[]
}

/** The bounds of time: what the call says, otherwise what WHERE and the conditions of inner joins say, all of them. */
export function boundsOf(call: GapfillCall, select: Node, tables: ReadonlySet<string>): Bounds {
  const found = conditionsOf(select)
    .flatMap((condition) => comparisonOf(condition, call.ts))
    .filter(({ value }) => !dependsOnRows(value, tables))
  const lower = found.filter(({ side }) => side === 'lower')
  const upper = found.filter(({ side }) => side === 'upper')
  const bounds = {
    lower: call.start === null ? lower : [{ value: call.start, isIncluded: true }],
    upper: call.finish === null ? upper : [{ value: call.finish, isIncluded: false }],
  }
  for (const [side, name] of [
    ['lower', 'start'],
    ['upper', 'finish'],
  ] as const)
    if (bounds[side].length === 0)
      refuse(
        `it has no ${name}: neither the call nor WHERE says where the buckets ${side === 'lower' ? 'begin' : 'end'}`,
        `give ${name} => …, or compare the same time with a value in WHERE`,
      )
  return bounds
}

export interface Arguments {
  readonly positional: readonly Node[]
  readonly named: Readonly<Record<string, Node>>
}

export function argumentsOf(node: Node): Arguments {
  const positional: Node[] = []
  const named: Record<string, Node> = {}
  for (const argument of listOf(as('FuncCall', node)?.['args'])) {
    const byName = as('NamedArgExpr', argument)
    if (byName && isNode(byName['arg'])) named[String(byName['name'])] = byName['arg']
    else positional.push(argument)
  }
  return { positional, named }
}

/**
 * The third argument is a zone or the start. PostgreSQL decides by its type, which a text in quotes has not: a date
 * begins with a digit, a zone does not.
 */
function isZoneText(node: Node): boolean {
  const cast = as('TypeCast', node)
  if (cast) return isNode(cast['typeName']) && namesOf(cast['typeName']['names']).at(-1) === 'text'
  const text = as('A_Const', node)?.['sval']
  return (
    isNode(text) &&
    /^[a-z]/i.test(String(text['sval'])) &&
    !/^(now|today|tomorrow|yesterday|infinity|epoch)$/i.test(String(text['sval']))
  )
}

function unlessNull(node: Node | undefined): Node | null {
  return node === undefined || as('A_Const', node)?.['isnull'] === true ? null : node
}

function dependsOnRows(node: Node | null, tables: ReadonlySet<string>): boolean {
  for (const part of levelOf(node)) {
    const names = namesOf(as('ColumnRef', part)?.['fields'])
    const table = names.at(-2)
    if (names.length > 0 && (table === undefined || tables.has(table))) return true
  }
  return false
}

/** Conditions that hold for every row that is grouped. */
function conditionsOf(select: Node): Node[] {
  const joins: Node[] = []
  for (const node of levelOf(select['fromClause'])) {
    const join = as('JoinExpr', node)
    // of an outer join, the condition does not hold for the rows that it adds; nor do those below it
    if (join && join['jointype'] !== 'JOIN_INNER') return conjunction(select['whereClause'])
    if (join) joins.push(...conjunction(join['quals']))
  }
  return [...conjunction(select['whereClause']), ...joins]
}

function conjunction(node: unknown): Node[] {
  const both = as('BoolExpr', node)
  if (both?.['boolop'] === 'AND_EXPR') return listOf(both['args']).flatMap(conjunction)
  return isNode(node) ? [node] : []
}

interface Comparison {
  readonly side: 'lower' | 'upper'
  readonly value: Node
  readonly isIncluded: boolean
}

const signs: Readonly<Record<string, Omit<Comparison, 'value'>>> = {
  '>': { side: 'lower', isIncluded: false },
  '>=': { side: 'lower', isIncluded: true },
  '<': { side: 'upper', isIncluded: false },
  '<=': { side: 'upper', isIncluded: true },
}
const turned: Readonly<Record<string, string>> = { '>': '<', '>=': '<=', '<': '>', '<=': '>=' }

function comparisonOf(condition: Node, ts: Node): Comparison[] {
  const expression = as('A_Expr', condition)
  if (expression === null) return []
  const { lexpr, rexpr } = expression
  const name = namesOf(expression['name']).at(-1) ?? ''
  if (expression['kind'] === 'AEXPR_BETWEEN' && sameTree(lexpr, ts)) {
    const [from, to] = listOf(as('List', rexpr)?.['items'])
    return [...comparison('>=', from), ...comparison('<=', to)]
  }
  if (expression['kind'] !== 'AEXPR_OP') return []
  if (sameTree(lexpr, ts)) return comparison(name, rexpr)
  if (sameTree(rexpr, ts)) return comparison(turned[name] ?? '', lexpr)
  return []
}

function comparison(sign: string, value: unknown): Comparison[] {
  const meaning = signs[sign]
  return meaning && isNode(value) ? [{ ...meaning, value }] : []
}

function missing(name: string): never {
  return refuse(`the argument ${name} of time_bucket_gapfill is missing`, 'give it')
}

export function isGapfill(node: unknown): node is Node {
  return calledName(node) === 'time_bucket_gapfill'
}
