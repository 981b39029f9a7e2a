import type {
  AggregateNode,
  AggregateQueryNode,
  ColumnRef,
  FilterNode,
  LatestQueryNode,
  QueryNode,
  RowsQueryNode,
} from '../../src/query/index.ts'
import type { DatasetDefinition } from '../../src/schema/index.ts'
import type { Instant } from '../../src/time/index.ts'
import { naiveBucketStart, naiveBuckets } from './naive-time.ts'
import { timelineOf } from './naive-timelines.ts'
import {
  compareNulls,
  compareTyped,
  decimalOf,
  groupText,
  jsonAt,
  jsonText,
  type NaiveRow,
  type NaiveType,
  normalRow,
  outputValue,
} from './naive-values.ts'

/**
 * The oracle: answers a query over an array of plain rows in the most obvious way. It shares only types with the
 * product: no planner, no algebra, no sketches, no time library. Slow on purpose.
 */
export interface NaiveAnswer {
  /** In the outer form, ordered and limited. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** Before order and limit; for answers whose order hangs on a value that is only approximate. */
  readonly all: readonly NaiveResult[]
  /** The rows that are in `rows`, with what a comparison needs. */
  readonly results: readonly NaiveResult[]
  /** latest: every row that may stand for its series (several rows of one newest instant). */
  readonly candidates: readonly Readonly<Record<string, unknown>>[]
}

export interface NaiveResult {
  readonly row: Readonly<Record<string, unknown>>
  /** How far a bounded or estimated output may be away from the exact one. */
  readonly tolerance: Readonly<Record<string, number>>
  /** Percentiles may also be anywhere between these two exact order statistics. */
  readonly between: Readonly<Record<string, readonly [number, number]>>
  /** Of outputs that are lists of bounded values: each of them. */
  readonly each: Readonly<Record<string, readonly NaiveBounded[]>>
}

/** A finished value and how exact the product has to be about it. */
export interface NaiveBounded {
  readonly value: unknown
  readonly tolerance?: number
  readonly between?: readonly [number, number]
}

/**
 * Rows may hold any form that insert takes.
 *
 * @param normal How a row is brought into one form; whoever asks of the same rows again and again may remember it.
 */
export function naiveAnswer(
  node: QueryNode,
  rows: readonly Readonly<Record<string, unknown>>[],
  normal: typeof normalRow = normalRow,
): NaiveAnswer {
  const { dataset, range } = node
  const matching = rows
    .map((row) => normal(dataset, row))
    .filter((row) => {
      if (range && dataset.kind === 'hypertable') {
        const time = row[dataset.time] as Instant
        if (time < range.from || time >= range.to) return false
      }
      return node.where === null || truthOf(node.where, columnReader(dataset, row)) === true
    })
  if (node.kind === 'rows') return naiveRows(node, matching)
  if (node.kind === 'latest') return naiveLatest(node, matching)
  return naiveAggregate(node, matching)
}

// Filters, in SQL's three-valued logic

type Read = (ref: ColumnRef) => { readonly type: NaiveType; readonly value: unknown }

function columnReader(dataset: DatasetDefinition, row: NaiveRow): Read {
  return ({ column, path }) => ({
    type: dataset.columns[column]!.type,
    value: path.length > 0 ? jsonAt(row[column], path) : row[column],
  })
}

function truthOf(filter: FilterNode, read: Read): boolean | null {
  switch (filter.kind) {
    case 'and': {
      const truths = filter.filters.map((part) => truthOf(part, read))
      return truths.includes(false) ? false : truths.includes(null) ? null : true
    }
    case 'or': {
      const truths = filter.filters.map((part) => truthOf(part, read))
      return truths.includes(true) ? true : truths.includes(null) ? null : false
    }
    case 'not': {
      const truth = truthOf(filter.filter, read)
      return truth === null ? null : !truth
    }
    case 'isNull':
      return read(filter.ref).value === null
    case 'contains': {
      const { value } = read(filter.ref)
      return value === null ? null : (value as unknown[]).some((item) => item === filter.value)
    }
    case 'like': {
      const { value } = read(filter.ref)
      return typeof value === 'string'
        ? likePattern(filter.pattern, filter.caseInsensitive).test(value)
        : null
    }
    case 'in': {
      if (filter.values.length === 0) return false
      if (read(filter.ref).value === null) return null
      return filter.values.some((value) => comparison(read(filter.ref), 'eq', value) === true)
    }
    case 'compare':
      return comparison(read(filter.ref), filter.operator, filter.value)
  }
}

