import type { CommitCounts, PipelineCommit } from './contract.ts'

/** Durations that the percentiles are of. */
const kept = 1000

/** How many transactions there were, and how long the last of them took. */
export class CommitTimes {
  readonly #ms = new Float64Array(kept)
  #transactions = 0
  #batches = 0
  #rows = 0

  add({ ms, batches, rows }: PipelineCommit): void {
    this.#ms[this.#transactions % kept] = ms
    this.#transactions += 1
    this.#batches += batches
    this.#rows += rows
  }

  get counts(): CommitCounts {
    const sorted = this.#ms.slice(0, Math.min(kept, this.#transactions)).sort()
    const at = (share: number): number | null =>
      sorted.length === 0 ? null : sorted[Math.ceil(share * sorted.length) - 1]!
    return {
      transactions: this.#transactions,
      batches: this.#batches,
      rows: this.#rows,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    }
  }
}
