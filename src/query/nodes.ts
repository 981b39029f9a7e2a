import type { AggregateFunction, TimeWeight } from '../aggregate/index.ts'
import type {
  ContinuousAggregateDefinition,
  DatasetDefinition,
  TableDefinition,
  TenantScope,
} from '../schema/index.ts'
import type { BucketSpec, TimeRange } from '../time/index.ts'

/**
 * A validated query as frozen data. The builder, HTTP and the CLI all end here (query/parse.ts); the planner splits
 * and re-targets it; a tier turns it into its own language. Nothing here is SQL.
 */

/** A column, or a path inside a jsonb column (`properties.plan.name` is column `properties`, path `plan`, `name`). */
export interface ColumnRef {
  readonly column: string
  readonly path: readonly string[]
}

export type FilterValue = string | number | bigint | boolean

export type CompareOperator = 'eq' | 'ne' | 'lt' | 'lte' | 'gt' | 'gte'

/**
 * Conditions follow SQL's three-valued logic in every tier. Values have been coerced to the column's type when the
 * query was parsed: timestamptz to Instant (bigint), int8 to bigint, numeric to a decimal string.
 * text and uuid compare by bytes (`COLLATE "C"`); NaN equals NaN and is above every number; -0 equals 0.
 * `in` with no values is false, also for null. `isNull` of a whole jsonb column is true for SQL NULL and JSON null.
 * An empty `and` is true, an empty `or` false.
 * For a jsonb path: `compare` and `in` compare JSON values by type and value (a number never equals a string);
 * `eq` with a value of another type is false and `ne` true, the other operators are then unknown (null); absent and
 * JSON null are unknown; numbers compare as numbers, strings by bytes, booleans false before true.
 * `like` looks at strings only (anything else is unknown); `isNull` is true when the path is absent or JSON null.
 */
export type FilterNode =
  | { readonly kind: 'and'; readonly filters: readonly FilterNode[] }
  | { readonly kind: 'or'; readonly filters: readonly FilterNode[] }
  | { readonly kind: 'not'; readonly filter: FilterNode }
  | {
      readonly kind: 'compare'
      readonly ref: ColumnRef
      readonly operator: CompareOperator
      readonly value: FilterValue
    }
  | { readonly kind: 'in'; readonly ref: ColumnRef; readonly values: readonly FilterValue[] }
  | {
      readonly kind: 'like'
      readonly ref: ColumnRef
      readonly pattern: string
      readonly caseInsensitive: boolean
    }
  | { readonly kind: 'isNull'; readonly ref: ColumnRef }
  /** text[] column holds the value. */
  | { readonly kind: 'contains'; readonly ref: ColumnRef; readonly value: string }

export interface AggregateNode {
  readonly kind: 'aggregate'
  readonly fn: AggregateFunction
  /** null only for count(*). */
  readonly ref: ColumnRef | null
  /** Only rows that match are aggregated. */
  readonly where: FilterNode | null
  /** percentile: 0..1. */
  readonly quantile: number | null
  /** percentiles: each 0..1. */
  readonly quantiles?: readonly number[]
  /** topK: how many values. */
  readonly k?: number
  /** increase, rate, delta, timeWeightedAvg: columns that tell series apart. */
  readonly series?: readonly string[]
  /** timeWeightedAvg */
  readonly weight?: TimeWeight
  /** histogram: ascending, finite bucket borders; n borders give n + 1 counts (below, between …, at or above). */
  readonly borders: readonly number[] | null
}

export type FillNode =
  | { readonly kind: 'none' }
  | { readonly kind: 'null' }
  | { readonly kind: 'previous' }
  | { readonly kind: 'linear' }
  | { readonly kind: 'constant'; readonly value: number | string }

export interface OrderNode {
  /** Name of an output column. */
  readonly by: string
  readonly direction: 'asc' | 'desc'
}

export interface GroupNode {
  /** Name in the answer. */
  readonly name: string
  readonly ref: ColumnRef
  /** `ref` is a column of its table, not of the dataset. Never in what a tier is asked. */
  readonly dimension?: DimensionNode
}

/** A column of a plain table that is looked up by keys when the query is run. */
export interface DimensionNode {
  readonly name: string
  readonly table: TableDefinition
  readonly column: string
  /** The primary key of the table, and what each column of it equals. */
  readonly on: readonly { readonly column: string; readonly key: GroupNode }[]
}

interface QueryNodeBase {
  readonly dataset: DatasetDefinition
  /** null: all time (and always for plain tables without a time column). */
  readonly range: TimeRange | null
  readonly where: FilterNode | null
  readonly limit: number | null
  /** Whose rows are asked for; `where` has the condition already. Absent: those of every tenant. */
  readonly scope?: TenantScope
}

export interface AggregateQueryNode extends QueryNodeBase {
  readonly kind: 'aggregate'
  /** The continuous aggregate that was asked by its name; `dataset` is the hypertable under it, `where` has its filter. */
  readonly of?: ContinuousAggregateDefinition | null
  /** Those that the query names. */
  readonly dimensions?: readonly DimensionNode[]
  /** With dimensions: conditions on them (`ref.column` is a dimension's name) and on keys; the rest of what has to hold. */
  readonly keysWhere?: FilterNode | null
  readonly bucket: BucketSpec | null
  readonly by: readonly GroupNode[]
  readonly select: readonly { readonly name: string; readonly aggregate: AggregateNode }[]
  /** Over output names: `column` of each ref is a name of `select`, `by`, or `bucket`. */
  readonly having: FilterNode | null
  readonly order: readonly OrderNode[]
  readonly fill: FillNode
}

/** Raw rows, ordered by time (hypertable) or key (table), paged by keyset. */
export interface RowsQueryNode extends QueryNodeBase {
  readonly kind: 'rows'
  readonly columns: readonly string[]
  readonly direction: 'asc' | 'desc'
  /** Opaque; from the answer before. */
  readonly cursor: string | null
}

/** The newest row of each series. */
export interface LatestQueryNode extends QueryNodeBase {
  readonly kind: 'latest'
  readonly columns: readonly string[]
  /** What makes a series. */
  readonly by: readonly string[]
}

export type QueryNode = AggregateQueryNode | RowsQueryNode | LatestQueryNode
