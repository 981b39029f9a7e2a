import type { Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { type Sql, sql } from '../util/sql.ts'
import type { Board, BoardDocument, BoardInput, BoardSummary } from './contract.ts'

/** Whose boards: of a tenant; of keys for every tenant (null). */
export type Owner = string | null

interface Change {
  readonly board: BoardInput
  /** What its panels name. */
  readonly datasets: readonly string[]
  readonly by: string
  readonly at: Instant
}

function ofOwner(owner: Owner): Sql {
  return sql`b.tenant is not distinct from ${owner}::text`
}

const summary = sql`b.id, b.name, b.description, b.version, b.updated_at, b.updated_by`

/** By name; with what their panels name. */
export async function listBoards(
  db: Queryable,
  owner: Owner,
): Promise<{ readonly board: BoardSummary; readonly datasets: readonly string[] }[]> {
  const { rows } = await db.query(sql`
    select ${summary}, b.panel_count, b.datasets
    from tidemark.board as b
    where ${ofOwner(owner)}
    order by b.name, b.id
    limit 10000`)
  return rows.map((row) => ({
    board: { ...summaryOf(row), panels: row[6] as number },
    datasets: row[7] as string[],
  }))
}

export async function countBoards(db: Queryable, owner: Owner): Promise<number> {
  const { rows } = await db.query(sql`select count(*) from tidemark.board as b where ${ofOwner(owner)}`)
  return Number(rows[0]![0])
}

export async function findBoard(db: Queryable, owner: Owner, id: string): Promise<Board | null> {
  const { rows } = await db.query(sql`
    select ${summary}, b.document
    from tidemark.board as b
    where b.id = ${id}::text and ${ofOwner(owner)}`)
  return rows[0] ? boardOf(rows[0]) : null
}

export async function insertBoard(
  db: Queryable,
  owner: Owner,
  id: string,
  { board: { name, description, document }, datasets, by, at }: Change,
): Promise<Board> {
  const { rows } = await db.query(sql`
    insert into tidemark.board as b (
      id, tenant, name, description, document, datasets, panel_count, created_at, created_by, updated_at, updated_by
    )
    values (
      ${id}::text, ${owner}::text, ${name}::text, ${description ?? null}::text, ${JSON.stringify(document)}::json,
      ${[...datasets]}::text[], ${document.panels.length}::int4,
      ${formatInstant(at)}::timestamptz, ${by}::text, ${formatInstant(at)}::timestamptz, ${by}::text
    )
    returning ${summary}, b.document`)
  return boardOf(rows[0]!)
}

/** Null: it is not that version, or not there. @param version null: whichever it is. */
export async function updateBoard(
  db: Queryable,
  owner: Owner,
  id: string,
  version: number | null,
  { board: { name, description, document }, datasets, by, at }: Change,
): Promise<Board | null> {
  const { rows } = await db.query(sql`
    update tidemark.board as b
    set name = ${name}::text, description = ${description ?? null}::text,
      document = ${JSON.stringify(document)}::json, datasets = ${[...datasets]}::text[],
      panel_count = ${document.panels.length}::int4, version = b.version + 1,
      updated_at = ${formatInstant(at)}::timestamptz, updated_by = ${by}::text
    where b.id = ${id}::text and ${ofOwner(owner)}
      and (${version}::int4 is null or b.version = ${version}::int4)
    returning ${summary}, b.document`)
  return rows[0] ? boardOf(rows[0]) : null
}

export async function deleteBoard(
  db: Queryable,
  owner: Owner,
  id: string,
  version: number | null,
): Promise<boolean> {
  const { rowCount } = await db.query(sql`
    delete from tidemark.board as b
    where b.id = ${id}::text and ${ofOwner(owner)}
      and (${version}::int4 is null or b.version = ${version}::int4)`)
  return rowCount > 0
}

function summaryOf(row: readonly unknown[]): Omit<BoardSummary, 'panels'> {
  const [id, name, description, version, updatedAt, updatedBy] = row
  return {
    id: id as string,
    name: name as string,
    description: description as string | null,
    version: version as number,
    source: 'stored',
    updatedAt: formatInstant(updatedAt as Instant),
    updatedBy: updatedBy as string,
  }
}

function boardOf(row: readonly unknown[]): Board {
  return { ...summaryOf(row), document: row[6] as BoardDocument }
}
