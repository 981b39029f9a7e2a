import { auditHypertable } from '../../changelog/index.ts'
import type { Database } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Job } from '../job.ts'

/** Looks for changes that no trigger saw and writes them into the change log. Reads the table: once a day. */
export function auditJob(definition: HypertableDefinition, db: Database): Job {
  return {
    name: `audit ${definition.name}`,
    everyMs: 24 * 3_600_000,
    leaseMs: 3_600_000,
    async run({ signal }) {
      const report = await auditHypertable(db, definition, { signal })
      return {
        rows: Number(report.rows),
        unloggedCells: report.unlogged.length,
        problems: [
          ...report.triggers.map((problem) => JSON.stringify(problem)),
          ...report.partitions.map(({ relation, problem }) => `${relation} is ${problem}`),
        ],
      }
    },
  }
}