function comparison(left: ReturnType<Read>, operator: string, right: unknown): boolean | null {
  if (left.value === null) return null
  let order: number
  if (left.type === 'jsonb') {
    if (typeof left.value !== typeof right) return operator === 'eq' ? false : operator === 'ne' ? true : null
    if (typeof right === 'string') order = compareTyped('text', left.value, right)
    else order = Number(left.value) - Number(right)
  } else order = compareTyped(left.type, left.value, right)
  const results: Record<string, boolean> = {
    eq: order === 0,
    ne: order !== 0,
    lt: order < 0,
    lte: order <= 0,
    gt: order > 0,
    gte: order >= 0,
  }
  return results[operator]!
}

function likePattern(pattern: string, caseInsensitive: boolean): RegExp {
  let source = ''
  const characters = [...pattern]
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!
    if (character === '%') source += '[^]*'
    else if (character === '_') source += '[^]'
    else
      source += (character === '\\' ? characters[++i]! : character).replace(/[\\^$.*+?()[\]{}|/]/gu, '\\$&')
  }
  return new RegExp(`^${source}$`, caseInsensitive ? 'ui' : 'u')
}

// Rows and newest rows

function project(
  dataset: DatasetDefinition,
  columns: readonly string[],
  row: NaiveRow,
): Record<string, unknown> {
  return Object.fromEntries(
    columns.map((name) => [name, outputValue(dataset.columns[name]!.type, row[name])]),
  )
}

const plain = (rows: readonly Record<string, unknown>[]): readonly NaiveResult[] =>
  rows.map((row) => ({ row, tolerance: {}, between: {}, each: {} }))

/** The cursor is not followed: the oracle gives the first page, or with a high limit everything. */
function naiveRows(node: RowsQueryNode, rows: readonly NaiveRow[]): NaiveAnswer {
  const { dataset } = node
  const sorted = [...rows]
  const keys = dataset.kind === 'hypertable' ? [dataset.time] : (dataset.primaryKey ?? [])
  const sign = node.direction === 'asc' ? 1 : -1
  sorted.sort((a, b) => {
    for (const key of keys) {
      const order = compareNulls(a[key], b[key], () =>
        compareTyped(dataset.columns[key]!.type, a[key], b[key]),
      )
      if (order !== 0) return order * sign
    }
    return 0
  })
  const all = sorted.map((row) => project(dataset, node.columns, row))
  const limited = node.limit === null ? all : all.slice(0, node.limit)
  return { rows: limited, results: plain(limited), all: plain(all), candidates: [] }
}

function naiveLatest(node: LatestQueryNode, rows: readonly NaiveRow[]): NaiveAnswer {
  const { dataset, by } = node
  const time = dataset.kind === 'hypertable' ? dataset.time : ''
  const types = by.map((name) => dataset.columns[name]!.type)
  const series = new Map<string, NaiveRow[]>()
  for (const row of rows) {
    const id = by.map((name, i) => groupText(types[i]!, row[name])).join(' ')
    const newest = series.get(id)
    if (!newest || (row[time] as Instant) > (newest[0]![time] as Instant)) series.set(id, [row])
    else if (row[time] === newest[0]![time]) newest.push(row)
  }
  const sorted = [...series.values()].sort(([a], [b]) => {
    for (const [i, name] of by.entries()) {
      const order = compareNulls(a![name], b![name], () => compareTyped(types[i]!, a![name], b![name]))
      if (order !== 0) return order
    }
    return 0
  })
  const limited = node.limit === null ? sorted : sorted.slice(0, node.limit)
  const columns = [...new Set([...node.columns, ...by, time])]
  const first = limited.map((newest) => project(dataset, node.columns, newest[0]!))
  return {
    rows: first,
    results: plain(first),
    all: plain(sorted.map((newest) => project(dataset, node.columns, newest[0]!))),
    candidates: limited.flatMap((newest) => newest.map((row) => project(dataset, columns, row))),
  }
}

// Aggregates

interface Output {
  readonly name: string
  readonly type: NaiveType
}

interface Value extends NaiveBounded {
  readonly each?: readonly NaiveBounded[]
}

