import { argumentsOf, boundsOf, type GapfillCall, isGapfill, readCall } from './call.ts'
import type { Parser } from './parser.ts'
import { refuse } from './refuse.ts'
import { type Fill, scaffold } from './scaffold.ts'
import {
  as,
  calledName,
  columnRef,
  isNode,
  levelOf,
  listOf,
  mapTree,
  type Node,
  namesOf,
  outputName,
  sameTree,
} from './tree.ts'

/**
 * A query that groups by time_bucket_gapfill, written so that PostgreSQL alone fills the gaps: its cells are computed as
 * ever, the missing buckets of each group are added to them, and everything above the aggregates (expressions, window
 * functions, ORDER BY, LIMIT) reads that instead of the tables. docs/decisions/0012-sql-functions.md has an example.
 */
export function rewriteSelect(select: Node, parser: Parser, aggregates: ReadonlySet<string>): Node {
  const calls = [...levelOf(select)].filter(isGapfill)
  const first = calls[0]
  if (first === undefined) return select
  if (listOf(select['groupClause']).length === 0)
    refuse('a query without GROUP BY has no gaps', 'group by it, or call time_bucket instead')
  if (calls.some((call) => !sameTree(call, first)))
    refuse('it is called twice with different arguments', 'call it once, or in two queries that are joined')

  const tables = tablesOf(select['fromClause'])
  const call = readCall(first, tables)
  const bounds = boundsOf(call, select, tables)
  const groups = groupsOf(select)
  if (!groups.some((group) => sameTree(group, first)))
    refuse(
      'it is not what the query groups by: GROUP BY names a column of the table, or it stands inside another function',
      'write GROUP BY 1, or give the output a name that no column has',
    )
  const keys = groups.filter(
    (group, i) => !sameTree(group, first) && groups.findIndex((g) => sameTree(g, group)) === i,
  )
  const level = new Level(tables, call, keys, aggregates)

  const rewritten: Node = {
    ...select,
    ...(select['distinctClause'] === undefined
      ? {}
      : { distinctClause: level.outer(select['distinctClause']) }),
    targetList: listOf(select['targetList']).map((entry) => {
      const target = as('ResTarget', entry) as Node
      if (as('ColumnRef', target['val']) && JSON.stringify(target['val']).includes('A_Star'))
        refuse('SELECT * names no groups', 'name the columns')
      return {
        ResTarget: {
          ...target,
          name: target['name'] ?? outputName(target['val']),
          val: level.outer(target['val']),
        },
      }
    }),
  }
  for (const clause of ['sortClause', 'windowClause'] as const)
    if (select[clause] !== undefined) rewritten[clause] = level.outer(select[clause], outputsOf(rewritten))

  const timeBucket = (ts: Node): Node => ({
    FuncCall: {
      funcname: [{ String: { sval: 'tidemark' } }, { String: { sval: 'time_bucket' } }],
      args: call.timezone === null ? [call.width, ts] : [call.width, ts, call.timezone],
      funcformat: 'COERCE_EXPLICIT_CALL',
    },
  })
  const bucketed = (value: unknown): unknown =>
    mapTree(value, (node) => (isGapfill(node) ? timeBucket(call.ts) : null))
  const outputs: [string, Node][] = [
    ['bucket', timeBucket(call.ts)],
    ...keys.map((key, i): [string, Node] => [`key_${i + 1}`, key]),
    ...level.values.map((value, i): [string, Node] => [`value_${i + 1}`, value]),
  ]
  const cells: Node = {
    targetList: outputs.map(([name, val]) => ({ ResTarget: { name, val: bucketed(val) } })),
    fromClause: select['fromClause'],
    ...(select['whereClause'] === undefined ? {} : { whereClause: bucketed(select['whereClause']) }),
    groupClause: [...Array(keys.length + 1).keys()].map((i) => ({ A_Const: { ival: { ival: i + 1 } } })),
    ...(select['havingClause'] === undefined ? {} : { havingClause: bucketed(select['havingClause']) }),
    limitOption: 'LIMIT_OPTION_DEFAULT',
    op: 'SETOP_NONE',
  }
  const print = (node: Node): string => printExpression(parser, node)
  const text = scaffold({
    cells: parser.print({ SelectStmt: cells }),
    width: print(call.width),
    timezone: call.timezone === null ? null : print(call.timezone),
    lower: bounds.lower.map(({ value, isIncluded }) => ({ value: print(value), isIncluded })),
    upper: bounds.upper.map(({ value, isIncluded }) => ({ value: print(value), isIncluded })),
    keys: keys.length,
    values: level.values.length,
    fills: level.fills.map((fill) => ({
      ...fill,
      prev: fill.prev === null ? null : print(fill.prev),
      next: fill.next === null ? null : print(fill.next),
    })),
  })
  const made = onlySelect(parser.parse(text))
  const own = as('WithClause', { WithClause: select['withClause'] })
  delete rewritten['whereClause']
  delete rewritten['groupClause']
  delete rewritten['groupDistinct']
  delete rewritten['havingClause']
  return {
    ...rewritten,
    withClause: {
      ...(own ?? {}),
      ctes: [...listOf(own?.['ctes']), ...listOf((made['withClause'] as Node)['ctes'])],
    },
    fromClause: made['fromClause'],
  }
}

