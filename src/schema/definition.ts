import type { BucketSpec, Interval } from '../time/index.ts'

/** Column types that can be declared, by PostgreSQL's names. */
export const columnTypes = [
  'timestamptz',
  'date',
  'text',
  'uuid',
  'bool',
  'int2',
  'int4',
  'int8',
  'float4',
  'float8',
  'numeric',
  'jsonb',
  'text[]',
] as const
export type ColumnType = (typeof columnTypes)[number]

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue }

/** What a column's default is: a value known here, or an SQL expression that PostgreSQL evaluates for each row. */
export type ColumnDefault =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'sql'; readonly expression: string }

export interface ColumnDefinition {
  readonly type: ColumnType
  readonly nullable: boolean
  readonly default: ColumnDefault | null
  /** numeric only. */
  readonly precision: number | null
  readonly scale: number | null
  readonly comment: string | null
}

export interface IndexDefinition {
  /** Name in the database; made from table and columns when not given. */
  readonly name: string
  readonly columns: readonly { readonly column: string; readonly direction: 'asc' | 'desc' }[]
  readonly unique: boolean
  readonly method: 'btree' | 'gin' | 'brin' | 'hash'
  /** SQL predicate of a partial index, as declared. */
  readonly where: string | null
}

interface RelationDefinition {
  /** `schema.table`: the one name used in TypeScript, HTTP, the CLI and messages. */
  readonly name: string
  readonly schema: string
  readonly table: string
  /** In declared order. The key is the column's name in the database too. */
  readonly columns: Readonly<Record<string, ColumnDefinition>>
  readonly primaryKey: readonly string[] | null
  readonly indexes: readonly IndexDefinition[]
  readonly tenant: string | null
  readonly appendOnly: boolean
  readonly comment: string | null
}

export interface TableDefinition extends RelationDefinition {
  readonly kind: 'table'
}

/** Columns of a table of events: who did what, and where. */
export interface EventColumns {
  /** Who; rows in which it is null are nobody's. */
  readonly user: string
  /** Who, where `user` is null. */
  readonly anonymous: string | null
  /** What happened. */
  readonly event: string
  readonly session: string | null
  readonly page: string | null
}

export interface HypertableDefinition extends RelationDefinition {
  readonly kind: 'hypertable'
  /** Name of the timestamptz column, NOT NULL and finite. */
  readonly time: string
  readonly chunk: Interval
  /** Sort order of cold files after the tenant; also what "series" means for last points. */
  readonly orderBy: readonly string[]
  readonly freeze: { readonly after: Interval } | null
  readonly retain: Interval | null
  /** What becomes of a row of time that `retain` has dropped: refused, or merged into the cells of continuous aggregates. */
  readonly late: 'refuse' | 'merge'
  /** Rows with the same value of `by` within the window are one event that was sent twice; null: every row is new. */
  readonly dedupe: { readonly by: string; readonly within: Interval } | null
  /** Which columns of an event mean what, for product analytics; null: rows are no events, or each question says so. */
  readonly events: EventColumns | null
  /** Attached partitions at most; thousands exhaust PostgreSQL's lock table. Default 200. */
  readonly maxChunks: number
  /** Width of a cell of the change log; default: the chunk's length / 24, at least a minute, at most a day. */
  readonly changeCell: Interval
}

/** Anything with rows of its own. */
export type StoredDefinition = TableDefinition | HypertableDefinition
/** What a tier reads rows of. A query on a continuous aggregate is one on the hypertable under it (query/materialization.ts). */
export type DatasetDefinition = StoredDefinition

/**
 * A query over a hypertable that is kept as partial states per time bucket. Declared in the JSON of queries, so that it is the same
 * in TypeScript, in the catalog and over HTTP; `materializationOf` (query/) is its parsed form.
 */
export interface ContinuousAggregateDefinition {
  readonly kind: 'aggregate'
  /** `schema.table`: of the view of finished values, and the one name everywhere. */
  readonly name: string
  readonly schema: string
  readonly table: string
  /** What it was declared over. */
  readonly from: HypertableDefinition | ContinuousAggregateDefinition
  /** The hypertable under the whole chain. */
  readonly base: HypertableDefinition
  /** Cells of a bucket; calendar units follow `zone`. */
  readonly bucket: BucketSpec
  /** Columns (or JSON paths) of `base` whose values make a cell, as `by` of a query. Without the tenant, which is always the first key. */
  readonly by: readonly string[]
  /** Columns looked up in plain tables when the aggregate is read, so that they are never stale. By their name here. */
  readonly dimensions: Readonly<Record<string, DimensionDefinition>>
  /** `where` of a query on `base`, everything that the chain filters; null: every row. No relative times. */
  readonly where: JsonValue | null
  /** `select` of a query on `base`. */
  readonly select: Readonly<Record<string, AggregateCall>>
  readonly refresh: { readonly every: Interval }
  /** Cells that lie wholly before are dropped; null: kept for ever. */
  readonly retain: Interval | null
  readonly comment: string | null
}

/** An aggregate as JSON: `{ fn: 'percentile', column: 'latencyMs', q: 0.95 }`. */
export type AggregateCall = { readonly fn: string } & { readonly [option: string]: JsonValue }

export interface DimensionDefinition {
  /** Name of the plain table. */
  readonly table: string
  /** Its primary key, and which of `by` each column of it equals. */
  readonly on: Readonly<Record<string, string>>
  readonly column: string
  /** The plain table as it was declared. */
  readonly source: TableDefinition
}

/** Everything that can be queried by its name. */
export type QueryableDefinition = StoredDefinition | ContinuousAggregateDefinition
