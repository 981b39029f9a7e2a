import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, type Database, isRetryable, sqlstateOf } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'

/** ms that somebody may have waited for the transaction; with the pause between two looks less than 200. */
const patienceMs = 100
const pauseMs = 40

/** Somebody waited for it: everything is as it was, and may be tried again. */
export class GaveWay extends Error {
  constructor(cause: unknown) {
    super(`a writer waited for it longer than ${patienceMs} ms`, { cause })
  }
}

/**
 * Runs the statements of a transaction, and cancels them when somebody waits for its locks: whoever updates a row that is
 * being deleted waits for all of the DELETE. A lock_timeout bounds only what the transaction itself waits for.
 *
 * The looks need a connection of their own; where the pool has none to spare, nobody looks.
 *
 * @throws GaveWay when that came about, or an administrator cancelled it.
 */
export async function givingWay<T>(db: Database, connection: Connection, work: () => Promise<T>): Promise<T> {
  const over = new AbortController()
  // kept until the work has ended, whose own error matters more
  const watching = watch(db, connection.processId, over.signal).then(
    () => null,
    (error: unknown) => ({ error }),
  )
  let result: T
  try {
    result = await work()
  } catch (error) {
    throw sqlstateOf(error) === '57014' ? new GaveWay(error) : error
  } finally {
    // Later than this the connection does something else, and must not be cancelled.
    over.abort()
    await watching
  }
  const problem = await watching
  if (problem !== null) throw problem.error
  return result
}

async function watch(db: Database, processId: number, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    try {
      await sleep(pauseMs, null, { signal: over })
      // A cancel that finds the process between two statements does nothing; the next look finds the waiter again.
      await db.query(
        sql`
          select pg_cancel_backend(${processId}::int4)
          where exists (
            select
            from pg_locks as l
            where not l.granted
              and l.waitstart < clock_timestamp() - ${patienceMs}::float8 * interval '1 millisecond'
              and ${processId}::int4 = any (pg_blocking_pids(l.pid))
          )`,
        { signal: over },
      )
    } catch (error) {
      // It is over, no connection is to spare, or the database is away, which the work finds out itself.
      const isRefused = sqlstateOf(error) !== null && !isRetryable(error)
      if (isRefused && !over.aborted) throw error
    }
  }
}
