import {
  type AggregateFunction,
  aggregateFunctions,
  aggregates,
  type ResultType,
} from '../aggregate/index.ts'
import type { DatasetDefinition } from '../schema/index.ts'
import type { BucketSpec, Clock, TimeRange } from '../time/index.ts'
import { coerceFloat, coerceNumeric, coerceText } from './coerce.ts'
import { assertWithin, defaultQueryLimits, type QueryLimits } from './limits.ts'
import type {
  AggregateNode,
  AggregateQueryNode,
  ColumnRef,
  FillNode,
  FilterNode,
  GroupNode,
  LatestQueryNode,
  OrderNode,
  QueryNode,
  RowsQueryNode,
} from './nodes.ts'
import { type FilterContext, parseFilter } from './parse-filter.ts'
import { at, deepFreeze, fail, isPlainObject, plainObject, show, suggest } from './problem.ts'
import { readBucket, readRange, readZone } from './read-time.ts'
import {
  inputTypeOf,
  outputColumns,
  parseColumn,
  parseRef,
  typeOfAggregate,
  typeOfGroup,
  typeOfRef,
} from './references.ts'

export interface ParseContext {
  readonly dataset: DatasetDefinition
  /** What "now" is for relative times. */
  readonly clock: Clock
  /** Default: `defaultQueryLimits`. */
  readonly limits?: QueryLimits
}

interface Context extends Required<ParseContext> {
  readonly budget: { nodes: number }
}

type Fields = Readonly<Record<string, unknown>>

const aggregateKeys = [
  'from',
  'to',
  'bucket',
  'zone',
  'by',
  'where',
  'select',
  'having',
  'order',
  'limit',
  'fill',
] as const
const rowsKeys = ['from', 'to', 'zone', 'where', 'columns', 'direction', 'limit', 'cursor'] as const
const latestKeys = ['latestBy', 'from', 'to', 'zone', 'where', 'columns', 'limit'] as const

/**
 * The border of the query engine: what a program, an HTTP body or the command line asks becomes a frozen node, or an
 * error with the path of what is wrong. `select` makes it an aggregate query, `latestBy` a query for the newest row
 * of each series, neither a query for rows.
 *
 * @example
 * parseQuery({ from: '-1 day', select: { requests: { fn: 'count' } } }, { dataset, clock })
 *
 * @throws TidemarkError TM_QUERY with the path; TM_LIMIT when a limit is passed.
 */
export function parseQuery(input: unknown, context: ParseContext): QueryNode {
  const now = context.clock.now()
  const full: Context = {
    dataset: context.dataset,
    clock: { now: () => now },
    limits: context.limits ?? defaultQueryLimits,
    budget: { nodes: 0 },
  }
  const query = plainObject(input, 'query', 'a query such as { select: { rows: { "fn": "count" } } }')
  if (query['select'] !== undefined && query['latestBy'] !== undefined)
    fail('latestBy', 'select and latestBy are two kinds of query; ask for one of them')
  const node =
    query['select'] !== undefined
      ? parseAggregateQuery(query, full)
      : query['latestBy'] !== undefined
        ? parseLatestQuery(query, full)
        : parseRowsQuery(query, full)
  return freezeNode(node)
}

/** The dataset is shared and frozen by the schema; everything else is ours. */
function freezeNode<N extends QueryNode>(node: N): N {
  for (const [key, value] of Object.entries(node)) if (key !== 'dataset') deepFreeze(value)
  return Object.freeze(node)
}

function assertKeys(query: Fields, known: readonly string[], path: string): void {
  for (const key of Object.keys(query)) {
    if (query[key] === undefined || known.includes(key)) continue
    if (path === '' && (aggregateKeys as readonly string[]).includes(key))
      fail(key, query['latestBy'] === undefined ? 'this belongs to a query with select' : 'not with latestBy')
    fail(at(path, key), `there is no "${key}"${suggest(key, known)}`)
  }
}

function timeOf(dataset: DatasetDefinition): string | null {
  return dataset.kind === 'hypertable' ? dataset.time : null
}

function parseTimeRange(query: Fields, context: Context): TimeRange | null {
  if (query['from'] == null && query['to'] == null) {
    if (query['zone'] != null && query['bucket'] == null)
      fail('zone', 'a zone has a meaning only together with bucket, from or to')
    assertRange(null, context)
    return null
  }
  if (timeOf(context.dataset) === null)
    fail(query['from'] == null ? 'to' : 'from', `${context.dataset.name} is a plain table and has no time`)
  const range = readRange(query['from'], query['to'], readZone(query['zone']), context.clock)
  assertRange(range, context)
  return range
}

