import type { Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { type MigrationStep, step } from './step.ts'
import { relationName, text } from './table-ddl.ts'

/** Whose rows are whose: for everybody whom row security holds for. */
export const tenantPolicy = 'tidemark_tenant'
/** Holds a login that belongs to one tenant to it (`tidemark.bind_login`). */
export const loginPolicy = 'tidemark_login'

interface RelationName {
  readonly schema: string
  readonly table: string
}

/** What a declaration says about whose rows are whose. */
type TenantTable = Pick<StoredDefinition, 'tenant' | 'columns'>

/** True for rows of the tenant that is set; of none where none is, or the empty one. */
function tenantCondition({ tenant, columns }: TenantTable): Sql {
  const { type } = columns[tenant as string]!
  // tidemark.readable_cells knows this form by heart
  return sql`${identifier(tenant as string)} = nullif(current_setting('tidemark.tenant', true), '')${raw(type === 'text' ? '' : `::${type}`)}`
}

/**
 * The statements that let nobody but who passes by row security see or write rows of another tenant than the one that
 * `tidemark.tenant` names, for a table or one partition. Policies of a parent do not hold for statements on its partitions, so each
 * partition has its own. FORCE: they hold for the owner, too.
 *
 * @param isNew Nobody can have made these policies before.
 */
export function protectStatements(definition: TenantTable, relation: RelationName, isNew: boolean): Sql[] {
  const on = relationName(relation)
  const drop = (policy: string): Sql[] =>
    isNew ? [] : [sql`drop policy if exists ${identifier(policy)} on ${on}`]
  return [
    sql`alter table only ${on} enable row level security, force row level security`,
    ...drop(tenantPolicy),
    sql`create policy ${identifier(tenantPolicy)} on ${on} using (${tenantCondition(definition)})`,
    ...drop(loginPolicy),
    sql`create policy ${identifier(loginPolicy)} on ${on} as restrictive using ((select tidemark.is_own_tenant()))`,
  ]
}

/** What somebody else does with row security on the table stays, and with it that it is on. */
function unprotectStatements({ schema, table, isShared }: TenantRelation): Sql[] {
  const on = relationName({ schema, table })
  return [
    sql`drop policy if exists ${identifier(tenantPolicy)} on ${on}`,
    sql`drop policy if exists ${identifier(loginPolicy)} on ${on}`,
    ...(isShared
      ? []
      : [sql`alter table only ${on} no force row level security, disable row level security`]),
  ]
}

/** A table or one of its partitions, as row security stands on it. */
export interface TenantRelation extends RelationName {
  readonly isPartition: boolean
  readonly isEnabled: boolean
  readonly isForced: boolean
  /** Both policies are there as they have to be. */
  readonly hasPolicies: boolean
  /** One of the policies is there, right or not. */
  readonly hasAny: boolean
  /** Others have policies on it. */
  readonly isShared: boolean
}

/**
 * How row security stands on a table and its partitions, the table first. Compares with how PostgreSQL spells the policies, by the
 * text without parentheses.
 */
export async function readTenantRelations(
  from: Queryable,
  definition: Pick<StoredDefinition, 'tenant'> & RelationName,
): Promise<readonly TenantRelation[]> {
  const { rows } = await from.query(sql`
    select
      n.nspname, c.relname, c.oid <> t.oid, c.relrowsecurity, c.relforcerowsecurity,
      coalesce(p.has_tenant and p.has_login, false), coalesce(p.has_any, false), coalesce(p.is_shared, false)
    from pg_namespace as tn
    join pg_class as t on t.relnamespace = tn.oid
    cross join lateral (
      select t.oid
      union all
      select i.inhrelid from pg_inherits as i where i.inhparent = t.oid
    ) as member (oid)
    join pg_class as c on c.oid = member.oid
    join pg_namespace as n on n.oid = c.relnamespace
    left join pg_attribute as a on a.attrelid = c.oid and a.attname = ${definition.tenant}::name and not a.attisdropped
    left join lateral (
      select
        bool_or(
          p.polname = ${tenantPolicy}::name and p.polpermissive and o.is_plain
          and o.condition = quote_ident(a.attname) || ' = NULLIFcurrent_setting''tidemark.tenant''::text, true, ''''::text'
            || case format_type(a.atttypid, null) when 'text' then '' else '::' || format_type(a.atttypid, null) end
        ) as has_tenant,
        bool_or(
          p.polname = ${loginPolicy}::name and not p.polpermissive and o.is_plain
          and o.condition in (
            ' SELECT tidemark.is_own_tenant AS is_own_tenant', ' SELECT is_own_tenant AS is_own_tenant'
          )
        ) as has_login,
        bool_or(p.polname in (${tenantPolicy}::name, ${loginPolicy}::name)) as has_any,
        bool_or(p.polname not in (${tenantPolicy}::name, ${loginPolicy}::name)) as is_shared
      from pg_policy as p
      cross join lateral (
        select
          p.polcmd = '*' and p.polroles = '{0}' and p.polwithcheck is null as is_plain,
          translate(pg_get_expr(p.polqual, p.polrelid), '()', '') as condition
      ) as o
      where p.polrelid = c.oid
    ) as p on true
    where tn.nspname = ${definition.schema}::text and t.relname = ${definition.table}::text and t.relkind in ('r', 'p')
    order by c.oid <> t.oid, c.oid`)
  return rows.map((row) => {
    const [schema, table, isPartition, isEnabled, isForced, hasPolicies, hasAny, isShared] = row as [
      string,
      string,
      ...(readonly boolean[]),
    ]
    return {
      schema,
      table,
      isPartition,
      isEnabled,
      isForced,
      hasPolicies,
      hasAny,
      isShared,
    } as TenantRelation
  })
}

/** Whether row security on the relation is as the declaration has it. */
export function isAsDeclared(
  { tenant }: Pick<StoredDefinition, 'tenant'>,
  relation: TenantRelation,
): boolean {
  return tenant === null ? !relation.hasAny : relation.isEnabled && relation.isForced && relation.hasPolicies
}

/** Partitions whose locks one transaction takes: a few milliseconds for all of them. */
const partitionsOfStep = 20

/** What it takes until row security is as declared: the table first, in a transaction of its own, then its partitions by the score. */
export async function tenantSteps(from: Queryable, definition: StoredDefinition): Promise<MigrationStep[]> {
  const wrong = (await readTenantRelations(from, definition)).filter((one) => !isAsDeclared(definition, one))
  const statementsOf = (relations: readonly TenantRelation[]): string[] =>
    relations
      .flatMap((relation) =>
        definition.tenant === null
          ? unprotectStatements(relation)
          : protectStatements(definition, relation, false),
      )
      .map(text)
  const { name, tenant } = definition
  const table = wrong.filter(({ isPartition }) => !isPartition)
  const partitions = wrong.filter(({ isPartition }) => isPartition)
  const steps: MigrationStep[] = []
  if (table.length > 0) {
    const sentence =
      tenant === null
        ? `lets whoever may read ${name} see the rows of every tenant`
        : `keeps tenants apart in ${name} by "${tenant}"`
    steps.push(step(name, 'tenant', sentence, statementsOf(table)))
  }
  for (let at = 0; at < partitions.length; at += partitionsOfStep) {
    const some = partitions.slice(at, at + partitionsOfStep)
    const which = `${some.length} partition${some.length === 1 ? '' : 's'} of ${name}`
    const sentence =
      tenant === null ? `takes row security from ${which}` : `keeps tenants apart in ${which} by "${tenant}"`
    steps.push(step(name, 'tenant', sentence, statementsOf(some)))
  }
  return steps
}

/** Gives a relation and its partitions the row security of the declaration, whatever they are called. Not for tables in use. */
export async function protectRelations(
  connection: Queryable,
  definition: StoredDefinition,
  relation: RelationName,
): Promise<void> {
  if (definition.tenant === null) return
  const found = await readTenantRelations(connection, { ...relation, tenant: definition.tenant })
  const statements = found
    .filter((one) => !isAsDeclared(definition, one))
    .flatMap((one) => protectStatements(definition, one, false))
  if (statements.length > 0) await connection.execute(join(statements, ';\n'))
}
