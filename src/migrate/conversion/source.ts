import type { Connection } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { identifier, join, type Sql, sql } from '../../util/sql.ts'
import { relationName, text } from '../table-ddl.ts'
import type { CarriedForeignKey } from './record.ts'

/** A column of the source, declared or not. All are carried. */
export interface SourceColumn {
  readonly name: string
  /** Computed by PostgreSQL: read and compared, never written. */
  readonly isGenerated: boolean
  readonly isIdentity: boolean
}

export interface SourceIndex {
  readonly name: string
  /** From USING on. */
  readonly body: string
  readonly isUnique: boolean
  /** The constraint that it stands for: its definition, or null. */
  readonly constraint: string | null
  readonly beginsWithTime: boolean
}

export interface SourceTrigger {
  readonly name: string
  readonly definition: string
  readonly enabled: string
}

export interface SourceView {
  readonly schema: string
  readonly name: string
  readonly definition: string
  readonly options: readonly string[]
}

export interface Grant {
  /** As it is written in SQL. */
  readonly grantee: string
  /** GRANT … on table %table% … */
  readonly statement: string
}

/** Everything of the source that the new table has to have as well. */
export interface Source {
  readonly oid: number
  readonly owner: string
  readonly comment: string | null
  readonly estimatedRows: number
  readonly columns: readonly SourceColumn[]
  /** Changes with every change of the columns. */
  readonly shape: string
  readonly indexes: readonly SourceIndex[]
  readonly triggers: readonly SourceTrigger[]
  readonly views: readonly SourceView[]
  readonly foreignKeys: readonly CarriedForeignKey[]
  readonly grants: readonly Grant[]
  /** Sequences of serial columns. */
  readonly sequences: readonly { readonly sequence: string; readonly column: string }[]
  /** Publications that name the table and publish through the root. */
  readonly publications: readonly string[]
}

/** The order is the table's; lists of columns on both sides of a copy are made from it. */
export function columnsSql(columns: readonly SourceColumn[], alias?: string): Sql {
  return join(
    columns.map((c) => (alias === undefined ? identifier(c.name) : identifier(alias, c.name))),
    ', ',
  )
}

export function writable(columns: readonly SourceColumn[]): readonly SourceColumn[] {
  return columns.filter((c) => !c.isGenerated)
}

/** The shape alone, of a relation that is addressed by its oid. */
export async function readShape(connection: Connection, oid: number): Promise<string | null> {
  const { rows } = await connection.query(sql`
    select string_agg(
      format(
        '%I %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod),
        case when a.attnotnull then ' not null' end,
        case when a.attgenerated <> '' then ' generated' end
      ),
      ', ' order by a.attnum
    )
    from pg_attribute as a
    where a.attrelid = ${oid}::oid and a.attnum > 0 and not a.attisdropped`)
  return rows[0]![0] as string | null
}

