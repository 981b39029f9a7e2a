import { hostname } from 'node:os'
import type { Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'

/** Notes that a worker of this process lives, and forgets those that nobody has heard of for an hour. */
export async function sayAlive(db: Queryable, id: string): Promise<void> {
  await db.query(sql`
    with gone as (
      delete from tidemark.worker where seen_at < clock_timestamp() - interval '1 hour' and id <> ${id}::text
    )
    insert into tidemark.worker (id, host, process_id)
    values (${id}::text, ${hostname()}::text, ${process.pid}::int4)
    on conflict (id) do update
    set seen_at = clock_timestamp()`)
}

/** It has stopped in order. */
export async function forgetWorker(db: Queryable, id: string): Promise<void> {
  await db.query(sql`delete from tidemark.worker where id = ${id}::text`)
}
