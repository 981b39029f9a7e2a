import { TidemarkError } from '../util/errors.ts'
import type {
  AggregateDefinition,
  AggregateFunction,
  AggregateState,
  FinishedValue,
  FinishOptions,
  InputType,
  ResultType,
  StateKind,
  StateOptions,
  StateSpec,
} from './contract.ts'
import type { CountState } from './count.ts'
import { finishPercentile, type SketchState } from './ddsketch.ts'
import type { DistinctState } from './distinct.ts'
import { type EdgeState, finishEdge } from './edge.ts'
import { type ExtremeState, finishExtreme } from './extreme.ts'
import type { HistogramState } from './histogram.ts'
import { type DistinctSketch, exactUpTo, finishUniques, standardError } from './hll.ts'
import { finishStddev, finishVariance, type MomentsState } from './moments.ts'
import { finishAvg, finishSum, type SumState } from './sum.ts'
import {
  finishDelta,
  finishIncrease,
  finishRate,
  finishTimeWeightedAvg,
  type TimelineState,
} from './timeline.ts'
import { finishTop, maxTopK, type TopState, topCapacity } from './topk.ts'
import { isFloat, isNumeric } from './values.ts'

/** Borders of one histogram at most: each makes a count in every cell of the answer. */
const maxHistogramBorders = 1000

interface Parts<S extends AggregateState> {
  readonly kind: StateKind
  readonly accepts: (input: InputType) => boolean
  readonly accepted: string
  readonly needsColumn?: boolean
  /** What the state has besides kind, input and borders. */
  readonly parameters?: (options: StateOptions) => Partial<StateSpec>
  readonly result: (input: InputType | null) => ResultType
  readonly finish: (state: S, spec: StateSpec, options: FinishOptions) => FinishedValue
  readonly errorBound?: (input: InputType | null) => string | null
}

const anything = (): boolean => true
const ordered = (input: InputType): boolean => input !== 'text[]'
const anyOrdered = 'any column but text[]'
const anyNumber = 'a column of numbers (int2, int4, int8, float4, float8, numeric) or a JSON number'

function define<S extends AggregateState>(fn: AggregateFunction, parts: Parts<S>): AggregateDefinition {
  return Object.freeze({
    fn,
    needsColumn: parts.needsColumn ?? true,
    refuses(input: InputType | null) {
      if (input === null) return parts.needsColumn === false ? null : parts.accepted
      return parts.accepts(input) ? null : parts.accepted
    },
    state(input: InputType | null, options: StateOptions): StateSpec {
      const borders = parts.kind === 'histogram' ? checkBorders(options.borders) : null
      return Object.freeze({ kind: parts.kind, input, borders, ...parts.parameters?.(options) })
    },
    result: parts.result,
    finish: (state: AggregateState, spec: StateSpec, options: FinishOptions) =>
      parts.finish(state as S, spec, options),
    errorBound: parts.errorBound ?? (() => null),
  } satisfies AggregateDefinition)
}

function checkBorders(borders: readonly number[] | null): readonly number[] {
  const problem = (text: string): TidemarkError =>
    new TidemarkError('TM_QUERY', { path: 'borders', problem: text })
  if (borders === null || borders.length === 0) throw problem('histogram needs at least one border')
  if (borders.length > maxHistogramBorders)
    throw problem(`histogram has ${borders.length} borders, over the limit of ${maxHistogramBorders}`)
  borders.forEach((border, i) => {
    if (!Number.isFinite(border)) throw problem(`border ${border} is not a finite number`)
    if (i > 0 && !(borders[i - 1]! < border))
      throw problem(`borders must ascend, and ${border} follows ${borders[i - 1]}`)
  })
  // -0 is 0: equal specs have equal keys
  return Object.freeze(borders.map((border) => border + 0))
}

function checkQuantile(quantile: number | null): number {
  if (quantile !== null && quantile >= 0 && quantile <= 1) return quantile
  throw new TidemarkError('TM_QUERY', {
    path: 'quantile',
    problem: `a percentile needs a quantile from 0 to 1, not ${quantile}`,
  })
}

const percentileBound = 'within 1 % of the value at rank floor(q * (n - 1))'

/** The column's own type; what comes out of JSON is float8 or text. */
function sameType(input: InputType | null): ResultType {
  if (input === 'json-number') return 'float8'
  if (input === 'json-text') return 'text'
  return input as ResultType
}

function sumType(input: InputType | null): ResultType {
  if (input === 'int2' || input === 'int4') return 'int8'
  return input === 'int8' || input === 'numeric' ? 'numeric' : 'float8'
}

const sumBound = (input: InputType | null): string | null =>
  input !== null && isFloat(input) ? 'within n * 2.3e-16 * sum(|x|) of the exact sum' : null

const edgeParts = (kind: 'first' | 'last'): Parts<EdgeState> => ({
  kind,
  accepts: ordered,
  accepted: anyOrdered,
  result: sameType,
  finish: (state) => finishEdge(state),
})

const extremeParts = (kind: 'min' | 'max'): Parts<ExtremeState> => ({
  kind,
  accepts: ordered,
  accepted: anyOrdered,
  result: sameType,
  finish: (state) => finishExtreme(state),
})

const timelineParts = (
  finish: (state: TimelineState) => number | null,
  errorBound: (input: InputType | null) => string | null,
): Omit<Parts<TimelineState>, 'kind'> => ({
  accepts: isNumeric,
  accepted: anyNumber,
  parameters: ({ series = [] }) => ({ series: Object.freeze([...series]) }),
  result: () => 'float8',
  finish,
  errorBound,
})

