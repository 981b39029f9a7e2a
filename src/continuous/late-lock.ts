import type { Queryable } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { sql } from '../util/sql.ts'

type Named = Pick<HypertableDefinition, 'name'>

/**
 * Until the end of the transaction no chunk of the hypertable is dropped: what it has dropped, and which buckets are frozen by that, is
 * read after this. Any number of writers may hold it.
 */
export async function holdDrops(connection: Queryable, { name }: Named): Promise<void> {
  await connection.query(
    sql`select pg_advisory_xact_lock_shared(hashtextextended('tidemark.late ' || ${name}::text, 0))`,
  )
}

/**
 * Waits for those writers, in the transaction that drops a chunk: what they have written is seen from the next statement on. Not one of
 * them waits for what such a transaction holds once it has this, because writers take it after the locks of their partitions.
 */
export async function awaitWriters(connection: Queryable, { name }: Named): Promise<void> {
  await connection.query(
    sql`select pg_advisory_xact_lock(hashtextextended('tidemark.late ' || ${name}::text, 0))`,
  )
}
