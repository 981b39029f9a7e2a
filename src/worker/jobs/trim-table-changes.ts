import { trimTableChanges } from '../../changelog/index.ts'
import type { Database } from '../../postgres/index.ts'
import type { Job } from '../job.ts'

/** Deletes entries of plain tables that every follower has had the time to read. */
export function trimTableChangesJob(db: Database): Job {
  return {
    name: 'trim-table-changes',
    everyMs: 60_000,
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      return { deleted: await trimTableChanges(db, { signal }) }
    },
  }
}
