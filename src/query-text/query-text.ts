import { bucketOfRowSql } from '../continuous/index.ts'
import { filterToSql, groupKey, rangeConditions, relationSql } from '../hot/index.ts'
import {
  type AggregateQueryNode,
  everything,
  type FilterNode,
  type LatestQueryNode,
  newestKeys,
  type OutputColumn,
  outputColumns,
  type QueryNode,
  type RowsQueryNode,
} from '../query/index.ts'
import type { ColumnType, DatasetDefinition } from '../schema/index.ts'
import { fixedBucket } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { filledText } from './fill-text.ts'
import { type Output, outputOf, type Rows } from './outputs.ts'
import { noSql, print } from './print.ts'

/**
 * A query as one statement of SQL that gives the same rows, from what is in PostgreSQL: for psql, `tidemark sql`, Grafana or whoever
 * wants to see what an answer means. It calls functions of schema `tidemark` where SQL has none that gives the same (buckets,
 * percentiles, uniques, …).
 *
 * @throws TidemarkError TM_NO_SQL for what has no such form.
 */
export function queryText(node: QueryNode): string {
  const notes = notesOf(node).map((note) => `-- ${note}\n`)
  return `${notes.join('')}${statementOf(node)}`
}

function statementOf(node: QueryNode): string {
  switch (node.kind) {
    case 'aggregate':
      return aggregateText(node)
    case 'rows':
      return rowsText(node)
    case 'latest':
      return latestText(node)
  }
}

function notesOf(node: QueryNode): string[] {
  const { dataset } = node
  const aggregate = node.kind === 'aggregate' ? (node.of ?? null) : null
  const freezes = dataset.kind === 'hypertable' && dataset.freeze !== null
  return [
    ...(aggregate === null ? [] : [`${aggregate.name}, computed from the rows of ${dataset.name}`]),
    ...(freezes ? [`of the rows in PostgreSQL: frozen ones of ${dataset.name} are not seen by SQL`] : []),
  ]
}

/** One condition a line. */
function whereText({ dataset, range, where }: Pick<QueryNode, 'dataset' | 'range' | 'where'>): string[] {
  const conditions = conditionsOf({ dataset, range, where })
  return conditions.map((condition, i) => `${i === 0 ? 'where' : '  and'} ${print(condition)}`)
}

function conditionsOf({ dataset, range, where }: Pick<QueryNode, 'dataset' | 'range' | 'where'>): Sql[] {
  const inRange =
    dataset.kind === 'hypertable' ? rangeConditions(identifier(dataset.time), range, everything) : []
  const filters: readonly FilterNode[] = where === null ? [] : where.kind === 'and' ? where.filters : [where]
  return [...inRange, ...filters.map((filter) => filterToSql(filter, dataset))]
}

function aggregateText(node: AggregateQueryNode): string {
  if ((node.dimensions ?? []).length > 0)
    throw noSql(
      `what is looked up in another table (${node.dimensions!.map(({ name }) => name).join(', ')})`,
      'leave it out, and join the table yourself',
    )
  const columns = outputColumns(node)
  const [body, isFlat] = groupedText(node)
  const { having, fill } = node
  const kept =
    having === null ? body : `select *\nfrom (\n${body}\n) as answer\nwhere ${havingText(having, columns)}`
  const isFilled = fill.kind !== 'none' && node.bucket !== null
  const all = isFilled ? filledText(node, kept, columns) : kept
  const terms = orderTerms(node, columns)
  const ends = node.limit === null ? [] : [`limit ${node.limit}`]
  // in the same SELECT an output has no collation of its own
  if (isFlat && having === null && !isFilled && terms.every(({ isFree }) => isFree))
    return [body, ...orderText(terms.map(({ flat }) => flat)), ...ends].join('\n')
  return [
    ...(isFilled
      ? [`select *\nfrom (\n${all}\n) as answer`]
      : having === null
        ? [`select *\nfrom (\n${body}\n) as answer`]
        : [all]),
    ...orderText(terms.map(({ named }) => named)),
    ...ends,
  ].join('\n')
}

