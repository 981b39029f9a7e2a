import type { OnConflict } from '../hot/index.ts'
import type { IngestReport, RejectedRow } from './contract.ts'
import type { PatchOperation, StoredRow } from './dead-letter-patch.ts'
import type { DeadLetter, DeadLetterCount, LetterState } from './dead-letter-store.ts'

export interface DeadLetterGroup extends DeadLetterCount {
  /** The first of them. */
  readonly samples: readonly DeadLetter[]
}

/** Of a list of letters the newest first. */
export interface LetterPage {
  readonly letters: readonly (DeadLetter & { readonly state: LetterState })[]
  /** All that match, counted, the most frequent first; of the first page alone. */
  readonly groups: readonly {
    readonly dataset: string
    readonly reason: string
    readonly column: string | null
    readonly rows: number
  }[]
  /** `before` of the next page; null: there is none. */
  readonly next: string | null
}

export interface ExplainedLetter extends DeadLetter {
  readonly state: LetterState
  /** Null: none can be read from it, and `todo` says why. */
  readonly row: StoredRow | null
  /** Everything that the declaration says against the row now; what the database said is the letter's `message`. */
  readonly problems: readonly {
    readonly column: string | null
    readonly value: string
    readonly problem: string
  }[]
  /** Of the columns to blame. */
  readonly allowed: readonly string[]
  readonly todo: string
  readonly canReplay: boolean
}

export interface FixOptions {
  /** Default false: it is only told what would be done. */
  readonly apply?: boolean
  readonly signal?: AbortSignal | null
}

export interface FixReport {
  readonly isApplied: boolean
  readonly changed: number
  /** Of them: those that fit the declaration then. */
  readonly fits: number
  /** Nothing of the change was in them. */
  readonly unchanged: number
  /** How many could not be changed, by why. */
  readonly failed: Readonly<Record<string, number>>
  /** The first that are changed. */
  readonly samples: readonly {
    readonly id: string
    readonly patch: readonly PatchOperation[]
    readonly row: StoredRow
    /** What the declaration says against it then. */
    readonly problem: string | null
  }[]
}

export interface ReplayOptions {
  /** In place of the rule that the rows came with: for rows whose key exists. */
  readonly onConflict?: OnConflict
  readonly signal?: AbortSignal | null
}

export interface ReplayReport
  extends Pick<IngestReport, 'inserted' | 'updated' | 'ignored' | 'merged' | 'duplicates'> {
  /** Letters that are gone: their rows are stored, or were before, or steps of enrichment leave them out. */
  readonly replayed: number
  /** Rows that are refused again; the letters say why now. */
  readonly rejected: { readonly count: number; readonly letters: readonly RejectedLetter[] }
  /** Letters that hold no row, by why. They stay. */
  readonly unreadable: Readonly<Record<string, number>>
}

export interface RejectedLetter extends Omit<RejectedRow, 'index'> {
  readonly id: string
}
