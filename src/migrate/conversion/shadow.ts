import { createHash } from 'node:crypto'
import { timestamptzText } from '../../changelog/index.ts'
import type { Connection } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import {
  bucketStart,
  type Instant,
  maxInstant,
  minInstant,
  nextBucket,
  type TimeRange,
} from '../../time/index.ts'
import { identifier, quoteLiteral, raw, type Sql, sql } from '../../util/sql.ts'
import { catalogStatement } from '../catalog-entry.ts'
import {
  chunkSchema,
  columnList,
  defaultPartitionName,
  fitName,
  relationName,
  text,
  timeCheckName,
} from '../table-ddl.ts'
import { type Conversion, type ConversionNames, conversionNames } from './record.ts'
import { columnsSql, type Source, writable } from './source.ts'

/**
 * The empty hypertable beside the source, with the source's columns (declared or not), checks, defaults, owner and
 * grants, and without indexes: rows are copied faster into a table that has none.
 */
export async function createShadow(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
): Promise<number> {
  const { shadow } = conversionNames(conversion)
  const time = identifier(definition.time)
  const remainder = identifier(chunkSchema, defaultPartitionName(definition))
  const check = timeCheckName(definition.table)
  await connection.execute(sql`
    create table ${shadow} (like ${relationName(definition)} including all excluding indexes)
    partition by range (${time});
    alter table ${shadow} alter column ${time} set not null`)
  // The source may have been made by an older declaration of ours, with the check.
  const { rows } = await connection.query(sql`
    select count(*)::int4 from pg_constraint
    where conrelid = ${text(shadow)}::regclass and conname = ${check}::name`)
  if (rows[0]![0] === 0)
    await connection.execute(
      sql`alter table ${shadow} add constraint ${identifier(check)} check (isfinite(${time}))`,
    )
  await connection.execute(sql`create table ${remainder} partition of ${shadow} default`)
  if (source.comment !== null) await connection.execute(sql`comment on table ${shadow} is ${source.comment}`)
  await setOwner(connection, shadow, source)
  await setOwner(connection, remainder, source)

  // In the catalog under the shadow's own name, so that nothing takes the source for a hypertable before the swap.
  const standIn = { ...definition, ...conversionNames(conversion).shadowName }
  await connection.execute(catalogStatement(standIn))
  const hypertable = await connection.query(sql`
    update tidemark.conversion as c
    set hypertable_id = h.id
    from tidemark.hypertable as h
    where c.id = ${conversion.id}::int and h.schema_name = ${standIn.schema}::text and h.table_name = ${standIn.table}::text
    returning h.id`)
  return hypertable.rows[0]![0] as number
}

async function setOwner(connection: Connection, table: Sql, source: Source): Promise<void> {
  const { rows } = await connection.query(sql`
    select relowner::regrole::text = ${source.owner}::text from pg_class where oid = ${text(table)}::regclass`)
  // regrole's text is quoted where it has to be
  if (rows[0]![0] !== true) await connection.execute(sql`alter table ${table} owner to ${raw(source.owner)}`)
}

/** The bucket of the declared interval in UTC: the same ranges that chunks made later will have. */
export function chunkRange(definition: HypertableDefinition, at: Instant): TimeRange {
  const spec = { every: definition.chunk, zone: null }
  const range = { from: bucketStart(spec, at), to: nextBucket(spec, at) }
  if (range.from < minInstant) range.from = minInstant
  if (range.to > maxInstant) range.to = maxInstant + 1n
  return range
}

/**
 * Makes the chunks for these times that are missing. Beyond the cap the rows go to the default partition.
 *
 * @param known the chunks that are there, by their beginning; the new ones are added.
 */
