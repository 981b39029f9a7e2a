import { mkdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import type { DuckDBConnection, DuckDBInstance, DuckDBValue } from '@duckdb/node-api'
import { infinityInstant, minusInfinityInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { printSql, type Sql } from '../util/sql.ts'

export interface DuckDBOptions {
  /** Bytes that queries may hold; beyond it they spill to `temporaryDir`. Default: a quarter of the machine's memory. */
  readonly memoryBytes?: number
  /** Default: the machine's cores. */
  readonly threads?: number
  /** Where it spills; made when it is not there. Default: it does not, and a query that needs more fails. */
  readonly temporaryDir?: string
}

export interface DuckDBAnswer {
  /**
   * One array a row. Integers of 64 bits and more bigint, smaller ones and floats number, DECIMAL its decimal string, TIMESTAMPTZ
   * and TIMESTAMP bigint microseconds, DATE PostgreSQL's text, UUID string, BLOB Uint8Array, LIST array, STRUCT an
   * object by field, SQL NULL null.
   * Infinite times are those of src/time, infinite dates `infinity` and `-infinity`.
   */
  readonly rows: readonly (readonly unknown[])[]
}

/** An embedded DuckDB in memory. It starts when it is first asked; it can read files, and is asked only what src/lake writes. */
export interface DuckDB {
  /** Runs one statement; `signal` interrupts it. Statements run at once, each on a connection of its own. */
  query(statement: Sql, signal: AbortSignal | null): Promise<DuckDBAnswer>
  /** Lends a connection, for appenders, streams and temporary tables; temporary tables have to be dropped by the caller. */
  withConnection<T>(signal: AbortSignal | null, use: (connection: DuckDBConnection) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/**
 * @example
 * const duckdb = createDuckDB({ threads: 2 })
 * const { rows } = await duckdb.query(sql`select sum(x) from range(${10}::bigint) t(x)`, null) // [[45n]]
 */
export function createDuckDB(options: DuckDBOptions = {}): DuckDB {
  let starting: Promise<DuckDBInstance> | null = null
  let closed = false
  const idle: DuckDBConnection[] = []
  const lent = new Set<Promise<unknown>>()

  async function start(): Promise<DuckDBInstance> {
    const { DuckDBInstance } = loadDuckDB()
    if (options.temporaryDir !== undefined) mkdirSync(options.temporaryDir, { recursive: true })
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(options.threads ?? availableParallelism()),
      memory_limit: `${Math.floor((options.memoryBytes ?? totalmem() / 4) / 1024)}KiB`,
      temp_directory: options.temporaryDir ?? '',
    })
    const connection = await instance.connect()
    // the machine's zone must never decide; as an option above it is refused
    await connection.run("set global TimeZone = 'UTC'")
    // Files never change: their footers are parsed once (1.2 instead of 1.7 ms for a small query of one file).
    await connection.run('set global parquet_metadata_cache = true')
    connection.closeSync()
    return instance
  }

  async function lend<T>(
    signal: AbortSignal | null,
    use: (connection: DuckDBConnection) => Promise<T>,
  ): Promise<T> {
    if (closed) throw new TidemarkError('TM_CONFIG', { path: 'duckdb', problem: 'it is closed' })
    if (signal?.aborted) throw reasonOf(signal)
    starting ??= start().catch((error: unknown) => {
      // a disk that is full now, or a folder that is not there yet: it is tried again
      starting = null
      throw error
    })
    const connection = idle.pop() ?? (await (await starting).connect())
    // again and again: an interrupt that comes before a statement has begun is forgotten
    let again: NodeJS.Timeout | undefined
    const stop = (): void => {
      connection.interrupt()
      again = setInterval(() => connection.interrupt(), interruptEveryMs)
    }
    signal?.addEventListener('abort', stop, { once: true })
    // What failed has perhaps left a temporary table: an interrupt also hits the statement that was to drop it.
    let isClean = false
    try {
      const result = await use(connection)
      isClean = true
      return result
    } catch (error) {
      if (signal?.aborted) throw reasonOf(signal, error)
      throw error
    } finally {
      signal?.removeEventListener('abort', stop)
      clearInterval(again)
      if (isClean && !closed && !signal?.aborted) idle.push(connection)
      else connection.closeSync()
    }
  }

  function withConnection<T>(
    signal: AbortSignal | null,
    use: (connection: DuckDBConnection) => Promise<T>,
  ): Promise<T> {
    const work = lend(signal, use)
    const forget = (): void => {
      lent.delete(work)
    }
    lent.add(work)
    work.then(forget, forget)
    return work
  }

  return {
    withConnection,
    query: (statement, signal) =>
      withConnection(signal, async (connection) => {
        const { text, values } = printSql(statement)
        const reader = await connection.runAndReadAll(text, parametersOf(values))
        return { rows: reader.getRows().map((row) => row.map(plainValue)) }
      }),
    async close() {
      closed = true
      await Promise.allSettled(lent)
      for (const connection of idle.splice(0)) connection.closeSync()
      const started = await starting
      started?.closeSync()
    },
  }
}

const interruptEveryMs = 20

/** What a statement is run with: with parameters, even with none of them, it is prepared first (0.5 ms, and planned twice). */
export function parametersOf(values: readonly unknown[]): DuckDBValue[] | undefined {
  return values.length === 0 ? undefined : (values as DuckDBValue[])
}

export interface Borrowed {
  readonly connection: DuckDBConnection
  /** Once, when nothing runs on it any more; one that is not clean is closed, and its temporary tables are gone. */
  giveBack(isClean?: boolean): void
}

/** A connection for as long as the borrower lives: a generator, an object that is filled. */
export async function borrow(duckdb: DuckDB, signal: AbortSignal | null): Promise<Borrowed> {
  return new Promise((resolve, reject) => {
    duckdb
      .withConnection(
        signal,
        (connection) =>
          new Promise<void>((end, fail) => {
            const giveBack = (isClean = true): void =>
              isClean ? end() : fail(new Error('the borrower has left something on it'))
            resolve({ connection, giveBack })
          }),
      )
      .catch(reject)
  })
}

/** 70 MB of native code: loaded when something is cold, not with the library. */
export function loadDuckDB(): typeof import('@duckdb/node-api') {
  const require = createRequire(import.meta.url)
  // Its decoder takes U+FEFF at the beginning of a text for a byte order mark and drops it; ours keeps every text whole.
  const accessors: {
    textDecoder: InstanceType<typeof TextDecoder>
  } = require('@duckdb/node-api/lib/vectors/dataAccessors.js')
  accessors.textDecoder = new TextDecoder('utf-8', { ignoreBOM: true })
  return require('@duckdb/node-api')
}

function reasonOf(signal: AbortSignal, cause?: unknown): Error {
  const reason: unknown = signal.reason
  return reason instanceof TidemarkError
    ? reason
    : new TidemarkError('TM_CANCELLED', { what: 'the query' }, { cause })
}

/** Some values of a row, as `plainValue` makes them. */
export function plainValues(row: readonly unknown[], from: number, to: number): unknown[] {
  const values: unknown[] = new Array(to - from)
  for (let i = from; i < to; i++) values[i - from] = plainValue(row[i])
  return values
}

/** DuckDB's own value objects made plain; see `DuckDBAnswer`. */
export function plainValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if ('micros' in value) {
    const { micros } = value as { micros: bigint }
    // DuckDB's -infinity lies one above the end that PostgreSQL and src/time use
    return micros <= -infinityInstant ? minusInfinityInstant : micros
  }
  if ('days' in value) {
    const { days } = value as { days: number }
    if (Math.abs(days) >= 2147483647) return days > 0 ? 'infinity' : '-infinity'
    return String(value).replace('(BC)', 'BC')
  }
  if ('items' in value) return (value as { items: readonly unknown[] }).items.map(plainValue)
  if ('entries' in value && !Array.isArray(value.entries)) {
    const fields = Object.entries(value.entries as Record<string, unknown>)
    return Object.fromEntries(fields.map(([name, field]) => [name, plainValue(field)]))
  }
  if ('bytes' in value) return (value as { bytes: Uint8Array }).bytes
  return String(value)
}