interface Line {
  readonly bucket: Instant | null
  readonly keys: readonly unknown[]
  readonly values: readonly Value[]
}

function naiveAggregate(node: AggregateQueryNode, rows: readonly NaiveRow[]): NaiveAnswer {
  const { dataset, bucket } = node
  const groupTypes = node.by.map(
    ({ ref }): NaiveType => (ref.path.length > 0 ? 'text' : dataset.columns[ref.column]!.type),
  )
  const cells = new Map<string, { bucket: Instant | null; keys: unknown[]; rows: NaiveRow[] }>()
  if (bucket === null && node.by.length === 0) cells.set('', { bucket: null, keys: [], rows: [] })
  for (const row of rows) {
    const start = bucket ? naiveBucketStart(bucket, row[timeOf(dataset)] as Instant) : null
    const keys = node.by.map(({ ref }) =>
      ref.path.length > 0 ? jsonText(jsonAt(row[ref.column], ref.path)) : row[ref.column],
    )
    const id = [
      ...(start === null ? [] : [start]),
      ...keys.map((key, i) => groupText(groupTypes[i]!, key)),
    ].join(' ')
    const cell = cells.get(id)
    if (cell) cell.rows.push(row)
    else cells.set(id, { bucket: start, keys, rows: [row] })
  }
  const outputs: Output[] = [
    ...(bucket ? [{ name: 'bucket', type: 'timestamptz' as const }] : []),
    ...node.by.map(({ name }, i) => ({ name, type: groupTypes[i]! })),
    ...node.select.map(({ name, aggregate }) => ({ name, type: resultType(dataset, aggregate) })),
  ]
  let lines: Line[] = [...cells.values()].map((cell) => ({
    bucket: cell.bucket,
    keys: cell.keys,
    values: node.select.map(({ aggregate }) => aggregateOf(dataset, aggregate, cell.rows)),
  }))
  const cellsOf = (line: Line): unknown[] => [
    ...(bucket ? [line.bucket] : []),
    ...line.keys,
    ...line.values.map(({ value }) => value),
  ]
  const { having } = node
  if (having)
    lines = lines.filter(
      (line) =>
        truthOf(having, ({ column }) => {
          const i = outputs.findIndex(({ name }) => name === column)
          return { type: outputs[i]!.type, value: cellsOf(line)[i] }
        }) === true,
    )
  if (node.fill.kind !== 'none') lines = fillLines(node, outputs, lines)
  const asked = node.order.map(({ by, direction }) => ({
    i: outputs.findIndex(({ name }) => name === by),
    sign: direction === 'asc' ? 1 : -1,
  }))
  const ties = outputs.slice(0, outputs.length - node.select.length).map((_, i) => ({ i, sign: 1 }))
  lines.sort((left, right) => {
    const [a, b] = [cellsOf(left), cellsOf(right)]
    for (const { i, sign } of [...asked, ...ties]) {
      if (a[i] === null || b[i] === null) {
        if (a[i] !== b[i]) return a[i] === null ? 1 : -1
        continue
      }
      const order = compareTyped(outputs[i]!.type, a[i], b[i]) * sign
      if (order !== 0) return order
    }
    return 0
  })
  const all = lines.map((line): NaiveResult => {
    const values = cellsOf(line)
    const named = <T>(pick: (value: Value) => T | undefined): Record<string, T> =>
      Object.fromEntries(
        node.select.flatMap(({ name }, i) => {
          const picked = pick(line.values[i]!)
          return picked === undefined ? [] : [[name, picked]]
        }),
      )
    return {
      row: Object.fromEntries(outputs.map(({ name, type }, i) => [name, outputValue(type, values[i])])),
      tolerance: named(({ tolerance }) => tolerance),
      between: named(({ between }) => between),
      each: named(({ each }) => each),
    }
  })
  const results = node.limit === null ? all : all.slice(0, node.limit)
  return { rows: results.map(({ row }) => row), results, all, candidates: [] }
}

function timeOf(dataset: DatasetDefinition): string {
  return dataset.kind === 'hypertable' ? dataset.time : ''
}

