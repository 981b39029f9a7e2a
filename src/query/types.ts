import type { ColumnNames, ColumnType, ColumnTypeOf, InputForm, Row } from '../schema/index.ts'
import type { RangePoint } from '../time/index.ts'
import type { ColumnFunction } from './aggregates.ts'
import type { OutputRow } from './answer.ts'

/**
 * The types of queries and of their answers. What a query may say follows from the dataset; what a row of the answer
 * holds follows from the dataset and the query. parse.ts is what decides at run time; the types are only earlier.
 */

export type Flat<T> = { [K in keyof T]: T[K] } & {}

// Columns of a dataset, by what can be done with them

type NamesOfType<D, T extends ColumnType> = {
  [K in ColumnNames<D>]: ColumnTypeOf<D, K> extends T ? K : never
}[ColumnNames<D>]
type NamesNotOfType<D, T extends ColumnType> = {
  [K in ColumnNames<D>]: ColumnTypeOf<D, K> extends T ? never : K
}[ColumnNames<D>]

/** `properties.plan`: a place inside of a jsonb column. */
export type JsonPath<D> = string extends ColumnNames<D> ? string : `${NamesOfType<D, 'jsonb'>}.${string}`
type NumberRef<D> = NamesOfType<D, 'int2' | 'int4' | 'int8' | 'float4' | 'float8' | 'numeric'> | JsonPath<D>
type OrderedRef<D> = NamesNotOfType<D, 'jsonb' | 'text[]'> | JsonPath<D>
/** What `by` takes. */
export type GroupRef<D> = NamesNotOfType<D, 'jsonb'> | JsonPath<D>
/** What a filter may name. */
export type FilterRef<D> = ColumnNames<D> | JsonPath<D>

// Filters

interface Comparisons<V> {
  readonly eq?: V | null
  readonly ne?: V | null
  readonly gt?: V
  readonly gte?: V
  readonly lt?: V
  readonly lte?: V
  readonly in?: readonly V[]
  readonly notIn?: readonly V[]
}

interface Patterns {
  /** `%` any text, `_` one character, a backslash takes the next one as it is. */
  readonly like?: string
  readonly ilike?: string
}

interface ArrayConditions {
  /** The list holds this text. */
  readonly contains?: string
  readonly ne?: null
  readonly eq?: null
}

type WithNot<C, V> = V | null | (C & { readonly not?: V | null | C })

/** What can be asked of a column of this type. */
export type ConditionOf<T extends ColumnType> = T extends 'text'
  ? WithNot<Comparisons<string> & Patterns, string>
  : T extends 'text[]'
    ? WithNot<ArrayConditions, never>
    : T extends 'jsonb'
      ? WithNot<{ readonly eq?: null; readonly ne?: null }, never>
      : WithNot<Comparisons<InputForm<T>>, InputForm<T>>

type JsonScalar = string | number | boolean
/** JSON values compare by type and value; patterns look at strings only. */
export type JsonCondition = WithNot<Comparisons<JsonScalar> & Patterns, JsonScalar>

/**
 * Every entry must hold. `null` is `is null`; `{ not: null }` is `is not null`.
 *
 * @example
 * { status: 'ok', latencyMs: { gte: 10, lt: 20 }, 'properties.plan': 'pro', $or: [{ model: null }, { model: { like: 'a%' } }] }
 */
export type WhereInput<D> =
  string extends ColumnNames<D>
    ? { readonly [name: string]: unknown }
    : { readonly [K in ColumnNames<D>]?: ConditionOf<ColumnTypeOf<D, K>> } & {
        readonly [K in JsonPath<D>]?: JsonCondition
      } & {
        readonly $or?: readonly WhereInput<D>[]
        readonly $and?: readonly WhereInput<D>[]
        readonly $not?: WhereInput<D>
      }

// What a query says

export interface RangeInput {
  /** First instant: ISO text with zone, a date, `-30 days`, `now`, a Date or microseconds. Default: the beginning. */
  readonly from?: RangePoint | null
  /** End, which is not part of the range. Default: open. */
  readonly to?: RangePoint | null
  /** Zone of dates and local times in `from` and `to`, and of the calendar that buckets follow. Default UTC. */
  readonly zone?: string | null
}

type OptionalWhere<D> = { readonly where?: WhereInput<D> }

