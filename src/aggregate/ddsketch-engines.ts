import { raw, type Sql, sql } from '../util/sql.ts'
import type { EngineState, InputType } from './contract.ts'
import { createSketch, type SketchState } from './ddsketch.ts'
import { bucketBorder, bucketsPerOctave } from './ddsketch-buckets.ts'
import { duckdbType } from './duckdb-values.ts'
import { valueWhere } from './filtered.ts'
import { selectByCell } from './keyed.ts'
import { float8Sql } from './values.ts'

export function postgresSketch(input: InputType): EngineState {
  return {
    shape: 'keyed',
    // numeric to float8 goes through text; the other conversions cost nothing
    prepare: input === 'numeric' ? (value) => float8Sql(input, value) : undefined,
    fence: raw('offset 0'),
    key: ({ value, filter }) => valueWhere(keySql(sql`(${value})::float8`), filter),
    inner: ({ value }) => [sql`count(*)`, sql`min((${value})::float8)`, sql`max((${value})::float8)`],
    width: 4,
    outer({ select, cells, key, inner }) {
      const beyond = raw(String(infinityKey))
      const finite = sql`filter (where ${key} > -${beyond} and ${key} < ${beyond})`
      return selectByCell({ select, cells }, [
        sql`array_agg(${key})`,
        sql`array_agg(${inner[0]})`,
        sql`min(${inner[1]}) ${finite}`,
        sql`max(${inner[2]}) ${finite}`,
      ])
    },
    read([keys, counts, min, max]): SketchState {
      const state = createSketch(input)
      const listed = (keys ?? []) as readonly number[]
      const many = (counts ?? []) as readonly bigint[]
      listed.forEach((at, i) => {
        const count = Number(many[i])
        if (at === 0) state.zero += count
        else if (at === infinityKey) state.infinity += count
        else if (at === -infinityKey) state.minusInfinity += count
        else if (at === nanKey) state.nan += count
        else if (at > 0) state.positive.add(at - keyOffset, count)
        else state.negative.add(-at - keyOffset, count)
      })
      if (typeof min === 'number') state.min = min + 0
      if (typeof max === 'number') state.max = max + 0
      return state
    },
  }
}

/** Keys: the bucket moved above zero, with the sign of the value; 0 for zero; and three beyond all buckets. */
const keyOffset = 1022 * bucketsPerOctave + 1
const infinityKey = 1_000_000
const nanKey = 2_000_000

/**
 * The exponent's group of eight is found among 256 powers of two, and after a division by that power, which is exact,
 * the bucket among the 400 borders of eight octaves. Nothing is computed by a logarithm, so nothing can be off by one.
 */
const octaves = 8
const groups = raw(
  `'{${Array.from({ length: 256 }, (_, i) => String(2 ** (-1022 + octaves * i))).join(',')}}'::float8[]`,
)
const borders = raw(
  `'{${Array.from({ length: octaves * bucketsPerOctave }, (_, i) => String(bucketBorder(i))).join(',')}}'::float8[]`,
)

function keySql(double: Sql): Sql {
  const magnitude = sql`abs(${double})`
  const group = sql`width_bucket(${magnitude}, ${groups})`
  const bucket = sql`(${group} - 1) * ${raw(String(octaves * bucketsPerOctave))} + width_bucket(${magnitude} / (${groups})[${group}], ${borders})`
  return sql`case
    when ${magnitude} >= 2.2250738585072014e-308::float8 and ${magnitude} < 'Infinity'::float8
      then case when ${double} < 0e0::float8 then -1 else 1 end * (${bucket})
    when ${magnitude} < 2.2250738585072014e-308::float8 then 0
    when ${double} = 'Infinity'::float8 then ${raw(String(infinityKey))}
    when ${double} = '-Infinity'::float8 then -${raw(String(infinityKey))}
    when ${double} is not null then ${raw(String(nanKey))} end`
}

/**
 * DuckDB reaches the bits of a double (BIT is a cast), so whole numbers are enough: T(e, s) has the fraction
 * round(s * 2^52 / 50), and the rounded number is at most f exactly when s * 2^52 < 50 * f + 25, as no s * 2^52 / 50 lies
 * halfway between two whole numbers. The key is `exponent field * 50 + s`, 2048 * 50 less for a negative value: zeros,
 * subnormal values, infinities and NaN have keys of their own and are told apart by `read`.
 */
export function duckdbSketch(input: InputType): EngineState {
  return {
    shape: 'keyed',
    // + 0 sets the top bit of a NaN that had another payload; the cast is what costs (18 ns), so once a row
    prepare: (value) => sql`(${duckdbType(input).double(value)} + 0e0)::bit::bigint`,
    key: ({ value, filter }) =>
      valueWhere(
        sql`((${value} >> 52) * 50 + (((${value} & 4503599627370495) * 50 + 25) >> 52))::integer`,
        filter,
      ),
    // within one bucket the bits are ordered as the values are, or the other way round
    inner: ({ value }) => [sql`count(*)`, sql`min(${value})`, sql`max(${value})`],
    width: 4,
    outer({ select, cells, key, inner }) {
      const least = sql`least(${inner[1]}::bit::double, ${inner[2]}::bit::double)`
      const greatest = sql`greatest(${inner[1]}::bit::double, ${inner[2]}::bit::double)`
      return selectByCell({ select, cells }, [
        sql`list(${key})`,
        sql`list(${inner[0]})`,
        sql`min(${least}) filter (where isfinite(${least}))`,
        sql`max(${greatest}) filter (where isfinite(${greatest}))`,
      ])
    },
    read([keys, counts, min, max]): SketchState {
      const state = createSketch(input)
      const many = (counts ?? []) as readonly bigint[]
      ;((keys ?? []) as readonly number[]).forEach((at, i) => {
        const count = Number(many[i])
        const isNegative = at < 0
        const key = at + (isNegative ? 2048 * bucketsPerOctave : 0)
        const exponent = Math.floor(key / bucketsPerOctave)
        if (exponent === 0) state.zero += count
        else if (exponent < 2047)
          (isNegative ? state.negative : state.positive).add(key - 1023 * bucketsPerOctave, count)
        else if (key > 2047 * bucketsPerOctave) state.nan += count
        else if (isNegative) state.minusInfinity += count
        else state.infinity += count
      })
      if (typeof min === 'number') state.min = min + 0
      if (typeof max === 'number') state.max = max + 0
      return state
    },
  }
}
