import type { AggregateState, StateDefinition, StateKind, StateSpec } from './contract.ts'
import { type CountState, countState } from './count.ts'
import { type SketchState, sketchCount } from './ddsketch.ts'
import { sketchState } from './ddsketch-state.ts'
import { type DistinctState, distinctState } from './distinct.ts'
import { type EdgeState, firstState, lastState } from './edge.ts'
import { type ExtremeState, maxState, minState } from './extreme.ts'
import { type HistogramState, histogramState } from './histogram.ts'
import { type DistinctSketch, hllState } from './hll.ts'
import { type MomentsState, momentsState } from './moments.ts'
import { type SumState, sumState } from './sum.ts'

/**
 * Every kind of state.
 *
 * @example
 * const spec = aggregates.avg.state('float8', { borders: null })
 * const state = states[spec.kind].create(spec)
 * states[spec.kind].add(state, 1.5, null)
 * aggregates.avg.finish(state, spec, { quantile: null }) // 1.5
 */
export const states: Readonly<Record<StateKind, StateDefinition>> = Object.freeze({
  count: countState,
  sum: sumState,
  min: minState,
  max: maxState,
  first: firstState,
  last: lastState,
  moments: momentsState,
  ddsketch: sketchState,
  hll: hllState,
  distinct: distinctState,
  histogram: histogramState,
} as Record<StateKind, StateDefinition>)

const hasValueOf: Record<StateKind, (state: AggregateState) => boolean> = {
  count: (state) => (state as CountState).count > 0,
  sum: (state) => (state as SumState).count > 0,
  min: (state) => (state as ExtremeState).value !== null,
  max: (state) => (state as ExtremeState).value !== null,
  first: (state) => (state as EdgeState).value !== null,
  last: (state) => (state as EdgeState).value !== null,
  moments: (state) => (state as MomentsState).small.count + (state as MomentsState).large.count > 0,
  ddsketch: (state) => sketchCount(state as SketchState) > 0,
  hll: (state) => (state as DistinctSketch).registers !== null || (state as DistinctSketch).size > 0,
  distinct: (state) => (state as DistinctState).texts.size > 0,
  histogram: (state) => (state as HistogramState).counts.some((count) => count > 0),
}

/** Whether any value (for a count of rows: any row) went into the state. */
export function hasValue(spec: StateSpec, state: AggregateState): boolean {
  return hasValueOf[spec.kind](state)
}
