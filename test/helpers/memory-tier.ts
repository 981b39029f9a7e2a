import {
  type AggregateState,
  type InputType,
  type InputValue,
  isInSlice,
  states,
} from '../../src/aggregate/index.ts'
import {
  type BucketPlan,
  type Cell,
  type ColumnRef,
  type Coverage,
  canonicalKey,
  compareNewest,
  compareRowKeys,
  evaluateFilter,
  everything,
  type FilterNode,
  type KeyValue,
  keyText,
  type LatestRequest,
  type LatestResult,
  newestKeys,
  type RowPosition,
  type RowsResult,
  rowOrder,
  type ScanContext,
  type ScanRequest,
  type ScanResult,
  type StateRequest,
  type Tier,
} from '../../src/query/index.ts'
import type { DatasetDefinition } from '../../src/schema/index.ts'
import { floorDivide, type Instant, type TimeRange } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import { groupText, jsonAt, jsonText, type NaiveRow, normalRow } from './naive-values.ts'
import { createRowKeys } from './row-keys.ts'

export interface MemoryTierOptions {
  readonly name?: string
  readonly dataset: DatasetDefinition
  /** In any form that insert takes. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** What it says it can answer for; it reads only what lies there. Default: everything. */
  readonly coverage?: readonly TimeRange[]
  /** Default `all`. A `share` reads only its own rows, so several with different rows make one table. */
  readonly holds?: Coverage['holds']
  /** A page of rows ends after so many, as those of other tiers do after so many bytes. Default: none. */
  readonly maxPageRows?: number
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
  const order = rowOrder(dataset)
  const { keysOf, newestKeysOf } = createRowKeys(dataset)

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
        stretches.push({
          range: clipped,
          holds: options.holds ?? 'all',
          estimatedRows,
          pieces: options.pieces ?? 1,
        })
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
      const keyTypes = request.by.map(({ ref }): InputType => {
        const type = request.dataset.columns[ref.column]?.type ?? 'text'
        return type === 'jsonb' ? 'text' : type
      })
      const cells = new Map<string, { bucket: Instant | null; keys: KeyValue[]; states: AggregateState[] }>()
      for (const row of found) {
        const bucket = request.bucket ? bucketOf(request.bucket, timeOf(row)) : null
        const keys = request.by.map(({ ref }) => keyOf(row, ref))
        if (request.slice && !isInSlice(keyTypes, keys as (InputValue | null)[], request.slice)) continue
        const id = keyText(bucket) + keys.map(keyText).join('')
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
            state.series?.map((column) => row[column] as InputValue | null),
          )
        }
      }
      // as an engine does: what is not asked for as readings is one segment for each series
      for (const cell of cells.values())
        for (const [i, { spec }] of request.states.entries()) {
          const { ordered, decode, encode } = states[spec.kind]
          if (ordered && !spec.readings) cell.states[i] = decode(encode(cell.states[i]!), spec)
        }
      return { cells: [...cells.values()] as readonly Cell[], rowsRead: found.length, bytesRead: null }
    },

    async rows(request, context): Promise<RowsResult> {
      const found = await select(request.range, request.where, context)
      const ascending = compareRowKeys(order)
      const compare: typeof ascending = request.direction === 'asc' ? ascending : (a, b) => ascending(b, a)
      const ordered = found.map((row) => ({ row, keys: keysOf(row) })).sort((a, b) => compare(a.keys, b.keys))
      const { after } = request
      let passed = after?.seen ?? 0
      const rest = ordered.filter(({ keys }) => {
        if (!after) return true
        const prefix = keys.slice(0, after.keys.length)
        const difference = compare(
          [...prefix, ...keys.slice(prefix.length)],
          [...after.keys, ...keys.slice(prefix.length)],
        )
        if (difference !== 0) return difference > 0
        if (prefix.length < keys.length) return false
        return passed-- <= 0
      })
      const page = rest.slice(0, Math.min(request.limit, options.maxPageRows ?? request.limit))
      const last = page.at(-1)
      let end: RowPosition | null = null
      if (last && page.length < rest.length) {
        const isLast = (keys: readonly unknown[]): boolean => compare(keys, last.keys) === 0
        const before = after && after.keys.length === last.keys.length && isLast(after.keys) ? after.seen : 0
        end = { keys: last.keys, seen: before + page.filter(({ keys }) => isLast(keys)).length }
      }
      return {
        rows: page.map(({ row }) => request.columns.map((name) => row[name])),
        end,
        keys: request.withKeys ? page.map(({ keys }) => keys) : null,
        rowsRead: found.length,
      }
    },

    async latest(request: LatestRequest, context): Promise<LatestResult> {
      const found = await select(request.range, request.where, context)
      const isNewer = compareNewest(newestKeys(dataset, request.by))
      const deciding = (row: NaiveRow): readonly unknown[] => newestKeysOf(row, request.by)
      const newest = new Map<string, NaiveRow>()
      for (const row of found) {
        const id = JSON.stringify(request.by.map((name) => groupText(dataset.columns[name]!.type, row[name])))
        const known = newest.get(id)
        if (!known || isNewer(deciding(row), deciding(known)) > 0) newest.set(id, row)
      }
      const rows = [...newest.values()]
      return {
        rows: rows.map((row) => request.columns.map((name) => row[name])),
        keys: request.withKeys ? rows.map(deciding) : null,
        rowsRead: found.length,
      }
    },
  }

  function keyOf(row: NaiveRow, { column, path }: ColumnRef): KeyValue {
    if (path.length > 0) return jsonText(jsonAt(row[column], path))
    const { type, scale } = dataset.columns[column]!
    return canonicalKey(type, row[column], scale) as KeyValue
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

function bucketOf(plan: BucketPlan, time: Instant): Instant {
  if (plan.kind === 'fixed') return plan.origin + floorDivide(time - plan.origin, plan.width) * plan.width
  let start = plan.borders[0]!
  for (const border of plan.borders) if (border <= time) start = border
  return start
}
