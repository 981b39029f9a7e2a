import type { AggregateState, KeySlice, StateSpec } from '../aggregate/index.ts'
import type { ContinuousAggregateDefinition, DatasetDefinition } from '../schema/index.ts'
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
  /** Columns that tell series apart, one for each of `spec.series`. */
  readonly series?: readonly string[]
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
  /** Only cells whose keys are of this part of all keys; absent: all. */
  readonly slice?: KeySlice
}

/** One bucket of one group, once in the answer of a tier. `states` has the order of `ScanRequest.states`. */
export interface Cell {
  readonly bucket: Instant | null
  readonly keys: readonly KeyValue[]
  readonly states: readonly AggregateState[]
}

/**
 * A value of a group key in the one form that equal ones share (`canonicalKey`): timestamptz bigint, int8 bigint, numeric
 * decimal string, jsonb path text.
 */
export type KeyValue = string | number | bigint | boolean | null | readonly (string | null)[]

/** What an answer of a tier took, for the plan that people see. */
export interface ReadAccount {
  readonly rowsRead: number | null
  /** Absent: not known. */
  readonly bytesRead?: number | null
  /** What was opened, where rows lie in files. */
  readonly detail?: ReadDetail
  /** Given where a state of the answer is `unknownState`. */
  readonly unknown?: readonly UnknownBefore[]
}

export interface ReadDetail {
  /** Files whose rows were read. */
  readonly files: number
  /** Files that were answered from what is kept about them. */
  readonly summaries: number
}

export interface ScanResult extends ReadAccount {
  readonly cells: readonly Cell[]
}

/** What is in the place of a state whose rows are gone and that nobody kept; so is every cell that it is merged into. */
export const unknownState: AggregateState = Object.freeze({})

/** A state that is not known in buckets before an instant. */
export interface UnknownBefore {
  /** Its place in `ScanRequest.states`. */
  readonly state: number
  readonly before: Instant
}

/**
 * A place between two rows of the row order (row-order.ts), which is the same in every tier: a page that ended in one
 * goes on in another. Either all keys of the order: `seen` rows with exactly these keys lie before the place, those
 * behind them after it (0: all of them are to come). Or, of a hypertable, only the time (`seen` 1): every row of this
 * instant lies before the place.
 */
export interface RowPosition {
  readonly keys: readonly RowValue[]
  /** More than 1 only where rows may be identical. */
  readonly seen: number
}

export interface RowsRequest extends Omit<RowsQueryNode, 'cursor'> {
  readonly limit: number
  /** Only rows behind it, in the asked direction; null: from the beginning. */
  readonly after: RowPosition | null
  /**
   * Whether the answer has the keys of each row, because it is merged with others'. Then the rows of one instant have
   * to be in the row order; without it they may be in any order of which `end` is true.
   */
  readonly withKeys: boolean
}

/**
 * A value of a row in the form that it has inside: timestamptz microseconds as bigint, int8 bigint, numeric decimal
 * string, jsonb parsed JSON, text[] array of string or null, date `YYYY-MM-DD`, SQL NULL null. The planner puts it
 * into the form that people see.
 */
export type RowValue = unknown

/** One page. Ordered by time in the asked direction (plain tables: by primary key). It may end before `limit`. */
export interface RowsResult extends ReadAccount {
  /** One array per row, in the order of `columns`. */
  readonly rows: readonly (readonly RowValue[])[]
  /** Behind the last row; null when no row of the request follows. There is at least one row when it is not null. */
  readonly end: RowPosition | null
  /** `withKeys`: the keys of each row in the row order; null otherwise. */
  readonly keys: readonly (readonly RowValue[])[] | null
}

export interface LatestRequest extends LatestQueryNode {
  /** Whether the answer has what decides which row of a series is the newest, because it is merged with others'. */
  readonly withKeys: boolean
}

/**
 * One row for each series (`by` empty: one for all rows), in any order: the newest by `newestKeys` (row-order.ts).
 * `by` is part of `columns`, and `limit` is null: the planner limits.
 */
export interface LatestResult extends ReadAccount {
  readonly rows: readonly (readonly RowValue[])[]
  /** `withKeys`: the values of `newestKeys` of each row; null otherwise. */
  readonly keys: readonly (readonly RowValue[])[] | null
}

/** A stretch of time of which a tier holds rows. */
export interface Coverage {
  readonly range: TimeRange
  /**
   * `all`: every row of the stretch is here, so it can be answered from here alone. `share`: rows that no other share
   * of the stretch holds; all shares together are its rows. The planner reads one `all` or all the shares, whichever is
   * cheaper.
   */
  readonly holds: 'all' | 'share'
  readonly estimatedRows: number | null
  /** Chunks, files or buckets that would be read. */
  readonly pieces: number
}

/** What a tier that keeps cells has for one request. */
export interface Fit {
  /** Stretches of `range` that its cells answer, whole cells only. A part may not begin or end inside of a cell. */
  readonly coverage: readonly Coverage[]
  /** The same of a part of `range`, for what another one has left. */
  readonly within: (range: TimeRange) => readonly Coverage[]
  /** Those that nobody else knows whole, so that they come from here whatever they cost. Absent: none. */
  readonly own?: (range: TimeRange) => readonly Coverage[]
  /** Why it cannot answer the request at all; `coverage` is then what it would hold. */
  readonly cannot: string | null
  /** In words, for the plan: what is left to others. Null: nothing. */
  readonly note: string | null
}

export interface ScanContext {
  readonly snapshot: ReadSnapshot
  readonly signal: AbortSignal | null
  /**
   * Set when the query names a continuous aggregate: what it keeps of chunks that retention has dropped counts, too. Absent: the
   * hypertable itself is asked, and what has been dropped is gone.
   */
  readonly aggregate?: ContinuousAggregateDefinition
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
   * Only of a tier that keeps cells instead of rows, which can answer for some stretches and not for others, as the request is: it
   * takes the place of `coverage` and `cannot`, after `coverage` has been asked in the same snapshot. Null: it has nothing to do
   * with the dataset. Rows, newest rows and bounds are not asked of it.
   */
  fit?(request: ScanRequest, context: ScanContext): Fit | null
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
  /** Only of a tier that presumes what queries before have seen: this process has changed what it holds of the dataset. */
  forget?(dataset: DatasetDefinition): void
  scan(request: ScanRequest, context: ScanContext): Promise<ScanResult>
  rows(request: RowsRequest, context: ScanContext): Promise<RowsResult>
  latest(request: LatestRequest, context: ScanContext): Promise<LatestResult>
}
