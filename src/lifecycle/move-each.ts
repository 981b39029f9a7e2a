import type { Instant } from '../time/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import type { ChunkRecord } from './chunk-record.ts'
import type { MoveOptions } from './context.ts'
import type { MoveOutcome } from './move-chunk.ts'

/** Which chunks are meant. Without any of these: all. */
export interface ChunkSelection {
  readonly chunk?: bigint
  /** Chunks that lie wholly in `[from, to)`. */
  readonly from?: Instant
  readonly to?: Instant
  /** Chunks that lie wholly before it. */
  readonly olderThan?: Instant
}

export interface MovedChunks {
  readonly chunks: number
  readonly rows: number
  /** Of the files that were written; 0 for a thaw. */
  readonly bytes: number
  /** What the partitions of hot chunks took with their indexes before. */
  readonly bytesBefore: number
  /** Chunks that somebody else moves at this moment. */
  readonly taken: readonly bigint[]
  /** Chunks that could not be moved, and why; the others were. */
  readonly failed: readonly { readonly chunk: bigint; readonly reason: string }[]
}

export interface PolicyRun extends MovedChunks {
  /** Chunks that are old enough and wait for a while without writes. */
  readonly waiting: number
}

export function isSelected(
  { id, range }: Pick<ChunkRecord, 'id' | 'range'>,
  selection: ChunkSelection,
): boolean {
  const { chunk, from, to, olderThan } = selection
  return (
    (chunk === undefined || id === chunk) &&
    (from === undefined || range.from >= from) &&
    (to === undefined || range.to <= to) &&
    (olderThan === undefined || range.to <= olderThan)
  )
}

/** One after the other. A chunk that cannot be moved does not keep the others. */
export async function moveEach(
  chunks: readonly ChunkRecord[],
  { signal }: MoveOptions,
  each: (chunk: ChunkRecord) => Promise<MoveOutcome>,
): Promise<MovedChunks> {
  const total = { chunks: 0, rows: 0, bytes: 0, bytesBefore: 0 }
  const taken: bigint[] = []
  const failed: { chunk: bigint; reason: string }[] = []
  for (const chunk of chunks) {
    if (signal?.aborted) break
    try {
      const outcome = await each(chunk)
      if (outcome.kind === 'taken') taken.push(chunk.id)
      if (outcome.kind !== 'moved') continue
      total.chunks += 1
      total.rows += outcome.rows
      total.bytes += outcome.bytes
      total.bytesBefore += outcome.bytesBefore
    } catch (error) {
      // With one chunk the error is the answer; a lost database or a cancelled call ends the run.
      if (!isTidemarkError(error) || chunks.length === 1 || endsRun.has(error.code)) throw error
      failed.push({ chunk: chunk.id, reason: error.message })
    }
  }
  return { ...total, taken, failed }
}

const endsRun: ReadonlySet<string> = new Set(['TM_CANCELLED', 'TM_CONNECT', 'TM_COMMIT_UNKNOWN'])
