import { randomUUID } from 'node:crypto'
import type { Connection, Database, Queryable } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { toWellFormed } from '../util/well-formed.ts'
import { hashPlan, type ImportPlan } from './plan.ts'
import type { DeadReason } from './reasons.ts'
import type { SourceFile } from './source.ts'

/** A row that did not fit, as it is stored. */
export interface DeadLetter {
  readonly line: number
  readonly column: string | null
  readonly value: string | null
  readonly reason: DeadReason
  readonly message: string
  readonly raw: string | null
}

/** Characters of a dead letter's value and raw row that are kept. */
const maxDeadValue = 200
export const maxDeadRaw = 2000

/** What a start of an import finds: nothing of the file, a part of it, or all. */
export interface ImportClaim {
  readonly id: bigint
  readonly owner: string
  readonly isResumed: boolean
  /** Batches that are committed: the number of their first record, from 0, and how many records they have. */
  readonly committed: ReadonlyMap<number, number>
  readonly rows: number
  readonly dead: number
}

/** What to do when the same file was imported into the same dataset before. */
export interface ClaimOptions {
  readonly again: boolean
  /** Its batches are files of the lake, which count when all are there. */
  readonly cold: boolean
}

/**
 * `tidemark.import_batch.batch` is the first record of a batch divided by the import's `batch_rows`. A batch ends at the
 * border of a chunk that it fills, so they are counted in single records; an import that was begun by a release whose
 * batches had one length is counted anew when it goes on.
 */
const batchUnit = 1

async function countInRecords(connection: Connection, id: bigint): Promise<void> {
  await connection.query(sql`
    with old as (
      delete from tidemark.import_batch where import_id = ${id}::int8 returning import_id, batch, rows, dead
    )
    insert into tidemark.import_batch (import_id, batch, rows, dead)
    select old.import_id, old.batch * i.batch_rows, old.rows, old.dead
    from old
    join tidemark.import as i on i.id = old.import_id`)
  await connection.query(sql`
    update tidemark.import set batch_rows = ${batchUnit}::int4 where id = ${id}::int8`)
}

/**
 * Holds the file for one process while `use` runs: a second process that imports the same content into the same
 * dataset is refused at once. The lock belongs to a transaction that writes nothing and keeps no snapshot, so it
 * neither holds vacuum back nor breaks behind PgBouncer, and it goes when the process does.
 *
 * The lock is politeness; that no row is written twice does not rest on it but on `commitBatch`.
 */
export async function withFileLock<T>(
  db: Database,
  dataset: string,
  source: SourceFile,
  use: () => Promise<T>,
): Promise<T> {
  return db.transaction({ mode: 'read committed' }, async (connection) => {
    await connection.execute('set local idle_in_transaction_session_timeout = 0')
    const answer = await connection.query(sql`
      select pg_try_advisory_xact_lock(
        hashtextextended(${`tidemark import ${dataset} ${source.fingerprint}`}::text, 0)
      )`)
    if (answer.rows[0]?.[0] !== true)
      throw new TidemarkError('TM_IMPORT', {
        file: source.path,
        problem: `another process is importing the same file into ${dataset}`,
        todo: 'wait for it',
      })
    return use()
  })
}

/**
 * Finds out how far the file is and takes it over: from here on batches of an earlier process are refused, also one
 * whose COMMIT is under way.
 * @throws TidemarkError TM_IMPORT when the file is in already, or was begun in another way.
 */
