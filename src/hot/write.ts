import type { Database } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { Sql } from '../util/sql.ts'
import type { BatchOptions, OnConflict, OpenBatch, WrittenCounts } from './batch-contract.ts'
import { type Assignment, deleteSql, toAssignments, updateSql } from './change-rows.ts'
import { Collector, type CollectorOptions } from './collector.ts'
import { RowCommitter } from './commit-rows.ts'
import { ChunkCopier } from './copy-chunks.ts'
import { LateRows } from './late-rows.ts'
import { type WritableTable, writableTable } from './writable-table.ts'
import { EncoderPool } from './write-batch.ts'
import { ColdWriter, coldChunks, isTouched } from './write-cold.ts'
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
import { nameTable, refuseAppendOnly } from './write-errors.ts'
import { WriteRetry } from './write-retry.ts'
import { writeStream } from './write-stream.ts'
import { WriteTargets } from './write-targets.ts'

type Places = Pick<CollectorOptions, 'map' | 'routing'>

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
  readonly #options: HotWriterOptions & Required<Pick<HotWriterOptions, keyof typeof writerDefaults>>
  readonly #targets: WriteTargets
  readonly #retry: WriteRetry
  readonly #rows: RowCommitter
  readonly #cold: ColdWriter | null
  readonly #late: LateRows
  readonly #pool = new EncoderPool()

  constructor(options: HotWriterOptions) {
    const { db, chunks, cold = null } = options
    this.#db = db
    this.#options = { ...writerDefaults, ...options }
    const { tries, random, loadRows } = this.#options
    const targets = new WriteTargets(db, chunks)
    this.#targets = targets
    this.#retry = new WriteRetry({ tries, random, targets, cold })
    this.#cold = cold && new ColdWriter(db, cold, () => targets.forget())
    const copier = new ChunkCopier({ db, chunks, loadRows, ensure: targets.ensure.bind(targets) })
    this.#late = new LateRows(targets, this.#options.clock, options.late ?? null, this.#pool)
    this.#rows = new RowCommitter({
      db,
      targets,
      retry: this.#retry,
      copier,
      cold: this.#cold,
      late: this.#late,
      onCommitted: this.#options.onCommitted,
    })
  }

  async insert(
    definition: StoredDefinition,
    rows: Rows,
    options: InsertOptions = {},
  ): Promise<Omit<WrittenCounts, 'updated'>> {
    const { updated: _, ...counts } = await this.#write(
      definition,
      rows,
      options.onConflict ?? 'error',
      options,
    )
    return counts
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

  async insertBatch(batch: Parameters<HotWriter['insertBatch']>[0]): Promise<WrittenCounts> {
    const table = this.#writable(batch.definition, batch.onConflict)
    const collector = await this.#collector(table, batch.onConflict)
    try {
      for (const row of batch.rows) collector.add(row)
      return await this.#rows.commit(collector, batch.signal ?? null, batch.inTransaction)
    } finally {
      collector.release()
    }
  }

  async batches(
    definition: StoredDefinition,
    onConflict: OnConflict,
    options: BatchOptions = {},
  ): Promise<() => OpenBatch> {
    const table = this.#writable(definition, onConflict)
    const places = await this.#places(table, onConflict)
    return () => {
      const collector = this.#collect(table, onConflict, places, options.batchRows)
      return {
        get rows() {
          return collector.rows
        },
        get mayGrow() {
          return collector.mayGrow
        },
        add: (row) => collector.add(row),
        addSlots: (row) => collector.addSlots(row),
        commit: ({ inTransaction, signal }) => this.#rows.commit(collector, signal ?? null, inTransaction),
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
      await this.#targets.ensure(definition, [time.value as Instant], options.signal ?? null)
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
      const changed = await this.#retry.run(what, definition, signal, async (_, wasRefused) => {
        if (definition.kind === 'hypertable')
          await this.#late.refuseChange(definition, input, assignments, time)
        if (this.#cold !== null && definition.kind === 'hypertable') {
          const cold = coldChunks(await this.#targets.chunks(definition))
          if (wasRefused || cold.some(({ range }) => isTouched(range, input, time)))
            return this.#cold.change(table, definition, input, assignments, signal)
        }
        const { rowCount } = await this.#db.query(statement, { signal })
        return rowCount
      })
      this.#options.onCommitted()
      return changed
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
  ): Promise<WrittenCounts> {
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
        return await this.#rows.commit(collector, signal, null)
      } finally {
        collector.release()
      }
    }
    return writeStream(
      {
        table,
        onConflict,
        open: (batchRows) => this.#collector(table, onConflict, batchRows),
        commit: (collector, signal) => this.#rows.commit(collector, signal, null),
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
    return this.#collect(table, onConflict, await this.#places(table, onConflict), batchRows)
  }

  async #places(table: WritableTable, onConflict: OnConflict): Promise<Places> {
    const { definition } = table
    const map = definition.kind === 'hypertable' ? await this.#targets.chunks(definition) : null
    return { map, routing: await this.#targets.routing(table, onConflict) }
  }

  #collect(
    table: WritableTable,
    onConflict: OnConflict,
    places: Places,
    batchRows: number | undefined,
  ): Collector {
    const { smallRows } = this.#options
    return new Collector(table, onConflict, { ...places, pool: this.#pool, smallRows, batchRows })
  }
}

function isIterable(rows: unknown): rows is Rows {
  return (
    typeof rows === 'object' && rows !== null && (Symbol.iterator in rows || Symbol.asyncIterator in rows)
  )
}
