import type { AggregateState, StateSpec } from '../aggregate/index.ts'
import type { DatasetDefinition } from '../schema/index.ts'
import { type Instant, maxInstant, minInstant, type TimeRange } from '../time/index.ts'
import type { ColumnRef, FilterNode, GroupNode, LatestQueryNode, RowsQueryNode } from './nodes.ts'

/**
 * The port between the planner and a place where rows are. A tier says what it holds of a range, whether it can
 * answer, and answers in partial states; it never finishes, fills, orders or limits.
 * Every implementation passes test/suites/tier.ts.
 */

/** All the time that a time column can hold. */
export const everything: TimeRange = Object.freeze({ from: minInstant, to: maxInstant + 1n })

/**
 * One moment of the database. All parts of an answer are read in the same one (law: One snapshot). Lent by the
 * engine; tiers know how to use the one that belongs to them.
 */
export interface ReadSnapshot {
  /** `pg_current_snapshot()` as text. */
  readonly id: string
  readonly takenAt: Instant
  /**
   * Takes the snapshot, where that is left to the first thing that is read. False when what was presumed of the catalog
   * until now is not what the snapshot sees: then what has been read means nothing, and reading again (in the same
   * snapshot, in which nothing is presumed any more) gives the answer. Absent: always taken, nothing presumed.
   */
  readonly confirm?: () => Promise<boolean>
}

/**
 * How rows are put into buckets inside a tier. Fixed widths are integer arithmetic: bucket start =
 * origin + floor((t - origin) / width) * width. Everything with a calendar or a zone arrives as the list of
 * ascending bucket starts (made by time/, the only authority on zones); the last entry is the end of the last bucket.
 */
export type BucketPlan =
  | { readonly kind: 'fixed'; readonly width: bigint; readonly origin: Instant }
  | { readonly kind: 'borders'; readonly borders: readonly Instant[] }

/** One state to compute for every cell. */
export interface StateRequest {
  readonly spec: StateSpec
  /** null: rows are counted. */
  readonly ref: ColumnRef | null
  readonly where: FilterNode | null
}

export interface ScanRequest {
  readonly dataset: DatasetDefinition
  /** null: everything (plain tables). */
  readonly range: TimeRange | null
  readonly bucket: BucketPlan | null
  readonly by: readonly GroupNode[]
  readonly where: FilterNode | null
  readonly states: readonly StateRequest[]
  /** Cells at most; one more is an error TM_LIMIT (what "cells"). */
  readonly maxCells: number
}

/** One bucket of one group. `states` has the order of `ScanRequest.states`. */
export interface Cell {
  readonly bucket: Instant | null
  readonly keys: readonly KeyValue[]
  readonly states: readonly AggregateState[]
}

/** A value of a group key, canonical per type: timestamptz bigint, int8 bigint, numeric decimal string, jsonb path text. */
export type KeyValue = string | number | bigint | boolean | null | readonly (string | null)[]

export interface ScanResult {
  readonly cells: readonly Cell[]
  readonly rowsRead: number | null
  readonly bytesRead: number | null
}

export interface RowsRequest extends RowsQueryNode {
  readonly limit: number
}

/**
 * A value of a row in the form that it has inside: timestamptz microseconds as bigint, int8 bigint, numeric decimal
 * string, jsonb parsed JSON, text[] array of string or null, date `YYYY-MM-DD`, SQL NULL null. The planner puts it
 * into the form that people see.
 */
export type RowValue = unknown

/**
 * One page. Ordered by time in the asked direction (plain tables: by primary key); rows of one instant in an order
 * that stays the same from page to page of unchanged data.
 */
export interface RowsResult {
  /** One array per row, in the order of `columns`. */
  readonly rows: readonly (readonly RowValue[])[]
  /** To go on after the last row; null at the end. */
  readonly cursor: string | null
  readonly rowsRead: number | null
}

/**
 * One row for each series (`by` empty: one for all rows), in any order; of several rows of one newest instant any one.
 * `by` is part of `columns`, and `limit` is null: the planner limits.
 */
export interface LatestResult {
  readonly rows: readonly (readonly RowValue[])[]
  readonly rowsRead: number | null
}

/**
 * A stretch of time that a tier can answer for alone: it reads every row that lies there, and no other tier has to be
 * asked too. Where two tiers cover the same stretch, the planner takes the cheaper one.
 */
export interface Coverage {
  readonly range: TimeRange
  readonly estimatedRows: number | null
  /** Chunks, files or buckets that would be read. */
  readonly pieces: number
}

export interface ScanContext {
  readonly snapshot: ReadSnapshot
  readonly signal: AbortSignal | null
}

export interface Tier {
  /** `hot`, `cold`, `aggregate`, `warehouse`: for the plan that people see, never for decisions. */
  readonly name: string
  /**
   * The stretches of `range` (null: of everything) that this tier holds rows of, ascending, not overlapping, cut to
   * `range`. A table without time answers with one stretch `everything`.
   */
  coverage(
    dataset: DatasetDefinition,
    range: TimeRange | null,
    context: ScanContext,
  ): Promise<readonly Coverage[]>
  /** Null when it can; otherwise the reason why not, for the plan. */
  cannot(request: ScanRequest): string | null
  /**
   * A range that holds every row of `range` that matches `where`: `[oldest, newest + 1 µs)` when an index can tell
   * both, otherwise anything wider, never anything narrower. Null when there is certainly none. It is asked before a
   * scan, to know where to begin, so it must be far cheaper than the scan.
   */
  bounds(
    dataset: DatasetDefinition,
    range: TimeRange | null,
    where: FilterNode | null,
    context: ScanContext,
  ): Promise<TimeRange | null>
  scan(request: ScanRequest, context: ScanContext): Promise<ScanResult>
  rows(request: RowsRequest, context: ScanContext): Promise<RowsResult>
  latest(request: LatestQueryNode, context: ScanContext): Promise<LatestResult>
}
