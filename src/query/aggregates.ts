/**
 * What goes into `select`: plain frozen JSON, so that a query is the same in TypeScript, over HTTP and in a file.
 * The result type is inferred from the function and the column's type (types.ts).
 */
type Where = object

/** Whether there is a filter is part of the type, so that its names can be checked against the dataset's. */
type WhereOf<W> = [W] extends [never] ? unknown : { readonly where: W }

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

export interface ColumnAggregate<F extends ColumnFunction, C extends string> {
  readonly fn: F
  readonly column: C
}

export interface PercentileAggregate<C extends string> {
  readonly fn: 'percentile'
  readonly column: C
  readonly q: number
}

export interface PercentilesAggregate<C extends string> {
  readonly fn: 'percentiles'
  readonly column: C
  readonly qs: readonly number[]
}

export interface HistogramAggregate<C extends string> {
  readonly fn: 'histogram'
  readonly column: C
  readonly borders: readonly number[]
}

export interface AggregateOptions<W extends Where> {
  /** Only rows that match are aggregated; the others still make their group appear. */
  readonly where?: W
}

function column<const F extends ColumnFunction>(
  fn: F,
): <const C extends string, const W extends Where = never>(
  column: C,
  options?: AggregateOptions<W>,
) => ColumnAggregate<F, C> & WhereOf<W> {
  return <C extends string, W extends Where>(column: C, options?: AggregateOptions<W>) =>
    build<ColumnAggregate<F, C> & WhereOf<W>>({ fn, column }, options)
}

