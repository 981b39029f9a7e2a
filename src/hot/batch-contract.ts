import type { Connection, RowSlots } from '../postgres/index.ts'
import type { CanonicalValue, StoredDefinition } from '../schema/index.ts'

/** What happens to a row whose key exists. */
export type OnConflict = 'error' | 'ignore' | 'update'

/**
 * What file import needs of the writer: rows that are validated already, and work of its own in the transaction that
 * writes them (how far the import is, its dead letters), so that both become visible together or not at all.
 */
export interface BatchInsert {
  readonly definition: StoredDefinition
  /** Values in canonical form, in declared column order; undefined where PostgreSQL shall evaluate the default. */
  readonly rows: readonly (readonly CanonicalValue[])[]
  readonly onConflict: OnConflict
  /**
   * Runs after the rows were written, before COMMIT, on the same connection; it is told what was written. When it throws
   * nothing is written.
   */
  readonly inTransaction: (connection: Connection, written: WrittenCounts) => Promise<void>
  readonly signal?: AbortSignal | null
}

export interface BatchOptions {
  /**
   * Rows that a batch should have. While they go on into a chunk that is still to be made it takes more, up to the
   * border of that chunk or 64 MiB, because a chunk costs least when it is filled at once. Default: no limit.
   */
  readonly batchRows?: number
}

/** Values of one column of some rows, none of them null. */
export interface ColumnValues {
  /** As in slots (`RowSlots.numbers`); null: they are texts. */
  readonly numbers: Float64Array | null
  /** Without NUL. */
  readonly texts: readonly string[] | null
}

/** A transaction's rows, encoded as they come. */
export interface OpenBatch {
  readonly rows: number
  /** Whether it may take more than `batchRows`: its rows go on into a chunk that is still to be made. */
  readonly mayGrow: boolean
  /**
   * Canonical, in declared column order; undefined where PostgreSQL shall evaluate the default. False: the batch ends
   * before this row, which was not taken (never without `batchRows`).
   */
  add(row: readonly CanonicalValue[]): boolean
  /**
   * The same from slots, which may be filled anew afterwards. Every column is there, and the time of a hypertable is a
   * number. Only with onConflict 'error': elsewhere keys are compared.
   */
  addSlots(row: RowSlots): boolean
  /**
   * As `addSlots` for rows that follow each other, column by column in declared order. False: they have to come one by one,
   * and none was taken.
   */
  addColumns?(rows: number, columns: readonly ColumnValues[]): boolean
  /** To be awaited before more rows come, where memory has to be given back first; null: there is room. */
  relieve?(): Promise<void> | null
  /** As `insertBatch`. */
  commit(options: Pick<BatchInsert, 'inTransaction' | 'signal'>): Promise<WrittenCounts>
  /** Once, after it was committed or given up: its buffers are used again. */
  release(): void
}

export interface WrittenCounts {
  readonly inserted: number
  readonly updated: number
  readonly ignored: number
  /** Rows of dropped chunks that continuous aggregates count now; given where `late: 'merge'` is declared. */
  readonly merged?: number
}

export interface BatchWriter {
  /**
   * Makes batches with what is known of the chunks by now. Rows of chunks that come or go later are still written right, but
   * not as fast: ask again from time to time.
   */
  batches(
    definition: StoredDefinition,
    onConflict: OnConflict,
    options?: BatchOptions,
  ): Promise<() => OpenBatch>
  /**
   * One transaction. May run `inTransaction` again when the whole transaction is tried again; null: there is nothing beside
   * the rows, and few of them go in a single round trip. Rows may be empty.
   */
  insertBatch(
    batch: Omit<BatchInsert, 'inTransaction'> & {
      readonly inTransaction: BatchInsert['inTransaction'] | null
    },
  ): Promise<WrittenCounts>
}
