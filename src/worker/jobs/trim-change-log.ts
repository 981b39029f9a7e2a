import { trimChangeLog } from '../../changelog/index.ts'
import type { Database } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Job } from '../job.ts'

/** Feeds and live queries look every second; one that was away for longer than this looks at everything anew. */
const keepMs = 60_000

/** Deletes what every consumer of the change log has seen. */
export function trimChangeLogJob(definition: HypertableDefinition, db: Database): Job {
  return {
    name: `trim-change-log ${definition.name}`,
    everyMs: 60_000,
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      const { deleted, heldBy } = await trimChangeLog(db, definition, { signal, keepMs })
      return { deleted, heldBy }
    },
  }
}