function assertRange(range: TimeRange | null, { limits, dataset }: Context): void {
  if (limits.maxRangeMs === null || timeOf(dataset) === null) return
  if (range === null)
    fail('from', `from is needed, because maxRangeMs allows at most ${limits.maxRangeMs} ms`)
  assertWithin(
    'the width of the range in ms',
    Number((range.to - range.from) / 1000n),
    limits.maxRangeMs,
    'ask for a shorter range (a range without an end has no width), or raise limits.maxRangeMs',
  )
}

function filterContext(context: Context): FilterContext {
  const { dataset, clock, limits, budget } = context
  return {
    clock,
    limits,
    budget,
    resolve: (name, path) => {
      const ref = parseRef(dataset, name, path)
      return { ref, type: typeOfRef(dataset, ref) }
    },
  }
}

function parseWhere(input: unknown, path: string, context: Context): FilterNode | null {
  return input == null ? null : parseFilter(input, path, filterContext(context))
}

function parseLimit(input: unknown, context: Context): number | null {
  if (input == null) return null
  if (!Number.isSafeInteger(input) || (input as number) < 1)
    return fail('limit', `${show(input)} is not a whole number above 0`)
  assertWithin(
    'limit',
    input as number,
    context.limits.maxRows,
    'page through the rows, or raise limits.maxRows',
  )
  return input as number
}

function parseList(input: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(input)) return fail(path, `${show(input)} is not a list`)
  return input
}

function parseColumns(input: unknown, { dataset }: Context): readonly string[] {
  if (input == null || input === '*') return Object.keys(dataset.columns)
  const columns = parseList(input, 'columns').map((name, i) => parseColumn(dataset, name, at('columns', i)))
  if (columns.length === 0) fail('columns', 'the list is empty; leave it out to get every column')
  assertDistinct(columns, 'columns')
  return columns
}

function assertDistinct(names: readonly string[], path: string): void {
  const seen = new Set<string>()
  names.forEach((name, i) => {
    if (seen.has(name)) fail(at(path, i), `"${name}" is there twice`)
    seen.add(name)
  })
}

function parseRowsQuery(query: Fields, context: Context): RowsQueryNode {
  assertKeys(query, rowsKeys, '')
  const direction = query['direction'] ?? 'asc'
  if (direction !== 'asc' && direction !== 'desc')
    return fail('direction', `${show(direction)} is not asc or desc`)
  const cursor = query['cursor'] ?? null
  if (cursor !== null && typeof cursor !== 'string') return fail('cursor', `${show(cursor)} is not a cursor`)
  return {
    kind: 'rows',
    dataset: context.dataset,
    range: parseTimeRange(query, context),
    where: parseWhere(query['where'], 'where', context),
    columns: parseColumns(query['columns'], context),
    direction,
    limit:
      parseLimit(query['limit'], context) ?? Math.min(context.limits.defaultRowLimit, context.limits.maxRows),
    cursor,
  }
}

function parseLatestQuery(query: Fields, context: Context): LatestQueryNode {
  assertKeys(query, latestKeys, '')
  const { dataset, limits } = context
  if (timeOf(dataset) === null) fail('latestBy', `${dataset.name} is a plain table and has no time`)
  const by = parseList(query['latestBy'], 'latestBy').map((name, i) => {
    const place = at('latestBy', i)
    const column = parseColumn(dataset, name, place)
    const type = typeOfRef(dataset, { column, path: [] })
    if (type === 'jsonb') fail(place, `"${column}" is jsonb, which cannot be grouped by`)
    return column
  })
  assertWithin(
    'the number of columns in latestBy',
    by.length,
    limits.maxGroups,
    'name fewer (the limit is maxGroups)',
  )
  assertDistinct(by, 'latestBy')
  return {
    kind: 'latest',
    dataset,
    range: parseTimeRange(query, context),
    where: parseWhere(query['where'], 'where', context),
    columns: parseColumns(query['columns'], context),
    by,
    limit: parseLimit(query['limit'], context),
  }
}

