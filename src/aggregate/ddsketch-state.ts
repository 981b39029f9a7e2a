import { readState, writeState } from './bytes.ts'
import type { InputType, StateDefinition } from './contract.ts'
import { createSketch, finiteCount, type SketchState } from './ddsketch.ts'
import { bucketIndex } from './ddsketch-buckets.ts'
import { duckdbSketch, postgresSketch } from './ddsketch-engines.ts'
import { toFloat8 } from './values.ts'

/** Below it doubles are subnormal: counted as zeros. */
const lowestNormal = 2 ** -1022

function addDouble(state: SketchState, value: number): void {
  if (value >= lowestNormal) {
    if (value === Number.POSITIVE_INFINITY) {
      state.infinity += 1
      return
    }
    state.positive.add(bucketIndex(value), 1)
  } else if (value <= -lowestNormal) {
    if (value === Number.NEGATIVE_INFINITY) {
      state.minusInfinity += 1
      return
    }
    state.negative.add(bucketIndex(-value), 1)
  } else if (Number.isNaN(value)) {
    state.nan += 1
    return
  } else state.zero += 1
  // + 0: -0 is 0
  if (value < state.min) state.min = value + 0
  if (value > state.max) state.max = value + 0
}

export const sketchState: StateDefinition<SketchState> = {
  kind: 'ddsketch',
  exactness: 'sketch',
  create: (spec) => createSketch(spec.input as InputType),
  add(state, value) {
    addDouble(state, typeof value === 'number' ? value : toFloat8(state.input, value as string | bigint))
    return state
  },
  merge(into, other) {
    into.positive.merge(other.positive)
    into.negative.merge(other.negative)
    into.zero += other.zero
    into.nan += other.nan
    into.infinity += other.infinity
    into.minusInfinity += other.minusInfinity
    into.min = Math.min(into.min, other.min)
    into.max = Math.max(into.max, other.max)
    return into
  },
  encode(state) {
    const writer = writeState()
      .count(state.zero)
      .count(state.nan)
      .count(state.infinity)
      .count(state.minusInfinity)
    state.positive.write(writer)
    state.negative.write(writer)
    if (finiteCount(state) > 0) writer.double(state.min).double(state.max)
    return writer.finish()
  },
  decode(bytes, spec) {
    const reader = readState(bytes)
    const state = createSketch(spec.input as InputType)
    state.zero = reader.count()
    state.nan = reader.count()
    state.infinity = reader.count()
    state.minusInfinity = reader.count()
    state.positive.read(reader)
    state.negative.read(reader)
    if (finiteCount(state) > 0) {
      state.min = reader.double()
      state.max = reader.double()
    }
    reader.end()
    return state
  },
  postgres: (spec) => postgresSketch(spec.input as InputType),
  duckdb: (spec) => duckdbSketch(spec.input as InputType),
}
