import type { ColumnInfo, DatasetInfo } from 'tidemark/client'
import { type Filter, toWhere, typeOf } from './filters.ts'

/** What can be computed of which column, as docs/reference/query.md says. Pure. */

/** `output`: one of a continuous aggregate, by its name. */
export const functions = [
  'count',
  'sum',
  'avg',
  'min',
  'max',
  'first',
  'last',
  'stddev',
  'variance',
  'percentile',
  'percentiles',
  'uniques',
  'countDistinct',
  'histogram',
  'topK',
  'increase',
  'rate',
  'delta',
  'timeWeightedAvg',
  'output',
] as const
export type Fn = (typeof functions)[number]

/** What one line of the form says. */
export interface Aggregate {
  readonly fn: Fn
  /** Null: rows, or nothing is chosen yet. */
  readonly column: string | null
  /** Its name in the answer; null: one is made. */
  readonly name: string | null
  readonly q: number
  readonly qs: readonly number[]
  readonly k: number
  readonly borders: readonly number[]
  /** Null: the tenant and what the table is ordered by. */
  readonly series: readonly string[] | null
  readonly method: 'locf' | 'linear'
  /** Only rows of these are aggregated. */
  readonly where: readonly Filter[]
}

export const plainAggregate: Aggregate = {
  fn: 'count',
  column: null,
  name: null,
  q: 0.95,
  qs: [0.5, 0.9, 0.95, 0.99],
  k: 5,
  borders: [],
  series: null,
  method: 'locf',
  where: [],
}

export interface FunctionInfo {
  readonly label: string
  readonly about: string
  readonly takes: 'anything' | 'ordered' | 'numbers'
}

export const functionInfo: Readonly<Record<Fn, FunctionInfo>> = {
  count: { label: 'Count', about: 'rows, or rows where a column has a value', takes: 'anything' },
  sum: { label: 'Sum', about: 'all values added', takes: 'numbers' },
  avg: { label: 'Average', about: 'sum by count', takes: 'numbers' },
  min: { label: 'Minimum', about: 'the least value', takes: 'ordered' },
  max: { label: 'Maximum', about: 'the greatest value', takes: 'ordered' },
  first: { label: 'First', about: 'of the oldest row', takes: 'ordered' },
  last: { label: 'Last', about: 'of the newest row', takes: 'ordered' },
  stddev: { label: 'Standard deviation', about: 'of the sample', takes: 'numbers' },
  variance: { label: 'Variance', about: 'of the sample', takes: 'numbers' },
  percentile: { label: 'Percentile', about: 'within 1 %', takes: 'numbers' },
  percentiles: { label: 'Percentiles', about: 'several at once, within 1 %', takes: 'numbers' },
  uniques: { label: 'Unique values', about: 'exact up to 512, then an estimate', takes: 'ordered' },
  countDistinct: { label: 'Unique values, exact', about: 'slower than the estimate', takes: 'ordered' },
  histogram: { label: 'Histogram', about: 'how values are spread: the heat map', takes: 'numbers' },
  topK: { label: 'Most frequent values', about: 'with their counts', takes: 'ordered' },
  increase: { label: 'Increase', about: 'of a counter, resets noticed', takes: 'numbers' },
  rate: { label: 'Rate', about: 'increase of a counter per second', takes: 'numbers' },
  delta: { label: 'Change', about: 'of a gauge: last less first', takes: 'numbers' },
  timeWeightedAvg: { label: 'Average over time', about: 'of a gauge, weighted by time', takes: 'numbers' },
  output: { label: 'Kept', about: 'what the continuous aggregate keeps', takes: 'anything' },
}

const needsTime: ReadonlySet<Fn> = new Set(['first', 'last', 'increase', 'rate', 'delta', 'timeWeightedAvg'])
export const bySeries: ReadonlySet<Fn> = new Set(['increase', 'rate', 'delta', 'timeWeightedAvg'])

const numbers: ReadonlySet<string> = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'numeric'])

export function isNumber(type: string): boolean {
  return numbers.has(type)
}

