import type { ColumnType } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import type { Sql } from '../util/sql.ts'

/**
 * The algebra's shape. An aggregate function (what people ask for) is finished from a state (what is kept and
 * merged). Several functions share one state: p50, p95 and p99 of a column are finished from one sketch.
 */
export const aggregateFunctions = [
  'count',
  'sum',
  'avg',
  'min',
  'max',
  'first',
  'last',
  'stddev',
  'variance',
  'percentile',
  'percentiles',
  'uniques',
  'countDistinct',
  'histogram',
  'topK',
  'increase',
  'rate',
  'delta',
  'timeWeightedAvg',
] as const
export type AggregateFunction = (typeof aggregateFunctions)[number]

export const stateKinds = [
  'count',
  'sum',
  'min',
  'max',
  'first',
  'last',
  'moments',
  'ddsketch',
  'hll',
  'distinct',
  'histogram',
  'topk',
  'counter',
  'timeWeight',
] as const
export type StateKind = (typeof stateKinds)[number]

/**
 * What goes in. `json-number` and `json-text` are a path inside a jsonb column, read as a float8 (null when it is not
 * a JSON number) or as text (`#>>`; null when absent or JSON null).
 */
export type InputType = Exclude<ColumnType, 'jsonb'> | 'json-number' | 'json-text'

/**
 * Values at the border, one JavaScript form per type: bool boolean; int2, int4, float4, float8, json-number number;
 * int8 bigint; numeric decimal string as PostgreSQL writes it (also NaN, Infinity, -Infinity); text, uuid, json-text
 * string; date `YYYY-MM-DD` (also infinity, -infinity); timestamptz microseconds as bigint; text[] array of string
 * or null.
 */
export type InputValue = string | number | bigint | boolean | readonly (string | null)[]

/**
 * `exact`: bit-equal whatever the engine, the order and the split. `bounded`: float arithmetic, equal within the
 * stated bound. `sketch`: the state is bit-equal, the answer is an estimate with a stated error.
 */
export type Exactness = 'exact' | 'bounded' | 'sketch'

/** A state that is asked for: what kind, of which input. Frozen; equal keys mean the same state. */
export interface StateSpec {
  readonly kind: StateKind
  /** null: rows are counted (state `count` only). */
  readonly input: InputType | null
  /** histogram: ascending finite borders. */
  readonly borders: readonly number[] | null
  /** topk: different values that are kept. */
  readonly capacity?: number
  /** timeWeight: what holds between two readings. */
  readonly weight?: TimeWeight
  /** counter, timeWeight: the columns that tell series apart. */
  readonly series?: readonly InputType[]
  /**
   * counter, timeWeight: engines give every reading as it is, not what they make together. Needed where states of the same
   * stretch of time are merged; set by whoever merges them, never part of a plan.
   */
  readonly readings?: true
}

/** `locf`: the reading before holds until the next one. `linear`: a straight line from one to the next. */
export type TimeWeight = 'locf' | 'linear'

/** Opaque outside aggregate/. */
export type AggregateState = object

export interface StateInput {
  /** The value; null for a count of rows. Never parameterised twice: splice it where it is needed. */
  readonly value: Sql | null
  /** The row's timestamptz (first, last). */
  readonly time: Sql | null
  /** Condition of a filtered aggregate. */
  readonly filter: Sql | null
  /** One for each of `StateSpec.series`. */
  readonly series?: readonly Sql[]
}

/**
 * What the tier hands to `outer` of a keyed state: a SELECT that is already grouped by (cell, key). `select` gives the
 * columns named in `cells` (as many as the query has bucket and group columns, maybe none), then `key`, then `inner`.
 * The names are `c0`, `c1`, …, `key`, `n0`, `n1`, …: states use others beside them.
 */
export interface KeyedSource {
  /** A whole SELECT without brackets around it. */
  readonly select: Sql
  readonly cells: readonly Sql[]
  readonly key: Sql
  readonly inner: readonly Sql[]
}

/** The same for an `ordered` state: a SELECT of the rows themselves, their columns named in `cells` and `values`. */
export interface OrderedSource {
  readonly select: Sql
  readonly cells: readonly Sql[]
  readonly values: readonly Sql[]
}

/**
 * How a SQL engine computes a state for each group. What comes out is given to `read` as JavaScript values: int8 bigint,
 * float8 number, numeric string, timestamptz bigint, date text, bytea Uint8Array, arrays as arrays (PostgreSQL: read
 * in its binary format by postgres/; DuckDB: see `DuckDBAnswer`, sums of integers are HUGEINT); a null column is null.
 *
 * `columns`: aggregate expressions that go into one SELECT … GROUP BY with others. `read` gets one value for each.
 *
 * `keyed`: two levels, so that what leaves the engine is small whatever the number of rows. The tier writes
 * `select <cells>, <key>, <inner…> from <rows> where <conditions> group by <cells>, <key>` (leaving out rows whose key
 * is null) and hands it to `outer`, which answers with a whole SELECT (no brackets; may begin with `with`) of the cell
 * columns in order and then `width` columns: one row for each cell that has a key, and at most one row when there are
 * no cell columns. A cell without a row has the state `create(spec)`. `keyedSelect` writes the inner level.
 *
 * `ordered`: for what depends on the order of rows in time. `outer` is handed the rows themselves and answers as above, but
 * with any number of rows for each cell, whose states are merged. `orderedSelect` writes the inner level.
 *
 * `stateSelect` writes the statement of either.
 */
