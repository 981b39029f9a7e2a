import { advance, createConsumer, timestamptzText } from '../../src/changelog/index.ts'
import { bucketColumn, cellSchema, cellTableOf } from '../../src/continuous/cell-table.ts'
import { type AggregateVersion, consumerOf } from '../../src/continuous/version.ts'
import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import type { Connection, Database } from '../../src/postgres/index.ts'
import { materializationOf, queryLimits, readCells } from '../../src/query/index.ts'
import type {
  AggregateCall,
  ContinuousAggregateDefinition,
  HypertableDefinition,
  JsonValue,
} from '../../src/schema/index.ts'
import { bucketStart, nextBucket, parseInterval, systemClock, type TimeRange } from '../../src/time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../../src/util/sql.ts'

/**
 * Continuous aggregates made by hand: the tables as the catalog has them, cells computed from rows in one go. Of what refreshes and
 * migrates them nothing takes part, so that a mistake there cannot hide one in what reads cells.
 */
export interface AggregateShape {
  readonly bucket: string
  readonly zone?: string | null
  readonly by?: readonly string[]
  readonly where?: JsonValue
  readonly select: Readonly<Record<string, AggregateCall>>
}

export function aggregateOf(
  name: string,
  base: HypertableDefinition,
  { bucket, zone = null, by = [], where = null, select }: AggregateShape,
): ContinuousAggregateDefinition {
  return Object.freeze<ContinuousAggregateDefinition>({
    kind: 'aggregate',
    name: `${base.schema}.${name}`,
    schema: base.schema,
    table: name,
    from: base,
    base,
    bucket: { every: parseInterval(bucket), zone },
    by,
    dimensions: {},
    where,
    select,
    refresh: { every: parseInterval('1 hour') },
    retain: null,
    comment: null,
  })
}

/** Its rows of the catalog and an empty table of cells; all of it is invalid. */
export async function createCells(
  db: Database,
  definition: ContinuousAggregateDefinition,
): Promise<AggregateVersion> {
  const { base } = definition
  const materialization = materializationOf(definition)
  const { rows } = await db.query(sql`
    with aggregate as (
      insert into tidemark.aggregate (schema_name, table_name, hypertable_id)
      select ${definition.schema}::text, ${definition.table}::text, h.id
      from tidemark.hypertable h where h.schema_name = ${base.schema}::text and h.table_name = ${base.table}::text
      returning id, hypertable_id
    )
    insert into tidemark.aggregate_version (aggregate_id, definition, definition_hash, relation_name, state, current_since)
    select id, '{}', 'hash', ${`${definition.table}_1`}::text, 'current', now() from aggregate
    returning id, relation_name, (select hypertable_id from aggregate)`)
  const [id, relation, hypertableId] = rows[0] as [number, string, number]
  const table = cellTableOf(materialization)
  const columns = [...table.keys, ...table.states.flatMap((state) => state.columns)].map(
    ({ column, type }) => sql`${identifier(column)} ${raw(type)}`,
  )
  const keys = [bucketColumn, ...table.keys.map(({ column }) => column)].map((name) => identifier(name))
  await db.execute(sql`
    create table ${identifier(cellSchema, relation)} (${join([sql`bucket timestamptz not null`, ...columns], ', ')});
    create unique index on ${identifier(cellSchema, relation)} (${join(keys, ', ')}) nulls not distinct`)
  await db.query(sql`
    insert into tidemark.aggregate_invalid (version_id, range_from, range_to) values (${id}::int4, '-infinity', 'infinity')`)
  const version: AggregateVersion = {
    id,
    name: definition.name,
    hypertableId,
    relation,
    state: 'current',
    epoch: 0n,
    unknownBefore: new Map(),
    expiredBefore: null,
    dimensions: {},
    materialization,
  }
  await createConsumer(db, consumerOf(version).name, base)
  return version
}

export interface InvalidRange {
  readonly tenant: string | null
  readonly range: TimeRange | null
}

/** Computes every cell of the rows of `within` anew and says that all but `invalid` (widened to buckets) is valid. */
export async function fillCells(
  db: Database,
  version: AggregateVersion,
  within: TimeRange,
  invalid: readonly InvalidRange[] = [],
): Promise<void> {
  const { base, bucket, keys, where, states } = version.materialization
  const range = { from: bucketStart(bucket, within.from), to: nextBucket(bucket, within.to - 1n) }
  const limits = queryLimits({ maxCells: 1_000_000, maxBuckets: 1_000_000 })
  const { cells, snapshot } = await withReadSnapshot(
    db,
    { timeoutMs: 60_000, dataset: base },
    async (taken) => {
      const context = { tiers: [createHotTier()], snapshot: taken, clock: systemClock, signal: null, limits }
      const found = await readCells({ dataset: base, bucket, by: keys, where, states, range }, context)
      return { ...found, snapshot: taken.id }
    },
  )
  const table = cellTableOf(version.materialization)
  const columns = [...table.keys, ...table.states.flatMap((state) => state.columns)]
  const relation = identifier(cellSchema, version.relation)
  await db.transaction({}, async (connection) => {
    await connection.query(sql`delete from ${relation}`)
    const tuples = cells.map((cell) => {
      const values = [
        ...cell.keys,
        ...cell.states.flatMap((state, i) => table.states[i]!.stored.write(state)),
      ]
      const list = values.map((value, i) => valueSql(value, columns[i]!.type))
      return sql`(${join([sql`${timestamptzText(cell.bucket as bigint)}::timestamptz`, ...list], ', ')})`
    })
    for (let at = 0; at < tuples.length; at += 100)
      await connection.query(sql`insert into ${relation} values ${join(tuples.slice(at, at + 100), ', ')}`)
    await connection.query(sql`delete from tidemark.aggregate_invalid where version_id = ${version.id}::int4`)
    for (const one of invalid) await invalidate(connection, version, one)
    await advance(connection, consumerOf(version), snapshot)
    await connection.query(
      sql`update tidemark.aggregate_version set epoch = epoch + 1 where id = ${version.id}::int4`,
    )
  })
  await db.execute(sql`analyze ${relation}`)
}

function valueSql(value: unknown, type: string): Sql {
  const given = type === 'timestamptz' && typeof value === 'bigint' ? timestamptzText(value) : value
  return sql`${given}::${raw(type)}`
}

export async function invalidate(
  db: Database | Connection,
  { id, materialization: { bucket } }: AggregateVersion,
  { tenant, range }: InvalidRange,
): Promise<void> {
  const from = range ? timestamptzText(bucketStart(bucket, range.from)) : '-infinity'
  const to = range ? timestamptzText(nextBucket(bucket, range.to - 1n)) : 'infinity'
  await db.query(sql`
    insert into tidemark.aggregate_invalid (version_id, tenant, range_from, range_to)
    values (${id}::int4, ${tenant}::text, ${from}::timestamptz, ${to}::timestamptz)`)
}
