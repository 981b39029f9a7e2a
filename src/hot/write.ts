import { findHypertable, type HypertableRecord } from '../changelog/index.ts'
import { type Database, isRetryable, type Queryable, retry, sqlstateOf } from '../postgres/index.ts'
import type { CanonicalValue, HypertableDefinition, StoredDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import type { Sql } from '../util/sql.ts'
import type { BatchInsert, BatchOptions, OpenBatch } from './batch-contract.ts'
import { type Assignment, deleteSql, toAssignments, updateSql } from './change-rows.ts'
import type { ChunkMap } from './chunk-map.ts'
import type { ChunkManager } from './chunks.ts'
import { ColdNeed, type ColdRows } from './cold-contract.ts'
import { Collector } from './collector.ts'
import { ChunkCopier, triesBeforeDetour } from './copy-chunks.ts'
import { relationOf, type WritableTable, writableTable } from './writable-table.ts'
import { EncoderPool, type Routing } from './write-batch.ts'
import { ColdWriter, coldChunks, isKeyed, overlaps } from './write-cold.ts'
import {
  type ChangeOptions,
  type DeleteInput,
  type HotWriter,
  type HotWriterOptions,
  type InsertOptions,
  type Rows,
  type UpdateInput,
  type UpsertOptions,
  writerDefaults,
} from './write-contract.ts'
import { isMoved, isRefusedByGuard, nameTable, refuseAppendOnly, StaleRouting } from './write-errors.ts'
import {
  copyGroup,
  insertSmall,
  insertStaged,
  type OnConflict,
  type WriteCounts,
} from './write-statements.ts'
import { writeStream } from './write-stream.ts'

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
  readonly #copier: ChunkCopier
  readonly #cold: { readonly rows: ColdRows; readonly writer: ColdWriter } | null
  readonly #pool = new EncoderPool()

  constructor(options: HotWriterOptions) {
    this.#db = options.db
    this.#chunks = options.chunks
    this.#options = { ...writerDefaults, ...options }
    this.#cold =
      options.cold === undefined
        ? null
        : {
            rows: options.cold,
            writer: new ColdWriter(options.db, options.cold, () => options.chunks.forget()),
          }
    this.#copier = new ChunkCopier({
      db: options.db,
      chunks: options.chunks,
      loadRows: this.#options.loadRows,
      ensure: (definition, times, signal) => this.#ensure(definition, times, signal),
    })
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
    options: BatchOptions = {},
  ): Promise<() => OpenBatch> {
    const table = this.#writable(definition, onConflict)
    const routing = await this.#routing(table, onConflict)
    return () => {
      const collector = this.#collect(table, onConflict, routing, options.batchRows)
      return {
        get rows() {
          return collector.rows
        },
        get mayGrow() {
          return collector.mayGrow
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
    const set = toAssignments(table, input.set)
    if (set.length === 0) return { updated: 0 }
    const time = set.find(({ index }) => index === table.timeIndex)
    if (time !== undefined && definition.kind === 'hypertable')
      await this.#ensure(definition, [time.value as Instant], options.signal ?? null)
    return { updated: await this.#change(table, input, set, options) }
  }

  async delete(
    definition: StoredDefinition,
    input: DeleteInput,
    options: ChangeOptions = {},
  ): Promise<{ readonly deleted: number }> {
    refuseAppendOnly(definition)
    return { deleted: await this.#change(writableTable(definition), input, null, options) }
  }

  /** An update when there are assignments, otherwise a delete. */
  async #change(
    table: WritableTable,
    input: DeleteInput,
    assignments: readonly Assignment[] | null,
    options: ChangeOptions,
  ): Promise<number> {
    const { definition } = table
    const signal = options.signal ?? null
    const what = `${assignments === null ? 'deleting from' : 'updating'} ${definition.name}`
    const statement: Sql =
      assignments === null ? deleteSql(table, input) : updateSql(table, assignments, input)
    const time = assignments?.find(({ index }) => index === table.timeIndex)?.value as Instant | undefined
    try {
      return await this.#retry(what, definition, signal, async (_, wasRefused) => {
        if (this.#cold !== null && definition.kind === 'hypertable') {
          const cold = coldChunks(await this.#chunks.map(definition))
          const isTouched = cold.some(
            ({ range }) =>
              input.range === null ||
              overlaps(range, input.range) ||
              (time !== undefined && range.from <= time && range.to > time),
          )
          if (isTouched || wasRefused)
            return this.#cold.writer.change(table, definition, input, assignments, signal)
        }
        const { rowCount } = await this.#db.query(statement, { signal })
        return rowCount
      })
    } catch (error) {
      throw nameTable(error, definition)
    }
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
    return writeStream(
      {
        table,
        onConflict,
        open: (batchRows) => this.#collector(table, onConflict, batchRows),
        commit: (collector, signal) => this.#commit(collector, signal, null),
      },
      rows,
      options,
    )
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

  async #collector(table: WritableTable, onConflict: OnConflict, batchRows?: number): Promise<Collector> {
    return this.#collect(table, onConflict, await this.#routing(table, onConflict), batchRows)
  }

  #collect(
    table: WritableTable,
    onConflict: OnConflict,
    routing: Routing | null,
    batchRows: number | undefined,
  ): Collector {
    const { smallRows } = this.#options
    return new Collector(table, onConflict, { routing, pool: this.#pool, smallRows, batchRows })
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
      return await this.#retry(what, definition, signal, async (n, wasRefused) => {
        if (await this.#mayTouchCold(collector, wasRefused))
          return this.#writeCold(collector, signal, inTransaction)
        const small = collector.small()
        if (small !== null) return this.#writeSmall(collector, small, signal, inTransaction)
        if (collector.onConflict === 'error' && definition.kind === 'hypertable')
          return this.#copier.copy({
            batch: collector.batch(),
            definition,
            hypertable: await this.#hypertable(definition),
            attempt: n,
            signal,
            inTransaction,
          })
        return this.#copyWhole(collector, signal, inTransaction)
      })
    } catch (error) {
      throw nameTable(error, definition)
    }
  }

  /**
   * Whether keys of rows have to be looked for in the lake, by what this process remembers of the chunks. Where it is wrong a
   * guard refuses the rows, and is believed.
   */
  async #mayTouchCold(collector: Collector, wasRefused: boolean): Promise<boolean> {
    const { definition } = collector.table
    if (this.#cold === null || definition.kind !== 'hypertable') return false
    if (wasRefused) return true
    if (!isKeyed(definition)) return false
    const cold = coldChunks(await this.#chunks.map(definition))
    return cold.length > 0 && collector.mayTouch(cold.map(({ range }) => range))
  }

  async #writeCold(
    collector: Collector,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WriteCounts> {
    const { table, onConflict } = collector
    const definition = table.definition as HypertableDefinition
    const times = collector.small() === null && onConflict === 'error' ? null : collector.times()
    const groups = [...collector.batch().groups()]
    await this.#ensure(definition, times ?? groups.map((group) => group.range!.from), signal)
    const counts = await this.#cold!.writer.write(table, definition, groups, {
      onConflict,
      signal,
      inTransaction,
    })
    return {
      inserted: counts.inserted,
      updated: counts.updated + collector.replaced,
      ignored: counts.ignored + collector.passedOver,
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

  /** `attempt` is told whether a guard of cold rows has refused the one before. */
  async #retry<T>(
    what: string,
    definition: StoredDefinition,
    signal: AbortSignal | null,
    attempt: (n: number, wasRefused: boolean) => Promise<T>,
  ): Promise<T> {
    const { tries, random } = this.#options
    let isFinal = false
    let wasRefused = false
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
          return await attempt(n, wasRefused)
        } catch (error) {
          if (this.#cold !== null && definition.kind === 'hypertable') {
            if (error instanceof ColdNeed) {
              await this.#cold.rows.makeRoom(definition, error, signal)
              throw new StaleRouting()
            }
            if (isRefusedByGuard(error) && !wasRefused) {
              wasRefused = true
              this.#chunks.forget()
              throw new StaleRouting()
            }
          }
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

function isIterable(rows: unknown): rows is Rows {
  return (
    typeof rows === 'object' && rows !== null && (Symbol.iterator in rows || Symbol.asyncIterator in rows)
  )
}
