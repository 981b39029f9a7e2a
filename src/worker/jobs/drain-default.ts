import type { ChunkManager } from '../../hot/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Job, JobResult } from '../job.ts'

/** Moves rows that direct SQL wrote outside every chunk into chunks of their own. */
export function drainDefaultJob(definition: HypertableDefinition, chunks: ChunkManager): Job {
  return {
    name: `drain-default ${definition.name}`,
    everyMs: 60_000,
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      const outcome = await chunks.drainDefault(definition, { signal })
      if (outcome.kind === 'blocked') return { outcome: outcome.kind, reason: outcome.reason }
      const moved: JobResult = { outcome: outcome.kind, rows: Number(outcome.rows), chunks: outcome.chunks }
      return outcome.kind === 'capped' ? { ...moved, left: Number(outcome.left) } : moved
    },
  }
}