/** What a function says to a column of this type; `json`: a path. */
export function fits(fn: Fn, type: string): boolean {
  if (fn === 'output') return true
  const { takes } = functionInfo[fn]
  if (type === 'json') return true
  if (takes === 'anything') return true
  if (takes === 'numbers') return numbers.has(type)
  return type !== 'jsonb' && type !== 'text[]'
}

/** Functions that this dataset can be asked for, in the order of the menu. */
export function functionsOf(dataset: DatasetInfo): readonly Fn[] {
  if (dataset.kind === 'aggregate') return ['output', ...siblingFunctions(dataset)]
  const types = dataset.columns.map(({ type }) => type)
  return functions.filter(
    (fn) =>
      fn !== 'output' &&
      (dataset.time !== null || !needsTime.has(fn)) &&
      (fn === 'count' || types.some((type) => fits(fn, type) || type === 'jsonb')),
  )
}

/** Columns that a function takes: jsonb columns, too, for a path in them. */
export function columnsFor(dataset: DatasetInfo, fn: Fn): readonly ColumnInfo[] {
  if (dataset.kind === 'aggregate') {
    const { select = {} } = dataset.aggregate ?? {}
    if (fn === 'output') return dataset.columns.filter(({ name }) => Object.hasOwn(select, name))
    return siblings(dataset, fn).map((name) => ({
      name,
      type: 'float8',
      nullable: true,
      hasDefault: false,
      comment: null,
    }))
  }
  return dataset.columns.filter(({ type }) => type === 'jsonb' || fits(fn, type))
}

/** States that several functions are finished from. */
const families: readonly (readonly Fn[])[] = [
  ['sum', 'avg'],
  ['percentile', 'percentiles'],
  ['stddev', 'variance'],
]

function kept(dataset: DatasetInfo): readonly { readonly fn: Fn; readonly column: string }[] {
  const { select = {} } = dataset.aggregate ?? {}
  return Object.values(select).flatMap((call) => {
    const { fn, column, where } = call as { fn?: Fn; column?: string; where?: unknown }
    return fn !== undefined && column !== undefined && where === undefined ? [{ fn, column }] : []
  })
}

/** Columns under a continuous aggregate of which it keeps what this function is made of. */
function siblings(dataset: DatasetInfo, fn: Fn): readonly string[] {
  const family = families.find((one) => one.includes(fn)) ?? []
  return [...new Set(kept(dataset).flatMap((call) => (family.includes(call.fn) ? [call.column] : [])))]
}

function siblingFunctions(dataset: DatasetInfo): readonly Fn[] {
  return families.flat().filter((fn) => siblings(dataset, fn).length > 0)
}

/** What a group may be; a jsonb column for a path in it. */
export function groupColumns(dataset: DatasetInfo): readonly ColumnInfo[] {
  if (dataset.kind === 'aggregate') {
    const { keys = [], dimensions = [] } = dataset.aggregate ?? {}
    return dataset.columns.filter(({ name }) => keys.includes(name) || dimensions.includes(name))
  }
  return dataset.columns.filter(({ name }) => name !== dataset.time)
}

/** What a condition may be about. */
export function filterColumns(dataset: DatasetInfo): readonly ColumnInfo[] {
  return dataset.kind === 'aggregate' ? groupColumns(dataset) : dataset.columns
}

/** The first question to a dataset: how much is there. */
export function firstAggregates(dataset: DatasetInfo): readonly Aggregate[] {
  if (dataset.kind !== 'aggregate') return [plainAggregate]
  const { select = {} } = dataset.aggregate ?? {}
  const names = Object.keys(select)
  const drawn = names.filter((name) => {
    const type = dataset.columns.find((column) => column.name === name)?.type ?? ''
    return type === 'count' || numbers.has(type)
  })
  const [first] = drawn.length > 0 ? drawn : names
  return first === undefined ? [] : [{ ...plainAggregate, fn: 'output', column: first }]
}

