import type { Lifecycle } from '../../lifecycle/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Job } from '../job.ts'

/** Gives back the space of rows that have moved, and drops partitions that stay empty. */
export function reclaimJob(definition: HypertableDefinition, lifecycle: Lifecycle): Job {
  return {
    name: `reclaim ${definition.name}`,
    everyMs: 2 * 60_000,
    leaseMs: 3_600_000,
    async run({ signal }) {
      const { reclaimed, bytes, dropped, held } = await lifecycle.reclaim(definition, { signal })
      return { reclaimed, bytes, dropped, held: held.map(({ chunk, reason }) => `chunk ${chunk}: ${reason}`) }
    },
  }
}
