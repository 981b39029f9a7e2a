import {
  type AggregateFunction,
  type InputType,
  maxTopK,
  type TopValue,
  topCapacity,
} from '../aggregate/index.ts'
import type { OutputRow } from './answer.ts'
import type { AggregateNode, AggregateQueryNode, FilterNode } from './nodes.ts'
import { planStates } from './plan-states.ts'
import { errorBoundOf } from './references.ts'

/** A value that two computations of one question do not agree about. */
export interface AnswerDifference {
  /** Bucket and groups of the row. */
  readonly keys: Readonly<Record<string, unknown>>
  /** Null: one of the two does not have the row. */
  readonly output: string | null
  readonly problem: string
}

export interface AnswerComparison {
  /** The first ones. */
  readonly differences: readonly AnswerDifference[]
  readonly total: number
}

const maxDifferences = 10

type Class = 'exact' | 'sum' | 'avg' | 'stddev' | 'variance' | 'rate' | 'weighted' | 'top'

const floatClasses: ReadonlyMap<AggregateFunction, Class> = new Map([
  ['sum', 'sum'],
  ['avg', 'avg'],
  ['stddev', 'stddev'],
  ['variance', 'variance'],
  ['increase', 'sum'],
  ['delta', 'sum'],
  ['rate', 'rate'],
  ['timeWeightedAvg', 'weighted'],
  ['topK', 'top'],
])

/** Differences of such readings are whole numbers below 2^53, and what is made of them is made in one order. */
const wholeReadings: ReadonlySet<InputType | null> = new Set(['int2', 'int4'])

/**
 * How equal an output of two right computations is. Exact states give equal values, and so do sketches, whose states are equal
 * whatever was added first. Sums of floats differ by their rounding, values of topK by the bounds that it states.
 */
function classOf(node: AggregateQueryNode, i: number): Class {
  const { aggregate } = node.select[i] as AggregateQueryNode['select'][number]
  if (errorBoundOf(node.dataset, aggregate) === null) return 'exact'
  const { states: requests, steps } = planStates(node)
  const { input } = (requests[steps[i]?.state ?? -1] as (typeof requests)[number]).spec
  if (aggregate.fn === 'rate' && wholeReadings.has(input)) return 'exact'
  return floatClasses.get(aggregate.fn) ?? 'exact'
}

const scaleOf = (i: number, what: 'n' | 'min' | 'max' | 'top'): string => `\u0000${what}${i}`

/**
 * One value more than the state of `topK(k)` keeps: with fewer different ones neither computation has dropped any, and both are exact.
 */
function widerTop(k: number | undefined): number {
  return Math.min(maxTopK, topCapacity(k ?? 1) + 1)
}

/**
 * The question as the second computation gets it: with what bounds the rounding of its floats. Null when rounding may decide
 * which rows there are, or what stands in a gap.
 */
export function comparableQuestion(node: AggregateQueryNode): AggregateQueryNode | null {
  const rounded = new Set(node.select.filter((_, i) => classOf(node, i) !== 'exact').map(({ name }) => name))
  if (rounded.size > 0) {
    if (node.fill.kind === 'linear' || node.fill.kind === 'previous') return null
    if (node.having !== null && namesOf(node.having).some((name) => rounded.has(name))) return null
    if (node.limit !== null && node.order.some(({ by }) => rounded.has(by))) return null
  }
  const scales = node.select.flatMap(({ aggregate }, i) => {
    const kind = classOf(node, i)
    if (kind === 'exact') return []
    if (kind === 'top')
      return [{ name: scaleOf(i, 'top'), aggregate: { ...aggregate, k: widerTop(aggregate.k) } }]
    const { series: _, weight: __, ...plain } = aggregate
    const of = (fn: 'count' | 'min' | 'max'): AggregateNode => ({ ...plain, fn })
    return [
      { name: scaleOf(i, 'n'), aggregate: of('count') },
      { name: scaleOf(i, 'min'), aggregate: of('min') },
      { name: scaleOf(i, 'max'), aggregate: of('max') },
    ]
  })
  return { ...node, select: [...node.select, ...scales] }
}

function namesOf(filter: FilterNode): readonly string[] {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return filter.filters.flatMap(namesOf)
    case 'not':
      return namesOf(filter.filter)
    default:
      return [filter.ref.column]
  }
}

