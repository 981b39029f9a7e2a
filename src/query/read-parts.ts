import type { DatasetDefinition } from '../schema/index.ts'
import type { Clock, Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type PlanPart, roundMs, type Stopwatch, showRange } from './answer.ts'
import type { QueryLimits } from './limits.ts'
import type { FilterNode } from './nodes.ts'
import { type PartSource, type PlannedPart, planParts } from './plan-parts.ts'
import { fail } from './problem.ts'
import {
  type Coverage,
  everything,
  type ReadAccount,
  type ReadSnapshot,
  type ScanContext,
  type ScanRequest,
  type Tier,
} from './tier.ts'

/** What a query is run with. */
export interface QueryContext {
  /** In the order of preference where two could answer at the same cost. */
  readonly tiers: readonly Tier[]
  readonly snapshot: ReadSnapshot
  readonly clock: Clock
  readonly signal: AbortSignal | null
  readonly limits: QueryLimits
}

/** One run of one query: what it has read so far and what that took. */
export interface Reading {
  readonly context: QueryContext
  readonly scan: ScanContext
  readonly dataset: DatasetDefinition
  /** null: a table without time. */
  readonly range: TimeRange | null
  readonly coverage: readonly (readonly Coverage[])[]
  /** As they ended. */
  readonly parts: { readonly begin: Instant; readonly shown: PlanPart }[]
  readonly stages: Stopwatch
}

function assertNotAborted(signal: AbortSignal | null): void {
  if (signal?.aborted)
    throw new TidemarkError('TM_CANCELLED', { what: 'the query' }, { cause: signal.reason })
}

/** Asks every tier once what it holds of the range. */
export async function startReading(
  dataset: DatasetDefinition,
  range: TimeRange | null,
  context: QueryContext,
): Promise<Reading> {
  assertNotAborted(context.signal)
  const started = performance.now()
  const scan: ScanContext = { snapshot: context.snapshot, signal: context.signal }
  const whole = dataset.kind === 'hypertable' ? (range ?? everything) : null
  const coverage = await settleAll(context.tiers.map((tier) => () => tier.coverage(dataset, range, scan)))
  const stages = { plan: performance.now() - started, read: 0, merge: 0 }
  return { context, scan, dataset, range: whole, coverage, parts: [], stages }
}

/** The parts of a stretch of the range, ascending. TM_QUERY when rows lie where nobody can answer. */
export function partsOf(
  reading: Reading,
  range: TimeRange | null,
  cannot: (tier: Tier) => string | null,
): readonly PlannedPart[] {
  const { tiers } = reading.context
  const sources = tiers.map(
    (tier, i): PartSource => ({ coverage: reading.coverage[i] ?? [], cannot: cannot(tier) }),
  )
  const { parts, unanswered } = planParts(range ?? everything, sources)
  const first = unanswered[0]
  if (first) {
    const { from, to } = showRange(first.range)
    fail(
      'query',
      `rows from ${from ?? 'the beginning'} to ${to ?? 'the end'} cannot be read for it: ${first.reasons.join('; ')}`,
    )
  }
  return parts
}

/** A part's range as a tier gets it: a table without time has none. */
export function rangeFor(reading: Reading, part: PlannedPart): TimeRange | null {
  return reading.range === null ? null : part.range
}

function tierOf(reading: Reading, part: PlannedPart): Tier {
  return reading.context.tiers[part.source] as Tier
}

/** Reads one part and writes it down for the plan. */
export async function readPart<R extends ReadAccount>(
  reading: Reading,
  part: PlannedPart,
  read: (tier: Tier) => Promise<R>,
  cellsOf: (result: R) => number,
): Promise<R> {
  assertNotAborted(reading.context.signal)
  const tier = tierOf(reading, part)
  const started = performance.now()
  const result = await read(tier)
  const shown = {
    source: tier.name,
    ...showRange(rangeFor(reading, part)),
    rows: result.rowsRead,
    bytes: result.bytesRead ?? null,
    ...result.detail,
    cells: cellsOf(result),
    ms: roundMs(performance.now() - started),
    why: part.why,
  }
  reading.parts.push({ begin: part.range.from, shown })
  return result
}

/** What has been read, in order of time; of one beginning as it ended. */
export function partsRead(reading: Reading): readonly PlanPart[] {
  const ordered = [...reading.parts].sort((a, b) => (a.begin < b.begin ? -1 : a.begin > b.begin ? 1 : 0))
  return ordered.map(({ shown }) => shown)
}

/** A range that holds every matching row of the parts, from the tiers' indexes; null when there are certainly none. */
export async function boundsOf(
  reading: Reading,
  parts: readonly PlannedPart[],
  where: FilterNode | null,
): Promise<TimeRange | null> {
  const hulls = new Map<Tier, TimeRange>()
  for (const part of parts) {
    const tier = tierOf(reading, part)
    const known = hulls.get(tier)
    hulls.set(tier, known ? { from: known.from, to: part.range.to } : part.range)
  }
  const found = await settleAll(
    [...hulls].map(
      ([tier, range]) =>
        () =>
          tier.bounds(reading.dataset, range, where, reading.scan),
    ),
  )
  let bounds: TimeRange | null = null
  for (const range of found)
    if (range)
      bounds = bounds
        ? {
            from: range.from < bounds.from ? range.from : bounds.from,
            to: range.to > bounds.to ? range.to : bounds.to,
          }
        : range
  return bounds
}

/**
 * Runs all at once and waits for every one of them, also when one fails: nothing may go on reading in a snapshot that
 * is about to be given back. The first error is thrown.
 */
export async function settleAll<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
  if (tasks.length === 1) return [await (tasks[0] as () => Promise<T>)()]
  const settled = await Promise.allSettled(tasks.map((task) => task()))
  return settled.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  })
}

export type CellRequest = Omit<ScanRequest, 'range'>
