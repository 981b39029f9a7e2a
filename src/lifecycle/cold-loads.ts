import { findHypertable, logCells, TouchedCells, timestamptzText } from '../changelog/index.ts'
import { bumpEpoch, findDefaultPartition, guardChunkSql, uniqueColumns } from '../hot/index.ts'
import type { CheckedFile, LoadChecks, SegmentFile, WrittenFile } from '../lake/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import {
  formatInstant,
  type Instant,
  overlaps,
  subtractInterval,
  systemClock,
  type TimeRange,
} from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import { assertLoadable, readUniqueKeys, type UniqueKey } from './admission.ts'
import { type ChunkRecord, listChunks, listFiles, partitionOf, readDeletions } from './chunk-record.ts'
import { type LifecycleContext, type Subject, subjectOf } from './context.ts'
import { flip, lockAgainstWriters } from './flip.ts'
import { guardDefault, installTableGuard } from './guards.ts'
import { insertNamedFile, noteWritten, takeNotes } from './lake-rows.ts'
import type { LifecycleOptions } from './lifecycle.ts'
import { settleSettings } from './options.ts'
import { markLake } from './ownership.ts'

export interface AdoptOptions {
  /** Runs last in the transaction that makes the files count; again when the transaction is tried again. */
  readonly inTransaction: (connection: Connection) => Promise<void>
  readonly signal: AbortSignal | null
}

/** Files that were written from elsewhere than PostgreSQL, on their way into the catalog. */
export interface ColdLoads {
  /**
   * Before anything is written.
   * @throws TidemarkError TM_MIGRATION when rows of the table cannot come into the lake by themselves.
   */
  assertLoadable(definition: HypertableDefinition): Promise<void>
  /** Notes files that are in the store, so that the sweep knows them should nobody come to name them. */
  note(definition: HypertableDefinition, files: readonly SegmentFile[]): Promise<void>
  /** In the transaction that names them otherwise. @throws TidemarkError TM_LAKE when one was swept. */
  takeNotes(connection: Connection, files: readonly SegmentFile[]): Promise<void>
  /**
   * All files count from one transaction on: with chunks where there are none, guards, the change log. Their notes are the
   * caller's to take away, in the same transaction.
   *
   * @returns what the caller should hear.
   * @throws TidemarkError TM_DUPLICATE_KEY when a key is there twice, TM_MIGRATION, TM_BUSY, TM_CANCELLED: nothing has changed.
   */
  adopt(
    definition: HypertableDefinition,
    files: readonly SegmentFile[],
    options: AdoptOptions,
  ): Promise<readonly string[]>
}

export function createColdLoads(options: LifecycleOptions & { readonly checks: LoadChecks }): ColdLoads {
  const { checks } = options
  const context: LifecycleContext = {
    db: options.db,
    files: options.files,
    store: options.store,
    chunks: options.chunks,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
    settings: settleSettings(options.settings ?? {}),
  }
  return {
    async assertLoadable(definition) {
      await assertLoadable(context.db, await subjectOf(context, definition))
      // before the first file: a sweep of another database in the same folder must not take it for a stray
      await markLake(context.db, context.store)
    },

    async note(definition, files) {
      const subject = await subjectOf(context, definition)
      for (const { file } of files) await noteWritten(context.db, subject, file)
    },

    async takeNotes(connection, files) {
      for (const { file } of files) await takeNotes(connection, file)
    },

    adopt: async (definition, files, adoptOptions) =>
      new Adoption(context, checks, await subjectOf(context, definition), files, adoptOptions).run(),
  }
}

/** Files for one chunk. */
interface Group {
  readonly range: TimeRange
  readonly files: WrittenFile[]
  minTime: Instant
  maxTime: Instant
}

/**
 * One transaction, READ COMMITTED. Lock order: the hypertable's row (chunks are made under it), the rows of the chunks that
 * there are, then their partitions and the default partition, as far as guards or keys need them.
 *
 * Keys. Rows of the new files may share a key with each other, with files of the chunk, or with rows in PostgreSQL. The
 * first two are looked at before any lock; under the locks only rows in PostgreSQL are, and files that have come meanwhile.
 */
class Adoption {
  readonly #context: LifecycleContext
  readonly #checks: LoadChecks
  readonly #subject: Subject
  readonly #groups: readonly Group[]
  readonly #options: AdoptOptions
  /** By chunk: files whose keys were compared with those of the new files. */
  readonly #compared = new Map<bigint, ReadonlySet<bigint>>()

  constructor(
    context: LifecycleContext,
    checks: LoadChecks,
    subject: Subject,
    files: readonly SegmentFile[],
    options: AdoptOptions,
  ) {
    this.#context = context
    this.#checks = checks
    this.#subject = subject
    this.#groups = groupFiles(files)
    this.#options = options
  }

