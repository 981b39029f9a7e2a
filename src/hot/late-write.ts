import { timestamptzText } from '../changelog/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import { identifier, sql } from '../util/sql.ts'
import type { Collector } from './collector.ts'
import type { LateMerger } from './late-contract.ts'
import { expired, mergedByInsert } from './late-refusal.ts'
import { relationOf } from './writable-table.ts'
import { type EncoderPool, WriteBatch } from './write-batch.ts'
import { StaleRouting } from './write-errors.ts'
import { copyGroup } from './write-statements.ts'

const staging = 'tidemark_late'

/** What a transaction does about its rows of dropped chunks, after the others have been written. */
export class LateWrite {
  /** Rows of dropped chunks that aggregates count now, once it has run. */
  merged = 0
  readonly #collector: Collector
  readonly #dropped: readonly TimeRange[]
  readonly #merger: LateMerger
  readonly #pool: EncoderPool

  /** @param dropped Which chunks were dropped when the collector was told to leave their rows out. */
  constructor(collector: Collector, dropped: readonly TimeRange[], merger: LateMerger, pool: EncoderPool) {
    this.#collector = collector
    this.#dropped = dropped
    this.#merger = merger
    this.#pool = pool
  }

  /**
   * Rows of dropped chunks, and those that were stored in the living part of a bucket whose other part is dropped: that bucket is never
   * computed again.
   */
  async write(connection: Connection): Promise<void> {
    const collector = this.#collector
    const definition = collector.table.definition as HypertableDefinition
    const { dropped, frozen, merge } = await this.#merger.open(connection, definition)
    // one more was dropped since: its rows have been written among the others
    if (!areSame(dropped, this.#dropped)) throw new StaleRouting()
    if (collector.onConflict !== 'error') {
      await assertNoneFrozen(connection, definition, frozen)
      return
    }
    const ranges = [...dropped, ...frozen]
    if (!collector.mayTouch(ranges)) return
    await connection.execute(sql`
      create temporary table ${identifier(staging)} (
        like ${relationOf(collector.table)} including defaults including constraints including generated including identity
      ) on commit drop`)
    this.merged = await this.#stage(connection, ranges)
    if (!(await merge(staging))) throw new StaleRouting()
  }

  /** Gives how many of the rows are of dropped chunks. */
  async #stage(connection: Connection, ranges: readonly TimeRange[]): Promise<number> {
    const { table } = this.#collector
    const target = identifier('pg_temp', staging)
    const { rows, groups } = this.#collector.within(ranges)
    const few = new WriteBatch(table, null, this.#pool)
    try {
      for (const row of rows) few.add(row)
      for (const group of [...few.groups(), ...groups]) await copyGroup(connection, table, target, group)
    } finally {
      few.release()
    }
    const late = this.#collector.within(this.#dropped)
    return late.rows.length + late.groups.reduce((sum, { encoder }) => sum + encoder.rows, 0)
  }
}

function areSame(some: readonly TimeRange[], others: readonly TimeRange[]): boolean {
  return (
    some.length === others.length &&
    some.every(({ from, to }, i) => from === others[i]?.from && to === others[i]?.to)
  )
}

/**
 * Of rows whose keys are compared only PostgreSQL knows which are new, and a cell cannot take back what an overwritten row has counted.
 *
 * @throws TidemarkError TM_EXPIRED when this transaction has written one into a frozen bucket.
 */
async function assertNoneFrozen(
  connection: Connection,
  definition: HypertableDefinition,
  frozen: readonly TimeRange[],
): Promise<void> {
  if (frozen.length === 0) return
  const time = identifier(definition.time)
  const { rows } = await connection.query(sql`
    select w.${time}
    from unnest(
      ${frozen.map(({ from }) => timestamptzText(from))}::timestamptz[],
      ${frozen.map(({ to }) => timestamptzText(to))}::timestamptz[]
    ) as f (range_from, range_to)
    join ${identifier(definition.schema, definition.table)} as w on w.${time} >= f.range_from and w.${time} < f.range_to
    where w.xmin = pg_current_xact_id()::xid
    limit 1`)
  const at = rows[0]?.[0] as Instant | undefined
  if (at === undefined) return
  const range = frozen.find(({ from, to }) => at >= from && at < to) as TimeRange
  throw expired(
    definition,
    `a row is of ${formatInstant(at)}, in a bucket of a continuous aggregate that begins or ends in dropped time`,
    range,
    mergedByInsert,
  )
}
