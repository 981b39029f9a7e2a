import { type AggregateState, states as algebra } from '../aggregate/index.ts'
import { bucketSql, cellReader, groupBy, type PostgresSnapshot, scanConditions } from '../hot/index.ts'
import {
  type BucketPlan,
  type Cell,
  type ColumnRef,
  canonicalFilter,
  everything,
  type FilterNode,
  keyText,
  type ScanRequest,
  type ScanResult,
  stateRequestKey,
  type UnknownBefore,
  unknownState,
} from '../query/index.ts'
import type { ColumnDefinition, HypertableDefinition } from '../schema/index.ts'
import { type BucketSpec, fixedBucket, type Instant, nextBucket, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import { bucketColumn, cellSchema } from './cell-table.ts'
import { lostBefore } from './expired.ts'
import type { HeldVersion } from './tier-catalog.ts'
import { conjuncts, keyIndex } from './tier-fit.ts'

type KeptState = HeldVersion['table']['states'][number]

interface PlannedScan {
  /** The request, over the table of cells. */
  readonly request: ScanRequest
  readonly states: readonly {
    readonly kept: KeptState
    readonly columns: readonly Sql[]
    readonly definition: (typeof algebra)[keyof typeof algebra]
    /** It may be null in the range. */
    readonly isPartial: boolean
  }[]
  readonly unknown: readonly UnknownBefore[]
  readonly signal: AbortSignal | null
  readonly snapshot: PostgresSnapshot
}

/** Cells that are read at once where TypeScript merges them. */
const cellsOfPiece = 10_000

/**
 * Cells of a request from the table of cells: as they are where each is one of the request's, merged by SQL where it can merge
 * every state, otherwise merged here, piece by piece.
 */
export async function scanCells(
  request: ScanRequest,
  mine: HeldVersion,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
): Promise<ScanResult> {
  const scan = planScan(request, mine, snapshot, signal)
  const { bucket, keys } = mine.version.materialization
  const isCellOfOne =
    request.bucket !== null &&
    request.range !== null &&
    keys.every(({ ref }) => request.by.some((group) => keyIndex([group], ref) === 0)) &&
    sameBuckets(request.bucket, request.range, bucket)
  if (isCellOfOne) return readCells(scan)
  return scan.states.every(({ kept }) => kept.stored.merge !== null) ? mergeInSql(scan) : mergeHere(scan)
}

function planScan(
  request: ScanRequest,
  { version, table, frozen }: HeldVersion,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
): PlannedScan {
  const { base, keys, where, states } = version.materialization
  const columns: Record<string, ColumnDefinition> = {
    [bucketColumn]: base.columns[base.time] as ColumnDefinition,
  }
  keys.forEach(({ ref }, i) => {
    const column = base.columns[ref.column] as ColumnDefinition
    const text = { ...column, type: 'text', precision: null, scale: null } as const
    columns[(table.keys[i] as { column: string }).column] = ref.path.length > 0 ? text : column
  })
  const dataset: HypertableDefinition = {
    ...base,
    name: `${cellSchema}.${version.relation}`,
    schema: cellSchema,
    table: version.relation,
    time: bucketColumn,
    columns,
  }
  const onCells = ({ column, path }: ColumnRef): ColumnRef => {
    const key = table.keys[keyIndex(keys, { column, path })]
    return key ? { column: key.column, path: [] } : unreachable(`${column} is no key of ${version.name}`)
  }
  // its own filter holds for every cell
  const held = new Set(conjuncts(where).map(canonicalFilter))
  const rest = conjuncts(request.where).filter((filter) => !held.has(canonicalFilter(filter)))
  const places = new Map(states.map((state, i) => [stateRequestKey(state), i]))
  const unknown: UnknownBefore[] = []
  const lost = lostBefore(version, frozen, request.range ?? everything)
  const planned = request.states.map((state, i) => {
    const place = places.get(stateRequestKey(state)) ?? unreachable(`${version.name} does not keep a state`)
    const kept = table.states[place] as KeptState
    const unkept = version.unknownBefore.get(place)
    const before = lost !== null && (unkept === undefined || unkept < lost) ? lost : unkept
    const isPartial = before !== undefined && (request.range === null || request.range.from < before)
    if (isPartial) unknown.push({ state: i, before })
    const definition = algebra[state.spec.kind]
    return { kept, columns: kept.columns.map(({ column }) => identifier(column)), definition, isPartial }
  })
  return {
    request: {
      ...request,
      dataset,
      by: request.by.map((group) => ({ ...group, ref: onCells(group.ref) })),
      where:
        rest.length === 0 ? null : { kind: 'and', filters: rest.map((filter) => mapRefs(filter, onCells)) },
    },
    states: planned,
    unknown,
    signal,
    snapshot,
  }
}

function mapRefs(filter: FilterNode, map: (ref: ColumnRef) => ColumnRef): FilterNode {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return { ...filter, filters: filter.filters.map((inner) => mapRefs(inner, map)) }
    case 'not':
      return { ...filter, filter: mapRefs(filter.filter, map) }
    default:
      return { ...filter, ref: map(filter.ref) }
  }
}

/** Whether each bucket of the plan within the range is one of the cells'. */
function sameBuckets(plan: BucketPlan, range: TimeRange, spec: BucketSpec): boolean {
  const fine = fixedBucket(spec, range)
  if (plan.kind === 'fixed') return fine?.width === plan.width
  return plan.borders.every((border, i) => {
    const next = plan.borders[i + 1]
    if (next === undefined) return true
    return fine ? next - border === fine.width : nextBucket(spec, border) === next
  })
}

