import { setImmediate as nextTurn } from 'node:timers/promises'
import { beginLoggedWriteSql, findHypertable, type HypertableRecord, logCells } from '../changelog/index.ts'
import {
  type Connection,
  type Database,
  isRetryable,
  type Queryable,
  type RowSlots,
  retry,
  sqlstateOf,
} from '../postgres/index.ts'
import type { FilterNode } from '../query/index.ts'
import {
  type CanonicalValue,
  createCoercer,
  type HypertableDefinition,
  type StoredDefinition,
  ValueProblem,
} from '../schema/index.ts'
import {
  bucketStart,
  type Instant,
  infinityInstant,
  minusInfinityInstant,
  nextBucket,
  type TimeRange,
} from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { BatchInsert, BatchWriter, OpenBatch } from './batch-contract.ts'
import { type Chunk, type ChunkMap, chunkAt, chunkSchema } from './chunk-map.ts'
import type { ChunkManager } from './chunks.ts'
import { filterToSql } from './filter-sql.ts'
import { rangeConditions, whereSql } from './instant-sql.ts'
import type { RowLane } from './row-lane.ts'
import {
  absenceOf,
  encodeRow,
  keyOf,
  parameterText,
  relationOf,
  type WritableTable,
  writableTable,
} from './writable-table.ts'
import { type CopyGroup, EncoderPool, type Routing, WriteBatch } from './write-batch.ts'
import {
  copyGroup,
  insertSmall,
  insertStaged,
  type OnConflict,
  type WriteCounts,
} from './write-statements.ts'

export interface HotWriterOptions {
  readonly db: Database
  readonly chunks: ChunkManager
  /** In [0, 1), for jitter; default Math.random. */
  readonly random?: () => number
  /** Up to here rows go in one INSERT statement; default 200 (measured: bench/, docs/design/chunks.md). */
  readonly smallRows?: number
  /** Encoded bytes of one transaction at most; default 256 MiB. A list that needs more is TM_LIMIT. */
  readonly maxBatchBytes?: number
  /** Tries of a transaction that met a lock, a conflict or a moved chunk; default 8. */
  readonly tries?: number
}

export const writerDefaults = Object.freeze({ smallRows: 200, maxBatchBytes: 256 * 1024 * 1024, tries: 8 })

export type Rows = Iterable<unknown> | AsyncIterable<unknown>

export interface InsertOptions {
  /** What to do with a row whose key exists; default 'error': nothing of the call is written. */
  readonly onConflict?: 'error' | 'ignore'
  readonly signal?: AbortSignal | null
  /** Rows of a transaction when `rows` is not an array; default 50,000 (10,000 where keys are compared). */
  readonly batchRows?: number
  /** Transactions at once when `rows` is not an array; default 1. Each takes a connection and the memory of a batch. */
  readonly connections?: number
}

export interface UpsertOptions {
  readonly signal?: AbortSignal | null
  readonly batchRows?: number
}

export interface ChangeOptions {
  readonly signal?: AbortSignal | null
}

export interface UpdateInput {
  /** New values by column, in any form that insert takes. */
  readonly set: Readonly<Record<string, unknown>>
  readonly where: FilterNode | null
  /** null: all time (and always for plain tables). */
  readonly range: TimeRange | null
}

export interface DeleteInput {
  readonly where: FilterNode | null
  readonly range: TimeRange | null
}

