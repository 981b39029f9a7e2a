import type { Lifecycle, MovedChunks } from '../../lifecycle/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Job, JobResult } from '../job.ts'

/** Moves chunks that `freeze.after` says are old into the lake. */
export function freezeJob(definition: HypertableDefinition, lifecycle: Lifecycle): Job {
  return {
    name: `freeze ${definition.name}`,
    everyMs: 60_000,
    leaseMs: 3_600_000,
    async run({ signal }) {
      const { waiting, ...moved } = await lifecycle.freezeDue(definition, { signal })
      return { ...describeMoved(moved), waiting }
    },
  }
}

/** What was moved, and what could not be, for `tidemark status`. */
export function describeMoved({ chunks, rows, bytes, taken, failed }: MovedChunks): JobResult {
  return {
    chunks,
    rows,
    bytes,
    taken: taken.length,
    failed: failed.map(({ chunk, reason }) => `chunk ${chunk}: ${reason}`),
  }
}
