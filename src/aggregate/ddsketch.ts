import { join, raw, type Sql, sql } from '../util/sql.ts'
import { type ByteReader, type ByteWriter, readState, writeState } from './bytes.ts'
import type { EngineState, InputType, StateDefinition } from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { valueWhere } from './filtered.ts'
import { float8Sql, toFloat8 } from './values.ts'

/**
 * DDSketch (Masson, Rim, Lee, VLDB 2019) with a linearly interpolated mapping: each power of two is cut into 50 buckets
 * of equal width, so that borders are exact doubles in every engine. docs/decisions/0003-sketches.md has the reasons.
 *
 * Bucket e * 50 + s holds T(e, s) <= |x| < T(e, s + 1) with T(e, s) = 2^e * M[s]. Its value 2 * lo * hi / (lo + hi) is
 * off by at most (hi - lo) / (hi + lo) <= 1/101 of the true one.
 */
export const bucketsPerOctave = 50
/** Buckets of one sign at most: 81.9 powers of two below the greatest magnitude. Lower ones are counted in the lowest. */
export const bucketCap = 4096
const lowestNormal = 2 ** -1022
/** What the answer is off by at most, relative to the exact value. */
export const relativeError = 1 / 101

/** M[0] … M[50]; one division of whole numbers is rounded correctly. */
const mantissas: Float64Array = Float64Array.from(
  { length: bucketsPerOctave + 1 },
  (_, s) => (bucketsPerOctave + s) / bucketsPerOctave,
)

const bits = new DataView(new ArrayBuffer(8))

/** Bucket of a finite magnitude of at least 2^-1022. */
export function bucketIndex(magnitude: number): number {
  bits.setFloat64(0, magnitude)
  const high = bits.getUint32(0)
  const exponent = (high >>> 20) - 1023
  bits.setUint32(0, (high & 0xfffff) | 0x3ff00000)
  const mantissa = bits.getFloat64(0)
  let s = Math.min(Math.floor((mantissa - 1) * bucketsPerOctave), bucketsPerOctave - 1)
  if (mantissa < mantissas[s]!) s -= 1
  else if (mantissa >= mantissas[s + 1]!) s += 1
  return exponent * bucketsPerOctave + s
}

/** Lower border of a bucket. */
export function bucketBorder(index: number): number {
  const exponent = Math.floor(index / bucketsPerOctave)
  return mantissas[index - exponent * bucketsPerOctave]! * 2 ** exponent
}

export function bucketValue(index: number): number {
  const exponent = Math.floor(index / bucketsPerOctave)
  const s = index - exponent * bucketsPerOctave
  const low = mantissas[s]!
  const high = mantissas[s + 1]!
  return ((2 * low * high) / (low + high)) * 2 ** exponent
}

/** Counts of the buckets of one sign: a window of an array that grows towards what comes in, up to the cap. */
class BucketStore {
  #counts = new Float64Array(0)
  /** Bucket of the first element. */
  #start = 0
  #lowest = Number.POSITIVE_INFINITY
  #highest = Number.NEGATIVE_INFINITY
  total = 0

