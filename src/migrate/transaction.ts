import { setTimeout as sleep } from 'node:timers/promises'
import { type Connection, type Database, sqlstateOf, type TransactionMode } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'

/** A transaction on a connection that is held anyway (Database.transaction would take a second one). */
export async function inTransaction<T>(
  connection: Connection,
  options: { readonly mode?: TransactionMode; readonly lockTimeoutMs: number },
  use: () => Promise<T>,
): Promise<T> {
  await connection.execute(
    `begin isolation level ${options.mode ?? 'read committed'}; set local lock_timeout = ${options.lockTimeoutMs}`,
  )
  let result: T
  try {
    result = await use()
  } catch (error) {
    // The first error says more than one of the rollback, which fails when the connection is lost.
    await connection.execute('rollback').catch(() => {})
    throw error
  }
  await connection.execute('commit')
  return result
}

export interface LockWait {
  readonly what: string
  /** ms */
  readonly waitMs: number
  readonly signal?: AbortSignal | null
}

/**
 * Lends a connection that holds a session-level advisory lock. It is asked for again and again instead of being
 * waited for: a session that waits inside a statement holds a snapshot, and CREATE INDEX CONCURRENTLY of the one
 * that has the lock waits for every older snapshot. Session-level locks do not work through PgBouncer in transaction
 * mode: migrate with a direct URL.
 */
export async function withMigrationLock<T>(
  db: Database,
  key: readonly [number, number],
  wait: LockWait,
  use: (connection: Connection) => Promise<T>,
): Promise<T> {
  const signal = wait.signal ?? null
  return db.withConnection(
    async (connection) => {
      const end = Date.now() + wait.waitMs
      for (let tries = 1; ; tries += 1) {
        const { rows } = await connection.query(
          sql`select pg_try_advisory_lock(${key[0]}::int4, ${key[1]}::int4)`,
        )
        if (rows[0]![0] === true) break
        if (Date.now() >= end)
          throw new TidemarkError('TM_BUSY', {
            what: wait.what,
            tries,
            lastProblem: `another process has been at it for more than ${wait.waitMs} ms`,
          })
        await sleep(20 + Math.random() * 80, undefined, signal ? { signal } : {}).catch(() => {})
        if (signal?.aborted)
          throw new TidemarkError('TM_CANCELLED', { what: wait.what }, { cause: signal.reason })
      }
      try {
        return await use(connection)
      } finally {
        // Fails only with a lost connection, and then the lock is gone, too.
        await connection
          .query(sql`select pg_advisory_unlock(${key[0]}::int4, ${key[1]}::int4)`)
          .catch(() => {})
      }
    },
    { signal },
  )
}

/** A lock that was not to be had within lock_timeout, or a deadlock with somebody else: try again. */
export function isLockProblem(error: unknown): boolean {
  const state = sqlstateOf(error)
  return state === '55P03' || state === '40P01' || state === '40001'
}
