import { hash } from 'node:crypto'
import { rowDigestSql } from '../postgres/index.ts'
import type { OutputRow } from '../query/index.ts'
import {
  type CanonicalValue,
  type Coercer,
  type ColumnType,
  createCoercer,
  createRowCodec,
  type RowCodec,
  type StoredDefinition,
} from '../schema/index.ts'
import { formatInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { toJsonText } from '../util/json.ts'
import { identifier, join, type Sql } from '../util/sql.ts'

/** What is known of a table whose rows are read and written by their key, worked out once. */
export interface RecordTable {
  readonly definition: StoredDefinition
  readonly codec: RowCodec
  readonly columns: readonly string[]
  readonly types: readonly ColumnType[]
  readonly coercers: readonly Coercer[]
  /** Names of the columns of the primary key, in its order. */
  readonly key: readonly string[]
  /** Their places among the columns. */
  readonly keyIndexes: readonly number[]
  /** Places of the others. */
  readonly restIndexes: readonly number[]
  readonly relation: Sql
  /** All columns, in order. */
  readonly columnsSql: Sql
  /** Of the row as PostgreSQL has it, of a plain table: what its version is made of. */
  readonly digestSql: Sql
  /** From a row of all columns, as it is read, to the form that people see. */
  show(values: readonly unknown[]): OutputRow
}

const tables = new WeakMap<StoredDefinition, RecordTable>()

/** @throws TidemarkError TM_QUERY for a table without a primary key. */
export function recordTable(definition: StoredDefinition): RecordTable {
  let table = tables.get(definition)
  if (table === undefined) {
    table = makeTable(definition)
    tables.set(definition, table)
  }
  return table
}

function makeTable(definition: StoredDefinition): RecordTable {
  const key = definition.primaryKey
  if (key === null)
    throw new TidemarkError('TM_QUERY', {
      path: definition.name,
      problem: 'has no primary key, so its rows cannot be told apart; declare one, or use query and rows',
    })
  const columns = Object.keys(definition.columns)
  const types = columns.map((name) => definition.columns[name]!.type)
  const time = definition.kind === 'hypertable' ? definition.time : null
  const shows = types.map(showerOf)
  return Object.freeze({
    definition,
    codec: createRowCodec(definition),
    columns,
    types,
    coercers: columns.map((name) => createCoercer(definition.columns[name]!, { isTime: name === time })),
    key,
    keyIndexes: key.map((name) => columns.indexOf(name)),
    restIndexes: columns.flatMap((name, i) => (key.includes(name) ? [] : [i])),
    relation: identifier(definition.schema, definition.table),
    columnsSql: join(
      columns.map((name) => identifier(name)),
      ', ',
    ),
    digestSql: rowDigestSql(columns.map((name, i) => ({ name, type: types[i]! }))),
    show: (values: readonly unknown[]) =>
      Object.fromEntries(columns.map((name, i) => [name, shows[i]!(values[i])])),
  })
}

/** From a value as it is read to the form that people see. */
export function showerOf(type: ColumnType): (value: unknown) => unknown {
  return type === 'timestamptz'
    ? (value) => (typeof value === 'bigint' ? formatInstant(value) : value)
    : (value) => value
}

/** The 16 bytes of a digest as people see them. */
export function versionOf(digest: Uint8Array): string {
  return Buffer.from(digest).toString('base64url')
}

/** The bytes of a version; null for what is none. */
export function digestOf(version: string): Uint8Array | null {
  return /^[A-Za-z0-9_-]{22}$/.test(version) ? Buffer.from(version, 'base64url') : null
}

/**
 * The version of a row that may lie in a file, where PostgreSQL cannot compute its digest: of the values that people see, so that it
 * stays the same when the row moves.
 */
export function versionOfRow({ columns }: Pick<RecordTable, 'columns'>, row: OutputRow): string {
  const text = toJsonText(columns.map((name) => row[name]))
  return versionOf(Buffer.from(hash('sha256', text, 'hex'), 'hex').subarray(0, 16))
}

/** @throws TidemarkError TM_ROW for the first thing that is wrong with the row. */
export function encodeRow({ codec }: RecordTable, row: unknown, index = 0): CanonicalValue[] {
  const values = codec.encode(row as object)
  if (values !== null) return values
  const problem = codec.problems(row)[0] ?? { column: null, value: '', problem: 'it cannot be read' }
  throw new TidemarkError('TM_ROW', { row: index, ...problem })
}
