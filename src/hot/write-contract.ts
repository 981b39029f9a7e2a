import type { Database } from '../postgres/index.ts'
import type { FilterNode } from '../query/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { type Clock, systemClock, type TimeRange } from '../time/index.ts'
import type { BatchWriter, WrittenCounts } from './batch-contract.ts'
import type { ChunkManager } from './chunks.ts'
import type { ColdRows } from './cold-contract.ts'
import type { LateMerger } from './late-contract.ts'

export interface HotWriterOptions {
  readonly db: Database
  readonly chunks: ChunkManager
  /** Rows in the lake. Without it a write that may touch some is refused with TM_COLD. */
  readonly cold?: ColdRows
  /** Merges rows of dropped chunks into continuous aggregates. Without it they are refused with TM_EXPIRED, whatever is declared. */
  readonly late?: LateMerger
  /** Called after a commit of rows. It only hints, so it throws nothing. */
  readonly onCommitted?: () => void
  /** Tells which chunks rows are still written to as they happen; default the system's. */
  readonly clock?: Clock
  /** In [0, 1), for jitter; default Math.random. */
  readonly random?: () => number
  /** Up to here rows go in one INSERT statement; default 200 (measured: bench/, docs/design/chunks.md). */
  readonly smallRows?: number
  /** Rows of a batch from which a chunk that is not there yet is made with them; default 20,000 (docs/decisions/0010-loading.md). */
  readonly loadRows?: number
  /** Encoded bytes of one transaction at most; default 256 MiB. A list that needs more is TM_LIMIT. */
  readonly maxBatchBytes?: number
  /** Tries of a transaction that met a lock, a conflict or a moved chunk; default 8. */
  readonly tries?: number
}

export const writerDefaults = Object.freeze({
  smallRows: 200,
  loadRows: 20_000,
  maxBatchBytes: 256 * 1024 * 1024,
  tries: 8,
  clock: systemClock,
  onCommitted: () => {},
})

export type Rows = Iterable<unknown> | AsyncIterable<unknown>

export interface InsertOptions {
  /** What to do with a row whose key exists; default 'error': nothing of the call is written. */
  readonly onConflict?: 'error' | 'ignore'
  readonly signal?: AbortSignal | null
  /** Rows of a transaction when `rows` is not an array; default 50,000 (10,000 where keys are compared). */
  readonly batchRows?: number
  /** Transactions at once when `rows` is not an array; default 1. Each takes a connection and the memory of a batch. */
  readonly connections?: number
}

export interface UpsertOptions {
  readonly signal?: AbortSignal | null
  readonly batchRows?: number
}

export interface ChangeOptions {
  readonly signal?: AbortSignal | null
}

export interface UpdateInput {
  /** New values by column, in any form that insert takes. */
  readonly set: Readonly<Record<string, unknown>>
  readonly where: FilterNode | null
  /** null: all time (and always for plain tables). */
  readonly range: TimeRange | null
  /** As of a delete. */
  readonly digest?: Uint8Array | null
}

export interface DeleteInput {
  readonly where: FilterNode | null
  readonly range: TimeRange | null
  /**
   * Only rows that are what they were: with this digest (`rowDigestSql` of all declared columns). Compared in PostgreSQL, with the row
   * locked; rows of the lake that match otherwise are taken back before.
   */
  readonly digest?: Uint8Array | null
}

/** Writes rows of hypertables and plain tables. A promise that resolved means: committed. */
export interface HotWriter extends BatchWriter {
  /**
   * Inserts rows. An array is written whole or not at all; anything else batch by batch.
   *
   * @example
   * await writer.insert(cpu, [{ time: new Date(), host: 'a', usage: 0.5 }]) // { inserted: 1, ignored: 0 }
   *
   * `merged` is given where `late: 'merge'` is declared: rows of dropped chunks, which only continuous aggregates count.
   *
   * @throws TidemarkError TM_ROW with the place of the row, TM_DUPLICATE_KEY, TM_CONSTRAINT, TM_CHUNK_CAP, TM_LIMIT (an
   * array over `maxBatchBytes`), TM_CANCELLED, TM_COMMIT_UNKNOWN: nothing of the call was written (the last: unknown).
   * TM_PARTIAL_WRITE when batches had been committed before: it says how many rows are in, the error is its cause.
   */
  insert(
    definition: StoredDefinition,
    rows: Rows,
    options?: InsertOptions,
  ): Promise<Omit<WrittenCounts, 'updated'>>
  /**
   * Inserts rows or overwrites those with the same primary key. Of rows of the call with one key the last wins, as if the
   * others had not been given: a column that it leaves to its SQL default has that default where the key is new, and
   * stays as it is in the table where it is not. Errors as insert.
   */
  upsert(
    definition: StoredDefinition,
    rows: Rows,
    options?: UpsertOptions,
  ): Promise<{ readonly inserted: number; readonly updated: number }>
  update(
    definition: StoredDefinition,
    input: UpdateInput,
    options?: ChangeOptions,
  ): Promise<{ readonly updated: number }>
  delete(
    definition: StoredDefinition,
    input: DeleteInput,
    options?: ChangeOptions,
  ): Promise<{ readonly deleted: number }>
}
