import { type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { EngineState, InputType, StateDefinition, StateInput } from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { filtered, valueWhere } from './filtered.ts'
import { float8Sql, isFloat, toFloat8 } from './values.ts'

/** Count, mean and sum of squared deviations. */
interface Moments {
  count: number
  mean: number
  m2: number
}

/**
 * Two sets, so that no square overflows: values below 2^400 as they are, the others times 2^-600. A NaN or an infinity
 * makes the second one NaN.
 */
export interface MomentsState {
  readonly input: InputType
  readonly small: Moments
  readonly large: Moments
}

const largeFrom = 2 ** 400
const largeScale = 2 ** -600

const none = (): Moments => ({ count: 0, mean: 0, m2: 0 })

/** Welford 1962. */
function addTo(moments: Moments, value: number): void {
  moments.count += 1
  const delta = value - moments.mean
  moments.mean += delta / moments.count
  moments.m2 += delta * (value - moments.mean)
}

/** Chan, Golub, LeVeque 1979: moments of two sets together. */
function mergeInto(into: Moments, other: Moments): void {
  if (other.count === 0) return
  if (into.count === 0) {
    into.count = other.count
    into.mean = other.mean
    into.m2 = other.m2
    return
  }
  const count = into.count + other.count
  const delta = other.mean - into.mean
  into.m2 += other.m2 + delta * delta * into.count * (other.count / count)
  into.mean += delta * (other.count / count)
  into.count = count
}

function settle(moments: Moments): void {
  if (Number.isFinite(moments.mean) && Number.isFinite(moments.m2)) return
  moments.mean = Number.NaN
  moments.m2 = Number.NaN
}

export const momentsState: StateDefinition<MomentsState> = {
  kind: 'moments',
  exactness: 'bounded',
  create: (spec) => ({ input: spec.input as InputType, small: none(), large: none() }),
  add(state, value) {
    const double = typeof value === 'number' ? value : toFloat8(state.input, value as string | bigint)
    if (Math.abs(double) < largeFrom) addTo(state.small, double)
    else {
      addTo(state.large, double * largeScale)
      settle(state.large)
    }
    return state
  },
  merge(into, other) {
    mergeInto(into.small, other.small)
    mergeInto(into.large, other.large)
    settle(into.large)
    return into
  },
  encode(state) {
    const writer = writeState()
    for (const part of [state.small, state.large]) writer.count(part.count).double(part.mean).double(part.m2)
    return writer.finish()
  },
  decode(bytes, spec) {
    const reader = readState(bytes)
    const read = (): Moments => ({ count: reader.count(), mean: reader.double(), m2: reader.double() })
    const state: MomentsState = { input: spec.input as InputType, small: read(), large: read() }
    reader.end()
    return state
  },
  postgres(spec) {
    const input = spec.input as InputType
    const isWhole = input === 'int2' || input === 'int4' || input === 'int8'
    return {
      shape: 'columns',
      // avg and var_pop share one transition (float8_accum: Youngs and Cramer 1971)
      columns({ value, filter }) {
        const parts = (argument: Sql, condition: Sql | null): Sql[] => [
          filtered(sql`count(${value})`, filter, condition),
          filtered(sql`avg(${argument})`, filter, condition),
          filtered(sql`var_pop(${argument})`, filter, condition),
        ]
        const double = float8Sql(input, value as Sql)
        if (isWhole) return parts(double, null)
        // which set a value goes into need not be the same everywhere: numerics are compared before the conversion, which
        // goes through text
        const isSmall =
          input === 'numeric'
            ? sql`(${value}) between -1e100 and 1e100`
            : sql`abs(${double}) < 2.5822498780869086e120::float8`
        return [
          ...parts(double, isSmall),
          ...parts(sql`${double} * 2.409919865102884e-181::float8`, sql`not ${isSmall}`),
        ]
      },
      read(values): MomentsState {
        const part = (at: number): Moments => {
          const count = Number(values[at] ?? 0)
          return { count, mean: Number(values[at + 1] ?? 0), m2: Number(values[at + 2] ?? 0) * count }
        }
        const state = { input, small: part(0), large: isWhole ? none() : part(3) }
        settle(state.large)
        return state
      },
    }
  },
  duckdb: (spec) => duckdb(spec.input as InputType),
}

/**
 * covar_pop(x, x) is var_pop(x) (Welford) that gives NaN where var_pop raises an error. DECIMAL has no value of 2^400, nor
 * has an integer.
 */
function duckdb(input: InputType): EngineState {
  const parts = (value: Sql, ...conditions: readonly (Sql | null)[]): Sql[] => {
    const kept = valueWhere(value, ...conditions)
    return [sql`count(${kept})`, sql`avg(${kept})`, sql`covar_pop(${kept}, ${value})`]
  }
  const part = (values: readonly unknown[], at: number): Moments => {
    const count = Number(values[at] ?? 0)
    return { count, mean: Number(values[at + 1] ?? 0), m2: Number(values[at + 2] ?? 0) * count }
  }
  const all = ({ value, filter }: StateInput): Sql[] => parts(duckdbType(input).double(value as Sql), filter)
  if (!isFloat(input))
    return {
      shape: 'columns',
      columns: all,
      read: (values) => ({ input, small: part(values, 0), large: none() }) satisfies MomentsState,
    }
  return {
    shape: 'columns',
    columns({ value, filter }) {
      const double = duckdbType(input).double(value as Sql)
      const isSmall = sql`abs(${double}) < 2.5822498780869086e120`
      return [
        ...parts(double, filter, isSmall),
        ...parts(sql`(${double} * 2.409919865102884e-181)`, filter, sql`not ${isSmall}`),
      ]
    },
    read(values) {
      const state: MomentsState = { input, small: part(values, 0), large: part(values, 3) }
      settle(state.large)
      return state
    },
    quick: {
      columns: all,
      // what overflowed is not finite, and what did not may still be too large to be merged
      read(values): MomentsState | null {
        const small = part(values, 0)
        // (to either side: two of opposite signs make -Infinity)
        const fits = Math.abs(small.mean) < largeFrom && Math.abs(small.m2) < largeFrom * largeFrom
        return fits ? { input, small, large: none() } : null
      },
    },
  }
}

/** Sample variance as a double times 2^-1200 when `scaled`, so that the root of one that overflows does not. */
function sampleVariance(state: MomentsState): { variance: number; scaled: boolean } | null {
  const count = state.small.count + state.large.count
  if (count < 2) return null
  if (state.large.count === 0) return { variance: Math.max(state.small.m2, 0) / (count - 1), scaled: false }
  const all = { ...state.large }
  const { small } = state
  mergeInto(all, {
    count: small.count,
    mean: small.mean * largeScale,
    m2: small.m2 * largeScale * largeScale,
  })
  return { variance: Math.max(all.m2, 0) / (count - 1), scaled: true }
}

/** Null below two values; NaN when a NaN or an infinity is among them. */
export function finishVariance(state: MomentsState): number | null {
  const sample = sampleVariance(state)
  if (sample === null) return null
  return sample.scaled ? sample.variance / largeScale / largeScale : sample.variance
}

export function finishStddev(state: MomentsState): number | null {
  const sample = sampleVariance(state)
  if (sample === null) return null
  return sample.scaled ? Math.sqrt(sample.variance) / largeScale : Math.sqrt(sample.variance)
}
