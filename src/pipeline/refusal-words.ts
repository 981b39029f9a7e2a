import type { DeadReason } from '../ingest/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { type CanonicalRow, outputOf, type StoredDefinition } from '../schema/index.ts'
import { showValue } from '../time/index.ts'
import type { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'

/** Why a row is refused, without PostgreSQL's text: that is in the server's language, names partitions, and may hold rows of others. */
export interface RefusalWords {
  /** Null when no single column is to blame. */
  readonly column: string | null
  readonly value: string | null
  readonly reason: DeadReason
  readonly message: string
}

/** What PostgreSQL tells of an error beside its text. */
interface Told {
  readonly code: string
  readonly message: string
  readonly column?: string
  readonly constraint?: string
  readonly schema?: string
  readonly table?: string
}

/** Data that a column or index of the database does not take, though the declaration does. */
const dataProblems: Readonly<Record<string, string>> = {
  '22001': 'a text is longer than its column in the database takes',
  '22003': 'a number is out of the range of its column in the database',
  '22021': 'a text has characters that the encoding of the database has not',
  '22P05': 'a text has characters that the encoding of the database has not',
  '54000': 'a value is too large for an index of the table',
}

/** Says in our words what PostgreSQL refused; asks the catalog once for the columns of each constraint. */
export class RefusalExplainer {
  readonly #db: Queryable
  readonly #definition: StoredDefinition
  readonly #columns = new Map<string, Promise<readonly string[]>>()

  constructor(db: Queryable, definition: StoredDefinition) {
    this.#db = db
    this.#definition = definition
  }

  /** Null: the error is not PostgreSQL's, and says itself what is wrong. */
  async explain(error: TidemarkError, row: CanonicalRow): Promise<RefusalWords | null> {
    const told = toldOf(error)
    if (told === null) return null
    const columns = await this.#columnsOf(told)
    const [only] = columns
    const column = columns.length === 1 && only !== undefined ? only : null
    const reason: DeadReason =
      told.code === '23502'
        ? 'null'
        : told.code === '23505'
          ? 'duplicate_key'
          : told.code.startsWith('23')
            ? 'constraint'
            : 'refused'
    return {
      column,
      value: column === null ? null : this.#show(row, column),
      reason,
      message: messageOf(told, columns),
    }
  }

  #show(row: CanonicalRow, column: string): string {
    const { columns } = this.#definition
    const value = row[Object.keys(columns).indexOf(column)]
    return showValue(value === undefined ? null : outputOf(columns[column]!.type)(value))
  }

  async #columnsOf({ column, constraint, schema, table }: Told): Promise<readonly string[]> {
    const { columns } = this.#definition
    const isOurs = (name: string): boolean => Object.hasOwn(columns, name)
    if (column !== undefined) return [column].filter(isOurs)
    if (constraint === undefined || schema === undefined || table === undefined) return []
    const key = JSON.stringify([schema, table, constraint])
    let found = this.#columns.get(key)
    if (found === undefined) {
      found = this.#read(schema, table, constraint)
      this.#columns.set(key, found)
    }
    return (await found).filter(isOurs)
  }

  /** Of a constraint, or of a unique index, which has the name of its constraint. */
  async #read(schema: string, table: string, name: string): Promise<readonly string[]> {
    const { rows } = await this.#db.query(sql`
      with relation as (select to_regclass(format('%I.%I', ${schema}::text, ${table}::text)) as id), keys as (
        select conkey::int2[] as numbers
        from pg_constraint, relation
        where conrelid = relation.id and conname = ${name}::text
        union all
        select indkey::int2[]
        from pg_index, relation
        where indrelid = relation.id
          and indexrelid = to_regclass(format('%I.%I', ${schema}::text, ${name}::text))
      )
      select distinct a.attname::text, a.attnum
      from keys, relation, pg_attribute as a
      where a.attrelid = relation.id and a.attnum = any(keys.numbers)
      order by a.attnum`)
    return rows.map(([column]) => column as string)
  }
}

function toldOf(error: TidemarkError): Told | null {
  for (
    let at: unknown = error.cause, depth = 0;
    at instanceof Error && depth < 10;
    at = at.cause, depth += 1
  ) {
    const { code, severity } = at as Error & { readonly code?: unknown; readonly severity?: unknown }
    if (typeof code === 'string' && typeof severity === 'string') return at as unknown as Told
  }
  return null
}

function messageOf({ code, message, constraint }: Told, columns: readonly string[]): string {
  const names = columns.map((column) => `"${column}"`).join(', ')
  const what = names === '' ? 'the row' : names
  switch (code) {
    case '23502':
      return `${what} must not be null: the table says so, whatever is declared`
    case '23503':
      return `${what} points at a row that is not there (foreign key "${constraint}")`
    case '23505':
      return `a row with the same ${names === '' ? 'key' : names} exists (unique "${constraint}")`
    case '23514':
      return `${what} ${columns.length > 1 ? 'do' : 'does'} not satisfy the constraint "${constraint}" of the table`
    case '23P01':
      return `${what} ${columns.length > 1 ? 'exclude' : 'excludes'} a row that exists (constraint "${constraint}")`
    // the words of whoever wrote the trigger, for whoever sends rows
    case 'P0001':
      return `a trigger of the table refuses the row: ${message}`
    default:
      return dataProblems[code] ?? `the database refuses the row (SQLSTATE ${code})`
  }
}