/** Compares an answer with that of `comparableQuestion`, row by row as bucket and groups name them. */
export function compareAnswers(
  node: AggregateQueryNode,
  answered: readonly OutputRow[],
  computed: readonly OutputRow[],
): AnswerComparison {
  const keyNames = [...(node.bucket ? ['bucket'] : []), ...node.by.map(({ name }) => name)]
  const keysOf = (row: OutputRow) => Object.fromEntries(keyNames.map((name) => [name, row[name]]))
  const classes = node.select.map((_, i) => classOf(node, i))
  const differences: AnswerDifference[] = []
  let total = 0
  const note = (row: OutputRow, output: string | null, problem: string): void => {
    total += 1
    if (differences.length < maxDifferences)
      differences.push({ keys: shownKeys(keysOf(row)), output, problem })
  }
  const rest = new Map(computed.map((row) => [textOf(keysOf(row)), row]))
  for (const row of answered) {
    const key = textOf(keysOf(row))
    const other = rest.get(key)
    rest.delete(key)
    if (other === undefined) {
      note(row, null, 'raw rows do not give this row')
      continue
    }
    for (const [i, { name, aggregate }] of node.select.entries()) {
      const problem =
        classes[i] === 'top'
          ? topDifference(row[name], other[scaleOf(i, 'top')], aggregate.k)
          : differenceOf(
              classes[i] as Exclude<Class, 'top'>,
              aggregate,
              row[name],
              other[name],
              boundOf(other, i),
            )
      if (problem !== null) note(row, name, problem)
    }
  }
  for (const row of rest.values()) note(row, null, 'only raw rows give this row')
  return { differences, total }
}

/** Equal for equal values only: JSON has one word for null, NaN and both infinities, and none for int8. */
function textOf(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'bigint' || (typeof inner === 'number' && !Number.isFinite(inner))
      ? { [typeof inner]: String(inner) }
      : inner,
  )
}

/** As JSON can say them. */
function shownKeys(keys: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(keys).map(([name, value]) => [
      name,
      typeof value === 'bigint' || (typeof value === 'number' && !Number.isFinite(value))
        ? String(value)
        : value,
    ]),
  )
}

interface Scale {
  readonly rows: number
  /** The greatest |x|. */
  readonly size: number
}

function boundOf(row: OutputRow, i: number): Scale {
  const value = (what: 'n' | 'min' | 'max'): number => Number(row[scaleOf(i, what)] ?? 0)
  return { rows: value('n'), size: Math.max(Math.abs(value('min')), Math.abs(value('max'))) }
}

/** Two roundings of a sum of n values, each up to n * 2^-52 * sum(|x|), and some more for the steps after it. */
const rounding = 4 * 2 ** -52

/** Null when equal. Counts are shown; other values may be somebody's row. */
function differenceOf(
  kind: Exclude<Class, 'top'>,
  { fn }: AggregateNode,
  answered: unknown,
  computed: unknown,
  { rows, size }: Scale,
): string | null {
  if (textOf(answered) === textOf(computed)) return null
  const isCount = fn === 'count' || fn === 'uniques' || fn === 'countDistinct'
  const differ = isCount ? `${answered} where raw rows give ${computed}` : 'another value than raw rows give'
  if (kind === 'exact' || answered === null || computed === null) return differ
  const distance = Math.abs(Number(answered) - Number(computed))
  // NaN and infinities are exact
  if (!Number.isFinite(distance)) return differ
  const ofAvg = (rows + 1) * rounding * size
  const bounds = {
    sum: ofAvg * rows,
    avg: ofAvg,
    variance: ofAvg * size * 4,
    stddev: Math.sqrt(ofAvg * size * 4),
    // of an increase, over the shortest time that a series can have
    rate: (ofAvg * rows) / 1e-6,
    weighted: 2 * ofAvg,
  }
  const bound = bounds[kind]
  return distance <= bound || !Number.isFinite(bound) ? null : `${differ}, beyond rounding`
}

/**
 * Null when both may be right. With no more different values than are kept both are exact and say the same. Beyond, a value that both
 * list occurred between `count` and `count + error` times by either of them; which values are listed may differ.
 *
 * @param computed As long as `widerTop` says.
 */
function topDifference(answered: unknown, computed: unknown, k: number | undefined): string | null {
  const differ = 'other values than raw rows give'
  if (!Array.isArray(answered) || !Array.isArray(computed))
    return textOf(answered) === textOf(computed) ? null : differ
  const [listed, wider] = [answered as readonly TopValue[], computed as readonly TopValue[]]
  if (wider.length < widerTop(k)) return textOf(listed) === textOf(wider.slice(0, k ?? 1)) ? null : differ
  if (listed.length !== k) return differ
  const known = new Map(wider.map((top) => [textOf(top.value), top]))
  const contradicts = listed.some(({ value, count, error }) => {
    const other = known.get(textOf(value))
    return other !== undefined && (count > other.count + other.error || other.count > count + error)
  })
  return contradicts ? `${differ}, beyond their bounds` : null
}