export async function claimImport(
  db: Database,
  dataset: string,
  source: SourceFile,
  plan: ImportPlan,
  options: ClaimOptions,
): Promise<ImportClaim> {
  const owner = randomUUID()
  // what one way has begun the other cannot go on with
  const hash = `${hashPlan(plan)}${options.cold ? ' cold' : ''}`
  return db.transaction({ mode: 'read committed' }, async (connection) => {
    // FOR UPDATE waits for batches in flight, which hold the row FOR SHARE until they are committed
    const known = await connection.query(sql`
      select id, state, plan_hash, batch_rows, rows, finished_at::text, file
      from tidemark.import
      where dataset = ${dataset}::text and fingerprint = ${source.fingerprint}::text
      order by id desc
      limit 1
      for update`)
    const [last] = known.rows
    if (last && !options.again) {
      const [id, state, planHash, batchRows, rows, finishedAt, file] = last
      if (state === 'done')
        throw new TidemarkError('TM_IMPORT', {
          file: source.path,
          problem: `this file was imported into ${dataset} already (${rows} rows, ${finishedAt}, as ${file})`,
          todo: 'say again: true (--again) to import it once more',
        })
      if (planHash !== hash)
        throw new TidemarkError('TM_IMPORT', {
          file: source.path,
          problem: `its import into ${dataset} was begun with other options (import ${id})`,
          todo:
            'use the same options to go on, or say again: true (--again) to begin anew: ' +
            'rows that are in stay in, so delete them first',
        })
      await connection.query(sql`
        update tidemark.import
        set owner = ${owner}::uuid, state = 'running', file = ${source.path}::text
        where id = ${id}::int8`)
      if (Number(batchRows) !== batchUnit) await countInRecords(connection, id as bigint)
      const batches = await connection.query(sql`
        select batch, rows, dead from tidemark.import_batch where import_id = ${id}::int8`)
      return {
        id: id as bigint,
        owner,
        isResumed: true,
        committed: new Map(
          batches.rows.map(([first, rows, dead]) => [Number(first), Number(rows) + Number(dead)]),
        ),
        rows: batches.rows.reduce((sum, [, count]) => sum + Number(count), 0),
        dead: batches.rows.reduce((sum, [, , count]) => sum + Number(count), 0),
      }
    }
    // files of the lake that it has left would wait for an end that never comes
    await connection.query(sql`
      select tidemark.give_up_cold_import(id)
      from tidemark.import
      where dataset = ${dataset}::text and fingerprint = ${source.fingerprint}::text and is_cold and state <> 'done'`)
    const made = await connection.query(sql`
      insert into tidemark.import (
        dataset, file, fingerprint, size_bytes, plan, plan_hash, batch_rows, owner, is_cold
      ) values (
        ${dataset}::text, ${source.path}::text, ${source.fingerprint}::text, ${source.sizeBytes}::int8,
        ${JSON.stringify(plan)}::jsonb, ${hash}::text, ${batchUnit}::int4, ${owner}::uuid, ${options.cold}::bool
      )
      returning id`)
    return {
      id: made.rows[0]![0] as bigint,
      owner,
      isResumed: false,
      committed: new Map(),
      rows: 0,
      dead: 0,
    }
  })
}

/** Whether all of a file's records are in the dataset, or refused. */
export async function isImported(db: Queryable, dataset: string, source: SourceFile): Promise<boolean> {
  const answer = await db.query(sql`
    select state = 'done'
    from tidemark.import
    where dataset = ${dataset}::text and fingerprint = ${source.fingerprint}::text
    order by id desc
    limit 1`)
  return answer.rows[0]?.[0] === true
}

/**
 * The last statements of a batch's transaction: its first record, and its dead letters. Two things make a second commit
 * of the same batch impossible: the owner must still be this process (a share lock, against which taking over waits),
 * and the first record is a key.
 */
export async function commitBatch(
  connection: Connection,
  dataset: string,
  file: string,
  claim: ImportClaim,
  first: number,
  rows: number,
  dead: readonly DeadLetter[],
): Promise<void> {
  if (dead.length > 0) await insertDeadLetters(connection, dataset, file, claim.id, dead)
  const answer = await connection.query(sql`
    with own as (
      select id from tidemark.import
      where id = ${claim.id}::int8 and owner = ${claim.owner}::uuid and state = 'running'
      for share
    )
    insert into tidemark.import_batch (import_id, batch, rows, dead)
    select id, ${first}::int8, ${rows}::int4, ${dead.length}::int4 from own
    returning batch`)
  if (answer.rows.length === 0) throw takenOver(file)
}

export function takenOver(file: string): TidemarkError {
  return new TidemarkError('TM_IMPORT', {
    file,
    problem: 'another process has taken over this import',
    todo: 'nothing: it goes on there, and this batch was not written here',
  })
}

async function insertDeadLetters(
  connection: Connection,
  dataset: string,
  file: string,
  importId: bigint,
  dead: readonly DeadLetter[],
): Promise<void> {
  const rows = dead.map((letter) => ({
    line: letter.line,
    column_name: letter.column,
    value: storable(letter.value, maxDeadValue),
    reason: letter.reason,
    message: storable(letter.message, 1000),
    raw: storable(letter.raw, maxDeadRaw),
  }))
  await connection.query(sql`
    insert into tidemark.dead_letter (dataset, import_id, file, line, column_name, value, reason, message, raw)
    select ${dataset}::text, ${importId}::int8, ${file}::text, line, column_name, value, reason, message, raw
    from json_to_recordset(${JSON.stringify(rows)}::json) as letter(
      line int8, column_name text, value text, reason text, message text, raw text
    )`)
}