  add(bucket: number, count: number): void {
    let index = bucket
    if (index > this.#highest) this.#raise(index)
    const floor = this.#highest - bucketCap + 1
    if (index < floor) index = floor
    if (index < this.#lowest) {
      this.#cover(index, this.#highest)
      this.#lowest = index
    }
    this.#counts[index - this.#start]! += count
    this.total += count
  }

  /** Makes `highest` the greatest bucket; what falls below the cap is counted in the lowest that is kept. */
  #raise(highest: number): void {
    const floor = highest - bucketCap + 1
    let fallen = 0
    for (let i = this.#lowest; i < floor && i <= this.#highest; i += 1) {
      fallen += this.#counts[i - this.#start]!
      this.#counts[i - this.#start] = 0
    }
    const lowest = fallen > 0 ? floor : Math.min(Math.max(this.#lowest, floor), highest)
    this.#cover(lowest, highest)
    this.#lowest = lowest
    this.#highest = highest
    if (fallen > 0) this.#counts[floor - this.#start]! += fallen
  }

  #cover(lowest: number, highest: number): void {
    if (lowest >= this.#start && highest < this.#start + this.#counts.length) return
    // half of what is needed on either side, so that growing is rare
    const margin = Math.min(32 + ((highest - lowest) >> 1), bucketCap)
    const grown = new Float64Array(highest - lowest + 1 + 2 * margin)
    const start = lowest - margin
    const from = Math.max(this.#lowest, lowest)
    for (let i = from; i <= this.#highest; i += 1) grown[i - start] = this.#counts[i - this.#start]!
    this.#counts = grown
    this.#start = start
  }

  merge(other: BucketStore): void {
    // from the top: what is below the cap is known at once
    for (let i = other.#highest; i >= other.#lowest; i -= 1) {
      const count = other.#counts[i - other.#start]!
      if (count > 0) this.add(i, count)
    }
  }

  /** The bucket that holds the rank-th value (from 0), counted from the lowest or the highest magnitude. */
  at(rank: number, fromHighest: boolean): number {
    let before = 0
    if (fromHighest) {
      for (let i = this.#highest; i > this.#lowest; i -= 1) {
        before += this.#counts[i - this.#start]!
        if (before > rank) return i
      }
      return this.#lowest
    }
    for (let i = this.#lowest; i < this.#highest; i += 1) {
      before += this.#counts[i - this.#start]!
      if (before > rank) return i
    }
    return this.#highest
  }

  write(writer: ByteWriter): void {
    const used: number[] = []
    for (let i = this.#lowest; i <= this.#highest; i += 1)
      if (this.#counts[i - this.#start]! > 0) used.push(i)
    writer.count(used.length)
    used.forEach((bucket, i) => {
      if (i === 0) writer.integer(BigInt(bucket))
      else writer.count(bucket - used[i - 1]!)
      writer.count(this.#counts[bucket - this.#start]!)
    })
  }

  read(reader: ByteReader): void {
    const length = reader.count()
    let bucket = 0
    const found: [number, number][] = []
    for (let i = 0; i < length; i += 1) {
      bucket = i === 0 ? Number(reader.integer()) : bucket + reader.count()
      found.push([bucket, reader.count()])
    }
    for (const [at, count] of found.reverse()) this.add(at, count)
  }
}

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

function create(input: InputType): SketchState {
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

function finiteCount(state: SketchState): number {
  return state.negative.total + state.zero + state.positive.total
}

export function sketchCount(state: SketchState): number {
  return finiteCount(state) + state.nan + state.infinity + state.minusInfinity
}

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
  create: (spec) => create(spec.input as InputType),
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
    const state = create(spec.input as InputType)
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
  postgres(spec) {
    const input = spec.input as InputType
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
        const columns = [
          ...cells,
          sql`array_agg(${key})`,
          sql`array_agg(${inner[0]})`,
          sql`min(${inner[1]}) ${finite}`,
          sql`max(${inner[2]}) ${finite}`,
        ]
        const group = cells.length === 0 ? sql`` : sql` group by ${join(cells, ', ')}`
        return sql`select ${join(columns, ', ')} from (${select}) keyed${group}`
      },
      read([keys, counts, min, max]): SketchState {
        const state = create(input)
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
  },
  duckdb: (spec) => duckdb(spec.input as InputType),
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
function duckdb(input: InputType): EngineState {
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
      const columns = [
        ...cells,
        sql`list(${key})`,
        sql`list(${inner[0]})`,
        sql`min(${least}) filter (where isfinite(${least}))`,
        sql`max(${greatest}) filter (where isfinite(${greatest}))`,
      ]
      const group = cells.length === 0 ? sql`` : sql` group by ${join(cells, ', ')}`
      return sql`select ${join(columns, ', ')} from (${select}) keyed${group}`
    },
    read([keys, counts, min, max]): SketchState {
      const state = create(input)
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
