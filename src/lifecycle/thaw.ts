import { randomUUID } from 'node:crypto'
import { disableGuardsSql } from '../hot/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, sql } from '../util/sql.ts'
import { listFiles, partitionOf, readChunk, readDeletions, settled } from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, Subject } from './context.ts'
import { assertLease, beginMove, endMove, flip, lockAgainstWriters, lockLate, userTriggers } from './flip.ts'
import { dropFiles } from './lake-rows.ts'
import { withLease } from './leases.ts'
import { assertAttached, assertComesBackWhole, assertNotPublished } from './obstacles.ts'

export type ThawOutcome =
  | { readonly kind: 'thawed'; readonly rows: number; readonly files: number }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'taken' }

/**
 * Takes the rows of a chunk's files back into its partition, in one transaction with the catalog: a snapshot sees the
 * files, or the rows. Files are read and rows written piece by piece. Readers wait for nothing; writers to the
 * partition only at the end, for SHARE ROW EXCLUSIVE and the commit.
 */
export async function thawChunk(
  context: LifecycleContext,
  subject: Subject,
  chunkId: bigint,
  options: MoveOptions,
): Promise<ThawOutcome> {
  const owner = randomUUID()
  const { definition, hypertable } = subject
  const lease = { owner, freezing: false, signal: options.signal ?? null }
  const outcome = await withLease(context, subject, chunkId, lease, async ({ signal }) => {
    const before = await listFiles(context.db, hypertable, chunkId)
    if (before.length === 0) return { kind: 'nothing' } as const
    for (const file of before) await context.files.verify({ definition, file, signal })
    const { range } = await readChunk(context.db, hypertable, chunkId, { lock: false })
    // What the process remembers may still have a partition that was dropped meanwhile.
    await context.chunks.map(definition, { fresh: true })
    await context.chunks.ensureChunks(definition, [range.from], { signal })
    return flip(
      context,
      { what: `thawing chunk ${chunkId} of ${definition.name}`, signal },
      async (connection) => {
        const chunk = await readChunk(connection, hypertable, chunkId, { lock: true })
        await assertLease(connection, chunkId, owner)
        const partition = partitionOf(chunk)
        if (partition === null) {
          throw new TidemarkError('TM_BUSY', {
            what: `thawing chunk ${chunkId} of ${definition.name}`,
            tries: 1,
            lastProblem: 'its partition could not be attached',
          })
        }
        await connection.execute('set local idle_in_transaction_session_timeout = 0')
        await assertNotPublished(connection, subject, chunk)
        await beginMove(connection, subject)
        const triggers = await userTriggers(connection, partition, 'insert')
        if (triggers !== null) {
          await lockAgainstWriters(connection, partition)
          await connection.execute(triggers.off)
        }
        const columns = join(
          Object.keys(definition.columns).map((name) => identifier(name)),
          ', ',
        )
        const relation = identifier(partition.schema, partition.table)
        // Under the lock of the chunk's row: nothing is noted as deleted from here on.
        const files = await listFiles(connection, hypertable, chunkId)
        await assertComesBackWhole(connection, subject, files)
        let rows = 0
        for (const file of files) {
          const kept = file.rowCount - file.deletedRows
          if (kept === 0) continue
          const positions = file.deletedRows === 0 ? null : await readDeletions(connection, file.id)
          const choice =
            positions === null ? ({ kind: 'all' } as const) : ({ kind: 'without', positions } as const)
          let bytes = 0
          const stream = context.files.rows({ definition, file, choice, signal })
          const counted = countBytes(stream, (n) => {
            bytes += n
            options.onProgress?.({ chunk: chunkId, stage: 'copy back', rows, bytes })
          })
          const copied = await connection.copyFrom(
            sql`copy ${relation} (${columns}) from stdin (format binary)`,
            counted,
            { signal },
          )
          if (copied !== kept) {
            throw new TidemarkError('TM_LAKE', {
              what: file.path,
              problem: `gave ${copied} rows where ${kept} were to come`,
              todo: 'run `tidemark verify`; nothing was changed',
            })
          }
          rows += copied
        }
        await dropFiles(connection, subject, files, 'thawed')
        await connection.query(sql`
          update tidemark.chunk
          set state = 'hot',
              frozen_at = null,
              bytes_before = null,
              moved_xid = null,
              ${settled}
          where id = ${chunkId}::int8`)
        await lockLate(context, connection, { what: `locking ${chunk.relation}`, signal }, async () => {
          await endMove(connection, subject, chunk.range)
          if (triggers === null) await lockAgainstWriters(connection, partition)
        })
        if (triggers !== null) await connection.execute(triggers.on)
        await assertAttached(connection, subject, chunk)
        const guards = await disableGuardsSql(connection, partition)
        if (guards !== null) await connection.execute(guards)
        options.onProgress?.({ chunk: chunkId, stage: 'done', rows, bytes: 0 })
        return { kind: 'thawed', rows, files: files.length } as const
      },
    )
  })
  return outcome ?? { kind: 'taken' }
}

async function* countBytes(
  stream: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const piece of stream) {
    onBytes(piece.byteLength)
    yield piece
  }
}
