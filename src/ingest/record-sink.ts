import type { DeadReason } from './reasons.ts'

/**
 * Where a reader puts what it reads. `text.slice(from, to)` is the raw row; it is only cut out when it is needed.
 * Lines count from 1.
 */
export interface RecordSink {
  record(fields: readonly unknown[], line: number, text: string, from: number, to: number): void
  /**
   * Offered a whole line without quotes before it is cut into fields; false: it shall be cut, and given to `record`.
   * CSV only.
   */
  line?(line: number, text: string, from: number, to: number): boolean
  bad(reason: DeadReason, detail: BadDetail, line: number, text: string, from: number, to: number): void
}

export interface BadDetail {
  readonly message: string
  /** Position of the field in the row, when one is to blame. */
  readonly field: number | null
  readonly value: string | null
}
