import {
  type HypertableRecord,
  readTriggerState,
  type TableName,
  timestamptzText,
} from '../changelog/index.ts'
import type { Queryable } from '../postgres/index.ts'
import type { TimeRange } from '../time/index.ts'
import { identifier, join, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'

/**
 * The guards of cold rows (sql/000007_lake.sql): plain SQL that would be silently wrong, because rows of its range are
 * in the lake, fails with TM_COLD instead. Creating a trigger takes SHARE ROW EXCLUSIVE on its table; a guard that is
 * no longer wanted is disabled, not dropped, because DROP TRIGGER takes ACCESS EXCLUSIVE.
 */
export const guardNames = Object.freeze({
  table: 'tidemark_cold_table',
  chunk: 'tidemark_cold_chunk',
  key: 'tidemark_cold_key',
  default: 'tidemark_cold_default',
})

interface Guarded {
  readonly id: number
  /** As people know it. */
  readonly name: string
}

/** For the table itself. Once for each hypertable, before its first chunk becomes cold. */
export function guardTableSql(hypertable: Guarded & TableName): Sql {
  return triggerSql(hypertable, guardNames.table, 'before update or delete or truncate', 'each statement', [
    String(hypertable.id),
    hypertable.name,
  ])
}

/** For the default partition of a table with unique keys, before one of its cold chunks has no partition. */
export function guardDefaultSql(hypertable: Guarded & { readonly time: string }, partition: TableName): Sql {
  return triggerSql(partition, guardNames.default, 'before insert or update', 'each row', [
    String(hypertable.id),
    hypertable.name,
    hypertable.time,
  ])
}

/** For the partition of a chunk that becomes cold. `unique` as `uniqueColumns` gives it. */
export function guardChunkSql(
  hypertable: Guarded,
  partition: TableName,
  range: TimeRange,
  unique: UniqueColumns | null,
): Sql {
  const args = [
    String(hypertable.id),
    hypertable.name,
    timestamptzText(range.from),
    timestamptzText(range.to),
  ]
  const statement = triggerSql(
    partition,
    guardNames.chunk,
    'before update or delete or truncate',
    'each statement',
    args,
  )
  if (unique === null) return statement
  const row = triggerSql(partition, guardNames.key, 'before insert or update', 'each row', [
    ...args,
    ...unique.columns,
  ])
  return sql`${statement};\n${row}`
}

function triggerSql(on: TableName, name: string, event: string, each: string, args: readonly string[]): Sql {
  const relation = identifier(on.schema, on.table)
  const list = args.map((arg) => quoteLiteral(arg).trim()).join(', ')
  const functionName = name.replace('tidemark_', 'guard_')
  return sql`create or replace trigger ${raw(name)}
  ${raw(event)} on ${relation}
  for ${raw(each)} execute function tidemark.${raw(functionName)}(${raw(list)});
alter table only ${relation} enable always trigger ${raw(name)}`
}

/** The guards of a partition that there are; empty where there is nothing to disable. */
export async function disableGuardsSql(db: Queryable, partition: TableName): Promise<Sql | null> {
  const { rows } = await db.query(sql`
    select g.tgname
    from pg_trigger as g
    join pg_class as c on c.oid = g.tgrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = ${partition.schema}::text and c.relname = ${partition.table}::text
      and g.tgname = any (${[guardNames.chunk, guardNames.key]}::text[]) and g.tgenabled <> 'D'`)
  if (rows.length === 0) return null
  const relation = identifier(partition.schema, partition.table)
  return join(
    rows.map(([name]) => sql`alter table only ${relation} disable trigger ${identifier(name as string)}`),
    ';\n',
  )
}

export interface UniqueColumns {
  /** Of all unique indexes; empty where one is over an expression. */
  readonly columns: readonly string[]
}

/** The columns of unique indexes; null where there is none. From the database: the declaration may not know them all. */
export async function uniqueColumns(db: Queryable, relation: TableName): Promise<UniqueColumns | null> {
  const { rows } = await db.query(sql`
    select distinct a.attname, 0 = any (i.indkey::int2[])
    from pg_index as i
    join pg_class as c on c.oid = i.indrelid
    join pg_namespace as n on n.oid = c.relnamespace
    left join pg_attribute as a on a.attrelid = c.oid and a.attnum = any (i.indkey::int2[])
    where n.nspname = ${relation.schema}::text and c.relname = ${relation.table}::text and i.indisunique
    order by 1`)
  if (rows.length === 0) return null
  if (rows.some(([, hasExpression]) => hasExpression as boolean)) return { columns: [] }
  return { columns: rows.map(([name]) => name as string) }
}

/** Whether the guard of the table is there and fires always. Without it a flip must not happen. */
export async function hasTableGuard(db: Queryable, hypertable: HypertableRecord): Promise<boolean> {
  return hasGuard(db, hypertable, guardNames.table)
}

/** Whether a guard is there and fires always. */
export async function hasGuard(db: Queryable, relation: TableName, name: string): Promise<boolean> {
  return (await readTriggerState(db, relation, name)) === 'A'
}
