import { TidemarkError } from '../util/errors.ts'
import { raw, type Sql } from '../util/sql.ts'
import { type BatchItem, batchItem, rowPieces } from './batch.ts'
import type { ServerConnection } from './connection.ts'
import type {
  Connection,
  Database,
  PoolCounts,
  QueryAnswer,
  QueryOptions,
  Reading,
  ReadingOptions,
  RowPieces,
  TransactionMode,
  TransactionOptions,
} from './contract.ts'
import { Pool } from './pool.ts'
import { cancelledError } from './translate-error.ts'

export interface DatabaseOptions {
  /** `postgres://user:password@host:5432/database`. PgBouncer in transaction mode is fine. */
  readonly connectionString: string
  /** Connections at most; default 10. Each costs the server some megabytes and a process. */
  readonly max?: number
  /** Shown in pg_stat_activity; default `tidemark`. */
  readonly applicationName?: string
  /** ms to reach the server and log in; default 10,000. */
  readonly connectTimeoutMs?: number
  /** ms a call waits for a connection of the pool before TM_TIMEOUT; default 30,000. */
  readonly acquireTimeoutMs?: number
  /** Calls that may wait for a connection before TM_BUSY; default 1,000. Each holds its arguments in memory. */
  readonly maxWaiting?: number
  /** ms after which an unused connection is closed; default 30,000. */
  readonly idleTimeoutMs?: number
  /** ms in which a cancelled statement must end before its connection is cut; default 5,000. */
  readonly cancelTimeoutMs?: number
  /** ms that close() waits for what is lent before it cuts it; default 10,000. */
  readonly closeTimeoutMs?: number
}

const databaseDefaults = Object.freeze({
  max: 10,
  applicationName: 'tidemark',
  connectTimeoutMs: 10_000,
  acquireTimeoutMs: 30_000,
  maxWaiting: 1_000,
  idleTimeoutMs: 30_000,
  cancelTimeoutMs: 5_000,
  closeTimeoutMs: 10_000,
}) satisfies Readonly<Required<Omit<DatabaseOptions, 'connectionString'>>>

function settle(options: DatabaseOptions): Readonly<Required<DatabaseOptions>> {
  const settings = { ...databaseDefaults, ...withoutUndefined(options) }
  if (typeof settings.connectionString !== 'string' || settings.connectionString === '')
    throw new TidemarkError('TM_CONFIG', { path: 'connectionString', problem: 'is missing' })
  for (const [path, value] of Object.entries(settings)) {
    if (typeof databaseDefaults[path as keyof typeof databaseDefaults] !== 'number') continue
    const number = value as number
    if (!Number.isInteger(number) || number < 1 || number > 2147483647)
      throw new TidemarkError('TM_CONFIG', {
        path,
        problem: `must be a whole number from 1 to 2147483647, not ${String(value)}`,
      })
  }
  return Object.freeze(settings)
}

function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

/**
 * A pool of connections to one PostgreSQL. Nothing is connected before the first call.
 *
 * @example
 * const db = createDatabase({ connectionString: 'postgres://localhost/app' })
 * const { rows } = await db.query(sql`select count(*) from cpu where time >= ${from}::timestamptz`)
 * await db.close()
 *
 * Errors: TM_CONFIG for wrong options; the calls give TM_CONNECT, TM_TIMEOUT, TM_CANCELLED, TM_BUSY,
 * TM_DUPLICATE_KEY, TM_CONSTRAINT, TM_COMMIT_UNKNOWN and TM_DATABASE, with PostgreSQL's own error as `cause`.
 */
export function createDatabase(options: DatabaseOptions): Database & { readonly pool: PoolCounts } {
  return new PooledDatabase(options)
}

class PooledDatabase implements Database {
  readonly #pool: Pool
  #version: number | null = null

  constructor(options: DatabaseOptions) {
    this.#pool = new Pool(settle(options))
  }

  query(statement: Sql, options: QueryOptions = {}): Promise<QueryAnswer> {
    return this.#lend(options.signal ?? null, (connection) => connection.query(statement, options))
  }

  execute(script: string | Sql): Promise<void> {
    return this.#lend(null, (connection) => connection.execute(script))
  }

