import { type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { EngineState, InputType, StateDefinition, StateInput } from './contract.ts'
import {
  divideDecimal,
  formatDecimal,
  isSpecialDecimal,
  nearestRatio,
  parseDecimal,
  rescale,
  type SpecialDecimal,
} from './decimal.ts'
import { filtered, valueWhere } from './filtered.ts'
import { float8Sql, isFloat } from './values.ts'

/** Whole numbers, exact whatever their number. `pending` is a part of the sum that is still small enough for a double. */
interface IntegerSum {
  readonly kind: 'integer'
  count: number
  sum: bigint
  pending: number
}

/** Exact decimals. The scale is the largest that went in, as PostgreSQL shows sums; once special, the rest is dropped. */
interface DecimalSum {
  readonly kind: 'decimal'
  count: number
  special: SpecialDecimal | null
  unscaled: bigint
  scale: number
}

/**
 * Doubles. `small` sums what is below 2^900, `large` the rest times 2^-200: neither can overflow in 2^62 rows, so whether
 * the answer does is decided once, at the end, and not by the order of rows. NaN and infinities are in `large`.
 */
interface FloatSum {
  readonly kind: 'float'
  count: number
  small: number
  large: number
}

export type SumState = IntegerSum | DecimalSum | FloatSum

export const largeFrom = 2 ** 900
export const largeScale = 2 ** -200

function create(input: InputType | null): SumState {
  if (input !== null && isFloat(input)) return { kind: 'float', count: 0, small: 0, large: 0 }
  if (input === 'numeric') return { kind: 'decimal', count: 0, special: null, unscaled: 0n, scale: 0 }
  return { kind: 'integer', count: 0, sum: 0n, pending: 0 }
}

function integerTotal(state: IntegerSum): bigint {
  return state.sum + BigInt(state.pending)
}

function mergeSpecial(a: SpecialDecimal | null, b: SpecialDecimal | null): SpecialDecimal | null {
  if (a === null || b === null) return a ?? b
  return a === b ? a : 'NaN'
}

function addDecimal(
  state: DecimalSum,
  special: SpecialDecimal | null,
  unscaled: bigint,
  scale: number,
): void {
  state.special = mergeSpecial(state.special, special)
  if (state.special !== null) {
    state.unscaled = 0n
    state.scale = 0
  } else {
    const common = Math.max(state.scale, scale)
    state.unscaled = rescale(state, common) + rescale({ unscaled, scale }, common)
    state.scale = common
  }
}

export const sumState: StateDefinition<SumState> = {
  kind: 'sum',
  exactness: 'exact',
  create: (spec) => create(spec.input),
  add(state, value) {
    state.count += 1
    if (state.kind === 'float') {
      const double = value as number
      if (Math.abs(double) < largeFrom) state.small += double
      else state.large += double * largeScale
    } else if (state.kind === 'integer') {
      if (typeof value === 'number') {
        // int2 and int4: far from 2^53 until some millions of rows
        state.pending += value
        if (Math.abs(state.pending) > 2 ** 52) {
          state.sum += BigInt(state.pending)
          state.pending = 0
        }
      } else state.sum += BigInt(value as bigint)
    } else {
      const text = String(value)
      if (isSpecialDecimal(text)) addDecimal(state, text, 0n, 0)
      else {
        const decimal = parseDecimal(text)
        addDecimal(state, null, decimal.unscaled, decimal.scale)
      }
    }
    return state
  },
  merge(into, other) {
    into.count += other.count
    if (into.kind === 'float' && other.kind === 'float') {
      into.small += other.small
      into.large += other.large
    } else if (into.kind === 'integer' && other.kind === 'integer') into.sum += integerTotal(other)
    else if (into.kind === 'decimal' && other.kind === 'decimal')
      addDecimal(into, other.special, other.unscaled, other.scale)
    return into
  },
  encode(state) {
    const writer = writeState().count(state.count)
    if (state.kind === 'float') writer.double(state.small).double(state.large)
    else if (state.kind === 'integer') writer.integer(integerTotal(state))
    else if (state.special !== null) writer.byte(specials.indexOf(state.special) + 1)
    else writer.byte(0).integer(state.unscaled).count(state.scale)
    return writer.finish()
  },
  decode(bytes, spec) {
    const reader = readState(bytes)
    const state = create(spec.input)
    state.count = reader.count()
    if (state.kind === 'float') {
      state.small = reader.double()
      state.large = reader.double()
    } else if (state.kind === 'integer') state.sum = reader.integer()
    else {
      state.special = specials[reader.byte() - 1] ?? null
      if (state.special === null) {
        state.unscaled = reader.integer()
        state.scale = reader.count()
      }
    }
    reader.end()
    return state
  },
  postgres: (spec) => postgres(spec.input as InputType),
  duckdb: (spec) => duckdb(spec.input as InputType),
}

const specials: readonly SpecialDecimal[] = ['NaN', 'Infinity', '-Infinity']

function postgres(input: InputType): EngineState {
  if (!isFloat(input)) {
    return {
      shape: 'columns',
      // sum(int4) adds in an int8 without looking for overflow; sum(int8) adds in 128 bits at the same speed
      columns: ({ value, filter }) => [
        filtered(sql`count(${value})`, filter),
        filtered(input === 'numeric' ? sql`sum(${value})` : sql`sum((${value})::int8)`, filter),
      ],
      read: (values) => readExact(input, values),
    }
  }
  return {
    shape: 'columns',
    columns({ value, filter }) {
      const double = float8Sql(input, value as Sql)
      return [
        filtered(sql`count(${value})`, filter),
        filtered(sql`sum(${double})`, filter, sql`abs(${double}) < 8.452712498170644e270::float8`),
        filtered(
          sql`sum(${double} * 6.223015277861142e-61::float8)`,
          filter,
          sql`not abs(${double}) < 8.452712498170644e270::float8`,
        ),
      ]
    },
    read: ([count, small, large]): SumState => ({
      kind: 'float',
      count: Number(count ?? 0),
      small: Number(small ?? 0),
      large: Number(large ?? 0),
    }),
  }
}

/** Count and sum, of integers or decimals. */
function readExact(input: InputType, [count, sum]: readonly unknown[]): SumState {
  const state = create(input)
  state.count = Number(count ?? 0)
  if (sum === null || sum === undefined) return state
  if (state.kind === 'integer') state.sum = BigInt(sum as string | bigint)
  else if (state.kind === 'decimal') {
    const text = sum as string
    if (isSpecialDecimal(text)) addDecimal(state, text, 0n, 0)
    else {
      const decimal = parseDecimal(text)
      addDecimal(state, null, decimal.unscaled, decimal.scale)
    }
  }
  return state
}

/**
 * Integers are added in 128 bits, decimals in 38 digits. A running sum of doubles that overflowed stays infinite or NaN,
 * so a finite one never did and is within the bound; only the others need the sum of scaled values. What
 * that loses of values below 2^-822 is nothing beside a sum that overflowed.
 */
function duckdb(input: InputType): EngineState {
  const plain = ({ value, filter }: StateInput): Sql[] => [
    sql`count(${valueWhere(value as Sql, filter)})`,
    sql`sum(${valueWhere(value as Sql, filter)})`,
  ]
  if (!isFloat(input)) return { shape: 'columns', columns: plain, read: (values) => readExact(input, values) }
  const state = (count: unknown, sum: number): SumState =>
    Math.abs(sum) < largeFrom
      ? { kind: 'float', count: Number(count ?? 0), small: sum, large: 0 }
      : { kind: 'float', count: Number(count ?? 0), small: 0, large: sum * largeScale }
  return {
    shape: 'columns',
    columns: (columns) => [
      ...plain(columns),
      sql`sum(${valueWhere(sql`(${columns.value})::double * 6.223015277861142e-61`, columns.filter)})`,
    ],
    read([count, sum, scaled]): SumState {
      const finite = Number.isFinite(Number(sum ?? 0))
      return finite
        ? state(count, Number(sum ?? 0))
        : { kind: 'float', count: Number(count), small: 0, large: Number(scaled) }
    },
    quick: {
      columns: plain,
      read: ([count, sum]) => (Number.isFinite(Number(sum ?? 0)) ? state(count, Number(sum ?? 0)) : null),
    },
  }
}

/** Null for no values; otherwise in the type that PostgreSQL's own sum has, float8 for float4. */
export function finishSum(state: SumState, input: InputType): string | number | bigint | null {
  if (state.count === 0) return null
  if (state.kind === 'integer') {
    const total = integerTotal(state)
    return input === 'int8' ? total.toString() : total
  }
  if (state.kind === 'decimal') return state.special ?? formatDecimal(state.unscaled, state.scale)
  return floatTotal(state, 1)
}

/** `divisor` before the scale is undone: an average of huge values does not overflow when their sum does. */
function floatTotal(state: FloatSum, divisor: number): number {
  // + 0: a sum of -0 is 0
  if (state.large === 0) return state.small / divisor + 0
  return (state.large + state.small * largeScale) / divisor / largeScale + 0
}

/** Numeric: decimal text with the scale that PostgreSQL gives; everything else: the nearest double. */
export function finishAvg(state: SumState): string | number | null {
  if (state.count === 0) return null
  if (state.kind === 'integer') return nearestRatio(integerTotal(state), state.count)
  if (state.kind === 'decimal') return state.special ?? divideDecimal(state, state.count)
  return floatTotal(state, state.count)
}
