/** What routes of operations answer; docs/reference/http.md. Instants are ISO 8601 in UTC, sizes bytes, durations milliseconds. */

export interface Storage {
  readonly now: string
  readonly lake: {
    /** Where its files are. */
    readonly store: string
    readonly files: number
    readonly bytes: number
    /** Of the file system that holds it, or would. */
    readonly freeBytes: number
    /** Out of the catalog, and waiting for their removal. */
    readonly trash: { readonly files: number; readonly bytes: number }
  }
  /** The database as a whole. */
  readonly databaseBytes: number
  readonly datasets: readonly StoredDataset[]
}

export interface StoredDataset {
  readonly name: string
  readonly kind: 'hypertable' | 'table'
  /** false: declared, but not in the database yet. */
  readonly exists: boolean
  /** PostgreSQL's estimate and the rows of the lake together. */
  readonly rows: number
  /** In PostgreSQL `rows` and `indexes`; in the lake with summaries. */
  readonly bytes: { readonly rows: number; readonly indexes: number; readonly lake: number }
  /** How many times smaller its cold chunks are than they were in PostgreSQL; null: not known. */
  readonly ratio: number | null
  /** As it is declared, '7 days'; null: chunks stay in PostgreSQL. */
  readonly freezeAfter: string | null
  /** As it is declared; null: nothing is dropped. */
  readonly retain: string | null
  /** Rows outside of every chunk: a worker has to look after them. */
  readonly defaultPartitionHasRows: boolean
  /** Ascending in time; a plain table has none. */
  readonly chunks: readonly StoredChunk[]
}

/** `delta`: in the lake, with late rows in PostgreSQL that are folded in later. */
export type ChunkState = 'hot' | 'freezing' | 'cold' | 'delta'

export interface StoredChunk {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly state: ChunkState
  /** Somebody moves its rows at this moment: freezes, compacts, thaws or drops it. */
  readonly isMoving: boolean
  /** In PostgreSQL and in the lake together; what is in PostgreSQL is an estimate. */
  readonly rows: number
  /** Of them in PostgreSQL. */
  readonly hotRows: number
  /** In PostgreSQL, with indexes. */
  readonly bytes: number
  /** In the lake, with summaries. */
  readonly coldBytes: number
  readonly files: number
  /** Rows of its files that no longer count. */
  readonly deletedRows: number
  /** What it took in PostgreSQL before it was frozen; null: it is hot, or never was. */
  readonly bytesBefore: number | null
  readonly frozenAt: string | null
  /** Of the last try to move it; null: it did not fail. */
  readonly error: string | null
  readonly failures: number
  /** What will be done with it by itself; null: nothing. */
  readonly next: NextAct | null
}

export interface NextAct {
  readonly act: 'freeze' | 'drop' | 'compact'
  /** From when on it may be done. */
  readonly at: string
  /** Why it was not done although that is over, in words; null: its time has not come, or the next run of the worker does it. */
  readonly waitsFor: string | null
}

export interface StorageGrowth {
  /** Of every dataset, ascending in time. */
  readonly samples: readonly StorageSample[]
}

export interface StorageSample {
  readonly at: string
  readonly dataset: string
  readonly hotRows: number
  readonly hotBytes: number
  readonly coldRows: number
  readonly coldBytes: number
}

export type OperationKind = 'freeze' | 'thaw' | 'compact' | 'verify' | 'refresh' | 'sweep'

export interface OperationRequest {
  readonly kind: OperationKind
  /** A hypertable; of `refresh` a continuous aggregate. `sweep` is of the whole lake and has none; `verify` may have none. */
  readonly dataset?: string
  /** Ids of chunks, as `storage` gives them: freeze, thaw, compact, verify. */
  readonly chunks?: readonly string[]
  /** Chunks that lie wholly in the range; of `refresh` buckets that are computed anew. As in a query. */
  readonly from?: string
  readonly to?: string
  /** Every chunk, where nothing else is chosen. Freeze takes without it those that are due, compact those that are worth it. */
  readonly all?: boolean
}

export interface Operation {
  readonly id: string
  readonly kind: OperationKind
  readonly dataset: string | null
  /** What was asked for, beside kind and dataset. */
  readonly chunks: readonly string[] | null
  readonly from: string | null
  readonly to: string | null
  readonly state: 'running' | 'done' | 'failed' | 'cancelled'
  readonly progress: OperationProgress | null
  readonly startedAt: string
  readonly endedAt: string | null
  /** What it came to, by its kind; `text` is for people. */
  readonly report: { readonly text: string; readonly [part: string]: unknown } | null
  readonly error: { readonly code: string; readonly message: string } | null
  /** Whose key or token began it. */
  readonly by: string
}

export interface OperationProgress {
  readonly done: number
  /** Null: not known before it is done. */
  readonly total: number | null
  readonly unit: 'chunks' | 'files' | 'percent'
  readonly text: string
  readonly secondsLeft: number | null
}