/** Writes rows of hypertables and plain tables. A promise that resolved means: committed. */
export interface HotWriter extends BatchWriter {
  /**
   * Inserts rows. An array is written whole or not at all; anything else batch by batch.
   *
   * @example
   * await writer.insert(cpu, [{ time: new Date(), host: 'a', usage: 0.5 }]) // { inserted: 1, ignored: 0 }
   *
   * @throws TidemarkError TM_ROW with the place of the row, TM_DUPLICATE_KEY, TM_CONSTRAINT, TM_CHUNK_CAP, TM_LIMIT (an
   * array over `maxBatchBytes`), TM_CANCELLED, TM_COMMIT_UNKNOWN: nothing of the call was written (the last: unknown).
   * TM_PARTIAL_WRITE when batches had been committed before: it says how many rows are in, the error is its cause.
   */
  insert(
    definition: StoredDefinition,
    rows: Rows,
    options?: InsertOptions,
  ): Promise<{ readonly inserted: number; readonly ignored: number }>
  /** Inserts rows or overwrites those with the same primary key; of rows with one key the last wins. Errors as insert. */
  upsert(
    definition: StoredDefinition,
    rows: Rows,
    options?: UpsertOptions,
  ): Promise<{ readonly inserted: number; readonly updated: number }>
  update(
    definition: StoredDefinition,
    input: UpdateInput,
    options?: ChangeOptions,
  ): Promise<{ readonly updated: number }>
  delete(
    definition: StoredDefinition,
    input: DeleteInput,
    options?: ChangeOptions,
  ): Promise<{ readonly deleted: number }>
}

/** The routing of a transaction turned out to be old: a chunk has moved. */
class StaleRouting extends Error {
  constructor() {
    super('a chunk is no longer where the catalog said')
  }
}

/** From this try on, rows of a chunk that is in the catalog but not attached go through the table. */
const triesBeforeDetour = 3

const allInstants: TimeRange = { from: minusInfinityInstant, to: infinityInstant }

/**
 * @example
 * const writer = createHotWriter({ db, chunks: createChunkManager({ db, applyPolicies }) })
 * const { inserted } = await writer.insert(cpu, rows)
 */
export function createHotWriter(options: HotWriterOptions): HotWriter {
  return new PostgresWriter(options)
}

class PostgresWriter implements HotWriter {
  readonly #db: Database
  readonly #chunks: ChunkManager
  readonly #options: HotWriterOptions & Required<Pick<HotWriterOptions, keyof typeof writerDefaults>>
  readonly #pool = new EncoderPool()

  constructor(options: HotWriterOptions) {
    this.#db = options.db
    this.#chunks = options.chunks
    this.#options = { ...writerDefaults, ...options }
  }

  async insert(
    definition: StoredDefinition,
    rows: Rows,
    options: InsertOptions = {},
  ): Promise<{ readonly inserted: number; readonly ignored: number }> {
    const { inserted, ignored } = await this.#write(definition, rows, options.onConflict ?? 'error', options)
    return { inserted, ignored }
  }

