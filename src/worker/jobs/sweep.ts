import type { Lifecycle } from '../../lifecycle/index.ts'
import type { Job } from '../job.ts'

/** Removes files of the lake that nobody can need; one job for all tables. */
export function sweepJob(lifecycle: Lifecycle): Job {
  return {
    name: 'sweep',
    everyMs: 3_600_000,
    leaseMs: 3_600_000,
    async run({ signal }) {
      const { removed, bytes, kept, strays, held } = await lifecycle.sweep({ signal })
      return { removed, bytes, kept, strays, held }
    },
  }
}
