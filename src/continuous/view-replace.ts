import { text } from '../migrate/index.ts'
import { type Connection, sqlstateOf } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, quoteIdentifier, raw, sql } from '../util/sql.ts'
import type { AggregateView } from './view.ts'

/**
 * Makes the view, or puts the new one in the place of the old one, in the transaction of the connection. Where columns go or move it
 * is made anew; what was granted on it is granted again. Who may read the hypertable may read a new view.
 *
 * @throws TidemarkError TM_MIGRATION when other views read columns that would go.
 */
export async function replaceView(
  connection: Connection,
  definition: ContinuousAggregateDefinition,
  { statements }: AggregateView,
): Promise<void> {
  const [create, ...rest] = statements as readonly [string, ...string[]]
  const name = identifier(definition.schema, definition.table)
  const existing = await readGrants(connection, definition)
  if (existing === null) {
    await connection.execute(create)
    await connection.execute(sql`grant select on ${name} to public`)
  } else if (!(await replaced(connection, create))) {
    await dropView(connection, definition)
    await connection.execute(create)
    for (const grant of existing) await connection.execute(grant)
  }
  for (const statement of rest) await connection.execute(statement)
}

/** False where PostgreSQL cannot replace a view because its columns differ. */
async function replaced(connection: Connection, create: string): Promise<boolean> {
  await connection.execute('savepoint replace_view')
  try {
    await connection.execute(create)
  } catch (error) {
    await connection.execute('rollback to savepoint replace_view')
    if (sqlstateOf(error) === '42P16') return false
    throw error
  }
  await connection.execute('release savepoint replace_view')
  return true
}

async function dropView(connection: Connection, definition: ContinuousAggregateDefinition): Promise<void> {
  const statement = text(sql`drop view ${identifier(definition.schema, definition.table)}`)
  try {
    await connection.execute(statement)
  } catch (error) {
    if (sqlstateOf(error) !== '2BP01') throw error
    throw new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `the view ${definition.name} gets other columns, and something reads the old ones: ${(error as Error).message}`,
        todo: 'drop what reads it, and make it again afterwards',
      },
      { cause: error },
    )
  }
}

/** Statements that grant again what is granted on the view; null: there is no view. */
async function readGrants(connection: Connection, { schema, table }: ContinuousAggregateDefinition) {
  const { rows } = await connection.query(sql`
    select
      pg_get_userbyid(c.relowner),
      c.relowner <> current_user::regrole,
      case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee) end,
      a.grantee = 0,
      a.grantee = c.relowner,
      a.privilege_type,
      a.is_grantable
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    left join aclexplode(c.relacl) as a on true
    where n.nspname = ${schema}::text and c.relname = ${table}::text and c.relkind = 'v'`)
  if (rows.length === 0) return null
  const on = text(sql`${identifier(schema, table)}`)
  const grants: string[] = []
  for (const [, , grantee, isPublic, isOwner, privilege, isGrantable] of rows) {
    if (privilege === null || isOwner === true) continue
    const to = isPublic === true ? 'public' : quoteIdentifier(grantee as string)
    grants.push(`grant ${privilege} on ${on} to ${to}${isGrantable === true ? ' with grant option' : ''}`)
  }
  const [owner, isOthers] = rows[0] as [string, boolean]
  if (isOthers) grants.push(text(sql`alter view ${raw(on)} owner to ${identifier(owner)}`))
  return grants
}