  async run(): Promise<readonly string[]> {
    const { db } = this.#context
    const { signal } = this.#options
    const { definition } = this.#subject
    await assertLoadable(db, this.#subject)
    const keys = await readUniqueKeys(db, this.#subject)
    if (this.#groups.length > 0) {
      await installTableGuard(this.#context, this.#subject, { signal })
      if (keys.length > 0) await guardDefault(this.#context, this.#subject, { signal })
    }
    if (keys.length > 0) await this.#compareFiles(keys)
    const cells = await this.#touched()
    await flip(this.#context, { what: `importing into ${definition.name}`, signal }, (connection) =>
      this.#transaction(connection, keys, cells),
    )
    // rows for chunks that have come would otherwise be routed as if there were none
    this.#context.chunks.forget()
    return this.#warnings()
  }

  async #touched(): Promise<TouchedCells> {
    const { definition, hypertable } = this.#subject
    const cells = new TouchedCells(hypertable.cellMicros)
    if (this.#groups.length === 0) return cells
    const touched = await this.#checks.touchedCells({
      definition,
      files: this.#groups.flatMap((group) => group.files),
      cellMicros: hypertable.cellMicros,
      signal: this.#options.signal,
    })
    for (const { tenant, start } of touched) cells.add(tenant, start)
    return cells
  }

  /** New files with each other, and with those that the chunk has; nobody is kept waiting. */
  async #compareFiles(keys: readonly UniqueKey[]): Promise<void> {
    const { db } = this.#context
    const chunks = await listChunks(db, this.#subject.hypertable)
    for (const group of this.#groups) {
      const chunk = placeOf(this.#subject, chunks, group)
      const before = chunk === null ? [] : await listFiles(db, this.#subject.hypertable, chunk.id)
      const checked: CheckedFile[] = group.files.map((file) => ({ file, deleted: [] }))
      for (const file of before)
        checked.push({ file, deleted: file.deletedRows === 0 ? [] : await readDeletions(db, file.id) })
      for (const key of keys) await this.#assertUnique(key, checked, [])
      if (chunk !== null) this.#compared.set(chunk.id, new Set(before.map(({ id }) => id)))
    }
  }

  async #transaction(connection: Connection, keys: readonly UniqueKey[], cells: TouchedCells): Promise<void> {
    const subject = this.#subject
    const { definition } = subject
    // files may take long to look through
    await connection.execute(
      'set local row_security = off; set local idle_in_transaction_session_timeout = 0',
    )
    await connection.query(
      sql`select id from tidemark.hypertable where id = ${subject.hypertable.id}::int for no key update`,
    )
    await assertLoadable(connection, subject)
    const placed = await this.#place(connection)
    for (const { chunk, group } of placed) {
      if (keys.length > 0) await this.#compareRows(connection, keys, chunk, group)
      for (const file of group.files) await insertNamedFile(connection, subject, chunk.id, file)
    }
    const ids = [...new Set(placed.map(({ chunk }) => chunk.id))]
    await connection.query(sql`
      update tidemark.chunk
      set state = 'cold', frozen_at = clock_timestamp()
      where id = any (${ids}::int8[])`)
    for (const chunk of new Map(placed.map(({ chunk }) => [chunk.id, chunk])).values()) {
      const partition = partitionOf(chunk)
      if (partition === null) continue
      const guarded = { id: subject.hypertable.id, name: definition.name }
      const unique = await uniqueColumns(connection, partition)
      await connection.execute(guardChunkSql(guarded, partition, chunk.range, unique))
    }
    await logCells(connection, await findHypertable(connection, definition), cells)
    await this.#options.inTransaction(connection)
    await bumpEpoch(connection, subject.hypertable)
  }

  /** The chunks of the files, their rows locked; those that are missing are made, without a partition. */
  async #place(connection: Connection): Promise<{ readonly chunk: ChunkRecord; readonly group: Group }[]> {
    const { hypertable } = this.#subject
    const chunks = await listChunks(connection, hypertable)
    const missing = this.#groups.filter((group) => placeOf(this.#subject, chunks, group) === null)
    await connection.query(sql`
      insert into tidemark.chunk (hypertable_id, range_from, range_to, state)
      select ${hypertable.id}::int, r.range_from, r.range_to, 'cold'
      from unnest(
        ${missing.map(({ range }) => timestamptzText(range.from))}::timestamptz[],
        ${missing.map(({ range }) => timestamptzText(range.to))}::timestamptz[]
      ) as r (range_from, range_to)
      order by r.range_from`)
    const found = await listChunks(connection, hypertable)
    const needed = this.#groups.map((group) => placeOf(this.#subject, found, group)!.id)
    await connection.query(sql`
      select id from tidemark.chunk where id = any (${needed}::int8[]) order by id for update nowait`)
    // A statement of its own: it sees what a move has made of them.
    const locked = await listChunks(connection, hypertable)
    return this.#groups.map((group) => ({ group, chunk: placeOf(this.#subject, locked, group)! }))
  }

  async #compareRows(
    connection: Connection,
    keys: readonly UniqueKey[],
    chunk: ChunkRecord,
    group: Group,
  ): Promise<void> {
    const { definition, hypertable } = this.#subject
    const files: CheckedFile[] = group.files.map((file) => ({ file, deleted: [] }))
    const compared = this.#compared.get(chunk.id)
    const now = await listFiles(connection, hypertable, chunk.id)
    // Deletions take keys away only; a file that has come may have any.
    const hasNew = now.some((file) => compared?.has(file.id) !== true)
    if (hasNew) {
      for (const file of now)
        files.push({ file, deleted: file.deletedRows === 0 ? [] : await readDeletions(connection, file.id) })
    }
    const home = partitionOf(chunk) ?? (await findDefaultPartition(connection, definition))
    await lockAgainstWriters(connection, home)
    const { rows } = await connection.query(sql`
      select pg_relation_size(format('%I.%I', ${home.schema}::text, ${home.table}::text)::regclass) = 0`)
    const isEmpty = rows[0]![0] as boolean
    if (isEmpty && !hasNew) return
    for (const key of keys) {
      const columns = key.columns.includes(definition.time) ? key.columns : [...key.columns, definition.time]
      const list = join(
        columns.map((name) => identifier(name)),
        ', ',
      )
      const time = identifier(definition.time)
      const others = isEmpty
        ? []
        : [
            connection.copyTo(
              sql`copy (
                select ${list}
                from only ${identifier(home.schema, home.table)}
                where ${time} >= ${literal(group.range.from)} and ${time} < ${literal(group.range.to)}
              ) to stdout (format binary)`,
              { signal: this.#options.signal },
            ),
          ]
      await this.#assertUnique(key, files, others)
    }
  }

  async #assertUnique(
    key: UniqueKey,
    files: readonly CheckedFile[],
    others: readonly AsyncIterable<Uint8Array>[],
  ): Promise<void> {
    const { definition } = this.#subject
    const { columns, nullsDistinct } = key
    const { signal } = this.#options
    const request = { definition, columns, nullsDistinct, files, others, signal }
    const shared = await this.#checks.findSharedKey(request)
    if (shared === null) return
    throw new TidemarkError('TM_DUPLICATE_KEY', {
      table: definition.name,
      detail:
        `Key ${shared} is there twice, and nothing of the file is in; import it again without cold (again: true, no --cold) to say ` +
        'which row counts, which also gives up what was written; otherwise that is removed after a week',
    })
  }

  #warnings(): string[] {
    const { definition } = this.#subject
    const now = this.#context.clock.now()
    const last = this.#groups.at(-1)
    const first = this.#groups[0]
    if (last === undefined || first === undefined) return []
    const warnings: string[] = []
    if (definition.freeze !== null) {
      const cutoff = subtractInterval(now, definition.freeze.after, null)
      if (last.range.to > cutoff)
        warnings.push(
          `chunks up to ${formatInstant(last.range.to)} are cold now, and freeze.after would have kept those from ` +
            `${formatInstant(cutoff)} on in PostgreSQL: rows that still come for them go into a partition and are folded later`,
        )
    }
    if (definition.retain !== null) {
      const cutoff = subtractInterval(now, definition.retain, null)
      if (first.range.to <= cutoff)
        warnings.push(
          `rows before ${formatInstant(cutoff)} are older than retain, and go with the next expiry`,
        )
    }
    return warnings
  }
}

