import { aggregates, type InputType, type StateInput, storedState } from '../aggregate/index.ts'
import { aggregateInput, filterToSql } from '../hot/index.ts'
import { type AggregateNode, type AggregateQueryNode, inputTypeOf } from '../query/index.ts'
import type { DatasetDefinition } from '../schema/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'

/** How an output is computed: beside the others in one SELECT, or in one of its own that is joined by cell. */
export type Output =
  | { readonly kind: 'inline'; readonly value: Sql }
  | { readonly kind: 'joined'; readonly statement: Sql; readonly width: number; readonly value: Sql }

export interface Rows {
  readonly cells: readonly Sql[]
  readonly from: Sql
  readonly where: Sql | null
}

/** @param alias that the statement of a joined output has. */
export function outputOf(
  node: AggregateQueryNode,
  aggregate: AggregateNode,
  rows: Rows,
  alias: string,
): Output {
  const { dataset } = node
  const { fn, ref, where } = aggregate
  const input = ref === null ? null : inputTypeOf(dataset, fn, ref)
  const value = ref === null ? null : aggregateInput(ref, input, dataset)
  const filter = where === null ? null : filterToSql(where, dataset)
  const plain = plainCall(aggregate, input, value, filter, dataset)
  if (plain !== null) return { kind: 'inline', value: plain }
  return storedOutput(aggregate, input, { value, filter, ...timeOf(dataset) }, dataset, rows, alias)
}

/** As people would write it, where that gives the same. */
function plainCall(
  { fn, borders }: AggregateNode,
  input: InputType | null,
  value: Sql | null,
  filter: Sql | null,
  dataset: DatasetDefinition,
): Sql | null {
  const only = (call: Sql): Sql => (filter === null ? call : sql`${call} filter (where ${filter})`)
  if (fn === 'count') return only(value === null ? sql`count(*)` : sql`count(${value})`)
  if (value === null || input === null) return null
  const isWhole = input === 'int2' || input === 'int4' || input === 'int8'
  const double = input === 'float8' ? value : sql`(${value})::float8`
  switch (fn) {
    case 'sum':
      return only(input === 'float4' ? sql`sum(${double})` : sql`sum(${value})`)
    case 'avg':
      if (input === 'numeric') return only(sql`avg(${value})`)
      return isWhole ? sql`(${only(sql`avg(${value})`)})::float8` : only(sql`avg(${double})`)
    case 'stddev':
      return only(sql`stddev_samp(${double})`)
    case 'variance':
      return only(sql`var_samp(${double})`)
    case 'min':
    case 'max':
      return extreme(fn, input, value, only)
    case 'first':
    case 'last': {
      if (dataset.kind !== 'hypertable') return null
      const direction = raw(fn === 'first' ? '' : ' desc')
      const present = filter === null ? sql`${value} is not null` : sql`${value} is not null and ${filter}`
      const order = sql`order by ${identifier(dataset.time)}${direction}, ${inOrder(input, value)}${direction}`
      return sql`(array_agg(${value} ${order}) filter (where ${present}))[1]`
    }
    case 'countDistinct':
      return only(sql`count(distinct ${value})`)
    case 'histogram':
      return counts(borders ?? [], double, filter)
    default:
      return null
  }
}

function inOrder(input: InputType, value: Sql): Sql {
  return input === 'text' || input === 'json-text' ? sql`${value} collate "C"` : value
}

/** PostgreSQL has no min and max of bool, and of uuid only from 18 on. */
function extreme(fn: 'min' | 'max', input: InputType, value: Sql, only: (call: Sql) => Sql): Sql {
  if (input === 'bool') return only(fn === 'min' ? sql`bool_and(${value})` : sql`bool_or(${value})`)
  if (input === 'uuid') return sql`(${only(sql`${raw(fn)}((${value})::text collate "C")`)})::uuid`
  return only(sql`${raw(fn)}(${inOrder(input, value)})`)
}

/** Below the first border, between each two, from the last one on; NaN is above every number. */
function counts(borders: readonly number[], value: Sql, filter: Sql | null): Sql {
  const at = (border: number): Sql => sql`${border}::float8`
  const between = borders
    .slice(1)
    .map((to, i) => sql`${value} >= ${at(borders[i]!)} and ${value} < ${at(to)}`)
  const conditions = [sql`${value} < ${at(borders[0]!)}`, ...between, sql`${value} >= ${at(borders.at(-1)!)}`]
  const calls = conditions.map((condition) => {
    const all = filter === null ? condition : sql`${condition} and ${filter}`
    return sql`count(*) filter (where ${all})`
  })
  return sql`array[${join(calls, ', ')}]`
}

function timeOf(dataset: DatasetDefinition): { readonly time: Sql | null } {
  return { time: dataset.kind === 'hypertable' ? identifier(dataset.time) : null }
}

/** Sketches and the like: the state of a cell as continuous aggregates keep it, finished by functions of schema `tidemark`. */
function storedOutput(
  { fn, borders, k, weight, series, quantile, quantiles }: AggregateNode,
  input: InputType | null,
  given: StateInput,
  dataset: DatasetDefinition,
  rows: Rows,
  alias: string,
): Output {
  const types = series?.map((column) => inputTypeOf(dataset, fn, { column, path: [] }))
  const stored = storedState(aggregates[fn].state(input, { borders, k, weight, series: types }))
  const state: StateInput = { ...given, series: series?.map((column) => identifier(column)) }
  const options = { quantile, quantiles, k }
  if (stored.rows.shape === 'columns') {
    const columns = stored.rows.store(stored.rows.columns(state))
    return { kind: 'inline', value: stored.finish(fn, columns, options) ?? raw('null') }
  }
  const { width } = stored.rows
  const columns = stored.rows.store(Array.from({ length: width }, (_, i) => identifier(alias, `v${i}`)))
  const finished = stored.finish(fn, columns, options) ?? raw('null')
  return {
    kind: 'joined',
    statement: stored.rows.statement(state, rows),
    width,
    // a list of nothing is null, not one of nulls
    value:
      fn === 'percentiles'
        ? sql`case when ${identifier(alias, 'v0')} is not null then ${finished} end`
        : finished,
  }
}
