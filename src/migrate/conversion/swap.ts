import { installTriggers } from '../../changelog/index.ts'
import type { Connection } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { identifier, join, quoteLiteral, raw, type Sql, sql } from '../../util/sql.ts'
import { findUnguarded, guardSql } from '../append-only.ts'
import { catalogStatement, forgetStatements } from '../catalog-entry.ts'
import { fitName, relationName, text } from '../table-ddl.ts'
import { protectRelations } from '../tenant-rows.ts'
import { conversionTriggers } from './queue.ts'
import { type Conversion, conversionNames } from './record.ts'
import { addsPrimaryKey, primaryKeyName, shadowIndexName, shadowTimeIndex } from './shadow.ts'
import { readGrants, readShape, type Source } from './source.ts'

export const fenceTrigger = 'tidemark_conversion_fence'

/** What the old table is called afterwards. */
function oldTableName(definition: HypertableDefinition): string {
  return fitName(definition.table, '_before_tidemark')
}

/** SHARE ROW EXCLUSIVE keeps writers out and lets readers go on. Tables that foreign keys point at come first. */
export function lockWritersStatement(definition: HypertableDefinition, source: Source): string {
  const tables = source.foreignKeys.map((key) => identifier(...key.references))
  // An adding of a foreign key locks both; taken in this order, who deletes there first and here second ends before.
  return text(
    sql`lock table ${join([...tables, relationName(definition)], ', ')} in share row exclusive mode`,
  )
}

export function lockAllStatement(definition: HypertableDefinition): string {
  return text(sql`lock table only ${relationName(definition)} in access exclusive mode`)
}

/** The change log's triggers, the guard and the row security of tenants, on the shadow and its chunks: long before the swap, nobody is there. */
export async function equipShadow(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
): Promise<void> {
  const { shadowName } = conversionNames(conversion)
  await installTriggers(connection, shadowName)
  await protectRelations(connection, definition, shadowName)
  if (!definition.appendOnly) return
  const unguarded = await findUnguarded(connection, shadowName, true)
  if (unguarded.length > 0) await connection.execute(guardSql(definition, unguarded))
}

/**
 * Puts the shadow in the source's place. The caller holds ACCESS EXCLUSIVE on the source, the queue is empty. Only
 * names and rows of PostgreSQL's catalog change; how long it takes does not depend on the number of rows.
 */
export async function swap(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
): Promise<void> {
  await assertUnchanged(connection, conversion, definition)
  await equipShadow(connection, conversion, definition)
  const names = conversionNames(conversion)
  const { schema, table } = definition
  const here = relationName(definition)
  const old = oldTableName(definition)
  const oldHere = identifier(schema, old)
  const run = (statement: Sql) => connection.execute(statement)

  for (const trigger of Object.values(conversionTriggers))
    await run(sql`drop trigger ${identifier(trigger)} on ${here}`)
  await run(sql`drop function ${names.log}()`)
  await run(sql`drop table ${names.queue}`)
  await run(sql`drop index ${identifier(names.shadowName.schema, shadowTimeIndex(names))}`)
  await run(sql`drop index if exists ${identifier(schema, names.timeIndex)}`)
  for (const publication of source.publications)
    await run(sql`alter publication ${identifier(publication)} drop table ${here}`)
  // The old table must not keep rows of other tables from being deleted.
  for (const key of source.foreignKeys)
    await run(sql`alter table ${here} drop constraint ${identifier(key.name)}`)
  await moveIdentities(connection, names.shadow, here, source)
  await setGrants(connection, names.shadow, source)

  // Names of indexes are those of the schema, so the old ones make room first.
  for (const index of source.indexes)
    await run(
      sql`alter index ${identifier(schema, index.name)} rename to ${identifier(fitName(index.name, '_before_tidemark'))}`,
    )
  await run(sql`alter table ${here} rename to ${identifier(old)}`)
  await run(sql`alter table ${names.shadow} set schema ${identifier(schema)}`)
  await run(sql`alter table ${identifier(schema, names.shadowName.table)} rename to ${identifier(table)}`)
  for (const index of source.indexes)
    await run(
      sql`alter index ${identifier(schema, shadowIndexName(names, index.name))} rename to ${identifier(index.name)}`,
    )
  if (addsPrimaryKey(definition, source))
    await run(
      sql`alter index ${identifier(schema, shadowIndexName(names, primaryKeyName(definition)))} rename to ${identifier(primaryKeyName(definition))}`,
    )

  for (const { sequence, column } of source.sequences)
    await run(sql`alter sequence ${raw(sequence)} owned by ${identifier(schema, table, column)}`)
  for (const publication of source.publications)
    await run(sql`alter publication ${identifier(publication)} add table ${here}`)
  for (const trigger of source.triggers) await createUserTrigger(connection, here, trigger)
  for (const view of source.views) {
    const options = view.options.length > 0 ? ` with (${view.options.join(', ')})` : ''
    // Replacing keeps a view's owner, its grants and the views on it.
    await run(
      sql`create or replace view ${identifier(view.schema, view.name)}${raw(options)} as ${raw(view.definition)}`,
    )
  }
  await addForeignKeysToChunks(connection, definition, source)
  await fence(connection, here)
  for (const statement of forgetStatements(definition)) await run(raw(statement))
  await connection.query(sql`
    update tidemark.hypertable
    set schema_name = ${schema}::text, table_name = ${table}::text
    where id = ${conversion.hypertableId}::int`)
  await run(raw(catalogStatement(definition)))
  await connection.query(sql`
    delete from tidemark.relation where schema_name = ${schema}::text and relation_name = ${table}::text`)
  await connection.query(sql`
    update tidemark.conversion
    set
      old_table = ${old}::text,
      swap_xid = pg_current_xact_id(),
      foreign_keys = ${JSON.stringify(source.foreignKeys)}::jsonb
    where id = ${conversion.id}::int`)
  await run(
    sql`comment on table ${oldHere} is ${`What ${definition.name} was before it became a hypertable.`}`,
  )
}