/** The one place where the filter's type and its presence are matched by hand. */
function build<A>(aggregate: object, options: AggregateOptions<Where> | undefined): A {
  const where = options?.where === undefined ? {} : { where: options.where }
  return Object.freeze({ ...aggregate, ...where }) as A
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
): { readonly fn: 'count'; readonly where: W }
export function count<const C extends string, const W extends Where = never>(
  column: C,
  options?: AggregateOptions<W>,
): { readonly fn: 'count'; readonly column: C } & WhereOf<W>
export function count(first?: string | AggregateOptions<Where>, second?: AggregateOptions<Where>): object {
  if (typeof first === 'string') return build({ fn: 'count', column: first }, second)
  return build({ fn: 'count' }, first)
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
export function percentile<const C extends string, const W extends Where = never>(
  column: C,
  q: number,
  options?: AggregateOptions<W>,
): PercentileAggregate<C> & WhereOf<W> {
  return build({ fn: 'percentile', column, q }, options)
}

/** The quantiles that `percentiles` gives when none are named. */
export const defaultQuantiles: readonly number[] = Object.freeze([0.5, 0.9, 0.95, 0.99])

/**
 * Several percentiles of one sketch, as a list in the order of `qs`; null without values.
 *
 * @example
 * percentiles('latencyMs')              // [p50, p90, p95, p99]
 * percentiles('latencyMs', [0.5, 0.99])
 */
export function percentiles<const C extends string, const W extends Where = never>(
  column: C,
  qs: readonly number[] = defaultQuantiles,
  options?: AggregateOptions<W>,
): PercentilesAggregate<C> & WhereOf<W> {
  return build({ fn: 'percentiles', column, qs: Object.freeze([...qs]) }, options)
}

/**
 * Counts between borders: n borders give n + 1 counts (below the first, between each two, at or above the last).
 *
 * @example
 * histogram('latencyMs', [10, 100, 1000])
 */
export function histogram<const C extends string, const W extends Where = never>(
  column: C,
  borders: readonly number[],
  options?: AggregateOptions<W>,
): HistogramAggregate<C> & WhereOf<W> {
  return build({ fn: 'histogram', column, borders: Object.freeze([...borders]) }, options)
}

export interface TopKAggregate<C extends string> {
  readonly fn: 'topK'
  readonly column: C
  readonly k: number
}

/**
 * The `k` values that occur most often (at most 1,000), as a list of `{ value, count, error }`: it occurred at least `count` and at
 * most `count + error` times. Exact (`error` 0) while a group has no more different values than are kept: 8 k, at least 256.
 *
 * @example
 * topK('path', 10) // [{ value: '/', count: 812, error: 0 }, …]
 */
export function topK<const C extends string, const W extends Where = never>(
  column: C,
  k: number,
  options?: AggregateOptions<W>,
): TopKAggregate<C> & WhereOf<W> {
  return build({ fn: 'topK', column, k }, options)
}

export type SeriesFunction = 'increase' | 'rate' | 'delta'

export interface SeriesAggregate<F extends SeriesFunction, C extends string, S extends string> {
  readonly fn: F
  readonly column: C
  readonly series?: readonly S[]
}

export interface SeriesOptions<S extends string, W extends Where> extends AggregateOptions<W> {
  /** Columns that tell series apart. Default: the tenant and the table's `orderBy`, but its time. */
  readonly series?: readonly S[]
}

function seriesOf(options: { readonly series?: readonly string[] } | undefined): object {
  return options?.series === undefined ? {} : { series: Object.freeze([...options.series]) }
}

function overSeries<const F extends SeriesFunction>(
  fn: F,
): <const C extends string, const S extends string = never, const W extends Where = never>(
  column: C,
  options?: SeriesOptions<S, W>,
) => SeriesAggregate<F, C, S> & WhereOf<W> {
  return <C extends string, S extends string, W extends Where>(column: C, options?: SeriesOptions<S, W>) =>
    build<SeriesAggregate<F, C, S> & WhereOf<W>>({ fn, column, ...seriesOf(options) }, options)
}

/**
 * What a counter went up by from the first reading of a bucket to its last, all series together. A reading below the one before is
 * a reset: the counter began again at 0. Nothing is extrapolated, and what was counted between two buckets is in neither.
 *
 * @example
 * increase('bytesSent')                        // series by the table's orderBy
 * increase('bytesSent', { series: ['host'] })
 */
export const increase = overSeries('increase')
/** The increase for each second between a series' first reading and its last, all series together. `rate('bytesSent')` */
export const rate = overSeries('rate')
/** The last reading less the first, all series together: for gauges. `delta('temperature')` */
export const delta = overSeries('delta')

export interface TimeWeightedAggregate<C extends string, S extends string> {
  readonly fn: 'timeWeightedAvg'
  readonly column: C
  readonly method?: 'locf' | 'linear'
  readonly series?: readonly S[]
}

export interface TimeWeightOptions<S extends string, W extends Where> extends SeriesOptions<S, W> {
  /** `locf` (default): a reading holds until the next. `linear`: a straight line between two readings. */
  readonly method?: 'locf' | 'linear'
}

/**
 * The average over time and not over readings, from a series' first reading to its last; null when no series has two.
 *
 * @example
 * timeWeightedAvg('temperature', { method: 'linear', series: ['sensor'] })
 */
export function timeWeightedAvg<
  const C extends string,
  const S extends string = never,
  const W extends Where = never,
>(column: C, options?: TimeWeightOptions<S, W>): TimeWeightedAggregate<C, S> & WhereOf<W> {
  const method = options?.method === undefined ? {} : { method: options.method }
  return build({ fn: 'timeWeightedAvg', column, ...method, ...seriesOf(options) }, options)
}

/** The parts of a candle, as they go into `select`. */
export interface Candlestick<P extends string> {
  readonly open: ColumnAggregate<'first', P>
  readonly high: ColumnAggregate<'max', P>
  readonly low: ColumnAggregate<'min', P>
  readonly close: ColumnAggregate<'last', P>
}

/**
 * Open, high, low and close of a price, and the volume where its column is named: five aggregates to be spread into `select`. They
 * are exact and merge, so that candles of an hour made of those of a minute are those of the rows. JSON names the five.
 *
 * @example
 * await tm.query(ticks, { bucket: '1 minute', by: ['symbol'], select: { ...candlestick('price', 'size'), trades: count() } })
 */
export function candlestick<const P extends string>(price: P): Candlestick<P>
export function candlestick<const P extends string, const V extends string>(
  price: P,
  volume: V,
): Candlestick<P> & { readonly volume: ColumnAggregate<'sum', V> }
export function candlestick(price: string, volume?: string): object {
  return Object.freeze({
    open: first(price),
    high: max(price),
    low: min(price),
    close: last(price),
    ...(volume === undefined ? {} : { volume: sum(volume) }),
  })
}
