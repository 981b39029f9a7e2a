import type { HotWriter, PostgresSnapshot } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import type { Answer, OutputRow, QueryLimits } from '../query/index.ts'
import type { StoredDefinition, TenantScope } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'

export interface RecordsOptions {
  readonly db: Database
  readonly writer: HotWriter
  /** Lends a snapshot of PostgreSQL on behalf of the caller: row security shows him his rows alone. */
  readonly read: <T>(
    definition: StoredDefinition,
    call: Call,
    use: (snapshot: PostgresSnapshot) => Promise<T>,
  ) => Promise<T>
  /** Rows of hypertables, wherever they are. */
  readonly ask: (definition: StoredDefinition, query: unknown, options: Call) => Promise<Answer>
  /** Says to migrate where the database has not what is declared. */
  readonly explain: <T>(definition: StoredDefinition, work: Promise<T>) => Promise<T>
  readonly clock: Clock
  readonly limits: QueryLimits
  /** Of one answer, about. */
  readonly maxAnswerBytes: number
  /** Tables whose rows are changed only with a version; true: all. */
  readonly requireVersion: boolean | readonly string[]
  /** Called after a commit. It only hints, so it throws nothing. */
  readonly onCommitted: () => void
}

/** Who calls, and until when he waits. */
export interface Call {
  readonly scope: TenantScope
  readonly signal: AbortSignal | null
}

export interface RecordCall {
  /** Aborting it stops the work in PostgreSQL too. */
  readonly signal?: AbortSignal | null
}

/** A row and which version of it this is. */
export interface StoredRecord {
  readonly row: OutputRow
  /** 22 characters of base64url; another one after every change that can be seen, by whomever it is made. */
  readonly version: string
}

/** A key by its columns, in any form that a row takes; where a caller has one tenant, its column may be left out. */
export type KeyInput = Readonly<Record<string, unknown>>

/** What must hold of the row as it is, for a write to happen. */
export type Precondition =
  | { readonly kind: 'none' }
  /** One of these versions. */
  | { readonly kind: 'versions'; readonly versions: readonly string[] }
  /** The row is there, whatever it is. */
  | { readonly kind: 'exists' }
  /** It is not. */
  | { readonly kind: 'new' }

export const anyState: Precondition = Object.freeze({ kind: 'none' })

/** Which rows, in which order, how much of them. */
export interface ListInput {
  /** As `where` of a query. */
  readonly where?: unknown
  /** Hypertables: as of a query. */
  readonly from?: unknown
  readonly to?: unknown
  readonly zone?: unknown
  /** Columns, `-` for descending; nulls are last either way. Then by the key, in the direction of the last column. */
  readonly sort?: readonly string[]
  /** Columns of the answer. Default: all. */
  readonly fields?: readonly string[]
  /** 1 to 1,000. Default 100. */
  readonly limit?: number
  /** Of the page before; everything else of the call as then, but `limit`. */
  readonly cursor?: string | null
  /** Also how many rows match. They are counted one by one. */
  readonly count?: boolean
  /** Also the version of each row. */
  readonly versions?: boolean
}

export interface ListAnswer {
  readonly rows: readonly OutputRow[]
  /** Goes on behind the last row; null: there are no more. */
  readonly cursor: string | null
  /** Of each row; null where they were not asked for. */
  readonly versions: readonly string[] | null
  /** Rows that match, on all pages; null where it was not asked for. */
  readonly count: number | null
}

export interface Created {
  /** Null: the row is older than the retention, and continuous aggregates alone have counted it (`late: 'merge'`). */
  readonly record: StoredRecord | null
}

export interface Put {
  readonly record: StoredRecord
  readonly isNew: boolean
}

export const bulkOperations = ['create', 'upsert', 'patch', 'delete'] as const
export type BulkOperation = (typeof bulkOperations)[number]

export interface BulkInput {
  readonly op: BulkOperation
  /**
   * create, upsert: rows. patch: `{ key, set, version? }`; delete: `{ key, version? }`, where a key is an object of its columns or the
   * text that it has in a path.
   */
  readonly rows: readonly unknown[]
  /** All or none. Default false: those that can be done are. */
  readonly atomic?: boolean
  /** create, upsert, patch: whether the rows come back as they are now. Default 'none'. */
  readonly return?: 'none' | 'rows'
}

/** What was not done, and why. */
export interface BulkFailure {
  /** Place in `rows`, from 0. */
  readonly index: number
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly params: unknown
}

export interface BulkAnswer {
  readonly created: number
  readonly updated: number
  readonly deleted: number
  readonly failed: readonly BulkFailure[]
  /** In the order of `rows`, null for what failed; null as a whole where it was not asked for. */
  readonly records: readonly (StoredRecord | null)[] | null
}

/** The rows of one table by their key, as one caller may use them. */
export interface RecordSet {
  readonly definition: StoredDefinition
  /** A key from the text that it has in a path. @throws TidemarkError TM_QUERY */
  readKey(text: string): KeyInput
  /** The text of a row's key in a path. */
  keyText(row: Readonly<Record<string, unknown>>): string
  /** @throws TidemarkError TM_QUERY, TM_LIMIT, TM_TIMEOUT */
  list(input?: ListInput, call?: RecordCall): Promise<ListAnswer>
  /** Whether a list is another one as time goes by, because it names times from now on. @throws TidemarkError TM_QUERY, TM_LIMIT */
  moves(input: ListInput): boolean
  /** @throws TidemarkError TM_NOT_FOUND */
  get(key: KeyInput, call?: RecordCall): Promise<StoredRecord>
  /** @throws TidemarkError TM_ROW, TM_DUPLICATE_KEY, TM_CONSTRAINT, TM_TENANT, TM_FORBIDDEN, TM_EXPIRED */
  create(row: unknown, call?: RecordCall): Promise<Created>
  /**
   * New values of some columns; those that are not named stay, null is null. jsonb is replaced as a whole.
   *
   * @throws TidemarkError TM_NOT_FOUND, TM_VERSION, TM_QUERY, TM_APPEND_ONLY, TM_CONSTRAINT
   */
  patch(key: KeyInput, set: unknown, precondition?: Precondition, call?: RecordCall): Promise<StoredRecord>
  /**
   * The row as it is to be: a column that is left out gets its default or null.
   *
   * @throws TidemarkError as create and patch, but TM_NOT_FOUND and TM_DUPLICATE_KEY of the key
   */
  put(key: KeyInput, row: unknown, precondition?: Precondition, call?: RecordCall): Promise<Put>
  /** @throws TidemarkError TM_NOT_FOUND, TM_VERSION, TM_APPEND_ONLY, TM_CONSTRAINT */
  delete(key: KeyInput, precondition?: Precondition, call?: RecordCall): Promise<void>
  /** Many at once; each key once. @throws TidemarkError TM_QUERY, TM_LIMIT; with `atomic` those of the others */
  bulk(input: BulkInput, call?: RecordCall): Promise<BulkAnswer>
}