/** What PostgreSQL can store of a text that may be what it refused: no NUL, no half pairs, not too long. */
function storable(text: string | null, limit: number): string | null {
  if (text === null) return null
  let kept = text
  if (kept.length > limit) kept = `${kept.slice(0, limit - 1)}…`
  return toWellFormed(kept.replaceAll('\0', '\u2400'))
}

export interface ImportTotals {
  readonly rows: number
  readonly dead: number
}

/** Ends an import. Done: all records are in or refused; its batch numbers are not needed any more. */
export async function finishImport(
  db: Database,
  claim: ImportClaim,
  state: 'done' | 'stopped',
): Promise<ImportTotals> {
  const totals = await db.transaction({ mode: 'read committed' }, (connection) =>
    finishInTransaction(connection, claim, state),
  )
  return totals ?? { rows: 0, dead: 0 }
}

/** Null when it was taken over by another process: its state is not ours to set. */
export async function finishInTransaction(
  connection: Connection,
  claim: ImportClaim,
  state: 'done' | 'stopped',
): Promise<ImportTotals | null> {
  const own = await connection.query(sql`
    select id from tidemark.import
    where id = ${claim.id}::int8 and owner = ${claim.owner}::uuid
    for update`)
  if (own.rows.length === 0) return null
  const answer = await connection.query(sql`
    update tidemark.import
    set state = ${state}::text, finished_at = now(),
      (rows, dead) = (
        select coalesce(sum(rows), 0), coalesce(sum(dead), 0)
        from tidemark.import_batch where import_id = ${claim.id}::int8
      )
    where id = ${claim.id}::int8
    returning rows, dead`)
  if (state === 'done')
    await connection.query(sql`delete from tidemark.import_batch where import_id = ${claim.id}::int8`)
  const [rows, dead] = answer.rows[0]!
  return { rows: Number(rows), dead: Number(dead) }
}

/** Dead letters of an import by reason, the most frequent first. */
export async function countDeadLetters(
  db: Queryable,
  filter: { readonly importId?: bigint; readonly dataset?: string },
): Promise<Record<string, number>> {
  const answer = await db.query(sql`
    select reason, count(*)
    from tidemark.dead_letter
    where (${filter.importId ?? null}::int8 is null or import_id = ${filter.importId ?? null}::int8)
      and (${filter.dataset ?? null}::text is null or dataset = ${filter.dataset ?? null}::text)
    group by reason
    order by 2 desc, 1`)
  return Object.fromEntries(answer.rows.map(([reason, count]) => [String(reason), Number(count)]))
}

export interface StoredDeadLetter extends DeadLetter {
  readonly id: bigint
  readonly dataset: string
  readonly importId: bigint | null
  readonly file: string
}

/** Dead letters in the order in which they came, after `afterId`, at most `limit` (1,000 by default, 10,000 at most). */
export async function listDeadLetters(
  db: Queryable,
  filter: {
    readonly importId?: bigint
    readonly dataset?: string
    readonly reason?: DeadReason
    readonly afterId?: bigint
    readonly limit?: number
  },
): Promise<StoredDeadLetter[]> {
  const limit = Math.min(filter.limit ?? 1000, 10_000)
  const answer = await db.query(sql`
    select id, dataset, import_id, file, line, column_name, value, reason, message, raw
    from tidemark.dead_letter
    where id > ${filter.afterId ?? 0n}::int8
      and (${filter.importId ?? null}::int8 is null or import_id = ${filter.importId ?? null}::int8)
      and (${filter.dataset ?? null}::text is null or dataset = ${filter.dataset ?? null}::text)
      and (${filter.reason ?? null}::text is null or reason = ${filter.reason ?? null}::text)
    order by id
    limit ${limit}::int4`)
  return answer.rows.map(([id, dataset, importId, file, line, column, value, reason, message, raw]) => ({
    id: id as bigint,
    dataset: dataset as string,
    importId: importId as bigint | null,
    file: file as string,
    line: Number(line),
    column: column as string | null,
    value: value as string | null,
    reason: reason as DeadReason,
    message: message as string,
    raw: raw as string | null,
  }))
}
