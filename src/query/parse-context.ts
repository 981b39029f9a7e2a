import type { DatasetDefinition, QueryableDefinition } from '../schema/index.ts'
import type { Clock, TimeRange } from '../time/index.ts'
import { assertWithin, defaultQueryLimits, type QueryLimits } from './limits.ts'
import type { FilterNode, QueryNode } from './nodes.ts'
import { type FilterContext, parseFilter } from './parse-filter.ts'
import { at, deepFreeze, fail, show, suggest } from './problem.ts'
import { readRange, readZone } from './read-time.ts'
import { parseRef, typeOfRef } from './references.ts'

export interface ParseContext {
  readonly dataset: QueryableDefinition
  /** What "now" is for relative times. */
  readonly clock: Clock
  /** Default: `defaultQueryLimits`. */
  readonly limits?: QueryLimits
}

/** Of one query; `budget` counts what its filters are made of. */
export interface Context extends Required<ParseContext> {
  /** Whose columns are named; of a continuous aggregate the hypertable under it. */
  readonly dataset: DatasetDefinition
  readonly budget: { nodes: number }
}

/** One query has one now. */
export function startContext({ clock, limits }: ParseContext, dataset: DatasetDefinition): Context {
  const now = clock.now()
  return {
    dataset,
    clock: { now: () => now },
    limits: limits ?? defaultQueryLimits,
    budget: { nodes: 0 },
  }
}

/** Definitions are shared and frozen by the schema; everything else is ours. */
export function freezeNode<N extends QueryNode>(node: N): N {
  for (const [key, value] of Object.entries(node)) if (key !== 'dataset' && key !== 'of') deepFreeze(value)
  return Object.freeze(node)
}

export type Fields = Readonly<Record<string, unknown>>

export const aggregateKeys = [
  'from',
  'to',
  'bucket',
  'zone',
  'by',
  'where',
  'select',
  'having',
  'order',
  'limit',
  'fill',
] as const

export function assertKeys(query: Fields, known: readonly string[], path: string): void {
  for (const key of Object.keys(query)) {
    if (query[key] === undefined || known.includes(key)) continue
    if (path === '' && (aggregateKeys as readonly string[]).includes(key))
      fail(key, query['latestBy'] === undefined ? 'this belongs to a query with select' : 'not with latestBy')
    fail(at(path, key), `there is no "${key}"${suggest(key, known)}`)
  }
}

export function timeOf(dataset: DatasetDefinition): string | null {
  return dataset.kind === 'hypertable' ? dataset.time : null
}

export function parseTimeRange(query: Fields, context: Context): TimeRange | null {
  if (query['from'] == null && query['to'] == null) {
    if (query['zone'] != null && query['bucket'] == null)
      fail('zone', 'a zone has a meaning only together with bucket, from or to')
    assertRange(null, context)
    return null
  }
  if (timeOf(context.dataset) === null)
    fail(query['from'] == null ? 'to' : 'from', `${context.dataset.name} is a plain table and has no time`)
  const range = readRange(query['from'], query['to'], readZone(query['zone']), context.clock)
  assertRange(range, context)
  return range
}

function assertRange(range: TimeRange | null, { limits, dataset }: Context): void {
  if (limits.maxRangeMs === null || timeOf(dataset) === null) return
  if (range === null)
    fail('from', `from is needed, because maxRangeMs allows at most ${limits.maxRangeMs} ms`)
  assertWithin(
    'the width of the range in ms',
    Number((range.to - range.from) / 1000n),
    limits.maxRangeMs,
    'ask for a shorter range (a range without an end has no width), or raise limits.maxRangeMs',
  )
}

function filterContext(context: Context): FilterContext {
  const { dataset, clock, limits, budget } = context
  return {
    clock,
    limits,
    budget,
    resolve: (name, path) => {
      const ref = parseRef(dataset, name, path)
      return { ref, type: typeOfRef(dataset, ref) }
    },
  }
}

export function parseWhere(input: unknown, path: string, context: Context): FilterNode | null {
  return input == null ? null : parseFilter(input, path, filterContext(context))
}

export function parseLimit(input: unknown, context: Context): number | null {
  if (input == null) return null
  if (!Number.isSafeInteger(input) || (input as number) < 1)
    return fail('limit', `${show(input)} is not a whole number above 0`)
  assertWithin(
    'limit',
    input as number,
    context.limits.maxRows,
    'page through the rows, or raise limits.maxRows',
  )
  return input as number
}

export function parseList(input: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(input)) return fail(path, `${show(input)} is not a list`)
  return input
}

export function assertDistinct(names: readonly string[], path: string): void {
  const seen = new Set<string>()
  names.forEach((name, i) => {
    if (seen.has(name)) fail(at(path, i), `"${name}" is there twice`)
    seen.add(name)
  })
}