/** @returns the text, and whether groups may be named by their expressions. */
function groupedText(node: AggregateQueryNode): [string, boolean] {
  const { dataset } = node
  const cells = cellsOf(node)
  const conditions = conditionsOf(node)
  const rows: Rows = {
    // some of the statements want a cell to group by
    cells: cells.length === 0 ? [raw('true')] : cells.map(({ value }) => value),
    from: relationSql(dataset),
    where: conditions.length === 0 ? null : join(conditions, ' and '),
  }
  const outputs = node.select.map(({ name, aggregate }, i) => ({
    name,
    output: outputOf(node, aggregate, rows, `k${i}`),
  }))
  const groupBy = cells.length === 0 ? [] : [`group by ${cells.map((_, i) => i + 1).join(', ')}`]
  const from = [`from ${print(rows.from)}`, ...whereText(node), ...groupBy]
  const listed = (items: readonly string[]): string => `select\n  ${items.join(',\n  ')}`
  const as = (value: Sql, name: string): string => {
    const own = print(identifier(name))
    return print(value) === own ? own : `${print(value)} as ${own}`
  }
  const isJoined = ({ output }: { readonly output: Output }): boolean => output.kind === 'joined'
  if (!outputs.some(isJoined)) {
    const items = [...cells, ...outputs.map(({ name, output }) => ({ name, value: output.value }))]
    return [[listed(items.map(({ name, value }) => as(value, name))), ...from].join('\n'), true]
  }
  const inner = outputs.flatMap(({ output }, i) =>
    output.kind === 'inline' ? [as(output.value, `o${i}`)] : [],
  )
  const grouped = [
    // without any group there is one row all the same
    listed([
      ...cells.map(({ value }, i) => as(value, `c${i}`)),
      ...inner,
      ...(cells.length + inner.length === 0 ? ['count(*)'] : []),
    ]),
    ...from,
  ]
  const joins = outputs.flatMap(({ output }, i) => {
    if (output.kind === 'inline') return []
    const alias = `k${i}`
    const names = [
      ...rows.cells.map((_, j) => `c${j}`),
      ...Array.from({ length: output.width }, (_, j) => `v${j}`),
    ].map((name) => print(identifier(name)))
    const same = cells.map((cell, j) => sameText(`${alias}."c${j}"`, `g."c${j}"`, cell))
    return [
      `left join (\n${print(output.statement)}\n) as ${alias} (${names.join(', ')}) on ${same.join(' and ') || 'true'}`,
    ]
  })
  const items = [
    ...cells.map(({ name }, i) => as(identifier('g', `c${i}`), name)),
    ...outputs.map(({ name, output }, i) =>
      as(output.kind === 'inline' ? identifier('g', `o${i}`) : output.value, name),
    ),
  ]
  return [[listed(items), 'from (', ...grouped, ') as g', ...joins].join('\n'), false]
}

interface CellColumn {
  readonly name: string
  readonly value: Sql
  readonly isNullable: boolean
  /** Of which equal ones have different texts: 0 and -0, 1.0 and 1.00. */
  readonly isNumber: boolean
}

function cellsOf(node: AggregateQueryNode): CellColumn[] {
  const { dataset, bucket, by } = node
  const groups = by.map(({ name, ref }): CellColumn => {
    const isNullable = ref.path.length > 0 || dataset.columns[ref.column]?.nullable !== false
    return { name, value: groupKey(ref, dataset), isNullable, isNumber: isNumber(dataset, ref.column) }
  })
  if (bucket === null || dataset.kind !== 'hypertable') return groups
  const time = identifier(dataset.time)
  const value =
    fixedBucket(bucket) !== null && bucket.every.kind === 'fixed'
      ? sql`tidemark.time_bucket(${widthText(bucket.every.micros)}::interval, ${time})`
      : bucketOfRowSql(bucket, time)
  return [{ name: 'bucket', value, isNullable: false, isNumber: false }, ...groups]
}

const units = [
  ['hour', 3_600_000_000n],
  ['minute', 60_000_000n],
  ['second', 1_000_000n],
  ['microsecond', 1n],
] as const

function widthText(micros: bigint): string {
  const [unit, length] = units.find(([, each]) => micros % each === 0n)!
  const count = micros / length
  return `${count} ${unit}${count === 1n ? '' : 's'}`
}

function isNumber(dataset: DatasetDefinition, column: string): boolean {
  return ['float4', 'float8', 'numeric'].includes(dataset.columns[column]!.type)
}

