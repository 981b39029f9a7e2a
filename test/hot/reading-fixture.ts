import { timestamptzText } from '../../src/changelog/index.ts'
import type { Queryable } from '../../src/postgres/index.ts'
import type { RowsRequest } from '../../src/query/index.ts'
import { createRowCodec, encodeDefinition, type StoredDefinition } from '../../src/schema/index.ts'
import { formatInstant, type TimeRange } from '../../src/time/index.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'

/**
 * A table of a declaration for reading tests: columns, indexes, the given chunks and a default partition. Written out
 * here so that a mistake in what makes tables cannot hide one in what reads them.
 */
export async function createForReading(
  db: Queryable,
  definition: StoredDefinition,
  chunks: readonly TimeRange[] = [],
): Promise<void> {
  const relation = identifier(definition.schema, definition.table)
  const columns = Object.entries(definition.columns).map(
    ([name, { type, nullable, precision, scale }]) =>
      sql`${identifier(name)} ${raw(type)}${raw(precision === null ? '' : `(${precision}, ${scale ?? 0})`)}${raw(nullable ? '' : ' not null')}`,
  )
  const names = (list: readonly string[]) =>
    join(
      list.map((name) => identifier(name)),
      ', ',
    )
  const key = definition.primaryKey ? [sql`primary key (${names(definition.primaryKey)})`] : []
  const isHypertable = definition.kind === 'hypertable'
  const partition = isHypertable ? sql` partition by range (${identifier(definition.time)})` : raw('')
  await db.execute(sql`create schema if not exists ${identifier(definition.schema)}`)
  await db.execute(sql`create table ${relation} (${join([...columns, ...key], ', ')})${partition}`)
  for (const index of definition.indexes) {
    const list = index.columns.map(({ column, direction }) => sql`${identifier(column)} ${raw(direction)}`)
    await db.execute(
      sql`create index ${identifier(index.name)} on ${relation} using ${raw(index.method)} (${join(list, ', ')})`,
    )
  }
  if (!isHypertable) return
  const { rows } = await db.query(sql`
    insert into tidemark.hypertable (schema_name, table_name, time_column, chunk_interval, max_chunks, change_cell_us, definition)
    values (${definition.schema}::text, ${definition.table}::text, ${definition.time}::text, '1 day', 200, 60000000,
      ${JSON.stringify(encodeDefinition(definition))}::jsonb)
    returning id`)
  for (const [i, range] of chunks.entries()) {
    const [from, to] = [formatInstant(range.from), formatInstant(range.to)]
    const name = `${definition.table}_c${i}`
    await db.execute(sql`
      create table ${identifier('tidemark_chunks', name)} partition of ${relation}
      for values from (${from}) to (${to})`)
    await db.query(sql`
      insert into tidemark.chunk (hypertable_id, range_from, range_to, relation_name)
      values (${rows[0]![0]}::int4, ${from}::timestamptz, ${to}::timestamptz, ${name}::text)`)
  }
  await db.execute(
    sql`create table ${identifier('tidemark_chunks', `${definition.table}_default`)} partition of ${relation} default`,
  )
}

/** `count` chunks of `width` microseconds from `from` on. */
export function chunksFrom(from: bigint, width: bigint, count: number): TimeRange[] {
  return Array.from({ length: count }, (_, i) => ({
    from: from + BigInt(i) * width,
    to: from + BigInt(i + 1) * width,
  }))
}

export const hour = 3_600_000_000n
export const day = 24n * hour
/** 2026-01-01T00:00:00Z */
export const start = 1_767_225_600_000_000n

/** Row by row, by INSERT: slow, and nothing of the code that writes for people takes part. */
export async function insertForReading(
  db: Queryable,
  definition: StoredDefinition,
  rows: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  const codec = createRowCodec(definition)
  const columns = join(
    codec.columns.map((name) => identifier(name)),
    ', ',
  )
  const types = codec.columns.map((name) => definition.columns[name]!.type)
  for (let at = 0; at < rows.length; at += 50) {
    const tuples = rows.slice(at, at + 50).map((row) => {
      const values = codec.encode(row)
      if (!values) throw new Error(JSON.stringify(codec.problems(row)))
      const list = values.map((value, i) => {
        const type = types[i]!
        const given = type === 'timestamptz' && typeof value === 'bigint' ? timestamptzText(value) : value
        return sql`${given}::${raw(type)}`
      })
      return sql`(${join(list, ', ')})`
    })
    await db.query(
      sql`insert into ${identifier(definition.schema, definition.table)} (${columns}) values ${join(tuples, ', ')}`,
    )
  }
}

/** A page of rows from the first on. */
export function firstRows(dataset: StoredDefinition, columns: readonly string[], limit: number): RowsRequest {
  return {
    kind: 'rows',
    dataset,
    columns,
    limit,
    range: null,
    where: null,
    direction: 'asc',
    after: null,
    withKeys: false,
  }
}
