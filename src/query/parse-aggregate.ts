import {
  type AggregateFunction,
  aggregateFunctions,
  aggregates,
  maxTopK,
  type ResultType,
  type TimeWeight,
} from '../aggregate/index.ts'
import type { ColumnDefinition, DatasetDefinition } from '../schema/index.ts'
import type { BucketSpec } from '../time/index.ts'
import { defaultQuantiles } from './aggregates.ts'
import { assertWithin } from './limits.ts'
import type {
  AggregateNode,
  AggregateQueryNode,
  ColumnRef,
  FilterNode,
  GroupNode,
  OrderNode,
} from './nodes.ts'
import {
  aggregateKeys,
  assertDistinct,
  assertKeys,
  type Context,
  type Fields,
  parseLimit,
  parseList,
  parseTimeRange,
  parseWhere,
  timeOf,
} from './parse-context.ts'
import { parseFill } from './parse-fill.ts'
import { parseFilter } from './parse-filter.ts'
import { at, fail, isPlainObject, plainObject, show, suggest } from './problem.ts'
import { readBucket } from './read-time.ts'
import {
  columnOf,
  inputTypeOf,
  outputColumns,
  parseColumn,
  parseRef,
  typeOfGroup,
  typeOfRef,
} from './references.ts'

export function parseAggregateQuery(query: Fields, context: Context): AggregateQueryNode {
  assertKeys(query, aggregateKeys, '')
  const { dataset } = context
  const range = parseTimeRange(query, context)
  const bucket = parseBucket(query, context)
  const by = query['by'] == null ? [] : parseGroups(query['by'], context)
  const where = parseWhere(query['where'], 'where', context)
  const select = parseSelect(query['select'], context, parseAggregate)
  return parseRest(query, { kind: 'aggregate', dataset, range, where, bucket, by, select }, context)
}

/** What is about the answer: having, order, limit, fill. */
export function parseRest(
  query: Fields,
  asked: Omit<AggregateQueryNode, 'having' | 'order' | 'limit' | 'fill'>,
  context: Context,
): AggregateQueryNode {
  const { bucket, by, select } = asked
  const names = [...(bucket ? ['bucket'] : []), ...by.map((group) => group.name)]
  for (const { name } of select)
    if (names.includes(name)) fail(at('select', name), `"${name}" is already the name of a bucket or group`)
  if (bucket && by.some((group) => group.name === 'bucket'))
    fail('by', 'a group named "bucket" collides with the time bucket; leave one of them out')
  const outputs = outputColumns({ ...asked, having: null, order: [], limit: null, fill: { kind: 'none' } })
  const types = new Map(outputs.map((column) => [column.name, column.type]))
  const having = query['having'] == null ? null : parseHaving(query['having'], types, context)
  const order = query['order'] == null ? [] : parseOrder(query['order'], types)
  const limit = parseLimit(query['limit'], context)
  const fill = parseFill(query['fill'], asked, context.limits)
  return { ...asked, having, order, limit, fill }
}

function parseBucket(query: Fields, { dataset }: Context): BucketSpec | null {
  if (query['bucket'] == null) return null
  if (timeOf(dataset) === null) fail('bucket', `${dataset.name} is a plain table and has no time`)
  return readBucket(query['bucket'], query['zone'])
}

function parseGroups(input: unknown, { dataset, limits }: Context): readonly GroupNode[] {
  const groups = parseList(input, 'by').map((name, i): GroupNode => {
    const place = at('by', i)
    if (typeof name !== 'string') return fail(place, `${show(name)} is not the name of a column`)
    const ref = parseRef(dataset, name, place)
    if (typeOfGroup(dataset, ref) === 'jsonb')
      fail(place, `"${name}" is jsonb; group by a path inside of it, such as "${name}.key"`)
    return { name, ref }
  })
  assertWithin(
    'the number of columns in by',
    groups.length,
    limits.maxGroups,
    'group by fewer (the limit is maxGroups)',
  )
  assertDistinct(
    groups.map((group) => JSON.stringify([group.ref.column, group.ref.path])),
    'by',
  )
  return groups
}

