import type { Interval } from '../time/index.ts'

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

export interface HypertableDefinition extends RelationDefinition {
  readonly kind: 'hypertable'
  /** Name of the timestamptz column, NOT NULL and finite. */
  readonly time: string
  readonly chunk: Interval
  /** Sort order of cold files after the tenant; also what "series" means for last points. */
  readonly orderBy: readonly string[]
  readonly freeze: { readonly after: Interval } | null
  readonly retain: Interval | null
  /** Attached partitions at most; thousands exhaust PostgreSQL's lock table. Default 200. */
  readonly maxChunks: number
  /** Width of a cell of the change log; default: the chunk's length / 24, at least a minute, at most a day. */
  readonly changeCell: Interval
}

/** Anything with rows of its own. Continuous aggregates will join the union `DatasetDefinition`. */
export type StoredDefinition = TableDefinition | HypertableDefinition
export type DatasetDefinition = StoredDefinition
