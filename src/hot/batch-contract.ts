import type { Connection } from '../postgres/index.ts'
import type { CanonicalValue, StoredDefinition } from '../schema/index.ts'

/**
 * What file import needs of the writer: rows that are validated already, and work of its own in the transaction that
 * writes them (how far the import is, its dead letters), so that both become visible together or not at all.
 */
export interface BatchInsert {
  readonly definition: StoredDefinition
  /** Values in canonical form, in declared column order; undefined where PostgreSQL shall evaluate the default. */
  readonly rows: readonly (readonly CanonicalValue[])[]
  readonly onConflict: 'error' | 'ignore' | 'update'
  /** Runs after the rows were written, before COMMIT, on the same connection. When it throws nothing is written. */
  readonly inTransaction: (connection: Connection) => Promise<void>
  readonly signal?: AbortSignal | null
}

export interface BatchWriter {
  /** One transaction. May run `inTransaction` again when the whole transaction is tried again. Rows may be empty. */
  insertBatch(
    batch: BatchInsert,
  ): Promise<{ readonly inserted: number; readonly updated: number; readonly ignored: number }>
}
