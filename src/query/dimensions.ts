import { type AggregateState, type StateDefinition, states } from '../aggregate/index.ts'
import { allTenants, type ColumnDefinition, type TableDefinition, type TenantScope } from '../schema/index.ts'
import { executeRows, type RowsPage } from './execute-rows.ts'
import { refText } from './filter-json.ts'
import { assertWithin } from './limits.ts'
import { mergeCells } from './merge.ts'
import type {
  AggregateQueryNode,
  ColumnRef,
  DimensionNode,
  FilterNode,
  FilterValue,
  GroupNode,
} from './nodes.ts'
import { type QueryContext, settleAll, startReading } from './read-parts.ts'
import { columnOf } from './references.ts'
import { tenantFilter } from './tenant-filter.ts'
import { type Cell, type KeyValue, type StateRequest, unknownState } from './tier.ts'
import { canonicalKey, keyText } from './values.ts'

/**
 * Dimensions are looked up when the query is run, in its snapshot, so that a changed row of theirs is right at once and no cell is
 * computed anew: conditions on them become conditions on keys, and cells of keys are put together by what the keys stand for.
 */
export interface LookedUp {
  /** The query about keys alone: what tiers and caches are asked. */
  readonly node: AggregateQueryNode
  /** From the cells of `node` to those that were asked for. Uses none of them up. */
  readonly regroup: (cells: readonly Cell[]) => Promise<readonly Cell[]>
}

export async function lookUpDimensions(
  asked: AggregateQueryNode,
  requests: readonly StateRequest[],
  query: QueryContext,
): Promise<LookedUp> {
  const context: LookUpContext = { ...query, scope: asked.scope ?? allTenants }
  const dimensions = new Map((asked.dimensions ?? []).map((dimension) => [dimension.name, dimension]))
  const { dimensions: _, keysWhere, ...plain } = asked
  const by = keysOf(asked.by)
  const where = keysWhere ? await keyFilter(keysWhere, dimensions, context) : null
  const filters = [asked.where, where].filter((filter) => filter !== null)
  const node: AggregateQueryNode = {
    ...plain,
    by,
    where: filters.length === 2 ? { kind: 'and', filters } : (filters[0] ?? null),
  }
  const known = new Map<string, ReadonlyMap<string, KeyValue>>()
  return {
    node,
    regroup: async (cells) => {
      if (asked.by.every((group) => !group.dimension)) return cells
      const columns = await settleAll(
        asked.by.map(({ dimension, name }, i) => async (): Promise<readonly KeyValue[]> => {
          if (!dimension) {
            const place = by.findIndex((group) => group.name === name)
            return cells.map(({ keys }) => keys[place] as KeyValue)
          }
          const places = dimension.on.map(({ key }) => by.findIndex((group) => group.name === key.name))
          const wanted = cells.map(({ keys }) => places.map((place) => keys[place] as KeyValue))
          const values = await valuesOf(dimension, wanted, known.get(String(i)), context)
          known.set(String(i), values)
          return wanted.map((tuple) => values.get(tuple.map(keyText).join('')) ?? null)
        }),
      )
      const renamed = cells.map(
        ({ bucket, states }, row): Cell => ({
          bucket,
          keys: columns.map((column) => column[row] as KeyValue),
          states,
        }),
      )
      return mergeCopies(renamed, requests, context.limits.maxCells)
    },
  }
}

/** Tables of dimensions may have tenants of their own: a key that names another's row finds nothing. */
interface LookUpContext extends QueryContext {
  readonly scope: TenantScope
}

/** The keys that are grouped by, and those that dimensions are found by, each once. */
function keysOf(by: readonly GroupNode[]): readonly GroupNode[] {
  const keys = new Map<string, GroupNode>()
  for (const group of by)
    for (const key of group.dimension ? group.dimension.on.map((pair) => pair.key) : [group])
      keys.set(key.name, key)
  return [...keys.values()]
}

/** A tier's or a cache's states may be used again, so what is merged into is a copy. */
function mergeCopies(
  cells: readonly Cell[],
  requests: readonly StateRequest[],
  maxCells: number,
): readonly Cell[] {
  const definitions: readonly StateDefinition[] = requests.map(({ spec }) => states[spec.kind])
  const seen = new Set<string>()
  const parts = cells.map((cell): readonly Cell[] => {
    const id = keyText(cell.bucket) + cell.keys.map(keyText).join('')
    if (seen.has(id)) return [cell]
    seen.add(id)
    const copies = cell.states.map((state, i): AggregateState => {
      if (state === unknownState) return state
      const definition = definitions[i] as StateDefinition
      return definition.decode(definition.encode(state), (requests[i] as StateRequest).spec)
    })
    return [{ ...cell, states: copies }]
  })
  return mergeCells(parts, requests, maxCells)
}

// Values of a dimension, by keys

async function valuesOf(
  dimension: DimensionNode,
  wanted: readonly (readonly KeyValue[])[],
  known: ReadonlyMap<string, KeyValue> | undefined,
  context: LookUpContext,
): Promise<ReadonlyMap<string, KeyValue>> {
  const values = new Map(known)
  const missing = new Map<string, readonly KeyValue[]>()
  for (const tuple of wanted) {
    const id = tuple.map(keyText).join('')
    if (!values.has(id) && !tuple.includes(null)) missing.set(id, tuple)
  }
  const { table, column } = dimension
  const keys = dimension.on.map((pair) => pair.column)
  const batch = Math.min(context.limits.maxInList, mostTuples(dimension))
  const tuples = [...missing.values()]
  for (let i = 0; i < tuples.length; i += batch) {
    const where = tuplesFilter(
      keys.map((name) => ({ column: name, path: [] })),
      tuples.slice(i, i + batch),
    )
    for (const row of await readTable(table, [...keys, column], where, batch, context)) {
      const id = keys.map((name, k) => keyText(keyOf(table, name, row[k]))).join('')
      values.set(id, keyOf(table, column, row[keys.length]))
    }
  }
  // that there is none is known, too
  for (const id of missing.keys()) if (!values.has(id)) values.set(id, null)
  return values
}