/** What an aggregate reads of a row: JSON paths as numbers where the function calculates, as text otherwise. */
function inputOf(
  dataset: DatasetDefinition,
  { fn, ref }: AggregateNode,
): { type: NaiveType; read: (row: NaiveRow) => unknown } {
  const { column, path } = ref!
  const { type } = dataset.columns[column]!
  if (type !== 'jsonb') return { type, read: (row) => row[column] }
  if (['count', 'first', 'last', 'uniques', 'countDistinct', 'topK'].includes(fn))
    return { type: 'text', read: (row) => jsonText(jsonAt(row[column], path)) }
  return {
    type: 'float8',
    read: (row) => {
      const value = jsonAt(row[column], path)
      return typeof value === 'number' ? value : null
    },
  }
}

function resultType(dataset: DatasetDefinition, aggregate: AggregateNode): NaiveType {
  const { fn } = aggregate
  if (fn === 'count' || fn === 'uniques' || fn === 'countDistinct') return 'count'
  if (fn === 'histogram' || fn === 'percentiles' || fn === 'topK') return fn
  const { type } = inputOf(dataset, aggregate)
  if (fn === 'sum')
    return type === 'int2' || type === 'int4'
      ? 'int8'
      : type === 'int8' || type === 'numeric'
        ? 'numeric'
        : 'float8'
  if (fn === 'avg') return type === 'numeric' ? 'numeric' : 'float8'
  if (fn === 'min' || fn === 'max' || fn === 'first' || fn === 'last') return type
  return 'float8'
}

const isInteger = (type: NaiveType): boolean => type === 'int2' || type === 'int4' || type === 'int8'

/** Half the distance between two neighbouring doubles around 1. */
const eps = 2 ** -53

function aggregateOf(dataset: DatasetDefinition, aggregate: AggregateNode, rows: readonly NaiveRow[]): Value {
  const { fn, ref, where } = aggregate
  const counted =
    where === null ? rows : rows.filter((row) => truthOf(where, columnReader(dataset, row)) === true)
  if (ref === null) return { value: counted.length }
  const { type, read } = inputOf(dataset, aggregate)
  const present = counted.filter((row) => read(row) !== null)
  const values = present.map(read)
  switch (fn) {
    case 'count':
      return { value: values.length }
    case 'countDistinct':
      return { value: new Set(values.map((value) => groupText(type, value))).size }
    case 'uniques': {
      const exact = new Set(values.map((value) => groupText(type, value))).size
      return { value: exact, tolerance: uniquesTolerance(exact) }
    }
    case 'min':
      return { value: extreme(type, values, -1) }
    case 'max':
      return { value: extreme(type, values, 1) }
    case 'first':
    case 'last': {
      const sign = fn === 'first' ? -1 : 1
      const time = timeOf(dataset)
      const edge = extreme(
        'timestamptz',
        present.map((row) => row[time]),
        sign,
      )
      return { value: extreme(type, present.filter((row) => row[time] === edge).map(read), sign) }
    }
    case 'sum':
      return sumOf(type, values)
    case 'avg':
      return avgOf(type, values)
    case 'variance':
    case 'stddev':
      return spreadOf(fn, type, values)
    case 'percentile':
      return percentileOf(type, values, aggregate.quantile!)
    case 'percentiles': {
      if (values.length === 0) return { value: null }
      const each = aggregate.quantiles!.map((quantile) => percentileOf(type, values, quantile))
      return { value: each.map(({ value }) => value), each }
    }
    case 'histogram': {
      const counts = [0, ...aggregate.borders!.map(() => 0)]
      for (const value of values) {
        let place = 0
        for (const border of aggregate.borders!)
          if (compareTyped('float8', asNumber(type, value), border) >= 0) place++
        counts[place]!++
      }
      return { value: counts }
    }
    case 'increase':
    case 'rate':
    case 'delta':
    case 'timeWeightedAvg':
      return timelineOf(
        fn,
        aggregate.weight ?? '',
        present.map((row) => ({
          series: aggregate
            .series!.map((name) => groupText(dataset.columns[name]!.type, row[name]))
            .join(' '),
          at: row[timeOf(dataset)] as Instant,
          value: asNumber(type, read(row)),
        })),
      )
    case 'topK':
      return { value: topOf(type, values, aggregate.k!) }
    default:
      throw new Error(`the oracle cannot compute ${fn}`)
  }
}

