import { installTriggers } from '../../src/changelog/index.ts'
import { type ChunkManager, type ChunkOptions, createChunkManager } from '../../src/hot/chunks.ts'
import { createIndexSql, tableBody } from '../../src/migrate/table-ddl.ts'
import type { Database } from '../../src/postgres/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { approximateMicros } from '../../src/time/index.ts'
import { identifier, raw, sql } from '../../src/util/sql.ts'

export const readingColumns = {
  time: t.timestamptz(),
  tenant: t.text(),
  sensor: t.text(),
  value: t.float8().nullable(),
}

/** The smallest table with a tenant, a key and an index. */
export const readings = hypertable('public.readings', {
  columns: readingColumns,
  time: 'time',
  tenant: 'tenant',
  primaryKey: ['tenant', 'sensor', 'time'],
  chunk: '1 day',
  changeCell: '1 hour',
})

/** A hypertable as `migrate` makes it, without the rest of a migration. */
export async function createTestHypertable(
  db: Database,
  definition: HypertableDefinition,
  options: { readonly subscription?: boolean } = {},
): Promise<void> {
  const parent = identifier(definition.schema, definition.table)
  const remainder = identifier('tidemark_chunks', `${definition.table}_default`)
  await db.execute(sql`
    create schema if not exists ${identifier(definition.schema)};
    create table ${parent} (${tableBody(definition)}) partition by range (${identifier(definition.time)});
    create table ${remainder} partition of ${parent} default`)
  for (const index of definition.indexes)
    await db.execute(createIndexSql(index, parent, { name: index.name }))
  await db.query(sql`
    insert into tidemark.hypertable (
      schema_name, table_name, time_column, tenant_column, chunk_interval, max_chunks, change_cell_us, append_only, definition
    )
    values (
      ${definition.schema}::text, ${definition.table}::text, ${definition.time}::text, ${definition.tenant}::text,
      ${definition.chunk.text}::text, ${definition.maxChunks}::int4, ${approximateMicros(definition.changeCell)}::int8,
      ${definition.appendOnly}::bool, '{}'
    )`)
  await installTriggers(db, definition, options)
}

export function testChunks(db: Database, options: Partial<ChunkOptions> = {}): ChunkManager {
  return createChunkManager({ db, applyPolicies: async () => {}, ...options })
}

export interface Logged {
  readonly source: string
  readonly tenant: string | null
  readonly from: string
  readonly to: string
}

/** The log of a table, oldest first, as text that is easy to compare. */
export async function readLog(db: Database, definition: HypertableDefinition): Promise<string[]> {
  const { rows } = await db.query(sql`
    select l.source, coalesce(l.tenant, '*'), ${raw(stamp('l.range_from'))}, ${raw(stamp('l.range_to'))}
    from tidemark.change_log as l
    join tidemark.hypertable as h on h.id = l.hypertable_id
    where h.schema_name = ${definition.schema}::text and h.table_name = ${definition.table}::text
    order by l.xid, l.range_from, l.tenant`)
  return rows.map((row) => row.join(' '))
}

function stamp(column: string): string {
  return `case when isfinite(${column}) then to_char(${column} at time zone 'UTC', 'MM-DD"T"HH24:MI') else ${column}::text end`
}

export async function clearLog(db: Database): Promise<void> {
  await db.execute('delete from tidemark.change_log')
}
