import { assertWithin } from './limits.ts'
import type { LatestQueryNode, RowsQueryNode } from './nodes.ts'
import {
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
import { at, fail, show } from './problem.ts'
import { parseColumn, typeOfRef } from './references.ts'

const rowsKeys = ['from', 'to', 'zone', 'where', 'columns', 'direction', 'limit', 'cursor'] as const
const latestKeys = ['latestBy', 'from', 'to', 'zone', 'where', 'columns', 'limit'] as const

export function parseRowsQuery(query: Fields, context: Context): RowsQueryNode {
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

export function parseLatestQuery(query: Fields, context: Context): LatestQueryNode {
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

function parseColumns(input: unknown, { dataset }: Context): readonly string[] {
  if (input == null || input === '*') return Object.keys(dataset.columns)
  const columns = parseList(input, 'columns').map((name, i) => parseColumn(dataset, name, at('columns', i)))
  if (columns.length === 0) fail('columns', 'the list is empty; leave it out to get every column')
  assertDistinct(columns, 'columns')
  return columns
}