/** Of few different values every count is exact. */
function topOf(type: NaiveType, values: readonly unknown[], k: number): unknown {
  const counts = new Map<string, { value: unknown; count: number }>()
  for (const value of values) {
    const known = counts.get(groupText(type, value))
    if (known) known.count++
    else counts.set(groupText(type, value), { value, count: 1 })
  }
  const ordered = [...counts.values()].sort(
    (a, b) => b.count - a.count || compareTyped(type, a.value, b.value),
  )
  return ordered.slice(0, k).map(({ value, count }) => ({ value: outputValue(type, value), count, error: 0 }))
}

/** Exact up to this many different values, an estimate of 4096 registers beyond. */
const uniquesExactTo = 512
const uniquesStandardError = 1.04 / 64

function uniquesTolerance(exact: number): number {
  return exact <= uniquesExactTo ? 0 : Math.max(1, 5 * uniquesStandardError * exact)
}

function extreme(type: NaiveType, values: readonly unknown[], sign: -1 | 1): unknown {
  let best: unknown = null
  for (const value of values) if (best === null || compareTyped(type, value, best) * sign > 0) best = value
  return best
}

function asNumber(type: NaiveType, value: unknown): number {
  return type === 'numeric' ? Number(value) : Number(value as number | bigint)
}

/** Exact sum of whole numbers and decimals; null when one of them is NaN or infinite. */
function exactSum(values: readonly unknown[]): { units: bigint; scale: number } | null {
  let units = 0n
  let scale = 0
  for (const value of values) {
    const decimal = decimalOf(String(value))
    if (!decimal) return null
    const common = Math.max(scale, decimal.scale)
    units = units * 10n ** BigInt(common - scale) + decimal.units * 10n ** BigInt(common - decimal.scale)
    scale = common
  }
  return { units, scale }
}

/** Sum of special numerics as PostgreSQL has it. */
function specialSum(values: readonly unknown[]): string {
  const has = (text: string): boolean => values.some((value) => value === text)
  if (has('NaN') || (has('Infinity') && has('-Infinity'))) return 'NaN'
  return has('Infinity') ? 'Infinity' : '-Infinity'
}

function decimalText(units: bigint, scale: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
  const whole = digits.slice(0, digits.length - scale)
  return `${units < 0n ? '-' : ''}${whole}${scale > 0 ? `.${digits.slice(digits.length - scale)}` : ''}`
}

/** Sum of doubles, scaled so that it overflows only when the answer does. */
function floatSum(values: readonly number[]): { sum: number; bound: number } {
  // Exact when all are finite: as integers times 2^-1074.
  if (values.every(Number.isFinite)) {
    let total = 0n
    let absolute = 0n
    for (const value of values) {
      const units = unitsOf(value)
      total += units
      absolute += units < 0n ? -units : units
    }
    return {
      sum: fromUnits(total),
      bound: 2 * (values.length + 2) * eps * Math.min(fromUnits(absolute), Number.MAX_VALUE),
    }
  }
  return { sum: values.reduce((a, b) => a + (Number.isFinite(b) ? 0 : b), 0), bound: 0 }
}

const bits = new DataView(new ArrayBuffer(8))

/** A finite double as a multiple of 2^-1074, the smallest one. */
function unitsOf(value: number): bigint {
  bits.setFloat64(0, Math.abs(value))
  const raw = bits.getBigUint64(0)
  const exponent = raw >> 52n
  const mantissa = raw & (2n ** 52n - 1n)
  const units = exponent === 0n ? mantissa : (mantissa | (2n ** 52n)) << (exponent - 1n)
  return value < 0 ? -units : units
}

function fromUnits(units: bigint, divisor = 1n): number {
  const negative = units < 0n
  let rest = negative ? -units : units
  if (rest === 0n) return 0
  // Keep 64 significant bits; Number() rounds them to the nearest double (a hair from exact, within every bound).
  let shift = 0n
  const wanted = 64n + BigInt(divisor.toString(2).length)
  const length = BigInt(rest.toString(2).length)
  if (length < wanted) {
    shift = wanted - length
    rest <<= shift
  }
  rest /= divisor
  let exponent = -1074 - Number(shift)
  const extra = rest.toString(2).length - 64
  if (extra > 0) {
    rest >>= BigInt(extra)
    exponent += extra
  }
  let value = Number(rest)
  // 2^exponent may be out of range by itself.
  while (exponent > 900) {
    value *= 2 ** 900
    exponent -= 900
  }
  while (exponent < -900) {
    value *= 2 ** -900
    exponent += 900
  }
  value *= 2 ** exponent
  return negative ? -value : value
}

