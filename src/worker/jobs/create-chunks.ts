import type { ChunkManager } from '../../hot/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Clock } from '../../time/index.ts'
import type { Job } from '../job.ts'

/**
 * Makes the chunks of now and of one interval ahead, so that ingest never waits for one. What it could not make in
 * time ingest makes itself, so a late run costs a little latency and nothing else.
 */
export function createChunksJob(definition: HypertableDefinition, chunks: ChunkManager, clock: Clock): Job {
  return {
    name: `create-chunks ${definition.name}`,
    everyMs: 5 * 60_000,
    leaseMs: 60_000,
    async run({ signal }) {
      return { created: await chunks.createAhead(definition, clock.now(), definition.chunk, { signal }) }
    },
  }
}
