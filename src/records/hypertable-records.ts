import { filterToSql } from '../hot/index.ts'
import { rowDigestSql } from '../postgres/index.ts'
import { filterToJson, withTenant } from '../query/index.ts'
import { type CanonicalValue, tenantGuard } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { ownRow, readAssignments } from './assignments.ts'
import type { Call, Created, Precondition, Put, RecordsOptions, StoredRecord } from './contract.ts'
import { fillDefaults } from './defaults.ts'
import { keyFilter, keyOfRow, keyRange, keyTextOf } from './key.ts'
import { versionError } from './plain-records.ts'
import { encodeRow, type RecordTable, versionOfRow } from './record-table.ts'
import { explainRefusal } from './refusals.ts'

type Key = readonly CanonicalValue[]

/** Of no row: what is meant is only taken back from the lake. */
const noDigest = new Uint8Array(16)
/** How often a row may move between being looked at and being changed. */
const maxTries = 8

/**
 * Rows of hypertables, wherever they are: through the writer, which knows of rows in the lake, then read as they are.
 *
 * A write with a version compares in two steps, because a row in a file has no digest that PostgreSQL could compute. Its version, made
 * of the values that people see, is compared with what was read; the write then demands the digest of that very reading. Where the
 * row was in the lake, it is taken back first, and looked at again.
 */
export class HypertableRecords {
  readonly #table: RecordTable
  readonly #options: RecordsOptions
  readonly #call: Call

  constructor(table: RecordTable, options: RecordsOptions, call: Call) {
    this.#table = table
    this.#options = options
    this.#call = call
  }

  async get(key: Key): Promise<StoredRecord> {
    return (await this.find(key)) ?? this.#throwMissing(key)
  }

