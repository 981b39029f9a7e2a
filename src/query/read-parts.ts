import type { ContinuousAggregateDefinition, DatasetDefinition } from '../schema/index.ts'
import type { Clock, Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type ConsideredAggregate, type PlanPart, roundMs, type Stopwatch, showRange } from './answer.ts'
import type { InnerRow } from './fill.ts'
import type { QueryLimits } from './limits.ts'
import type { AggregateQueryNode, FilterNode } from './nodes.ts'
import { type CellSource, planWithCells } from './plan-cells.ts'
import type { PartSource, PlannedPart } from './plan-parts.ts'
import { fail } from './problem.ts'
import {
  type Cell,
  type Coverage,
  everything,
  type Fit,
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
  /** Absent: every query is computed anew. */
  readonly results?: ResultsCache | null
}

/** Results of queries before this one (results-cache/), above all tiers. */
export interface ResultsCache {
  /** The way of one attempt to answer a query; null when nothing of such a query is kept. */
  begin(node: AggregateQueryNode, context: QueryContext): KeptCells | null
}

export interface KeptCells {
  /** Whether all of the answer is kept, so that no tier has to be asked anything. */
  isWhole(): Promise<boolean>
  /** The cells of a stretch, from what is kept as far as it is right in the snapshot, the rest from the tiers. */
  cells(reading: Reading, range: TimeRange | null, request: CellRequest): Promise<readonly Cell[]>
  /** Each of the cells that it has just given, finished; `outputs` tells what is made of them. */
  finish(cells: readonly Cell[], outputs: string, toRow: (cell: Cell) => InnerRow): readonly InnerRow[]
  /** What was computed is kept: once the answer is known to rest on what the snapshot sees, never before. */
  keep(): void
}

/** One run of one query: what it has read so far and what that took. */
export interface Reading {
  readonly context: QueryContext
  readonly scan: ScanContext
  readonly dataset: DatasetDefinition
  /** null: a table without time. */
  readonly range: TimeRange | null
  readonly coverage: readonly (readonly Coverage[])[]
  readonly kept: KeptCells | null
  /** As they ended. */
  readonly parts: { readonly begin: Instant; readonly shown: PlanPart }[]
  /** Each tier that keeps cells of the dataset, by its name. */
  readonly considered: Map<string, ConsideredAggregate>
  /** States that were not known in some of the cells, by their place: before when. */
  readonly unknown: Map<number, Instant>
  readonly stages: Stopwatch
}

function assertNotAborted(signal: AbortSignal | null): void {
  if (signal?.aborted)
    throw new TidemarkError('TM_CANCELLED', { what: 'the query' }, { cause: signal.reason })
}

/**
 * Asks every tier once what it holds of the range, unless what is kept is the answer. For `rows` those are left out that have cells
 * instead: which of them are valid costs PostgreSQL as much as a page of rows.
 */
export async function startReading(
  dataset: DatasetDefinition,
  range: TimeRange | null,
  context: QueryContext,
  aggregate: ContinuousAggregateDefinition | null = null,
  kept: KeptCells | null = null,
  wanted: 'cells' | 'rows' = 'cells',
): Promise<Reading> {
  assertNotAborted(context.signal)
  const started = performance.now()
  const scan: ScanContext = {
    snapshot: context.snapshot,
    signal: context.signal,
    ...(aggregate ? { aggregate } : {}),
  }
  const whole = dataset.kind === 'hypertable' ? (range ?? everything) : null
  const isKept = (await kept?.isWhole()) ?? false
  const coverage = isKept
    ? []
    : await settleAll(
        context.tiers.map((tier) => async () => {
          const isLeftOut = wanted === 'rows' && tier.fit !== undefined
          return isLeftOut ? [] : tier.coverage(dataset, range, scan)
        }),
      )
  const stages = { plan: performance.now() - started, read: 0, merge: 0 }
  const considered = new Map<string, ConsideredAggregate>()
  return {
    context,
    scan,
    dataset,
    range: whole,
    coverage,
    kept,
    parts: [],
    considered,
    unknown: new Map(),
    stages,
  }
}

/**
 * The parts of a stretch of the range, ascending; of cells as they are requested, or of rows (`request` null), which tiers that
 * keep cells do not have. TM_QUERY when rows lie where nobody can answer.
 */
export function partsOf(
  reading: Reading,
  range: TimeRange | null,
  request: CellRequest | null,
): readonly PlannedPart[] {
  const { tiers } = reading.context
  const asked: ScanRequest | null = request && { ...request, range }
  const fits = tiers.map((tier) => (asked && tier.fit ? tier.fit(asked, reading.scan) : null))
  const sources = tiers.map((tier, i): PartSource => {
    const fit = fits[i]
    // what has no cells for the request may still be all that there is
    if (fit && fit.cannot !== null) return fit
    if (tier.fit) return { coverage: [], cannot: null }
    return { coverage: reading.coverage[i] ?? [], cannot: asked ? tier.cannot(asked) : null }
  })
  const cells = fits.flatMap((fit, source): CellSource[] =>
    fit && fit.cannot === null && fit.coverage.length > 0
      ? [
          {
            source,
            within: fit.within,
            isPreferred: reading.scan.aggregate !== undefined,
            ...(fit.own ? { own: fit.own } : {}),
          },
        ]
      : [],
  )
  const { parts, unanswered } = planWithCells(range ?? everything, sources, cells)
  for (const [i, fit] of fits.entries())
    if (fit)
      noteConsidered(
        reading,
        tiers[i] as Tier,
        fit,
        parts.some(({ source }) => source === i),
      )
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

/** Of several stretches of one query the one counts in which it was used. */
function noteConsidered(reading: Reading, tier: Tier, fit: Fit, used: boolean): void {
  if (reading.considered.get(tier.name)?.used) return
  const { coverage, cannot, note } = fit
  const idle =
    coverage.length > 0 ? 'what else there is costs less to read' : 'it has no whole cell in the range'
  const why = cannot ?? note ?? (used ? 'its cells hold what is asked for' : idle)
  reading.considered.set(tier.name, {
    name: tier.name,
    used,
    why: used || cannot || coverage.length === 0 ? why : idle,
  })
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
  for (const { state, before } of result.unknown ?? []) {
    const known = reading.unknown.get(state)
    if (known === undefined || known < before) reading.unknown.set(state, before)
  }
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
