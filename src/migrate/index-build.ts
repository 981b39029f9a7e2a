import { createHash } from 'node:crypto'
import { type Connection, retry } from '../postgres/index.ts'
import type { IndexDefinition, StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, printSqlInline, sql } from '../util/sql.ts'
import { createIndexSql, fitName, relationName, text } from './table-ddl.ts'
import { inTransaction, isLockProblem } from './transaction.ts'

export interface IndexBuildOptions {
  readonly lockTimeoutMs: number
  readonly tries: number
  readonly signal: AbortSignal | null
}

interface FoundIndex {
  readonly schema: string
  readonly name: string
  readonly isValid: boolean
}

/**
 * Makes an index while rows are written. On a hypertable PostgreSQL has no CONCURRENTLY: the index is made on the
 * parent alone (it is not valid then), concurrently on each partition, and attached; with the last one it becomes
 * valid. Chunks that are attached meanwhile bring theirs along. Can be killed anywhere and run again: what is valid is
 * used, what is not is dropped and made anew.
 *
 * @returns the statements that were run.
 */
export async function buildIndex(
  connection: Connection,
  definition: StoredDefinition,
  index: IndexDefinition,
  options: IndexBuildOptions,
): Promise<string[]> {
  const statements: string[] = []
  const table = relationName(definition)
  const short = async (statement: string) => {
    await retry(
      {
        what: `making the index ${index.name}`,
        tries: options.tries,
        signal: options.signal,
        isRetryable: isLockProblem,
      },
      () => inTransaction(connection, options, () => connection.execute(statement)),
    )
    statements.push(statement)
  }
  const concurrent = async (statement: string) => {
    await connection.execute(statement)
    statements.push(statement)
  }
  const dropLeftover = async (found: FoundIndex) => {
    await assertNotBeingBuilt(connection, found)
    await concurrent(text(sql`drop index concurrently ${identifier(found.schema, found.name)}`))
  }

  const existing = await findIndex(connection, definition.schema, index.name)
  if (definition.kind === 'table') {
    if (existing && !existing.isValid) await dropLeftover(existing)
    await concurrent(text(createIndexSql(index, table, { name: index.name, concurrently: true })))
    return statements
  }

  if (!existing) await short(text(createIndexSql(index, table, { name: index.name, only: true })))
  for (const partition of await partitionsWithout(connection, definition, index.name)) {
    const on = identifier(partition.schema, partition.table)
    const name = partitionIndexName(partition.table, index.name)
    const found = await findIndex(connection, partition.schema, name)
    if (found && !found.isValid) await dropLeftover(found)
    if (!found?.isValid) await concurrent(text(createIndexSql(index, on, { name, concurrently: true })))
    const parent = identifier(definition.schema, index.name)
    await short(text(sql`alter index ${parent} attach partition ${identifier(partition.schema, name)}`))
  }
  return statements
}

/** The same each time, so that what a killed run left behind is found again. */
function partitionIndexName(partition: string, index: string): string {
  return fitName(partition, `_${createHash('sha256').update(index).digest('hex').slice(0, 8)}_idx`)
}

async function findIndex(connection: Connection, schema: string, name: string): Promise<FoundIndex | null> {
  const { rows } = await connection.query(sql`
    select i.indisvalid
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = ${schema}::text and c.relname = ${name}::text`)
  return rows[0] ? { schema, name, isValid: rows[0][0] as boolean } : null
}

/** An invalid index is a leftover, unless somebody is building it at this moment. */
async function assertNotBeingBuilt(connection: Connection, index: FoundIndex): Promise<void> {
  const { rows } = await connection.query(sql`
    select pid
    from pg_stat_progress_create_index
    where index_relid = ${printSqlInline(identifier(index.schema, index.name))}::regclass`)
  if (rows[0])
    throw new TidemarkError('TM_BUSY', {
      what: `making the index ${index.name}`,
      tries: 1,
      lastProblem: `process ${rows[0][0]} is building it`,
    })
}

async function partitionsWithout(
  connection: Connection,
  definition: StoredDefinition,
  index: string,
): Promise<{ readonly schema: string; readonly table: string }[]> {
  const parent = printSqlInline(relationName(definition))
  const parentIndex = printSqlInline(identifier(definition.schema, index))
  const { rows } = await connection.query(sql`
    select n.nspname, c.relname
    from pg_inherits as p
    join pg_class as c on c.oid = p.inhrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where p.inhparent = ${parent}::regclass
      and not exists (
        select
        from pg_index as i
        join pg_inherits as a on a.inhrelid = i.indexrelid
        where i.indrelid = c.oid and a.inhparent = ${parentIndex}::regclass
      )
    order by c.oid`)
  return rows.map(([schema, table]) => ({ schema: schema as string, table: table as string }))
}
