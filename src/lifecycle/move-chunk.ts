import { randomUUID } from 'node:crypto'
import { disableGuardsSql, guardChunkSql, guardTableSql, hasTableGuard, uniqueColumns } from '../hot/index.ts'
import type { WrittenFile } from '../lake/index.ts'
import type { Connection } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import {
  type ChunkFile,
  type ChunkRecord,
  listFiles,
  partitionOf,
  readChunk,
  readDeletions,
} from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, MoveProgress, Subject } from './context.ts'
import { joinCopyStreams } from './copy-stream.ts'
import {
  assertLease,
  beginMove,
  Changed,
  endMove,
  flip,
  lockAgainstWriters,
  probeLock,
  userTriggers,
} from './flip.ts'
import { dropFiles, insertFile, noteWritten } from './lake-rows.ts'
import { withLease } from './leases.ts'
import { assertAttached, assertMovable } from './obstacles.ts'
import { markLake } from './ownership.ts'

/** Which files of the chunk the new one takes the place of: none of them (freeze, fold), or all. */
export type Replacing = 'none' | 'all'

export type MoveOutcome =
  | {
      readonly kind: 'moved'
      readonly rows: number
      /** Rows that were in PostgreSQL. */
      readonly rowsFromPartition: number
      /** Of the new file and its summary; 0 when nothing was left to write. */
      readonly bytes: number
      /** Of the partition with its indexes before the move, when its chunk was hot; otherwise 0. */
      readonly bytesBefore: number
      /** Exports that were needed. */
      readonly exports: number
    }
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
 * 4. The guards, the catalog, the epoch; commit.
 *
 * After `exports` refusals the export is made under the lock, in the transaction of the flip: writers of this chunk wait.
 */
export async function moveChunk(
  context: LifecycleContext,
  subject: Subject,
  chunkId: bigint,
  replacing: Replacing,
  options: MoveOptions,
): Promise<MoveOutcome> {
  const owner = randomUUID()
  const lease = { owner, freezing: true, signal: options.signal ?? null }
  const outcome = await withLease(context, subject, chunkId, lease, async ({ signal }) => {
    await assertMovable(
      context.db,
      subject,
      await readChunk(context.db, subject.hypertable, chunkId, { lock: false }),
    )
    // Before there is a file: to the sweep of another database it would be nobody's.
    await markLake(context.db, context.store)
    await installTableGuard(context, subject, signal)
    const move = new Move(context, subject, chunkId, owner, replacing, signal, options.onProgress ?? null)
    for (let exports = 1; ; exports += 1) {
      try {
        return await (exports > context.settings.exports ? move.underLock(exports) : move.attempt(exports))
      } catch (error) {
        if (!(error instanceof Changed)) throw error
        if (exports <= context.settings.exports) continue
        throw new TidemarkError('TM_BUSY', {
          what: `moving chunk ${chunkId} of ${subject.definition.name}`,
          tries: exports,
          lastProblem: error.what,
        })
      }
    }
  })
  return outcome ?? { kind: 'taken' }
}

/** What S gave. */
interface Exported {
  readonly chunk: ChunkRecord
  /** Null when no row was left: all of them had been deleted. */
  readonly file: WrittenFile | null
  readonly replaced: readonly ChunkFile[]
  readonly rowsFromPartition: number
  /** Null: made under the lock, where whatever is there was exported. */
  readonly seen: Seen | null
}

/** What tells the row versions that S sees from others, with transaction numbers as text. */
interface Seen {
  readonly snapshot: string
  readonly xmin: string
  readonly xmax: string
  /** Sum of the hashed places of all of them; null where their age is enough. */
  readonly places: string | null
}

/** Of `p`, which may be of a transaction that ended after S. */
function seenSql({ snapshot, xmin, xmax, places }: Seen): Sql {
  const isOld = sql`age(p.xmin) > age(${xmin}::xid8::xid)`
  if (places === null) return isOld
  // All 64 bits of p.xmin: as far below xmax as it is older.
  const xid = sql`(${xmax}::int8 - (age(p.xmin) - age(${xmax}::xid8::xid)))::text::xid8`
  return sql`case
    when ${isOld} then true
    when age(p.xmin) <= age(${xmax}::xid8::xid) then false
    else pg_visible_in_snapshot(${xid}, ${snapshot}::pg_snapshot)
  end`
}

