import { timestamptzText } from '../changelog/index.ts'
import type { Connection } from '../postgres/index.ts'
import { type Cell, type KeyValue, keyText } from '../query/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { bucketColumn, cellTableOf } from './cell-table.ts'
import { cellRelation } from './cells.ts'
import type { AggregateVersion } from './version.ts'

/** Of each version: the newest buckets, of each of them the first cells, and cells of pages by chance. */
const newestBuckets = 25
const cellsOfBucket = 20
const pagesByChance = 200
const cellsByChance = 500
/** Cells that one statement looks up. */
const atOnce = 50

/** Where a cell is. */
export interface CellPlace {
  readonly bucket: Instant
  readonly keys: readonly KeyValue[]
}

export function nameOf({ bucket, keys }: CellPlace): string {
  return `${formatInstant(bucket)} ${keys.map((key) => keyText(key)).join(' ')}`
}

/**
 * Some thousand cells that either of two versions with the same keys has, outside of `unsure`, by their names. However many cells there
 * are, little more than these is read.
 */
export async function sampleCells(
  connection: Connection,
  versions: readonly AggregateVersion[],
  isUnsure: (bucket: Instant) => boolean,
): Promise<readonly CellPlace[]> {
  const places = new Map<string, CellPlace>()
  for (const version of versions) {
    for (const statement of [newestOf(version), await byChanceOf(connection, version)]) {
      const { rows } = await connection.query(statement)
      for (const [bucket, ...keys] of rows) {
        const place = { bucket: bucket as Instant, keys: keys as KeyValue[] }
        if (!isUnsure(place.bucket)) places.set(nameOf(place), place)
      }
    }
  }
  return [...places.values()]
}

function keyColumns(version: AggregateVersion): readonly Sql[] {
  return cellTableOf(version.materialization).keys.map(({ column }) => identifier(column))
}

/** From one bucket to the next older one by the index, whatever lies between. */
function newestOf(version: AggregateVersion): Sql {
  const bucket = identifier(bucketColumn)
  const cells = cellRelation(version)
  const keys = keyColumns(version)
  const order = keys.length === 0 ? raw('') : sql` order by ${join(keys, ', ')}`
  const inner = keys.map((key) => sql`c.${key}`)
  return sql`
    with recursive newest (at, place) as (
      (select ${bucket}, 1 from ${cells} order by ${bucket} desc limit 1)
      union all
      select (select ${bucket} from ${cells} where ${bucket} < n.at order by ${bucket} desc limit 1), n.place + 1
      from newest as n
      where n.at is not null and n.place < ${raw(String(newestBuckets))}
    )
    select ${join([sql`n.at`, ...inner], ', ')}
    from newest as n
    cross join lateral (
      select * from ${cells} where ${bucket} = n.at${order} limit ${raw(String(cellsOfBucket))}
    ) as c`
}

async function byChanceOf(connection: Connection, version: AggregateVersion): Promise<Sql> {
  const cells = cellRelation(version)
  const { rows } = await connection.query(
    sql`select pg_relation_size(to_regclass(${`tidemark_aggregates.${version.relation}`}::text)) / current_setting('block_size')::int8`,
  )
  const pages = Number(rows[0]?.[0] ?? 0)
  const percent = Math.min(100, (100 * pagesByChance) / Math.max(1, pages))
  return sql`
    select ${join([identifier(bucketColumn), ...keyColumns(version)], ', ')}
    from ${cells} tablesample system (${raw(String(percent))})
    order by random()
    limit ${raw(String(cellsByChance))}`
}

/** The cells at these places, as far as they are there. Index: the key. */
export async function lookUpCells(
  connection: Connection,
  version: AggregateVersion,
  places: readonly CellPlace[],
): Promise<ReadonlyMap<string, Cell>> {
  const table = cellTableOf(version.materialization)
  const bucket = identifier(bucketColumn)
  const columns = [
    bucket,
    ...table.keys.map(({ column }) => identifier(column)),
    ...table.states.flatMap((state) => state.columns.map(({ column }) => identifier(column))),
  ]
  const isAt = (place: CellPlace): Sql => {
    const conditions = table.keys.map(({ column, type }, i) => {
      const key = place.keys[i] ?? null
      if (key === null) return sql`${identifier(column)} is null`
      const given = type === 'timestamptz' ? timestamptzText(key as bigint) : key
      return sql`${identifier(column)} = ${given}::${raw(type)}`
    })
    const at = sql`${bucket} = ${timestamptzText(place.bucket)}::timestamptz`
    return sql`(${join([at, ...conditions], ' and ')})`
  }
  const cells = new Map<string, Cell>()
  for (let from = 0; from < places.length; from += atOnce) {
    const some = places.slice(from, from + atOnce).map(isAt)
    const { rows } = await connection.query(
      sql`select ${join(columns, ', ')} from ${cellRelation(version)} where ${join(some, ' or ')}`,
    )
    for (const [found, ...values] of rows) {
      const place = { bucket: found as Instant, keys: values.slice(0, table.keys.length) as KeyValue[] }
      let at = table.keys.length
      const states = table.states.map(({ stored, columns: own }) => {
        const state = stored.read(values.slice(at, at + own.length))
        at += own.length
        return state
      })
      cells.set(nameOf(place), { ...place, states })
    }
  }
  return cells
}

/** Whether a bucket touches one of the ranges. */
export function touches(ranges: readonly TimeRange[], bucket: TimeRange): boolean {
  return ranges.some(({ from, to }) => from < bucket.to && to > bucket.from)
}
