import { everything, type FilterNode } from '../query/index.ts'
import type { DatasetDefinition, HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { identifier, raw, type Sql, sql } from '../util/sql.ts'
import { filterToSql } from './filter-sql.ts'
import { rangeConditions, relationSql, whereSql } from './instant-sql.ts'
import type { PostgresSnapshot } from './read-snapshot.ts'

/**
 * From the oldest to the newest row, each found by one descent of an index. Of `where` only what is pinned by an index
 * before the time counts (`host = 'a'` with an index (host, time)): with any other condition the index would be walked
 * until a row happens to match, perhaps to its end, and a range that is too wide is allowed.
 */
export async function readBounds(
  dataset: DatasetDefinition,
  range: TimeRange | null,
  where: FilterNode | null,
  snapshot: PostgresSnapshot,
  signal: AbortSignal | null,
): Promise<TimeRange | null> {
  if (dataset.kind !== 'hypertable') return everything
  const pinned = pinnedByIndex(dataset, where)
  if (!pinned) return range ?? everything
  const time = identifier(dataset.time)
  const conditions = [
    ...rangeConditions(time, range, everything),
    ...pinned.map((filter) => filterToSql(filter, dataset)),
  ]
  const end = (direction: Sql): Sql =>
    sql`(select ${time} from ${relationSql(dataset)}${whereSql(conditions)} order by ${time} ${direction} limit 1)`
  const { rows } = await snapshot.query(sql`select ${end(raw('asc'))}, ${end(raw('desc'))}`, signal)
  const [oldest, newest] = rows[0] as [Instant | null, Instant | null]
  return oldest === null || newest === null ? null : { from: oldest, to: newest + 1n }
}

type Equality = Extract<FilterNode, { kind: 'compare' }>

/** The conditions that fix every column before the time in some index; null when no index leads to the time. */
function pinnedByIndex(dataset: HypertableDefinition, where: FilterNode | null): readonly Equality[] | null {
  const equalities = new Map(equalitiesOf(where).map((filter) => [filter.ref.column, filter]))
  const declared = dataset.indexes.filter((index) => index.method === 'btree' && index.where === null)
  const candidates = [
    dataset.primaryKey ?? [],
    ...declared.map(({ columns }) => columns.map((c) => c.column)),
  ]
  let best: readonly Equality[] | null = null
  for (const columns of candidates) {
    const at = columns.indexOf(dataset.time)
    if (at < 0) continue
    const pinned = columns.slice(0, at).map((column) => equalities.get(column))
    if (pinned.includes(undefined)) continue
    if (best === null || pinned.length > best.length) best = pinned as readonly Equality[]
  }
  return best
}

/** Equalities that every row has to fulfil. */
function equalitiesOf(where: FilterNode | null): readonly Equality[] {
  if (where?.kind === 'and') return where.filters.flatMap(equalitiesOf)
  const isEquality = where?.kind === 'compare' && where.operator === 'eq' && where.ref.path.length === 0
  return isEquality ? [where] : []
}