function columnsOf({ request }: PlannedScan, bucket: Sql | null): Sql[] {
  const keys = request.by.map(({ ref }) => identifier(ref.column))
  return bucket ? [bucket, ...keys] : keys
}

function fromWhere({ request }: PlannedScan): Sql {
  const conditions = scanConditions(request)
  const { schema, table } = request.dataset
  return sql`from ${identifier(schema, table)}${conditions.length === 0 ? raw('') : sql` where ${join(conditions, ' and ')}`}`
}

/** The states of a row whose first one stands at `at`. */
function statesAt({ states }: PlannedScan, row: readonly unknown[], at: number): AggregateState[] {
  let from = at
  return states.map(({ kept, isPartial }) => {
    const to = from + kept.columns.length
    const values = row.slice(from, to)
    from = to
    if (isPartial && values.every((value) => value === null)) return unknownState
    return kept.stored.read(values)
  })
}

async function readCells(scan: PlannedScan): Promise<ScanResult> {
  const { request, states, snapshot, signal } = scan
  const cells = columnsOf(scan, identifier(bucketColumn))
  const { rows } = await snapshot.query(
    sql`
      select ${join([...cells, ...states.flatMap(({ columns }) => columns)], ', ')}
      ${fromWhere(scan)}
      limit ${raw(String(request.maxCells + 1))}`,
    signal,
  )
  if (rows.length > request.maxCells) throw tooManyCells(request.maxCells)
  const cellOf = cellReader({ ...request, bucket: anyFixed })
  const result = rows.map((row): Cell => {
    const { bucket, keys } = cellOf(row)
    return { bucket, keys, states: statesAt(scan, row, cells.length) }
  })
  return answer(scan, result, rows.length)
}

/** Where the column of the bucket is the bucket. */
const anyFixed: BucketPlan = { kind: 'fixed', width: 1n, origin: 0n }

async function mergeInSql(scan: PlannedScan): Promise<ScanResult> {
  const { request, states, snapshot, signal } = scan
  const bucket = request.bucket && bucketSql(request.bucket, request.dataset, request.range)
  const cells = columnsOf(scan, bucket)
  const merged = states.flatMap(({ kept, columns, isPartial }) => {
    const own = (kept.stored.merge as NonNullable<typeof kept.stored.merge>)(columns)
    if (!isPartial) return own
    // one cell that is not known, and the whole is not
    const isKnown = sql`bool_and(${join(
      columns.map((column) => sql`${column} is not null`),
      ' or ',
    )})`
    return own.map((column) => sql`case when ${isKnown} then ${column} end`)
  })
  const { rows } = await snapshot.query(
    sql`
      select ${join([...cells, raw('count(*)'), ...merged], ', ')}
      ${fromWhere(scan)}${groupBy(cells.length)}
      limit ${raw(String(request.maxCells + 1))}`,
    signal,
  )
  if (rows.length > request.maxCells) throw tooManyCells(request.maxCells)
  const cellOf = cellReader(request)
  const result: Cell[] = []
  let read = 0
  for (const row of rows) {
    const count = row[cells.length] as bigint
    // without GROUP BY there is one row even when nothing matched
    if (count === 0n) continue
    read += Number(count)
    const { bucket, keys } = cellOf(row)
    result.push({ bucket, keys, states: statesAt(scan, row, cells.length + 1) })
  }
  return answer(scan, result, read)
}

async function mergeHere(scan: PlannedScan): Promise<ScanResult> {
  const { request, states, snapshot, signal } = scan
  const bucket = request.bucket && bucketSql(request.bucket, request.dataset, request.range)
  const cells = columnsOf(scan, bucket)
  // in order of time, which is that of the index, and which states of a timeline are merged in most cheaply
  const pieces = snapshot.cursor(
    sql`
      select ${join([...cells, ...states.flatMap(({ columns }) => columns)], ', ')}
      ${fromWhere(scan)}
      order by ${identifier(bucketColumn)}`,
    signal,
  )
  const cellOf = cellReader(request)
  const merged = new Map<string | Instant | null, Cell & { readonly states: AggregateState[] }>()
  let read = 0
  for (;;) {
    const { rows, isEnd } = await pieces.next(cellsOfPiece)
    read += rows.length
    for (const row of rows) {
      const { bucket, keys } = cellOf(row)
      const id = keys.length === 0 ? bucket : keyText(bucket) + keys.map(keyText).join('')
      const added = statesAt(scan, row, cells.length)
      const known = merged.get(id)
      if (!known) merged.set(id, { bucket, keys, states: added })
      else
        for (const [i, { definition }] of states.entries()) {
          const into = known.states[i] as AggregateState
          const other = added[i] as AggregateState
          known.states[i] =
            into === unknownState || other === unknownState ? unknownState : definition.merge(into, other)
        }
    }
    if (merged.size > request.maxCells) throw tooManyCells(request.maxCells)
    if (isEnd) return answer(scan, [...merged.values()], read)
  }
}

/** Where nothing is known of a time there are no cells, either, and no rows in their place: that is said, too. */
function answer({ states, unknown }: PlannedScan, cells: readonly Cell[], rowsRead: number): ScanResult {
  const isPartial =
    unknown.length > 0 &&
    (unknown.length === states.length || cells.some((cell) => cell.states.includes(unknownState)))
  return { cells, rowsRead, bytesRead: null, ...(isPartial ? { unknown } : {}) }
}

function tooManyCells(maxCells: number): TidemarkError<'TM_LIMIT'> {
  return new TidemarkError('TM_LIMIT', {
    what: 'cells',
    value: `more than ${maxCells}`,
    limit: String(maxCells),
    todo: 'ask for a coarser bucket, fewer groups or a shorter range',
  })
}