function short(q: number): string {
  return `p${Number((q * 100).toPrecision(12))}`
}

/** Names of the parts of an output that gives several numbers. */
export function partNames(aggregate: Aggregate): readonly string[] | null {
  return aggregate.fn === 'percentiles' ? aggregate.qs.map(short) : null
}

/** `p95 of latencyMs`: for people. */
export function aggregateText({ fn, column, q, name, where }: Aggregate): string {
  const only = where.length === 0 ? '' : ' where…'
  if (name !== null) return name
  if (fn === 'output') return column ?? '…'
  if (fn === 'count') return (column === null ? 'count of rows' : `count of ${column}`) + only
  const of = ` of ${column ?? '…'}`
  if (fn === 'percentile') return short(q) + of + only
  return functionInfo[fn].label.toLowerCase() + of + only
}

/** A name that `select` takes: `p95_latencyMs`. */
function ownName({ fn, column, q, where }: Aggregate): string {
  const of = column === null ? '' : `_${column}`
  const head = fn === 'percentile' ? short(q) : fn
  const text = fn === 'output' ? (column ?? 'output') : `${head}${of}${where.length === 0 ? '' : '_where'}`
  const clean = text.replace(/[^\p{L}\p{N}_$ .%/()-]/gu, '_').slice(0, 60)
  return /^[\p{L}_$]/u.test(clean) ? clean : `_${clean}`
}

/** Whether it can be asked: its column is chosen, and so are the borders of a histogram. */
export function isAskable({ fn, column, borders }: Aggregate): boolean {
  if (fn === 'histogram' && borders.length === 0) return false
  return fn === 'count' || (column !== null && column !== '')
}

export interface NamedAggregate {
  readonly name: string
  readonly aggregate: Aggregate
}

/** Each with its name in the answer, no two alike. */
export function nameAll(
  aggregates: readonly Aggregate[],
  taken: readonly string[] = [],
): readonly NamedAggregate[] {
  const used = new Set(['bucket', ...taken])
  return aggregates.filter(isAskable).map((aggregate) => {
    const wanted = aggregate.name ?? ownName(aggregate)
    let name = wanted
    for (let n = 2; used.has(name); n++) name = `${wanted} ${n}`
    used.add(name)
    return { name, aggregate }
  })
}

/** As `select` has it. */
export function toCall(dataset: DatasetInfo, aggregate: Aggregate): unknown {
  const { fn, column, q, qs, k, borders, series, method } = aggregate
  if (fn === 'output') return column
  const where = toWhere(dataset, aggregate.where)
  return {
    fn,
    ...(column === null ? {} : { column }),
    ...(fn === 'percentile' ? { q } : {}),
    ...(fn === 'percentiles' ? { qs } : {}),
    ...(fn === 'topK' ? { k } : {}),
    ...(fn === 'histogram' ? { borders } : {}),
    ...(fn === 'timeWeightedAvg' && method !== 'locf' ? { method } : {}),
    ...(bySeries.has(fn) && series !== null ? { series } : {}),
    ...(where === undefined ? {} : { where }),
  }
}

/** The smallest change that makes it right after another function was chosen. */
export function withFunction(dataset: DatasetInfo, aggregate: Aggregate, fn: Fn): Aggregate {
  const { column } = aggregate
  if (fn === 'count' && dataset.kind !== 'aggregate') return { ...aggregate, fn, name: null }
  const choices = columnsFor(dataset, fn)
  const type = column === null ? null : dataset.kind === 'aggregate' ? null : typeOf(dataset, column)
  const keeps =
    column !== null &&
    (dataset.kind === 'aggregate'
      ? choices.some(({ name }) => name === column)
      : type !== null && type !== 'jsonb' && fits(fn, type))
  // a jsonb column needs a path, which nobody can guess
  const first = choices.find((choice) => choice.type !== 'jsonb' && choice.name !== dataset.time)
  const next = keeps ? column : (first?.name ?? null)
  return { ...aggregate, fn, column: next, name: null, borders: next === column ? aggregate.borders : [] }
}
