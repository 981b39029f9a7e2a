import {
  type AggregateDefinition,
  type AggregateState,
  aggregates,
  type ResultType,
} from '../aggregate/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import type { PartialOutput } from './answer.ts'
import { bucketsAround, needsEnds, planBuckets, windowAtEnd } from './bucket-plan.ts'
import type { LookedUp } from './dimensions.ts'
import { evaluateFilter, type Operand } from './evaluate.ts'
import { fillGaps, type InnerRow } from './fill.ts'
import { assertWithin } from './limits.ts'
import { emptyCell } from './merge.ts'
import type { AggregateQueryNode } from './nodes.ts'
import { orderRows, rowOrder } from './order-rows.ts'
import { intersect } from './plan-parts.ts'
import { planStates, type StatePlan } from './plan-states.ts'
import { fail } from './problem.ts'
import { planCells, readStretchCells } from './read-cells.ts'
import { boundsOf, type CellRequest, type Reading } from './read-parts.ts'
import { columnOf, type OutputColumn, outputColumns } from './references.ts'
import { type BucketPlan, type Cell, everything, unknownState } from './tier.ts'
import { canonicalKey } from './values.ts'

/** What stays the same for every stretch that one query reads. */
interface Run {
  readonly node: AggregateQueryNode
  /** Null: it names no dimensions. */
  readonly lookedUp: LookedUp | null
  readonly reading: Reading
  readonly plan: StatePlan
  readonly columns: readonly OutputColumn[]
  readonly toRow: (cell: Cell) => InnerRow
  /** Equal where `toRow` makes the same of cells of the same states. */
  readonly outputs: string
  readonly keep: ((row: InnerRow) => boolean) | null
}

/** The finished rows of an aggregate query, in their inner form, ordered and limited. */
export async function executeAggregate(
  node: AggregateQueryNode,
  reading: Reading,
  lookedUp: LookedUp | null = null,
): Promise<readonly InnerRow[]> {
  const plan = planStates(node)
  const columns = outputColumns(node)
  const run: Run = {
    node,
    lookedUp,
    reading,
    plan,
    columns,
    toRow: createFinisher(node, plan),
    outputs: JSON.stringify(
      plan.steps.map(({ fn, state, options }, i) => [fn, state, options, declaredScale(node, i)]),
    ),
    keep: createHaving(node, columns),
  }
  const { limits } = reading.context
  const walk = walkDirection(node)
  let rows: InnerRow[]
  if (walk) rows = await readFromEnd(run, walk.newest, walk.limit)
  else {
    rows = await readWhole(run)
    if (node.fill.kind !== 'none') {
      const started = performance.now()
      rows = fillGaps(node, rows, columns, limits)
      reading.stages.merge += performance.now() - started
    }
  }
  const started = performance.now()
  orderRows(rows, rowOrder(node, columns))
  if (node.limit !== null && rows.length > node.limit) rows.length = node.limit
  assertWithin(
    'the number of rows',
    rows.length,
    limits.maxRows,
    'ask for fewer with limit, or raise limits.maxRows',
  )
  reading.stages.merge += performance.now() - started
  return rows
}

function requestOf(run: Run, bucket: BucketPlan | null): CellRequest {
  const { plan, reading } = run
  const node = run.lookedUp?.node ?? run.node
  return {
    dataset: node.dataset,
    bucket,
    by: node.by,
    where: node.where,
    states: plan.states,
    maxCells: reading.context.limits.maxCells,
  }
}

async function readStretch(
  run: Run,
  range: TimeRange | null,
  bucket: BucketPlan | null,
): Promise<readonly InnerRow[]> {
  const { reading, node, plan } = run
  const request = requestOf(run, bucket)
  let cells = await (reading.kept?.cells(reading, range, request) ??
    readStretchCells(reading, range, request))
  if (run.lookedUp) cells = await run.lookedUp.regroup(cells)
  const finishing = performance.now()
  if (cells.length === 0 && node.bucket === null && node.by.length === 0) cells = [emptyCell(plan.states)]
  const rows: readonly InnerRow[] =
    reading.kept && !run.lookedUp ? reading.kept.finish(cells, run.outputs, run.toRow) : cells.map(run.toRow)
  const kept = run.keep ? rows.filter(run.keep) : rows
  reading.stages.merge += performance.now() - finishing
  return kept
}

/** The range whose buckets have to be listed: cut to where rows are when an end is open and buckets are irregular. */
async function bucketRange(run: Run): Promise<TimeRange | null> {
  const { node, reading } = run
  const { range } = reading
  if (range === null || node.bucket === null) return range
  if (!isOpen(range) || !needsEnds(node.bucket)) return range
  return endsOf(run, range)
}

async function endsOf(run: Run, range: TimeRange): Promise<TimeRange | null> {
  const { node, reading } = run
  const started = performance.now()
  const parts = planCells(reading, range, requestOf(run, null))
  const found = await boundsOf(reading, parts, (run.lookedUp?.node ?? node).where)
  reading.stages.plan += performance.now() - started
  if (found === null) return null
  // cells are whole
  const bounds = node.of ? bucketsAround(node.of.bucket, found) : found
  const ends = intersect(bounds, range)
  if (ends && node.bucket && needsEnds(node.bucket) && isOpen(ends))
    fail(
      ends.from === everything.from ? 'from' : 'to',
      `it is needed: no index tells where the rows of ${node.dataset.name} end, and the buckets of a zone or calendar are listed`,
    )
  return ends
}

