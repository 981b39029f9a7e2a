import { type OutputColumn, outputColumns, type QueryNode } from '../../src/query/index.ts'
import type { NaiveAnswer, NaiveBounded, NaiveResult } from './naive.ts'
import { naiveInstant } from './naive-time.ts'
import { compareTyped, groupText } from './naive-values.ts'

type Row = Readonly<Record<string, unknown>>

/**
 * What differs between an answer of the product and the oracle's, in words; empty when nothing does. Exact outputs
 * must be equal, floats within the stated bound of the exact value, percentiles within 1 % of the exact order
 * statistic, uniques exact while few and within five standard errors beyond.
 *
 * @example
 * expect(compareAnswers(answer, naiveAnswer(node, rows), node)).toEqual([])
 */
export function compareAnswers(
  planned: { readonly rows: readonly Row[] },
  naive: NaiveAnswer,
  node: QueryNode,
): readonly string[] {
  const columns = outputColumns(node)
  const problems: string[] = []
  const report = (text: string): void => {
    if (problems.length < 10) problems.push(text)
  }
  if (planned.rows.length !== naive.rows.length) {
    const shown = `first: ${show(planned.rows[0])} and ${show(naive.rows[0])}`
    return [`${planned.rows.length} rows where the oracle has ${naive.rows.length}; ${shown}`]
  }
  if (node.kind === 'rows') compareRows(planned.rows, naive, node, columns, report)
  else if (node.kind === 'latest') compareLatest(planned.rows, naive, node, columns, report)
  else {
    // An order by an approximate output may differ between the two; then rows are found by their group.
    const select = new Map(node.select.map(({ name }, i) => [name, i]))
    const keyColumns = columns.slice(0, columns.length - node.select.length)
    const isApproximate = node.order.some(
      ({ by }) => select.has(by) && naive.all.some(({ tolerance }) => (tolerance[by] ?? 0) > 0),
    )
    if (isApproximate) {
      const byKey = new Map(naive.all.map((result) => [keyOf(result.row, keyColumns), result]))
      for (const row of planned.rows) {
        const result = byKey.get(keyOf(row, keyColumns))
        if (result) compareRow(row, result, columns, report)
        else report(`${show(row)} is no row of the oracle's`)
      }
      compareOrder(planned.rows, naive, node, columns, report)
    } else
      for (const [i, row] of planned.rows.entries())
        compareRow(row, naive.results[i] as NaiveResult, columns, report, i)
  }
  return problems
}

type Report = (text: string) => void

function keyOf(row: Row, columns: readonly OutputColumn[]): string {
  return columns.map(({ name, type }) => groupText(keyType(type), row[name])).join(' ')
}

/** In the outer form times are text. */
function keyType(type: OutputColumn['type']): OutputColumn['type'] {
  return type === 'timestamptz' ? 'text' : type
}

function compareRow(
  row: Row,
  result: NaiveResult,
  columns: readonly OutputColumn[],
  report: Report,
  i?: number,
): void {
  const names = Object.keys(row)
  if (names.join() !== columns.map(({ name }) => name).join()) report(`the columns are ${names.join()}`)
  for (const { name, type } of columns) {
    const each = result.each[name]
    const problem = each
      ? compareEach(row[name], each)
      : compareValue(type, row[name], result.row[name], result.tolerance[name] ?? 0, result.between[name])
    if (problem)
      report(
        `${i === undefined ? '' : `row ${i}, `}${name}: ${problem} in ${show(row)}; the oracle has ${show(result.row)}`,
      )
  }
}

/** A list of which each value has its own bound. */
function compareEach(found: unknown, each: readonly NaiveBounded[]): string | null {
  if (!Array.isArray(found) || found.length !== each.length)
    return `${show(found)} is no list of ${each.length} values`
  for (const [i, { value, tolerance = 0, between }] of each.entries()) {
    const problem = compareValue('float8', found[i], value, tolerance, between)
    if (problem) return `at ${i}: ${problem}`
  }
  return null
}

function compareValue(
  type: OutputColumn['type'],
  found: unknown,
  exact: unknown,
  tolerance: number,
  between: readonly [number, number] | undefined,
): string | null {
  if (isSame(type, found, exact)) return null
  const differs = `${show(found)} where ${show(exact)} is right`
  if (found === null || exact === null) return differs
  const [x, y] = [Number(found), Number(exact)]
  if (tolerance > 0 && Math.abs(x - y) <= tolerance) return null
  if (between && Number.isFinite(x)) {
    const [low, high] = between
    if (x >= low - tolerance && x <= high + tolerance) return null
  }
  // A bound that is itself close to overflow: infinity for the largest doubles.
  if (tolerance > 1e300 && Math.abs(x) >= Number.MAX_VALUE && Math.sign(x) === Math.sign(y)) return null
  return tolerance > 0 ? `${differs} within ${tolerance}` : differs
}

