import type { Lifecycle } from '../../lifecycle/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Job } from '../job.ts'

/** Drops chunks that lie wholly before what `retain` says. */
export function expireJob(definition: HypertableDefinition, lifecycle: Lifecycle): Job {
  return {
    name: `expire ${definition.name}`,
    everyMs: 10 * 60_000,
    leaseMs: 3_600_000,
    async run({ signal }) {
      const { chunks, files, rows, held } = await lifecycle.expire(definition, { signal })
      return { chunks, files, rows, held: held.map(({ chunk, reason }) => `chunk ${chunk}: ${reason}`) }
    },
  }
}