  withConnection<T>(
    use: (connection: Connection) => Promise<T>,
    options: { signal?: AbortSignal | null } = {},
  ): Promise<T> {
    const signal = options.signal ?? null
    return this.#lend(signal, (connection) => {
      connection.ambientSignal = signal
      return useLent(connection, use)
    })
  }

  transaction<T>(options: TransactionOptions, use: (connection: Connection) => Promise<T>): Promise<T> {
    return this.#lend(options.signal ?? null, async (connection) => {
      await connection.begin(beginScript(options))
      connection.statementTimeoutMs = options.statementTimeoutMs ?? null
      connection.ambientSignal = options.signal ?? null
      let result: T
      try {
        result = await useLent(connection, use)
        if (options.signal?.aborted) throw cancelledError(options.signal, 'the transaction')
      } catch (error) {
        await rollback(connection)
        throw error
      }
      connection.ambientSignal = null
      await commit(connection)
      return result
    })
  }

  async reading<T>(options: ReadingOptions, use: (reading: Reading) => Promise<T>): Promise<T> {
    const signal = options.signal ?? null
    const statementTimeout = timeoutSetting('statement_timeout', options.statementTimeoutMs)
    const connection = await this.#pool.acquire(signal)
    connection.statementTimeoutMs = options.statementTimeoutMs
    connection.ambientSignal = signal
    const reading = new LentReading(connection, raw(statementTimeout), options.opening)
    let result: T
    try {
      result = await use(reading)
      reading.end()
      if (signal?.aborted) throw cancelledError(signal, 'the transaction')
      connection.ambientSignal = null
      // Where a statement has failed or still runs there is something to wait for, and perhaps an error.
      if (reading.hasBegun && !(connection.isQuiet && connection.status === 'T')) await commit(connection)
    } catch (error) {
      if (reading.hasBegun) await rollback(connection)
      this.#pool.release(connection)
      throw error
    } finally {
      reading.end()
    }
    if (connection.status === 'T') this.#pool.releaseAfter(connection, commit(connection))
    else this.#pool.release(connection)
    return result
  }

  get pool(): PoolCounts {
    return this.#pool.counts
  }

  async serverVersion(): Promise<number> {
    if (this.#version === null) {
      const answer = await this.query(raw(`select current_setting('server_version_num')::int4`))
      this.#version = answer.rows[0]![0] as number
    }
    return this.#version
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  async #lend<T>(signal: AbortSignal | null, use: (connection: ServerConnection) => Promise<T>): Promise<T> {
    const connection = await this.#pool.acquire(signal)
    try {
      return await use(connection)
    } finally {
      this.#pool.release(connection)
    }
  }
}

/** Lends a face of the connection that stops working when it is given back. */
async function useLent<T>(
  connection: ServerConnection,
  use: (connection: Connection) => Promise<T>,
): Promise<T> {
  let isLent = true
  const check = () => {
    if (!isLent) throw usedTooLate()
  }
  try {
    return await use({
      processId: connection.processId,
      async query(statement, options) {
        check()
        return connection.query(statement, options)
      },
      async execute(script) {
        check()
        return connection.execute(script)
      },
      async copyFrom(statement, source, options) {
        check()
        return connection.copyFrom(statement, source, options)
      },
      copyTo(statement, options) {
        check()
        return connection.copyTo(statement, options)
      },
      cursor(statement, options) {
        check()
        return connection.cursor(statement, options)
      },
    })
  } finally {
    isLent = false
  }
}

function usedTooLate(): TidemarkError {
  return new TidemarkError('TM_DATABASE', {
    sqlstate: '08003',
    problem: 'a connection was used after it was given back; await everything inside the callback',
  })
}

/** Statements that travel together, because they were asked for before any of them could be sent. */
interface Trip {
  readonly items: BatchItem[]
  readonly signal: AbortSignal | null
  readonly done: Promise<void>
}

/** Begins with the first thing that is asked. */
class LentReading implements Reading {
  readonly #connection: ServerConnection
  readonly #settings: Sql
  readonly #opening: BatchItem
  #isLent = true
  /** The first round trip has been sent. */
  #hasBegun = false
  #begun: Promise<void> | null = null
  /** What goes with it. */
  readonly #beside: { readonly item: BatchItem; readonly settle: (begun: Promise<void>) => void }[] = []
  /** What will be sent next. */
  #next: Trip | null = null

  constructor(connection: ServerConnection, settings: Sql, opening: Sql) {
    this.#connection = connection
    this.#settings = settings
    this.#opening = batchItem(opening, { isRepeated: true })
  }

  get hasBegun(): boolean {
    return this.#hasBegun
  }

  async query(statement: Sql, options: QueryOptions = {}): Promise<QueryAnswer> {
    const item = batchItem(statement)
    await this.#ask(item, options)
    return item.answer
  }

