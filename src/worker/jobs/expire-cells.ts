import { expireCells, type RefreshContext } from '../../continuous/index.ts'
import type { ContinuousAggregateDefinition } from '../../schema/index.ts'
import type { Job } from '../job.ts'

/** Drops cells that are older than `retain` of a continuous aggregate. */
export function expireCellsJob(definition: ContinuousAggregateDefinition, context: RefreshContext): Job {
  return {
    name: `expire ${definition.name}`,
    everyMs: 10 * 60_000,
    leaseMs: 3_600_000,
    run: async ({ signal }) => ({ cells: await expireCells(context, definition, signal) }),
  }
}
