import type { QueryNode } from './nodes.ts'
import { parseAggregateQuery } from './parse-aggregate.ts'
import { parseCellsQuery } from './parse-cells.ts'
import { type Context, type Fields, freezeNode, type ParseContext, startContext } from './parse-context.ts'
import { parseLatestQuery, parseRowsQuery } from './parse-rows.ts'
import { fail, plainObject } from './problem.ts'

/**
 * The border of the query engine: what a program, an HTTP body or the command line asks becomes a frozen node, or an
 * error with the path of what is wrong. `select` makes it an aggregate query, `latestBy` a query for the newest row
 * of each series, neither a query for rows; a continuous aggregate has aggregate queries alone.
 *
 * @example
 * parseQuery({ from: '-1 day', select: { requests: { fn: 'count' } } }, { dataset, clock })
 *
 * @throws TidemarkError TM_QUERY with the path; TM_LIMIT when a limit is passed.
 */
export function parseQuery(input: unknown, context: ParseContext): QueryNode {
  const { dataset } = context
  const query = plainObject(input, 'query', 'a query such as { select: { rows: { "fn": "count" } } }')
  if (dataset.kind === 'aggregate')
    return freezeNode(parseCellsQuery(query, dataset, startContext(context, dataset.base)))
  return freezeNode(parseStored(query, startContext(context, dataset)))
}

function parseStored(query: Fields, context: Context): QueryNode {
  if (query['select'] !== undefined && query['latestBy'] !== undefined)
    fail('latestBy', 'select and latestBy are two kinds of query; ask for one of them')
  if (query['select'] !== undefined) return parseAggregateQuery(query, context)
  return query['latestBy'] !== undefined ? parseLatestQuery(query, context) : parseRowsQuery(query, context)
}
