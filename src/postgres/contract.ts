import type { Sql } from '../util/sql.ts'

/** A statement with its answer read in binary, exact: see binary.ts for the JavaScript form of each type. */
export interface QueryOptions {
  /** Aborting cancels the statement in the server too (a cancel request over a second connection). */
  readonly signal?: AbortSignal | null
  /** Prepared statement name; only where the pool says that named statements are safe. */
  readonly name?: string
}

export interface QueryAnswer {
  /** One array per row, in select-list order. */
  readonly rows: readonly (readonly unknown[])[]
  readonly columns: readonly string[]
  readonly rowCount: number
}

/** Anything that runs statements: the pool (a connection per statement) or a lent connection. */
export interface Queryable {
  query(statement: Sql, options?: QueryOptions): Promise<QueryAnswer>
  /** Several statements without parameters in one round trip (BEGIN, SET LOCAL, DDL). No rows come back. */
  execute(script: string | Sql): Promise<void>
}

export interface Connection extends Queryable {
  readonly processId: number
  /** COPY … FROM STDIN: writes each buffer with back-pressure; resolves with the number of rows. */
  copyFrom(
    statement: Sql,
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options?: QueryOptions,
  ): Promise<number>
  /** COPY … TO STDOUT. */
  copyTo(statement: Sql, options?: QueryOptions): AsyncIterable<Uint8Array>
  /** The rows of a statement piece by piece (as `Reading.cursor`); inside a transaction. */
  cursor(statement: Sql, options?: QueryOptions): RowPieces
}

export type TransactionMode =
  | 'read committed'
  | 'repeatable read'
  | 'repeatable read read only'
  | 'serializable'

export interface TransactionOptions {
  readonly mode?: TransactionMode
  /** ms; SET LOCAL lock_timeout. */
  readonly lockTimeoutMs?: number
  /** ms; SET LOCAL statement_timeout. */
  readonly statementTimeoutMs?: number
  readonly signal?: AbortSignal | null
}

export interface ReadingOptions {
  /** The first statement: it takes the snapshot, and its settings (`set_config(…, true)`) hold for all others. */
  readonly opening: Sql
  /** ms; SET LOCAL statement_timeout. */
  readonly statementTimeoutMs: number
  readonly signal?: AbortSignal | null
}

/** Rows that come in pieces; open until its transaction ends. */
export interface RowPieces {
  next(count: number): Promise<RowPiece>
}

export interface RowPiece {
  readonly rows: readonly (readonly unknown[])[]
  /** No more rows follow. A piece that is full may be the last and say so only with the next, empty one. */
  readonly isEnd: boolean
}

/** A REPEATABLE READ READ ONLY transaction: everything that is asked sees one snapshot. */
export interface Reading {
  query(statement: Sql, options?: QueryOptions): Promise<QueryAnswer>
  /**
   * The same without a round trip of its own, for what is needed by the end: before the first statement it waits for it and
   * travels along, before it in order. When one of them fails, so do the others of that trip.
   */
  beside(statement: Sql, options?: QueryOptions): Promise<QueryAnswer>
  /**
   * The rows of a statement piece by piece, without planning and beginning anew. PostgreSQL then uses no parallel
   * workers, so it is for what is too large to be asked for at once.
   */
  cursor(statement: Sql, options?: QueryOptions): RowPieces
  /** The answer of `opening`. Begins the transaction when nothing has been asked yet, otherwise costs nothing. */
  open(): Promise<QueryAnswer>
}

/** Connections of a pool, and calls that wait for one. */
export interface PoolCounts {
  readonly max: number
  readonly inUse: number
  readonly idle: number
  readonly waiting: number
}

export interface Database extends Queryable {
  /** Lends a connection; it goes back to the pool clean, or is destroyed when it is not. */
  withConnection<T>(
    use: (connection: Connection) => Promise<T>,
    options?: { signal?: AbortSignal | null },
  ): Promise<T>
  /** BEGIN and its settings go in one round trip; commits when `use` resolves, rolls back when it throws. */
  transaction<T>(options: TransactionOptions, use: (connection: Connection) => Promise<T>): Promise<T>
  /**
   * Lends a snapshot. BEGIN, its settings and `opening` travel with the first statement, in one round trip; without
   * one nothing is begun. COMMIT is sent when `use` has resolved, but not waited for: nothing was written, and the
   * connection is lent again only after it (or closed, where it failed).
   */
  reading<T>(options: ReadingOptions, use: (reading: Reading) => Promise<T>): Promise<T>
  /** Server version, e.g. 150018. Known after the first connection. */
  serverVersion(): Promise<number>
  close(): Promise<void>
}
