import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../postgres/index.ts'
import { backOffMs } from '../util/back-off.ts'
import { isTidemarkError } from '../util/errors.ts'
import type { Job, JobRun } from './job.ts'
import { claimJob, finishJob, registerJobs, releaseJob } from './job-store.ts'
import { forgetWorker, sayAlive } from './worker-store.ts'

export interface WorkerOptions {
  /** How often due jobs are looked for. Default 1000 ms; each look is one small query per job that is near. */
  readonly pollMs: number
  /** How long `stop` waits for running jobs after it has aborted them. Default 10,000 ms. */
  readonly stopTimeoutMs: number
  readonly random: () => number
  /** Told of every run; for logs and metrics. */
  readonly onRun: (run: JobRun) => void
  /** The database could not be asked for due jobs; the worker goes on trying. */
  readonly onError: (error: Error) => void
}

/** How often a worker says that it lives. */
const aliveEveryMs = 15_000

export const workerDefaults = Object.freeze({
  pollMs: 1000,
  stopTimeoutMs: 10_000,
  random: Math.random,
  onRun: () => {},
  onError: (error: Error) => process.emitWarning(error),
} satisfies WorkerOptions)

/**
 * Runs background jobs, one at a time. Any number of workers may run against one database: leases in tidemark.job
 * share the jobs out, and every job is safe to run twice.
 *
 * @example
 * const worker = createWorker(db, [createChunksJob(…)])
 * worker.start()
 * await worker.stop()
 */
export class Worker {
  readonly #db: Database
  readonly #jobs: readonly Job[]
  readonly #options: WorkerOptions
  readonly #owner = randomUUID()
  #saidAliveMs = Number.NEGATIVE_INFINITY
  readonly #stopping = new AbortController()
  #loop: Promise<void> | null = null

  constructor(db: Database, jobs: readonly Job[], options: Partial<WorkerOptions> = {}) {
    this.#db = db
    this.#jobs = jobs
    this.#options = { ...workerDefaults, ...options }
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** Runs every job that is due (all of them with `force`) once, and says how each went. */
  async runOnce(options: { force?: boolean } = {}): Promise<JobRun[]> {
    await registerJobs(this.#db, this.#jobs)
    const runs: JobRun[] = []
    for (const job of this.#jobs) {
      if (this.#stopping.signal.aborted) break
      await this.#sayAlive().catch(this.#options.onError)
      const claim = await claimJob(this.#db, job, this.#owner, options.force ?? false)
      if (claim === null) continue
      const run = await this.#runJob(job, claim.failuresInARow)
      if (run !== null) runs.push(run)
    }
    return runs
  }

  /** Aborts what runs, waits for it (bounded), and returns. Leases of jobs that did not end run out by themselves. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    const timeout = new AbortController()
    await Promise.race([
      (this.#loop ?? Promise.resolve()).then(() => this.#sayGoodBye()),
      sleep(this.#options.stopTimeoutMs, undefined, { signal: timeout.signal, ref: false }).catch(() => {}),
    ])
    timeout.abort()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.runOnce()
      } catch (error) {
        if (!this.#stopping.signal.aborted) this.#options.onError(error as Error)
      }
      // jitter keeps many workers from asking in step
      const wait = this.#options.pollMs * (0.75 + this.#options.random() / 2)
      await sleep(wait, undefined, { signal: this.#stopping.signal }).catch(() => {})
    }
  }

  /** Null: it was interrupted because this worker stops, which is no failure; it stays due. */
  async #runJob(job: Job, failuresInARow: number): Promise<JobRun | null> {
    const startedAt = performance.now()
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(job.leaseMs)])
    let run: JobRun
    const alive = setInterval(() => void this.#sayAlive().catch(this.#options.onError), aliveEveryMs)
    try {
      const result = await job.run({ signal })
      run = { name: job.name, ms: performance.now() - startedAt, result, error: null }
    } catch (error) {
      if (this.#stopping.signal.aborted && isTidemarkError(error) && error.code === 'TM_CANCELLED') {
        await releaseJob(this.#db, job, this.#owner)
        return null
      }
      run = { name: job.name, ms: performance.now() - startedAt, result: null, error: error as Error }
    } finally {
      clearInterval(alive)
    }
    const nextInMs = run.error === null ? job.everyMs : backOffMs(job.everyMs, failuresInARow + 1)
    await finishJob(this.#db, job, this.#owner, {
      ms: run.ms,
      result: run.result,
      error: run.error?.message ?? null,
      nextInMs: nextInMs * (0.9 + this.#options.random() / 5),
    })
    this.#options.onRun(run)
    return run
  }

  async #sayGoodBye(): Promise<void> {
    if (this.#saidAliveMs === Number.NEGATIVE_INFINITY) return
    await forgetWorker(this.#db, this.#owner).catch(this.#options.onError)
  }

  async #sayAlive(): Promise<void> {
    if (performance.now() - this.#saidAliveMs < aliveEveryMs) return
    this.#saidAliveMs = performance.now()
    await sayAlive(this.#db, this.#owner)
  }
}