class Move {
  readonly #context: LifecycleContext
  readonly #subject: Subject
  readonly #chunkId: bigint
  readonly #owner: string
  readonly #replacing: Replacing
  readonly #signal: AbortSignal
  readonly #onProgress: ((progress: MoveProgress) => void) | null
  #bytes = 0
  #rows = 0

  constructor(
    context: LifecycleContext,
    subject: Subject,
    chunkId: bigint,
    owner: string,
    replacing: Replacing,
    signal: AbortSignal,
    onProgress: ((progress: MoveProgress) => void) | null,
  ) {
    this.#context = context
    this.#subject = subject
    this.#chunkId = chunkId
    this.#owner = owner
    this.#replacing = replacing
    this.#signal = signal
    this.#onProgress = onProgress
  }

  /** Export and flip. The snapshot stays open for the flip: no row that it sees can go, and no other take its place. */
  attempt(exports: number): Promise<MoveOutcome> {
    const { db } = this.#context
    return db.transaction(
      { mode: 'repeatable read read only', signal: this.#signal },
      async (connection): Promise<MoveOutcome> => {
        const { rows } = await connection.query(sql`
          select
            s.snapshot, pg_snapshot_xmin(s.snapshot)::text, pg_snapshot_xmax(s.snapshot)::text
          from (select pg_current_snapshot() as snapshot) as s`)
        const [snapshot, xmin, xmax] = rows[0] as [string, string, string]
        const chunk = await readChunk(connection, this.#subject.hypertable, this.#chunkId, { lock: false })
        const places = await this.#placesOfYoung(connection, chunk, xmin, xmax)
        const exported = await this.#write(connection, chunk, { snapshot, xmin, xmax, places })
        if (exported === null) return { kind: 'nothing' }
        if (exported.file !== null) await noteWritten(db, this.#subject, exported.file)
        return flip(this.#context, { what: this.#what, signal: this.#signal }, (flipping) =>
          this.#flip(flipping, exported, exports),
        )
      },
    )
  }

  /**
   * A transaction that still runs (anywhere in the cluster) may be older than rows of the chunk. Then the age of a row
   * version does not tell whether S has seen it, nor does its transaction's number where that may be a savepoint's; so
   * the places of all that S sees are added up, to be compared with those of the rows that the flip deletes. Null where
   * age is enough.
   */
  async #placesOfYoung(
    connection: Connection,
    chunk: ChunkRecord,
    xmin: string,
    xmax: string,
  ): Promise<string | null> {
    const partition = partitionOf(chunk)
    if (partition === null || xmin === xmax) return null
    const relation = identifier(partition.schema, partition.table)
    const { rows } = await connection.query(sql`
      select exists (select from only ${relation} as p where not age(p.xmin) > age(${xmin}::xid8::xid))`)
    if (rows[0]![0] === false) return null
    const { rows: sums } = await connection.query(
      sql`select coalesce(sum(hashtidextended(p.ctid, 0)), 0)::text from only ${relation} as p`,
    )
    return sums[0]![0] as string
  }

  /** Everything in the connection's snapshot. */
  async #write(connection: Connection, chunk: ChunkRecord, seen: Seen | null): Promise<Exported | null> {
    const { definition, hypertable } = this.#subject
    if (chunk.state === 'dropped') return null
    // RLS would hide rows; an error is better. Files may take long to read.
    await connection.execute(
      'set local row_security = off; set local idle_in_transaction_session_timeout = 0',
    )
    const files = await listFiles(connection, hypertable, chunk.id)
    const replaced = this.#replacing === 'all' ? files : []
    const partition = partitionOf(chunk)
    this.#bytes = 0
    this.#report('export', 0)
    const streams: AsyncIterable<Uint8Array>[] = []
    if (partition !== null) {
      const columns = join(
        Object.keys(definition.columns).map((name) => identifier(name)),
        ', ',
      )
      streams.push(
        connection.copyTo(
          sql`copy (select ${columns} from only ${identifier(partition.schema, partition.table)}) to stdout (format binary)`,
          { signal: this.#signal },
        ),
      )
    }
    let rowsOfFiles = 0
    for (const file of replaced) {
      // What is damaged must not be copied into a file that is then found to be right.
      await this.#context.files.verify({ definition, file, signal: this.#signal })
      rowsOfFiles += file.rowCount - file.deletedRows
      if (file.deletedRows === file.rowCount) continue
      const positions = file.deletedRows === 0 ? null : await readDeletions(connection, file.id)
      const choice =
        positions === null ? ({ kind: 'all' } as const) : ({ kind: 'without', positions } as const)
      streams.push(this.#context.files.rows({ definition, file, choice, signal: this.#signal }))
    }
    const file =
      streams.length === 0
        ? null
        : await this.#context.files.write({
            definition,
            range: chunk.range,
            rows: joinCopyStreams(streams, (bytes) => {
              this.#bytes += bytes
            }),
            signal: this.#signal,
            onProgress: ({ stage, rows }) => this.#report(stage === 'read' ? 'export' : stage, rows),
          })
    if (file === null && replaced.length === 0) return null
    const rowsFromPartition = (file?.rowCount ?? 0) - rowsOfFiles
    return { chunk, file, replaced, rowsFromPartition, seen }
  }

  /** Writers of the chunk wait for all of it; readers for nothing. */
  underLock(exports: number): Promise<MoveOutcome> {
    return flip(this.#context, { what: this.#what, signal: this.#signal }, async (connection) => {
      const chunk = await readChunk(connection, this.#subject.hypertable, this.#chunkId, { lock: true })
      const partition = partitionOf(chunk)
      if (partition !== null) await lockAgainstWriters(connection, partition)
      const exported = await this.#write(connection, chunk, null)
      if (exported === null) return { kind: 'nothing' }
      // Of its own: the note has to be there when this transaction takes it away, and when it fails.
      if (exported.file !== null) await noteWritten(this.#context.db, this.#subject, exported.file)
      return this.#flip(connection, exported, exports)
    })
  }

  async #flip(connection: Connection, exported: Exported, exports: number): Promise<MoveOutcome> {
    const subject = this.#subject
    const { definition, hypertable } = subject
    this.#report('flip', exported.file?.rowCount ?? 0)
    const chunk = await readChunk(connection, hypertable, this.#chunkId, { lock: true })
    await assertLease(connection, chunk.id, this.#owner)
    if (chunk.state === 'dropped') throw new Changed('it was dropped')
    if (chunk.relation !== exported.chunk.relation) throw new Changed('its partition is another one')
    const partition = partitionOf(chunk)
    const bytesBefore = partition === null ? null : await sizeOf(connection, partition)
    await beginMove(connection, subject)
    if (partition !== null) {
      const triggers = await userTriggers(connection, partition, 'delete')
      if (triggers === null) await probeLock(connection, partition)
      else await lockAgainstWriters(connection, partition)
      await assertAttached(connection, subject, chunk)
      if (triggers !== null) await connection.execute(triggers.off)
      const relation = identifier(partition.schema, partition.table)
      const condition = exported.seen === null ? raw('true') : seenSql(exported.seen)
      const deletion = sql`delete from only ${relation} as p where ${condition}`
      const places = exported.seen?.places ?? null
      if (places === null) {
        const { rowCount } = await connection.query(deletion)
        this.#assertSame(exported, rowCount)
      } else {
        const { rows } = await connection.query(sql`
          with gone as (${deletion} returning hashtidextended(p.ctid, 0) as place)
          select count(*), coalesce(sum(place), 0)::text from gone`)
        const [rowCount, found] = rows[0] as [bigint, string]
        this.#assertSame(exported, Number(rowCount))
        if (found !== places) throw new Changed('rows of it were changed meanwhile')
      }
      if (triggers !== null) await connection.execute(triggers.on)
      await lockAgainstWriters(connection, partition)
      await assertAttached(connection, subject, chunk)
    }
    await assertMovable(connection, subject, chunk)
    await this.#assertUnchanged(connection, exported.replaced)
    await dropFiles(connection, subject, exported.replaced, 'compacted')
    if (exported.file !== null) await insertFile(connection, subject, chunk.id, exported.file)
    const { rows } = await connection.query(sql`
      update tidemark.chunk as k
      set state = case
            when exists (select from tidemark.lake_file as f where f.chunk_id = k.id) then 'cold'
            else 'hot'
          end,
          frozen_at = clock_timestamp(),
          bytes_before = case
            when k.state <> 'cold' then ${bytesBefore}::int8
            else k.bytes_before
          end,
          moved_xid = case when ${exported.rowsFromPartition}::int8 > 0 then pg_current_xact_id() else moved_xid end,
          lease_owner = null,
          lease_until = null,
          move_error = null,
          move_failures = 0
      where k.id = ${chunk.id}::int8
      returning state`)
    if (partition !== null) {
      const unique = await uniqueColumns(connection, partition)
      const guarded = { id: hypertable.id, name: definition.name }
      const isCold = rows[0]![0] === 'cold'
      const guards = isCold
        ? guardChunkSql(guarded, partition, chunk.range, unique)
        : await disableGuardsSql(connection, partition)
      if (guards !== null) await connection.execute(guards)
    }
    await endMove(connection, subject, chunk.range)
    this.#report('done', exported.file?.rowCount ?? 0)
    return {
      kind: 'moved',
      rows: exported.file?.rowCount ?? 0,
      rowsFromPartition: exported.rowsFromPartition,
      bytes: (exported.file?.bytes ?? 0) + (exported.file?.summary?.bytes ?? 0),
      bytesBefore: chunk.state === 'cold' ? 0 : Number(bytesBefore ?? 0n),
      exports,
    }
  }

  #assertSame({ rowsFromPartition }: Exported, deleted: number): void {
    if (deleted === rowsFromPartition) return
    throw new Changed(`${rowsFromPartition} rows were exported, and ${deleted} of them are there unchanged`)
  }

  /** Under the lock of the chunk's row, which every deletion is noted under. */
  async #assertUnchanged(connection: Connection, replaced: readonly ChunkFile[]): Promise<void> {
    if (replaced.length === 0) return
    const now = await listFiles(connection, this.#subject.hypertable, this.#chunkId)
    const byId = new Map(now.map((file) => [file.id, file]))
    for (const file of replaced) {
      const same = byId.get(file.id)
      if (same === undefined) throw new Changed(`${file.path} is no longer a file of it`)
      if (same.deletionEntries !== file.deletionEntries || same.deletedRows !== file.deletedRows)
        throw new Changed(`rows of ${file.path} were changed meanwhile`)
    }
  }

  get #what(): string {
    return `moving chunk ${this.#chunkId} of ${this.#subject.definition.name}`
  }

  #report(stage: MoveProgress['stage'], rows: number): void {
    this.#rows = Math.max(this.#rows, rows)
    this.#onProgress?.({ chunk: this.#chunkId, stage, rows, bytes: this.#bytes })
  }
}

/** Bytes with indexes and TOAST. */
async function sizeOf(
  connection: Connection,
  partition: { readonly schema: string; readonly table: string },
): Promise<bigint> {
  const { rows } = await connection.query(sql`
    select pg_total_relation_size(format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass)`)
  return rows[0]![0] as bigint
}

/** SHARE ROW EXCLUSIVE on the table, once in its life: writers through the table wait for it as for a flip. */
export async function installTableGuard(
  context: LifecycleContext,
  { definition, hypertable }: Subject,
  signal: AbortSignal | null,
): Promise<void> {
  if (await hasTableGuard(context.db, hypertable)) return
  const guarded = {
    id: hypertable.id,
    name: definition.name,
    schema: definition.schema,
    table: definition.table,
  }
  await flip(context, { what: `guarding ${definition.name}`, signal }, (connection) =>
    connection.execute(guardTableSql(guarded)),
  )
}
