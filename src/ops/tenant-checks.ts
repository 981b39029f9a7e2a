import {
  bypassStatement,
  isAsDeclared,
  limitedRole,
  missingTenantRights,
  readerRole,
  readTenantRelations,
  tenantPolicy,
} from '../migrate/index.ts'
import type { Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { quoteIdentifier, sql } from '../util/sql.ts'
import type { Check, Found } from './check.ts'

/** Whether PostgreSQL keeps tenants apart: docs/design/tenants.md. */
export const checkTenants: Check = async ({ connection, definitions }) => {
  const tables = definitions.filter(({ tenant }) => tenant !== null)
  if (tables.length === 0) return { level: 'ok', message: 'no declared table has a tenant', todo: null }
  const { rows } = await connection.query(
    sql`select to_regprocedure('tidemark.missing_tenant_rights()') is not null`,
  )
  if (rows[0]![0] !== true)
    return { level: 'fail', message: 'nothing keeps tenants apart yet', todo: 'run "tidemark migrate"' }
  const found = [
    ...(await engineFindings(connection)),
    ...(await relationFindings(connection, tables)),
    ...(await cellFindings(connection, tables)),
    ...(await policyFindings(connection, tables)),
    ...(await grantFindings(connection, tables)),
    ...(await viewFindings(connection, tables)),
    ...(await publicationFindings(connection, tables)),
    ...(await loginFindings(connection)),
    ...(await readerFindings(connection, definitions)),
  ]
  if (found.some(({ level }) => level !== 'note')) return found
  const count = tables.length === 1 ? 'one table' : `${tables.length} tables`
  return [{ level: 'ok', message: `row security keeps tenants apart in ${count}`, todo: null }, ...found]
}

async function engineFindings(connection: Queryable): Promise<Found[]> {
  const role = await limitedRole(connection)
  const missing = await missingTenantRights(connection)
  const { rows } = await connection.query(sql`
    select rolname::text from pg_roles where rolname in ('tidemark_reader', 'tidemark_tenant') and rolcanlogin`)
  return [
    ...(role === null
      ? []
      : [
          {
            level: 'fail' as const,
            message: `role "${role}" does not pass by row security: it cannot write, freeze or refresh tables with a tenant`,
            todo: `as a superuser: ${bypassStatement(role)}`,
          },
        ]),
    ...(missing.length === 0
      ? []
      : [
          {
            level: 'fail' as const,
            message: 'the roles of tenants lack rights, or this login may not become tidemark_tenant',
            todo: `run "tidemark migrate", or as a superuser: ${missing.join('; ')}`,
          },
        ]),
    ...rows.map(([name]) => ({
      level: 'warn' as const,
      message: `${name} may log in, and is meant to be granted to logins only`,
      todo: `alter role ${name} nologin`,
    })),
  ]
}

/** Of a table and its partitions. */
async function relationFindings(
  connection: Queryable,
  tables: readonly StoredDefinition[],
): Promise<Found[]> {
  const found: Found[] = []
  for (const definition of tables) {
    const wrong = (await readTenantRelations(connection, definition)).filter(
      (one) => !isAsDeclared(definition, one),
    )
    for (const [problem, some] of [
      ['row security is off', wrong.filter((one) => !one.isEnabled)],
      ['row security does not hold for the owner', wrong.filter((one) => one.isEnabled && !one.isForced)],
      [
        'the policies of tenants are missing or altered',
        wrong.filter((one) => one.isEnabled && one.isForced && !one.hasPolicies),
      ],
    ] as const) {
      if (some.length === 0) continue
      const names = some.slice(0, 3).map(({ schema, table }) => `${schema}.${table}`)
      const more = some.length > names.length ? ` and ${some.length - names.length} more` : ''
      found.push({
        level: 'fail',
        message: `${definition.name}: ${problem} in ${names.join(', ')}${more}`,
        todo: 'run "tidemark migrate", and find out who did it: tidemark.schema_change does not name it',
      })
    }
  }
  return found
}

/** Names of tables as parameters of a statement. */
function namesOf(tables: readonly StoredDefinition[]) {
  return {
    schemas: tables.map(({ schema }) => schema),
    names: tables.map(({ table }) => table),
  }
}

async function cellFindings(connection: Queryable, tables: readonly StoredDefinition[]): Promise<Found[]> {
  const { schemas, names } = namesOf(tables)
  const { rows } = await connection.query(sql`
    select a.schema_name || '.' || a.table_name, c.oid::regclass::text
    from unnest(${schemas}::text[], ${names}::text[]) as d (schema, name)
    join tidemark.hypertable as h on h.schema_name = d.schema and h.table_name = d.name
    join tidemark.aggregate as a on a.hypertable_id = h.id
    join tidemark.aggregate_version as v on v.aggregate_id = a.id and v.state <> 'retired'
    join pg_class as c
      on c.relnamespace = 'tidemark_aggregates'::regnamespace and c.relname = v.relation_name
    where not (c.relrowsecurity and c.relforcerowsecurity)
      or not exists (
        select from pg_policy as p where p.polrelid = c.oid and p.polname = 'tidemark_readers' and p.polpermissive
      )
      or exists (
        select from pg_policy as p where p.polrelid = c.oid and p.polname <> 'tidemark_readers' and p.polpermissive
      )
    order by 1`)
  return rows.map(([aggregate, cells]) => ({
    level: 'fail',
    message: `${aggregate}: row security of its cells (${cells}) is off, not forced, or has other policies`,
    todo: `run "tidemark migrate"; policies that it leaves: drop policy … on ${cells}`,
  }))
}

/** Policies are joined by "or": one more lets through what ours does not. */
async function policyFindings(connection: Queryable, tables: readonly StoredDefinition[]): Promise<Found[]> {
  const { schemas, names } = namesOf(tables)
  const { rows } = await connection.query(sql`
    select
      c.oid::regclass::text, p.polname::text,
      coalesce((select string_agg(r.rolname, ', ' order by r.rolname) from pg_roles as r where r.oid = any (p.polroles)), 'everybody'),
      coalesce(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from unnest(${schemas}::text[], ${names}::text[]) as d (schema, name)
    join pg_namespace as n on n.nspname = d.schema
    join pg_class as t on t.relnamespace = n.oid and t.relname = d.name
    join pg_class as c on c.oid = t.oid or c.oid in (select i.inhrelid from pg_inherits as i where i.inhparent = t.oid)
    join pg_policy as p on p.polrelid = c.oid
    where p.polpermissive and p.polname <> ${tenantPolicy}::name
      -- the same condition under another name
      and pg_get_expr(p.polqual, p.polrelid) is distinct from (
        select pg_get_expr(o.polqual, o.polrelid) from pg_policy as o where o.polrelid = c.oid and o.polname = ${tenantPolicy}::name
      )
    order by 1, 2`)
  return rows.map(([relation, policy, roles, condition]) => ({
    level: 'warn',
    message: `${relation}: policy "${policy}" lets ${roles} also see or write rows where ${condition}`,
    todo: `is that meant? Otherwise: drop policy ${quoteIdentifier(policy as string)} on ${relation}`,
  }))
}

async function grantFindings(connection: Queryable, tables: readonly StoredDefinition[]): Promise<Found[]> {
  const { schemas, names } = namesOf(tables)
  const { rows } = await connection.query(sql`
    select
      c.oid::regclass::text, c.oid <> t.oid, g.grantee_name, string_agg(g.privilege_type, ', ' order by g.privilege_type)
    from unnest(${schemas}::text[], ${names}::text[]) as d (schema, name)
    join pg_namespace as n on n.nspname = d.schema
    join pg_class as t on t.relnamespace = n.oid and t.relname = d.name
    join pg_class as c on c.oid = t.oid or c.oid in (select i.inhrelid from pg_inherits as i where i.inhparent = t.oid)
    cross join lateral (
      select coalesce(r.rolname::text, 'public') as grantee_name, a.privilege_type
      from aclexplode(c.relacl) as a
      left join pg_roles as r on r.oid = a.grantee
      where a.grantee <> c.relowner and not coalesce(r.rolsuper or r.rolbypassrls, false)
    ) as g
    -- row security says nothing of these: all rows go, a function of the grantee's runs for whoever writes, keys are found out
    where c.oid <> t.oid or g.privilege_type in ('TRUNCATE', 'TRIGGER', 'REFERENCES')
    group by 1, 2, 3
    order by 1, 3`)
  return rows.map(([relation, isPartition, grantee, privileges]) => {
    const who = grantee === 'public' ? 'public' : quoteIdentifier(grantee as string)
    return {
      level: 'warn',
      message: isPartition
        ? `${grantee} has ${privileges} on ${relation}, a partition: nobody needs that`
        : `${grantee} has ${privileges} on ${relation}, which row security says nothing of`,
      todo: `revoke ${privileges} on ${relation} from ${who}`,
    }
  })
}

/** A view that reads as its owner, who passes by row security, shows everything to whoever may read it. */
async function viewFindings(connection: Queryable, tables: readonly StoredDefinition[]): Promise<Found[]> {
  const { schemas, names } = namesOf(tables)
  const { rows } = await connection.query(sql`
    with recursive read as (
      select distinct w.ev_class as reader, d.refobjid as relation
      from pg_depend as d
      join pg_rewrite as w on w.oid = d.objid
      where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and w.ev_class <> d.refobjid
    ),
    tenant_table as (
      select t.oid
      from unnest(${schemas}::text[], ${names}::text[]) as d (schema, name)
      join pg_namespace as n on n.nspname = d.schema
      join pg_class as t on t.relnamespace = n.oid and t.relname = d.name
    ),
    tree (oid) as (
      select t.oid from tenant_table as t
      union
      select i.inhrelid from pg_inherits as i join tenant_table as t on t.oid = i.inhparent
      union
      select r.reader from tree as t join read as r on r.relation = t.oid
    )
    select v.oid::regclass::text, v.relkind = 'm', o.rolname::text, string_agg(distinct g.name, ', ')
    from tree
    join pg_class as v on v.oid = tree.oid and v.relkind in ('v', 'm')
    join pg_roles as o on o.oid = v.relowner and (o.rolsuper or o.rolbypassrls)
    cross join lateral (
      select coalesce(r.rolname::text, 'public') as name
      from aclexplode(v.relacl) as a
      left join pg_roles as r on r.oid = a.grantee
      where a.grantee <> v.relowner and not coalesce(r.rolsuper or r.rolbypassrls, false)
    ) as g
    where v.relkind = 'm' or not coalesce(
      (select x.option_value::bool from pg_options_to_table(v.reloptions) as x where x.option_name = 'security_invoker'),
      false
    )
    group by 1, 2, 3
    order by 1`)
  return rows.map(([view, isMaterialized, owner, grantees]) => ({
    level: 'warn',
    message: `${view} shows ${grantees} rows of every tenant: it ${isMaterialized ? 'was filled' : 'reads'} as ${owner}`,
    todo: isMaterialized
      ? `revoke all on ${view} from ${grantees}`
      : `alter view ${view} set (security_invoker = true)`,
  }))
}

/** What is published has no row security on its way. */
async function publicationFindings(
  connection: Queryable,
  tables: readonly StoredDefinition[],
): Promise<Found[]> {
  const { schemas, names } = namesOf(tables)
  const { rows } = await connection.query(sql`
    select p.pubname::text, string_agg(distinct d.schema || '.' || d.name, ', ')
    from unnest(${schemas}::text[], ${names}::text[]) as d (schema, name)
    join pg_namespace as n on n.nspname = d.schema
    join pg_class as t on t.relnamespace = n.oid and t.relname = d.name
    join pg_class as c on c.oid = t.oid or c.oid in (select i.inhrelid from pg_inherits as i where i.inhparent = t.oid)
    join pg_namespace as cn on cn.oid = c.relnamespace
    join pg_publication_tables as p on p.schemaname = cn.nspname and p.tablename = c.relname and p.rowfilter is null
    group by 1
    order by 1`)
  return rows.map(([publication, of]) => ({
    level: 'note',
    message: `publication "${publication}" sends rows of every tenant of ${of} to its subscribers`,
    todo: 'whoever subscribes must be trusted with all of them; a row filter sends those of one tenant',
  }))
}

async function loginFindings(connection: Queryable): Promise<Found[]> {
  const { rows: bound } = await connection.query(sql`
    select l.login::text, r.oid is null
    from tidemark.tenant_login as l
    left join pg_roles as r on r.rolname = l.login
    where r.oid is null or r.rolsuper or r.rolbypassrls
    order by 1`)
  const { rows: free } = await connection.query(sql`
    select string_agg(r.rolname, ', ' order by r.rolname)
    from pg_roles as r
    where r.rolcanlogin and not r.rolsuper and not r.rolbypassrls
      and pg_has_role(r.oid, (select o.oid from pg_roles as o where o.rolname = ${readerRole}::name), 'usage')
      and not exists (select from tidemark.tenant_login as l where l.login = r.rolname)
      and has_database_privilege(r.oid, current_database(), 'connect')`)
  const found: Found[] = bound.map(([login, isGone]) => ({
    level: isGone ? 'warn' : 'fail',
    message: isGone
      ? `login "${login}" is bound to a tenant, and is not there: was it renamed?`
      : `login "${login}" is bound to a tenant, and passes by row security`,
    todo: isGone
      ? `bind its new name, then: select tidemark.unbind_login(${quoted(login)})`
      : `alter role ${quoteIdentifier(login as string)} nosuperuser nobypassrls`,
  }))
  const names = free[0]?.[0] as string | null
  if (names !== null)
    found.push({
      level: 'note',
      message: `these logins may read as whichever tenant they name: ${names}`,
      todo: `right for an application that names it itself; whoever belongs to one tenant: select tidemark.bind_login('<login>', '<tenant>')`,
    })
  return found
}

function quoted(text: unknown): string {
  return `'${String(text).replaceAll("'", "''")}'`
}

/** What is declared and cannot be read by whoever should, because it, or what a view reads, is somebody else's. */
async function readerFindings(
  connection: Queryable,
  definitions: readonly StoredDefinition[],
): Promise<Found[]> {
  const { schemas, names } = namesOf(definitions)
  const { rows } = await connection.query(sql`
    select c.oid::regclass::text, c.relowner::regrole::text
    from unnest(${schemas}::text[], ${names}::text[]) as d (schema, name)
    join pg_namespace as n on n.nspname = d.schema
    join pg_class as c on c.relnamespace = n.oid and c.relname = d.name
    join pg_roles as r on r.rolname = ${readerRole}::name
    where not (has_schema_privilege(r.oid, n.oid, 'usage') and has_table_privilege(r.oid, c.oid, 'select'))
    union
    select t.oid::regclass::text, t.relowner::regrole::text
    from tidemark.relation as v
    join pg_namespace as vn on vn.nspname = v.schema_name
    join pg_class as vc on vc.relnamespace = vn.oid and vc.relname = v.relation_name
    join pg_rewrite as w on w.ev_class = vc.oid
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
    join pg_class as t on t.oid = d.refobjid and t.oid <> vc.oid
    join pg_roles as r on r.rolname = ${readerRole}::name
    where v.kind = 'view' and not has_any_column_privilege(r.oid, t.oid, 'select')
    order by 1`)
  return rows.map(([relation, owner]) => ({
    level: 'note',
    message: `${readerRole} may not read ${relation}, which is declared or read by a declared view`,
    todo: `where everybody may read all of it, as ${owner}: grant select on ${relation} to ${readerRole}`,
  }))
}