/** Whoever altered the table or its triggers meanwhile may have got changes past the queue. */
export async function assertUnchanged(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
): Promise<void> {
  const { rows } = await connection.query(sql`
    select to_regclass(${text(relationName(definition))}::text)::oid`)
  const triggers = await connection.query(sql`
    select count(*)::int4
    from pg_trigger
    where tgrelid = ${conversion.sourceOid}::oid
      and tgname = any(${Object.values(conversionTriggers)}::name[]) and tgenabled = 'A'`)
  const same =
    rows[0]![0] === conversion.sourceOid &&
    (await readShape(connection, conversion.sourceOid)) === conversion.sourceShape &&
    triggers.rows[0]![0] === Object.keys(conversionTriggers).length
  if (same) return
  throw new TidemarkError('TM_MIGRATION', {
    problem: `${definition.name} was altered (its name, columns or triggers) while it was being converted`,
    todo: 'cancel the conversion and start again: tidemark migrate --cancel-conversion',
  })
}

/** Default privileges of the schema may have given the shadow others than the source has. */
async function setGrants(connection: Connection, shadow: Sql, source: Source): Promise<void> {
  const { rows } = await connection.query(sql`select ${text(shadow)}::regclass::oid`)
  const before = await readGrants(connection, rows[0]![0] as number)
  for (const grantee of new Set(before.map((grant) => grant.grantee)))
    await connection.execute(sql`revoke all on table ${shadow} from ${raw(grantee)}`)
  for (const { statement } of source.grants)
    await connection.execute(statement.replace('%table%', () => text(shadow)))
}

/** The new sequence goes on where the old one is. */
async function moveIdentities(
  connection: Connection,
  shadow: Sql,
  source: Sql,
  { columns }: Source,
): Promise<void> {
  for (const column of columns.filter((c) => c.isIdentity)) {
    const { rows } = await connection.query(sql`
      select
        pg_get_serial_sequence(${text(source)}::text, ${column.name}::text),
        pg_get_serial_sequence(${text(shadow)}::text, ${column.name}::text)`)
    const [from, to] = rows[0] as [string, string]
    await connection.execute(
      sql`do ${raw(quoteLiteral(`begin perform pg_catalog.setval(${quoteLiteral(to)}, s.last_value, s.is_called) from ${from} as s; end`).trimStart())}`,
    )
  }
}

async function createUserTrigger(
  connection: Connection,
  table: Sql,
  trigger: Source['triggers'][number],
): Promise<void> {
  await connection.execute(trigger.definition)
  const how = { D: 'disable', A: 'enable always', R: 'enable replica' }[trigger.enabled]
  if (how) await connection.execute(sql`alter table ${table} ${raw(how)} trigger ${identifier(trigger.name)}`)
}

/**
 * On each chunk, not yet validated: a foreign key of the whole would have to look at every row under this lock. New
 * rows are checked from here on; the old ones satisfied the key of the source. See `finishForeignKeys`.
 */
async function addForeignKeysToChunks(
  connection: Connection,
  definition: HypertableDefinition,
  source: Source,
): Promise<void> {
  if (source.foreignKeys.length === 0) return
  for (const chunk of await partitionsOf(connection, definition)) {
    for (const key of source.foreignKeys)
      await connection.execute(
        sql`alter table ${chunk} add constraint ${identifier(key.name)} ${raw(key.definition)} not valid`,
      )
  }
}

export async function partitionsOf(connection: Connection, definition: HypertableDefinition): Promise<Sql[]> {
  const { rows } = await connection.query(sql`
    select n.nspname, c.relname
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where i.inhparent = ${text(relationName(definition))}::regclass
    order by c.oid`)
  return rows.map(([schema, name]) => identifier(schema as string, name as string))
}

/** See tidemark.fence_conversion. */
async function fence(connection: Connection, table: Sql): Promise<void> {
  const { rows } = await connection.query(sql`select pg_current_xact_id()::text`)
  await connection.execute(sql`
    create trigger ${identifier(fenceTrigger)} before insert or update or delete on ${table}
    for each statement execute function tidemark.fence_conversion(${raw(quoteLiteral(rows[0]![0]).trim())});
    alter table only ${table} enable always trigger ${identifier(fenceTrigger)}`)
}
