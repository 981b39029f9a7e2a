import type { ColumnDefinition, ContinuousAggregateDefinition, DimensionDefinition } from '../schema/index.ts'
import { type BucketSpec, bucketMisfit, type TimeRange } from '../time/index.ts'
import { bucketsThatBegin } from './bucket-plan.ts'
import { type Materialization, materializationOf, stateRequestKey, stateRequests } from './materialization.ts'
import type { AggregateNode, AggregateQueryNode, DimensionNode, FilterNode, GroupNode } from './nodes.ts'
import { parseAggregate, parseRest, parseSelect } from './parse-aggregate.ts'
import {
  aggregateKeys,
  assertDistinct,
  assertKeys,
  type Context,
  type Fields,
  parseList,
  parseTimeRange,
} from './parse-context.ts'
import { parseFilter } from './parse-filter.ts'
import { at, fail, show, suggest } from './problem.ts'
import { readBucket } from './read-time.ts'
import { columnOf, type OutputColumn, outputColumns, typeOfRef } from './references.ts'

const ofRows = ['latestBy', 'columns', 'cursor', 'direction'] as const

/**
 * A question to a continuous aggregate by its name is one to the hypertable under it: its filter is added, `from` and `to` choose whole
 * buckets of it, and only what its cells hold can be named.
 */
export function parseCellsQuery(
  query: Fields,
  definition: ContinuousAggregateDefinition,
  context: Context,
): AggregateQueryNode {
  for (const key of ofRows)
    if (query[key] !== undefined)
      fail(
        key,
        `${definition.name} is a continuous aggregate, which has no rows; ask ${definition.base.name} for rows`,
      )
  assertKeys(query, aggregateKeys, '')
  const of = materializationOf(definition)
  const named: Names = { of, dimensions: new Map() }
  const bucket = readBucketOf(query, of.bucket)
  const range = rangeOf(query, of.bucket, context)
  const by = parseGroups(query, named)
  const where = query['where'] == null ? null : parseKeyFilter(query['where'], named, context)
  const select =
    query['select'] === undefined
      ? of.outputs.map(({ name, aggregate }) => ({ name, aggregate }))
      : parseSelect(query['select'], context, (input, path) => parseOutput(input, path, of, context))
  const dimensions = [...named.dimensions.values()]
  return parseRest(
    query,
    {
      kind: 'aggregate',
      of: definition,
      dataset: of.base,
      range,
      bucket,
      by,
      select,
      ...(dimensions.length === 0
        ? { where: both(of.where, where) }
        : { where: of.where, dimensions, keysWhere: where }),
    },
    context,
  )
}

/** Absent: the aggregate's own. A zone that is not given is the aggregate's, too. */
function readBucketOf(query: Fields, own: BucketSpec): BucketSpec | null {
  const { bucket, zone } = query
  if (bucket === null) return null
  if (bucket === undefined) return own
  const spec = readBucket(bucket, zone ?? own.zone)
  const misfit = bucketMisfit(own, spec, "the aggregate's own bucket")
  if (misfit !== null)
    fail('bucket', `${misfit}; ask '${own.every.text}' or what is made of it, or the hypertable itself`)
  return spec
}

/** The buckets that begin in the range, as `where bucket >= … and bucket < …` in SQL; so none is cut. */
function rangeOf(query: Fields, own: BucketSpec, context: Context): TimeRange | null {
  const zone = query['zone'] ?? (query['from'] == null && query['to'] == null ? undefined : own.zone)
  const range = parseTimeRange({ ...query, zone }, context)
  return range === null ? null : bucketsThatBegin(own, range)
}

/** What of an aggregate a query may name, and the dimensions that it has named. */
interface Names {
  readonly of: Materialization
  readonly dimensions: Map<string, DimensionNode>
}

type Named = { readonly key: GroupNode } | { readonly dimension: DimensionNode }

