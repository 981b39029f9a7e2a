export interface ConversionProgress {
  readonly relation: string
  readonly phase:
    | 'preparing'
    | 'copying'
    | 'indexing'
    | 'catching up'
    | 'verifying'
    | 'swapping'
    | 'finishing'
  readonly rowsCopied: bigint
  readonly estimatedRows: number
  /** Why the phase goes on, when it waits for somebody. */
  readonly waitsFor: string | null
}

export interface ConvertOptions {
  /** Rows that are copied, or entries that are caught up with, in one transaction. Default 50,000. */
  readonly batchRows?: number
  /** ms, default 200: who waits for a lock blocks everybody behind. */
  readonly lockTimeoutMs?: number
  /** How long writers may be held back at the swap while older snapshots end. ms, default 1,000. */
  readonly settleMs?: number
  /** How long to try for the locks of the beginning and of the swap. ms, default 3,600,000. */
  readonly patienceMs?: number
  /** How long to wait at the end for transactions that began before the swap. ms, default 60,000. */
  readonly finishMs?: number
  /** Reads both tables once and compares them bit by bit before the swap. Default true. */
  readonly verify?: boolean
  /** Drops the old table at the end instead of keeping it as `<table>_before_tidemark`. Default false. */
  readonly dropOld?: boolean
  readonly onProgress?: (progress: ConversionProgress) => void
  readonly signal?: AbortSignal | null
}

export const convertDefaults = Object.freeze({
  batchRows: 50_000,
  lockTimeoutMs: 200,
  settleMs: 1_000,
  patienceMs: 3_600_000,
  finishMs: 60_000,
  verify: true,
  dropOld: false,
}) satisfies Readonly<Partial<ConvertOptions>>