/** Nulls are equal, too, and the equality can be hashed. */
function sameText(theirs: string, ours: string, { isNullable, isNumber }: CellColumn): string {
  if (!isNullable) return `${theirs} = ${ours}`
  const some = (side: string): string =>
    isNumber ? `coalesce(${side}, 'NaN')` : `coalesce(${side}::text, '')`
  return `${some(theirs)} = ${some(ours)} and ${theirs} is not distinct from ${ours}`
}

function havingText(having: FilterNode, columns: readonly OutputColumn[]): string {
  // a count is compared with any number
  const typeOf = ({ type }: OutputColumn): ColumnType => (type === 'count' ? 'numeric' : (type as ColumnType))
  const scope = {
    name: 'the answer',
    columns: Object.fromEntries(
      columns.map((column) => [column.name, { type: typeOf(column), nullable: column.nullable }]),
    ),
  }
  return print(filterToSql(having, scope as never))
}

interface OrderTerm {
  /** In the SELECT that makes the groups. */
  readonly flat: string
  /** Around it. */
  readonly named: string
  readonly isFree: boolean
}

/** As asked, then by bucket and groups; nulls last either way, text by bytes. */
function orderTerms(node: AggregateQueryNode, columns: readonly OutputColumn[]): OrderTerm[] {
  const cells = new Map(cellsOf(node).map(({ name, value }) => [name, value]))
  const asked = node.order.map(({ by, direction }) => ({ by, isDescending: direction === 'desc' }))
  const rest = [...cells.keys()]
    .filter((name) => !asked.some(({ by }) => by === name))
    .map((by) => ({ by, isDescending: false }))
  return [...asked, ...rest].map(({ by, isDescending }): OrderTerm => {
    const { type, nullable } = columns.find(({ name }) => name === by)!
    const cell = cells.get(by)
    const isText = type === 'text' || type === 'text[]'
    const end = isDescending ? ` desc${nullable ? ' nulls last' : ''}` : ''
    const name = print(identifier(by))
    const place = columns.findIndex((column) => column.name === by) + 1
    return {
      flat: isText && cell !== undefined ? `${print(cell)} collate "C"${end}` : `${place}${end}`,
      named: `${name}${isText ? ' collate "C"' : ''}${end}`,
      isFree: !isText || cell !== undefined,
    }
  })
}

function orderText(terms: readonly string[]): string[] {
  return terms.length === 0 ? [] : [`order by ${terms.join(', ')}`]
}

function rowsText(node: RowsQueryNode): string {
  if (node.cursor !== null) throw noSql('a cursor', 'ask for the first page, or for a later range')
  const { dataset, direction, limit } = node
  const keys = dataset.primaryKey ?? []
  const order =
    dataset.kind === 'hypertable' ? [dataset.time, ...keys.filter((key) => key !== dataset.time)] : keys
  const end = direction === 'desc' ? ' desc' : ''
  return [
    selectText(node.columns),
    `from ${print(relationSql(dataset))}`,
    ...whereText(node),
    ...orderText(order.map((name) => `${columnText(dataset, name)}${end}`)),
    ...(limit === null ? [] : [`limit ${limit}`]),
  ].join('\n')
}

function latestText(node: LatestQueryNode): string {
  const { dataset, by } = node
  const series = by.map((name) => columnText(dataset, name))
  const newest = newestKeys(dataset, by).map(
    ({ column }) =>
      `${columnText(dataset, column)} desc${dataset.columns[column]!.nullable ? ' nulls last' : ''}`,
  )
  const limit = by.length === 0 ? 1 : node.limit
  return [
    selectText(node.columns, series.length === 0 ? '' : ` distinct on (${series.join(', ')})`),
    `from ${print(relationSql(dataset))}`,
    ...whereText(node),
    ...orderText([...series, ...newest]),
    ...(limit === null ? [] : [`limit ${limit}`]),
  ].join('\n')
}

function selectText(columns: readonly string[], distinct = ''): string {
  return `select${distinct}\n  ${columns.map((name) => print(identifier(name))).join(',\n  ')}`
}

/** In its order by bytes. */
function columnText(dataset: DatasetDefinition, name: string): string {
  const type = dataset.columns[name]!.type
  const column = print(identifier(name))
  if (type === 'jsonb') return `${column}::text collate "C"`
  return type === 'text' || type === 'text[]' ? `${column} collate "C"` : column
}
