import type {
  AggregateShape,
  AggregateShapeOf,
  ColumnNames,
  ColumnTypeOf,
  ContinuousAggregateDefinition,
  HypertableDefinition,
  KeyOf,
  Row,
  TableDefinition,
  TenantColumn,
} from '../schema/index.ts'
import type { OutputRow } from './answer.ts'
import type {
  AggregateInput,
  AggregateQueryInput,
  AggregateValue,
  CheckedStoredQuery,
  ConditionOf,
  ExactAggregate,
  ExactHaving,
  ExactWhere,
  Flat,
  GroupNames,
  GroupRef,
  MayLeaveGaps,
  OrderOf,
  RangeInput,
  StoredQueryInput,
  StoredQueryRow,
  WhereInput,
} from './types.ts'

/**
 * The types of continuous aggregates: what a declaration may say, and what may be asked of one by its name. declare.ts (continuous/)
 * and parse-cells.ts decide at run time; the types are only earlier.
 */

/** What an aggregate can stand on. */
export type AggregateSource = HypertableDefinition | ContinuousAggregateDefinition

type IsAggregate<D> = [AggregateShapeOf<D>] extends [never] ? false : true
/** The hypertable under a chain. */
type BaseOf<From> = IsAggregate<From> extends true ? AggregateShapeOf<From>['base'] : From
type CallsOf<A> = AggregateShapeOf<A>['select']
type KeysOf<A> = AggregateShapeOf<A>['keys']
type DimensionsOf<A> = AggregateShapeOf<A>['dimensions']

// What a declaration says

/** What `by` of a declaration takes. */
export type DeclaredKey<From> =
  IsAggregate<From> extends true ? Exclude<KeysOf<From>, TenantColumn<BaseOf<From>>> : GroupRef<From>

type KeyCondition<A, K> = K extends ColumnNames<BaseOf<A>> ? ConditionOf<ColumnTypeOf<BaseOf<A>, K>> : unknown
type DimensionCondition<D> = D extends { readonly table: infer T; readonly column: infer C }
  ? C extends ColumnNames<T>
    ? ConditionOf<ColumnTypeOf<T, C>>
    : unknown
  : unknown

/** Conditions on the keys of an aggregate, and on its dimensions. */
export type KeyWhere<A> = {
  readonly [K in KeysOf<A>]?: KeyCondition<A, K>
} & {
  readonly [K in keyof DimensionsOf<A>]?: DimensionCondition<DimensionsOf<A>[K]>
} & {
  readonly $or?: readonly KeyWhere<A>[]
  readonly $and?: readonly KeyWhere<A>[]
  readonly $not?: KeyWhere<A>
}

type DeclaredWhere<From> = IsAggregate<From> extends true ? KeyWhere<From> : WhereInput<From>
type DeclaredCall<From> =
  | AggregateInput<BaseOf<From>>
  | (IsAggregate<From> extends true ? keyof CallsOf<From> & string : never)

export interface DimensionOptions {
  /** A plain table. */
  readonly table: TableDefinition
  /** Which key of the aggregate each column of its primary key equals. */
  readonly on: { readonly [column: string]: string }
  readonly column: string
}

export interface AggregateDeclaration<From> {
  /** Length of a bucket: `1 hour`, or of a zone: `{ every: '1 day', zone: 'Europe/Berlin' }`. */
  readonly bucket: string | { readonly every: string; readonly zone?: string | null }
  /** Columns and JSON paths whose values make a cell. The tenant is always the first key and not named here. */
  readonly by?: readonly DeclaredKey<From>[]
  /** Columns of plain tables, looked up by the keys when the aggregate is read, so never stale. */
  readonly dimensions?: { readonly [name: string]: DimensionOptions }
  /** Which rows count. No times relative to now. */
  readonly where?: DeclaredWhere<From>
  /** Aggregates by name. Over an aggregate, a text names an output of it. */
  readonly select: { readonly [name: string]: DeclaredCall<From> }
  /** How often the worker brings it up to date. Default every minute; a query is right in any case. */
  readonly refresh?: { readonly every: string }
  /** Cells wholly before are dropped. Default: kept for ever, also when the rows under it are dropped. */
  readonly retain?: string | null
  /** Kept in the database as the comment of the view. */
  readonly comment?: string
}

type OwnKeys<O> = O extends { readonly by: readonly (infer N extends string)[] } ? N : never
type AllKeys<From, O> = OwnKeys<O> | TenantColumn<BaseOf<From>>

type CheckedDimension<D, Keys extends string> = D extends { readonly table: infer T }
  ? {
      readonly table: T
      readonly on: { readonly [K in keyof KeyOf<T>]: Keys }
      readonly column: ColumnNames<T>
    }
  : never

/** The declaration itself where every name in it is known, and never where one is not. */
export type CheckedDeclaration<From, O> = {
  readonly [K in keyof O]: K extends 'select'
    ? {
        readonly [N in keyof O[K]]: O[K][N] extends string ? O[K][N] : ExactAggregate<BaseOf<From>, O[K][N]>
      }
    : K extends 'where'
      ? IsAggregate<From> extends true
        ? O[K]
        : ExactWhere<From, O[K]>
      : K extends 'dimensions'
        ? { readonly [N in keyof O[K]]: CheckedDimension<O[K][N], AllKeys<From, O>> }
        : K extends keyof AggregateDeclaration<From> | 'from'
          ? O[K]
          : never
}

/** A call as it is kept: an output of the parent stands for its call. */
type ResolvedCall<From, Call> = Call extends string
  ? Call extends keyof CallsOf<From>
    ? CallsOf<From>[Call]
    : never
  : Call

