import { randomUUID } from 'node:crypto'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { HypertableDefinition } from '../schema/index.ts'
import { identifier, printSqlInline, raw, type Sql, sql } from '../util/sql.ts'
import type { FileLayout } from './contract.ts'
import type { Feeds } from './feed.ts'
import { decodedColumns, FeedPlan, layoutOfFile } from './file-plan.ts'
import { type Block, type DecodedColumn, RowDecoder } from './row-decoder.ts'
import { type ColumnPool, SlotStage } from './slot-stage.ts'

/** Of rows on their way: two batches are held at the most, one that fills and one that DuckDB takes. */
const batchBytes = 64 * 1024 * 1024

/** Rows between their decoder and the statement that writes them: in memory, and what is more in a temporary table that spills. */
export class RowSpool {
  readonly decoder: RowDecoder
  readonly #definition: HypertableDefinition
  readonly #columns: readonly DecodedColumn[]
  readonly #connect: () => Promise<DuckDBConnection>
  readonly #feeds: Feeds
  readonly #table = `tidemark_rows_${randomUUID().replaceAll('-', '')}`
  #pending: Block[] = []
  #pendingBytes = 0
  #plan: FeedPlan | null = null
  #spilling: Promise<void> | null = null

  /** @param connect Always the same connection; asked for when there is something to do on it. */
  constructor(definition: HypertableDefinition, connect: () => Promise<DuckDBConnection>, feeds: Feeds) {
    this.#definition = definition
    this.#columns = decodedColumns(definition)
    this.#connect = connect
    this.#feeds = feeds
    this.decoder = new RowDecoder(this.#columns, (block) => this.#hold(block))
  }

  #hold(block: Block): void {
    this.#pending.push(block)
    this.#pendingBytes += block.bytes
  }

  /** The short way for rows in slots, beside the decoder, with the same facts; null when there is none. */
  slotStage(pool: ColumnPool): SlotStage | null {
    return SlotStage.create(this.#columns, this.decoder.facts, pool, (block) => this.#hold(block))
  }

  /** To be awaited before more rows come: what is held is as much as it may be, and begins to go to the table. */
  relieve(): Promise<void> | null {
    return this.#pendingBytes < batchBytes ? null : this.#spill()
  }

  async #spill(): Promise<void> {
    if (this.#spilling !== null) await this.#spilling
    const target = identifier(this.#table)
    const isFirst = this.#spilling === null
    this.#spilling = this.#drain((source) =>
      isFirst
        ? sql`create temp table ${target} as select * from ${source}`
        : sql`insert into ${target} select * from ${source}`,
    )
    // awaited before the next one and at the end
    this.#spilling.catch(() => {})
  }

  /** Runs a statement over what is held; its blocks are gone as DuckDB takes them. */
  async #drain(statement: (source: Sql) => Sql): Promise<void> {
    const blocks = this.#pending
    this.#pending = []
    this.#pendingBytes = 0
    const plan = this.#planOf(blocks)
    let at = 0
    const next = () => {
      const block = blocks[at]
      if (block === undefined) return null
      blocks[at] = undefined as never
      at += 1
      return plan.feed(block)
    }
    const connection = await this.#connect()
    await this.#feeds.with(connection, plan.columns, next, async (source) => {
      await connection.run(printSqlInline(statement(raw(source))))
    })
  }

  #planOf(sample: readonly Block[]): FeedPlan {
    this.#plan ??= new FeedPlan(this.#columns, sample)
    return this.#plan
  }

  /** After the decoder has finished. */
  layout(): FileLayout {
    return layoutOfFile(this.#definition, this.#columns, this.decoder.facts, this.#planOf(this.#pending))
  }

  get hasMinusZero(): boolean {
    return this.decoder.facts.some((facts) => facts.hasMinusZero)
  }

  /** Runs a statement over all rows, once. */
  async use(statement: (source: Sql) => Sql): Promise<void> {
    if (this.#spilling === null) await this.#drain(statement)
    else {
      const table = await this.settle()
      await (await this.#connect()).run(printSqlInline(statement(table)))
    }
  }

  /** All rows in a table, for several statements; in order of a column of the feed, so that parts of it are found quickly. */
  async settle(order: Sql | null = null): Promise<Sql> {
    if (this.#spilling === null || this.#pending.length > 0) await this.#spill()
    await this.#spilling
    const table = identifier(this.#table)
    if (order !== null) {
      const sorted = identifier(`${this.#table}_sorted`)
      const connection = await this.#connect()
      await connection.run(
        printSqlInline(sql`create temp table ${sorted} as select * from ${table} order by ${order}`),
      )
      await connection.run(printSqlInline(sql`drop table ${table}`))
      await connection.run(printSqlInline(sql`alter table ${sorted} rename to ${table}`))
    }
    return table
  }

  async dispose(): Promise<void> {
    this.#pending = []
    if (this.#spilling === null) return
    await this.#spilling.catch(() => {})
    const connection = await this.#connect()
    for (const table of [this.#table, `${this.#table}_sorted`])
      await connection.run(`drop table if exists "${table}"`)
    this.#spilling = null
  }
}