export interface AggregateHealth {
  readonly name: string
  /** What it is computed of: a hypertable, or another continuous aggregate. */
  readonly from: string
  readonly bucket: string
  readonly versions: readonly {
    readonly version: number
    /** `building`: a changed definition, which takes the place of the current one when it has caught up. */
    readonly state: 'building' | 'current'
    readonly createdAt: string
  }[]
  /** Cells are valid up to here, but for `open`; null: nothing is yet. */
  readonly watermark: string | null
  /** From there to now, 0 where a refresh has nothing to do. */
  readonly lagMs: number | null
  /** What a refresh has to compute before the watermark. */
  readonly open: {
    /** Changes that no refresh has seen. */
    readonly entries: number
    readonly count: number
    /** The first 100. */
    readonly ranges: readonly { readonly from: string; readonly to: string }[]
  }
  /** PostgreSQL's estimate. */
  readonly cells: number
  /** With indexes. */
  readonly bytes: number
  readonly retain: string | null
  readonly refreshEveryMs: number
  readonly lastRefresh: {
    readonly at: string
    /** Of the worker's last run; null: it has made none. */
    readonly ms: number | null
    readonly rows: number | null
    readonly cells: number | null
  } | null
  /** When the worker comes again; null: no worker has come yet. */
  readonly nextRefresh: string | null
  /** What the last refresh failed with, and what to do. */
  readonly error: string | null
  readonly failures: number
  /** Of the version that is being built: ms of its time that are valid. */
  readonly building: { readonly done: number; readonly total: number } | null
  /** Outputs are not known in buckets before, because their rows are gone; null: all are. */
  readonly unknownBefore: string | null
  /** Is it declared? Otherwise nobody refreshes it. */
  readonly isDeclared: boolean
  /** Queries of this process, since it began, that were answered from it. */
  readonly usedBy: {
    readonly queries: number
    readonly lastAt: string | null
    /** The newest 20. */
    readonly recent: readonly {
      readonly at: string
      readonly dataset: string
      /** Its shape, without values. */
      readonly summary: string
      readonly ms: number
    }[]
  }
}

export interface JobHealth {
  /** `freeze metrics.requests`: what, and of which dataset. */
  readonly name: string
  /** What it does. */
  readonly job: string
  readonly dataset: string | null
  /** From the end of a run to the next; null: it is declared no more. */
  readonly everyMs: number | null
  readonly isRunning: boolean
  readonly lastStartedAt: string | null
  readonly lastFinishedAt: string | null
  readonly lastMs: number | null
  readonly lastResult: Readonly<Record<string, unknown>> | null
  readonly nextAt: string | null
  readonly runs: number
  readonly failures: number
  readonly failuresInARow: number
  readonly lastError: string | null
  /** Why it does not run although it is due, in words; null: it is not due, or runs. */
  readonly waitsFor: string | null
  /** What to do; null: nothing. */
  readonly advice: string | null
}

export interface WorkerHealth {
  readonly id: string
  readonly host: string
  readonly processId: number
  readonly startedAt: string
  readonly seenAt: string
  /** It was heard of within the last minute. */
  readonly isAlive: boolean
  /** The job that it runs now. */
  readonly running: string | null
}

export interface JobsHealth {
  readonly jobs: readonly JobHealth[]
  readonly workers: readonly WorkerHealth[]
}

/** `corrected`: its row was changed and fits the declaration. `unreadable`: it holds no whole row; `explain` says what to do. */
export type DeadLetterState = 'refused' | 'corrected' | 'unreadable'

export interface DeadLetterFilter {
  readonly dataset?: string
  readonly reason?: string
  readonly column?: string
  /** Somewhere in its row, its value or its message, whatever the case. */
  readonly text?: string
  readonly state?: DeadLetterState
}

export interface DeadLetter {
  readonly id: string
  readonly dataset: string
  /** On whose behalf it came; null: for every tenant. */
  readonly tenant: string | null
  readonly at: string
  /** A code of docs/guide/dead-letters.md. */
  readonly reason: string
  readonly column: string | null
  readonly value: string | null
  readonly message: string
  /** As it came: the row, or the text where it is none; null: nothing is kept. */
  readonly row: unknown
  /** The file of an import, or the way in: http, analytics, … */
  readonly source: string
  /** The line in the file, from 1; otherwise the place in its batch, from 0. */
  readonly line: number
  readonly state: DeadLetterState
}

export interface DeadLetterPage {
  /** The newest first. */
  readonly letters: readonly DeadLetter[]
  /** All that match, counted; the most frequent first, 200 at most. Empty on later pages. */
  readonly groups: readonly {
    readonly dataset: string
    readonly reason: string
    readonly column: string | null
    readonly rows: number
  }[]
  /** `before` of the next page; null: there is none. */
  readonly next: string | null
}

export interface ExplainedDeadLetter extends DeadLetter {
  /** What the declaration says against the row now. */
  readonly problems: readonly {
    readonly column: string | null
    readonly value: string
    readonly problem: string
  }[]
  /** What the columns to blame take. */
  readonly allowed: readonly string[]
  readonly todo: string
  readonly canReplay: boolean
}

export interface DeadLetterReplay {
  /** Letters that are gone: their rows are stored, or were before. */
  readonly replayed: number
  readonly inserted: number
  readonly updated: number
  readonly ignored: number
  readonly merged: number
  readonly duplicates: number
  /** Refused again: they stay, and say why now. The first 100. */
  readonly rejected: {
    readonly count: number
    readonly letters: readonly {
      readonly id: string
      readonly column: string | null
      readonly value: string | null
      readonly reason: string
      readonly message: string
    }[]
  }
  /** How many hold no row, by why. They stay. */
  readonly unreadable: Readonly<Record<string, number>>
}