/** An aggregate as it goes into `select`: what the builders give, or the same written as JSON. */
export type AggregateInput<D> =
  | ({ readonly fn: 'count'; readonly column?: FilterRef<D> } & OptionalWhere<D>)
  | ({ readonly fn: 'sum' | 'avg' | 'stddev' | 'variance'; readonly column: NumberRef<D> } & OptionalWhere<D>)
  | ({
      readonly fn: 'min' | 'max' | 'first' | 'last' | 'uniques' | 'countDistinct'
      readonly column: OrderedRef<D>
    } & OptionalWhere<D>)
  | ({ readonly fn: 'percentile'; readonly column: NumberRef<D>; readonly q: number } & OptionalWhere<D>)
  | ({
      readonly fn: 'percentiles'
      readonly column: NumberRef<D>
      /** Default 0.5, 0.9, 0.95 and 0.99. */
      readonly qs?: readonly number[]
    } & OptionalWhere<D>)
  | ({ readonly fn: 'topK'; readonly column: OrderedRef<D>; readonly k: number } & OptionalWhere<D>)
  | ({
      readonly fn: 'increase' | 'rate' | 'delta'
      readonly column: NumberRef<D>
      /** Default: the tenant and `orderBy`, but the time. */
      readonly series?: readonly NamesNotOfType<D, 'jsonb' | 'text[]'>[]
    } & OptionalWhere<D>)
  | ({
      readonly fn: 'timeWeightedAvg'
      readonly column: NumberRef<D>
      /** Default `locf`. */
      readonly method?: 'locf' | 'linear'
      readonly series?: readonly NamesNotOfType<D, 'jsonb' | 'text[]'>[]
    } & OptionalWhere<D>)
  | ({
      readonly fn: 'histogram'
      readonly column: NumberRef<D>
      readonly borders: readonly number[]
    } & OptionalWhere<D>)

export type FillInput = 'none' | 'null' | 'previous' | 'linear' | { readonly constant: number | string }

/** Aggregates over time buckets and groups. */
export interface AggregateQueryInput<D> extends RangeInput {
  /** Length of a time bucket: `1 hour`, `15m`, `1 month`. Default: the range is not cut. */
  readonly bucket?: string | null
  /** One row for each different combination. */
  readonly by?: readonly GroupRef<D>[]
  readonly where?: WhereInput<D>
  readonly select: { readonly [name: string]: AggregateInput<D> }
  /** Conditions on outputs. */
  readonly having?: { readonly [name: string]: unknown }
  /** Names of outputs, `-` before those that descend; nulls are last either way. Then by bucket and groups. */
  readonly order?: readonly string[] | string
  readonly limit?: number | null
  /** What stands in buckets without rows. Default: they are left out. */
  readonly fill?: FillInput
  readonly latestBy?: undefined
  readonly columns?: undefined
  readonly cursor?: undefined
  readonly direction?: undefined
}

/** Rows as they are, in the order of time. */
export interface RowsInput<D> extends RangeInput {
  readonly where?: WhereInput<D>
  /** Default `*`. */
  readonly columns?: '*' | readonly ColumnNames<D>[]
  /** Default `asc`: the oldest first. */
  readonly direction?: 'asc' | 'desc'
  /** Default 1,000. */
  readonly limit?: number | null
  /** From the answer before: goes on behind its last row. */
  readonly cursor?: string | null
  readonly select?: undefined
  readonly latestBy?: undefined
}

/** The newest row of each series. */
export interface LatestInput<D> extends RangeInput {
  /** What makes a series; an empty list is one series of all rows. */
  readonly latestBy: readonly NamesNotOfType<D, 'jsonb'>[]
  readonly where?: WhereInput<D>
  readonly columns?: '*' | readonly ColumnNames<D>[]
  readonly limit?: number | null
  readonly select?: undefined
  readonly cursor?: undefined
  readonly direction?: undefined
}

/** What `query` takes about a table or hypertable, as TypeScript, HTTP and the command line write it. */
export type StoredQueryInput<D> = AggregateQueryInput<D> | RowsInput<D> | LatestInput<D>

// What TypeScript would let pass: names that are nowhere

export type ExactWhere<D, W> = {
  readonly [K in keyof W]: K extends '$or' | '$and'
    ? W[K] extends readonly (infer Item)[]
      ? readonly ExactWhere<D, Item>[]
      : W[K]
    : K extends '$not'
      ? ExactWhere<D, W[K]>
      : K extends FilterRef<D>
        ? W[K]
        : never
}

export type ExactAggregate<D, A> = {
  readonly [K in keyof A]: K extends 'where'
    ? ExactWhere<D, A[K]>
    : K extends 'fn' | 'column' | 'q' | 'qs' | 'borders' | 'k' | 'series' | 'method'
      ? A[K]
      : never
}

export type ExactHaving<Names extends string, H> = {
  readonly [K in keyof H]: K extends '$or' | '$and'
    ? H[K] extends readonly (infer Item)[]
      ? readonly ExactHaving<Names, Item>[]
      : H[K]
    : K extends '$not'
      ? ExactHaving<Names, H[K]>
      : K extends Names
        ? H[K]
        : never
}

