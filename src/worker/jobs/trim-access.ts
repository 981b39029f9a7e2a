import type { AccessDesk } from '../../access/index.ts'
import type { Job } from '../job.ts'

/**
 * Deletes what was done by whom when it has been kept long enough, and what stands for somebody and has ended: sessions, tickets, links
 * to boards.
 */
export function trimAccessJob(
  access: AccessDesk,
  auditKeepMs: number,
  trimLinks: () => Promise<number>,
): Job {
  return {
    name: 'trim-access',
    everyMs: 3_600_000,
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      const { entries, passes } = await access.trim({ auditKeepMs, signal })
      return { entries, passes, links: await trimLinks() }
    },
  }
}
