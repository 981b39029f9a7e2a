import { type Answer, createAnswer } from './answer.ts'
import { executeAggregate } from './execute-aggregate.ts'
import { executeLatest, executeRows, rangeOfPage } from './execute-rows.ts'
import type { QueryNode } from './nodes.ts'
import { type QueryContext, startReading } from './read-parts.ts'

/**
 * Answers a query: asks the tiers what they hold, cuts the range into parts, reads each from the cheapest tier that
 * can answer, merges the partial states and finishes them. Everything is read in the context's one snapshot.
 *
 * @example
 * const answer = await executeQuery(parseQuery(input, { dataset, clock }), {
 *   tiers: [hot], snapshot, clock, signal: null, limits: defaultQueryLimits,
 * })
 *
 * @throws TidemarkError TM_QUERY, TM_LIMIT, TM_CANCELLED, and what the tiers raise.
 */
export async function executeQuery(node: QueryNode, context: QueryContext): Promise<Answer> {
  const startedMs = performance.now()
  const range = node.kind === 'rows' ? rangeOfPage(node) : node.range
  const reading = await startReading(node.dataset, range, context)
  const { rows, cursor } =
    node.kind === 'rows'
      ? await executeRows(node, reading)
      : {
          rows:
            node.kind === 'latest'
              ? await executeLatest(node, reading)
              : await executeAggregate(node, reading),
          cursor: null,
        }
  return createAnswer({
    node,
    rows,
    cursor,
    range: reading.range,
    parts: reading.parts,
    snapshot: context.snapshot,
    now: context.clock.now(),
    stages: reading.stages,
    startedMs,
    limits: context.limits,
  })
}
