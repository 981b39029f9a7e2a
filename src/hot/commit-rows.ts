import type { Database, Queryable } from '../postgres/index.ts'
import type { CanonicalValue, HypertableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { BatchInsert, WrittenCounts } from './batch-contract.ts'
import type { Collector } from './collector.ts'
import type { ChunkCopier } from './copy-chunks.ts'
import type { LateRows } from './late-rows.ts'
import { relationOf } from './writable-table.ts'
import { type ColdWriter, coldChunks, isKeyed } from './write-cold.ts'
import { nameTable } from './write-errors.ts'
import type { WriteRetry } from './write-retry.ts'
import { addCounts, copyGroup, insertSmall, insertStaged } from './write-statements.ts'
import type { WriteTargets } from './write-targets.ts'

export interface RowCommitterOptions {
  readonly db: Database
  readonly targets: WriteTargets
  readonly retry: WriteRetry
  readonly copier: ChunkCopier
  readonly cold: ColdWriter | null
  readonly late: LateRows
  readonly onCommitted: () => void
}

/** Brings collected rows into the database by the way that suits them. */
export class RowCommitter {
  readonly #db: Database
  readonly #targets: WriteTargets
  readonly #retry: WriteRetry
  readonly #copier: ChunkCopier
  readonly #cold: ColdWriter | null
  readonly #late: LateRows
  readonly #onCommitted: () => void

  constructor({ db, targets, retry, copier, cold, late, onCommitted }: RowCommitterOptions) {
    this.#db = db
    this.#targets = targets
    this.#retry = retry
    this.#copier = copier
    this.#cold = cold
    this.#late = late
    this.#onCommitted = onCommitted
  }

  /** One transaction, or one statement. */
  async commit(
    collector: Collector,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WrittenCounts> {
    const { table } = collector
    const { definition } = table
    const what = `writing ${definition.name}`
    if (collector.rows === 0 && inTransaction === null) return { inserted: 0, updated: 0, ignored: 0 }
    if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what })
    try {
      const counts = await this.#retry.run(what, definition, signal, async (n, wasRefused) => {
        const late = await this.#late.admit(collector)
        if (late !== null) {
          const counts = await this.#write(collector, n, wasRefused, signal, async (connection, written) => {
            await late.write(connection)
            await inTransaction?.(connection, { ...written, merged: late.merged })
          })
          return { ...counts, merged: late.merged }
        }
        const counts = await this.#write(collector, n, wasRefused, signal, inTransaction)
        return definition.kind === 'hypertable' && definition.late === 'merge'
          ? { ...counts, merged: 0 }
          : counts
      })
      this.#onCommitted()
      return counts
    } catch (error) {
      throw nameTable(error, definition)
    }
  }

  /** By the way that suits the rows. */
  async #write(
    collector: Collector,
    attempt: number,
    wasRefused: boolean,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WrittenCounts> {
    const { definition } = collector.table
    if (await this.#mayTouchCold(collector, wasRefused))
      return this.#writeCold(collector, signal, inTransaction)
    const small = collector.small()
    if (small !== null) return this.#writeSmall(collector, small, signal, inTransaction)
    if (collector.onConflict === 'error' && definition.kind === 'hypertable')
      return this.#copier.copy({
        batch: collector.batch(),
        groups: collector.groups(),
        definition,
        hypertable: await this.#targets.hypertable(definition),
        attempt,
        signal,
        inTransaction,
      })
    return this.#copyWhole(collector, signal, inTransaction)
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
    const cold = coldChunks(await this.#targets.chunks(definition))
    return cold.length > 0 && collector.mayTouch(cold.map(({ range }) => range))
  }

  async #writeCold(
    collector: Collector,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WrittenCounts> {
    const { table, onConflict } = collector
    const definition = table.definition as HypertableDefinition
    const times = collector.small() === null && onConflict === 'error' ? null : collector.times()
    const groups = collector.groups()
    await this.#targets.ensure(definition, times ?? groups.map((group) => group.range!.from), signal)
    const all = (counts: WrittenCounts): WrittenCounts => ({
      inserted: counts.inserted,
      updated: counts.updated + collector.replaced,
      ignored: counts.ignored + collector.passedOver,
    })
    const counts = await this.#cold!.write(table, definition, groups, {
      onConflict,
      signal,
      inTransaction: inTransaction && ((connection, written) => inTransaction(connection, all(written))),
    })
    return all(counts)
  }

  async #writeSmall(
    collector: Collector,
    groups: ReadonlyMap<string, readonly (readonly CanonicalValue[])[]>,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WrittenCounts> {
    const { table, onConflict } = collector
    const { definition } = table
    if (definition.kind === 'hypertable') await this.#targets.ensure(definition, collector.times(), signal)
    const all = async (db: Queryable): Promise<WrittenCounts> => {
      const total = { inserted: 0, updated: collector.replaced, ignored: collector.passedOver }
      for (const [absence, rows] of groups) {
        const counts = await insertSmall(db, table, absence, rows, onConflict, { signal })
        addCounts(total, counts)
      }
      return total
    }
    if (groups.size === 1 && inTransaction === null) return all(this.#db)
    return this.#db.transaction({ signal }, async (connection) => {
      const counts = await all(connection)
      await inTransaction?.(connection, counts)
      return counts
    })
  }

  /** Plain tables, and hypertables where keys are compared: through the table itself, whose triggers log. */
  async #copyWhole(
    collector: Collector,
    signal: AbortSignal | null,
    inTransaction: BatchInsert['inTransaction'] | null,
  ): Promise<WrittenCounts> {
    const { table, onConflict } = collector
    const { definition } = table
    if (definition.kind === 'hypertable') await this.#targets.ensure(definition, collector.times(), signal)
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
        addCounts(total, counts)
      }
      await inTransaction?.(connection, total)
      return total
    })
  }
}