export async function readSource(connection: Connection, definition: HypertableDefinition): Promise<Source> {
  const name = text(relationName(definition))
  const head = await connection.query(sql`
    select c.oid, c.relowner::regrole::text, obj_description(c.oid, 'pg_class'), greatest(c.reltuples, 0)::float8
    from pg_class as c
    where c.oid = to_regclass(${name}::text)`)
  if (!head.rows[0])
    throw new TidemarkError('TM_MIGRATION', {
      problem: `there is no table ${definition.name} to convert`,
      todo: 'run `tidemark migrate`, which creates it as a hypertable',
    })
  const [oid, owner, comment, estimatedRows] = head.rows[0] as [number, string, string | null, number]
  const ask = async <T>(statement: Sql): Promise<T[]> => (await connection.query(statement)).rows as T[]

  const columns = await ask<[string, boolean, boolean]>(sql`
    select attname, attgenerated <> '', attidentity <> ''
    from pg_attribute
    where attrelid = ${oid}::oid and attnum > 0 and not attisdropped
    order by attnum`)
  const indexes = await ask<[string, string, boolean, string | null, boolean]>(sql`
    select
      ic.relname,
      substr(
        pg_get_indexdef(i.indexrelid),
        length(
          'CREATE ' || case when i.indisunique then 'UNIQUE ' else '' end || 'INDEX ' || quote_ident(ic.relname)
          || ' ON ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname) || ' '
        ) + 1
      ),
      i.indisunique,
      pg_get_constraintdef(k.oid),
      a.attname is not distinct from ${definition.time}::name and i.indpred is null and am.amname = 'btree'
    from pg_index as i
    join pg_class as ic on ic.oid = i.indexrelid
    join pg_am as am on am.oid = ic.relam
    join pg_class as c on c.oid = i.indrelid
    join pg_namespace as n on n.oid = c.relnamespace
    left join pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = c.oid and k.contype in ('p', 'u', 'x')
    left join pg_attribute as a on a.attrelid = c.oid and a.attnum = i.indkey[0] and a.attnum > 0
    where c.oid = ${oid}::oid and i.indisvalid and ic.relname not like 'tidemark\\_conversion\\_%'
    order by ic.relname`)
  const triggers = await ask<[string, string, string]>(sql`
    select tgname, pg_get_triggerdef(oid), tgenabled::text
    from pg_trigger
    where tgrelid = ${oid}::oid and not tgisinternal and tgname not like 'tidemark\\_conversion\\_%'
      and tgname not like 'tidemark\\_note\\_%'
    order by tgname`)
  const views = await ask<[string, string, string, string[] | null]>(sql`
    select distinct n.nspname::text, v.relname::text, pg_get_viewdef(v.oid), v.reloptions
    from pg_depend as d
    join pg_rewrite as r on r.oid = d.objid
    join pg_class as v on v.oid = r.ev_class
    join pg_namespace as n on n.oid = v.relnamespace
    where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = ${oid}::oid
      and v.relkind = 'v'
    order by 1, 2`)
  const foreignKeys = await ask<[string, string, string, string]>(sql`
    select k.conname, pg_get_constraintdef(k.oid), n.nspname, c.relname
    from pg_constraint as k
    join pg_class as c on c.oid = k.confrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where k.conrelid = ${oid}::oid and k.contype = 'f'
    order by k.conname`)
  const sequences = await ask<[string, string]>(sql`
    select s.oid::regclass::text, a.attname
    from pg_depend as d
    join pg_class as s on s.oid = d.objid and s.relkind = 'S'
    join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
      and d.refobjid = ${oid}::oid and d.deptype = 'a'
    order by 2`)
  const publications = await ask<[string]>(sql`
    select p.pubname
    from pg_publication_rel as r
    join pg_publication as p on p.oid = r.prpubid
    where r.prrelid = ${oid}::oid
    order by 1`)
  return {
    oid,
    owner,
    comment,
    estimatedRows,
    columns: columns.map(([column, isGenerated, isIdentity]) => ({ name: column, isGenerated, isIdentity })),
    shape: (await readShape(connection, oid)) ?? '',
    indexes: indexes.map(([index, body, isUnique, constraint, beginsWithTime]) => ({
      name: index,
      body,
      isUnique,
      constraint,
      beginsWithTime,
    })),
    triggers: triggers.map(([trigger, def, enabled]) => ({ name: trigger, definition: def, enabled })),
    views: views.map(([schema, view, def, options]) => ({
      schema,
      name: view,
      definition: def,
      options: options ?? [],
    })),
    foreignKeys: foreignKeys.map(([key, def, schema, table]) => ({
      name: key,
      definition: def,
      references: [schema, table],
    })),
    grants: await readGrants(connection, oid),
    sequences: sequences.map(([sequence, column]) => ({ sequence, column })),
    publications: publications.map(([publication]) => publication),
  }
}

/** All privileges that others than the owner have, also on single columns. */
export async function readGrants(connection: Connection, oid: number): Promise<Grant[]> {
  const { rows } = await connection.query(sql`
    select
      case when a.grantee = 0 then 'public' else a.grantee::regrole::text end,
      format(
        'grant %s%s on table %%table%% to %s%s',
        a.privilege_type,
        case when x.attname is not null then format(' (%I)', x.attname) end,
        case when a.grantee = 0 then 'public' else a.grantee::regrole::text end,
        case when a.is_grantable then ' with grant option' else '' end
      )
    from (
      select null::name as attname, relacl as acl from pg_class where oid = ${oid}::oid
      union all
      select attname, attacl from pg_attribute where attrelid = ${oid}::oid and attnum > 0 and not attisdropped
    ) as x
    cross join lateral aclexplode(x.acl) as a
    where a.grantee <> (select relowner from pg_class where oid = ${oid}::oid)
    order by 2`)
  return rows.map(([grantee, statement]) => ({
    grantee: grantee as string,
    statement: statement as string,
  }))
}