function sumOf(type: NaiveType, values: readonly unknown[]): Value {
  if (values.length === 0) return { value: null }
  if (isInteger(type) || type === 'numeric') {
    const sum = exactSum(values)
    if (sum === null) return { value: specialSum(values) }
    return { value: type === 'int2' || type === 'int4' ? sum.units : decimalText(sum.units, sum.scale) }
  }
  const { sum, bound } = floatSum(values as number[])
  return { value: sum, tolerance: bound }
}

function avgOf(type: NaiveType, values: readonly unknown[]): Value {
  if (values.length === 0) return { value: null }
  if (isInteger(type) || type === 'numeric') {
    const sum = exactSum(values)
    if (sum === null) return { value: specialSum(values) }
    const average = ratio(sum.units, BigInt(values.length) * 10n ** BigInt(sum.scale))
    // PostgreSQL gives a numeric average at least 16 significant digits.
    if (type === 'numeric') return { value: String(average), tolerance: Math.abs(average) * 1e-15 + 1e-16 }
    return { value: average, tolerance: Math.abs(average) * 4 * eps }
  }
  const doubles = values as number[]
  const { sum, bound } = floatSum(doubles)
  if (!doubles.every(Number.isFinite)) return { value: sum, tolerance: 0 }
  const average = fromUnits(
    doubles.reduce((total, value) => total + unitsOf(value), 0n),
    BigInt(doubles.length),
  )
  return { value: average, tolerance: bound === 0 ? 0 : bound / doubles.length + Math.abs(average) * 4 * eps }
}

function ratio(numerator: bigint, denominator: bigint): number {
  const scaled = (numerator << 1200n) / denominator
  const text = scaled < 0n ? -scaled : scaled
  const extra = text.toString(2).length - 64
  if (extra <= 0) return Number(scaled) * 2 ** -600 * 2 ** -600
  const head = Number(text >> BigInt(extra))
  let exponent = extra - 1200
  let value = numerator < 0n ? -head : head
  while (exponent < -900) {
    value *= 2 ** -900
    exponent += 900
  }
  return value * 2 ** exponent
}

/** Sample variance by two passes; its bound is that of Welford's method, with the spread around the mean in it. */
function spreadOf(fn: 'variance' | 'stddev', type: NaiveType, values: readonly unknown[]): Value {
  if (values.length < 2) return { value: null }
  const doubles = values.map((value) => asNumber(type, value))
  if (!doubles.every(Number.isFinite)) return { value: Number.NaN }
  const n = doubles.length
  const largest = Math.max(...doubles.map(Math.abs), 2 ** -1000)
  const scaled = doubles.map((value) => value / largest)
  const mean = scaled.reduce((a, b) => a + b, 0) / n
  const squares = scaled.reduce((total, value) => total + (value - mean) ** 2, 0)
  const variance = squares / (n - 1)
  // Each value's place relative to the mean is known to n * eps of the largest value.
  const slack = 8 * n * eps * (variance + Math.sqrt(variance) + n * eps)
  // The squares of the smallest deviations are below the smallest double.
  if (fn === 'variance')
    return { value: variance * largest * largest, tolerance: slack * largest * largest + n * 2 ** -1022 }
  const deviation = Math.sqrt(variance)
  const spread = Math.sqrt(variance + slack) - Math.sqrt(Math.max(0, variance - slack))
  return { value: deviation * largest, tolerance: spread * largest + n * 2 ** -511 }
}

/** The exact order statistic by the algebra's rank convention, and what lies between its neighbours. */
function percentileOf(type: NaiveType, values: readonly unknown[], quantile: number): Value {
  if (values.length === 0) return { value: null }
  const sorted = values.map((value) => asNumber(type, value)).sort((a, b) => compareTyped('float8', a, b))
  const rank = quantile * (sorted.length - 1)
  const exact = sorted[Math.floor(rank)]!
  // A rank that is whole but for rounding may come out one lower or higher.
  const near = (shift: number): number =>
    sorted[Math.min(sorted.length - 1, Math.max(0, Math.floor(rank + shift)))]!
  // The sketch has zero for what is subnormal, and one bucket for what is 2^80 times smaller than the largest.
  const largest = Math.max(0, ...sorted.filter(Number.isFinite).map(Math.abs))
  const tolerance = Number.isFinite(exact) ? Math.abs(exact) * 0.0101 + largest * 2 ** -80 + 2 ** -1022 : 0
  return { value: exact, tolerance, between: [near(-1e-9), near(1e-9)] }
}