/** COPY takes no parameters. */
function literal(instant: Instant): Sql {
  return raw(`${quoteLiteral(timestamptzText(instant))}::timestamptz`)
}

function groupFiles(files: readonly SegmentFile[]): Group[] {
  const groups = new Map<string, Group>()
  for (const { range, file } of files) {
    const name = `${range.from} ${range.to}`
    const group = groups.get(name)
    if (group === undefined) {
      groups.set(name, { range, files: [file], minTime: file.minTime, maxTime: file.maxTime })
      continue
    }
    group.files.push(file)
    if (file.minTime < group.minTime) group.minTime = file.minTime
    if (file.maxTime > group.maxTime) group.maxTime = file.maxTime
  }
  return [...groups.values()].sort((a, b) => (a.range.from < b.range.from ? -1 : 1))
}

/** The chunk that holds all rows of the files; null: there is room for a new one. */
function placeOf(subject: Subject, chunks: readonly ChunkRecord[], group: Group): ChunkRecord | null {
  const { range, minTime, maxTime } = group
  for (const chunk of chunks) {
    if (chunk.range.from <= minTime && maxTime < chunk.range.to) return chunk
    if (overlaps(chunk.range, range))
      throw new TidemarkError('TM_MIGRATION', {
        problem:
          `chunks of ${subject.definition.name} have come meanwhile whose borders are not those of the files: ` +
          `[${formatInstant(chunk.range.from)}, ${formatInstant(chunk.range.to)}) lies across ` +
          `[${formatInstant(range.from)}, ${formatInstant(range.to)})`,
        todo: 'begin the import anew (again: true, --again)',
      })
  }
  return null
}
