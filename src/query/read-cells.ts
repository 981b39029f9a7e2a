import type { KeySlice } from '../aggregate/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { BucketSpec, TimeRange } from '../time/index.ts'
import { cutPlan, planBuckets } from './bucket-plan.ts'
import { mergeCells } from './merge.ts'
import type { FilterNode, GroupNode } from './nodes.ts'
import { inOrderOfTime } from './ordered-parts.ts'
import { intersect, type PlannedPart } from './plan-parts.ts'
import {
  boundsOf,
  type CellRequest,
  partsOf,
  type QueryContext,
  type Reading,
  rangeFor,
  readPart,
  settleAll,
  startReading,
} from './read-parts.ts'
import type { Cell, ScanRequest, StateRequest } from './tier.ts'

/** Parts of a stretch; which tiers can answer is asked with the request as it will be. */
export function planCells(
  reading: Reading,
  range: TimeRange | null,
  request: CellRequest,
): readonly PlannedPart[] {
  return partsOf(reading, range, request)
}

/** The cells of a stretch: each part from its tier, merged. */
export async function readStretchCells(
  reading: Reading,
  range: TimeRange | null,
  request: CellRequest,
): Promise<readonly Cell[]> {
  const { bucket, states, maxCells } = request
  const planning = performance.now()
  const parts = await inOrderOfTime(reading, planCells(reading, range, request), request)
  const reads = performance.now()
  reading.stages.plan += reads - planning
  const results = await settleAll(
    parts.map(({ part, request: asked }) => () => {
      const partRange = rangeFor(reading, part)
      const partBucket = bucket && partRange ? cutPlan(bucket, partRange) : bucket
      const partRequest: ScanRequest = { ...asked, bucket: partBucket, range: partRange }
      return readPart(
        reading,
        part,
        (tier) => tier.scan(partRequest, reading.scan),
        ({ cells }) => cells.length,
      )
    }),
  )
  const merging = performance.now()
  reading.stages.read += merging - reads
  const cells = mergeCells(
    results.map((result) => result.cells),
    states,
    maxCells,
  )
  reading.stages.merge += performance.now() - merging
  return cells
}

/** Partial states of buckets, as a continuous aggregate keeps them. */
export interface CellsQuery {
  readonly dataset: HypertableDefinition
  readonly bucket: BucketSpec
  readonly by: readonly GroupNode[]
  readonly where: FilterNode | null
  readonly states: readonly StateRequest[]
  /** Whole buckets, finite. */
  readonly range: TimeRange
  /** Only cells of this part of all keys; absent: all. */
  readonly slice?: KeySlice
}

export interface CellsFound {
  readonly cells: readonly Cell[]
  /** As the tiers counted or, where they do not count, estimated them. */
  readonly rows: number
}

/**
 * What `executeQuery` computes before it finishes anything: one cell for each bucket and group, from the cheapest places, in
 * the one snapshot of the context.
 *
 * @throws TidemarkError TM_LIMIT where there are more cells than `limits.maxCells`, or more buckets than `limits.maxBuckets`.
 */
export async function readCells(query: CellsQuery, context: QueryContext): Promise<CellsFound> {
  const { dataset, bucket, by, where, states, range, slice } = query
  const reading = await startReading(dataset, range, context)
  const plan = planBuckets(bucket, range, context.limits.maxBuckets)
  const cells = await readStretchCells(reading, range, {
    dataset,
    bucket: plan,
    by,
    where,
    states,
    maxCells: context.limits.maxCells,
    ...(slice ? { slice } : {}),
  })
  return { cells, rows: reading.parts.reduce((sum, { shown }) => sum + (shown.rows ?? 0), 0) }
}

/** How many rows the tiers hold of the range, about; only for deciding how much to read at once. */
export async function estimateRows(
  dataset: HypertableDefinition,
  range: TimeRange,
  context: QueryContext,
): Promise<number> {
  const { coverage } = await startReading(dataset, range, context)
  let rows = 0
  for (const { range: covered, holds, estimatedRows } of coverage.flat()) {
    const common = intersect(covered, range)
    // what holds all of a stretch holds the same rows once more
    if (common && holds === 'share' && estimatedRows !== null)
      rows += estimatedRows * (Number(common.to - common.from) / Number(covered.to - covered.from))
  }
  return rows
}

/** A range that holds every row of `range`, from the tiers' indexes; null when there is none. An end that no index tells is open. */
export async function boundsOfRows(
  dataset: HypertableDefinition,
  range: TimeRange,
  context: QueryContext,
): Promise<TimeRange | null> {
  const reading = await startReading(dataset, range, context, null, null, 'rows')
  const parts = partsOf(reading, range, null)
  const bounds = await boundsOf(reading, parts, null)
  return bounds && intersect(bounds, range)
}
