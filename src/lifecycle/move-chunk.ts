import { randomUUID } from 'node:crypto'
import { TidemarkError } from '../util/errors.ts'
import { partitionOf, readChunk } from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, MoveProgress, Subject } from './context.ts'
import { type ChunkMove, exportChunk, type Replacing, readSeen } from './export-chunk.ts'
import { Changed, flip, lockAgainstWriters } from './flip.ts'
import { type Flipped, flipChunk } from './flip-chunk.ts'
import { installTableGuard } from './guards.ts'
import { noteWritten } from './lake-rows.ts'
import { withLease } from './leases.ts'
import { assertMovable } from './obstacles.ts'
import { markLake } from './ownership.ts'

export type { Replacing } from './export-chunk.ts'

export type MoveOutcome =
  | ({
      readonly kind: 'moved'
      /** Exports that were needed. */
      readonly exports: number
    } & Flipped)
  /** There is nothing to move. */
  | { readonly kind: 'nothing' }
  /** Somebody else moves it at this moment. */
  | { readonly kind: 'taken' }

/**
 * Moves rows of a chunk into one new file.
 *
 * 1. *Export* in a REPEATABLE READ snapshot S, without a lock on the table: the rows of the partition, and those of the
 *    files that are replaced, go into a file, which is durable and was read back before anything else happens.
 * 2. *Flip*, one READ COMMITTED transaction. `delete … where age(xmin) > age(xmin of S)` deletes only row versions of
 *    transactions that had ended before S was taken: whichever of them is still there, S has seen. So when as many rows
 *    are deleted as S gave, these are the exported ones, each unchanged; any other number is a refusal. Rows that came
 *    after S are not touched, they stay in the partition. Nothing is said about what the change log holds, so a change
 *    that no trigger saw is noticed, too.
 * 3. SHARE ROW EXCLUSIVE on the partition comes after the DELETE, so that writers of other rows do not wait for it. With
 *    the lock nobody waits for one of the deleted rows (he would hold ROW EXCLUSIVE): nobody is told later that his row
 *    is not there. When it is not to be had at once, everything is rolled back.
 * 4. The guards; commit.
 *
 * After `exports` refusals the chunk stays where it is (TM_BUSY): its rows are still being changed. With `blockWriters` it is
 * then exported under the lock, in the transaction of the flip, and writers of this chunk wait for all of it.
 */
export async function moveChunk(
  context: LifecycleContext,
  subject: Subject,
  chunkId: bigint,
  replacing: Replacing,
  options: MoveOptions,
): Promise<MoveOutcome> {
  const owner = randomUUID()
  const { onProgress, blockWriters = false } = options
  const lease = { owner, freezing: true, signal: options.signal ?? null }
  const outcome = await withLease(context, subject, chunkId, lease, async ({ signal }) => {
    const chunk = await readChunk(context.db, subject.hypertable, chunkId, { lock: false })
    await assertMovable(context.db, subject, chunk)
    // Before there is a file: to the sweep of another database it would be nobody's.
    await markLake(context.db, context.store)
    await installTableGuard(context, subject, { signal })
    const report = (stage: MoveProgress['stage'], rows: number, bytes = 0): void =>
      onProgress?.({ chunk: chunkId, stage, rows, bytes })
    const move: ChunkMove = { context, subject, chunkId, owner, replacing, signal, report }
    const unlocked = Math.max(context.settings.exports, blockWriters ? 0 : 1)
    const last = unlocked + (blockWriters ? 1 : 0)
    for (let exports = 1; ; exports += 1) {
      try {
        const flipped = await (exports <= unlocked ? moveUnlocked(move) : moveUnderLock(move))
        if (flipped === null) return { kind: 'nothing' } as const
        report('done', flipped.rows, flipped.bytes)
        return { kind: 'moved', exports, ...flipped } as const
      } catch (error) {
        if (!(error instanceof Changed)) throw error
        if (exports < last) continue
        throw new TidemarkError('TM_BUSY', {
          what: whatOf(move),
          tries: exports,
          lastProblem: `${error.what}: its rows are still being changed; it stays as it is until they rest, or until writers may be kept waiting (blockWriters, --block-writers)`,
        })
      }
    }
  })
  return outcome ?? { kind: 'taken' }
}

function whatOf({ chunkId, subject }: ChunkMove): string {
  return `moving chunk ${chunkId} of ${subject.definition.name}`
}

/**
 * The snapshot stays open for the flip: no row that it sees can go, and no other take its place. Null: there is nothing
 * to move.
 */
function moveUnlocked(move: ChunkMove): Promise<Flipped | null> {
  const { context, subject, chunkId, signal } = move
  return context.db.transaction({ mode: 'repeatable read read only', signal }, async (connection) => {
    const chunk = await readChunk(connection, subject.hypertable, chunkId, { lock: false })
    const seen = await readSeen(connection, chunk)
    const exported = await exportChunk(connection, move, chunk, seen)
    if (exported === null) return null
    if (exported.file !== null) await noteWritten(context.db, subject, exported.file)
    return flip(context, { what: whatOf(move), signal, givesWay: true }, (flipping) =>
      flipChunk(flipping, move, exported),
    )
  })
}

/** Writers of the chunk wait for all of it; readers for nothing. */
function moveUnderLock(move: ChunkMove): Promise<Flipped | null> {
  const { context, subject, chunkId, signal } = move
  return flip(context, { what: whatOf(move), signal }, async (connection) => {
    const chunk = await readChunk(connection, subject.hypertable, chunkId, { lock: true })
    const partition = partitionOf(chunk)
    if (partition !== null) await lockAgainstWriters(connection, partition)
    const exported = await exportChunk(connection, move, chunk, null)
    if (exported === null) return null
    // Of its own: the note has to be there when this transaction takes it away, and when it fails.
    if (exported.file !== null) await noteWritten(context.db, subject, exported.file)
    return flipChunk(connection, move, exported)
  })
}
