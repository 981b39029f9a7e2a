import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { logCells, TouchedCells } from '../changelog/index.ts'
import { findDefaultPartition, matchingSql } from '../hot/index.ts'
import { beginRowMove } from '../migrate/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import type { FilterNode } from '../query/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, sql } from '../util/sql.ts'
import {
  type ChunkFile,
  type ChunkRecord,
  listChunks,
  listFiles,
  readChunk,
  readDeletions,
} from './chunk-record.ts'
import { type LifecycleContext, type MoveOptions, type Subject, subjectOf } from './context.ts'
import { type ErasureLeftovers, findLeftovers } from './erasure-leftovers.ts'
import { endMove, flip } from './flip.ts'
import { noteDeletions } from './lake-rows.ts'
import { withLease } from './leases.ts'
import { moveChunk } from './move-chunk.ts'
import { reclaimSpace } from './reclaim.ts'
import { sweepLake } from './sweep.ts'

/** Which rows. */
export interface ErasureInput {
  readonly where: FilterNode | null
  readonly range: TimeRange | null
}

export interface ErasureOptions extends MoveOptions {
  /** ms to wait for the removal of the old files at the end; default 0: the sweep does it. */
  readonly waitMs?: number
}

/** A file that was written anew without the rows; `after` is null where nothing was left of its chunk. */
export interface ErasedFile {
  readonly before: string
  readonly after: string | null
  /** Erased rows, with those that had been deleted before and still lay in it. */
  readonly rows: number
}

export interface ErasurePlan {
  readonly dataset: string
  /** In PostgreSQL. */
  readonly rowsHot: number
  /** In the lake. */
  readonly rowsCold: number
  /** Files that would be written anew. */
  readonly files: readonly { readonly path: string; readonly rows: number }[]
  /** Files in the trash that would be removed before their time. */
  readonly trash: number
  readonly leftovers: ErasureLeftovers
}

export interface ErasureReport {
  readonly id: bigint
  readonly dataset: string
  /** An erasure of the same condition that had not come to its end was gone on with; its rows are counted too. */
  readonly isResumed: boolean
  readonly rowsHot: number
  readonly rowsCold: number
  readonly files: readonly ErasedFile[]
  /** When the old files were gone; null: they wait. */
  readonly erasedAt: Instant | null
  /** Who holds the old files up; null where nobody does, or nothing is known of it. */
  readonly waitsFor: string | null
  readonly leftovers: ErasureLeftovers
}

/** Runs moves of chunks one after the other (lifecycle.ts). */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>

/** Passes over the table while rows that match keep coming. */
const maxPasses = 4

/**
 * Erases rows for good: from PostgreSQL, from the files of the lake (also versions of them that had been updated or deleted there
 * before), and then the old files from the store. Each step is a transaction of its own and is found done when the call is made again:
 *
 * 1. *Hide*, chunk by chunk, under the lock of the chunk's row and its lease: DELETE in PostgreSQL, places of rows in files are
 *    noted as deleted. From its commit on no answer has them.
 * 2. *Rewrite*: every file that holds such a row, whether it counts or not, is compacted away.
 * 3. *Look*: in one snapshot, that no row and no file is left. Otherwise 1 again.
 * 4. `hidden_at` in the record. What the trash of the table holds by then goes as soon as no snapshot can need it (erasures.ts);
 *    `erased_at` says that it has.
 */
export async function eraseRows(
  context: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
  options: ErasureOptions,
  inTurn: InTurn,
): Promise<ErasureReport> {
  if (definition.kind === 'table') return erasePlain(context, definition, input, options)
  const subject = await subjectOf(context, definition)
  const record = await openRecord(context, definition, input)
  const erasure = new Erasure(context, subject, input, record.id, options, inTurn)
  for (let pass = 1; !(await erasure.isDone()); pass += 1) {
    if (pass > maxPasses) {
      throw new TidemarkError('TM_BUSY', {
        what: `erasing rows of ${definition.name}`,
        tries: maxPasses,
        lastProblem: 'rows that match are written at the same time: stop their writer, then erase again',
      })
    }
    await erasure.pass()
  }
  await context.db.query(sql`
    update tidemark.erasure set hidden_at = clock_timestamp() where id = ${record.id}::int8`)
  await reclaimSpace(context, subject, options)
  const waitsFor = await removeFiles(context, record.id, options)
  const { rows } = await context.db.query(sql`
    select rows_hot, rows_cold, files, erased_at from tidemark.erasure where id = ${record.id}::int8`)
  const [rowsHot, rowsCold, files, erasedAt] = rows[0] as [bigint, bigint, ErasedFile[], Instant | null]
  return {
    ...record,
    dataset: definition.name,
    rowsHot: Number(rowsHot),
    rowsCold: Number(rowsCold),
    files,
    erasedAt,
    waitsFor: erasedAt === null ? waitsFor : null,
    leftovers: await findLeftovers(context.db, definition, input.where),
  }
}

