import type { RefreshProgress } from '../continuous/index.ts'
import type { ImportOptions, ImportPlan, ImportProgress } from '../ingest/index.ts'
import type { MovedChunks, MoveProgress, SurveyedChunk } from '../lifecycle/index.ts'
import type { WhereInput } from '../query/index.ts'
import type { TenantScope } from '../schema/index.ts'
import type { Clock, RangePoint } from '../time/index.ts'

export interface TidemarkOptions {
  /** `postgres://user:password@host:5432/database`, PostgreSQL 15 to 18. Default: `database.url` of the configuration. */
  readonly connectionString?: string | undefined
  /** What relative paths of the configuration (`lake.dir`) are relative to. Default: the folder of the process. */
  readonly root?: string
  /** What "now" is; tests give their own. */
  readonly clock?: Clock
}

export interface CallOptions {
  /** Aborting it stops the work in PostgreSQL too. */
  readonly signal?: AbortSignal | null
}

/** Calls that may be made on behalf of somebody. */
export interface ScopedCallOptions extends CallOptions {
  /** Whose rows are meant. Default: those of every tenant, as for a program of the team's own. */
  readonly scope?: TenantScope
  /** Who calls, for those who observe the engine. Default: nobody is named. */
  readonly origin?: CallOrigin | null
}

/** Who made a call, as logs say it. */
export interface CallOrigin {
  /** Id of the request. */
  readonly request: string
  readonly principal: string
}

export interface QueryOptions extends ScopedCallOptions {
  /** Default: `limits.queryTimeout` of the configuration, which is also the most. */
  readonly timeoutMs?: number
}

export interface SqlOptions extends CallOptions {
  /** Default: `limits.queryTimeout` of the configuration, which is also the most. */
  readonly timeoutMs?: number
  /** Rows of the answer at most; more are TM_LIMIT, and the statement has changed nothing. Default: `limits.maxRows`. */
  readonly maxRows?: number
}

export interface InsertOptions extends ScopedCallOptions {
  /** What to do with a row whose key exists. Default 'error': nothing of the call is written. */
  readonly onConflict?: 'error' | 'ignore'
  /** Rows of a transaction when an iterable is given; default 50,000 (10,000 with onConflict 'ignore'). */
  readonly batchRows?: number
  /** Transactions at once when an iterable is given; default 1. More load faster where the server has idle cores. */
  readonly connections?: number
}

/** Which rows an update or delete is for; as in a query. */
export interface Selection<D> {
  readonly where?: WhereInput<D>
  readonly from?: RangePoint
  readonly to?: RangePoint
  /** Needed when there is neither `where` nor a range: then every row is meant. */
  readonly all?: true
}

/** Whose rows an erasure is for; as in a query. */
export interface ErasureSelection<D> {
  readonly where: WhereInput<D>
  readonly from?: RangePoint
  readonly to?: RangePoint
}

export interface EraseCallOptions extends CallOptions {
  /** ms to wait at the end until the old files are removed; default 0: the worker's sweep does it. */
  readonly waitMs?: number
}

export interface ImportCallOptions extends ImportOptions, CallOptions {
  /** Called once with what was guessed, before the first row is written. */
  readonly onPlan?: (plan: ImportPlan, file: string) => void
  readonly onProgress?: (progress: ImportProgress) => void
}

export interface ChunkCallOptions extends CallOptions {
  readonly onProgress?: (progress: ChunkProgress) => void
  /**
   * Freezing, compacting: a chunk that is changed all the time is exported while its writers wait, for seconds where it has
   * millions of rows. Default false: it stays where it is, TM_BUSY.
   */
  readonly blockWriters?: boolean
}

export interface ChunkProgress extends MoveProgress {
  readonly dataset: string
  readonly chunksDone: number
  readonly chunksTotal: number
  /** Of the chunks that are done; `rows` are of the chunk that is being moved. */
  readonly rowsDone: number
  /** Until the last chunk is done, at the speed so far; null before the first one is. */
  readonly secondsLeft: number | null
}

/** What moving chunks has come to. */
export interface MoveReport extends MovedChunks {
  readonly dataset: string
  readonly elapsedMs: number
}

export interface FreezeReport extends MoveReport {
  /** Bytes that PostgreSQL gave back to the disk. What somebody may still see, the worker gives back later. */
  readonly reclaimedBytes: number
  /** Chunks whose space is not given back yet, and why. */
  readonly held: readonly { readonly chunk: bigint; readonly reason: string }[]
}

export interface FreezePlan {
  readonly dataset: string
  readonly chunks: readonly SurveyedChunk[]
  /** Of the chunks that can be moved; rows are PostgreSQL's estimate, bytes are with indexes. */
  readonly rows: number
  readonly bytes: number
  /** What that would take in the lake, going by the chunks of this table that are there; null: there are none. */
  readonly expectedBytes: number | null
}

export interface RefreshCallOptions extends CallOptions {
  /** Compute this range anew, as in a query; its buckets are whole. Default: only what is not valid. */
  readonly from?: RangePoint
  readonly to?: RangePoint
  readonly onProgress?: (progress: RefreshProgress) => void
}

export interface VerifyCallOptions extends CallOptions {
  /** Read every file (checksum, count, content hash); otherwise only whether it is there. Default true. */
  readonly content?: boolean
  /** Files of these chunks alone, by their numbers. Default: of every one. */
  readonly chunks?: readonly (bigint | number)[]
  /** Called after each file. */
  readonly onProgress?: (progress: { readonly rows: number; readonly bytes: number }) => void
}

export interface Ping {
  readonly reachable: boolean
  readonly version: string | null
  readonly ms: number | null
}