export type EngineState =
  | {
      readonly shape: 'columns'
      readonly columns: (input: StateInput) => readonly Sql[]
      readonly read: (values: readonly unknown[]) => AggregateState
      /**
       * Fewer or cheaper columns that know the state of nearly all data; `read` gives null where they do not, and the
       * statement is then asked again with `columns`. Worth it, never needed.
       */
      readonly quick?: {
        readonly columns: (input: StateInput) => readonly Sql[]
        readonly read: (values: readonly unknown[]) => AggregateState | null
      }
    }
  | {
      readonly shape: 'keyed'
      /**
       * Where computing it again and again would cost: what `keyedSelect` computes once for each row and gives to `key`
       * and `inner` as their value.
       */
      readonly prepare?: (value: Sql) => Sql
      /** What the SELECT of prepared values ends in, so that the engine does not put the expression back where it is used. */
      readonly fence?: Sql
      /** Rows whose key is null are left out; `filter` is part of it. */
      readonly key: (input: StateInput) => Sql
      /** Aggregates for each (cell, key). */
      readonly inner: (input: StateInput) => readonly Sql[]
      readonly outer: (source: KeyedSource) => Sql
      /** How many columns follow the cells in the answer of `outer`. */
      readonly width: number
      readonly read: (values: readonly unknown[]) => AggregateState
    }
  | {
      readonly shape: 'ordered'
      /** Of each row; those in which the first one is null are left out. `orderedSelect` names them `v0`, `v1`, … */
      readonly values: (input: StateInput) => readonly Sql[]
      readonly outer: (source: OrderedSource) => Sql
      readonly width: number
      /** Of one row of the answer. */
      readonly read: (values: readonly unknown[]) => AggregateState
    }

export interface StateDefinition<S extends AggregateState = AggregateState> {
  readonly kind: StateKind
  readonly exactness: Exactness
  /**
   * It depends on the order of rows in time: states of the same series are merged only where the stretches that their rows lie in
   * have no instant in common, in any order; others are refused. `StateSpec.readings` is for what overlaps.
   */
  readonly ordered?: true
  /** The state of no rows. */
  create(spec: StateSpec): S
  /** Adds one non-null value (null for a count of rows); may change `state` and returns it. */
  add(state: S, value: InputValue | null, time: Instant | null, series?: readonly (InputValue | null)[]): S
  /** May change and return `into`. Associative and commutative. */
  merge(into: S, other: S): S
  /** Canonical bytes: equal states have equal bytes. */
  encode(state: S): Uint8Array
  decode(bytes: Uint8Array, spec: StateSpec): S
  postgres(spec: StateSpec): EngineState
  /**
   * The same in DuckDB, over columns as DuckDB reads them from Parquet: bool BOOLEAN, int2 SMALLINT, int4 INTEGER, int8
   * BIGINT, float4 FLOAT, float8 and json-number DOUBLE, numeric DECIMAL(p, s) with p <= `maxDuckDBDigits` where all values
   * have the scale s, text and json-text VARCHAR, uuid UUID, date DATE, timestamptz TIMESTAMP WITH TIME ZONE.
   *
   * Null: cannot be proven equal, so the rows' values are added in TypeScript.
   */
  duckdb(spec: StateSpec): EngineState | null
}

/** Digits of a DECIMAL column at most: sums of 10^10 of them fit into DuckDB's 38. */
export const maxDuckDBDigits = 28

/** A finished value in its JavaScript form, or null when there is nothing to say (no rows). */
export type FinishedValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly number[]
  | readonly (string | null)[]
  | readonly TopValue[]

/** It occurred at least `count` times and at most `count + error` times. A timestamptz is ISO text. */
export interface TopValue {
  readonly value: string | number | bigint | boolean
  readonly count: number
  readonly error: number
}

export interface FinishOptions {
  /** percentile */
  readonly quantile: number | null
  /** percentiles */
  readonly quantiles?: readonly number[]
  /** topK: how many values. */
  readonly k?: number
}

/** The type of a finished value, for the answer's schema. `count` is a number. */
export type ResultType = ColumnType | 'count' | 'histogram' | 'percentiles' | 'topK'

export interface StateOptions {
  readonly borders: readonly number[] | null
  /** topK */
  readonly k?: number
  /** increase, rate, delta, timeWeightedAvg: types of the columns that tell series apart. */
  readonly series?: readonly InputType[]
  /** timeWeightedAvg */
  readonly weight?: TimeWeight
}

export interface AggregateDefinition {
  readonly fn: AggregateFunction
  readonly needsColumn: boolean
  /** Null when the input type is accepted, else what is (for the message). */
  refuses(input: InputType | null): string | null
  state(input: InputType | null, options: StateOptions): StateSpec
  result(input: InputType | null): ResultType
  finish(state: AggregateState, spec: StateSpec, options: FinishOptions): FinishedValue
  /** What the answer says about its error; null when exact. */
  errorBound(input: InputType | null): string | null
}

/** Two equal specs have equal keys. */
export function stateKey(spec: StateSpec): string {
  const { kind, input, borders, capacity, weight, series, readings } = spec
  const more = [capacity, weight, series, readings]
  // what has no parameters keeps a short key
  return JSON.stringify([kind, input, borders, ...(more.some((part) => part !== undefined) ? more : [])])
}
