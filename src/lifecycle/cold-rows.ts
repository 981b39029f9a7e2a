import {
  type Chunk,
  ColdNeed,
  type ColdRow,
  type ColdRows,
  findDefaultPartition,
  type OpenColdRows,
} from '../hot/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { FilterNode } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, sql } from '../util/sql.ts'
import {
  type ChunkFile,
  type ChunkRecord,
  listFilesOf,
  partitionOf,
  readChunksForUpdate,
  readDeletions,
} from './chunk-record.ts'
import type { LifecycleContext, Subject } from './context.ts'
import { subjectOf } from './context.ts'
import { beginMove, endMove, lockAgainstWriters, userTriggers } from './flip.ts'
import { noteDeletions } from './lake-rows.ts'
import { assertAttached, assertComesBackWhole, assertNotPublished } from './obstacles.ts'

export interface ColdRowsOptions {
  readonly context: LifecycleContext
  /** Takes a chunk back as a whole. */
  readonly thaw: (
    definition: HypertableDefinition,
    chunk: bigint,
    signal: AbortSignal | null,
  ) => Promise<void>
}

/**
 * Rows of the lake for writers. *Lift*: in the writer's transaction, rows are copied from their file into the partition, exactly as
 * they were, and their places are noted as deleted, so a row is in one of the two for every snapshot. What was taken
 * back is folded or compacted later, like any late row.
 */
export function createColdRows({ context, thaw }: ColdRowsOptions): ColdRows {
  return {
    async open(connection, definition, chunkIds, signal) {
      const subject = { definition, hypertable: (await subjectOf({ db: connection }, definition)).hypertable }
      const remainder = await findDefaultPartition(connection, definition)
      // Whoever attaches a partition, or drains the default one, needs a lock that conflicts: no chunk comes from here on.
      await connection.execute(sql`
        set local lock_timeout = ${raw(String(context.settings.coldLockTimeoutMs))};
        set local idle_in_transaction_session_timeout = 0;
        lock table only ${identifier(remainder.schema, remainder.table)} in row exclusive mode`)
      const chunks = await readChunksForUpdate(connection, subject.hypertable, chunkIds)
      await connection.execute('set local lock_timeout to default')
      // A statement of its own: it sees what the mover before us has committed.
      const files = await listFilesOf(
        connection,
        subject.hypertable,
        chunks.filter(({ state }) => state === 'cold').map(({ id }) => id),
      )
      return new LockedChunks(context, connection, subject, chunks, files, signal)
    },

    async makeRoom(definition, need, signal) {
      for (const chunk of need.thaw) await thaw(definition, chunk, signal)
      if (need.attach.length > 0) {
        // What is remembered may still have a partition that was dropped.
        await context.chunks.map(definition, { fresh: true })
        await context.chunks.ensureChunks(definition, need.attach, { signal })
      }
    },
  }
}

/** A file, and which of its rows no longer count, as this transaction sees and leaves them. */
class OpenFile {
  readonly file: ChunkFile
  readonly #connection: Connection
  #deleted: Float64Array | null = null
  readonly #own = new Set<number>()

  constructor(file: ChunkFile, connection: Connection) {
    this.file = file
    this.#connection = connection
  }

  /** How many rows count. */
  get rows(): number {
    return this.file.rowCount - this.file.deletedRows - this.#own.size
  }

  async counting(places: Iterable<number>): Promise<Float64Array> {
    if (this.#deleted === null)
      this.#deleted =
        this.file.deletedRows === 0
          ? new Float64Array(0)
          : await readDeletions(this.#connection, this.file.id)
    const kept: number[] = []
    for (const place of places) if (!this.#own.has(place) && !holds(this.#deleted, place)) kept.push(place)
    return Float64Array.from(kept)
  }

  noteDeleted(places: Float64Array): void {
    for (const place of places) this.#own.add(place)
  }
}

/** `sorted` ascending. */
function holds(sorted: Float64Array, value: number): boolean {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return sorted[low] === value
}

class LockedChunks implements OpenColdRows {
  readonly chunks: readonly Chunk[]
  readonly #context: LifecycleContext
  readonly #connection: Connection
  readonly #subject: Subject
  readonly #signal: AbortSignal | null
  readonly #files: ReadonlyMap<bigint, readonly OpenFile[]>
  /** How many rows were taken back, by chunk. */
  readonly #lifted = new Map<bigint, number>()
  #hasBegun = false

  constructor(
    context: LifecycleContext,
    connection: Connection,
    subject: Subject,
    chunks: readonly ChunkRecord[],
    files: readonly ChunkFile[],
    signal: AbortSignal | null,
  ) {
    this.#context = context
    this.#connection = connection
    this.#subject = subject
    this.#signal = signal
    this.chunks = chunks.filter(({ state }) => state === 'cold')
    this.#files = new Map(
      this.chunks.map(({ id }) => [
        id,
        files.filter((file) => file.chunkId === id).map((file) => new OpenFile(file, connection)),
      ]),
    )
  }

  async find(columns: readonly string[], keys: readonly (readonly unknown[])[]): Promise<readonly ColdRow[]> {
    const { definition } = this.#subject
    const found: ColdRow[] = []
    for (const [chunkId, files] of this.#files) {
      for (const open of files) {
        const { file } = open
        const rows = await this.#context.files.withKeys({
          definition,
          file,
          columns,
          keys,
          signal: this.#signal,
        })
        if (rows.length === 0) continue
        const counting = new Set(await open.counting(rows.map(({ place }) => place)))
        for (const { key, place } of rows)
          if (counting.has(place)) found.push({ key, chunkId, fileId: file.id, place })
      }
    }
    return found
  }

