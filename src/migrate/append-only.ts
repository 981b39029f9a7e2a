import type { Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { join, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import { relationName } from './table-ddl.ts'

const appendOnlyTrigger = 'tidemark_append_only'

interface RelationName {
  readonly schema: string
  readonly table: string
}

/**
 * The guard of one relation. A statement trigger: it also refuses the update half of an upsert, MERGE, cascades and
 * TRUNCATE, and costs inserts nothing. ENABLE ALWAYS: it fires for owners and under session_replication_role too.
 * Triggers of a parent do not fire for statements on its partitions, so each partition has its own.
 */
export function appendOnlySql(declaredName: string, relation: RelationName): Sql {
  const on = relationName(relation)
  return sql`create or replace trigger ${raw(appendOnlyTrigger)}
  before update or delete or truncate on ${on}
  for each statement execute function tidemark.refuse_change(${raw(quoteLiteral(declaredName).trim())});
alter table only ${on} enable always trigger ${raw(appendOnlyTrigger)}`
}

function dropAppendOnlySql(relation: RelationName): Sql {
  return sql`drop trigger if exists ${raw(appendOnlyTrigger)} on ${relationName(relation)}`
}

/**
 * Lets this transaction, and no other, change rows of append-only tables: for moving them from one home to another.
 * The right to it is the right to write tidemark.row_move.
 */
export async function beginRowMove(connection: Queryable): Promise<void> {
  await connection.query(sql`select tidemark.begin_row_move()`)
}

/** The table and all its partitions that lack the guard (or have it, when `want` is false). */
export async function findUnguarded(
  from: Queryable,
  relation: RelationName,
  want: boolean,
): Promise<readonly RelationName[]> {
  const { rows } = await from.query(sql`
    select n.nspname, c.relname
    from pg_class as t
    join pg_namespace as tn on tn.oid = t.relnamespace
    join pg_class as c
      on c.oid = t.oid or c.oid in (select i.inhrelid from pg_inherits as i where i.inhparent = t.oid)
    join pg_namespace as n on n.oid = c.relnamespace
    where tn.nspname = ${relation.schema}::text
      and t.relname = ${relation.table}::text
      and (
        select count(*) > 0
        from pg_trigger as g
        where g.tgrelid = c.oid and g.tgname = ${appendOnlyTrigger}::text
          and (g.tgenabled = 'A' or not ${want}::bool)
      ) <> ${want}::bool
    order by c.oid <> t.oid, c.oid`)
  return rows.map(([schema, table]) => ({ schema: schema as string, table: table as string }))
}

export function guardSql(definition: StoredDefinition, relations: readonly RelationName[]): Sql {
  return join(
    relations.map((relation) =>
      definition.appendOnly ? appendOnlySql(definition.name, relation) : dropAppendOnlySql(relation),
    ),
    ';\n',
  )
}