export async function ensureChunks(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
  ranges: readonly TimeRange[],
): Promise<void> {
  if (ranges.length === 0) return
  const { shadow } = conversionNames(conversion)
  const { rows } = await connection.query(sql`
    select range_from from tidemark.chunk where hypertable_id = ${conversion.hypertableId}::int`)
  const known = new Set(rows.map(([from]) => from as Instant))
  const missing = ranges.filter((range) => !known.has(range.from))
  for (const range of missing.slice(0, Math.max(0, definition.maxChunks - known.size))) {
    const made = await connection.query(sql`
      insert into tidemark.chunk (hypertable_id, range_from, range_to)
      values (
        ${conversion.hypertableId}::int,
        ${timestamptzText(range.from)}::timestamptz, ${timestamptzText(range.to)}::timestamptz
      )
      returning id`)
    const id = made.rows[0]![0] as bigint
    const name = fitName(definition.table, `_c${id}`)
    const chunk = identifier(chunkSchema, name)
    await connection.execute(sql`
      create table ${chunk} partition of ${shadow}
      for values from (${bound(range.from)}) to (${bound(range.to)});
      update tidemark.chunk set relation_name = ${name} where id = ${raw(String(id))}`)
    await setOwner(connection, chunk, source)
  }
}

function bound(instant: Instant): Sql {
  return raw(quoteLiteral(timestamptzText(instant)))
}

/** What an index of the source is called on the shadow, until the swap gives it the real name. */
export function shadowIndexName(names: ConversionNames, index: string): string {
  return `${names.shadowName.table}_${createHash('sha256').update(index).digest('hex').slice(0, 12)}`
}

/** Of the declared primary key where the source has none. */
export function primaryKeyName(definition: HypertableDefinition): string {
  return fitName(definition.table, '_pkey')
}

/** An index by which rows of the shadow are found by time while there is no other; dropped at the swap. */
export function shadowTimeIndex(names: ConversionNames): string {
  return `${names.shadowName.table}_time`
}

export async function createTimeIndex(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
): Promise<void> {
  const names = conversionNames(conversion)
  await connection.execute(
    sql`create index if not exists ${identifier(shadowTimeIndex(names))} on ${names.shadow} (${identifier(definition.time)})`,
  )
}

export interface ShadowIndex {
  readonly name: string
  readonly statement: string
}

/** The source's indexes and primary key, and the declared primary key where the source has none. */
export function shadowIndexes(
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
): ShadowIndex[] {
  const names = conversionNames(conversion)
  const constraint = (name: string, body: Sql): ShadowIndex => ({
    name,
    statement: text(sql`alter table ${names.shadow} add constraint ${identifier(name)} ${body}`),
  })
  const wanted = source.indexes.map((index): ShadowIndex => {
    const name = shadowIndexName(names, index.name)
    if (index.constraint !== null) return constraint(name, raw(index.constraint))
    const unique = raw(index.isUnique ? ' unique' : '')
    return {
      name,
      statement: text(sql`create${unique} index ${identifier(name)} on ${names.shadow} ${raw(index.body)}`),
    }
  })
  if (addsPrimaryKey(definition, source)) {
    const name = shadowIndexName(names, primaryKeyName(definition))
    wanted.push(constraint(name, sql`primary key (${columnList(definition.primaryKey!)})`))
  }
  return wanted
}

export function addsPrimaryKey(definition: HypertableDefinition, source: Source): boolean {
  return (
    definition.primaryKey !== null &&
    !source.indexes.some((index) => index.constraint?.startsWith('PRIMARY KEY'))
  )
}

/** Copies a range of the source into the shadow; the range is of time, `from` not included when it is -infinity. */
export function copyStatement(
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
  from: Instant,
  to: Instant,
): Sql {
  const names = conversionNames(conversion)
  const columns = columnsSql(writable(source.columns))
  const time = identifier(definition.time)
  return sql`
    insert into ${names.shadow} (${columns}) overriding system value
    select ${columns}
    from ${names.source}
    where ${time} >= ${timestamptzText(from)}::timestamptz and ${time} < ${timestamptzText(to)}::timestamptz
      and isfinite(${time})`
}

/** A row's value as bytes: what is equal in these is equal in every bit, whatever the types call equal. */
export function imageSql(source: Source, alias: string): Sql {
  return sql`record_send(row(${columnsSql(source.columns, alias)}))`
}