  async beside(statement: Sql, options: QueryOptions = {}): Promise<QueryAnswer> {
    this.#check()
    const item = batchItem(statement)
    if (this.#hasBegun) await this.#ask(item, options)
    else await new Promise<void>((settle) => this.#beside.push({ item, settle }))
    return item.answer
  }

  cursor(statement: Sql, options: QueryOptions = {}): RowPieces {
    return rowPieces(statement, (item) => this.#ask(item, options))
  }

  async open(): Promise<QueryAnswer> {
    this.#check()
    await (this.#begun ?? this.#schedule(null).done)
    return this.#opening.answer
  }

  /** What has not been sent never will be. */
  end(): void {
    this.#isLent = false
  }

  async #ask(item: BatchItem, options: QueryOptions): Promise<void> {
    this.#check()
    // what holds for the whole reading is watched anyway
    const own = options.signal ?? null
    const signal = own === this.#connection.ambientSignal ? null : own
    const trip = this.#next?.signal === signal ? this.#next : this.#schedule(signal)
    trip.items.push(item)
    await trip.done
  }

  #check(): void {
    if (!this.#isLent) throw usedTooLate()
  }

  /** Everything that is asked before the process comes to rest goes at once; in a failed transaction nothing would be left to ask. */
  #schedule(signal: AbortSignal | null): Trip {
    const items: BatchItem[] = []
    const before = this.#begun
    const sent = new Promise<void>((resolve) => process.nextTick(resolve))
    const done = sent.then(() => {
      if (this.#next === trip) this.#next = null
      this.#check()
      if (!before) return this.#begin(items, { signal })
      // Had BEGIN failed, the statements would see a snapshot of their own.
      return before.then(() => this.#connection.runBatch(items, { signal }))
    })
    const trip: Trip = { items, signal, done }
    // Whoever asks next gets the error, too; it need not be anyone.
    done.catch(() => {})
    this.#begun ??= done
    this.#next = trip
    return trip
  }

  #begin(items: readonly BatchItem[], options: QueryOptions): Promise<void> {
    this.#hasBegun = true
    const beside = this.#beside.splice(0)
    const first = [batchItem(this.#settings), this.#opening, ...beside.map(({ item }) => item), ...items]
    const begun = this.#connection.beginReading(modeClauses['repeatable read read only'], first, options)
    for (const { settle } of beside) settle(begun)
    return begun
  }
}

const modeClauses: Readonly<Record<TransactionMode, string>> = {
  'read committed': 'isolation level read committed read write',
  'repeatable read': 'isolation level repeatable read read write',
  'repeatable read read only': 'isolation level repeatable read read only',
  serializable: 'isolation level serializable read write',
}

/** One round trip. SET LOCAL only: a session setting would leak to the next client behind PgBouncer. */
function beginScript(options: TransactionOptions): string {
  const script = [`begin ${modeClauses[options.mode ?? 'read committed']}`]
  if (options.lockTimeoutMs !== undefined) script.push(timeoutSetting('lock_timeout', options.lockTimeoutMs))
  if (options.statementTimeoutMs !== undefined)
    script.push(timeoutSetting('statement_timeout', options.statementTimeoutMs))
  return script.join('; ')
}

function timeoutSetting(setting: string, value: number): string {
  if (!Number.isInteger(value) || value < 0 || value > 2147483647)
    throw new TidemarkError('TM_CONFIG', {
      path: setting,
      problem: `must be a whole number of milliseconds from 0 to 2147483647, not ${value}`,
    })
  return `set local ${setting} = ${value}`
}

async function commit(connection: ServerConnection): Promise<void> {
  let tag: string
  try {
    tag = await connection.executeTagged('commit')
  } catch (error) {
    if (connection.isLost)
      throw new TidemarkError('TM_COMMIT_UNKNOWN', { target: connection.target }, { cause: error })
    throw error
  }
  // PostgreSQL answers COMMIT with ROLLBACK, and no error, when a statement had failed before.
  if (tag !== 'COMMIT')
    throw new TidemarkError('TM_DATABASE', {
      sqlstate: '25P02',
      problem: 'a statement of the transaction had failed, so the commit became a rollback',
    })
}

/** The error that led here matters more than one of the rollback: then the connection is not clean and is closed. */
async function rollback(connection: ServerConnection): Promise<void> {
  if (connection.isLost) return
  connection.ambientSignal = null
  await connection.execute('rollback').catch(() => connection.destroy())
}
