import type { Lifecycle } from '../../lifecycle/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Job } from '../job.ts'
import { describeMoved } from './freeze.ts'

/** Takes late rows of cold chunks into the lake, and writes chunks of many pieces anew. */
export function compactJob(definition: HypertableDefinition, lifecycle: Lifecycle): Job {
  return {
    name: `compact ${definition.name}`,
    everyMs: 5 * 60_000,
    leaseMs: 3_600_000,
    run: async ({ signal }) => describeMoved(await lifecycle.compactDue(definition, { signal })),
  }
}