function isSame(type: OutputColumn['type'], found: unknown, exact: unknown): boolean {
  if (typeof found !== typeof exact) return false
  if (typeof found === 'number') return found === exact || (Number.isNaN(found) && Number.isNaN(exact))
  if (type === 'numeric' && typeof found === 'string' && typeof exact === 'string')
    return groupText('numeric', found) === groupText('numeric', exact)
  if (typeof found === 'object') return stable(found) === stable(exact)
  return found === exact
}

/** JSON with sorted keys: jsonb does not keep their order. */
function stable(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** Rows of one instant may come in any order, and any of them may be the last ones of a page. */
function compareRows(
  rows: readonly Row[],
  naive: NaiveAnswer,
  node: Extract<QueryNode, { kind: 'rows' }>,
  columns: readonly OutputColumn[],
  report: Report,
): void {
  const { dataset } = node
  const keys = dataset.kind === 'hypertable' ? [dataset.time] : (dataset.primaryKey ?? [])
  const ordered = keys.filter((key) => node.columns.includes(key))
  const left = countTexts(naive.all.map(({ row }) => rowText(row, columns)))
  rows.forEach((row, i) => {
    for (const key of ordered)
      if (!isSame(dataset.columns[key]!.type, row[key], naive.rows[i]?.[key]))
        report(`row ${i}, ${key}: ${show(row[key])} where ${show(naive.rows[i]?.[key])} is right`)
    const text = rowText(row, columns)
    const count = left.get(text) ?? 0
    if (count === 0) report(`row ${i}: ${show(row)} is not there, or not so often`)
    left.set(text, count - 1)
  })
}

function compareLatest(
  rows: readonly Row[],
  naive: NaiveAnswer,
  node: Extract<QueryNode, { kind: 'latest' }>,
  columns: readonly OutputColumn[],
  report: Report,
): void {
  const candidates = new Set(naive.candidates.map((row) => rowText(row, columns)))
  const series = columns.filter(({ name }) => node.by.includes(name))
  rows.forEach((row, i) => {
    if (!candidates.has(rowText(row, columns)))
      report(`row ${i}: ${show(row)} is not the newest of its series`)
    const expected = naive.rows[i] as Row
    for (const { name, type } of series)
      if (!isSame(type, row[name], expected[name]))
        report(`row ${i}: the series is ${name} = ${show(row[name])} where ${show(expected[name])} is right`)
  })
}

function rowText(row: Row, columns: readonly OutputColumn[]): string {
  return columns
    .map(({ name, type }) => {
      const value = row[name]
      if (type === 'jsonb') return stable(value)
      return groupText(keyType(type), value)
    })
    .join(' | ')
}

function countTexts(texts: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return counts
}

/** The answer is ordered by its own values, and its n-th value is about the oracle's n-th. */
function compareOrder(
  rows: readonly Row[],
  naive: NaiveAnswer,
  node: Extract<QueryNode, { kind: 'aggregate' }>,
  columns: readonly OutputColumn[],
  report: Report,
): void {
  const first = node.order[0]
  const column = columns.find(({ name }) => name === first?.by)
  if (!first || !column) return
  const { name, type } = column
  const slack = naive.all.reduce((most, { tolerance }) => Math.max(most, tolerance[name] ?? 0), 0)
  rows.forEach((row, i) => {
    const before = rows[i - 1]?.[name]
    const value = row[name]
    if (i > 0 && before !== null && value !== null) {
      // As text, fractions of a second would come before whole ones.
      const order =
        type === 'timestamptz'
          ? compareTyped(type, naiveInstant(before), naiveInstant(value))
          : compareTyped(type, before, value)
      if (first.direction === 'asc' ? order > 0 : order < 0) report(`row ${i} is out of order by ${name}`)
    }
    if (i > 0 && before === null && value !== null) report(`row ${i}: a null comes before a value of ${name}`)
    const problem = compareValue(type, value, naive.rows[i]?.[name], 2 * slack, undefined)
    if (problem) report(`row ${i}: by ${name} this place belongs to another: ${problem}`)
  })
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'bigint'
      ? `${inner}n`
      : typeof inner === 'number' && (!Number.isFinite(inner) || Object.is(inner, -0))
        ? Object.is(inner, -0)
          ? '-0'
          : String(inner)
        : inner,
  )
}
