import { type Sql, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import type { AggregateState, EngineState, InputType, StateSpec } from './contract.ts'
import { countState } from './count.ts'
import { formatDecimal } from './decimal.ts'
import { type MomentsState, momentsState } from './moments.ts'
import type { StoredState } from './stored-state.ts'
import { type SumState, sumState } from './sum.ts'
import { isFloat } from './values.ts'

type ColumnsShape = Extract<EngineState, { shape: 'columns' }>

export function storedCount(spec: StateSpec): StoredState {
  const shape = countState.postgres(spec) as ColumnsShape
  const { read } = shape
  return {
    columns: [{ suffix: 'n', type: 'int8' }],
    write: (state) => [(state as { count: number }).count],
    read,
    merge: ([n]) => [sql`sum(${n})::int8`],
    finish: (fn, [n]) => (fn === 'count' ? (n as Sql) : null),
    rows: { shape: 'columns', columns: shape.columns, store: (computed) => computed },
  }
}

export function storedSum(spec: StateSpec): StoredState {
  return isFloat(spec.input as InputType) ? storedFloatSum(spec) : storedExactSum(spec)
}

function storedExactSum(spec: StateSpec): StoredState {
  const shape = sumState.postgres(spec) as ColumnsShape
  const { read } = shape
  const isNumeric = spec.input === 'numeric'
  return {
    columns: [
      { suffix: 'n', type: 'int8' },
      { suffix: 'sum', type: 'numeric' },
    ],
    write: (state) => [(state as SumState).count, exactText(state as SumState)],
    // a sum of nothing is no sum
    read: ([n, total]) => read([n, Number(n) === 0 ? null : total]),
    merge: ([n, total]) => [sql`sum(${n})::int8`, sql`sum(${total})`],
    finish(fn, [n, total]) {
      const isInt8 = spec.input === 'int2' || spec.input === 'int4'
      if (fn === 'sum') return sql`case when ${n} > 0 then ${total}${isInt8 ? sql`::int8` : sql``} end`
      if (fn !== 'avg') return null
      return isNumeric
        ? sql`case when ${n} > 0 then ${total} / ${n} end`
        : sql`case when ${n} > 0 then tidemark.nearest_ratio(${total}, ${n}) end`
    },
    rows: {
      shape: 'columns',
      columns: shape.columns,
      store: ([n, total]) => [n as Sql, sql`coalesce(${total}, 0)`],
    },
  }
}

function exactText(state: SumState): string {
  if (state.kind === 'integer') return String(state.sum + BigInt(state.pending))
  if (state.kind === 'decimal') return state.special ?? formatDecimal(state.unscaled, state.scale)
  return unreachable('a sum of doubles is no exact sum')
}

function storedFloatSum(spec: StateSpec): StoredState {
  const shape = sumState.postgres(spec) as ColumnsShape
  const { read } = shape
  return {
    columns: [
      { suffix: 'n', type: 'int8' },
      { suffix: 'small', type: 'float8' },
      { suffix: 'large', type: 'float8' },
    ],
    write(state) {
      const { count, small, large } = state as Extract<SumState, { kind: 'float' }>
      return [count, small + 0, large + 0]
    },
    read,
    merge: ([n, small, large]) => [sql`sum(${n})::int8`, sql`sum(${small})`, sql`sum(${large})`],
    finish(fn, [n, small, large]) {
      if (fn !== 'sum' && fn !== 'avg') return null
      const divisor = fn === 'sum' ? sql`1` : n
      return sql`case when ${n} = 0 then null when ${large} = 0 then ${small} / ${divisor} else tidemark.float_total(${small}, ${large}, ${divisor}) end`
    },
    rows: {
      shape: 'columns',
      columns: shape.columns,
      store: ([n, small, large]) => [n as Sql, plain(small as Sql), plain(large as Sql)],
    },
  }
}

/** Nothing is 0, and -0 is 0. */
function plain(double: Sql): Sql {
  return sql`(coalesce(${double}, 0) + 0e0::float8)`
}

const finiteSql = (double: Sql): Sql => sql`${double} > '-Infinity' and ${double} < 'Infinity'`

/** The values that are too large to be squared have columns of their own, null where there are none: that costs nothing. */
export function storedMoments(spec: StateSpec): StoredState {
  const isWhole = spec.input === 'int2' || spec.input === 'int4' || spec.input === 'int8'
  return {
    columns: [
      { suffix: 'n', type: 'int8' },
      { suffix: 'mean', type: 'float8' },
      { suffix: 'm2', type: 'float8' },
      { suffix: 'large_n', type: 'int8' },
      { suffix: 'large_mean', type: 'float8' },
      { suffix: 'large_m2', type: 'float8' },
    ],
    write(state) {
      const { small, large } = state as MomentsState
      const part = ({ count, mean, m2 }: MomentsState['small']) => [count, mean + 0, m2 + 0]
      return [...part(small), ...(large.count === 0 ? [null, null, null] : part(large))]
    },
    read([n, mean, m2, largeN, largeMean, largeM2]): AggregateState {
      const part = (count: unknown, mean: unknown, m2: unknown) => ({
        count: Number(count ?? 0),
        mean: Number(mean ?? 0),
        m2: Number(m2 ?? 0),
      })
      return {
        input: spec.input as InputType,
        small: part(n, mean, m2),
        large: part(largeN, largeMean, largeM2),
      } satisfies MomentsState
    },
    // from counts, means and deviations alone SQL's aggregates would subtract what is nearly equal
    merge: null,
    finish(fn, [n, mean, m2, largeN, largeMean, largeM2]) {
      if (fn !== 'stddev' && fn !== 'variance') return null
      const variance = sql`greatest(${m2}, 0) / (${n} - 1)`
      return sql`case
        when ${largeN} is not null then tidemark.large_variance(${n}, ${mean}, ${m2}, ${largeN}, ${largeMean}, ${largeM2}, ${fn === 'stddev'})
        when ${n} > 1 then ${fn === 'stddev' ? sql`sqrt(${variance})` : variance} end`
    },
    rows: {
      shape: 'columns',
      columns: (momentsState.postgres(spec) as ColumnsShape).columns,
      store([n, mean, deviation, largeN, largeMean, largeDeviation]) {
        const small = [n as Sql, plain(mean as Sql), plain(sql`${deviation} * ${n}`)]
        if (isWhole) return [...small, sql`null::int8`, sql`null::float8`, sql`null::float8`]
        const isSettled = sql`${finiteSql(largeMean as Sql)} and ${finiteSql(largeDeviation as Sql)}`
        const settled = (double: Sql): Sql =>
          sql`case when ${largeN} > 0 then case when ${isSettled} then ${double} else 'NaN' end end`
        return [
          ...small,
          sql`nullif(${largeN}, 0)`,
          settled(sql`${largeMean} + 0e0::float8`),
          settled(sql`${largeDeviation} * ${largeN}`),
        ]
      },
    },
  }
}
