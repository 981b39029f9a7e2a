import { type Database, isRetryable } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { cellSchema } from './cell-table.ts'

/**
 * Drops tables of versions that nobody can read any more: every snapshot that is open sees that they were replaced, also those of
 * other roles, whose statements are hidden, and whose backend_xmin is not. A table that is in use at this moment stays for the
 * next time.
 */
export async function dropRetired(db: Database, definition: ContinuousAggregateDefinition): Promise<number> {
  const { rows } = await db.query(sql`
    select v.id, v.relation_name
    from tidemark.aggregate as a
    join tidemark.aggregate_version as v on v.aggregate_id = a.id
    where a.schema_name = ${definition.schema}::text and a.table_name = ${definition.table}::text
      and v.state = 'retired'
      and not exists (
        select from pg_stat_activity as s
        -- a standby that tells what it needs has no database
        where (s.datname = current_database() or s.datid is null) and s.pid <> pg_backend_pid()
          and s.backend_xmin is not null and age(s.backend_xmin) >= age(v.xmin)
      )`)
  let dropped = 0
  for (const [id, relation] of rows) {
    try {
      await db.transaction({ lockTimeoutMs: 200 }, async (connection) => {
        await connection.execute(sql`drop table if exists ${identifier(cellSchema, relation as string)}`)
        await connection.query(sql`delete from tidemark.aggregate_version where id = ${id}::int4`)
      })
      dropped += 1
    } catch (error) {
      if (!isRetryable(error)) throw error
    }
  }
  return dropped
}
