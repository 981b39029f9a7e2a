import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { planBuckets } from './bucket-plan.ts'
import { type CellsQuery, readStretchCells } from './read-cells.ts'
import { type QueryContext, startReading } from './read-parts.ts'
import type { Cell } from './tier.ts'

/**
 * Cells as a query of a continuous aggregate by its name has them: what it keeps of chunks that retention has dropped counts, too.
 * `isUsed`: its cells are among what was read.
 *
 * @throws TidemarkError TM_QUERY where it cannot answer for rows that are gone; TM_LIMIT.
 */
export async function readNamedCells(
  aggregate: ContinuousAggregateDefinition,
  { dataset, bucket, by, where, states, range }: CellsQuery,
  context: QueryContext,
): Promise<{ readonly cells: readonly Cell[]; readonly isUsed: boolean }> {
  const { limits } = context
  const reading = await startReading(dataset, range, context, aggregate)
  const plan = planBuckets(bucket, range, limits.maxBuckets)
  const request = { dataset, bucket: plan, by, where, states, maxCells: limits.maxCells }
  const cells = await readStretchCells(reading, range, request)
  return { cells, isUsed: reading.considered.get(aggregate.name)?.used ?? false }
}
