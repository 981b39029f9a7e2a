import type { Connection } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'

/** Counts rows whose chunk is gone in the cells of continuous aggregates (`late: 'merge'`). */
export interface LateMerger {
  /**
   * In a READ COMMITTED transaction that writes, after its other rows: no chunk of the hypertable is dropped from here to its end, and
   * what is dropped by now is told. Lock order: partitions, then this, then versions of aggregates.
   */
  open(connection: Connection, definition: HypertableDefinition): Promise<OpenLateMerge>
}

export interface OpenLateMerge {
  /** Of dropped chunks; ascending. */
  readonly dropped: readonly TimeRange[]
  /**
   * Buckets that a dropped chunk touches, and whose cells rows are merged into: they are never computed again, also not from the living
   * chunk that holds the rest of them. Ascending, united.
   */
  readonly frozen: readonly TimeRange[]
  /**
   * Merges the rows of a temporary table that has the columns of the hypertable, each into the frozen buckets that it lies in. It holds
   * all rows of the transaction that lie in `dropped` or `frozen`, and may hold others. False: other aggregates are there by now, so
   * the transaction has to begin again.
   *
   * @throws TidemarkError TM_EXPIRED when no aggregate takes a row of a dropped chunk.
   */
  merge(table: string): Promise<boolean>
}