// Filling gaps

function fillLines(node: AggregateQueryNode, outputs: readonly Output[], lines: readonly Line[]): Line[] {
  const spec = node.bucket!
  const present = lines.map(({ bucket }) => bucket!)
  // 4714 BC and the year 294246 are what an open end is.
  const isOpen = (instant: Instant): boolean => instant < -(10n ** 17n) || instant > 10n ** 18n
  const { from, to } = node.range ?? { from: -(10n ** 18n), to: 10n ** 19n }
  if (present.length === 0 && (isOpen(from) || isOpen(to))) return []
  const first = isOpen(from) ? present.reduce((a, b) => (a < b ? a : b)) : from
  const last = isOpen(to) ? present.reduce((a, b) => (a > b ? a : b)) + 1n : to
  const buckets = naiveBuckets(spec, { from: first, to: last })
  const types = node.by.map((_, i) => outputs[1 + i]!.type)
  const groups = new Map<string, { keys: readonly unknown[]; lines: Line[] }>()
  if (node.by.length === 0) groups.set('', { keys: [], lines: [] })
  for (const line of lines) {
    const id = line.keys.map((key, i) => groupText(types[i]!, key)).join(' ')
    const group = groups.get(id)
    if (group) group.lines.push(line)
    else groups.set(id, { keys: line.keys, lines: [line] })
  }
  return [...groups.values()].flatMap((group) => {
    const sorted = [...group.lines].sort((a, b) => (a.bucket! < b.bucket! ? -1 : 1))
    // how many lines lie before the bucket; buckets come in order
    let passed = 0
    return buckets.map((bucket): Line => {
      while (passed < sorted.length && sorted[passed]!.bucket! < bucket) passed += 1
      const next = sorted[passed]
      if (next !== undefined && next.bucket === bucket) return next
      const before = sorted[passed - 1]
      const values = node.select.map((_, i) =>
        gapValue(node, outputs[1 + node.by.length + i]!.type, bucket, before, next, i),
      )
      return { bucket, keys: group.keys, values }
    })
  })
}

function gapValue(
  { fill }: AggregateQueryNode,
  type: NaiveType,
  bucket: Instant,
  before: Line | undefined,
  after: Line | undefined,
  i: number,
): Value {
  if (fill.kind === 'constant') {
    if (type === 'int8') return { value: BigInt(fill.value) }
    if (type === 'numeric' || type === 'text') return { value: String(fill.value) }
    return { value: Number(fill.value) }
  }
  if (fill.kind === 'previous') return before ? before.values[i]! : { value: null }
  if (fill.kind !== 'linear' || !before || !after) return { value: null }
  const [a, b] = [before.values[i]!, after.values[i]!]
  if (a.value === null || b.value === null) return { value: null }
  const share = Number(bucket - before.bucket!) / Number(after.bucket! - before.bucket!)
  const tolerance = Math.max(a.tolerance ?? 0, b.tolerance ?? 0)
  const line = Number(a.value) * (1 - share) + Number(b.value) * share
  const value = Number(a.value) === Number(b.value) ? Number(a.value) : line
  // NaN and infinities are what they are; a numeric line from or to one is NaN.
  if (!Number.isFinite(value))
    return { value: type === 'numeric' ? (a.value === b.value ? a.value : 'NaN') : value }
  // Near zero the ends cancel each other, so their size counts, not the value's.
  const rounding = Math.max(Math.abs(Number(a.value)), Math.abs(Number(b.value))) * 1e-12
  if (type === 'int8') return { value: BigInt(Math.round(value)), tolerance: 1 + rounding + tolerance }
  if (type === 'numeric') return { value: String(value), tolerance: 1e-6 + rounding + tolerance }
  if (type === 'count' || type === 'int2' || type === 'int4')
    return { value: Math.round(value), tolerance: 1 + tolerance }
  const single = type === 'float4' ? 1e6 * rounding + 2 ** -149 : Number.MIN_VALUE
  return { value, tolerance: rounding + tolerance + single }
}