/** What `eraseRows` would do. Reads every chunk that may hold such a row, changes nothing. */
export async function planErasure(
  context: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
  options: MoveOptions,
): Promise<ErasurePlan> {
  const signal = options.signal ?? null
  const files: { path: string; rows: number }[] = []
  const subject = definition.kind === 'table' ? null : await subjectOf(context, definition)
  let rowsCold = 0
  const rowsHot = await context.db.transaction(
    { mode: 'repeatable read read only', signal },
    async (connection) => {
      await beginWholeRead(connection)
      for (const file of subject === null ? [] : await listFiles(connection, subject.hypertable, null)) {
        const places = await search(context, subject!.definition, file, input, signal)
        if (places.length === 0) continue
        const counting = await stillCounting(connection, file, places)
        rowsCold += counting.length
        files.push({ path: file.path, rows: places.length })
      }
      const { rows } = await connection.query(sql`
        select count(*)
        from ${identifier(definition.schema, definition.table)}
        where ${matchingSql(definition, input)}`)
      return Number(rows[0]![0] as bigint)
    },
  )
  const { rows } = await context.db.query(sql`
    select count(*) from tidemark.lake_trash where dataset = ${definition.name}::text`)
  const leftovers = await findLeftovers(context.db, definition, input.where)
  return { dataset: definition.name, rowsHot, rowsCold, files, trash: Number(rows[0]![0]), leftovers }
}

class Erasure {
  readonly #context: LifecycleContext
  readonly #subject: Subject
  readonly #input: ErasureInput
  readonly #id: bigint
  readonly #options: ErasureOptions
  readonly #signal: AbortSignal | null
  readonly #move: InTurn

