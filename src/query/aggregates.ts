/**
 * What goes into `select`: plain frozen JSON, so that a query is the same in TypeScript, over HTTP and in a file.
 * The result type is inferred from the function and the column's type (types.ts).
 */
type Where = object

export interface CountInput {
  readonly fn: 'count'
  readonly column?: string
  readonly where?: Where
}

export type ColumnFunction =
  | 'sum'
  | 'avg'
  | 'min'
  | 'max'
  | 'first'
  | 'last'
  | 'stddev'
  | 'variance'
  | 'uniques'
  | 'countDistinct'

export interface ColumnInput<F extends ColumnFunction, C extends string, W extends Where = Where> {
  readonly fn: F
  readonly column: C
  readonly where?: W
}

export interface PercentileInput<C extends string, W extends Where = Where> {
  readonly fn: 'percentile'
  readonly column: C
  readonly q: number
  readonly where?: W
}

export interface HistogramInput<C extends string, W extends Where = Where> {
  readonly fn: 'histogram'
  readonly column: C
  readonly borders: readonly number[]
  readonly where?: W
}

export interface AggregateOptions<W extends Where = Where> {
  /** Only rows that match are aggregated; the others still make their group appear. */
  readonly where?: W
}

function column<const F extends ColumnFunction>(
  fn: F,
): <const C extends string, const W extends Where = Where>(
  column: C,
  options?: AggregateOptions<W>,
) => ColumnInput<F, C, W> {
  return (column, options) => Object.freeze({ fn, column, ...given(options) })
}

function given<W extends Where>(options: AggregateOptions<W> | undefined): { readonly where?: W } {
  return options?.where === undefined ? {} : { where: options.where }
}

/**
 * The number of rows, or of rows whose column is not null.
 *
 * @example
 * import { count } from 'tidemark'
 * count()                                        // every row
 * count('userId')                                // rows that have a user
 * count({ where: { latencyMs: { gt: 1000 } } })  // slow rows
 */
export function count(): { readonly fn: 'count' }
export function count<const W extends Where>(
  options: AggregateOptions<W>,
): { readonly fn: 'count'; readonly where?: W }
export function count<const C extends string, const W extends Where = Where>(
  column: C,
  options?: AggregateOptions<W>,
): { readonly fn: 'count'; readonly column: C; readonly where?: W }
export function count(first?: string | AggregateOptions, second?: AggregateOptions): CountInput {
  if (typeof first === 'string') return Object.freeze({ fn: 'count', column: first, ...given(second) })
  return Object.freeze({ fn: 'count', ...given(first) })
}

/** The sum; null without values. Exact for integers (bigint) and numeric (decimal string). `sum('promptTokens')` */
export const sum = column('sum')
/** The mean; null without values. `avg('latencyMs')` */
export const avg = column('avg')
/** The least value; text by bytes, NaN above every number. `min('latencyMs')` */
export const min = column('min')
/** The greatest value. `max('latencyMs')` */
export const max = column('max')
/** The value of the oldest row that has one; of several rows of one instant the least value. `first('price')` */
export const first = column('first')
/** The value of the newest row that has one; of several rows of one instant the greatest value. `last('price')` */
export const last = column('last')
/** Sample standard deviation; null below two values. `stddev('latencyMs')` */
export const stddev = column('stddev')
/** Sample variance; null below two values. `variance('latencyMs')` */
export const variance = column('variance')
/** How many different values, estimated by a HyperLogLog, exact while few. `uniques('userId')` */
export const uniques = column('uniques')
/** How many different values, exact; memory grows with their number. `countDistinct('userId')` */
export const countDistinct = column('countDistinct')

/**
 * The value below which the share `q` of the values lies, within 1 % of its value (DDSketch).
 *
 * @example
 * percentile('latencyMs', 0.95)
 */
export function percentile<const C extends string, const W extends Where = Where>(
  column: C,
  q: number,
  options?: AggregateOptions<W>,
): PercentileInput<C, W> {
  return Object.freeze({ fn: 'percentile', column, q, ...given(options) })
}

/**
 * Counts between borders: n borders give n + 1 counts (below the first, between each two, at or above the last).
 *
 * @example
 * histogram('latencyMs', [10, 100, 1000])
 */
export function histogram<const C extends string, const W extends Where = Where>(
  column: C,
  borders: readonly number[],
  options?: AggregateOptions<W>,
): HistogramInput<C, W> {
  return Object.freeze({ fn: 'histogram', column, borders: Object.freeze([...borders]), ...given(options) })
}