function resolve(name: string, path: string, names: Names): Named {
  const { definition, keys } = names.of
  const key = keys.find((group) => group.name === name)
  if (key) return { key }
  const found = Object.hasOwn(definition.dimensions, name) ? definition.dimensions[name] : undefined
  if (found === undefined) {
    const known = [...keys.map((group) => group.name), ...Object.keys(definition.dimensions)]
    return fail(path, `${definition.name} has no key "${name}"${suggest(name, known)}`)
  }
  const dimension = names.dimensions.get(name) ?? dimensionNode(name, found, keys)
  names.dimensions.set(name, dimension)
  return { dimension }
}

function dimensionNode(name: string, found: DimensionDefinition, keys: readonly GroupNode[]): DimensionNode {
  return {
    name,
    table: found.source,
    column: found.column,
    on: Object.entries(found.on).map(([column, key]) => ({
      column,
      key: keys.find((group) => group.name === key) as GroupNode,
    })),
  }
}

function parseGroups(query: Fields, names: Names): readonly GroupNode[] {
  if (query['by'] == null) return query['select'] === undefined ? names.of.keys : []
  const groups = parseList(query['by'], 'by').map((name, i): GroupNode => {
    const path = at('by', i)
    if (typeof name !== 'string') return fail(path, `${show(name)} is not the name of a key`)
    const found = resolve(name, path, names)
    if ('key' in found) return found.key
    const { dimension } = found
    return { name, ref: { column: dimension.column, path: [] }, dimension }
  })
  assertDistinct(
    groups.map((group) => group.name),
    'by',
  )
  return groups
}

function parseKeyFilter(input: unknown, names: Names, context: Context): FilterNode | null {
  const { clock, limits, budget } = context
  return parseFilter(input, 'where', {
    clock,
    limits,
    budget,
    resolve: (name, path) => {
      const found = resolve(name, path, names)
      if ('dimension' in found) {
        const { table, column, on } = found.dimension
        if (on.some(({ key }) => key.ref.path.length > 0))
          fail(
            path,
            `"${name}" is found by what is kept as text; group by it and say in having which groups to keep`,
          )
        const { type } = columnOf(table, column) as ColumnDefinition
        return { ref: { column: name, path: [] }, type }
      }
      const { ref } = found.key
      if (ref.path.length > 0)
        fail(path, `"${name}" is kept as text; group by it and say in having which groups to keep`)
      return { ref, type: typeOfRef(names.of.base, ref) }
    },
  })
}

/** An output by its name, or an aggregate that is finished from what is kept. */
function parseOutput(input: unknown, path: string, of: Materialization, context: Context): AggregateNode {
  const outputs = of.outputs.map(({ name }) => name)
  if (typeof input === 'string') {
    const found = of.outputs.find(({ name }) => name === input)
    return (
      found?.aggregate ??
      fail(path, `${of.definition.name} has no output "${input}"${suggest(input, outputs)}`)
    )
  }
  const aggregate = parseAggregate(input, path, context)
  const [state] = stateRequests({ dataset: of.base, select: [{ name: 'it', aggregate }] })
  const key = state && stateRequestKey(state)
  if (of.states.some((kept) => stateRequestKey(kept) === key)) return aggregate
  return fail(
    path,
    `${of.definition.name} does not keep what ${aggregate.fn} is made of; it has ${outputs.join(', ')} (of the same column and filter, others can be asked)`,
  )
}

function both(first: FilterNode | null, second: FilterNode | null): FilterNode | null {
  if (first === null || second === null) return first ?? second
  return { kind: 'and', filters: [first, second] }
}

/** What can be asked of an aggregate: bucket, keys and outputs, then dimensions. */
export function cellColumns(definition: ContinuousAggregateDefinition): readonly OutputColumn[] {
  const { base, bucket, keys, outputs } = materializationOf(definition)
  const asked = {
    kind: 'aggregate' as const,
    dataset: base,
    range: null,
    where: null,
    bucket,
    by: keys,
    select: outputs,
  }
  return [
    ...outputColumns({ ...asked, having: null, order: [], limit: null, fill: { kind: 'none' } }),
    ...Object.entries(definition.dimensions).map(
      ([name, { source, column }]): OutputColumn => ({
        name,
        type: (source.columns[column] as ColumnDefinition).type,
        nullable: true,
      }),
    ),
  ]
}