  async upsert(
    definition: StoredDefinition,
    rows: Rows,
    options: UpsertOptions = {},
  ): Promise<{ readonly inserted: number; readonly updated: number }> {
    // Batches of one connection, one after the other: the last row of a key wins across them, too.
    const { inserted, updated } = await this.#write(definition, rows, 'update', {
      ...options,
      connections: 1,
    })
    return { inserted, updated }
  }

  async insertBatch(batch: BatchInsert): Promise<WriteCounts> {
    const table = this.#writable(batch.definition, batch.onConflict)
    const collector = await this.#collector(table, batch.onConflict)
    try {
      for (const row of batch.rows) collector.add(row)
      return await this.#commit(collector, batch.signal ?? null, batch.inTransaction)
    } finally {
      collector.release()
    }
  }

  async batches(
    definition: StoredDefinition,
    onConflict: BatchInsert['onConflict'],
  ): Promise<() => OpenBatch> {
    const table = this.#writable(definition, onConflict)
    const routing = await this.#routing(table, onConflict)
    return () => {
      const collector = new Collector(table, onConflict, routing, this.#pool, this.#options.smallRows)
      return {
        get rows() {
          return collector.rows
        },
        add: (row) => collector.add(row),
        addSlots: (row) => collector.addSlots(row),
        commit: ({ inTransaction, signal }) => this.#commit(collector, signal ?? null, inTransaction),
        release: () => collector.release(),
      }
    }
  }

  async update(
    definition: StoredDefinition,
    input: UpdateInput,
    options: ChangeOptions = {},
  ): Promise<{ readonly updated: number }> {
    refuseAppendOnly(definition)
    const table = writableTable(definition)
    const set = this.#coerceSet(table, input.set)
    if (set.length === 0) return { updated: 0 }
    const time = set.find(({ index }) => index === table.timeIndex)
    if (time !== undefined && definition.kind === 'hypertable')
      await this.#ensure(definition, [time.value as Instant], options.signal ?? null)
    const assignments = set.map(
      ({ index, value }) =>
        sql`${identifier(table.columns[index]!)} = ${parameterText(table.types[index]!, value)}::text::${raw(table.types[index]!)}`,
    )
    const statement = sql`update ${relationOf(table)} set ${join(assignments, ', ')}${this.#where(table, input)}`
    return { updated: await this.#change(definition, statement, 'updating', options) }
  }

  async delete(
    definition: StoredDefinition,
    input: DeleteInput,
    options: ChangeOptions = {},
  ): Promise<{ readonly deleted: number }> {
    refuseAppendOnly(definition)
    const table = writableTable(definition)
    const statement = sql`delete from ${relationOf(table)}${this.#where(table, input)}`
    return { deleted: await this.#change(definition, statement, 'deleting from', options) }
  }

  #where(table: WritableTable, input: DeleteInput): Sql {
    const { definition } = table
    const conditions: Sql[] = []
    if (definition.kind === 'hypertable')
      conditions.push(...rangeConditions(identifier(definition.time), input.range, allInstants))
    if (input.where !== null) conditions.push(filterToSql(input.where, definition))
    return whereSql(conditions)
  }

  #coerceSet(
    table: WritableTable,
    set: Readonly<Record<string, unknown>>,
  ): { readonly index: number; readonly value: CanonicalValue }[] {
    return Object.entries(set).map(([name, given]) => {
      const index = table.columns.indexOf(name)
      const problem = (text: string) =>
        new TidemarkError('TM_QUERY', { path: `set.${name}`, problem: `${table.definition.name}: ${text}` })
      if (index < 0) throw problem('has no such column')
      const column = table.definition.columns[name]!
      if (given === null || given === undefined) {
        if (!column.nullable) throw problem('must not be null')
        return { index, value: null }
      }
      const value = createCoercer(column, { isTime: index === table.timeIndex })(given)
      if (value instanceof ValueProblem) throw problem(value.problem)
      return { index, value }
    })
  }

  async #change(
    definition: StoredDefinition,
    statement: Sql,
    doing: string,
    options: ChangeOptions,
  ): Promise<number> {
    const signal = options.signal ?? null
    return this.#retry(`${doing} ${definition.name}`, signal, async () => {
      const { rowCount } = await this.#db.query(statement, { signal })
      return rowCount
    }).catch((error: unknown) => {
      throw nameTable(error, definition)
    })
  }

  /** What the definition does not allow, before a row is looked at. */
  #writable(definition: StoredDefinition, onConflict: OnConflict): WritableTable {
    const table = writableTable(definition)
    if (onConflict === 'update') {
      if (definition.primaryKey === null)
        throw new TidemarkError('TM_QUERY', {
          path: definition.name,
          problem: 'has no primary key, so there is nothing to upsert by; declare one, or use insert',
        })
      refuseAppendOnly(definition)
    }
    return table
  }

  async #write(
    definition: StoredDefinition,
    rows: Rows,
    onConflict: OnConflict,
    options: InsertOptions,
  ): Promise<WriteCounts> {
    const table = this.#writable(definition, onConflict)
    const signal = options.signal ?? null
    if (!isIterable(rows))
      throw new TidemarkError('TM_QUERY', {
        path: 'rows',
        problem: `must be a list or an (async) iterable of row objects, not ${rows === null ? 'null' : typeof rows}`,
      })
    if (Array.isArray(rows)) {
      const collector = await this.#collector(table, onConflict)
      try {
        for (let i = 0; i < rows.length; i += 1) {
          collector.addObject(rows[i], i)
          if ((i & 0xfff) === 0xfff) this.#assertBytes(collector)
        }
        this.#assertBytes(collector)
        return await this.#commit(collector, signal, null)
      } finally {
        collector.release()
      }
    }
    return this.#writeStream(table, rows, onConflict, options)
  }

  #assertBytes(collector: Collector): void {
    const { maxBatchBytes } = this.#options
    const bytes = collector.bytes
    if (bytes <= maxBatchBytes) return
    throw new TidemarkError('TM_LIMIT', {
      what: `the list of rows for ${collector.table.definition.name}`,
      value: `more than ${bytes} bytes`,
      limit: `${maxBatchBytes} bytes in one transaction`,
      todo: 'give an async iterable, which is committed batch by batch',
    })
  }

  /** Batches, up to `connections` of them being written while the next one is filled. */
  async #writeStream(
    table: WritableTable,
    rows: Rows,
    onConflict: OnConflict,
    options: InsertOptions,
  ): Promise<WriteCounts> {
    const { definition } = table
    const connections = positive(options.connections ?? 1, 'connections')
    const batchRows = positive(options.batchRows ?? (onConflict === 'error' ? 50_000 : 10_000), 'batchRows')
    // An error in one batch stops those that are under way.
    const stop = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
    const total = { inserted: 0, updated: 0, ignored: 0 }
    const running = new Set<Promise<void>>()
    let failure: { readonly error: unknown } | null = null
    const fail = (error: unknown): void => {
      failure ??= { error }
    }
    const send = (collector: Collector): void => {
      const work = this.#commit(collector, signal, null)
        .then(
          (counts) => {
            total.inserted += counts.inserted
            total.updated += counts.updated
            total.ignored += counts.ignored
          },
          (error: unknown) => {
            fail(error)
            stop.abort()
          },
        )
        .finally(() => {
          collector.release()
          running.delete(work)
        })
      running.add(work)
    }
    let collector: Collector | null = null
    try {
      let index = 0
      // A promise per row would cost a plain iterable more than encoding the row does.
      const isAsync = Symbol.asyncIterator in rows
      const iterator = isAsync ? rows[Symbol.asyncIterator]() : rows[Symbol.iterator]()
      let isOpen = true
      try {
        while (failure === null) {
          const next = isAsync ? await iterator.next() : (iterator.next() as IteratorResult<unknown>)
          if (next.done) {
            isOpen = false
            break
          }
          if (signal.aborted) throw new TidemarkError('TM_CANCELLED', { what: `writing ${definition.name}` })
          collector ??= await this.#collector(table, onConflict)
          collector.addObject(next.value, index)
          index += 1
          const isFull =
            collector.rows >= batchRows || ((index & 0x3ff) === 0 && collector.bytes > 32 * 1024 * 1024)
          if (!isFull) {
            // Rows that are there without waiting would keep the sockets of the batches under way from being served.
            if ((index & 0x3ff) === 0 && running.size > 0) await nextTurn()
            continue
          }
          while (running.size >= connections) await Promise.race(running)
          if (failure !== null) break
          send(collector)
          collector = null
        }
      } finally {
        if (isOpen) await iterator.return?.()
      }
      if (collector !== null && failure === null) {
        while (running.size >= connections) await Promise.race(running)
        if (failure === null) {
          send(collector)
          collector = null
        }
      }
    } catch (error) {
      fail(error)
    }
    collector?.release()
    await Promise.all(running)
    // A closure set it: the compiler does not see that.
    const failed = failure as { readonly error: unknown } | null
    if (failed === null) return total
    const rowsIn = total.inserted + total.updated + total.ignored
    if (rowsIn === 0) throw failed.error
    const problem = failed.error instanceof Error ? failed.error.message : String(failed.error)
    throw new TidemarkError(
      'TM_PARTIAL_WRITE',
      { table: definition.name, rows: rowsIn, problem },
      { cause: failed.error },
    )
  }

  async #collector(table: WritableTable, onConflict: OnConflict): Promise<Collector> {
    const routing = await this.#routing(table, onConflict)
    return new Collector(table, onConflict, routing, this.#pool, this.#options.smallRows)
  }

  /** Only what COPY can take straight into a partition is routed. */
  async #routing(table: WritableTable, onConflict: OnConflict): Promise<Routing | null> {
    const { definition } = table
    if (definition.kind !== 'hypertable' || onConflict !== 'error') return null
    return { map: await this.#chunks.map(definition), hypertable: await this.#hypertable(definition) }
  }

  /** One transaction, or one statement. */
  async #commit(
    collector: Collector,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WriteCounts> {
    const { table } = collector
    const { definition } = table
    const what = `writing ${definition.name}`
    if (collector.rows === 0 && inTransaction === null) return { inserted: 0, updated: 0, ignored: 0 }
    if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what })
    try {
      return await this.#retry(what, signal, async (n) => {
        const small = collector.small()
        if (small !== null) return this.#writeSmall(collector, small, signal, inTransaction)
        if (collector.onConflict === 'error' && definition.kind === 'hypertable')
          return this.#copyIntoChunks(collector.batch(), definition, n, signal, inTransaction)
        return this.#copyWhole(collector, signal, inTransaction)
      })
    } catch (error) {
      throw nameTable(error, definition)
    }
  }

  async #writeSmall(
    collector: Collector,
    groups: ReadonlyMap<string, readonly (readonly CanonicalValue[])[]>,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WriteCounts> {
    const { table, onConflict } = collector
    const { definition } = table
    if (definition.kind === 'hypertable') await this.#ensure(definition, collector.times(), signal)
    const all = async (db: Queryable): Promise<WriteCounts> => {
      const total = { inserted: 0, updated: collector.replaced, ignored: collector.passedOver }
      for (const [absence, rows] of groups) {
        const counts = await insertSmall(db, table, absence, rows, onConflict, { signal })
        total.inserted += counts.inserted
        total.updated += counts.updated
        total.ignored += counts.ignored
      }
      return total
    }
    if (groups.size === 1 && inTransaction === null) return all(this.#db)
    return this.#db.transaction({ signal }, async (connection) => {
      const counts = await all(connection)
      await inTransaction?.(connection)
      return counts
    })
  }

  /** Plain tables, and hypertables where keys are compared: through the table itself, whose triggers log. */
  async #copyWhole(
    collector: Collector,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WriteCounts> {
    const { table, onConflict } = collector
    const { definition } = table
    if (definition.kind === 'hypertable') await this.#ensure(definition, collector.times(), signal)
    const batch = collector.batch()
    return this.#db.transaction({ signal }, async (connection) => {
      const total = { inserted: 0, updated: collector.replaced, ignored: collector.passedOver }
      let number = 0
      for (const group of batch.groups()) {
        if (onConflict === 'error') {
          total.inserted += await copyGroup(connection, table, relationOf(table), group)
          continue
        }
        const counts = await insertStaged(connection, table, group, onConflict, number++)
        total.inserted += counts.inserted
        total.updated += counts.updated
        total.ignored += counts.ignored
      }
      await inTransaction?.(connection)
      return total
    })
  }

  /**
   * Straight into partitions: routing rows through the table switches COPY's multi-insert off where a transition table
   * is wanted (1.3 to 2 times as long). Lock order: partitions by name in ROW EXCLUSIVE, which a freeze's or a drop's lock
   * excludes; under them the routing is compared with the catalog and with what is attached.
   */
  async #copyIntoChunks(
    batch: WriteBatch,
    definition: HypertableDefinition,
    attempt: number,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WriteCounts> {
    const { table } = batch
    const groups = [...batch.groups()]
    const map = await this.#ensure(
      definition,
      groups.map((group) => group.range!.from),
      signal,
    )
    const hypertable = await this.#hypertable(definition)
    const direct = new Map<CopyGroup, Chunk>()
    for (const group of groups) {
      const chunk = chunkAt(map, group.range!.from)
      if (
        chunk !== null &&
        chunk.relation !== null &&
        chunk.state !== 'cold' &&
        chunk.range.to >= group.range!.to
      )
        direct.set(group, chunk)
    }
    const chunks = [...new Set(direct.values())].sort((a, b) => (a.id < b.id ? -1 : 1))
    return this.#db.transaction({ signal }, async (connection) => {
      if (chunks.length > 0) {
        const { entered, isPlain } = await this.#enter(connection, definition, hypertable, chunks)
        if (entered.size < chunks.length && attempt < triesBeforeDetour) throw new StaleRouting()
        for (const [group, chunk] of direct) if (!isPlain || !entered.has(chunk.id)) direct.delete(group)
      }
      let inserted = 0
      for (const [group, chunk] of direct)
        inserted += await copyGroup(connection, table, identifier(chunkSchema, chunk.relation!), group)
      // No chunk could be made for these, or somebody detached it by hand: the table's default partition takes them, its triggers log them.
      for (const group of groups)
        if (!direct.has(group)) inserted += await copyGroup(connection, table, relationOf(table), group)
      if (direct.size > 0) await logCells(connection, hypertable, batch.cells!)
      await inTransaction?.(connection)
      return { inserted, updated: 0, ignored: 0 }
    })
  }

  /**
   * Locks the chunks; `entered` are those that are where the catalog says. `isPlain`: rows that are put into them are
   * the rows that the table would get. Not so where a trigger of the user's changes rows before they are written (their
   * cells are then not those that were collected) or fires once for a statement on the table, and not for identity
   * columns, which partitions do not have before PostgreSQL 17.
   */
  async #enter(
    connection: Connection,
    definition: HypertableDefinition,
    hypertable: HypertableRecord,
    chunks: readonly Chunk[],
  ): Promise<{ readonly entered: ReadonlySet<bigint>; readonly isPlain: boolean }> {
    const names = join(
      chunks.map((chunk) => sql`only ${identifier(chunkSchema, chunk.relation!)}`),
      ', ',
    )
    // One that has been dropped is 42P01: then, too, the routing is old.
    await connection.execute(
      sql`lock table ${names} in row exclusive mode; ${raw(beginLoggedWriteSql(hypertable))}`,
    )
    // tgtype: 1 for each row, 2 before, 4 insert
    const { rows } = await connection.query(sql`
      select
        k.id,
        not exists (
          select
          from pg_trigger as g
          where g.tgrelid in (c.oid, i.inhparent) and not g.tgisinternal and g.tgenabled <> 'D'
            and g.tgtype & 4 <> 0 and g.tgtype & 3 <> 1
            and g.tgname not like 'tidemark\\_%'
        )
        and not exists (
          select from pg_attribute as a where a.attrelid = i.inhparent and a.attidentity <> '' and not a.attisdropped
        )
      from tidemark.chunk as k
      join pg_class as c
        on c.relname = k.relation_name and c.relnamespace = ${chunkSchema}::text::regnamespace
      join pg_inherits as i on i.inhrelid = c.oid and not i.inhdetachpending
      where k.id = any (${chunks.map((chunk) => chunk.id)}::int8[])
        and k.state in ('hot', 'freezing')
        and i.inhparent = format('%I.%I', ${definition.schema}::text, ${definition.table}::text)::regclass`)
    return {
      entered: new Set(rows.map(([id]) => id as bigint)),
      isPlain: rows.every(([, isPlain]) => isPlain as boolean),
    }
  }

  readonly #hypertables = new Map<string, HypertableRecord>()

  async #hypertable(definition: HypertableDefinition): Promise<HypertableRecord> {
    let hypertable = this.#hypertables.get(definition.name)
    if (hypertable === undefined) {
      hypertable = await findHypertable(this.#db, definition)
      this.#hypertables.set(definition.name, hypertable)
    }
    return hypertable
  }

  /** Makes the chunks; where that cannot be done in time, the rows will do without. */
  async #ensure(
    definition: HypertableDefinition,
    times: Iterable<Instant>,
    signal: AbortSignal | null,
  ): Promise<ChunkMap> {
    try {
      return await this.#chunks.ensureChunks(definition, times, { signal })
    } catch (error) {
      if (!isTidemarkError(error) || error.code !== 'TM_BUSY') throw error
      return this.#chunks.map(definition, { fresh: true })
    }
  }

  async #retry<T>(what: string, signal: AbortSignal | null, attempt: (n: number) => Promise<T>): Promise<T> {
    const { tries, random } = this.#options
    let isFinal = false
    return retry(
      {
        what,
        tries,
        signal,
        isRetryable: (error) => !isFinal && (isMoved(error) || isRetryable(error)),
        ...(random ? { random } : {}),
      },
      async (n) => {
        try {
          return await attempt(n)
        } catch (error) {
          if (!isMoved(error)) throw error
          this.#hypertables.clear()
          this.#chunks.forget()
          if (n < triesBeforeDetour || error instanceof StaleRouting) throw error
          // A table that is really not there stays so.
          isFinal = true
          if (sqlstateOf(error) !== '42P01') throw error
          throw new TidemarkError(
            'TM_MIGRATION',
            { problem: `${what} failed: ${(error as Error).message}`, todo: 'run `tidemark migrate`' },
            { cause: error },
          )
        }
      },
    )
  }
}

