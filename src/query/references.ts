import type { AggregateFunction, InputType, ResultType } from '../aggregate/index.ts'
import { aggregates } from '../aggregate/index.ts'
import type { ColumnDefinition, DatasetDefinition } from '../schema/index.ts'
import type { AggregateNode, AggregateQueryNode, ColumnRef, QueryNode } from './nodes.ts'
import { fail, suggest } from './problem.ts'

/** Splits `properties.plan` at its dots; a backslash takes the next character as it is. */
function splitPath(text: string, path: string): string[] {
  const segments: string[] = []
  let segment = ''
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string
    if (char === '\\') {
      if (i + 1 === text.length) fail(path, `"${text}" ends with a backslash, which has nothing to escape`)
      segment += text[++i]
    } else if (char === '.') {
      segments.push(segment)
      segment = ''
    } else segment += char
  }
  segments.push(segment)
  return segments
}

export function columnOf(dataset: DatasetDefinition, name: string): ColumnDefinition | null {
  return Object.hasOwn(dataset.columns, name) ? (dataset.columns[name] as ColumnDefinition) : null
}

/** The column, or the place inside a jsonb column, that a text names. A column's own name has no dot. */
export function parseRef(dataset: DatasetDefinition, text: string, path: string): ColumnRef {
  const [column = '', ...inner] = splitPath(text, path)
  const definition = columnOf(dataset, column)
  if (!definition)
    return fail(
      path,
      `${dataset.name} has no column "${column}"${suggest(column, Object.keys(dataset.columns))}`,
    )
  if (inner.length === 0) return { column, path: [] }
  if (definition.type !== 'jsonb')
    fail(path, `"${column}" is ${definition.type}; only a jsonb column has paths`)
  if (inner.includes('')) fail(path, `the path "${text}" has an empty key`)
  if (inner.some((key) => key.includes('\0'))) fail(path, 'a key cannot hold the character U+0000')
  return { column, path: inner }
}

/** A whole column, no path. */
export function parseColumn(dataset: DatasetDefinition, text: unknown, path: string): string {
  if (typeof text !== 'string') return fail(path, 'a column name is text')
  const ref = parseRef(dataset, text, path)
  if (ref.path.length > 0)
    fail(path, `"${text}" is a path inside of a jsonb column; ask for the column "${ref.column}" here`)
  return ref.column
}

/** `jsonb` for a path: JSON values compare by their own type. */
export function typeOfRef(dataset: DatasetDefinition, ref: ColumnRef): ResultType {
  return (columnOf(dataset, ref.column) as ColumnDefinition).type
}

/** What a group key is: a JSON path is grouped by its text. */
export function typeOfGroup(dataset: DatasetDefinition, ref: ColumnRef): ResultType {
  return ref.path.length > 0 ? 'text' : typeOfRef(dataset, ref)
}

const readsJsonAsNumber: Readonly<Record<AggregateFunction, boolean>> = {
  count: false,
  sum: true,
  avg: true,
  min: true,
  max: true,
  first: false,
  last: false,
  stddev: true,
  variance: true,
  percentile: true,
  percentiles: true,
  uniques: false,
  countDistinct: false,
  histogram: true,
  topK: false,
  increase: true,
  rate: true,
  delta: true,
  timeWeightedAvg: true,
}

/** What an aggregate function reads: a JSON path is a number for arithmetic and min/max, text for the others. */
export function inputTypeOf(dataset: DatasetDefinition, fn: AggregateFunction, ref: ColumnRef): InputType {
  const { type } = columnOf(dataset, ref.column) as ColumnDefinition
  if (type === 'jsonb') return readsJsonAsNumber[fn] ? 'json-number' : 'json-text'
  return type
}

export interface OutputColumn {
  readonly name: string
  /** `count` is a whole number; `histogram` a list of counts, `percentiles` one of numbers, `topK` one of `{ value, count, error }`; the others are PostgreSQL's. */
  readonly type: ResultType
  readonly nullable: boolean
}

function inputOf(dataset: DatasetDefinition, aggregate: AggregateNode): InputType | null {
  return aggregate.ref === null ? null : inputTypeOf(dataset, aggregate.fn, aggregate.ref)
}

export function typeOfAggregate(dataset: DatasetDefinition, aggregate: AggregateNode): ResultType {
  return aggregates[aggregate.fn].result(inputOf(dataset, aggregate))
}

/** What the answer says about an aggregate's error; null when exact. */
export function errorBoundOf(dataset: DatasetDefinition, aggregate: AggregateNode): string | null {
  return aggregates[aggregate.fn].errorBound(inputOf(dataset, aggregate))
}

const neverEmpty: ReadonlySet<AggregateFunction> = new Set([
  'count',
  'uniques',
  'countDistinct',
  'histogram',
  'topK',
])

function aggregateColumns(node: AggregateQueryNode): OutputColumn[] {
  const columns: OutputColumn[] = []
  if (node.bucket) columns.push({ name: 'bucket', type: 'timestamptz', nullable: false })
  for (const group of node.by)
    columns.push({
      name: group.name,
      type: typeOfGroup(group.dimension?.table ?? node.dataset, group.ref),
      nullable:
        // a dimension is null where there is no row of the key
        group.dimension !== undefined ||
        group.ref.path.length > 0 ||
        columnOf(node.dataset, group.ref.column)?.nullable === true,
    })
  const leavesGaps = node.fill.kind !== 'none' && node.fill.kind !== 'constant'
  for (const { name, aggregate } of node.select)
    columns.push({
      name,
      type: typeOfAggregate(node.dataset, aggregate),
      nullable: leavesGaps || !neverEmpty.has(aggregate.fn),
    })
  return columns
}

/**
 * The columns of the answer to a query, in order: bucket, groups, aggregates; or the asked columns.
 *
 * @example
 * outputColumns(node) // [{ name: 'bucket', type: 'timestamptz', nullable: false }, …]
 */
export function outputColumns(node: QueryNode): readonly OutputColumn[] {
  if (node.kind === 'aggregate') return aggregateColumns(node)
  return node.columns.map((name) => {
    const column = columnOf(node.dataset, name) as ColumnDefinition
    return { name, type: column.type, nullable: column.nullable }
  })
}
