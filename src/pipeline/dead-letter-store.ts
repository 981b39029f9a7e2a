import type { OnConflict } from '../hot/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type Sql, sql } from '../util/sql.ts'
import type { DeadRow } from './dead-letters.ts'

/** `corrected`: its row was changed and fits the declaration. `unreadable`: it holds no whole row that could be replayed. */
export type LetterState = 'refused' | 'corrected' | 'unreadable'

export const letterStates: readonly LetterState[] = ['refused', 'corrected', 'unreadable']

/** What the message of a corrected letter begins with. */
export const correctedMark = 'corrected:'

/** Which dead letters are meant: those that all of it holds for. */
export interface DeadLetterChoice {
  readonly ids?: readonly (string | number | bigint)[]
  /** As it is declared. */
  readonly dataset?: string
  /** A code of docs/guide/dead-letters.md. */
  readonly reason?: string
  /** The one to blame. */
  readonly column?: string
  /** Somewhere in its row, its value or its message, whatever the case. */
  readonly text?: string
  readonly state?: LetterState
  /** Every one; has to be said where nothing else is. */
  readonly all?: boolean
}

/** A row that was not taken, as it is kept. */
export interface DeadLetter {
  readonly id: string
  readonly dataset: string
  /** On whose behalf it came; null: for every tenant. */
  readonly tenant: string | null
  /** The file of an import, or the way in: http, analytics, tm.ingest, … */
  readonly source: string
  /** The line in the file, from 1; otherwise the place in its batch, from 0. */
  readonly line: number
  readonly column: string | null
  readonly value: string | null
  readonly reason: string
  readonly message: string
  /** JSON of the row, or the line of a file; of that 2,000 characters at most. */
  readonly raw: string | null
  /** The rule that it came with. Null: it came in another way than as a row. */
  readonly onConflict: OnConflict | null
  /** Of an import of a file. */
  readonly isImported: boolean
  /** `raw` is all of the row. */
  readonly isWhole: boolean
  readonly createdAt: string
}

/** A letter and the version of it that was read. */
export interface ReadLetter extends DeadLetter {
  readonly version: string
}

export interface DeadLetterCount {
  readonly dataset: string
  readonly reason: string
  readonly count: number
  readonly firstAt: string
  readonly lastAt: string
}

export interface Choice {
  /** Whose letters; null: everybody's. */
  readonly tenant: string | null
  readonly ids: readonly string[] | null
  /** Of these datasets alone; null: of every one. */
  readonly only: readonly string[] | null
  readonly dataset: string | null
  readonly reason: string | null
  readonly column: string | null
  readonly text: string | null
  readonly state: LetterState | null
}

/** Of whosoever's letters these. */
export function lettersOf(ids: readonly string[], tenant: string | null = null): Choice {
  return { tenant, ids, only: null, dataset: null, reason: null, column: null, text: null, state: null }
}

const idForm = /^\d{1,18}$/

/** @throws TidemarkError TM_QUERY where an id is none, or where nothing is chosen though it has to be. */
export function readChoice(choice: DeadLetterChoice, mustChoose: boolean): Omit<Choice, 'tenant' | 'only'> {
  const ids = choice.ids?.map(String) ?? null
  for (const id of ids ?? [])
    if (!idForm.test(id))
      throw new TidemarkError('TM_QUERY', {
        path: 'ids',
        problem: `"${id}" is not the number of a dead letter`,
      })
  const { dataset = null, reason = null, column = null, text = null, state = null } = choice
  if (state !== null && !letterStates.includes(state))
    throw new TidemarkError('TM_QUERY', {
      path: 'state',
      problem: `must be one of ${letterStates.join(', ')}`,
    })
  const isChosen = [ids, dataset, reason, column, text, state].some((one) => one !== null)
  if (mustChoose && !isChosen && choice.all !== true)
    throw new TidemarkError('TM_QUERY', {
      path: 'dead letters',
      problem: 'say which: by ids, dataset, reason, column, text or state, or all of them (all: true, --all)',
    })
  return { ids, dataset, reason, column, text, state }
}

/** Condition on rows of tidemark.dead_letter. */
function matches(choice: Choice): Sql {
  const { tenant, ids, only, dataset, reason, column, text, state } = choice
  const like = text === null ? null : `%${text.replace(/[\\%_]/g, (sign) => `\\${sign}`)}%`
  return sql`(${tenant}::text is null or tenant = ${tenant}::text)
      and (${ids}::int8[] is null or id = any (${ids}::int8[]))
      and (${only}::text[] is null or dataset = any (${only}::text[]))
      and (${dataset}::text is null or dataset = ${dataset}::text)
      and (${reason}::text is null or reason = ${reason}::text)
      and (${column}::text is null or column_name = ${column}::text)
      and (${like}::text is null or raw ilike ${like}::text or value ilike ${like}::text or message ilike ${like}::text)
      and (${state}::text is null or ${stateOf} = ${state}::text)`
}

/** As `stateOfLetter` of a row. */
const stateOf = sql`case
        when raw is null or is_whole is not true or on_conflict is null then 'unreadable'
        when message like ${`${correctedMark}%`}::text then 'corrected'
        else 'refused'
      end`

export function stateOfLetter({
  raw,
  isWhole,
  onConflict,
  message,
}: Pick<DeadLetter, 'raw' | 'isWhole' | 'onConflict' | 'message'>): LetterState {
  if (raw === null || !isWhole || onConflict === null) return 'unreadable'
  return message.startsWith(correctedMark) ? 'corrected' : 'refused'
}