/**
 * Rows on their way into one transaction: kept as they are while they are few or keys are compared, encoded beyond.
 */
class Collector {
  readonly table: WritableTable
  readonly onConflict: OnConflict
  /** Rows that a later row of the call with the same key took the place of: as if they had been updated. */
  replaced = 0
  /** Rows whose key an earlier row of the call has, where conflicts are ignored: PostgreSQL's sort would take any of them. */
  passedOver = 0
  readonly #smallRows: number
  readonly #routing: Routing | null
  readonly #pool: EncoderPool
  readonly #lane: RowLane | null
  #rows: (readonly CanonicalValue[])[] = []
  readonly #byKey = new Map<string, number>()
  readonly #buckets = new Map<Instant, Instant>()
  #bucket: TimeRange = { from: 0n, to: 0n }
  #batch: WriteBatch | null = null
  #count = 0

  constructor(
    table: WritableTable,
    onConflict: OnConflict,
    routing: Routing | null,
    pool: EncoderPool,
    smallRows: number,
  ) {
    this.table = table
    this.onConflict = onConflict
    this.#routing = routing
    this.#pool = pool
    this.#lane = onConflict === 'error' ? table.lane : null
    this.#smallRows = smallRows
  }

  get rows(): number {
    return this.#count
  }

  get bytes(): number {
    // Rows that are kept: a guess of their width is enough for a limit of this size.
    return (this.#batch?.bytes ?? 0) + this.#rows.length * this.table.columns.length * 16
  }

  add(row: readonly CanonicalValue[]): void {
    this.#count += 1
    if (this.onConflict === 'update') {
      const key = keyOf(this.table, row)
      const before = key === null ? undefined : this.#byKey.get(key)
      if (before !== undefined) {
        this.#rows[before] = row
        this.replaced += 1
        return
      }
      if (key !== null) this.#byKey.set(key, this.#rows.length)
      this.#rows.push(row)
      return
    }
    if (this.onConflict === 'ignore' && this.table.keyIndexes.length > 0) {
      const key = keyOf(this.table, row)
      if (key !== null && this.#byKey.has(key)) {
        this.passedOver += 1
        return
      }
      if (key !== null) this.#byKey.set(key, this.#rows.length)
    }
    if (this.#batch !== null) {
      this.#noteBucket(row)
      this.#batch.add(row)
      return
    }
    this.#rows.push(row)
    if (this.#rows.length > this.#smallRows) this.batch()
  }

  /** A row as it was given; `index` is its place in the call, for the error. */
  addObject(row: unknown, index: number): void {
    const lane = this.#lane
    if (lane !== null && this.#batch !== null && lane.readObject(row)) {
      this.#count += 1
      this.#batch.addSlots(lane.slots)
    } else this.add(encodeRow(this.table, row, index))
  }

  /** As `add`, when no keys are compared. */
  addSlots(row: RowSlots): void {
    this.#count += 1
    this.batch().addSlots(row)
  }

  /** The rows by absence while they are few; null when there are too many for one statement. */
  small(): ReadonlyMap<string, readonly (readonly CanonicalValue[])[]> | null {
    if (this.#batch !== null || this.#rows.length > this.#smallRows) return null
    const groups = new Map<string, (readonly CanonicalValue[])[]>()
    for (const row of this.#rows) {
      const absence = absenceOf(this.table, row)
      const group = groups.get(absence)
      if (group === undefined) groups.set(absence, [row])
      else group.push(row)
    }
    return groups
  }

  /** Times whose chunks hold the rows; one of each bucket once the rows are encoded. */
  times(): Instant[] {
    const { timeIndex } = this.table
    if (this.#batch === null) return this.#rows.map((row) => row[timeIndex] as Instant)
    return [...this.#buckets.values()]
  }

  #noteBucket(row: readonly CanonicalValue[]): void {
    const { definition, timeIndex } = this.table
    if (definition.kind !== 'hypertable' || this.#routing !== null) return
    const time = row[timeIndex] as Instant
    if (time >= this.#bucket.from && time < this.#bucket.to) return
    const spec = { every: definition.chunk, zone: null }
    this.#bucket = { from: bucketStart(spec, time), to: nextBucket(spec, time) }
    this.#buckets.set(this.#bucket.from, time)
  }

  batch(): WriteBatch {
    if (this.#batch === null) {
      this.#batch = new WriteBatch(this.table, this.#routing, this.#pool)
      for (const row of this.#rows) {
        this.#noteBucket(row)
        this.#batch.add(row)
      }
      this.#rows = []
    }
    return this.#batch
  }

  release(): void {
    this.#batch?.release()
    this.#batch = null
    this.#rows = []
    this.#byKey.clear()
  }
}

/**
 * A chunk has come, gone or moved while the rows were on their way. Also while a statement on the table was running: the
 * default partition then refuses rows that have a chunk now. (A CHECK constraint names itself, a partition's bound does not.)
 */
function isMoved(error: unknown): boolean {
  if (error instanceof StaleRouting) return true
  const state = sqlstateOf(error)
  if (state !== '23514') return state === '42P01'
  return isTidemarkError(error) && (error.cause as { readonly constraint?: string }).constraint === undefined
}

function positive(value: number, path: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new TidemarkError('TM_CONFIG', { path, problem: `must be a whole number from 1 on, not ${value}` })
}

function refuseAppendOnly(definition: StoredDefinition): void {
  if (definition.appendOnly) throw new TidemarkError('TM_APPEND_ONLY', { table: definition.name })
}

/** PostgreSQL names the partition; people know the table. */
function nameTable(error: unknown, definition: StoredDefinition): unknown {
  if (!isTidemarkError(error)) return error
  const cause = error.cause ?? error
  const table = definition.name
  if (error.code === 'TM_DUPLICATE_KEY') {
    const { detail } = error.params as { detail: string }
    return new TidemarkError('TM_DUPLICATE_KEY', { table, detail }, { cause })
  }
  if (error.code === 'TM_CONSTRAINT') {
    const { constraint, detail } = error.params as { constraint: string; detail: string }
    return new TidemarkError('TM_CONSTRAINT', { table, constraint, detail }, { cause })
  }
  if (sqlstateOf(error) === 'TM001') return new TidemarkError('TM_APPEND_ONLY', { table }, { cause })
  return error
}

function isIterable(rows: unknown): rows is Rows {
  return (
    typeof rows === 'object' && rows !== null && (Symbol.iterator in rows || Symbol.asyncIterator in rows)
  )
}
