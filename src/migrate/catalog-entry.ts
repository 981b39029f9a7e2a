import { encodeDefinition, type StoredDefinition } from '../schema/index.ts'
import { approximateMicros } from '../time/index.ts'
import { quoteLiteral, raw, sql } from '../util/sql.ts'
import { text } from './table-ddl.ts'

/** The catalog's row of a declared relation; insert or update. */
export function catalogStatement(definition: StoredDefinition): string {
  const json = quoteLiteral(JSON.stringify(encodeDefinition(definition)))
  if (definition.kind === 'table')
    return text(sql`insert into tidemark.relation (schema_name, relation_name, kind, definition)
values (${definition.schema}, ${definition.table}, 'table', ${raw(json)}::jsonb)
on conflict (schema_name, relation_name) do update set definition = excluded.definition`)
  return text(sql`insert into tidemark.hypertable (
  schema_name, table_name, time_column, tenant_column, chunk_interval, max_chunks, change_cell_us, append_only,
  definition
)
values (
  ${definition.schema}, ${definition.table}, ${definition.time}, ${definition.tenant}, ${definition.chunk.text},
  ${definition.maxChunks}, ${approximateMicros(definition.changeCell)}, ${definition.appendOnly}, ${raw(json)}::jsonb
)
on conflict (schema_name, table_name) do update set
  chunk_interval = excluded.chunk_interval,
  max_chunks = excluded.max_chunks,
  change_cell_us = excluded.change_cell_us,
  append_only = excluded.append_only,
  definition = excluded.definition,
  epoch = tidemark.hypertable.epoch + 1`)
}

/**
 * What the catalog still holds of a hypertable of this name that was dropped by hand: its chunks, consumers and log
 * mean nothing for the new one.
 */
export function forgetStatements(name: { readonly schema: string; readonly table: string }): string[] {
  const { schema, table } = name
  return [
    text(sql`delete from tidemark.change_log
where hypertable_id in (select id from tidemark.hypertable where schema_name = ${schema} and table_name = ${table})`),
    text(sql`delete from tidemark.hypertable where schema_name = ${schema} and table_name = ${table}`),
  ]
}

/** What a new declaration changes in the catalog, for people. */
export function catalogSentence(definition: StoredDefinition, before: StoredDefinition | null): string {
  if (!before) return `takes ${definition.name} into the catalog`
  const old = encodeDefinition(before) as unknown as Record<string, unknown>
  const now = encodeDefinition(definition) as unknown as Record<string, unknown>
  const policies = ['chunk', 'maxChunks', 'orderBy', 'freeze', 'retain', 'late', 'changeCell', 'appendOnly']
  const changed = policies.filter((key) => !sameJson(old[key], now[key]))
  if (changed.length === 0) return `takes the new declaration of ${definition.name} into the catalog`
  const list = changed.map(
    (key) => `${key} ${JSON.stringify(old[key] ?? null)} → ${JSON.stringify(now[key] ?? null)}`,
  )
  const note = changed.includes('chunk') ? ' (of chunks that are made from now on)' : ''
  return `changes ${list.join(', ')} of ${definition.name}${note}`
}

/** jsonb forgets the order of keys. */
export function sameJson(a: unknown, b: unknown): boolean {
  return JSON.stringify(sorted(a ?? null)) === JSON.stringify(sorted(b ?? null))
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .sort(([x], [y]) => (x < y ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
