import type { StateDefinition, StateKind } from './contract.ts'
import { countState } from './count.ts'
import { sketchState } from './ddsketch-state.ts'
import { distinctState } from './distinct.ts'
import { firstState, lastState } from './edge.ts'
import { maxState, minState } from './extreme.ts'
import { histogramState } from './histogram.ts'
import { hllState } from './hll.ts'
import { momentsState } from './moments.ts'
import { sumState } from './sum.ts'
import { counterState, timeWeightState } from './timeline-state.ts'
import { topState } from './topk.ts'

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
  topk: topState,
  counter: counterState,
  timeWeight: timeWeightState,
} as Record<StateKind, StateDefinition>)
