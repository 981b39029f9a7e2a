import { raw, type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { InputType, StateDefinition } from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { valueWhere } from './filtered.ts'
import { selectByCell } from './keyed.ts'
import { float8Sql, toFloat8 } from './values.ts'

export interface HistogramState {
  readonly input: InputType
  readonly borders: readonly number[]
  /** Below the first border, between, at or above the last; NaN is counted in the last, as it sorts greatest. */
  readonly counts: Float64Array
}

function create(input: InputType, borders: readonly number[]): HistogramState {
  return { input, borders, counts: new Float64Array(borders.length + 1) }
}

/** How many borders are at or below the value: width_bucket's answer. */
function bucketOf(borders: readonly number[], value: number): number {
  if (Number.isNaN(value)) return borders.length
  let low = 0
  let high = borders.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (borders[middle]! <= value) low = middle + 1
    else high = middle
  }
  return low
}

export const histogramState: StateDefinition<HistogramState> = {
  kind: 'histogram',
  exactness: 'exact',
  create: (spec) => create(spec.input as InputType, spec.borders ?? []),
  add(state, value) {
    const double = typeof value === 'number' ? value : toFloat8(state.input, value as string | bigint)
    state.counts[bucketOf(state.borders, double)]! += 1
    return state
  },
  merge(into, other) {
    for (let i = 0; i < into.counts.length; i += 1) into.counts[i]! += other.counts[i]!
    return into
  },
  encode(state) {
    const writer = writeState()
    for (const count of state.counts) writer.count(count)
    return writer.finish()
  },
  decode(bytes, spec) {
    const reader = readState(bytes)
    const state = create(spec.input as InputType, spec.borders ?? [])
    for (let i = 0; i < state.counts.length; i += 1) state.counts[i] = reader.count()
    reader.end()
    return state
  },
  postgres(spec) {
    const input = spec.input as InputType
    const borders = spec.borders ?? []
    const array = raw(`'{${borders.map(String).join(',')}}'::float8[]`)
    return {
      shape: 'keyed',
      key: ({ value, filter }) =>
        valueWhere(sql`width_bucket(${float8Sql(input, value as Sql)}, ${array})`, filter),
      inner: () => [sql`count(*)`],
      width: 2,
      outer: (source) =>
        selectByCell(source, [sql`array_agg(${source.key})`, sql`array_agg(${source.inner[0]})`]),
      read: (values) => read(input, borders, values),
    }
  },
  duckdb(spec) {
    const input = spec.input as InputType
    const borders = spec.borders ?? []
    return {
      shape: 'keyed',
      prepare: duckdbType(input).double,
      key: ({ value, filter }) => valueWhere(searchSql(value as Sql, borders), filter),
      inner: () => [sql`count(*)`],
      width: 2,
      outer: (source) => selectByCell(source, [sql`list(${source.key})`, sql`list(${source.inner[0]})`]),
      read: (values) => read(input, borders, values),
    }
  },
}

function read(
  input: InputType,
  borders: readonly number[],
  [keys, counts]: readonly unknown[],
): HistogramState {
  const state = create(input, borders)
  const many = (counts ?? []) as readonly bigint[]
  ;((keys ?? []) as readonly number[]).forEach((at, i) => {
    state.counts[at]! += Number(many[i])
  })
  return state
}

/** `bucketOf` as a binary search in nested CASEs: DuckDB has no width_bucket over borders. NaN is above all of them. */
function searchSql(double: Sql, borders: readonly number[]): Sql {
  const between = (low: number, high: number): Sql => {
    if (low === high) return raw(String(low))
    const middle = (low + high) >>> 1
    // an exponent makes it a DOUBLE and not a DECIMAL
    const border = raw(borders[middle]!.toExponential())
    return sql`case when ${double} < ${border} then ${between(low, middle)} else ${between(middle + 1, high)} end`
  }
  return sql`case when (${double}) is not null then ${between(0, borders.length)} end`
}
