import type { BatchWriter } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import type { ColdLake } from './cold-port.ts'
import type { ColumnNotes } from './convert-context.ts'
import type { ImportProgress } from './import-progress.ts'
import type { ImportOptions } from './options.ts'
import type { ImportPlan } from './plan.ts'
import type { DeadReason } from './reasons.ts'

export interface ImportReport {
  readonly importId: bigint
  readonly dataset: string
  readonly file: string
  /** How the file was read: what was guessed and what was asked for. */
  readonly plan: ImportPlan
  /** Whether an earlier run was continued. */
  readonly isResumed: boolean
  /** Records of the file; each is a row or a dead letter. */
  readonly records: number
  /** Records that this run has read: those that an earlier run has committed are not among them. */
  readonly recordsThisRun: number
  readonly rows: number
  readonly dead: number
  /** The most frequent reason first. */
  readonly deadByReason: Readonly<Partial<Record<DeadReason, number>>>
  /** Of this run alone: what became of its rows in the table. */
  readonly inserted: number
  readonly updated: number
  readonly ignored: number
  /** Rows of dropped chunks that only continuous aggregates count; given where `late: 'merge'` is declared. */
  readonly merged?: number
  /** Of this run alone: what was done to the values, by column. */
  readonly notes: Readonly<Record<string, ColumnNotes>>
  readonly bytes: number
  readonly elapsedMs: number
  /** Of an import straight into the lake; null for any other. */
  readonly cold: ColdReport | null
}

export interface ColdReport {
  /** All of the import, with those of earlier runs. */
  readonly files: number
  readonly chunks: number
  /** Of the files, with their summaries. */
  readonly bytes: number
  /** What was done as asked, and may not have been meant. */
  readonly warnings: readonly string[]
}

export interface ImportRequest {
  readonly db: Database
  readonly writer: BatchWriter
  /** Needed for `cold`. */
  readonly lake?: ColdLake | null
  readonly definition: StoredDefinition
  readonly file: string
  readonly options?: ImportOptions
  /** Called once with the plan before the first row is written. */
  readonly onPlan?: (plan: ImportPlan, file: string) => void
  /** Called at most every 100 ms, and at the end. */
  readonly onProgress?: (progress: ImportProgress) => void
  readonly signal?: AbortSignal | null
}
