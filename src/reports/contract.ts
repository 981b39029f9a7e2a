import type { OutputColumn, OutputRow } from '../query/index.ts'
import type { BucketSpec } from '../time/index.ts'

/** When a report is asked: some time after each period has ended, so that what comes late is in it. */
export interface Schedule {
  readonly period: BucketSpec
  readonly delayMicros: bigint
}

/** A report as it is written; JSON. */
export interface ReportInput {
  readonly title: string
  /** `schema.table` */
  readonly dataset: string
  /** As for POST /api/v1/query, without the dataset. Relative times are resolved when it is asked. */
  readonly query: Readonly<Record<string, unknown>>
  /** Null: it is asked when somebody asks for it. */
  readonly schedule: ScheduleInput | null
  /** Answers that are kept, 1 to 1000. Default 30. */
  readonly keep: number
}

export interface ScheduleInput {
  /** `'1 day'`, `'1 week'`, `'1 month'`, … */
  readonly every: string
  /** Whose days. Default UTC. */
  readonly zone: string
  /** After the end of a period; null: none. */
  readonly delay: string | null
}

export interface Report extends ReportInput {
  readonly name: string
  /** Null: of every tenant. */
  readonly tenant: string | null
  readonly createdBy: string
  readonly createdAt: string
  readonly changedAt: string
  readonly nextAt: string | null
  /** In a row, and what the last one said. */
  readonly failures: number
  readonly lastError: string | null
}

/** That a report was asked. */
export interface ReportRun {
  readonly id: string
  /** What "now" was for its range: the end of its period, or the moment in which somebody asked. */
  readonly asOf: string
  readonly askedAt: string
  readonly elapsedMs: number
  readonly rows: number
}

/** What it was answered: values as JSON has them (int8 beyond 2^53 as text, NaN and infinities as text). */
export interface ReportAnswer {
  readonly columns: readonly OutputColumn[]
  readonly rows: readonly OutputRow[]
  readonly plan: unknown
}

export const reportFormats = ['json', 'csv', 'html'] as const
export type ReportFormat = (typeof reportFormats)[number]
