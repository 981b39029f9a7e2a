import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { logCells, TouchedCells } from '../changelog/index.ts'
import { findDefaultPartition, matchingSql } from '../hot/index.ts'
import { beginRowMove } from '../migrate/index.ts'
import type { Connection } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, sql } from '../util/sql.ts'
import { type ChunkRecord, listChunks, listFiles, readChunk } from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, Subject } from './context.ts'
import { beginWholeRead, type ErasureInput, FileSearch, stillCounting } from './erase-search.ts'
import { endMove, flip } from './flip.ts'
import { noteDeletions } from './lake-rows.ts'
import { withLease } from './leases.ts'
import { moveChunk } from './move-chunk.ts'

/** Runs moves of chunks one after the other (lifecycle.ts). */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>

/** A file that was written anew without the rows; `after` is null where nothing was left of its chunk. */
export interface ErasedFile {
  readonly before: string
  readonly after: string | null
  /** Erased rows, with those that had been deleted before and still lay in it. */
  readonly rows: number
}

/** The steps of one erasure in the chunks of a hypertable. */
export class Erasure {
  readonly #context: LifecycleContext
  readonly #subject: Subject
  readonly #input: ErasureInput
  readonly #search: FileSearch
  readonly #id: bigint
  readonly #options: MoveOptions
  readonly #signal: AbortSignal | null
  readonly #move: InTurn

  constructor(
    context: LifecycleContext,
    subject: Subject,
    input: ErasureInput,
    id: bigint,
    options: MoveOptions,
    move: InTurn,
  ) {
    this.#context = context
    this.#subject = subject
    this.#input = input
    this.#id = id
    this.#options = options
    this.#signal = options.signal ?? null
    this.#search = new FileSearch(context, subject, input, this.#signal)
    this.#move = move
  }

  /** One snapshot: a row that moves meanwhile is in one of the two for it. */
  isDone(): Promise<boolean> {
    const { definition, hypertable } = this.#subject
    return this.#context.db.transaction(
      { mode: 'repeatable read read only', signal: this.#signal },
      async (connection) => {
        await beginWholeRead(connection)
        const { rows } = await connection.query(sql`
          select exists (
            select
            from ${identifier(definition.schema, definition.table)}
            where ${matchingSql(definition, this.#input)}
          )`)
        if (rows[0]![0] === true) return false
        for (const file of await listFiles(connection, hypertable, null))
          if ((await this.#search.count(file)) > 0) return false
        return true
      },
    )
  }

  async pass(): Promise<void> {
    const { db } = this.#context
    const { hypertable } = this.#subject
    for (const chunk of await listChunks(db, hypertable)) {
      if (this.#signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what: this.#what })
      if (!this.#mayHold(chunk) || !(await this.#holdsAny(chunk))) continue
      await this.#leased(chunk, () => this.#hide(chunk))
      await this.#rewrite(chunk)
    }
    await this.#hideRemainder()
  }

  #mayHold({ range }: ChunkRecord): boolean {
    const wanted = this.#input.range
    return wanted === null || (range.from < wanted.to && range.to > wanted.from)
  }

  async #holdsAny(chunk: ChunkRecord): Promise<boolean> {
    const { definition, hypertable } = this.#subject
    const { db } = this.#context
    const { rows } = await db.query(
      sql`
        select exists (
          select
          from ${identifier(definition.schema, definition.table)}
          where ${this.#inChunk(chunk)}
        )`,
      { signal: this.#signal },
    )
    if (rows[0]![0] === true) return true
    for (const file of await listFiles(db, hypertable, chunk.id))
      if ((await this.#search.count(file)) > 0) return true
    return false
  }

  /** Of rows of the chunk; constants, so that other partitions are left out. */
  #inChunk({ range }: ChunkRecord): ReturnType<typeof matchingSql> {
    const { where, range: wanted } = this.#input
    const from = wanted === null || wanted.from < range.from ? range.from : wanted.from
    const to = wanted === null || wanted.to > range.to ? range.to : wanted.to
    return matchingSql(this.#subject.definition, { where, range: { from, to } })
  }

  /** With the chunk's lease: who moves it has exported its rows before, and would leave a file with them behind. */
  #leased(chunk: ChunkRecord, work: () => Promise<void>): Promise<void> {
    return this.#untilFree(chunk, async () => {
      const lease = { owner: randomUUID(), freezing: false, signal: this.#signal }
      const outcome = await withLease(this.#context, this.#subject, chunk.id, lease, async () => {
        await work()
        return true
      })
      return outcome === true
    })
  }

  /** Tries again for as long as a mover that has died keeps its lease. */
  async #untilFree(chunk: ChunkRecord, attempt: () => Promise<boolean>): Promise<void> {
    const until = Date.now() + 2 * this.#context.settings.leaseMs
    while (!(await attempt())) {
      if (this.#signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what: this.#what })
      if (Date.now() > until) {
        const lastProblem = `chunk ${chunk.id} is being moved; erase again when that is done`
        throw new TidemarkError('TM_BUSY', { what: this.#what, tries: 1, lastProblem })
      }
      await sleep(200)
    }
  }

  async #hide(chunk: ChunkRecord): Promise<void> {
    const { definition, hypertable } = this.#subject
    const context = this.#context
    await flip(context, this.#flipOptions, async (connection) => {
      const now = await readChunk(connection, hypertable, chunk.id, { lock: true })
      await this.#begin(connection)
      const { rowCount } = await connection.query(sql`
        delete from ${identifier(definition.schema, definition.table)} where ${this.#inChunk(now)}`)
      const cells = new TouchedCells(hypertable.cellMicros)
      let cold = 0
      for (const file of await listFiles(connection, hypertable, chunk.id)) {
        const found = new TouchedCells(hypertable.cellMicros)
        const places = await this.#search.places(file, found)
        const counting = await stillCounting(connection, file, places)
        if (counting.length === 0) continue
        await noteDeletions(connection, file, counting)
        cold += counting.length
        const { tenants, starts } = found.entries()
        starts.forEach((start, i) => {
          cells.add(tenants[i]!, start)
        })
      }
      if (cold > 0) {
        await logCells(connection, hypertable, cells)
        await endMove(connection, this.#subject, now.range)
      }
      if (rowCount > 0) await this.#noteReclaim(connection, now)
      await this.#count(connection, rowCount, cold)
    })
  }

  /** Rows that lie in no chunk's partition. */
  async #hideRemainder(): Promise<void> {
    const { definition } = this.#subject
    const remainder = await findDefaultPartition(this.#context.db, definition)
    await flip(this.#context, this.#flipOptions, async (connection) => {
      await this.#begin(connection)
      const { rowCount } = await connection.query(sql`
        delete from only ${identifier(remainder.schema, remainder.table)}
        where ${matchingSql(definition, this.#input)}`)
      if (rowCount > 0) await this.#count(connection, rowCount, 0)
    })
  }

  get #flipOptions() {
    return {
      what: this.#what,
      signal: this.#signal,
      lockTimeoutMs: this.#context.settings.coldLockTimeoutMs,
    }
  }

  get #what(): string {
    return `erasing rows of ${this.#subject.definition.name}`
  }

