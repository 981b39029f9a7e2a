import type { Job } from '../job.ts'

/** Notes how large each dataset is; tm.operations does it. */
export function sampleStorageJob(desk: {
  sample(signal: AbortSignal): Promise<{ readonly datasets: number; readonly forgotten: number }>
}): Job {
  return {
    name: 'sample-storage',
    everyMs: 3_600_000,
    leaseMs: 10 * 60_000,
    async run({ signal }) {
      const { datasets, forgotten } = await desk.sample(signal)
      return { datasets, forgotten }
    },
  }
}
