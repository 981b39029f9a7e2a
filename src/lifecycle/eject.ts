import { listPartitions } from '../changelog/index.ts'
import { findDefaultPartition } from '../hot/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { listChunks } from './chunk-record.ts'
import type { LifecycleContext, MoveOptions, Subject } from './context.ts'
import { flip } from './flip.ts'
import { thawChunk } from './thaw.ts'

export interface EjectReport {
  readonly thawedChunks: number
  readonly thawedRows: number
  /** Partitions that the table has now, the default one included. */
  readonly partitions: number
}

/**
 * Gives a table back: every row in PostgreSQL, a plain partitioned table, nothing of Tidemark on it. Chunk by chunk, so
 * it goes on where it was stopped. The files stay in the trash until the next sweep that may remove them.
 *
 * @throws TidemarkError TM_CHUNK_CAP when the partitions that are needed are more than `maxChunks`; TM_MIGRATION when continuous
 * aggregates stand on it.
 */
export async function ejectTable(
  context: LifecycleContext,
  subject: Subject,
  options: MoveOptions,
): Promise<EjectReport> {
  const { db } = context
  const { definition, hypertable } = subject
  const signal = options.signal ?? null
  await assertNoAggregates(db, subject)
  const chunks = await listChunks(db, hypertable)
  const needed = chunks.filter((chunk) => chunk.state === 'cold' || chunk.relation !== null).length
  // Before the first one is thawed: half a table in PostgreSQL would help nobody.
  if (needed > hypertable.maxChunks) {
    throw new TidemarkError('TM_CHUNK_CAP', { table: definition.name, needed, cap: hypertable.maxChunks })
  }
  let thawedChunks = 0
  let thawedRows = 0
  for (const chunk of chunks) {
    if (chunk.state !== 'cold') continue
    const thawed = await thawChunk(context, subject, chunk.id, options)
    if (thawed.kind === 'taken') throw taken(definition.name, chunk.id)
    if (thawed.kind === 'thawed') {
      thawedChunks += 1
      thawedRows += thawed.rows
    }
  }
  const remainder = await findDefaultPartition(db, definition)
  const partitions = await flip(
    context,
    { what: `ejecting ${definition.name}`, signal },
    async (connection) => {
      await connection.query(sql`
      select id from tidemark.hypertable where id = ${hypertable.id}::int for update`)
      await connection.query(sql`
      select id from tidemark.chunk where hypertable_id = ${hypertable.id}::int order by id for update nowait`)
      const { rows } = await connection.query(sql`
      select id from tidemark.chunk where hypertable_id = ${hypertable.id}::int and state = 'cold'`)
      if (rows.length > 0) throw taken(definition.name, rows[0]![0] as bigint)
      const relations = [definition, remainder, ...(await listPartitions(connection, definition))]
      const { rows: triggers } = await connection.query(sql`
      select n.nspname, c.relname, g.tgname
      from pg_trigger as g
      join pg_class as c on c.oid = g.tgrelid
      join pg_namespace as n on n.oid = c.relnamespace
      where (n.nspname, c.relname) in (
          select * from unnest(
            ${relations.map((each) => each.schema)}::text[],
            ${relations.map((each) => each.table)}::text[]
          )
        )
        -- clones go with the table's own
        and g.tgparentid = 0
        and g.tgname like 'tidemark\\_%'
      order by c.oid, g.tgname`)
      const drops: Sql[] = triggers.map(
        ([schema, table, name]) =>
          sql`drop trigger ${identifier(name as string)} on ${identifier(schema as string, table as string)}`,
      )
      const id = raw(String(hypertable.id))
      await connection.execute(
        join(
          [
            ...drops,
            sql`drop function if exists ${identifier('tidemark', `log_change_${hypertable.id}`)}()`,
            sql`drop function if exists ${identifier('tidemark', `log_row_${hypertable.id}`)}()`,
            sql`delete from tidemark.change_log where hypertable_id = ${id}`,
            sql`delete from tidemark.hypertable where id = ${id}`,
          ],
          ';\n',
        ),
      )
      // the table itself, and the default partition twice
      return relations.length - 2
    },
  )
  return { thawedChunks, thawedRows, partitions }
}

/** Their cells would stay as they are for ever, and their views would go on showing them. */
async function assertNoAggregates(db: Queryable, { definition, hypertable }: Subject): Promise<void> {
  const { rows } = await db.query(sql`
    select schema_name || '.' || table_name from tidemark.aggregate where hypertable_id = ${hypertable.id}::int order by 1`)
  const names = rows.map(([name]) => String(name))
  if (names.length === 0) return
  throw new TidemarkError('TM_MIGRATION', {
    problem: `continuous aggregates stand on ${definition.name}: ${names.join(', ')}`,
    todo: `take them away with their cells: ${names.map((name) => `select tidemark.drop_aggregate('${name}')`).join('; ')}`,
  })
}

function taken(table: string, chunk: bigint): TidemarkError<'TM_BUSY'> {
  return new TidemarkError('TM_BUSY', {
    what: `ejecting ${table}`,
    tries: 1,
    lastProblem: `chunk ${chunk} is being moved; stop the workers first`,
  })
}
