import type { OnConflict } from '../hot/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { StoredDefinition, TenantScope } from '../schema/index.ts'

/** When a caller is answered: after COMMIT, or after its rows are on disk in the spool, from where they are written in order. */
export type Acknowledge = 'durable' | 'queued'

/** Rows that came together and are answered together. */
export interface IngestBatch {
  readonly definition: StoredDefinition
  /** Whose rows these are; default those of every tenant. Keys and dead letters are his, too. */
  readonly scope?: TenantScope
  /** Row objects as they came; a row's place in the list is its index in the report. */
  readonly rows: readonly unknown[]
  readonly onConflict: OnConflict
  readonly acknowledge: Acknowledge
  /** All rows or none, and no dead letters. Otherwise good rows are written, and bad ones are told and kept. */
  readonly isAtomic: boolean
  /**
   * 1 to 200 printable characters of the caller's choice: a second batch with the same key and rows is answered as the
   * first one was, and writes nothing. Null: a batch that is sent twice is written twice.
   */
  readonly idempotencyKey: string | null
  /**
   * In place of a key, for senders that send a request again without saying so: a digest of what was sent, at most 100 characters.
   * The same rows of the same digest are written once within 48 hours.
   */
  readonly sentDigest?: string | null
  /** The way in, for dead letters: 'http', 'websocket', 'line protocol', … */
  readonly source: string
  /** The caller holds room of `reserve` for these rows; otherwise `ingest` waits for room itself. */
  readonly isReserved?: boolean
  readonly signal: AbortSignal | null
  /**
   * Work of its own in the transaction of the rows, in place of dead letters: it is told what was rejected. When it throws
   * nothing is written, and the batch fails with that. Such a batch shares its transaction with no other.
   */
  readonly inTransaction?: (connection: Connection, rejected: readonly RejectedRow[]) => Promise<void>
}

/** A row that was not taken. */
export interface RejectedRow {
  /** Its place in the batch, from 0. */
  readonly index: number
  /** Null when no single column is to blame. */
  readonly column: string | null
  /** As text, at most 200 characters. */
  readonly value: string | null
  /** A code of docs/guide/import.md. */
  readonly reason: string
  /** What was wrong, what is allowed, what to do. */
  readonly message: string
}

/** Adds columns to rows as they come, or leaves rows out. */
export interface RowEnricher {
  enrich(
    row: Readonly<Record<string, unknown>>,
  ):
    | { readonly row: Readonly<Record<string, unknown>>; readonly dropped: null }
    | { readonly row: null; readonly dropped: { readonly reason: string } }
}

/** Rows that steps of enrichment left out. */
export interface DroppedRows {
  readonly count: number
  /** How many by reason: `{ bot: 3 }`. */
  readonly reasons: Readonly<Record<string, number>>
}

/** Something that came and did not go through the pipeline, mostly because it is no row of any dataset. */
export interface StrayLetter {
  /** The dataset that it was meant for; the name of the protocol where none is known. */
  readonly dataset: string
  /** Its place in what was sent, from 0. */
  readonly index: number
  readonly column: string | null
  readonly value: string | null
  readonly reason: string
  readonly message: string
  /** As it came; a text is kept as it is, everything else as JSON. */
  readonly raw: unknown
  /** It is a row of the dataset after all, which may be replayed as it is. Default false. */
  readonly isRow?: boolean
}

export interface IngestReport {
  /** Rows of the batch that are stored, now or before: all but the rejected and the dropped. With 'queued': those that will be. */
  readonly accepted: number
  readonly inserted: number
  readonly updated: number
  /** Their key was there (onConflict 'ignore'). */
  readonly ignored: number
  /** Of time that retention has dropped, and counted in continuous aggregates only (`late: 'merge'`). */
  readonly merged: number
  /** Their event id was seen within the dataset's window. */
  readonly duplicates: number
  /** How many rows were rejected; `rows` lists the first of them. */
  readonly rejected: { readonly count: number; readonly rows: readonly RejectedRow[] }
  /** Left out by steps of enrichment, and kept nowhere. */
  readonly dropped: DroppedRows
  /** The batch was written by an earlier call with its idempotency key, or an earlier try of this one; this is its report. */
  readonly isReplayed: boolean
  readonly isQueued: boolean
}

/** What is under way, for health and metrics. */
export interface PipelineState {
  readonly pendingRows: number
  readonly pendingBytes: number
  /** On disk, acknowledged before they are written. */
  readonly spoolBytes: number
  /** Why some of them are not being written just now. */
  readonly spoolErrors: readonly string[]
  readonly commits: CommitCounts
}

/** A transaction that wrote what callers have given. */
export interface PipelineCommit {
  readonly dataset: string
  /** Batches that shared it. */
  readonly batches: number
  /** Rows that it was to write. */
  readonly rows: number
  /** From the moment when it was given to PostgreSQL until COMMIT. */
  readonly ms: number
}

/** Transactions of this process. */
export interface CommitCounts {
  readonly transactions: number
  readonly batches: number
  readonly rows: number
  /** Of the last 1,000: half of them, and 99 of 100, took no longer. Null: there was none. */
  readonly p50Ms: number | null
  readonly p99Ms: number | null
}

/** The way in for rows of many callers at once. */
export interface Pipeline {
  /**
   * Waits for `bytes` of room before a body of about that size is read, so that memory stays flat and the sender's socket
   * is not read meanwhile. The room is given back by the function that comes back.
   *
   * @throws TidemarkError TM_OVERLOADED when there is no room in time; it says after how many seconds to try again.
   */
  reserve(bytes: number, signal: AbortSignal | null): Promise<() => void>
  /**
   * Writes a batch together with what others have given meanwhile. Resolves after COMMIT ('durable').
   *
   * @throws TidemarkError TM_OVERLOADED, TM_IDEMPOTENCY, TM_CANCELLED, TM_COMMIT_UNKNOWN; with `isAtomic` those of insert.
   */
  ingest(batch: IngestBatch): Promise<IngestReport>
  /** Keeps what did not go through the pipeline as dead letters, in a transaction of its own. */
  keepStrays(source: string, letters: readonly StrayLetter[], scope?: TenantScope): Promise<void>
  /**
   * Takes over what processes have left in the spool that have died, and writes it. Without this call the first batch
   * with 'queued' does.
   */
  openSpool(): Promise<void>
  readonly state: PipelineState
  /** Takes nothing more, writes what it has (bounded: what hangs then is left to whoever closes the connections), and stops. */
  close(): Promise<void>
}
