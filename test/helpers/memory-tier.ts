import { type AggregateState, type InputValue, states } from '../../src/aggregate/index.ts'
import {
  type BucketPlan,
  type Cell,
  type ColumnRef,
  type Coverage,
  evaluateFilter,
  everything,
  type FilterNode,
  type KeyValue,
  type LatestQueryNode,
  type LatestResult,
  type RowsRequest,
  type RowsResult,
  type ScanContext,
  type ScanRequest,
  type ScanResult,
  type StateRequest,
  type Tier,
} from '../../src/query/index.ts'
import type { DatasetDefinition } from '../../src/schema/index.ts'
import { floorDivide, type Instant, type TimeRange } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import {
  compareNulls,
  compareTyped,
  groupText,
  jsonAt,
  jsonText,
  type NaiveRow,
  normalRow,
} from './naive-values.ts'

export interface MemoryTierOptions {
  readonly name?: string
  readonly dataset: DatasetDefinition
  /** In any form that insert takes. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** What it says it can answer for; it reads only what lies there. Default: everything. */
  readonly coverage?: readonly TimeRange[]
  /** Cost that it states for each stretch of its coverage. Default: as many rows as it holds there. */
  readonly estimatedRows?: number | null
  readonly pieces?: number
  readonly cannot?: (request: ScanRequest) => string | null
  /** False: bounds answers with the asked range, as a tier without an index would. Default true. */
  readonly hasIndex?: boolean
}

/** What was asked of a tier, for tests of how little was read. */
export interface MemoryTier extends Tier {
  readonly scanned: TimeRange[]
}

/**
 * A tier over an array. The planner is tested with it, and it passes the same suite as the real ones. Filters are the
 * query folder's own evaluation, states the algebra's TypeScript half.
 */
