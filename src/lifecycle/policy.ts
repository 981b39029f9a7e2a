import type { LifecycleSettings } from './options.ts'

/** What is known of a cold chunk, for deciding what to do about it. */
export interface ChunkWear {
  /** Rows in its partition. */
  readonly deltaRows: number
  /** Rows of each of its files, oldest first, the deleted ones included. */
  readonly fileRows: readonly number[]
  readonly deletedRows: number
  /** ms since it was last written to or moved. */
  readonly restedMs: number
}

/** `fold`: rows of the partition into one more file. `rewrite`: everything into one new file. */
export type Wear = 'rest' | 'fold' | 'rewrite'

/**
 * Rewriting costs the whole chunk, folding only what is new; files and deletions cost each query a little. So a chunk
 * is written anew when what lies loose (partition, all files but the largest) or is deleted is a fair share of it, or
 * there are too many files; and otherwise rows are folded in when they are many, or nobody has come for a while.
 */
export function judgeWear(wear: ChunkWear, settings: LifecycleSettings): Wear {
  const { deltaRows, fileRows, deletedRows, restedMs } = wear
  const inFiles = fileRows.reduce((sum, rows) => sum + rows, 0)
  const isDue = deltaRows >= settings.foldRows || (deltaRows > 0 && restedMs >= settings.foldAfterMs)
  const largest = fileRows.reduce((most, rows) => Math.max(most, rows), 0)
  const loose = inFiles - largest + (isDue ? deltaRows : 0)
  const isRested = restedMs >= settings.foldAfterMs
  if (deletedRows > settings.deletedShare * inFiles && (isRested || isDue)) return 'rewrite'
  if (loose > settings.looseShare * largest && (isDue || (isRested && fileRows.length > 1))) return 'rewrite'
  if (fileRows.length + (isDue ? 1 : 0) > settings.maxFiles && (isDue || isRested)) return 'rewrite'
  return isDue ? 'fold' : 'rest'
}
