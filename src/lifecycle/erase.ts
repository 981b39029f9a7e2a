import { setTimeout as sleep } from 'node:timers/promises'
import { matchingSql } from '../hot/index.ts'
import { beginRowMove } from '../migrate/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, sql } from '../util/sql.ts'
import { type LifecycleContext, type MoveOptions, subjectOf } from './context.ts'
import { type ErasedFile, Erasure, type InTurn } from './erase-chunks.ts'
import { beginWholeRead, type ErasureInput } from './erase-search.ts'
import { type ErasureLeftovers, findLeftovers } from './erasure-leftovers.ts'
import { openRecord } from './erasure-record.ts'
import { flip } from './flip.ts'
import { reclaimSpace } from './reclaim.ts'
import { sweepLake } from './sweep.ts'

export interface ErasureOptions extends MoveOptions {
  /** ms to wait for the removal of the old files at the end; default 0: the sweep does it. */
  readonly waitMs?: number
}

export interface ErasureReport {
  readonly id: bigint
  readonly dataset: string
  /** An erasure of the same condition that had not come to its end was gone on with; its rows are counted too. */
  readonly isResumed: boolean
  readonly rowsHot: number
  readonly rowsCold: number
  readonly files: readonly ErasedFile[]
  /** When the old files were gone, ISO 8601 in UTC; null: they wait. */
  readonly erasedAt: string | null
  /** Who holds the old files up; null where nobody does, or nothing is known of it. */
  readonly waitsFor: string | null
  readonly leftovers: ErasureLeftovers
}

/** Passes over the table while rows that match keep coming. */
const maxPasses = 4

/**
 * Erases rows for good: from PostgreSQL, from the files of the lake (also versions of them that had been updated or deleted there
 * before), and then the old files from the store. Each step is a transaction of its own and is found done when the call is made again:
 *
 * 1. *Hide*, chunk by chunk, under the lock of the chunk's row and its lease: DELETE in PostgreSQL, places of rows in files are
 *    noted as deleted. From its commit on no answer has them.
 * 2. *Rewrite*: every file that holds such a row, whether it counts or not, is compacted away.
 * 3. *Look*: in one snapshot, that no row and no file is left. Otherwise 1 again.
 * 4. `hidden_at` in the record. What the trash of the table holds by then goes as soon as no snapshot can need it (erasures.ts);
 *    `erased_at` says that it has.
 */
export async function eraseRows(
  context: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
  options: ErasureOptions,
  inTurn: InTurn,
): Promise<ErasureReport> {
  if (definition.kind === 'table') return erasePlain(context, definition, input, options)
  const subject = await subjectOf(context, definition)
  const record = await openRecord(context, definition, input)
  const erasure = new Erasure(context, subject, input, record.id, options, inTurn)
  for (let pass = 1; !(await erasure.isDone()); pass += 1) {
    if (pass > maxPasses) {
      throw new TidemarkError('TM_BUSY', {
        what: `erasing rows of ${definition.name}`,
        tries: maxPasses,
        lastProblem: 'rows that match are written at the same time: stop their writer, then erase again',
      })
    }
    await erasure.pass()
  }
  await context.db.query(sql`
    update tidemark.erasure set hidden_at = clock_timestamp() where id = ${record.id}::int8`)
  await reclaimSpace(context, subject, options)
  const waitsFor = await removeFiles(context, record.id, options)
  const { rows } = await context.db.query(sql`
    select rows_hot, rows_cold, files, erased_at from tidemark.erasure where id = ${record.id}::int8`)
  const [rowsHot, rowsCold, files, erasedAt] = rows[0] as [bigint, bigint, ErasedFile[], Instant | null]
  return {
    ...record,
    dataset: definition.name,
    rowsHot: Number(rowsHot),
    rowsCold: Number(rowsCold),
    files,
    erasedAt: erasedAt === null ? null : formatInstant(erasedAt),
    waitsFor: erasedAt === null ? waitsFor : null,
    leftovers: await findLeftovers(context.db, definition, input.where),
  }
}

/** The sweep does it; it is asked again for as long as somebody is in the way, and the caller waits. */
async function removeFiles(
  context: LifecycleContext,
  id: bigint,
  options: ErasureOptions,
): Promise<string | null> {
  const until = Date.now() + (options.waitMs ?? 0)
  for (;;) {
    const { held } = await sweepLake(context, options)
    const { rows } = await context.db.query(sql`
      select erased_at is not null from tidemark.erasure where id = ${id}::int8`)
    if (rows[0]![0] === true) return null
    if (Date.now() >= until || options.signal?.aborted) return held ?? leftBehind(context)
    await sleep(Math.min(500, until - Date.now()))
  }
}

function leftBehind({ settings }: LifecycleContext): string {
  const minutes = Math.ceil(settings.eraseGraceMs / 60_000)
  return `a process that stopped may have left files behind, which go ${minutes} minutes after they were written`
}

/** A plain table lies in PostgreSQL alone. */
async function erasePlain(
  context: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
  options: ErasureOptions,
): Promise<ErasureReport> {
  const record = await openRecord(context, definition, input)
  const rowsHot = await flip(
    context,
    { what: `erasing rows of ${definition.name}`, signal: options.signal ?? null },
    async (connection) => {
      await beginWholeRead(connection)
      if (definition.appendOnly) await beginRowMove(connection)
      const { rowCount } = await connection.query(sql`
        delete from ${identifier(definition.schema, definition.table)} where ${matchingSql(definition, input)}`)
      await connection.query(sql`
        update tidemark.erasure
        set rows_hot = rows_hot + ${rowCount}::int8, hidden_at = clock_timestamp(), erased_at = clock_timestamp()
        where id = ${record.id}::int8`)
      return rowCount
    },
  )
  const { rows } = await context.db.query(sql`
    select erased_at from tidemark.erasure where id = ${record.id}::int8`)
  return {
    ...record,
    dataset: definition.name,
    rowsHot,
    rowsCold: 0,
    files: [],
    erasedAt: formatInstant(rows[0]![0] as Instant),
    waitsFor: null,
    leftovers: await findLeftovers(context.db, definition, input.where),
  }
}
