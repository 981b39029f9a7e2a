import { text } from '../migrate/index.ts'
import type { Materialization } from '../query/index.ts'
import { identifier, join, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import { bucketColumn, cellSchema, cellTableOf } from './cell-table.ts'

/** Who may read which cells. */
export const cellPolicy = 'tidemark_readers'

/** What a version is to be. */
export interface NewVersion {
  readonly materialization: Materialization
  /** Table of its cells. */
  readonly relation: string
  readonly hash: string
  /** As `encodeAggregate` gives it. */
  readonly json: string
  /** The first one is current at once: it says of itself that nothing is valid yet. */
  readonly state: 'current' | 'building'
  /** The base hypertable's row security holds for its owner, too. */
  readonly isForced: boolean
}

/** Its rows in the catalog, the table of its cells, and who may read that. Without the consumer of the change log. */
export function createVersionStatements(version: NewVersion): string[] {
  const { materialization, relation } = version
  const { definition, base } = materialization
  const byName = sql`schema_name = ${definition.schema} and table_name = ${definition.table}`
  return [
    // without the hypertable its id is null, which the column refuses
    sql`insert into tidemark.aggregate (schema_name, table_name, hypertable_id)
values (
  ${definition.schema}, ${definition.table},
  (select id from tidemark.hypertable where schema_name = ${base.schema} and table_name = ${base.table})
)
on conflict (schema_name, table_name) do nothing`,
    sql`insert into tidemark.aggregate_version (
  aggregate_id, definition, definition_hash, relation_name, state, current_since
)
select id, ${raw(quoteLiteral(version.json))}::jsonb, ${version.hash}, ${relation}, ${version.state},
  ${raw(version.state === 'current' ? 'now()' : 'null')}
from tidemark.aggregate where ${byName}`,
    sql`insert into tidemark.aggregate_invalid (version_id, range_from, range_to)
select id, '-infinity', 'infinity' from tidemark.aggregate_version where relation_name = ${relation}`,
    ...cellTableStatements(materialization, relation),
    ...rightsStatements(version),
  ].map(text)
}

function cellTableStatements(materialization: Materialization, relation: string): Sql[] {
  const { keys, states } = cellTableOf(materialization)
  const columns = [
    sql`${identifier(bucketColumn)} timestamptz not null`,
    ...keys.map(({ column, type }) => sql`${identifier(column)} ${raw(type)}`),
    ...states.flatMap(({ columns }) =>
      columns.map(({ column, type }) => sql`${identifier(column)} ${raw(type)}`),
    ),
  ]
  const unique = [bucketColumn, ...keys.map(({ column }) => column)].map((column) => identifier(column))
  return [
    sql`create table ${cells(relation)} (\n  ${join(columns, ',\n  ')}\n)`,
    sql`create unique index on ${cells(relation)} (${join(unique, ', ')}) nulls not distinct`,
    sql`comment on table ${cells(relation)} is ${`Cells of ${materialization.definition.name}.`}`,
  ]
}

/**
 * Who may read the rows of the hypertable may read its cells, whenever that was granted: everybody may ask, and the policy answers
 * by the rights on the hypertable. Where row security limits the reader to a tenant, cells of that tenant.
 */
function rightsStatements({
  materialization,
  relation,
  isForced,
}: Pick<NewVersion, 'materialization' | 'relation' | 'isForced'>): Sql[] {
  const { base } = materialization
  const { keys } = cellTableOf(materialization)
  const table = raw(quoteLiteral(text(identifier(base.schema, base.table))))
  const readable = sql`(select tidemark.readable_cells(${table}::regclass, ${base.tenant}))`
  const tenant = keys[0]
  const ofTenant =
    base.tenant === null || tenant === undefined
      ? []
      : [
          sql`(${readable} = 'tenant' and ${identifier(tenant.column)} = nullif(current_setting('tidemark.tenant', true), '')${raw(tenant.type === 'text' ? '' : `::${tenant.type}`)})`,
        ]
  const condition = join([sql`${readable} = 'all'`, ...ofTenant], ' or ')
  return [
    sql`alter table ${cells(relation)} enable row level security`,
    ...(isForced ? [sql`alter table ${cells(relation)} force row level security`] : []),
    sql`create policy ${identifier(cellPolicy)} on ${cells(relation)} for select using (${condition})`,
    sql`grant select on ${cells(relation)} to public`,
  ]
}

/** The same for cells whose row security somebody has switched off, or whose policy somebody has dropped or changed. */
export function restoreRightsStatements(
  version: Pick<NewVersion, 'materialization' | 'relation' | 'isForced'>,
): string[] {
  const drop = sql`drop policy if exists ${identifier(cellPolicy)} on ${cells(version.relation)}`
  return [drop, ...rightsStatements(version)].map(text)
}

/** Row security for the owner, too, or no longer. */
export function forceStatement(relation: string, isForced: boolean): string {
  return text(sql`alter table ${cells(relation)} ${raw(isForced ? '' : 'no ')}force row level security`)
}

/** The definition's JSON where only what may change in place has changed. */
export function changeDefinitionStatements(relation: string, json: string): string[] {
  return [
    text(
      sql`update tidemark.aggregate_version set definition = ${raw(quoteLiteral(json))}::jsonb, epoch = epoch + 1 where relation_name = ${relation}`,
    ),
  ]
}

/** A version that nobody wants any more; the table of its cells is dropped by the next refresh. */
export function retireStatements(relation: string): string[] {
  return [
    sql`delete from tidemark.change_consumer
where name = (select 'aggregate:' || id from tidemark.aggregate_version where relation_name = ${relation})`,
    sql`delete from tidemark.aggregate_invalid
where version_id = (select id from tidemark.aggregate_version where relation_name = ${relation})`,
    sql`update tidemark.aggregate_version set state = 'retired' where relation_name = ${relation}`,
  ].map(text)
}

export function cells(relation: string): Sql {
  return identifier(cellSchema, relation)
}