function isOpen({ from, to }: TimeRange): boolean {
  return from === everything.from || to === everything.to
}

async function readWhole(run: Run): Promise<InnerRow[]> {
  const { node, reading } = run
  if (node.bucket === null) return [...(await readStretch(run, reading.range, null))]
  const range = await bucketRange(run)
  if (range === null) return []
  return [
    ...(await readStretch(run, range, planBuckets(node.bucket, range, reading.context.limits.maxBuckets))),
  ]
}

/**
 * When the first thing that orders the answer is the bucket, its first rows lie at one end of the range: no other
 * bucket can come before them, whatever `having` removes. Fill is left out, since gaps and what fills them depend on
 * rows further away.
 */
function walkDirection(
  node: AggregateQueryNode,
): { readonly newest: boolean; readonly limit: number } | null {
  if (node.bucket === null || node.limit === null || node.fill.kind !== 'none') return null
  const first = node.order[0]
  if (first && first.by !== 'bucket') return null
  return { newest: first?.direction === 'desc', limit: node.limit }
}

/** A stretch grows at most by this factor when the one before gave too little. */
const growth = 16

/**
 * Reads whole buckets from one end until `limit` rows have survived `having`. Each bucket is read once, so an answer
 * that needs the whole range costs as much as reading it at once, but for a few round trips.
 */
async function readFromEnd(run: Run, newest: boolean, limit: number): Promise<InnerRow[]> {
  const { node, reading } = run
  const rows: InnerRow[] = []
  const spec = node.bucket
  if (spec === null || reading.range === null) return rows
  let rest = await endsOf(run, reading.range)
  if (rest === null) return rows
  const { maxBuckets } = reading.context.limits
  // Irregular buckets are listed one by one, and so limited in number.
  const most = needsEnds(spec) ? Math.max(1, Math.floor(maxBuckets / 2)) : 2 ** 50
  let buckets = node.by.length > 0 ? 1 : Math.min(limit, most)
  let seen = 0
  for (;;) {
    const stretch: TimeRange = windowAtEnd(spec, rest, buckets, newest)
    const found = await readStretch(run, stretch, planBuckets(spec, stretch, maxBuckets))
    rows.push(...found)
    if (rows.length >= limit) return rows
    rest = newest ? { from: rest.from, to: stretch.from } : { from: stretch.to, to: rest.to }
    if (rest.from >= rest.to) return rows
    seen += buckets
    const wanted = rows.length === 0 ? seen * growth : Math.ceil((seen * (limit - rows.length)) / rows.length)
    buckets = Math.min(wanted, seen * growth, most)
    // Nothing here: there may be nothing for a long way. An index knows where it goes on.
    if (found.length === 0) {
      rest = await endsOf(run, rest)
      if (rest === null) return rows
    }
  }
}

function createFinisher(node: AggregateQueryNode, plan: StatePlan): (cell: Cell) => InnerRow {
  const steps = plan.steps.map((step, i) => ({
    definition: aggregates[step.fn] as AggregateDefinition,
    spec: (plan.states[step.state] as StatePlan['states'][number]).spec,
    state: step.state,
    options: step.options,
    scale: declaredScale(node, i),
  }))
  const hasBucket = node.bucket !== null
  return (cell) => {
    const row: InnerRow = hasBucket ? [cell.bucket, ...cell.keys] : [...cell.keys]
    for (const { definition, spec, state, options, scale } of steps) {
      const known = cell.states[state] as AggregateState
      if (known === unknownState) {
        row.push(null)
        continue
      }
      const value = definition.finish(known, spec, options)
      row.push(scale === null ? value : canonicalKey('numeric', value, scale))
    }
    return row
  }
}

/** The outputs that are made of states that were not known everywhere. */
export function partialOutputs(
  node: AggregateQueryNode,
  unknown: ReadonlyMap<number, Instant>,
): readonly PartialOutput[] {
  if (unknown.size === 0) return []
  return planStates(node).steps.flatMap(({ name, state }) => {
    const before = unknown.get(state)
    return before === undefined ? [] : [{ output: name, before: formatInstant(before) }]
  })
}

/** A value of a numeric(12, 2) column has two decimals in aggregates too, as it has in rows. */
function declaredScale(node: AggregateQueryNode, i: number): number | null {
  const { fn, ref } = (node.select[i] as AggregateQueryNode['select'][number]).aggregate
  if (ref === null || !['min', 'max', 'first', 'last'].includes(fn)) return null
  const column = columnOf(node.dataset, ref.column)
  return column?.type === 'numeric' ? column.scale : null
}

function createHaving(
  node: AggregateQueryNode,
  columns: readonly OutputColumn[],
): ((row: InnerRow) => boolean) | null {
  const { having } = node
  if (having === null) return null
  const places = new Map(columns.map(({ name, type }, i) => [name, { type, i }]))
  return (row) =>
    evaluateFilter(having, ({ column }): Operand => {
      const { type, i } = places.get(column) as { type: ResultType; i: number }
      return { type, value: row[i] ?? null }
    }) === true
}
