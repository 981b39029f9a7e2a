import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'
import { groupText } from '../helpers/naive-values.ts'
import { addedColumns } from './tables.ts'
import type { StoredRow } from './values.ts'
import type { World } from './world.ts'

/** The table that is published: append-only, so its copy has every row that ever was in it. */
export const publishedName = 'oracle.ledger'

/**
 * Somebody's own copy of a table, by logical replication of inserts and updates, as the guide asks for. No move, and no
 * retention, may take a row of it, bring one twice, or keep one from it.
 */
export class Subscriber {
  readonly #world: World
  readonly #admin: Database
  readonly #copy: Database
  readonly #name: string
  /** Everything that was committed since it began. */
  readonly #expected: StoredRow[] = []

  private constructor(world: World, admin: Database, copy: Database, name: string) {
    this.#world = world
    this.#admin = admin
    this.#copy = copy
    this.#name = name
  }

  /** Nobody else may be open: a slot waits for every transaction that runs. */
  static async create(world: World): Promise<Subscriber> {
    const url = new URL(world.real.connectionString)
    const publisher = decodeURIComponent(url.pathname.slice(1))
    const name = `${publisher}_copy`
    const at = (database: string): string => Object.assign(new URL(url), { pathname: `/${database}` }).href
    const admin = createDatabase({ connectionString: at('postgres'), max: 1, applicationName: 'oracle' })
    await admin.execute(`create database ${name} template template0`)
    const copy = createDatabase({ connectionString: at(name), max: 2, applicationName: 'oracle' })
    const { columns } = world.definition(publishedName)
    const extra = Object.keys(addedColumns).filter((column) => !(column in columns))
    const all = [
      ...Object.entries(columns).map(([column, { type }]) => `"${column}" ${type}`),
      ...extra.map((column) => `"${column}" text`),
    ]
    await copy.execute(`create schema oracle; create table ${publishedName} (${all.join(', ')})`)
    const { db } = world.real
    await db.execute(
      `create publication oracle for table ${publishedName} with (publish = 'insert, update', publish_via_partition_root = true)`,
    )
    // on one server CREATE SUBSCRIPTION would wait for itself
    await db.query(
      sql`select slot_name::text from pg_create_logical_replication_slot(${name}::text, 'pgoutput')`,
    )
    const target = `host=${url.hostname} port=${url.port} dbname=${publisher} user=${url.username || 'postgres'}`
    await copy.execute(
      `create subscription s connection '${target}' publication oracle with (create_slot = false, slot_name = '${name}', copy_data = false)`,
    )
    return new Subscriber(world, admin, copy, name)
  }

  expect(rows: Iterable<StoredRow>): void {
    this.#expected.push(...rows)
  }

  /** Waits until all that was written has arrived, and compares row by row. */
  async compare(): Promise<void> {
    const { db } = this.#world.real
    // The servers of the tests do not write at each commit; what has been committed and not written is before this one.
    const lsn = await db.transaction({}, async (connection) => {
      await connection.execute('set local synchronous_commit = on')
      const { rows } = await connection.query(sql`select pg_logical_emit_message(true, 'oracle', '')::text`)
      return rows
    })
    for (let tries = 0; ; tries += 1) {
      const { rows } = await db.query(sql`
        select confirmed_flush_lsn >= ${lsn[0]![0] as string}::pg_lsn
        from pg_replication_slots where slot_name = ${this.#name}::text`)
      if (rows[0]?.[0] === true) break
      if (tries > 1200) throw new Error('the subscriber does not get what was written')
      await sleep(25)
    }
    const { columns } = this.#world.definition(publishedName)
    const names = Object.keys(columns)
    const list = join(
      names.map((column) => identifier(column)),
      ', ',
    )
    const { rows } = await this.#copy.query(sql`select ${list} from ${raw(publishedName)}`)
    const counts = new Map<string, number>()
    const note = (values: readonly unknown[], by: number): void => {
      const text = values.map((value, i) => groupText(columns[names[i]!]!.type, value)).join(' | ')
      counts.set(text, (counts.get(text) ?? 0) + by)
    }
    for (const row of rows) note(row, 1)
    for (const row of this.#expected)
      note(
        names.map((column) => row[column] ?? null),
        -1,
      )
    const wrong = [...counts].filter(([, count]) => count !== 0)
    if (wrong.length > 0)
      throw new Error(
        `the subscriber's copy of ${publishedName} differs: ${wrong.map(([row, count]) => `${count > 0 ? 'too many' : 'missing'}: ${row}`).join('; ')}`,
      )
  }

  async drop(): Promise<void> {
    const { db } = this.#world.real
    await this.#copy.execute('alter subscription s disable; alter subscription s set (slot_name = none)')
    await this.#copy.execute('drop subscription s')
    for (let tries = 0; tries < 400; tries += 1) {
      const { rows } = await db.query(
        sql`select active from pg_replication_slots where slot_name = ${this.#name}::text`,
      )
      if (rows[0]?.[0] !== true) break
      await sleep(25)
    }
    await db.query(sql`select pg_drop_replication_slot(${this.#name}::text)`)
    await this.#copy.close()
    await this.#admin.execute(`drop database ${this.#name} with (force)`)
    await this.#admin.close()
  }
}
