import { type QueryAnswer, retry } from '../postgres/index.ts'
import { type CanonicalValue, tenantGuard } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { Sql } from '../util/sql.ts'
import { ownRow, readAssignments } from './assignments.ts'
import type { Call, Created, Precondition, Put, RecordsOptions, StoredRecord } from './contract.ts'
import { keyTextOf } from './key.ts'
import { deleteRow, getRow, insertNew, insertRow, patchRow, putRow, replaceRow } from './plain-statements.ts'
import { encodeRow, type RecordTable, versionOf } from './record-table.ts'
import { explainRefusal } from './refusals.ts'

type Key = readonly CanonicalValue[]

/** Rows of plain tables: a statement each; a second one only to say why there was nothing to change. */
export class PlainRecords {
  readonly #table: RecordTable
  readonly #options: RecordsOptions
  readonly #call: Call

  constructor(table: RecordTable, options: RecordsOptions, call: Call) {
    this.#table = table
    this.#options = options
    this.#call = call
  }

  async get(key: Key): Promise<StoredRecord> {
    const { definition } = this.#table
    const { rows } = await this.#options.read(definition, this.#call, (snapshot) =>
      snapshot.query(getRow(this.#table, key, this.#call.scope), null),
    )
    return this.#only(rows) ?? this.#throwMissing(key)
  }

  async create(row: unknown): Promise<Created> {
    const values = this.#encode(row, null)
    const { rows } = await this.#write(insertRow(this.#table, values))
    return { record: this.#only(rows) }
  }

  async patch(key: Key, set: unknown, precondition: Precondition): Promise<StoredRecord> {
    this.#guard()
    const assignments = readAssignments(this.#table, set, key)
    if (assignments.length === 0) return this.#unchanged(key, precondition)
    const { rows } = await this.#write(
      patchRow(this.#table, assignments, key, precondition, this.#call.scope),
    )
    return this.#only(rows) ?? this.#explainMissing(key)
  }

  async put(key: Key, row: unknown, precondition: Precondition): Promise<Put> {
    const table = this.#table
    const values = this.#encode(row, key)
    switch (precondition.kind) {
      case 'none': {
        const { rows } = await this.#write(putRow(table, values))
        return { record: this.#only(rows)!, isNew: rows[0]!.at(-1) as boolean }
      }
      case 'new': {
        const { rows } = await this.#write(insertNew(table, values))
        const record = this.#only(rows) ?? (await this.#explainConflict(key, values))
        return { record, isNew: true }
      }
      default: {
        const { rows } = await this.#write(replaceRow(table, values, key, precondition, this.#call.scope))
        return { record: this.#only(rows) ?? (await this.#throwVersion(key)), isNew: false }
      }
    }
  }

  async delete(key: Key, precondition: Precondition): Promise<void> {
    this.#guard()
    const { rowCount } = await this.#write(deleteRow(this.#table, key, precondition, this.#call.scope))
    if (rowCount === 0) await this.#explainMissing(key)
  }

  #guard() {
    return tenantGuard(this.#table.definition, this.#call.scope)
  }

  #encode(row: unknown, key: Key | null): CanonicalValue[] {
    return encodeRow(this.#table, ownRow(this.#table, row, key, this.#guard()))
  }

  async #unchanged(key: Key, precondition: Precondition): Promise<StoredRecord> {
    const record = await this.get(key)
    if (precondition.kind !== 'versions' || precondition.versions.includes(record.version)) return record
    throw this.#versionError(key, record.version)
  }

  #write(statement: Sql): Promise<QueryAnswer> {
    return writeOnce(this.#table, this.#options, this.#call, statement)
  }

  #only(rows: QueryAnswer['rows']): StoredRecord | null {
    const [values] = rows
    return values === undefined ? null : recordOf(this.#table, values)
  }

  #throwMissing(key: Key): never {
    throw new TidemarkError('TM_NOT_FOUND', {
      table: this.#table.definition.name,
      key: keyTextOf(this.#table, key),
    })
  }

  /** Nothing was changed: there is no such row, or it is another version. */
  async #explainMissing(key: Key): Promise<never> {
    const { version } = await this.get(key)
    throw this.#versionError(key, version)
  }

  /** Nothing was replaced; a row that is not there is none of the versions, too. */
  async #throwVersion(key: Key): Promise<never> {
    throw this.#versionError(key, await this.#versionNow(key))
  }

  /** Nothing was made: the key is there, or another unique value. */
  async #explainConflict(key: Key, values: readonly CanonicalValue[]): Promise<StoredRecord> {
    const current = await this.#versionNow(key)
    if (current !== null) throw this.#versionError(key, current)
    // by another unique index, which PostgreSQL names; or it has gone since
    const { rows } = await this.#write(insertRow(this.#table, values))
    return this.#only(rows)!
  }

  async #versionNow(key: Key): Promise<string | null> {
    const { rows } = await this.#options.read(this.#table.definition, this.#call, (snapshot) =>
      snapshot.query(getRow(this.#table, key, this.#call.scope), null),
    )
    return this.#only(rows)?.version ?? null
  }

  #versionError(key: Key, current: string | null): TidemarkError {
    return versionError(this.#table, key, current)
  }
}

export function versionError(table: RecordTable, key: Key, current: string | null): TidemarkError {
  return new TidemarkError('TM_VERSION', {
    table: table.definition.name,
    key: keyTextOf(table, key),
    current,
  })
}

/** A row of all columns with its digest behind them. */
export function recordOf(table: RecordTable, values: readonly unknown[]): StoredRecord {
  return {
    row: table.show(values),
    version: versionOf(values[table.columns.length] as Uint8Array),
  }
}

/** A statement that commits by itself. Run again where it met a deadlock, or was kept parsed and is gone: then it has done nothing. */
export async function writeOnce(
  { definition }: Pick<RecordTable, 'definition'>,
  { db, onCommitted }: Pick<RecordsOptions, 'db' | 'onCommitted'>,
  { signal }: Pick<Call, 'signal'>,
  statement: Sql,
): Promise<QueryAnswer> {
  try {
    const answer = await retry({ what: `writing ${definition.name}`, signal }, () =>
      db.query(statement, { signal }),
    )
    if (answer.rowCount > 0) onCommitted()
    return answer
  } catch (error) {
    throw explainRefusal(error, definition)
  }
}