/** The parts above the aggregates, and what they need from the cells. */
class Level {
  /** Computed for each cell: aggregates, and the arguments of locf and interpolate. */
  readonly values: Node[] = []
  readonly fills: Fill<Node>[] = []
  readonly #filled: Node[] = []
  readonly #call: GapfillCall
  readonly #keys: readonly Node[]
  readonly #aggregates: ReadonlySet<string>
  readonly #tables: ReadonlySet<string>

  constructor(
    tables: ReadonlySet<string>,
    call: GapfillCall,
    keys: readonly Node[],
    aggregates: ReadonlySet<string>,
  ) {
    this.#call = call
    this.#keys = keys
    this.#aggregates = aggregates
    this.#tables = tables
  }

  /** `outputs`: names that ORDER BY may use for outputs. */
  outer(value: unknown, outputs: ReadonlySet<string> = new Set()): unknown {
    return mapTree(value, (node) => this.#replace(node, outputs))
  }

  #replace(node: Node, outputs: ReadonlySet<string>): Node | null {
    const name = as('ColumnRef', node) ? namesOf(as('ColumnRef', node)?.['fields']) : null
    if (name?.length === 1 && outputs.has(name[0] as string)) return node
    if (sameTree(node, this.#call.node)) return columnRef('tidemark_filled', 'bucket')
    const key = this.#keys.findIndex((group) => sameTree(group, node))
    if (key >= 0) return columnRef('tidemark_filled', `key_${key + 1}`)
    if (name !== null)
      refuse(`${name.join('.')} is neither grouped by nor inside an aggregate`, 'add it to GROUP BY')
    if ('SubLink' in node) return this.#subquery(node, 'tidemark_filled')
    const called = calledName(node)
    if (called === 'locf' || called === 'interpolate')
      return columnRef('tidemark_filled', this.#fill(node, called))
    if (this.#isAggregate(node)) return columnRef('tidemark_filled', `value_${this.#value(node)}`)
    return null
  }

  #fill(node: Node, called: 'locf' | 'interpolate'): string {
    const known = this.#filled.findIndex((other) => sameTree(other, node))
    if (known >= 0) return `fill_${known + 1}`
    const { positional, named } = argumentsOf(node)
    const argument = positional[0] ?? named['value'] ?? refuse(`${called} has no value`, 'give one')
    for (const inner of levelOf(argument)) {
      const name = calledName(inner)
      if (name === 'locf' || name === 'interpolate')
        refuse(`${name} stands inside ${called}`, 'fill once: the inner query of two can fill first')
      if (isNode(as('FuncCall', inner)?.['over']))
        refuse(`a window function stands inside ${called}`, 'compute it in a query around this one')
    }
    const value =
      called === 'locf'
        ? argument
        : {
            FuncCall: {
              funcname: [{ String: { sval: 'tidemark' } }, { String: { sval: 'interpolable' } }],
              args: [argument],
              funcformat: 'COERCE_EXPLICIT_CALL',
            },
          }
    const lookup = (expression: Node | undefined): Node | null =>
      expression === undefined || as('A_Const', expression)?.['isnull'] === true
        ? null
        : (mapTree(expression, (inner) => this.#replaceIn(inner, 'tidemark_edges')) as Node)
    const prev = lookup(positional[1] ?? named['prev'])
    this.fills.push(
      called === 'locf'
        ? {
            kind: 'locf',
            value: this.#value(value),
            prev,
            next: null,
            skipsNulls: isTrue(positional[2] ?? named['treat_null_as_missing']),
          }
        : {
            kind: 'interpolate',
            value: this.#value(value),
            prev,
            next: lookup(positional[2] ?? named['next']),
            skipsNulls: false,
          },
    )
    this.#filled.push(node)
    return `fill_${this.fills.length}`
  }

  /** In prev and next: the groups, by themselves or inside a subquery. */
  #replaceIn(node: Node, source: string): Node | null {
    const key = this.#keys.findIndex((group) => sameTree(group, node))
    if (key >= 0) return columnRef(source, `key_${key + 1}`)
    if ('SubLink' in node) return this.#subquery(node, source)
    if ('ColumnRef' in node)
      refuse(
        `${namesOf(as('ColumnRef', node)?.['fields']).join('.')} in prev or next is not grouped by`,
        'use columns of GROUP BY',
      )
    return null
  }

  /** A subquery refers to this query by the name of a table of its FROM. Other names are its own. */
  #subquery(link: Node, source: string): Node {
    const own = tablesWithin(link)
    return mapTree(link, (node) => {
      const names = namesOf(as('ColumnRef', node)?.['fields'])
      const table = names.at(-2)
      if (table === undefined || own.has(table) || !this.#tables.has(table)) return null
      const key = this.#keys.findIndex((group) => sameTree(group, node))
      if (key < 0) refuse(`${names.join('.')} in a subquery is not grouped by`, 'add it to GROUP BY')
      return columnRef(source, `key_${key + 1}`)
    }) as Node
  }

  #isAggregate(node: Node): boolean {
    const call = as('FuncCall', node)
    if (call === null || isNode(call['over'])) return false
    const marks = ['agg_star', 'agg_filter', 'agg_distinct', 'agg_order', 'agg_within_group']
    if (!marks.some((mark) => mark in call) && !this.#aggregates.has(calledName(node) ?? '')) return false
    for (const inner of levelOf(call['args'])) {
      const name = calledName(inner)
      if (name === 'locf' || name === 'interpolate')
        refuse(`${name} stands inside an aggregate`, 'aggregate first, then fill: locf(avg(x))')
    }
    return true
  }

  #value(node: Node): number {
    const known = this.values.findIndex((value) => sameTree(value, node))
    if (known >= 0) return known + 1
    this.values.push(node)
    return this.values.length
  }
}

/** What the query groups by: numbers and names of outputs are looked up, as PostgreSQL does. */
function groupsOf(select: Node): Node[] {
  const targets = listOf(select['targetList']).map((entry) => as('ResTarget', entry) as Node)
  const columns = new Set<string>()
  for (const part of ['targetList', 'whereClause', 'fromClause'])
    for (const node of levelOf(select[part])) {
      const name = namesOf(as('ColumnRef', node)?.['fields']).at(-1)
      if (name !== undefined) columns.add(name)
    }
  return listOf(select['groupClause']).map((group) => {
    if ('GroupingSet' in group) refuse('GROUPING SETS, ROLLUP and CUBE are not filled', 'group by columns')
    const place = as('A_Const', group)?.['ival']
    if (isNode(place)) {
      const value = targets[Number(place['ival'] ?? 0) - 1]?.['val']
      return isNode(value) ? value : refuse('GROUP BY has a number that no output has', 'correct it')
    }
    const names = namesOf(as('ColumnRef', group)?.['fields'])
    // a column of the tables comes before an output of that name
    const isColumn = names.length !== 1 || columns.has(names[0] as string)
    const output = isColumn ? undefined : targets.find((target) => target['name'] === names[0])?.['val']
    return isNode(output) ? output : group
  })
}

function outputsOf(select: Node): Set<string> {
  return new Set(listOf(select['targetList']).map((entry) => String(as('ResTarget', entry)?.['name'])))
}

/** By which names columns of a FROM clause may be called. */
function tablesOf(from: unknown): Set<string> {
  const names = new Set<string>()
  for (const node of levelOf(from)) {
    for (const kind of ['RangeVar', 'RangeSubselect', 'RangeFunction', 'JoinExpr', 'RangeTableFunc']) {
      const source = as(kind, node)
      const alias = isNode(source?.['alias']) ? source['alias']['aliasname'] : source?.['relname']
      if (typeof alias === 'string') names.add(alias)
    }
  }
  return names
}

function tablesWithin(value: unknown): Set<string> {
  const names = new Set<string>()
  mapTree(value, (node) => {
    if (Array.isArray(node['fromClause'])) for (const name of tablesOf(node['fromClause'])) names.add(name)
    return null
  })
  return names
}

function isTrue(node: Node | undefined): boolean {
  if (node === undefined || as('A_Const', node)?.['isnull'] === true) return false
  const value = as('A_Const', node)?.['boolval']
  return isNode(value)
    ? value['boolval'] === true
    : refuse('treat_null_as_missing is no true or false', 'write true or false')
}

function printExpression(parser: Parser, node: Node): string {
  const text = parser.print({
    SelectStmt: {
      targetList: [{ ResTarget: { val: node } }],
      limitOption: 'LIMIT_OPTION_DEFAULT',
      op: 'SETOP_NONE',
    },
  })
  return text.trim().replace(/^select\s+/i, '')
}

export function onlySelect(parsed: Node): Node {
  const [statement] = listOf(parsed['stmts'])
  return as('SelectStmt', statement?.['stmt']) as Node
}
