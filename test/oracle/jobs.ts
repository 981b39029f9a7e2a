import { type ChildProcess, fork } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync, statfsSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a job is told when it starts. */
export interface JobOrders {
  readonly lane: string
  readonly stepsPerEpisode: number
  readonly focus: string | null
  readonly only: readonly number[] | null
  /** Seconds in which the steps of a difference may be cut down. */
  readonly shrinkSeconds: number
  readonly isVerbose: boolean
}

/** From a job: give me a seed; what an episode has done; that its steps differ; and what all of it has cost. */
export type JobMessage =
  | { readonly kind: 'ask' }
  | {
      readonly kind: 'episode'
      readonly steps: number
      readonly queries: number
      readonly counts: readonly (readonly [string, number])[]
      readonly sources: readonly (readonly [string, number])[]
    }
  | { readonly kind: 'difference'; readonly steps: number }
  | { readonly kind: 'end'; readonly processor: readonly (readonly [string, number])[] }

/** To a job: the seed of its next episode; null: that was all. */
export interface JobSeed {
  readonly seed: number | null
}

export interface JobsReport {
  readonly isRight: boolean
  readonly steps: number
  readonly queries: number
  readonly counts: ReadonlyMap<string, number>
  readonly sources: ReadonlyMap<string, number>
  /** Milliseconds by who has used them, without the start of processes and servers. */
  readonly processor: ReadonlyMap<string, number>
}

/** What a server and a lake of an episode take, with the log of its writes. */
const roomPerJob = 2 * 1024 ** 3

/**
 * Runs episodes in processes, each with a server of its own, so that nothing of one can be in the way of another; each asks for
 * the next seed when it has done one. No seed is given out any more after a difference.
 */
export async function runJobs(
  orders: JobOrders,
  jobs: number,
  seeds: readonly number[],
  onProgress: (report: JobsReport) => void,
): Promise<JobsReport> {
  const report = {
    isRight: true,
    steps: 0,
    queries: 0,
    counts: new Map<string, number>(),
    sources: new Map<string, number>(),
    processor: new Map<string, number>(),
  }
  const add = (to: Map<string, number>, from: readonly (readonly [string, number])[]): void => {
    for (const [name, count] of from) to.set(name, (to.get(name) ?? 0) + count)
  }
  const left = [...seeds]
  const dir = roomInMemory(jobs)
  // also when it is stopped: what is left there is memory. Servers end with their jobs, a moment later.
  const clear = (): void => {
    if (dir !== tmpdir()) rmSync(dir, { recursive: true, force: true, maxRetries: 30, retryDelay: 100 })
  }
  process.once('exit', clear)
  const running = new Set<ChildProcess>()
  const stop = (): void => {
    for (const job of running) job.kill('SIGKILL')
    process.exit(1)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop)
  try {
    await Promise.all(
      Array.from({ length: Math.min(jobs, seeds.length) }, async () => {
        const job = fork(fileURLToPath(new URL('job.ts', import.meta.url)), [JSON.stringify(orders)], {
          env: { ...process.env, TMPDIR: dir },
          // whole numbers of 64 bits, maps
          serialization: 'advanced',
        })
        running.add(job)
        job.on('message', (message: JobMessage) => {
          if (message.kind === 'ask') job.send({ seed: report.isRight ? (left.shift() ?? null) : null })
          else if (message.kind === 'end') add(report.processor, message.processor)
          else {
            report.steps += message.steps
            if (message.kind === 'difference') report.isRight = false
            else {
              report.queries += message.queries
              add(report.counts, message.counts)
              add(report.sources, message.sources)
              onProgress(report)
            }
          }
        })
        const code = await new Promise((resolve) => {
          job.once('exit', (exitCode, signal) => resolve(exitCode ?? signal))
        })
        running.delete(job)
        // it has said why
        if (code !== 0) report.isRight = false
      }),
    )
  } finally {
    clear()
  }
  return report
}

/**
 * A folder in memory where there is one: nothing of an episode has to outlive the machine.
 */
function roomInMemory(jobs: number): string {
  const shared = '/dev/shm'
  if (!existsSync(shared)) return tmpdir()
  const { bavail, bsize } = statfsSync(shared)
  if (bavail * bsize < jobs * roomPerJob) return tmpdir()
  const dir = mkdtempSync(join(shared, 'tidemark-oracle-'))
  // the server's account has folders in it
  chmodSync(dir, 0o711)
  // what has been transpiled is looked for beside other temporary files
  symlinkSync(join(tmpdir(), 'jiti'), join(dir, 'jiti'))
  return dir
}
