import { TidemarkError } from '../util/errors.ts'

/** Numbers that decide when and how chunks are moved. Each with its unit and what it costs to raise it. */
export interface LifecycleSettings {
  /** ms that a flip waits for a lock; new writers of that chunk wait as long behind it, readers never. */
  readonly lockTimeoutMs: number
  /** Tries for the locks of a flip, before TM_BUSY; nothing is read again in between. */
  readonly lockTries: number
  /** Exports of a chunk whose rows are changed meanwhile, before it is left where it is; at least one. */
  readonly exports: number
  /** ms after which the work of a mover that stopped may be taken over; it says three times as often that it lives. */
  readonly leaseMs: number
  /** ms without a write to a chunk before the policy freezes it; a chunk twice as old as `freeze.after` is not waited for. */
  readonly quietMs: number
  /** ms before the policy tries a chunk again that is not quiet and could not be moved. */
  readonly restlessMs: number
  /** ms that a write to cold rows waits for whoever moves one of its chunks; it tries again some times. */
  readonly coldLockTimeoutMs: number
  /** Rows of a chunk that a write takes back one by one at most; beyond it the chunk is thawed. */
  readonly liftRows: number
  /** Share of a chunk's rows in the lake beyond which it is thawed instead, when they are more than `liftAtLeast`. */
  readonly liftShare: number
  /** Rows that are taken back one by one whatever their share. */
  readonly liftAtLeast: number
  /** Chunks that one run of a job moves at most. */
  readonly chunksPerRun: number
  /** Rows in the partition of a cold chunk from which on they are put into the lake at once. */
  readonly foldRows: number
  /** ms after the last write, or move, from which on the policy puts fewer rows into the lake, too. */
  readonly foldAfterMs: number
  /** Share of a chunk's rows that may lie in other places than its first file before all is written anew. */
  readonly looseShare: number
  /** Share of a chunk's rows in files that may be deleted before all is written anew. */
  readonly deletedShare: number
  /** Files of a chunk before all is written anew. */
  readonly maxFiles: number
  /** ms that a file stays after the catalog has dropped it: longer than point-in-time recovery and standbys reach back. */
  readonly keepDroppedMs: number
  /** ms that a file stays which no catalog names: longer than anything that may still come to name it is under way. */
  readonly keepStrayMs: number
  /** ms after the last file of an import into the lake (cold) from which on it is given up, when it is not done. */
  readonly keepStagedMs: number
  /** ms after which a file that no catalog names counts as left behind, where rows of its table were erased. */
  readonly eraseGraceMs: number
  /** Share of `maxChunks` that empty partitions of cold chunks may take; the oldest are dropped beyond. */
  readonly emptyShare: number
}

export const lifecycleDefaults: LifecycleSettings = Object.freeze({
  lockTimeoutMs: 100,
  lockTries: 20,
  exports: 3,
  leaseMs: 60_000,
  quietMs: 10 * 60_000,
  restlessMs: 60 * 60_000,
  coldLockTimeoutMs: 5000,
  liftRows: 500_000,
  liftShare: 0.3,
  liftAtLeast: 10_000,
  chunksPerRun: 16,
  foldRows: 50_000,
  foldAfterMs: 60 * 60_000,
  looseShare: 0.1,
  deletedShare: 0.05,
  maxFiles: 4,
  keepDroppedMs: 7 * 86_400_000,
  keepStrayMs: 86_400_000,
  keepStagedMs: 7 * 86_400_000,
  eraseGraceMs: 5 * 60_000,
  emptyShare: 0.5,
} satisfies LifecycleSettings)

const shares: ReadonlySet<string> = new Set(['looseShare', 'deletedShare', 'emptyShare', 'liftShare'])

/** @throws TidemarkError TM_CONFIG */
export function settleSettings(given: Partial<LifecycleSettings>): LifecycleSettings {
  const settings = { ...lifecycleDefaults, ...given }
  for (const [path, value] of Object.entries(settings)) {
    const isRight = shares.has(path) ? value >= 0 && value <= 1 : Number.isSafeInteger(value) && value >= 0
    if (isRight) continue
    const problem = shares.has(path)
      ? `must be a share from 0 to 1, not ${value}`
      : `must be a whole number from 0 on, not ${value}`
    throw new TidemarkError('TM_CONFIG', { path: `lifecycle.${path}`, problem })
  }
  return Object.freeze(settings)
}