const whole: ReadonlySet<InputType | null> = new Set(['int2', 'int4'])

/** Differences of whole numbers below 2^53 are exact; int8 is rounded to doubles first. */
const increaseBound = (input: InputType | null): string | null =>
  whole.has(input) ? null : 'within n * 2.3e-16 * sum(|x|), of readings as doubles'

function checkK(k: number | undefined): number {
  if (k !== undefined && Number.isInteger(k) && k >= 1 && k <= maxTopK) return k
  throw new TidemarkError('TM_QUERY', {
    path: 'k',
    problem: `topK lists 1 to ${maxTopK} values, not ${k}`,
  })
}

/** Every aggregate function: what it takes, which state it is finished from, and what comes out. */
export const aggregates: Readonly<Record<AggregateFunction, AggregateDefinition>> = Object.freeze({
  count: define<CountState>('count', {
    kind: 'count',
    accepts: anything,
    accepted: 'any column',
    needsColumn: false,
    result: () => 'count',
    finish: (state) => state.count,
  }),
  sum: define<SumState>('sum', {
    kind: 'sum',
    accepts: isNumeric,
    accepted: anyNumber,
    result: sumType,
    finish: (state, spec) => finishSum(state, spec.input as InputType),
    errorBound: sumBound,
  }),
  avg: define<SumState>('avg', {
    kind: 'sum',
    accepts: isNumeric,
    accepted: anyNumber,
    result: (input) => (input === 'numeric' ? 'numeric' : 'float8'),
    finish: (state) => finishAvg(state),
    errorBound: (input) =>
      sumBound(input) === null ? null : 'within (n + 1) * 2.3e-16 * avg(|x|) of the exact average',
  }),
  min: define('min', extremeParts('min')),
  max: define('max', extremeParts('max')),
  first: define('first', edgeParts('first')),
  last: define('last', edgeParts('last')),
  stddev: define<MomentsState>('stddev', {
    kind: 'moments',
    accepts: isNumeric,
    accepted: anyNumber,
    result: () => 'float8',
    finish: (state) => finishStddev(state),
    errorBound: () => 'relative error within 4k + 2k^2, k = n * 2.3e-16 * sqrt(1 + avg^2 / variance)',
  }),
  variance: define<MomentsState>('variance', {
    kind: 'moments',
    accepts: isNumeric,
    accepted: anyNumber,
    result: () => 'float8',
    finish: (state) => finishVariance(state),
    errorBound: () => 'relative error within 4k + 2k^2, k = n * 2.3e-16 * sqrt(1 + avg^2 / variance)',
  }),
  percentile: define<SketchState>('percentile', {
    kind: 'ddsketch',
    accepts: isNumeric,
    accepted: anyNumber,
    result: () => 'float8',
    finish: (state, _spec, { quantile }) => finishPercentile(state, checkQuantile(quantile)),
    errorBound: () => percentileBound,
  }),
  percentiles: define<SketchState>('percentiles', {
    kind: 'ddsketch',
    accepts: isNumeric,
    accepted: anyNumber,
    result: () => 'percentiles',
    finish(state, _spec, { quantiles = [] }) {
      const found: number[] = []
      for (const quantile of quantiles) {
        const value = finishPercentile(state, checkQuantile(quantile))
        if (value === null) return null
        found.push(value)
      }
      return found
    },
    errorBound: () => percentileBound,
  }),
  uniques: define<DistinctSketch>('uniques', {
    kind: 'hll',
    accepts: ordered,
    accepted: anyOrdered,
    result: () => 'count',
    finish: (state) => finishUniques(state),
    errorBound: () =>
      `exact up to ${exactUpTo}, beyond a standard error of ${(standardError * 100).toFixed(2)} %`,
  }),
  countDistinct: define<DistinctState>('countDistinct', {
    kind: 'distinct',
    accepts: ordered,
    accepted: anyOrdered,
    result: () => 'count',
    finish: (state) => state.texts.size,
  }),
  histogram: define<HistogramState>('histogram', {
    kind: 'histogram',
    accepts: isNumeric,
    accepted: anyNumber,
    result: () => 'histogram',
    finish: (state) => [...state.counts],
  }),
  topK: define<TopState>('topK', {
    kind: 'topk',
    accepts: ordered,
    accepted: anyOrdered,
    parameters: ({ k }) => ({ capacity: topCapacity(checkK(k)) }),
    result: () => 'topK',
    finish: (state, _spec, { k }) => finishTop(state, checkK(k)),
    errorBound: () =>
      'each value occurred count to count + error times; exact while the different values of a cell are no more than are kept ' +
      `(8 k, at least ${topCapacity(1)})`,
  }),
  increase: define<TimelineState>('increase', {
    kind: 'counter',
    ...timelineParts(finishIncrease, increaseBound),
  }),
  rate: define<TimelineState>('rate', {
    kind: 'counter',
    ...timelineParts(finishRate, () => 'within n * 2.3e-16 * sum(|x|) / seconds, of readings as doubles'),
  }),
  delta: define<TimelineState>('delta', { kind: 'counter', ...timelineParts(finishDelta, increaseBound) }),
  timeWeightedAvg: define<TimelineState>('timeWeightedAvg', {
    kind: 'timeWeight',
    ...timelineParts(finishTimeWeightedAvg, () => 'within 2 n * 2.3e-16 * avg(|x|), of readings as doubles'),
    parameters: ({ series = [], weight = 'locf' }) => ({ series: Object.freeze([...series]), weight }),
  }),
})