const letterColumns = sql`
      id::text, dataset, tenant, file, line, column_name, value, reason, message, raw, on_conflict, import_id is not null,
      is_whole, created_at, xmin::text`

/** In the order of coming, after `afterId`. (`d.id`: the `id` of the output is a text, which has another order.) */
export async function readLetters(
  db: Queryable,
  choice: Choice,
  page: { readonly afterId: string; readonly limit: number },
): Promise<ReadLetter[]> {
  const { rows } = await db.query(sql`
    select ${letterColumns}
    from tidemark.dead_letter as d
    where id > ${page.afterId}::int8
      and ${matches(choice)}
    order by d.id
    limit ${page.limit}::int4`)
  return rows.map(toLetter)
}

/** The newest first, before `beforeId`. */
export async function readNewestLetters(
  db: Queryable,
  choice: Choice,
  page: { readonly beforeId: string | null; readonly limit: number },
  signal: AbortSignal | null,
): Promise<ReadLetter[]> {
  const { rows } = await db.query(
    sql`
    select ${letterColumns}
    from tidemark.dead_letter as d
    where (${page.beforeId}::int8 is null or id < ${page.beforeId}::int8)
      and ${matches(choice)}
    order by d.id desc
    limit ${page.limit}::int4`,
    { signal },
  )
  return rows.map(toLetter)
}

function toLetter(row: readonly unknown[]): ReadLetter {
  return {
    id: row[0] as string,
    dataset: row[1] as string,
    tenant: row[2] as string | null,
    source: row[3] as string,
    line: Number(row[4]),
    column: row[5] as string | null,
    value: row[6] as string | null,
    reason: row[7] as string,
    message: row[8] as string,
    raw: row[9] as string | null,
    onConflict: row[10] as OnConflict | null,
    isImported: row[11] as boolean,
    isWhole: row[12] === true,
    createdAt: formatInstant(row[13] as Instant),
    version: row[14] as string,
  }
}

/** By dataset, reason and column, the most frequent first. */
export async function countLettersByColumn(
  db: Queryable,
  choice: Choice,
  limit: number,
  signal: AbortSignal | null,
): Promise<{ dataset: string; reason: string; column: string | null; rows: number }[]> {
  const { rows } = await db.query(
    sql`
    select dataset, reason, column_name, count(*)
    from tidemark.dead_letter
    where ${matches(choice)}
    group by dataset, reason, column_name
    order by count(*) desc, dataset, reason, column_name
    limit ${limit}::int4`,
    { signal },
  )
  return rows.map(([dataset, reason, column, count]) => ({
    dataset: dataset as string,
    reason: reason as string,
    column: column as string | null,
    rows: Number(count),
  }))
}

/** By dataset and reason, the most frequent first. */
export async function countLetters(db: Queryable, choice: Choice): Promise<DeadLetterCount[]> {
  const { rows } = await db.query(sql`
    select dataset, reason, count(*), min(created_at), max(created_at)
    from tidemark.dead_letter
    where ${matches(choice)}
    group by dataset, reason
    order by count(*) desc, dataset, reason`)
  return rows.map((row) => ({
    dataset: row[0] as string,
    reason: row[1] as string,
    count: Number(row[2]),
    firstAt: formatInstant(row[3] as Instant),
    lastAt: formatInstant(row[4] as Instant),
  }))
}

/** How many were deleted. */
export async function deleteLetters(db: Queryable, choice: Choice): Promise<number> {
  const { rowCount } = await db.query(sql`
    delete from tidemark.dead_letter
    where ${matches(choice)}`)
  return rowCount
}

/** Somebody else has replayed, changed or dropped one of the letters since they were read. */
export class LettersChanged extends Error {}

/**
 * Locks letters until the transaction ends, in the order of their numbers.
 *
 * @throws LettersChanged
 */
export async function lockLetters(
  connection: Connection,
  letters: readonly Pick<ReadLetter, 'id' | 'version'>[],
): Promise<void> {
  const { rows } = await connection.query(sql`
    select id::text, xmin::text
    from tidemark.dead_letter as d
    where id = any (${letters.map(({ id }) => id)}::int8[])
    order by d.id
    for update`)
  const found = new Map(rows.map(([id, version]) => [id as string, version as string]))
  if (letters.some(({ id, version }) => found.get(id) !== version)) throw new LettersChanged()
}

/** What a letter says after it was corrected, or tried again. */
export interface LetterUpdate {
  readonly id: string
  /** JSON of the row; null: it stays. */
  readonly raw: string | null
  readonly problem: Pick<DeadRow, 'column' | 'value' | 'message'> & { readonly reason: string }
}

export async function updateLetters(connection: Connection, updates: readonly LetterUpdate[]): Promise<void> {
  if (updates.length === 0) return
  const rows = updates.map(({ id, raw, problem }) => ({ ...problem, id, raw }))
  await connection.query(sql`
    update tidemark.dead_letter as d
    set column_name = u."column", value = u.value, reason = u.reason, message = u.message,
      raw = coalesce(u.raw, d.raw), is_whole = case when u.raw is null then d.is_whole else true end,
      on_conflict = case when u.raw is null then d.on_conflict else coalesce(d.on_conflict, 'error') end
    from json_to_recordset(${JSON.stringify(rows)}::json) as u (
      id int8, "column" text, value text, reason text, message text, raw text
    )
    where d.id = u.id`)
}
