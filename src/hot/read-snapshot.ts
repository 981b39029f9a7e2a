import {
  type Connection,
  type Database,
  isStaleStatement,
  type QueryAnswer,
  type Reading,
  type RowPieces,
} from '../postgres/index.ts'
import type { ReadSnapshot } from '../query/index.ts'
import type { DatasetDefinition, HypertableDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, raw, type Sql, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'

/** A read snapshot of one PostgreSQL: a REPEATABLE READ READ ONLY transaction, lent for the time of a call. */
export interface PostgresSnapshot extends ReadSnapshot {
  readonly kind: 'postgres'
  readonly database: Database
  confirm(): Promise<boolean>
  /** Runs a statement of a tier; it ends at the deadline, by the signal of the snapshot and by its own. */
  query(statement: Sql, signal: AbortSignal | null): Promise<QueryAnswer>
  /** The same for what is needed only by the time that the snapshot is confirmed: it travels with the first statement. */
  beside(statement: Sql, signal: AbortSignal | null): Promise<QueryAnswer>
  /** The same for an answer that is too large to be asked for at once. */
  cursor(statement: Sql, signal: AbortSignal | null): RowPieces
  /** The same for as long as no chunk of the hypertable comes, goes or moves; null when it is none. */
  catalogVersion(dataset: HypertableDefinition): Promise<string | null>
  /**
   * Whether a catalog of this version may be used. Before the snapshot is taken that is presumed, and `confirm` tells
   * whether it was right. Null when it has to be asked for.
   */
  isCatalog(dataset: HypertableDefinition, version: string): boolean | null
  /**
   * Goes on with what was true lately, while `check` asks the snapshot whether it is; `confirm` tells. False when nothing may
   * be presumed any more: then `check` was not called.
   */
  presume(check: () => Promise<boolean>): boolean
  /** Whether it has been taken, so that nothing may be presumed any more. */
  readonly isTaken: boolean
  /** Whether it was lent on behalf of a tenant, whose rows alone are asked for: in every query that uses it, and by row security. */
  readonly isOnBehalf: boolean
}

export interface ReadSnapshotOptions {
  /** ms for everything that is done with the snapshot; then what runs is cancelled and TM_TIMEOUT raised. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | null
  /**
   * On whose behalf: every statement runs as the role `tidemark_tenant`, which row security shows the rows of this tenant alone; ''
   * is nobody. Null or absent: as the engine's own login. Both settings are the transaction's, so they end with it.
   */
  readonly tenant?: string | null
  /** What will be read: the version of its catalog comes with the snapshot, which saves a round trip. */
  readonly dataset?: DatasetDefinition | null
  /**
   * `at once`, or together with the first statement, which saves a round trip: what is read before that must be
   * confirmed (`executeQuery` does), and `id` and `takenAt` are known only then. Default `at once`.
   */
  readonly taken?: 'at once' | 'with the first statement'
}

/**
 * Lends one moment of the database: docs/decisions/0008-one-round-trip.md.
 *
 * `takenAt` is when PostgreSQL received BEGIN, just before the snapshot: everything committed before is seen.
 * JIT is off inside: compiling costs more than it saves on every query measured (bench/), because estimates of skip
 * scans are thousands of times too high.
 *
 * @example
 * await withReadSnapshot(db, { timeoutMs: 30_000 }, (snapshot) => tier.scan(request, { snapshot, signal: null }))
 *
 * `use` is called again, with another snapshot that is taken at once, when a presumed catalog was wrong and the transaction had
 * failed by then, or a statement that the connection kept parsed was gone or gives other columns.
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
  const known = options.dataset?.kind === 'hypertable' ? options.dataset : null
  let lent: LentSnapshot | null = null
  const lend = (taken: ReadSnapshotOptions['taken']): Promise<T> =>
    db.reading(
      { opening: openingSql(known, options.tenant ?? null), statementTimeoutMs: timeoutMs, signal },
      async (reading) => {
        const snapshot = new LentSnapshot(db, reading, options, known, signal)
        lent = snapshot
        if (taken !== 'with the first statement') await snapshot.confirm()
        return use(snapshot)
      },
    )
  try {
    try {
      return await lend(options.taken)
    } catch (error) {
      // An old catalog named a file that is gone, and what ran beside it was cancelled: this transaction cannot read again. Nor can one
      // in which a statement that was kept parsed had been thrown away.
      const isMisled = (lent as LentSnapshot | null)?.isMisled === true
      if (signal.aborted || !(isMisled || isStaleStatement(error))) throw error
      return await lend('at once')
    }
  } finally {
    clearTimeout(timer)
  }
}

/**
 * The snapshot of a transaction that also writes: what is read and what is made of it are of one moment. `connection` is in a
 * REPEATABLE READ transaction of `db`, which has to outlive what is read.
 *
 * @example
 * await db.transaction({ mode: 'repeatable read' }, async (connection) => {
 *   const snapshot = await snapshotOf(db, connection, { dataset: cpu })
 *   await executeQuery(node, { tiers, snapshot, clock, signal: null, limits })
 * })
 */
export async function snapshotOf(
  db: Database,
  connection: Connection,
  {
    dataset,
    signal = null,
  }: { readonly dataset: HypertableDefinition; readonly signal?: AbortSignal | null },
): Promise<PostgresSnapshot> {
  const opening = await connection.query(openingSql(dataset, null), { signal })
  const reading: Reading = {
    query: (statement, options) => connection.query(statement, options),
    beside: (statement, options) => connection.query(statement, options),
    cursor: (statement, options) => connection.cursor(statement, options),
    open: async () => opening,
  }
  const lent = signal ?? new AbortController().signal
  const snapshot = new LentSnapshot(db, reading, { timeoutMs: 0, signal }, dataset, lent)
  await snapshot.confirm()
  return snapshot
}

/** Whether a version of a hypertable's catalog (`catalogVersion`) says that its role may see every row. */
export function seesAllRows(version: string | null): boolean {
  return version?.endsWith(`:${rights.all}`) ?? false
}

/** What queries on behalf of a tenant run as; made by the catalog (sql/000017_tenants.sql). */
const tenantRole = 'tidemark_tenant'

/**
 * Takes the snapshot: the first statement of its transaction, so `now()` is not after it. The role comes last: outputs are computed
 * from left to right, and the version tells the rights of the login, which are what is cached for all tenants.
 */
function openingSql(dataset: HypertableDefinition | null, tenant: string | null): Sql {
  return sql`
    select pg_current_snapshot(), now(), set_config('jit', 'off', true)
      ${dataset ? sql`, (${versionOf(dataset)})` : raw(', null::text')}
      ${
        tenant === null
          ? raw('')
          : sql`, set_config('tidemark.tenant', ${tenant}::text, true), set_config('role', ${tenantRole}::text, true)`
      }`
}

interface Opening {
  readonly id: string
  readonly takenAt: Instant
  readonly version: string | null
}

class LentSnapshot implements PostgresSnapshot {
  readonly kind = 'postgres'
  readonly database: Database
  readonly #reading: Reading
  readonly #options: ReadSnapshotOptions
  readonly #dataset: HypertableDefinition | null
  readonly #lent: AbortSignal
  readonly #versions = new Map<string, Promise<string | null>>()
  #opening: Opening | null = null
  /** Asked once: a refusal is the last thing that its transaction answers. */
  #admission: Promise<unknown> | null = null
  /** A version that was taken for that of `#dataset` before it was known. */
  #presumed: string | null = null
  readonly #checks: Promise<boolean>[] = []
  #hasFailed = false
  #isMisled = false

  constructor(
    database: Database,
    reading: Reading,
    options: ReadSnapshotOptions,
    dataset: HypertableDefinition | null,
    lent: AbortSignal,
  ) {
    this.database = database
    this.#reading = reading
    this.#options = options
    this.#dataset = dataset
    this.#lent = lent
  }

  get id(): string {
    return this.#taken.id
  }

  get isTaken(): boolean {
    return this.#opening !== null
  }

  get isOnBehalf(): boolean {
    return (this.#options.tenant ?? null) !== null
  }

  get takenAt(): Instant {
    return this.#taken.takenAt
  }

  get #taken(): Opening {
    return this.#opening ?? unreachable('a snapshot was looked at before it was taken; await confirm() first')
  }

  readonly confirm = async (): Promise<boolean> => {
    const presumed = this.#presumed
    this.#presumed = null
    const { version } = await this.#open().catch((error: unknown) => {
      // the first statement has failed, so nobody knows
      this.#isMisled = presumed !== null
      throw error
    })
    const isSame = presumed === null || presumed === version
    const areRight = await Promise.all(this.#checks.splice(0))
    const isRight = isSame && !areRight.includes(false)
    // in a failed transaction nothing can be read again
    if (this.#hasFailed && !isRight) this.#isMisled = true
    return this.#hasFailed || isRight
  }

  /** Whether it was read with a catalog that may not be the snapshot's, and cannot be read again. */
  get isMisled(): boolean {
    return this.#isMisled
  }

  readonly query = (statement: Sql, signal: AbortSignal | null): Promise<QueryAnswer> =>
    this.#noting(this.#reading.query(statement, { signal: this.#signalFor(signal) }))

  readonly beside = (statement: Sql, signal: AbortSignal | null): Promise<QueryAnswer> =>
    this.#noting(this.#reading.beside(statement, { signal: this.#signalFor(signal) }))

  readonly cursor = (statement: Sql, signal: AbortSignal | null): RowPieces => {
    const cursor = this.#reading.cursor(statement, { signal: this.#signalFor(signal) })
    return { next: (count) => this.#noting(cursor.next(count)) }
  }

  /** One of its own would take the place of the connection's. */
  #signalFor(signal: AbortSignal | null): AbortSignal {
    return signal && signal !== this.#options.signal ? AbortSignal.any([this.#lent, signal]) : this.#lent
  }

  async #noting<T>(statement: Promise<T>): Promise<T> {
    try {
      return await statement
    } catch (error) {
      this.#hasFailed = true
      throw error
    }
  }

  readonly catalogVersion = (dataset: HypertableDefinition): Promise<string | null> => {
    let found = this.#versions.get(dataset.name)
    if (!found) {
      found =
        dataset.name === this.#dataset?.name
          ? this.#open().then(({ version }) => version)
          : this.query(versionOf(dataset), null).then(({ rows }) =>
              this.#admit(dataset, (rows[0]?.[0] as string | undefined) ?? null),
            )
      this.#versions.set(dataset.name, found)
    }
    return found
  }

  readonly isCatalog = (dataset: HypertableDefinition, version: string): boolean | null => {
    if (dataset.name !== this.#dataset?.name) return null
    if (this.#opening) return this.#opening.version === version
    if (this.#presumed !== null && this.#presumed !== version) return null
    this.#presumed = version
    return true
  }

  readonly presume = (check: () => Promise<boolean>): boolean => {
    if (this.#opening) return false
    const checked = check()
    // whoever confirms hears of it; when nobody does, the statements have failed
    checked.catch(() => undefined)
    this.#checks.push(checked)
    return true
  }

  async #open(): Promise<Opening> {
    const { rows } = await this.#reading.open()
    const [id, takenAt, , version] = rows[0] as [string, Instant, string, string | null]
    this.#opening ??= { id, takenAt, version }
    if (this.#dataset !== null) this.#admission ??= this.#admit(this.#dataset, version)
    await this.#admission
    return this.#opening
  }

  /**
   * Who may not read the table gets nothing of it, wherever its rows are: PostgreSQL is asked for a row, so that it refuses
   * the query in its own words, also where no row of it would be asked for here.
   */
  async #admit(dataset: HypertableDefinition, version: string | null): Promise<string | null> {
    if (version?.endsWith(`:${rights.none}`))
      await this.query(sql`select from ${identifier(dataset.schema, dataset.table)} where false`, null)
    return version
  }
}

/** What the role may see of a hypertable: a part of its version, so that nothing cached outlives a grant. */
const rights = Object.freeze({ all: 'all', some: 'some', none: 'none' })

/**
 * Index: hypertable (schema_name, table_name). The id tells a table from another of its name that came after it; the start of the
 * server a history that a failover took back; the reset of its statistics one that a crash took back, which the postmaster
 * outlives; the rights whether what was cached may be seen by this role: `some` where a policy or a grant of single columns
 * limits it.
 */
function versionOf(dataset: HypertableDefinition): Sql {
  return sql`
    select concat_ws(
      ':', h.id, h.epoch,
      extract(epoch from pg_postmaster_start_time()),
      extract(epoch from pg_stat_get_bgwriter_stat_reset_time()),
      case
        when not has_any_column_privilege(t.name, 'select') then ${rights.none}::text
        when row_security_active(t.name) then ${rights.some}::text
        when has_table_privilege(t.name, 'select') then ${rights.all}::text
        else ${rights.some}::text
      end
    )
    from tidemark.hypertable h
    cross join lateral (select format('%I.%I', h.schema_name, h.table_name) as name) t
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
