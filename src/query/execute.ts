import { type Answer, createAnswer, type PartialOutput } from './answer.ts'
import { lookUpDimensions } from './dimensions.ts'
import { executeAggregate, partialOutputs } from './execute-aggregate.ts'
import { executeLatest, executeRows, type RowsPage, rangeOfPage } from './execute-rows.ts'
import { stateRequests } from './materialization.ts'
import type { AggregateQueryNode, QueryNode } from './nodes.ts'
import { partsRead, type QueryContext, type Reading, startReading } from './read-parts.ts'
import { hidesOthers, planForTenant } from './tenant-plan.ts'
import type { ReadSnapshot } from './tier.ts'

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
  const { reading, rows, cursor, partial } = await confirmed(context.snapshot, () => read(node, context))
  reading.kept?.keep()
  const answer = createAnswer({
    node,
    rows,
    cursor,
    range: reading.range,
    parts: partsRead(reading),
    aggregates: [...reading.considered.values()],
    partial,
    snapshot: context.snapshot,
    now: context.clock.now(),
    stages: reading.stages,
    startedMs,
    limits: context.limits,
  })
  return hidesOthers(node.dataset, node.scope) ? { ...answer, plan: planForTenant(answer.plan) } : answer
}

interface Found extends RowsPage {
  readonly reading: Reading
  readonly partial: readonly PartialOutput[]
}

async function read(node: QueryNode, context: QueryContext): Promise<Found> {
  if (node.kind === 'aggregate') return readAggregate(node, context)
  const range = node.kind === 'rows' ? rangeOfPage(node) : node.range
  const reading = await startReading(node.dataset, range, context, null, null, 'rows')
  if (node.kind === 'rows') return { reading, ...(await executeRows(node, reading)), partial: [] }
  return { reading, rows: await executeLatest(node, reading), cursor: null, partial: [] }
}

async function readAggregate(node: AggregateQueryNode, context: QueryContext): Promise<Found> {
  const lookedUp = node.dimensions ? await lookUpDimensions(node, stateRequests(node), context) : null
  const asked = lookedUp?.node ?? node
  const kept = context.results?.begin(asked, context) ?? null
  const reading = await startReading(node.dataset, node.range, context, node.of ?? null, kept)
  const rows = await executeAggregate(node, reading, lookedUp)
  return { reading, rows, cursor: null, partial: partialOutputs(node, reading.unknown) }
}

/** Reads, and reads again when it was done with a catalog that the snapshot does not see; so at most twice. */
async function confirmed<T>(snapshot: ReadSnapshot, read: () => Promise<T>): Promise<T> {
  if (!snapshot.confirm) return read()
  let found: T
  try {
    found = await read()
  } catch (error) {
    // What is wrong may be the catalog: a part that nobody covers any more, a file that is gone.
    if (await snapshot.confirm().catch(() => true)) throw error
    return read()
  }
  return (await snapshot.confirm()) ? found : read()
}
