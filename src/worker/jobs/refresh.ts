import { type RefreshContext, refreshAggregate, refreshEveryMs } from '../../continuous/index.ts'
import type { ContinuousAggregateDefinition } from '../../schema/index.ts'
import type { Job } from '../job.ts'

/** Brings a continuous aggregate up to the bucket that is running, as often as `refresh.every` says. */
export function refreshJob(definition: ContinuousAggregateDefinition, context: RefreshContext): Job {
  return {
    name: `refresh ${definition.name}`,
    everyMs: refreshEveryMs(definition),
    leaseMs: 3_600_000,
    async run({ signal }) {
      const { versions, rows, cells, swap, buildError, isBusy } = await refreshAggregate(
        context,
        definition,
        {
          signal,
          withRunning: false,
          backsOff: true,
        },
      )
      const building = versions.find(({ state }) => state === 'building')
      return {
        rows,
        cells,
        entries: versions.reduce((sum, { entries }) => sum + Number(entries), 0),
        ...(isBusy ? { taken: true } : {}),
        ...(building ? { builtRows: building.rows, builtCells: building.cells } : {}),
        ...(swap ? { newVersion: swap.problem ?? swap.kind } : {}),
        ...(buildError === null ? {} : { newVersion: buildError }),
      }
    },
  }
}