  /** No guard stops it, and append-only tables let it; but it is a change, so triggers log it. */
  async #begin(connection: Connection): Promise<void> {
    const { hypertable } = this.#subject
    await connection.execute(
      'set local row_security = off; set local idle_in_transaction_session_timeout = 0',
    )
    await connection.query(sql`select tidemark.begin_cold_write(${hypertable.id}::int)`)
    if (hypertable.appendOnly) await beginRowMove(connection)
  }

  /** The next reclaim vacuums the partition. */
  async #noteReclaim(connection: Connection, chunk: ChunkRecord): Promise<void> {
    await connection.query(sql`
      update tidemark.chunk
      set moved_xid = pg_current_xact_id()
      where id = ${chunk.id}::int8 and relation_name is not null`)
  }

  async #count(connection: Connection, hot: number, cold: number): Promise<void> {
    await connection.query(sql`
      update tidemark.erasure
      set rows_hot = rows_hot + ${hot}::int8, rows_cold = rows_cold + ${cold}::int8
      where id = ${this.#id}::int8`)
  }

  /** Until no file of the chunk holds such a row: somebody else may have compacted it meanwhile, or folded late rows. */
  async #rewrite(chunk: ChunkRecord): Promise<void> {
    const context = this.#context
    const { hypertable } = this.#subject
    const before: { path: string; rows: number }[] = []
    for (const file of await listFiles(context.db, hypertable, chunk.id)) {
      const rows = await this.#search.count(file)
      if (rows > 0) before.push({ path: file.path, rows })
    }
    if (before.length === 0) return
    await this.#untilFree(chunk, async () => {
      const { kind } = await this.#move(() =>
        moveChunk(context, this.#subject, chunk.id, 'all', { ...this.#options, blockWriters: true }),
      )
      return kind !== 'taken'
    })
    const after = (await listFiles(context.db, hypertable, chunk.id)).map(({ path }) => path)
    const files = before
      .filter(({ path }) => !after.includes(path))
      .map(({ path, rows }): ErasedFile => ({ before: path, after: after[0] ?? null, rows }))
    await context.db.query(sql`
      update tidemark.erasure
      set files = files || ${JSON.stringify(files)}::jsonb
      where id = ${this.#id}::int8`)
  }
}
