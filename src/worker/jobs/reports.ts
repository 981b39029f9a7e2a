import { type ReportDesk, reportLeaseMs } from '../../reports/index.ts'
import type { Job } from '../job.ts'

/** Asks the reports that are due. */
export function reportsJob(desk: ReportDesk): Job {
  return {
    name: 'reports',
    everyMs: 15_000,
    leaseMs: reportLeaseMs,
    async run({ signal }) {
      const { answered, failed } = await desk.runDue(signal)
      return { answered, failed }
    },
  }
}
