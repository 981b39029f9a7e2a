import { defaultQueryLimits } from './limits.ts'
import type { QueryNode } from './nodes.ts'
import { parseAggregateQuery } from './parse-aggregate.ts'
import type { Context, ParseContext } from './parse-context.ts'
import { parseLatestQuery, parseRowsQuery } from './parse-rows.ts'
import { deepFreeze, fail, plainObject } from './problem.ts'

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
