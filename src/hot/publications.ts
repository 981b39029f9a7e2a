import type { TableName } from '../changelog/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'

/** The first publication that sends what is inserted into the table, or into that partition by itself; null: none. */
export async function publicationOfInserts(
  db: Queryable,
  table: TableName,
  partition: TableName,
): Promise<string | null> {
  const { rows } = await db.query(sql`
    select p.pubname
    from pg_publication as p
    join pg_publication_tables as t on t.pubname = p.pubname
    where p.pubinsert
      and (t.schemaname, t.tablename) in (
        (${table.schema}::text, ${table.table}::text), (${partition.schema}::text, ${partition.table}::text)
      )
    order by 1
    limit 1`)
  return (rows[0]?.[0] as string | undefined) ?? null
}
