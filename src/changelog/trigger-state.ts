import type { Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'
import type { TableName } from './hypertable.ts'

/** pg_trigger.tgenabled of one trigger: 'A' fires always, 'D' is disabled; null: the table has none of this name. */
export async function readTriggerState(
  db: Queryable,
  table: TableName,
  name: string,
): Promise<string | null> {
  const { rows } = await db.query(sql`
    select g.tgenabled::text
    from pg_trigger as g
    join pg_class as c on c.oid = g.tgrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = ${table.schema}::text and c.relname = ${table.table}::text and g.tgname = ${name}::text`)
  return (rows[0]?.[0] as string | undefined) ?? null
}
