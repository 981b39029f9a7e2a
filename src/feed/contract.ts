import type { TimeRange } from '../time/index.ts'
import type { TidemarkError } from '../util/errors.ts'

/** Rows of this dataset may be others than before. */
export interface DatasetChange {
  /** `schema.table`, of a hypertable or a plain table. */
  readonly dataset: string
  /** Null: of any tenant, or the table has none. */
  readonly tenant: string | null
  /** Null: anywhere; plain tables have no range. */
  readonly range: TimeRange | null
}

export type FeedEvent =
  | { readonly kind: 'changed'; readonly changes: readonly DatasetChange[] }
  /** What has changed is not known (the log was trimmed, the server failed over, the feed was away for long): everything may have. */
  | { readonly kind: 'reset'; readonly reason: string }
  /** Nobody can tell what changes here: the server is a standby. Once, until it can be told again, which begins with a reset. */
  | { readonly kind: 'refused'; readonly error: TidemarkError<'TM_READ_ONLY'> }

/**
 * What has been committed, told to this process: by whichever writer, at most about a second late. It follows the change log, so
 * nothing is lost; NOTIFY only makes it quicker. Within a process it never says that something changed before it is committed.
 */
export interface ChangeFeed {
  /**
   * Called in order, never for two events at once. What it throws ends the process's feed, so it throws nothing. The first that a
   * listener hears of is a `reset`, unless the feed was followed already, or `refused`.
   */
  subscribe(listener: (event: FeedEvent) => void): () => void
  /**
   * Resolves when every change that was committed before the call has been told to every listener; without a listener at once.
   *
   * @throws TidemarkError TM_CANCELLED by the signal, TM_READ_ONLY on a standby, TM_CONNECT and others where PostgreSQL cannot be asked.
   */
  caughtUp(signal?: AbortSignal | null): Promise<void>
  /** Looks now instead of at the next poll. */
  wake(): void
  /** As `wake`, after a commit of this process: the other processes are woken, too. */
  wrote(): void
  /**
   * ms since the start of the last look that has been told: a change that was committed before that is known. Infinity before the
   * first look, and where nobody can tell (on a standby).
   */
  readonly behindMs: number
  /** Whether anybody listens; otherwise nothing is looked for, and `behindMs` says nothing. */
  readonly isFollowed: boolean
  close(): Promise<void>
}
