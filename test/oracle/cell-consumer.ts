import { advance, type Consumer, createConsumer, readMissing } from '../../src/changelog/index.ts'
import type { Connection } from '../../src/postgres/index.ts'
import type { StoredDefinition } from '../../src/schema/index.ts'
import { identifier, printSqlInline, raw, sql } from '../../src/util/sql.ts'
import { chunkStates, selectCold } from './lake.ts'
import type { World } from './world.ts'

/** By tenant and instant: how many rows there are, and the sum of their hashes. */
type Cells = ReadonlyMap<
  string,
  { readonly tenant: string | null; readonly time: bigint; readonly print: string }
>

class TurnedBack extends Error {}

/**
 * A consumer of the change log as a continuous aggregate is one: it keeps something for each cell, recomputes only what
 * the log says it has missed, and moves its position in the same transaction. Its cells are single instants, so a write
 * that is logged one cell off is found. After each refresh it must know exactly what a full look at the table in the
 * same snapshot shows: then no write has escaped.
 */
export class CellConsumer {
  readonly definition: StoredDefinition
  readonly #consumer: Consumer
  readonly #world: World
  readonly #columns: readonly string[]
  #cells: Cells = new Map()

  private constructor(world: World, consumer: Consumer, definition: StoredDefinition) {
    this.#world = world
    this.#consumer = consumer
    this.definition = definition
    // Those of the beginning: a column that is added changes no row that is there.
    this.#columns = Object.keys(definition.columns)
  }

  static async create(world: World, name: string, table: string): Promise<CellConsumer> {
    const definition = world.definition(table)
    return new CellConsumer(world, await createConsumer(world.real.db, name, definition), definition)
  }

  /**
   * One round. With `turnsBack` the transaction is rolled back at its end, as when a refresh fails: nothing may be lost.
   *
   * @returns how many ranges had been missed, and the number of rows in the snapshot.
   */
  async refresh(turnsBack: boolean): Promise<{ readonly missed: string; readonly rows: number }> {
    let report = { missed: '', rows: 0 }
    let next: Cells = this.#cells
    try {
      await this.#world.real.db.transaction({ mode: 'repeatable read' }, async (connection) => {
        const missing = await readMissing(connection, this.#consumer)
        const now = await this.#look(connection)
        let rows = 0
        for (const { print } of now.values()) rows += Number(print.split(':')[0])
        next = missing.kind === 'start-over' ? now : this.#merge(now, missing.ranges)
        report = { missed: missing.kind === 'ranges' ? String(missing.ranges.length) : missing.reason, rows }
        // Retention is no change: whoever stands on what has expired keeps it.
        const expired = (await chunkStates(connection, this.definition)).filter(
          (chunk) => chunk.state === 'dropped',
        )
        const remains = ({ time }: { time: bigint }): boolean =>
          !expired.some(({ from, to }) => time >= from && time < to)
        next = new Map([...next].filter(([, cell]) => remains(cell)))
        this.#compare(next, new Map([...now].filter(([, cell]) => remains(cell))))
        await advance(connection, this.#consumer, missing.snapshot)
        if (turnsBack) throw new TurnedBack()
      })
    } catch (error) {
      if (error instanceof TurnedBack) return report
      throw error
    }
    this.#cells = next
    return report
  }

  /** What is known, with the missed ranges as they are now. */
  #merge(
    now: Cells,
    ranges: readonly { tenant: string | null; range: { from: bigint; to: bigint } }[],
  ): Cells {
    const isMissed = ({ tenant, time }: { tenant: string | null; time: bigint }): boolean =>
      ranges.some(
        (missed) =>
          (missed.tenant === null || missed.tenant === tenant) &&
          time >= missed.range.from &&
          time < missed.range.to,
      )
    const next = new Map([...this.#cells].filter(([, cell]) => !isMissed(cell)))
    for (const [key, cell] of now) if (isMissed(cell)) next.set(key, cell)
    return next
  }

  #compare(known: Cells, now: Cells): void {
    for (const key of new Set([...known.keys(), ...now.keys()])) {
      const [before, after] = [known.get(key)?.print, now.get(key)?.print]
      if (before !== after)
        throw new Error(
          `a write to ${this.definition.name} escaped the change log: at ${key} the consumer knows ` +
            `${before ?? 'nothing'} and the table has ${after ?? 'nothing'}`,
        )
    }
  }

  /** In PostgreSQL, and in the files that the snapshot names. */
  async #look(connection: Connection): Promise<Cells> {
    const { schema, table, tenant } = this.definition
    const time = this.definition.kind === 'hypertable' ? this.definition.time : ''
    const names = this.#columns.map((name) => printSqlInline(identifier('r', name))).join(', ')
    const columns = raw(
      `${tenant ?? 'null::text'}, ${time}, hash_record_extended(row(${names}), 0)::numeric::text`,
    )
    const { rows: hot } = await connection.query(
      sql`select ${columns} from ${identifier(schema, table)} as r`,
    )
    const { db, lake } = this.#world.real
    // as it is declared now: files may have columns that were not there in the beginning
    const declared = this.#world.definition(this.definition.name)
    const cold = await selectCold(db, lake, connection, declared, columns)
    const cells = new Map<string, { tenant: string | null; time: bigint; print: string }>()
    for (const row of [...hot, ...cold]) {
      const [tenant, time, hash] = row as [string | null, bigint, string]
      const key = `${tenant ?? '*'} ${time}`
      const [count, sum] = (cells.get(key)?.print ?? '0:0').split(':').map(BigInt)
      cells.set(key, { tenant, time, print: `${count! + 1n}:${sum! + BigInt(hash)}` })
    }
    return cells
  }
}