export type GroupNames<Q> = Q extends { readonly by: readonly (infer N extends string)[] } ? N : never
type HasBucket<Q> = Q extends { readonly bucket: string } ? true : false
/** Names of the outputs of an aggregate query. */
export type OutputNames<Q> =
  | (HasBucket<Q> extends true ? 'bucket' : never)
  | GroupNames<Q>
  | (Q extends { readonly select: infer S } ? keyof S & string : never)

/** The query itself where every name in it is known, and never where one is not: `input: Q & CheckedQuery<D, Q>`. */
export type CheckedStoredQuery<D, Q> = Q extends { readonly select: infer S extends object }
  ? {
      readonly [K in keyof Q]: K extends 'select'
        ? { readonly [N in keyof S]: ExactAggregate<D, S[N]> }
        : K extends 'where'
          ? ExactWhere<D, Q[K]>
          : K extends 'having'
            ? ExactHaving<OutputNames<Q>, Q[K]>
            : K extends 'order'
              ? OrderOf<OutputNames<Q>>
              : K extends keyof AggregateQueryInput<D>
                ? Q[K]
                : never
    }
  : {
      readonly [K in keyof Q]: K extends 'where'
        ? ExactWhere<D, Q[K]>
        : K extends (
              Q extends { readonly latestBy: readonly string[] }
                ? keyof LatestInput<D>
                : keyof RowsInput<D>
            )
          ? Q[K]
          : never
    }

export type OrderOf<Names extends string> = readonly (Names | `-${Names}`)[] | Names | `-${Names}`

// What comes out

type NumberOrNull = number | null

type SumOf<T> = T extends 'int2' | 'int4'
  ? bigint | null
  : T extends 'int8' | 'numeric'
    ? string | null
    : NumberOrNull
type TypeAt<D, C> = C extends ColumnNames<D> ? ColumnTypeOf<D, C> : 'json'
type ValueAt<D, C> = C extends keyof Row<D> ? NonNullable<Row<D>[C]> | null : never

interface TopItem<V> {
  readonly value: V
  readonly count: number
  readonly error: number
}

/** What an aggregate gives, by its function and its column's type. */
export type AggregateValue<D, A> = A extends { readonly fn: 'count' | 'uniques' | 'countDistinct' }
  ? number
  : A extends { readonly fn: 'histogram' }
    ? readonly number[]
    : A extends { readonly fn: infer F; readonly column: infer C }
      ? F extends 'sum'
        ? SumOf<TypeAt<D, C>>
        : F extends 'avg'
          ? TypeAt<D, C> extends 'numeric'
            ? string | null
            : NumberOrNull
          : F extends 'stddev' | 'variance' | 'percentile' | 'increase' | 'rate' | 'delta' | 'timeWeightedAvg'
            ? NumberOrNull
            : F extends 'percentiles'
              ? readonly number[] | null
              : F extends 'topK'
                ? readonly TopItem<TypeAt<D, C> extends 'json' ? string : NonNullable<ValueAt<D, C>>>[]
                : F extends ColumnFunction
                  ? TypeAt<D, C> extends 'json'
                    ? F extends 'min' | 'max'
                      ? NumberOrNull
                      : string | null
                    : ValueAt<D, C>
                  : unknown
      : unknown

/** Buckets that are made by these may have nothing to say; a constant always has. */
export type MayLeaveGaps<Q> = Q extends { readonly fill: 'null' | 'previous' | 'linear' } ? true : false

type AggregateRow<D, Q, S> = Flat<
  (HasBucket<Q> extends true ? { bucket: string } : unknown) & {
    [N in GroupNames<Q>]: N extends keyof Row<D> ? Row<D>[N] : string | null
  } & {
    -readonly [K in keyof S]: MayLeaveGaps<Q> extends true
      ? AggregateValue<D, S[K]> | null
      : AggregateValue<D, S[K]>
  }
>

type PickedRow<D, Q> = Q extends { readonly columns: readonly (infer N)[] }
  ? Flat<Pick<Row<D>, N & keyof Row<D>>>
  : Row<D>

/** A row of the answer to a query. A query that TypeScript knows nothing of has rows of anything. */
export type StoredQueryRow<D, Q> =
  string extends ColumnNames<D>
    ? OutputRow
    : [StoredQueryInput<D>] extends [Q]
      ? OutputRow
      : Q extends { readonly select: infer S extends object }
        ? AggregateRow<D, Q, S>
        : PickedRow<D, Q>