export function parseSelect(
  input: unknown,
  context: Context,
  parseOne: (input: unknown, path: string, context: Context) => AggregateNode,
): AggregateQueryNode['select'] {
  const select = plainObject(input, 'select', 'a set of aggregates such as { rows: { "fn": "count" } }')
  const entries = Object.entries(select).filter(([, aggregate]) => aggregate !== undefined)
  if (entries.length === 0) fail('select', 'it is empty; ask for at least one aggregate')
  assertWithin(
    'the number of aggregates in select',
    entries.length,
    context.limits.maxSelect,
    'ask in parts (the limit is maxSelect)',
  )
  return entries.map(([name, aggregate]) => {
    const place = at('select', name)
    if (!/^[\p{L}_$][\p{L}\p{N}_$ .%/()-]{0,62}$/u.test(name) || name === '__proto__')
      fail(place, 'a name begins with a letter and has at most 63 letters, digits, spaces or _ $ . % / ( ) -')
    return { name, aggregate: parseOne(aggregate, place, context) }
  })
}

const aggregateFields: Readonly<Partial<Record<AggregateFunction, readonly string[]>>> = {
  percentile: ['fn', 'column', 'where', 'q'],
  percentiles: ['fn', 'column', 'where', 'qs'],
  histogram: ['fn', 'column', 'where', 'borders'],
  topK: ['fn', 'column', 'where', 'k'],
  increase: ['fn', 'column', 'where', 'series'],
  rate: ['fn', 'column', 'where', 'series'],
  delta: ['fn', 'column', 'where', 'series'],
  timeWeightedAvg: ['fn', 'column', 'where', 'series', 'method'],
}

const bySeries: ReadonlySet<AggregateFunction> = new Set(['increase', 'rate', 'delta', 'timeWeightedAvg'])
const needsTime: ReadonlySet<AggregateFunction> = new Set(['first', 'last', ...bySeries])

export function parseAggregate(input: unknown, path: string, context: Context): AggregateNode {
  if (!isPlainObject(input)) return fail(path, `${show(input)} is not an aggregate such as { "fn": "count" }`)
  const fn = input['fn'] as AggregateFunction
  if (typeof fn !== 'string' || !aggregateFunctions.includes(fn))
    return fail(at(path, 'fn'), `there is no function ${show(fn)}${suggest(String(fn), aggregateFunctions)}`)
  assertKeys(input, aggregateFields[fn] ?? ['fn', 'column', 'where'], path)
  const { dataset } = context
  const column = input['column'] ?? null
  let ref: ColumnRef | null = null
  if (column === null) {
    if (aggregates[fn].needsColumn) fail(path, `${fn} needs a column`)
  } else {
    const place = at(path, 'column')
    if (typeof column !== 'string') return fail(place, `${show(column)} is not the name of a column`)
    ref = parseRef(dataset, column, place)
    if (typeOfRef(dataset, ref) === 'jsonb' && ref.path.length === 0 && fn !== 'count')
      fail(place, `"${column}" is jsonb; aggregate a path inside of it, such as "${column}.key"`)
    if (needsTime.has(fn) && timeOf(dataset) === null)
      fail(place, `${fn} needs a time, and ${dataset.name} is a plain table`)
    const refusal = aggregates[fn].refuses(inputTypeOf(dataset, fn, ref))
    if (refusal !== null) fail(place, `${fn} takes ${refusal}; "${column}" is ${typeOfRef(dataset, ref)}`)
  }
  return {
    kind: 'aggregate',
    fn,
    ref,
    where: parseWhere(input['where'], at(path, 'where'), context),
    quantile: fn === 'percentile' ? parseQuantile(input['q'], at(path, 'q')) : null,
    ...(fn === 'topK' ? { k: parseK(input['k'], at(path, 'k')) } : {}),
    ...(bySeries.has(fn) ? { series: parseSeries(input['series'], at(path, 'series'), context) } : {}),
    ...(fn === 'timeWeightedAvg' ? { weight: parseWeight(input['method'], at(path, 'method')) } : {}),
    ...(fn === 'percentiles' ? { quantiles: parseQuantiles(input['qs'], at(path, 'qs'), context) } : {}),
    borders: fn === 'histogram' ? parseBorders(input['borders'], at(path, 'borders'), context) : null,
  }
}

function parseQuantile(input: unknown, path: string): number {
  if (typeof input === 'number' && input >= 0 && input <= 1) return input === 0 ? 0 : input
  return fail(path, `${show(input)} is not a share from 0 to 1 (0.95 for the 95th percentile)`)
}