/** A primary key of several columns makes a condition for each tuple of the first ones. */
function mostTuples({ on }: DimensionNode): number {
  return on.length === 1 ? Number.POSITIVE_INFINITY : 1_000
}

function keyOf(table: TableDefinition, name: string, value: unknown): KeyValue {
  const { type } = columnOf(table, name) as ColumnDefinition
  return canonicalKey(type, value ?? null, null) as KeyValue
}

async function readTable(
  table: TableDefinition,
  columns: readonly string[],
  where: FilterNode,
  limit: number,
  context: LookUpContext,
): Promise<readonly (readonly unknown[])[]> {
  const own = tenantFilter(table, context.scope)
  // of no tenant that the table knows: row security could not even read it
  if (own?.kind === 'or') return []
  const reading = await startReading(table, null, context)
  const rows: (readonly unknown[])[] = []
  let cursor: string | null = null
  // a page may end early, where rows are large
  do {
    const page: RowsPage = await executeRows(
      {
        kind: 'rows',
        dataset: table,
        range: null,
        where: own === null ? where : { kind: 'and', filters: [own, where] },
        columns,
        direction: 'asc',
        limit: limit - rows.length,
        cursor,
      },
      reading,
    )
    rows.push(...page.rows)
    cursor = page.cursor
  } while (cursor !== null && rows.length < limit)
  return rows
}

// Conditions on dimensions, as conditions on keys

/**
 * Negations are moved down to single conditions first. Then nothing above a condition tells false from unknown, so that it may be
 * replaced by one that is true for the same keys.
 */
async function keyFilter(
  filter: FilterNode,
  dimensions: ReadonlyMap<string, DimensionNode>,
  context: LookUpContext,
  isNegated = false,
): Promise<FilterNode> {
  if (filter.kind === 'not') return keyFilter(filter.filter, dimensions, context, !isNegated)
  if (filter.kind === 'and' || filter.kind === 'or') {
    const filters = await settleAll(
      filter.filters.map((part) => () => keyFilter(part, dimensions, context, isNegated)),
    )
    return { kind: (filter.kind === 'and') === isNegated ? 'or' : 'and', filters }
  }
  const dimension = dimensions.get(filter.ref.column)
  const asked = (ref: ColumnRef): FilterNode =>
    isNegated ? { kind: 'not', filter: { ...filter, ref } } : { ...filter, ref }
  if (!dimension) return asked(filter.ref)
  const value: ColumnRef = { column: dimension.column, path: [] }
  const refs = dimension.on.map(({ key }) => key.ref)
  if (filter.kind !== 'isNull' || isNegated) return keysWith(dimension, refs, asked(value), context)
  // null is also what has no row, or no key
  const notNull: FilterNode = { kind: 'not', filter: { kind: 'isNull', ref: value } }
  const others: FilterNode = { kind: 'not', filter: await keysWith(dimension, refs, notNull, context) }
  return { kind: 'or', filters: [...refs.map((ref): FilterNode => ({ kind: 'isNull', ref })), others] }
}

async function keysWith(
  dimension: DimensionNode,
  refs: readonly ColumnRef[],
  where: FilterNode,
  context: LookUpContext,
): Promise<FilterNode> {
  const { table, name } = dimension
  const keys = dimension.on.map(({ column }) => column)
  const most = Math.min(context.limits.maxInList, mostTuples(dimension))
  const rows = await readTable(table, keys, where, most + 1, context)
  assertWithin(
    `the number of keys (${refs.map(refText).join(', ')}) that match the condition on "${name}"`,
    rows.length,
    most,
    `narrow it, or group by "${name}" and say in having which groups to keep`,
  )
  return tuplesFilter(
    refs,
    rows.map((row) => keys.map((column, i) => keyOf(table, column, row[i]))),
  )
}

/** True for rows whose values at `refs` are one of the tuples. */
function tuplesFilter(refs: readonly ColumnRef[], tuples: readonly (readonly KeyValue[])[]): FilterNode {
  const last = refs.length - 1
  const ref = refs[last] as ColumnRef
  const byPrefix = new Map<string, { prefix: readonly KeyValue[]; values: FilterValue[] }>()
  for (const tuple of tuples) {
    const prefix = tuple.slice(0, last)
    const id = prefix.map(keyText).join('')
    const known = byPrefix.get(id) ?? { prefix, values: [] }
    known.values.push(tuple[last] as FilterValue)
    byPrefix.set(id, known)
  }
  if (last === 0) return { kind: 'in', ref, values: byPrefix.get('')?.values ?? [] }
  return {
    kind: 'or',
    filters: [...byPrefix.values()].map(({ prefix, values }) => ({
      kind: 'and',
      filters: [
        ...prefix.map(
          (value, i): FilterNode => ({
            kind: 'compare',
            ref: refs[i] as ColumnRef,
            operator: 'eq',
            value: value as FilterValue,
          }),
        ),
        { kind: 'in', ref, values },
      ],
    })),
  }
}
