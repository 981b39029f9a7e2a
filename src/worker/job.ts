/**
 * A background job. It can be killed at any instruction and run again; it never relies on running alone, the lease
 * only saves work.
 */
export interface Job {
  readonly name: string
  /** From the end of one run to the start of the next. */
  readonly everyMs: number
  /** Longest run; the signal is aborted then and another worker may take over. */
  readonly leaseMs: number
  run(context: JobContext): Promise<JobResult>
}

export interface JobContext {
  readonly signal: AbortSignal
}

/** What was done, for people: shown by `tidemark status`. JSON only. */
export type JobResult = Readonly<Record<string, string | number | boolean | null | readonly string[]>>

export interface JobRun {
  readonly name: string
  readonly ms: number
  readonly result: JobResult | null
  readonly error: Error | null
}