export function createMemoryTier(options: MemoryTierOptions): MemoryTier {
  const { dataset } = options
  const time = dataset.kind === 'hypertable' ? dataset.time : null
  const rows = options.rows.map((row) => normalRow(dataset, row))
  const covered = options.coverage ?? [everything]
  const scanned: TimeRange[] = []

  const timeOf = (row: NaiveRow): Instant => (time === null ? 0n : (row[time] as Instant))

  function holds(row: NaiveRow, range: TimeRange | null): boolean {
    if (time === null) return true
    const at = timeOf(row)
    if (range && (at < range.from || at >= range.to)) return false
    return covered.some(({ from, to }) => at >= from && at < to)
  }

  function operandOf(row: NaiveRow) {
    return ({ column, path }: ColumnRef) => {
      const { type } = dataset.columns[column]!
      return { type, value: type === 'jsonb' ? jsonAt(row[column], path) : row[column] }
    }
  }

  const matches = (row: NaiveRow, where: FilterNode | null): boolean =>
    where === null || evaluateFilter(where, operandOf(row)) === true

  async function select(
    range: TimeRange | null,
    where: FilterNode | null,
    context: ScanContext,
  ): Promise<NaiveRow[]> {
    // A turn of the event loop, so that a signal that is aborted while it runs is seen.
    await new Promise((resolve) => setImmediate(resolve))
    if (context.signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what: 'the scan' })
    return rows.filter((row) => holds(row, range) && matches(row, where))
  }

  return {
    name: options.name ?? 'memory',
    scanned,

    async coverage(_dataset, range) {
      const stretches: Coverage[] = []
      for (const stretch of covered) {
        const from = range && range.from > stretch.from ? range.from : stretch.from
        const to = range && range.to < stretch.to ? range.to : stretch.to
        if (from >= to) continue
        const clipped = { from, to }
        const estimatedRows =
          options.estimatedRows === undefined
            ? rows.filter((row) => holds(row, clipped)).length
            : options.estimatedRows
        stretches.push({ range: clipped, estimatedRows, pieces: options.pieces ?? 1 })
      }
      return stretches
    },

    cannot: (request) => options.cannot?.(request) ?? null,

    async bounds(_dataset, range, where, context) {
      if (options.hasIndex === false) return range ?? everything
      const found = await select(range, where, context)
      if (found.length === 0) return null
      const times = found.map(timeOf)
      return {
        from: times.reduce((a, b) => (b < a ? b : a)),
        to: times.reduce((a, b) => (b > a ? b : a)) + 1n,
      }
    },

    async scan(request, context): Promise<ScanResult> {
      if (request.range) scanned.push(request.range)
      const found = await select(request.range, request.where, context)
      const cells = new Map<string, { bucket: Instant | null; keys: KeyValue[]; states: AggregateState[] }>()
      for (const row of found) {
        const bucket = request.bucket ? bucketOf(request.bucket, timeOf(row)) : null
        const keys = request.by.map(({ ref }) => keyOf(row, ref))
        const types = request.by.map(({ ref }) =>
          ref.path.length > 0 ? 'text' : dataset.columns[ref.column]!.type,
        )
        const id = JSON.stringify([String(bucket), ...keys.map((key, i) => groupText(types[i]!, key))])
        let cell = cells.get(id)
        if (!cell) {
          cell = { bucket, keys, states: request.states.map(({ spec }) => states[spec.kind].create(spec)) }
          cells.set(id, cell)
          if (cells.size > request.maxCells)
            throw new TidemarkError('TM_LIMIT', {
              what: 'the number of cells (buckets x groups)',
              value: `more than ${request.maxCells}`,
              limit: String(request.maxCells),
              todo: 'ask for a wider bucket, a shorter range or fewer groups',
            })
        }
        for (const [i, state] of request.states.entries()) {
          if (!matches(row, state.where)) continue
          const value = inputOf(row, state)
          if (value === null && state.ref !== null) continue
          cell.states[i] = states[state.spec.kind].add(
            cell.states[i]!,
            value,
            time === null ? null : timeOf(row),
          )
        }
      }
      return { cells: [...cells.values()] as readonly Cell[], rowsRead: found.length, bytesRead: null }
    },

    async rows(request, context): Promise<RowsResult> {
      const found = await select(request.range, request.where, context)
      const keys = time === null ? (dataset.primaryKey ?? []) : [time]
      const sign = request.direction === 'asc' ? 1 : -1
      // Rows of one instant keep the order of the array: sort is stable.
      found.sort((a, b) => {
        for (const key of keys) {
          const { type } = dataset.columns[key]!
          const order = compareNulls(a[key], b[key], () => compareTyped(type, a[key], b[key]))
          if (order !== 0) return order * sign
        }
        return 0
      })
      const start = request.cursor === null ? 0 : readOffset(request)
      const page = found.slice(start, start + request.limit)
      const end = start + page.length
      return {
        rows: page.map((row) => request.columns.map((name) => row[name])),
        cursor: end < found.length ? `memory:${end}` : null,
        rowsRead: found.length,
      }
    },

    async latest(request: LatestQueryNode, context): Promise<LatestResult> {
      const found = await select(request.range, request.where, context)
      const newest = new Map<string, NaiveRow>()
      for (const row of found) {
        const id = JSON.stringify(request.by.map((name) => groupText(dataset.columns[name]!.type, row[name])))
        const known = newest.get(id)
        if (!known || timeOf(row) > timeOf(known)) newest.set(id, row)
      }
      return {
        rows: [...newest.values()].map((row) => request.columns.map((name) => row[name])),
        rowsRead: found.length,
      }
    },
  }

  function keyOf(row: NaiveRow, { column, path }: ColumnRef): KeyValue {
    return (path.length > 0 ? jsonText(jsonAt(row[column], path)) : row[column]) as KeyValue
  }

  function inputOf(row: NaiveRow, { ref, spec }: StateRequest): InputValue | null {
    if (ref === null) return null
    const value = row[ref.column]
    if (spec.input === 'json-text') return jsonText(jsonAt(value, ref.path))
    if (spec.input === 'json-number') {
      const inner = jsonAt(value, ref.path)
      return typeof inner === 'number' ? inner : null
    }
    return value as InputValue | null
  }
}

function readOffset(request: RowsRequest): number {
  const match = /^memory:(\d+)$/.exec(request.cursor as string)
  if (!match)
    throw new TidemarkError('TM_QUERY', {
      path: 'cursor',
      problem: 'it is not a cursor of an earlier answer',
    })
  return Number(match[1])
}

function bucketOf(plan: BucketPlan, time: Instant): Instant {
  if (plan.kind === 'fixed') return plan.origin + floorDivide(time - plan.origin, plan.width) * plan.width
  let start = plan.borders[0]!
  for (const border of plan.borders) if (border <= time) start = border
  return start
}
