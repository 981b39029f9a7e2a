import type { OnConflict } from '../hot/index.ts'
import type { DeadReason } from '../ingest/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { formatInstant, isTimeOfRow } from '../time/index.ts'
import { toJsonText } from '../util/json.ts'
import { sql } from '../util/sql.ts'
import type { StrayLetter } from './contract.ts'
import { storedText } from './stored-text.ts'

/** A row that was not taken, as it is kept. */
export interface DeadRow {
  /** Its place in the batch, from 0. */
  readonly index: number
  readonly column: string | null
  readonly value: string | null
  readonly reason: DeadReason
  readonly message: string
  /** As it came. */
  readonly row: unknown
}

export interface DeadRows {
  readonly definition: StoredDefinition
  /** On whose behalf they came; null: for every tenant. */
  readonly tenant: string | null
  readonly source: string
  readonly onConflict: OnConflict
  readonly rows: readonly DeadRow[]
}

export const maxDeadValue = 200
export const maxDeadMessage = 1000
/** Characters of a row; a longer one is cut, and said to be. */
export const maxDeadRaw = 100_000
/** Dead letters of one statement: some megabytes. */
const pieceRows = 1000

/** Stores dead letters, in the transaction of the rows that were taken. */
export async function insertDeadRows(connection: Connection, all: readonly DeadRows[]): Promise<void> {
  for (const { definition, tenant, source, onConflict, rows } of all)
    await insertLetters(
      connection,
      { tenant, source, onConflict },
      rows.map(({ row, ...letter }) => ({
        ...letter,
        dataset: definition.name,
        raw: rawOfRow(definition, row),
      })),
    )
}

/** JSON of a row, from which it can be written again; null where there is none. */
export function rawOfRow(definition: StoredDefinition, row: unknown): string | null {
  return rawOf(withTimesAsText(definition, row))
}

/** JSON has no bigint: microseconds would come back as a number, which is no time. */
function withTimesAsText(definition: StoredDefinition, row: unknown): unknown {
  if (typeof row !== 'object' || row === null) return row
  const entries = Object.entries(row)
  const isTime = ([name, value]: [string, unknown]): boolean =>
    typeof value === 'bigint' &&
    Object.hasOwn(definition.columns, name) &&
    definition.columns[name]!.type === 'timestamptz' &&
    isTimeOfRow(value)
  if (!entries.some(isTime)) return row
  return Object.fromEntries(
    entries.map((entry) => (isTime(entry) ? [entry[0], formatInstant(entry[1] as bigint)] : entry)),
  )
}

/** Stores what did not go through the pipeline. What is no row has no rule for conflicts: it cannot be written again as it is. */
export async function insertStrays(
  connection: Connection,
  source: string,
  tenant: string | null,
  letters: readonly StrayLetter[],
): Promise<void> {
  const stored = letters.map(({ isRow: _, ...letter }) => ({
    ...letter,
    column: letter.column === null ? null : storedText(letter.column, maxDeadValue),
    value: letter.value === null ? null : storedText(letter.value, maxDeadValue),
    message: storedText(letter.message, maxDeadMessage),
    raw: typeof letter.raw === 'string' ? letter.raw : rawOf(letter.raw),
  }))
  const isRow = (_: unknown, at: number): boolean => letters[at]!.isRow === true
  await insertLetters(connection, { tenant, source, onConflict: 'error' }, stored.filter(isRow))
  await insertLetters(
    connection,
    { tenant, source, onConflict: null },
    stored.filter((letter, at) => !isRow(letter, at)),
  )
}

interface Letter {
  readonly dataset: string
  readonly index: number
  readonly column: string | null
  readonly value: string | null
  readonly reason: string
  readonly message: string
  readonly raw: string | null
}

async function insertLetters(
  connection: Connection,
  {
    tenant,
    source,
    onConflict,
  }: { readonly tenant: string | null; readonly source: string; readonly onConflict: OnConflict | null },
  all: readonly Letter[],
): Promise<void> {
  for (let from = 0; from < all.length; from += pieceRows) {
    const letters = all.slice(from, from + pieceRows).map(({ raw, ...letter }) => ({
      ...letter,
      raw: raw === null ? null : storedText(raw, maxDeadRaw),
      is_whole: raw !== null && raw.length <= maxDeadRaw && !raw.includes('\0'),
    }))
    await connection.query(sql`
      insert into tidemark.dead_letter (
        dataset, tenant, file, line, column_name, value, reason, message, raw, on_conflict, is_whole
      )
      select
        l.dataset, ${tenant}::text, ${source}::text, l.index, l."column", l.value, l.reason, l.message, l.raw,
        ${onConflict}::text, l.is_whole
      from json_to_recordset(${JSON.stringify(letters)}::json) as l (
        dataset text, index int8, "column" text, value text, reason text, message text, raw text, is_whole bool
      )`)
  }
}

/** JSON of what came; null where there is none (a row of TypeScript may hold itself). */
function rawOf(row: unknown): string | null {
  try {
    return toJsonText(row) ?? null
  } catch {
    return null
  }
}