  async create(row: unknown): Promise<Created> {
    const values = await this.#encode(row, null, this.#table.keyIndexes)
    const { merged = 0 } = await this.#write(
      this.#options.writer.insert(this.#table.definition, [this.rowOf(values)], this.#call),
    )
    if (merged > 0) return { record: null }
    return { record: await this.get(keyOfRow(this.#table, values)) }
  }

  async patch(key: Key, set: unknown, precondition: Precondition): Promise<StoredRecord> {
    tenantGuard(this.#table.definition, this.#call.scope)
    const assignments = readAssignments(this.#table, set, key)
    const values = Object.fromEntries(
      assignments.map(({ index, value }) => [this.#table.columns[index]!, this.#input(index, value)]),
    )
    await this.#change(key, precondition, (digest) => this.#update(key, values, digest))
    return this.get(key)
  }

  async put(key: Key, row: unknown, precondition: Precondition): Promise<Put> {
    const { writer } = this.#options
    const { definition, columns, restIndexes } = this.#table
    const everyColumn = columns.map((_, i) => i)
    const input = this.rowOf(await this.#encode(row, key, everyColumn))
    if (precondition.kind === 'none') {
      const { inserted } = await this.#write(writer.upsert(definition, [input], this.#call))
      return { record: await this.get(key), isNew: inserted > 0 }
    }
    if (precondition.kind === 'new') {
      const { inserted } = await this.#write(
        writer.insert(definition, [input], { ...this.#call, onConflict: 'ignore' }),
      )
      const record = await this.find(key)
      if (inserted === 0) throw versionError(this.#table, key, record?.version ?? null)
      return { record: record ?? this.#throwMissing(key), isNew: true }
    }
    const set = Object.fromEntries(restIndexes.map((i) => [columns[i]!, input[columns[i]!]]))
    try {
      await this.#change(key, precondition, (digest) => this.#update(key, set, digest))
    } catch (error) {
      // a row that is not there is none of the versions
      if (error instanceof TidemarkError && error.code === 'TM_NOT_FOUND')
        throw versionError(this.#table, key, null)
      throw error
    }
    return { record: await this.get(key), isNew: false }
  }

  async delete(key: Key, precondition: Precondition): Promise<void> {
    const { writer } = this.#options
    tenantGuard(this.#table.definition, this.#call.scope)
    await this.#change(key, precondition, async (digest) => {
      const { deleted } = await this.#write(
        writer.delete(this.#table.definition, { ...this.#meant(key), digest }, this.#call),
      )
      return deleted
    })
  }

  /** A row with its key, its tenant and the SQL defaults of these columns. @throws TidemarkError TM_ROW, TM_TENANT */
  async #encode(row: unknown, key: Key | null, defaults: readonly number[]): Promise<CanonicalValue[]> {
    const table = this.#table
    const guard = tenantGuard(table.definition, this.#call.scope)
    const values = encodeRow(table, ownRow(table, row, key, guard))
    await fillDefaults(table, [values], defaults, this.#options, this.#call)
    return values
  }

  /** The same for many; of those that are wrong what is. */
  async encodeEach(
    rows: readonly unknown[],
    defaults: readonly number[],
  ): Promise<readonly (CanonicalValue[] | TidemarkError)[]> {
    const table = this.#table
    const guard = tenantGuard(table.definition, this.#call.scope)
    const encoded = rows.map((row, i) => {
      try {
        return encodeRow(table, ownRow(table, row, null, guard), i)
      } catch (error) {
        if (error instanceof TidemarkError) return error
        throw error
      }
    })
    const right = encoded.filter((values): values is CanonicalValue[] => Array.isArray(values))
    await fillDefaults(table, right, defaults, this.#options, this.#call)
    return encoded
  }

  /** A row as the writer takes it. */
  rowOf(values: readonly CanonicalValue[]): Record<string, unknown> {
    return Object.fromEntries(
      this.#table.columns.flatMap((name, i) =>
        values[i] === undefined ? [] : [[name, this.#input(i, values[i])]],
      ),
    )
  }

  /** A canonical value in a form that rows take. */
  #input(index: number, value: CanonicalValue): unknown {
    return this.#table.types[index] === 'jsonb' && typeof value === 'string' ? JSON.parse(value) : value
  }

  async #update(
    key: Key,
    set: Readonly<Record<string, unknown>>,
    digest: Uint8Array | null,
  ): Promise<number> {
    // nothing to change, but whether the row is there has to be said
    if (Object.keys(set).length === 0) return (await this.find(key)) === null ? 0 : 1
    const { writer } = this.#options
    const { updated } = await this.#write(
      writer.update(this.#table.definition, { ...this.#meant(key), set, digest }, this.#call),
    )
    return updated
  }

  /** Does `write` on the row that the precondition holds for. @throws TidemarkError TM_NOT_FOUND, TM_VERSION, TM_BUSY */
  async #change(
    key: Key,
    precondition: Precondition,
    write: (digest: Uint8Array | null) => Promise<number>,
  ): Promise<void> {
    if (precondition.kind !== 'versions') {
      if ((await write(null)) === 0) this.#throwMissing(key)
      return
    }
    for (let tries = 1; tries <= maxTries; tries += 1) {
      const hot = await this.#findHot(key)
      const record = hot ?? (await this.find(key))
      if (record === null) return this.#throwMissing(key)
      if (!precondition.versions.includes(record.version))
        throw versionError(this.#table, key, record.version)
      if ((await write(hot?.digest ?? noDigest)) > 0) return
    }
    throw new TidemarkError('TM_BUSY', {
      what: `a change of ${this.#table.definition.name}`,
      tries: maxTries,
      lastProblem: 'the row was changed or moved each time between being read and being written',
    })
  }

  /** Which row, and that it is the caller's: the one place where both are said. */
  #meant(key: Key) {
    const where = withTenant(this.#table.definition, keyFilter(this.#table, key), this.#call.scope)
    return { where, range: keyRange(this.#table, key) }
  }

  /** The row, in PostgreSQL or in the lake. */
  async find(key: Key): Promise<StoredRecord | null> {
    const table = this.#table
    const { from, to } = keyRange(table, key)!
    const { rows } = await this.#options.ask(
      table.definition,
      { where: filterToJson(table.definition, keyFilter(table, key)), from, to, limit: 1 },
      this.#call,
    )
    const [row] = rows
    return row === undefined ? null : { row, version: versionOfRow(table, row) }
  }

  /** The row where it is in PostgreSQL, with the digest that it has there. */
  async #findHot(key: Key): Promise<(StoredRecord & { readonly digest: Uint8Array }) | null> {
    const table = this.#table
    const digestSql = rowDigestSql(table.columns.map((name, i) => ({ name, type: table.types[i]! })))
    const { where } = this.#meant(key)
    const { rows } = await this.#options.db.query(
      sql`
        select ${table.columnsSql}, ${digestSql}
        from ${table.relation}
        where ${filterToSql(where!, table.definition)}`,
      { signal: this.#call.signal },
    )
    const [values] = rows
    if (values === undefined) return null
    const row = table.show(values)
    return { row, version: versionOfRow(table, row), digest: values[table.columns.length] as Uint8Array }
  }

  async #write<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } catch (error) {
      throw explainRefusal(error, this.#table.definition)
    }
  }

  #throwMissing(key: Key): never {
    throw new TidemarkError('TM_NOT_FOUND', {
      table: this.#table.definition.name,
      key: keyTextOf(this.#table, key),
    })
  }
}
