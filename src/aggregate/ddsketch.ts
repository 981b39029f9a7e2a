import type { InputType } from './contract.ts'
import { BucketStore, bucketValue } from './ddsketch-buckets.ts'

export interface SketchState {
  readonly input: InputType
  readonly positive: BucketStore
  readonly negative: BucketStore
  /** Zeros and subnormal values. */
  zero: number
  nan: number
  infinity: number
  minusInfinity: number
  /** Of the finite values, as they are. */
  min: number
  max: number
}

/** Of no values. */
export function createSketch(input: InputType): SketchState {
  return {
    input,
    positive: new BucketStore(),
    negative: new BucketStore(),
    zero: 0,
    nan: 0,
    infinity: 0,
    minusInfinity: 0,
    min: Number.POSITIVE_INFINITY,
    max: Number.NEGATIVE_INFINITY,
  }
}

export function finiteCount(state: SketchState): number {
  return state.negative.total + state.zero + state.positive.total
}

function sketchCount(state: SketchState): number {
  return finiteCount(state) + state.nan + state.infinity + state.minusInfinity
}

/**
 * The value at rank floor(q * (n - 1)) of the values in PostgreSQL's order (-Infinity first, NaN last), within 1/101 of
 * itself; the least and the greatest finite value exactly. Null for no values.
 */
export function finishPercentile(state: SketchState, quantile: number): number | null {
  const count = sketchCount(state)
  if (count === 0) return null
  let rank = Math.floor(quantile * (count - 1))
  if (rank < state.minusInfinity) return Number.NEGATIVE_INFINITY
  rank -= state.minusInfinity
  const finite = finiteCount(state)
  if (rank >= finite) return rank - finite < state.infinity ? Number.POSITIVE_INFINITY : Number.NaN
  if (rank === 0) return state.min
  if (rank === finite - 1) return state.max
  return Math.min(Math.max(finiteAt(state, rank), state.min), state.max)
}

function finiteAt(state: SketchState, rank: number): number {
  if (rank < state.negative.total) return -bucketValue(state.negative.at(rank, true))
  const rest = rank - state.negative.total
  if (rest < state.zero) return 0
  return bucketValue(state.positive.at(rest - state.zero, false))
}
