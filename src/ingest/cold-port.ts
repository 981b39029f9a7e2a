import type { LakeSegments, SegmentFile } from '../lake/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'

/** What an import straight into the lake (cold) needs of those who know it; the engine puts it together. */
export interface ColdLake {
  readonly segments: LakeSegments
  /** @throws TidemarkError TM_MIGRATION when rows of the table cannot come into the lake by themselves. */
  assertLoadable(definition: HypertableDefinition): Promise<void>
  /** Notes files that are in the store, in case that nobody comes to name them. */
  note(definition: HypertableDefinition, files: readonly SegmentFile[]): Promise<void>
  /** Takes these notes away, in the transaction that names the files. */
  takeNotes(connection: Connection, files: readonly SegmentFile[]): Promise<void>
  /**
   * Makes files count in one transaction, of which `inTransaction` is the end; it may be run again.
   * @returns what the caller should hear.
   */
  adopt(
    definition: HypertableDefinition,
    files: readonly SegmentFile[],
    options: {
      readonly inTransaction: (connection: Connection) => Promise<void>
      readonly signal: AbortSignal | null
    },
  ): Promise<readonly string[]>
}