  constructor(
    context: LifecycleContext,
    subject: Subject,
    input: ErasureInput,
    id: bigint,
    options: ErasureOptions,
    move: InTurn,
  ) {
    this.#context = context
    this.#subject = subject
    this.#input = input
    this.#id = id
    this.#options = options
    this.#signal = options.signal ?? null
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
          if ((await search(this.#context, definition, file, this.#input, this.#signal)).length > 0)
            return false
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
      if ((await search(this.#context, definition, file, this.#input, this.#signal)).length > 0) return true
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
        const places = await search(context, definition, file, this.#input, this.#signal, found)
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
    const { definition, hypertable } = this.#subject
    const before: { path: string; rows: number }[] = []
    for (const file of await listFiles(context.db, hypertable, chunk.id)) {
      const places = await search(context, definition, file, this.#input, this.#signal)
      if (places.length > 0) before.push({ path: file.path, rows: places.length })
    }
    if (before.length === 0) return
    await this.#untilFree(chunk, async () => {
      const { kind } = await this.#move(() =>
        moveChunk(context, this.#subject, chunk.id, 'all', this.#options),
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

/** Policies must not hide a row from an erasure: where one would, PostgreSQL says so. */
async function beginWholeRead(connection: Connection): Promise<void> {
  await connection.execute('set local row_security = off; set local idle_in_transaction_session_timeout = 0')
}

/** Places of all rows of a file that match, also of those that no longer count. */
function search(
  context: LifecycleContext,
  definition: HypertableDefinition,
  file: ChunkFile,
  { where, range }: ErasureInput,
  signal: AbortSignal | null,
  cells?: TouchedCells,
): Promise<Float64Array> {
  if (cells === undefined) return context.files.matching({ definition, file, where, range, signal })
  const { time, tenant } = definition
  return context.files.matching({
    definition,
    file,
    where,
    range,
    columns: tenant === null ? [time] : [time, tenant],
    onRow: ([at, of]) => cells.add(tenant === null ? null : (of as string | null), at as Instant),
    signal,
  })
}

async function stillCounting(db: Queryable, file: ChunkFile, places: Float64Array): Promise<Float64Array> {
  if (file.deletedRows === 0 || places.length === 0) return places
  const deleted = new Set(await readDeletions(db, file.id))
  return places.filter((place) => !deleted.has(place))
}

interface OpenRecord {
  readonly id: bigint
  readonly isResumed: boolean
}

const saltBytes = 16

/**
 * The record of this condition that has not come to its end, or a new one. The condition is kept as a salt and the SHA-256 of both: a
 * bare hash of `user = 'alice'` would tell whoever tries some names.
 */
async function openRecord(
  { db }: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
): Promise<OpenRecord> {
  const text = JSON.stringify([definition.name, input.where, input.range], (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  )
  const hashWith = (salt: Uint8Array): Buffer =>
    Buffer.concat([salt, createHash('sha256').update(salt).update(text).digest()])
  return db.transaction({ mode: 'read committed' }, async (connection) => {
    // Two calls at once share one record.
    await connection.query(sql`
      select pg_advisory_xact_lock(hashtextextended('tidemark.erasure ' || ${definition.name}::text, 0))`)
    const { rows } = await connection.query(sql`
      select id, condition_sha256
      from tidemark.erasure
      where dataset = ${definition.name}::text and erased_at is null
      order by id desc`)
    for (const [id, hash] of rows as unknown as [bigint, Uint8Array][]) {
      if (!hashWith(hash.subarray(0, saltBytes)).equals(hash)) continue
      await connection.query(sql`update tidemark.erasure set hidden_at = null where id = ${id}::int8`)
      return { id, isResumed: true }
    }
    const { rows: made } = await connection.query(sql`
      insert into tidemark.erasure (dataset, condition_sha256)
      values (${definition.name}::text, ${hashWith(randomBytes(saltBytes))}::bytea)
      returning id`)
    return { id: made[0]![0] as bigint, isResumed: false }
  })
}

/** The sweep does it; it is asked again for as long as somebody is in the way, and the caller waits. */
async function removeFiles(
  context: LifecycleContext,
  id: bigint,
  options: ErasureOptions,
): Promise<string | null> {
  const until = Date.now() + (options.waitMs ?? 0)
  for (;;) {
    const { held } = await sweepLake(context, options)
    const { rows } = await context.db.query(sql`
      select erased_at is not null from tidemark.erasure where id = ${id}::int8`)
    if (rows[0]![0] === true) return null
    if (Date.now() >= until || options.signal?.aborted) return held ?? leftBehind(context)
    await sleep(Math.min(500, until - Date.now()))
  }
}

function leftBehind({ settings }: LifecycleContext): string {
  const minutes = Math.ceil(settings.eraseGraceMs / 60_000)
  return `a process that stopped may have left files behind, which go ${minutes} minutes after they were written`
}

/** A plain table lies in PostgreSQL alone. */
async function erasePlain(
  context: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
  options: ErasureOptions,
): Promise<ErasureReport> {
  const record = await openRecord(context, definition, input)
  const rowsHot = await flip(
    context,
    { what: `erasing rows of ${definition.name}`, signal: options.signal ?? null },
    async (connection) => {
      await beginWholeRead(connection)
      if (definition.appendOnly) await beginRowMove(connection)
      const { rowCount } = await connection.query(sql`
        delete from ${identifier(definition.schema, definition.table)} where ${matchingSql(definition, input)}`)
      await connection.query(sql`
        update tidemark.erasure
        set rows_hot = rows_hot + ${rowCount}::int8, hidden_at = clock_timestamp(), erased_at = clock_timestamp()
        where id = ${record.id}::int8`)
      return rowCount
    },
  )
  const { rows } = await context.db.query(sql`
    select erased_at from tidemark.erasure where id = ${record.id}::int8`)
  return {
    ...record,
    dataset: definition.name,
    rowsHot,
    rowsCold: 0,
    files: [],
    erasedAt: rows[0]![0] as Instant,
    waitsFor: null,
    leftovers: await findLeftovers(context.db, definition, input.where),
  }
}
