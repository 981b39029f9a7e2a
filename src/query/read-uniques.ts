import { type AggregateState, aggregates, states } from '../aggregate/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import type { ConsideredAggregate, PlanPart } from './answer.ts'
import { assertWithin } from './limits.ts'
import type { AggregateNode, ColumnRef, FilterNode } from './nodes.ts'
import { planStates } from './plan-states.ts'
import { readStretchCells } from './read-cells.ts'
import { partsRead, type QueryContext, startReading } from './read-parts.ts'
import { errorBoundOf } from './references.ts'
import { SlidingMerge } from './sliding-merge.ts'
import type { StateRequest } from './tier.ts'

/** Different values in windows of time, which may overlap. */
export interface UniquesRequest {
  readonly dataset: HypertableDefinition
  readonly where: FilterNode | null
  /** The value of a row: the first of them that is not null; rows without one count for nothing. */
  readonly refs: readonly ColumnRef[]
  /** Cheapest where, of every `lanes`-th, both ends only grow. */
  readonly windows: readonly TimeRange[]
  /** How many kinds of windows take turns in the list. */
  readonly lanes: number
}

export interface UniquesFound {
  /** Of each window. */
  readonly counts: readonly number[]
  readonly errorBound: string
  readonly parts: readonly PlanPart[]
  /** Continuous aggregates over the dataset, and whether they answered. */
  readonly aggregates: readonly ConsideredAggregate[]
}

/** What people ask for by `method: 'uniques'`; the engine makes it for whoever asks. */
export type ReadUniques = (request: UniquesRequest) => Promise<UniquesFound>

/**
 * Counts with sketches: the range is cut wherever a window begins or ends, each piece is one cell, from a continuous aggregate whose cells
 * fit into the pieces or from rows, and each window merges its cells. A window is never a sum of others.
 *
 * With two columns the sketch of the second one is of the rows whose first is null, so both together are of `coalesce`.
 *
 * @throws TidemarkError TM_LIMIT, TM_CANCELLED, and what the tiers raise.
 */
export async function readUniques(
  { dataset, where, refs, windows, lanes }: UniquesRequest,
  context: QueryContext,
): Promise<UniquesFound> {
  const borders = bordersOf(windows)
  const { maxBuckets, maxCells } = context.limits
  assertWithin(
    'the number of pieces between the ends of windows',
    borders.length - 1,
    maxBuckets,
    'ask for a shorter range, wider buckets or fewer windows, or raise limits.maxBuckets',
  )
  const select = refs.map((_, i) => ({ name: String(i), aggregate: uniquesOf(refs, i) }))
  const requests = planStates({ dataset, select }).states
  const errorBound = errorBoundOf(dataset, uniquesOf(refs, 0)) as string
  // a window that ends before it begins has nobody in it
  if (borders.length === 0) return { counts: windows.map(() => 0), errorBound, parts: [], aggregates: [] }
  const range = { from: borders[0] as Instant, to: borders.at(-1) as Instant }
  const reading = await startReading(dataset, range, context)
  const bucket = { kind: 'borders' as const, borders }
  const cells = await readStretchCells(reading, range, {
    ...{ dataset, bucket, by: [], where, states: requests, maxCells },
  })
  const { spec } = requests[0] as StateRequest
  const placeOf = new Map(borders.map((border, place) => [border, place]))
  const whole: (AggregateState | null)[] = borders.map(() => null)
  for (const cell of cells)
    whole[placeOf.get(cell.bucket as Instant) as number] = cell.states.reduce((into, other) =>
      states[spec.kind].merge(into, other),
    )
  const sliding = Array.from({ length: lanes }, () => new SlidingMerge(spec, whole))
  const counts = windows.map(({ from, to }, i) => {
    if (from >= to) return 0
    const lane = sliding[i % lanes] as SlidingMerge
    const merged = lane.merged(placeOf.get(from) as number, placeOf.get(to) as number)
    return aggregates.uniques.finish(merged, spec, { quantile: null }) as number
  })
  return { counts, errorBound, parts: partsRead(reading), aggregates: [...reading.considered.values()] }
}

function bordersOf(windows: readonly TimeRange[]): readonly Instant[] {
  const all = new Set(windows.flatMap(({ from, to }) => (from < to ? [from, to] : [])))
  return [...all].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/** Of the i-th column in rows in which those before it are null; written as a declaration parses. */
function uniquesOf(refs: readonly ColumnRef[], i: number): AggregateNode {
  const filters = refs.slice(0, i).map((ref): FilterNode => ({ kind: 'isNull', ref }))
  const where: FilterNode | null = filters.length < 2 ? (filters[0] ?? null) : { kind: 'and', filters }
  return { kind: 'aggregate', fn: 'uniques', ref: refs[i] as ColumnRef, where, quantile: null, borders: null }
}
