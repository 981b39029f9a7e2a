import type { Connection, Database, QueryAnswer } from '../postgres/index.ts'
import type { ReadSnapshot } from '../query/index.ts'
import type { DatasetDefinition, HypertableDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { raw, type Sql, sql } from '../util/sql.ts'

/** A read snapshot of one PostgreSQL: an open REPEATABLE READ READ ONLY transaction, lent for the time of a call. */
export interface PostgresSnapshot extends ReadSnapshot {
  readonly kind: 'postgres'
  readonly database: Database
  readonly connection: Connection
  /** Runs a statement of a tier; it ends at the deadline, by the signal of the snapshot and by its own. */
  query(statement: Sql, signal: AbortSignal | null): Promise<QueryAnswer>
  /** The same for as long as no chunk of the hypertable comes, goes or moves; null when it is none. */
  catalogVersion(dataset: HypertableDefinition): Promise<string | null>
}

export interface ReadSnapshotOptions {
  /** ms for everything that is done with the snapshot; then what runs is cancelled and TM_TIMEOUT raised. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | null
  /** Whose rows may be seen (`tidemark.tenant`, SET LOCAL); null or absent: no tenant is set. */
  readonly tenant?: string | null
  /** What will be read: the version of its catalog comes with the snapshot, which saves a round trip. */
  readonly dataset?: DatasetDefinition | null
}

/**
 * Lends one moment of the database. BEGIN and its settings are one round trip, the snapshot another: about 0.2 ms with
 * the COMMIT.
 *
 * `takenAt` is when PostgreSQL received the statement that took the snapshot: everything committed before is seen.
 * JIT is off inside: compiling costs more than it saves on every query measured (bench/), because estimates of skip
 * scans are thousands of times too high.
 *
 * @example
 * await withReadSnapshot(db, { timeoutMs: 30_000 }, (snapshot) => tier.scan(request, { snapshot, signal: null }))
 *
 * @throws TidemarkError TM_TIMEOUT after `timeoutMs`, TM_CANCELLED by the signal; both have stopped the server's work.
 */
export async function withReadSnapshot<T>(
  db: Database,
  options: ReadSnapshotOptions,
  use: (snapshot: PostgresSnapshot) => Promise<T>,
): Promise<T> {
  const { timeoutMs } = options
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 1 || timeoutMs > 2_147_483_647)
    throw new TidemarkError('TM_CONFIG', {
      path: 'timeoutMs',
      problem: `must be a whole number of milliseconds from 1 to 2147483647, not ${timeoutMs}`,
    })
  // statement_timeout holds for one statement; the whole of them is watched from here.
  const deadline = new AbortController()
  const timer = setTimeout(() => {
    deadline.abort(new TidemarkError('TM_TIMEOUT', { what: 'the query', limitMs: timeoutMs }))
  }, timeoutMs)
  const signal = options.signal ? AbortSignal.any([options.signal, deadline.signal]) : deadline.signal
  try {
    return await db.transaction(
      { mode: 'repeatable read read only', statementTimeoutMs: timeoutMs, signal },
      async (connection) => use(await takeSnapshot(db, connection, options, signal)),
    )
  } finally {
    clearTimeout(timer)
  }
}

async function takeSnapshot(
  database: Database,
  connection: Connection,
  options: ReadSnapshotOptions,
  lent: AbortSignal,
): Promise<PostgresSnapshot> {
  const { tenant, dataset } = options
  const known = dataset?.kind === 'hypertable' ? dataset : null
  const { rows } = await connection.query(sql`
    select pg_current_snapshot(), statement_timestamp(), set_config('jit', 'off', true)
      ${known ? sql`, (${versionOf(known)})` : raw(', null::text')}
      ${tenant ? sql`, set_config('tidemark.tenant', ${tenant}::text, true)` : raw('')}`)
  const [id, takenAt, , version] = rows[0] as [string, Instant, string, string | null]
  const versions = new Map<string, Promise<string | null>>()
  if (known) versions.set(known.name, Promise.resolve(version))
  return {
    kind: 'postgres',
    id,
    takenAt,
    database,
    connection,
    query(statement, signal) {
      // one of its own would take the place of the connection's
      const own = signal && signal !== options.signal ? AbortSignal.any([lent, signal]) : lent
      return connection.query(statement, { signal: own })
    },
    catalogVersion(wanted) {
      let found = versions.get(wanted.name)
      if (!found) {
        found = connection.query(versionOf(wanted)).then((answer) => (answer.rows[0]?.[0] as string) ?? null)
        versions.set(wanted.name, found)
      }
      return found
    },
  }
}

/** Index: hypertable (schema_name, table_name). The id tells a table from another of its name that came after it. */
function versionOf(dataset: HypertableDefinition): Sql {
  return sql`
    select h.id::text || ':' || h.epoch::text
    from tidemark.hypertable h
    where h.schema_name = ${dataset.schema}::text and h.table_name = ${dataset.table}::text`
}

/** The PostgreSQL snapshot that a tier of PostgreSQL was given. */
export function postgresSnapshot(snapshot: ReadSnapshot): PostgresSnapshot {
  const candidate = snapshot as Partial<PostgresSnapshot>
  if (candidate.kind === 'postgres') return candidate as PostgresSnapshot
  throw new TidemarkError('TM_CONFIG', {
    path: 'snapshot',
    problem: 'the hot tier reads only in a snapshot that withReadSnapshot lent',
  })
}
