import { findHypertable, type HypertableRecord } from '../changelog/index.ts'
import type { ChunkManager } from '../hot/index.ts'
import type { LakeFiles, ObjectStore } from '../lake/index.ts'
import type { Database, Queryable } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import type { LifecycleSettings } from './options.ts'

/** What every part of the lifecycle stands on; built in one place. */
export interface LifecycleContext {
  /** A direct connection, or a pooler in transaction mode: VACUUM is sent as a statement of its own. */
  readonly db: Database
  readonly files: LakeFiles
  readonly store: ObjectStore
  readonly chunks: ChunkManager
  readonly clock: Clock
  /** In [0, 1), for jitter. */
  readonly random: () => number
  readonly settings: LifecycleSettings
}

/** A hypertable as declared, and as the catalog has it. */
export interface Subject {
  readonly definition: HypertableDefinition
  readonly hypertable: HypertableRecord
}

export async function subjectOf(
  context: { readonly db: Queryable },
  definition: HypertableDefinition,
): Promise<Subject> {
  return { definition, hypertable: await findHypertable(context.db, definition) }
}

/** What is being done, for whoever watches. */
export interface MoveProgress {
  readonly chunk: bigint
  readonly stage: 'export' | 'write' | 'verify' | 'summarize' | 'flip' | 'copy back' | 'done'
  readonly rows: number
  readonly bytes: number
}

export interface MoveOptions {
  readonly signal?: AbortSignal | null
  /**
   * A chunk whose rows are changed during every export is exported once more while its writers wait (seconds for millions
   * of rows). Default false: it stays where it is, TM_BUSY.
   */
  readonly blockWriters?: boolean
  readonly onProgress?: (progress: MoveProgress) => void
}
