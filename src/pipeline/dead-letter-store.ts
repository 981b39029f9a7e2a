import type { OnConflict } from '../hot/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import type { DeadRow } from './dead-letters.ts'

/** Which dead letters are meant: those that all of it holds for. */
export interface DeadLetterChoice {
  readonly ids?: readonly (string | number | bigint)[]
  /** As it is declared. */
  readonly dataset?: string
  /** A code of docs/guide/dead-letters.md. */
  readonly reason?: string
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
  readonly dataset: string | null
  readonly reason: string | null
}

const idForm = /^\d{1,18}$/

/** @throws TidemarkError TM_QUERY where an id is none, or where nothing is chosen though it has to be. */
export function readChoice(choice: DeadLetterChoice, mustChoose: boolean): Omit<Choice, 'tenant'> {
  const ids = choice.ids?.map(String) ?? null
  for (const id of ids ?? [])
    if (!idForm.test(id))
      throw new TidemarkError('TM_QUERY', {
        path: 'ids',
        problem: `"${id}" is not the number of a dead letter`,
      })
  const { dataset = null, reason = null } = choice
  const isChosen = ids !== null || dataset !== null || reason !== null
  if (mustChoose && !isChosen && choice.all !== true)
    throw new TidemarkError('TM_QUERY', {
      path: 'dead letters',
      problem: 'say which: by ids, dataset or reason, or all of them (all: true, --all)',
    })
  return { ids, dataset, reason }
}

/** In the order of coming, after `afterId`. (`d.id`: the `id` of the output is a text, which has another order.) */
export async function readLetters(
  db: Queryable,
  choice: Choice,
  page: { readonly afterId: string; readonly limit: number },
): Promise<ReadLetter[]> {
  const { rows } = await db.query(sql`
    select id::text, dataset, tenant, file, line, column_name, value, reason, message, raw, on_conflict, import_id is not null,
      is_whole, created_at, xmin::text
    from tidemark.dead_letter as d
    where id > ${page.afterId}::int8
      and (${choice.tenant}::text is null or tenant = ${choice.tenant}::text)
      and (${choice.ids}::int8[] is null or id = any (${choice.ids}::int8[]))
      and (${choice.dataset}::text is null or dataset = ${choice.dataset}::text)
      and (${choice.reason}::text is null or reason = ${choice.reason}::text)
    order by d.id
    limit ${page.limit}::int4`)
  return rows.map((row) => ({
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
  }))
}

/** By dataset and reason, the most frequent first. */
export async function countLetters(db: Queryable, choice: Choice): Promise<DeadLetterCount[]> {
  const { rows } = await db.query(sql`
    select dataset, reason, count(*), min(created_at), max(created_at)
    from tidemark.dead_letter
    where (${choice.tenant}::text is null or tenant = ${choice.tenant}::text)
      and (${choice.ids}::int8[] is null or id = any (${choice.ids}::int8[]))
      and (${choice.dataset}::text is null or dataset = ${choice.dataset}::text)
      and (${choice.reason}::text is null or reason = ${choice.reason}::text)
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
    where (${choice.tenant}::text is null or tenant = ${choice.tenant}::text)
      and (${choice.ids}::int8[] is null or id = any (${choice.ids}::int8[]))
      and (${choice.dataset}::text is null or dataset = ${choice.dataset}::text)
      and (${choice.reason}::text is null or reason = ${choice.reason}::text)`)
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