  async lift(rows: readonly ColdRow[]): Promise<void> {
    const byFile = new Map<bigint, number[]>()
    for (const { fileId, place } of rows) {
      const places = byFile.get(fileId)
      if (places === undefined) byFile.set(fileId, [place])
      else places.push(place)
    }
    const wanted = [...this.#files].flatMap(([chunkId, files]) =>
      files.flatMap((open) => {
        const places = byFile.get(open.file.id)
        return places === undefined
          ? []
          : [{ chunkId, open, places: Float64Array.from(new Set(places)).sort() }]
      }),
    )
    this.#assertRoom(wanted)
    for (const { chunkId, open, places } of wanted) await this.#lift(chunkId, open, places)
  }

  /**
   * Chunk by chunk, so that what is held is the places in one chunk. Where a chunk lacks something the others are only looked at
   * from there on, to ask for everything at once.
   */
  async liftMatching(where: FilterNode | null, range: TimeRange | null): Promise<number> {
    const { definition } = this.#subject
    const attach: bigint[] = []
    const thaw: bigint[] = []
    let lifted = 0
    for (const chunk of this.chunks) {
      const wanted: Wanted[] = []
      for (const open of this.#files.get(chunk.id)!) {
        const { file } = open
        const all = await this.#context.files.matching({
          definition,
          file,
          where,
          range,
          signal: this.#signal,
        })
        const places = await open.counting(all)
        if (places.length > 0) wanted.push({ chunkId: chunk.id, open, places })
      }
      if (wanted.length === 0) continue
      if (this.#isForThaw(chunk.id, wanted)) thaw.push(chunk.id)
      else if (chunk.relation === null) attach.push(chunk.range.from)
      if (thaw.length + attach.length > 0) continue
      for (const { open, places } of wanted) {
        await this.#lift(chunk.id, open, places)
        lifted += places.length
      }
    }
    if (thaw.length + attach.length > 0) throw new ColdNeed({ thaw, attach })
    return lifted
  }

  async end(): Promise<void> {
    for (const chunk of this.chunks)
      if (this.#lifted.has(chunk.id)) await endMove(this.#connection, this.#subject, chunk.range)
  }

  #assertRoom(wanted: readonly Wanted[]): void {
    const of = (chunk: Chunk): Wanted[] => wanted.filter(({ chunkId }) => chunkId === chunk.id)
    const thaw = this.chunks.filter((chunk) => this.#isForThaw(chunk.id, of(chunk))).map(({ id }) => id)
    const attach = this.chunks
      .filter((chunk) => chunk.relation === null && of(chunk).length > 0 && !thaw.includes(chunk.id))
      .map(({ range }) => range.from)
    if (thaw.length + attach.length > 0) throw new ColdNeed({ thaw, attach })
  }

  /**
   * A lifted row costs its way into PostgreSQL, and the way back with the next compaction, which writes the whole chunk. So
   * beyond a share of the chunk nothing is saved; and places of deleted rows are read by every query of the file.
   */
  #isForThaw(chunkId: bigint, wanted: readonly Wanted[]): boolean {
    if (wanted.length === 0) return false
    const { liftRows, liftShare, liftAtLeast } = this.#context.settings
    const before = this.#lifted.get(chunkId) ?? 0
    const rows = wanted.reduce((sum, { places }) => sum + places.length, before)
    const all = this.#files.get(chunkId)!.reduce((sum, open) => sum + open.rows, before)
    return rows > liftRows || (rows > liftAtLeast && rows > liftShare * all)
  }

  async #lift(chunkId: bigint, open: OpenFile, places: Float64Array): Promise<void> {
    const connection = this.#connection
    const { definition } = this.#subject
    const chunk = this.chunks.find(({ id }) => id === chunkId)!
    const partition = partitionOf(chunk)!
    if (!this.#hasBegun) await beginMove(connection, this.#subject)
    this.#hasBegun = true
    if (!this.#lifted.has(chunkId)) {
      await assertAttached(connection, this.#subject, chunk)
      await assertNotPublished(connection, this.#subject, chunk)
    }
    const triggers = await userTriggers(connection, partition, 'insert')
    if (triggers !== null) {
      await connection.execute(
        sql`set local lock_timeout = ${raw(String(this.#context.settings.lockTimeoutMs))}`,
      )
      await lockAgainstWriters(connection, partition)
      await connection.execute('set local lock_timeout to default')
      await connection.execute(triggers.off)
    }
    const columns = join(
      Object.keys(definition.columns).map((name) => identifier(name)),
      ', ',
    )
    const { file } = open
    await assertComesBackWhole(connection, this.#subject, [file])
    const copied = await connection.copyFrom(
      sql`copy ${identifier(partition.schema, partition.table)} (${columns}) from stdin (format binary)`,
      this.#context.files.rows({
        definition,
        file,
        choice: { kind: 'only', positions: places },
        signal: this.#signal,
      }),
      { signal: this.#signal },
    )
    if (copied !== places.length) {
      throw new TidemarkError('TM_LAKE', {
        what: file.path,
        problem: `gave ${copied} rows where ${places.length} were to come`,
        todo: 'run `tidemark verify`; nothing was changed',
      })
    }
    if (triggers !== null) await connection.execute(triggers.on)
    await noteDeletions(connection, file, places)
    open.noteDeleted(places)
    this.#lifted.set(chunkId, (this.#lifted.get(chunkId) ?? 0) + places.length)
  }
}

interface Wanted {
  readonly chunkId: bigint
  readonly open: OpenFile
  /** Of rows that count, ascending. */
  readonly places: Float64Array
}