function parseAggregateQuery(query: Fields, context: Context): AggregateQueryNode {
  assertKeys(query, aggregateKeys, '')
  const { dataset, limits } = context
  const range = parseTimeRange(query, context)
  const bucket = parseBucket(query, context)
  const by = query['by'] == null ? [] : parseGroups(query['by'], context)
  const where = parseWhere(query['where'], 'where', context)
  const select = parseSelect(query['select'], context)
  const names = [...(bucket ? ['bucket'] : []), ...by.map((group) => group.name)]
  for (const { name } of select)
    if (names.includes(name)) fail(at('select', name), `"${name}" is already the name of a bucket or group`)
  if (bucket && by.some((group) => group.name === 'bucket'))
    fail('by', 'a group named "bucket" collides with the time bucket; leave one of them out')
  const base = { kind: 'aggregate' as const, dataset, range, where, bucket, by, select }
  const outputs = outputColumns({ ...base, having: null, order: [], limit: null, fill: { kind: 'none' } })
  const types = new Map(outputs.map((column) => [column.name, column.type]))
  const having = query['having'] == null ? null : parseHaving(query['having'], types, context)
  const order = query['order'] == null ? [] : parseOrder(query['order'], types)
  const limit = parseLimit(query['limit'], context)
  const fill = parseFill(query['fill'], base, limits)
  return { ...base, having, order, limit, fill }
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

function parseSelect(input: unknown, context: Context): AggregateQueryNode['select'] {
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
    return { name, aggregate: parseAggregate(aggregate, place, context) }
  })
}

const aggregateFields: Readonly<Partial<Record<AggregateFunction, readonly string[]>>> = {
  percentile: ['fn', 'column', 'where', 'q'],
  histogram: ['fn', 'column', 'where', 'borders'],
}

function parseAggregate(input: unknown, path: string, context: Context): AggregateNode {
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
    if ((fn === 'first' || fn === 'last') && timeOf(dataset) === null)
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
    borders: fn === 'histogram' ? parseBorders(input['borders'], at(path, 'borders'), context) : null,
  }
}

function parseQuantile(input: unknown, path: string): number {
  if (typeof input === 'number' && input >= 0 && input <= 1) return input === 0 ? 0 : input
  return fail(path, `${show(input)} is not a share from 0 to 1 (0.95 for the 95th percentile)`)
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

function parseOrder(input: unknown, types: ReadonlyMap<string, ResultType>): readonly OrderNode[] {
  const order = (typeof input === 'string' ? [input] : parseList(input, 'order')).map(
    (item, i): OrderNode => {
      const place = at('order', i)
      if (typeof item !== 'string')
        return fail(place, `${show(item)} is not a name such as "bucket" or "-requests"`)
      const descending = item.startsWith('-') && !types.has(item)
      const by = descending ? item.slice(1) : item
      if (!types.has(by)) fail(place, `the query has no output "${by}"${suggest(by, [...types.keys()])}`)
      if (types.get(by) === 'histogram') fail(place, `"${by}" is a histogram, which has no order`)
      return { by, direction: descending ? 'desc' : 'asc' }
    },
  )
  assertDistinct(
    order.map((item) => item.by),
    'order',
  )
  return order
}

const fillWords = ['none', 'null', 'previous', 'linear'] as const

/** Types that `linear` can draw a line through, and that a constant number fits. */
export const arithmeticTypes: ReadonlySet<ResultType> = new Set([
  'int2',
  'int4',
  'int8',
  'float4',
  'float8',
  'numeric',
  'count',
] as const)

function parseFill(
  input: unknown,
  query: Pick<AggregateQueryNode, 'dataset' | 'bucket' | 'select'>,
  limits: QueryLimits,
): FillNode {
  if (input == null || input === 'none') return { kind: 'none' }
  if (!query.bucket) fail('fill', 'there are gaps to fill only between buckets; give a bucket')
  if (isPlainObject(input)) {
    assertKeys(input, ['constant'], 'fill')
    return parseConstant(input['constant'], query, limits)
  }
  const kind = fillWords.find((word) => word === input)
  if (!kind) return fail('fill', `${show(input)} is not ${fillWords.join(', ')} or { constant: 0 }`)
  if (kind === 'linear')
    for (const { name, aggregate } of query.select) {
      const type = typeOfAggregate(query.dataset, aggregate)
      if (!arithmeticTypes.has(type))
        fail('fill', `no line can be drawn through "${name}" (${type}); use "previous" or "null"`)
    }
  return { kind }
}

function parseConstant(
  value: unknown,
  query: Pick<AggregateQueryNode, 'dataset' | 'select'>,
  limits: QueryLimits,
): FillNode {
  const path = 'fill.constant'
  if (typeof value === 'string') coerceText(value, path, { limits })
  else if (typeof value !== 'number') return fail(path, `${show(value)} is not a number or text`)
  for (const { name, aggregate } of query.select) {
    const type = typeOfAggregate(query.dataset, aggregate)
    const misfit = (): never => fail(path, `${show(value)} does not fit "${name}", which is ${type}`)
    if (type === 'text') {
      if (typeof value !== 'string') misfit()
    } else if (!arithmeticTypes.has(type)) misfit()
    else if (type === 'numeric') coerceNumeric(value, path)
    else if (!Number.isInteger(coerceFloat(value, path)) && type !== 'float4' && type !== 'float8') misfit()
  }
  return { kind: 'constant', value: value as string | number }
}