function parseK(input: unknown, path: string): number {
  if (Number.isInteger(input) && (input as number) >= 1 && (input as number) <= maxTopK)
    return input as number
  return fail(path, `${show(input)} is not a whole number from 1 to ${maxTopK}`)
}

const weights = ['locf', 'linear'] as const

function parseWeight(input: unknown, path: string): TimeWeight {
  if (input == null) return 'locf'
  return (
    weights.find((weight) => weight === input) ?? fail(path, `${show(input)} is not ${weights.join(' or ')}`)
  )
}

/** Readings belong together when all of these are equal; by default the tenant and what the table is ordered by, but its time. */
function parseSeries(input: unknown, path: string, { dataset, limits }: Context): readonly string[] {
  if (input == null) {
    if (dataset.kind !== 'hypertable') return []
    const { tenant, orderBy, time } = dataset
    const names = [...(tenant === null ? [] : [tenant]), ...orderBy]
    return [...new Set(names)].filter((name) => name !== time && isKey(dataset, name)).sort()
  }
  const series = parseList(input, path).map((name, i) => {
    const column = parseColumn(dataset, name, at(path, i))
    if (!isKey(dataset, column))
      fail(at(path, i), `"${column}" is jsonb or text[], which tells no series apart`)
    return column
  })
  assertWithin(
    `the number of columns in ${path}`,
    series.length,
    limits.maxGroups,
    'name fewer (the limit is maxGroups)',
  )
  assertDistinct(series, path)
  // one order, so that equal series are one state
  return series.sort()
}

function isKey(dataset: DatasetDefinition, name: string): boolean {
  const { type } = columnOf(dataset, name) as ColumnDefinition
  return type !== 'jsonb' && type !== 'text[]'
}

function parseQuantiles(input: unknown, path: string, { limits }: Context): readonly number[] {
  if (input == null) return defaultQuantiles
  const quantiles = parseList(input, path)
  if (quantiles.length === 0) fail(path, 'the list is empty; give at least one share such as 0.95')
  assertWithin(
    `the number of shares in ${path}`,
    quantiles.length,
    limits.maxBorders,
    'give fewer (the limit is maxBorders)',
  )
  return quantiles.map((quantile, i) => parseQuantile(quantile, at(path, i)))
}

function parseBorders(input: unknown, path: string, { limits }: Context): readonly number[] {
  const borders = parseList(input, path)
  if (borders.length === 0) fail(path, 'the list is empty; give at least one border')
  assertWithin(
    `the number of borders in ${path}`,
    borders.length,
    limits.maxBorders,
    'give fewer (the limit is maxBorders)',
  )
  return borders.map((border, i) => {
    if (typeof border !== 'number' || !Number.isFinite(border))
      return fail(at(path, i), `${show(border)} is not a finite number`)
    if (i > 0 && !((borders[i - 1] as number) < border)) fail(at(path, i), 'borders must ascend')
    return border === 0 ? 0 : border
  })
}

function parseHaving(
  input: unknown,
  types: ReadonlyMap<string, ResultType>,
  context: Context,
): FilterNode | null {
  const { clock, limits, budget } = context
  return parseFilter(input, 'having', {
    clock,
    limits,
    budget,
    resolve: (name, path) => {
      const type = types.get(name)
      if (type === undefined)
        return fail(path, `the query has no output "${name}"${suggest(name, [...types.keys()])}`)
      return { ref: { column: name, path: [] }, type }
    },
  })
}

function isList(type: ResultType): boolean {
  return type === 'histogram' || type === 'percentiles' || type === 'topK'
}

function parseOrder(input: unknown, types: ReadonlyMap<string, ResultType>): readonly OrderNode[] {
  const order = (typeof input === 'string' ? [input] : parseList(input, 'order')).map(
    (item, i): OrderNode => {
      const place = at('order', i)
      if (typeof item !== 'string')
        return fail(place, `${show(item)} is not a name such as "bucket" or "-requests"`)
      const descending = item.startsWith('-') && !types.has(item)
      const by = descending ? item.slice(1) : item
      if (!types.has(by)) fail(place, `the query has no output "${by}"${suggest(by, [...types.keys()])}`)
      if (isList(types.get(by)!)) fail(place, `"${by}" is a list (${types.get(by)}), which has no order`)
      return { by, direction: descending ? 'desc' : 'asc' }
    },
  )
  assertDistinct(
    order.map((item) => item.by),
    'order',
  )
  return order
}