type SelectOf<O> = O extends { readonly select: infer S extends object } ? S : never
type DeclaredDimensions<O> = O extends { readonly dimensions: infer D extends object }
  ? D
  : Record<never, never>

type KeyRow<Base, Keys extends string> = {
  readonly [N in Keys]: N extends keyof Row<Base> ? Row<Base>[N] : string | null
}
type DimensionRow<Dimensions> = { readonly [N in keyof Dimensions]: DimensionValue<Dimensions[N]> }
/** Null where there is no row of that key. */
type DimensionValue<D> = D extends { readonly table: infer T; readonly column: infer C }
  ? C extends keyof Row<T>
    ? Row<T>[C] | null
    : unknown
  : unknown

/** As the view of finished values has it: counts are int8. */
type ViewValue<Base, Call> = Call extends { readonly fn: 'count' | 'uniques' | 'countDistinct' }
  ? bigint
  : Call extends { readonly fn: 'histogram' | 'percentiles' }
    ? unknown
    : AggregateValue<Base, Call>

type Resolved<From, O> = { readonly [N in keyof SelectOf<O>]: ResolvedCall<From, SelectOf<O>[N]> }

/** What TypeScript knows of `continuousAggregate(name, { from, ...options })`. */
export interface ShapeOfDeclaration<From, O> extends AggregateShape {
  readonly base: BaseOf<From>
  readonly keys: AllKeys<From, O>
  readonly dimensions: DeclaredDimensions<O>
  readonly select: Resolved<From, O>
  readonly row: Flat<
    { bucket: string } & KeyRow<BaseOf<From>, AllKeys<From, O>> &
      DimensionRow<DeclaredDimensions<O>> & {
        [N in keyof Resolved<From, O>]: ViewValue<BaseOf<From>, Resolved<From, O>[N]>
      }
  >
}

// What may be asked

type GroupNamesOf<A> = KeysOf<A> | (keyof DimensionsOf<A> & string)

/** A question to an aggregate by its name. */
export interface CellsQueryInput<A> extends RangeInput {
  /** Default: that of the aggregate. A longer one must be made of whole buckets of it; null: the range is not cut. */
  readonly bucket?: string | null
  /** Keys and dimensions. Default: none; without `select` all keys. */
  readonly by?: readonly GroupNamesOf<A>[]
  /** Conditions on keys and dimensions. */
  readonly where?: KeyWhere<A>
  /** By name, an output of the aggregate or any aggregate that is finished from what it keeps. Default: all its outputs. */
  readonly select?: {
    readonly [name: string]: (keyof CallsOf<A> & string) | AggregateInput<BaseOf<A>>
  }
  readonly having?: { readonly [name: string]: unknown }
  readonly order?: readonly string[] | string
  readonly limit?: number | null
  readonly fill?: AggregateQueryInput<BaseOf<A>>['fill']
}

/** Everything that `query` takes, as TypeScript, HTTP and the command line write it. */
export type QueryInput<D> = IsAggregate<D> extends true ? CellsQueryInput<D> : StoredQueryInput<D>

type AskedKeys<A, Q> = Q extends { readonly by: unknown }
  ? GroupNames<Q>
  : Q extends { readonly select: unknown }
    ? never
    : KeysOf<A>
type AskedSelect<A, Q> = Q extends { readonly select: infer S extends object }
  ? { readonly [N in keyof S]: ResolvedCall<A, S[N]> }
  : CallsOf<A>
type CellOutputs<A, Q> =
  | (Q extends { readonly bucket: null } ? never : 'bucket')
  | AskedKeys<A, Q>
  | (keyof AskedSelect<A, Q> & string)

type CheckedCellsQuery<A, Q> = {
  readonly [K in keyof Q]: K extends 'select'
    ? { readonly [N in keyof Q[K]]: Q[K][N] extends string ? Q[K][N] : ExactAggregate<BaseOf<A>, Q[K][N]> }
    : K extends 'having'
      ? ExactHaving<CellOutputs<A, Q>, Q[K]>
      : K extends 'order'
        ? OrderOf<CellOutputs<A, Q>>
        : K extends keyof CellsQueryInput<A>
          ? Q[K]
          : never
}

/** The query itself where every name in it is known, and never where one is not: `input: Q & CheckedQuery<D, Q>`. */
export type CheckedQuery<D, Q> =
  IsAggregate<D> extends true ? CheckedCellsQuery<D, Q> : CheckedStoredQuery<D, Q>

type CellRow<A, Q> = Flat<
  (Q extends { readonly bucket: null } ? unknown : { bucket: string }) & {
    -readonly [N in AskedKeys<A, Q>]: N extends keyof DimensionsOf<A>
      ? DimensionValue<DimensionsOf<A>[N]>
      : KeyRow<BaseOf<A>, N & string>[N & string]
  } & {
    -readonly [K in keyof AskedSelect<A, Q>]: MayLeaveGaps<Q> extends true
      ? AggregateValue<BaseOf<A>, AskedSelect<A, Q>[K]> | null
      : AggregateValue<BaseOf<A>, AskedSelect<A, Q>[K]>
  }
>

/** A row of the answer to a query. A query that TypeScript knows nothing of has rows of anything. */
export type QueryRow<D, Q> =
  IsAggregate<D> extends true
    ? [keyof CellsQueryInput<D>] extends [keyof Q]
      ? OutputRow
      : CellRow<D, Q>
    : StoredQueryRow<D, Q>
