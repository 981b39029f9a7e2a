import type { JobHealth } from 'tidemark/client'

export interface JobState {
  readonly kind: 'ok' | 'warn' | 'error' | 'info' | 'quiet'
  readonly label: string
  /** What needs somebody is first. */
  readonly rank: number
}

/** How a job is: one that fails is worse than one that waits, which is worse than one that runs. */
export function stateOf(job: JobHealth): JobState {
  if (job.failuresInARow > 0)
    return { kind: 'error', label: job.isRunning ? 'failed, tries again' : 'failing', rank: 0 }
  if (job.everyMs === null) return { kind: 'quiet', label: 'declared no more', rank: 5 }
  if (job.isRunning) return { kind: 'info', label: 'runs', rank: 2 }
  if (job.waitsFor !== null) return { kind: 'warn', label: 'waits', rank: 1 }
  if (job.lastStartedAt === null) return { kind: 'quiet', label: 'never ran', rank: 3 }
  return { kind: 'ok', label: 'fine', rank: 4 }
}

/** Every so often, as people say it. */
export function bySeverity(jobs: readonly JobHealth[]): JobHealth[] {
  return [...jobs].sort((a, b) => stateOf(a).rank - stateOf(b).rank || a.name.localeCompare(b.name))
}
