import { type Connection, type Queryable, sqlstateOf } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, quoteIdentifier, raw, sql } from '../util/sql.ts'
import { type DeclaredRelation, type MigrationStep, step } from './step.ts'
import { relationName, text } from './table-ddl.ts'

/** May be granted to logins: reads what is declared, of the tenant that is set. */
export const readerRole = 'tidemark_reader'

/** How the roles of tenants stand, for planning. */
export interface TenantRoles {
  /** tidemark_reader is there, or will be after the first step. */
  readonly hasReader: boolean
  /** What the roles lack, as statements; none where nothing declares a tenant. */
  readonly missing: readonly string[]
}

export async function readTenantRoles(
  connection: Queryable,
  definitions: readonly DeclaredRelation[],
): Promise<TenantRoles> {
  const isNeeded = tablesWithTenant(definitions).length > 0
  const { rows } = await connection.query(sql`
    select
      exists (select from pg_roles where rolname = ${readerRole}::name),
      exists (
        select from pg_proc as p
        join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname = 'tidemark' and p.proname = 'missing_tenant_rights'
      )`)
  const [isThere, canAsk] = rows[0] as [boolean, boolean]
  if (!isNeeded) return { hasReader: isThere, missing: [] }
  // the catalog's migration, which is to come, gives the roles what they need
  if (!canAsk) return { hasReader: true, missing: [] }
  return { hasReader: true, missing: await missingTenantRights(connection) }
}

/** Statements that the roles of tenants still need, in order. The catalog has to be there. */
export async function missingTenantRights(from: Queryable): Promise<readonly string[]> {
  const { rows } = await from.query(sql`select s from tidemark.missing_tenant_rights() as s`)
  return rows.map(([statement]) => statement as string)
}

function tablesWithTenant(definitions: readonly DeclaredRelation[]): StoredDefinition[] {
  return definitions.filter((d): d is StoredDefinition => d.kind !== 'view' && d.tenant !== null)
}

/**
 * Row security is FORCEd on tables with a tenant, and would hold for the engine, too: it could not copy rows in, freeze them or
 * refresh aggregates of them.
 *
 * @throws TidemarkError TM_MIGRATION
 */
export async function assertPassesRowSecurity(
  connection: Queryable,
  definitions: readonly DeclaredRelation[],
): Promise<void> {
  const tables = tablesWithTenant(definitions)
  if (tables.length === 0) return
  const role = await limitedRole(connection)
  if (role === null) return
  throw new TidemarkError('TM_MIGRATION', {
    problem:
      `${tables.map(({ name }) => name).join(', ')} declare a tenant, so row security is forced there, and role "${role}" ` +
      'is neither a superuser nor has BYPASSRLS: it could not write, freeze or refresh them',
    todo: `as a superuser run: ${bypassStatement(role)}`,
  })
}

/** The role that the connection acts as, where row security holds for it; null: it passes by. */
export async function limitedRole(from: Queryable): Promise<string | null> {
  const { rows } = await from.query(sql`
    select rolname::text from pg_roles where rolname = current_user and not rolsuper and not rolbypassrls`)
  return (rows[0]?.[0] as string | undefined) ?? null
}

export function bypassStatement(role: string): string {
  return `alter role ${quoteIdentifier(role)} bypassrls`
}

export function rolesStep({ missing }: TenantRoles): MigrationStep[] {
  if (missing.length === 0) return []
  return [step('tidemark', 'roles', 'gives the roles of tenants what they lack', missing)]
}

/**
 * Applies `rolesStep`. Not its statements one by one: other databases' migrations may be at the same roles.
 *
 * @throws TidemarkError TM_MIGRATION with what an administrator has to run.
 */
export async function giveTenantRights(connection: Connection, { statements }: MigrationStep): Promise<void> {
  try {
    await connection.query(sql`select tidemark.give_tenant_rights()`)
  } catch (error) {
    if (sqlstateOf(error) !== '42501') throw error
    throw new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `declared tables have a tenant, and this role may not give the roles of tenants what they lack (${(error as Error).message})`,
        todo: `as a superuser run, in this database: ${statements.join('; ')}`,
      },
      { cause: error },
    )
  }
}

export function grantUsage(schema: string): string {
  return text(sql`grant usage on schema ${identifier(schema)} to ${raw(readerRole)}`)
}

export function grantSelect(relation: { readonly schema: string; readonly table: string }): string {
  return text(sql`grant select on ${relationName(relation)} to ${raw(readerRole)}`)
}

/**
 * Grants that tidemark_reader lacks on what is declared and there, as far as this role may give them: nobody else's tables are
 * opened, and where only others may, doctor tells.
 */
export async function readerSteps(
  connection: Queryable,
  relations: readonly { readonly schema: string; readonly table: string; readonly name: string }[],
  { hasReader, missing }: TenantRoles,
): Promise<MigrationStep[]> {
  // before there is the role nothing can be asked of it; the next round does
  if (!hasReader || missing.some((statement) => statement.startsWith('create role'))) return []
  const lacks = await readReaderGaps(connection, relations)
  return [
    ...lacks.schemas.map((schema) =>
      step(schema, 'grant', `lets ${readerRole} into the schema ${schema}`, [grantUsage(schema)]),
    ),
    ...lacks.relations.map((name) => {
      const relation = relations.find((one) => one.name === name)!
      return step(name, 'grant', `lets ${readerRole} read ${name}`, [grantSelect(relation)])
    }),
  ]
}

async function readReaderGaps(
  connection: Queryable,
  relations: readonly { readonly schema: string; readonly table: string; readonly name: string }[],
): Promise<{ readonly schemas: readonly string[]; readonly relations: readonly string[] }> {
  const { rows } = await connection.query(sql`
    select
      array(
        select n.nspname::text
        from pg_namespace as n
        join pg_roles as r on r.rolname = ${readerRole}::name
        where n.nspname = any (${relations.map(({ schema }) => schema)}::text[])
          and not has_schema_privilege(r.oid, n.oid, 'usage')
          and pg_has_role(n.nspowner, 'usage')
        order by 1
      ),
      array(
        select d.name
        from unnest(
          ${relations.map(({ name }) => name)}::text[], ${relations.map(({ schema }) => schema)}::text[],
          ${relations.map(({ table }) => table)}::text[]
        ) with ordinality as d (name, schema, relation, place)
        join pg_namespace as n on n.nspname = d.schema
        join pg_class as c on c.relnamespace = n.oid and c.relname = d.relation
        join pg_roles as r on r.rolname = ${readerRole}::name
        where not has_table_privilege(r.oid, c.oid, 'select') and pg_has_role(c.relowner, 'usage')
        order by d.place
      )`)
  const [schemas, names] = rows[0] as [string[], string[]]
  return { schemas, relations: names }
}
