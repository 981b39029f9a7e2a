import { deleteOldBatches } from '../../pipeline/index.ts'
import type { Database } from '../../postgres/index.ts'
import type { Job } from '../job.ts'

/** How long an idempotency key is known: longer than a client that retries over a weekend's outage goes on. */
const keepMs = 48 * 3_600_000
const pieceRows = 5000

/** Forgets idempotency keys that are old. */
export function forgetBatchesJob(db: Database): Job {
  return {
    name: 'forget-batches',
    everyMs: 10 * 60_000,
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      let deleted = 0
      while (!signal.aborted) {
        const count = await deleteOldBatches(db, { olderThanMs: keepMs, limit: pieceRows })
        deleted += count
        if (count < pieceRows) break
      }
      return { deleted }
    },
  }
}
