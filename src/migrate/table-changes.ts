import type { Queryable } from '../postgres/index.ts'
import type { StoredDefinition, TableDefinition } from '../schema/index.ts'
import { identifier, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import { type MigrationStep, step } from './step.ts'
import { fitName, relationName, text } from './table-ddl.ts'

/** A trigger that notes changes of a plain table (sql/000020); it is always there, and fires always. */
interface NoteTrigger {
  readonly name: string
  /** Between the name and the table; `referencing` and the function come after it. */
  readonly event: string
  readonly rows: string
  readonly call: Sql
}

/** Every name that such a trigger has, whatever is declared. */
const names = {
  change: 'tidemark_note_change',
  truncate: 'tidemark_note_truncate',
  insert: 'tidemark_note_insert',
  update: 'tidemark_note_update',
  delete: 'tidemark_note_delete',
} as const

/**
 * What makes a plain table say that rows of it have changed. One without a tenant column has one trigger that looks at no row. One
 * with tenants has to: what one tenant writes must not wake the others.
 */
export function tableChangeStatements(definition: StoredDefinition): string[] {
  if (definition.kind !== 'table') return []
  const on = relationName(definition)
  return [
    ...(definition.tenant === null ? [] : functionStatements(definition, definition.tenant)),
    ...noteTriggers(definition).flatMap(({ name, event, rows, call }) => [
      text(
        sql`create or replace trigger ${identifier(name)} after ${raw(event)} on ${on}${raw(rows)} for each statement execute function ${call}`,
      ),
      text(sql`alter table ${on} enable always trigger ${identifier(name)}`),
    ]),
  ]
}

/** The same for a table that is there already and lacks some of it. */
export async function tableChangeSteps(
  connection: Queryable,
  definition: StoredDefinition,
): Promise<MigrationStep[]> {
  if (definition.kind !== 'table') return []
  const { rows } = await connection.query(sql`
    select
      coalesce(array_agg(g.tgname::text order by g.tgname) filter (where g.tgenabled = 'A'), '{}'),
      coalesce(array_agg(g.tgname::text) filter (where g.tgenabled <> 'A'), '{}'),
      (
        select p.prosrc
        from pg_proc as p
        join pg_namespace as pn on pn.oid = p.pronamespace
        where pn.nspname = 'tidemark' and p.proname = ${functionName(definition)}::text
      )
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_trigger as g on g.tgrelid = c.oid and g.tgname = any (${Object.values(names)}::text[])
    where n.nspname = ${definition.schema}::text and c.relname = ${definition.table}::text`)
  const [enabled, disabled, body] = rows[0] as [string[], string[], string | null]
  const wanted = noteTriggers(definition)
    .map(({ name }) => name)
    .sort()
  const unwanted = [...enabled, ...disabled].filter((name) => !wanted.includes(name))
  const isThere =
    disabled.length === 0 &&
    JSON.stringify(enabled) === JSON.stringify(wanted) &&
    (definition.tenant === null || body === functionBody(definition, definition.tenant))
  if (isThere) return []
  const statements = [
    ...unwanted.map((name) => text(sql`drop trigger ${identifier(name)} on ${relationName(definition)}`)),
    ...tableChangeStatements(definition),
  ]
  return [step(definition.name, 'change-log', `notes changes of ${definition.name}`, statements)]
}

function noteTriggers(definition: TableDefinition): NoteTrigger[] {
  const anything = sql`tidemark.note_statement(${raw(quoteLiteral(definition.name).trim())})`
  const make = (name: string, event: string, rows: string, call: Sql): NoteTrigger => ({
    name,
    event,
    rows,
    call,
  })
  if (definition.tenant === null)
    return [
      make(names.change, 'insert or update or delete', '', anything),
      make(names.truncate, 'truncate', '', anything),
    ]
  const tenants = sql`${identifier('tidemark', functionName(definition))}()`
  return [
    make(names.insert, 'insert', ' referencing new table as new_rows', tenants),
    make(names.update, 'update', ' referencing old table as old_rows new table as new_rows', tenants),
    make(names.delete, 'delete', ' referencing old table as old_rows', tenants),
    make(names.truncate, 'truncate', '', anything),
  ]
}

function functionName(definition: TableDefinition): string {
  return fitName(`note_${definition.name}`, '')
}

/** Written for the table: what is the same in each call stays planned, which text that is put together would not. */
function functionBody(definition: TableDefinition, tenant: string): string {
  const column = text(identifier(tenant))
  const gather = (from: string): string => `
    select pg_catalog.array_agg(distinct r.tenant) into tenants from (${from}) as r;`
  const of = (rows: string): string => `select ${column}::text as tenant from ${rows}`
  return `
declare
  tenants text[];
begin
  if tg_op = 'INSERT' then${gather(of('new_rows'))}
  elsif tg_op = 'DELETE' then${gather(of('old_rows'))}
  else${gather(`${of('old_rows')} union ${of('new_rows')}`)}
  end if;
  perform tidemark.note_table_change(${quoteLiteral(definition.name).trim()}, tenants);
  return null;
end;
`
}

/**
 * Security definer with an empty search_path: whoever may write the table need not be able to write the log, and nobody's
 * search_path decides what a name means.
 */
function functionStatements(definition: TableDefinition, tenant: string): string[] {
  const name = identifier('tidemark', functionName(definition))
  const body = quoteLiteral(functionBody(definition, tenant)).trim()
  return [
    text(sql`create or replace function ${name}() returns trigger
language plpgsql
security definer
set search_path = ''
as ${raw(body)}`),
    text(sql`revoke all on function ${name}() from public`),
  ]
}
