import type { Connection } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import { identifier, join, sql } from '../../util/sql.ts'
import { columnList, relationName, text } from '../table-ddl.ts'
import { loginPolicy, tenantPolicy } from '../tenant-rows.ts'
import type { Source } from './source.ts'

/**
 * What stands in the way of a conversion, each with the way out; empty when nothing does. Looked for before anything
 * is begun, so that nobody learns of it after hours of copying.
 */
export async function findBlockers(
  connection: Connection,
  definition: HypertableDefinition,
  source: Source,
): Promise<string[]> {
  return [
    ...(await findCatalogBlockers(connection, definition, source)),
    ...(await rowBlockers(connection, definition, source)),
  ]
}

/** Those that can be looked for again under the lock of the swap: none of them reads rows of the source. */
export async function findCatalogBlockers(
  connection: Connection,
  definition: HypertableDefinition,
  source: Source,
): Promise<string[]> {
  return [
    ...(await structuralBlockers(connection, definition, source)),
    ...(await dependentBlockers(connection, source)),
  ]
}

async function structuralBlockers(
  connection: Connection,
  definition: HypertableDefinition,
  source: Source,
): Promise<string[]> {
  const table = text(relationName(definition))
  const { rows } = await connection.query(sql`
    with source as (select * from pg_class where oid = ${source.oid}::oid)
    select 'the conversion has to be run by its owner ' || c.relowner::regrole || ' or a member of that role'
    from source as c where not pg_has_role(c.relowner, 'usage')
    union all
    select 'it is not an ordinary table' from source as c where c.relkind <> 'r'
    union all
    select 'it is ' || case c.relpersistence when 'u' then 'unlogged: alter table ' || ${table}::text || ' set logged' else 'temporary' end
    from source as c where c.relpersistence <> 'p'
    union all
    select 'it is a partition or inherits from ' || i.inhparent::regclass
    from pg_inherits as i where i.inhrelid = ${source.oid}::oid
    union all
    select i.inhrelid::regclass || ' inherits from it'
    from pg_inherits as i where i.inhparent = ${source.oid}::oid
    union all
    select 'it is a typed table' from source as c where c.reloftype <> 0
    union all
    select 'row-level security is enabled: its policies would not hold on partitions; drop them and declare a tenant'
    from source as c
    where (c.relrowsecurity or c.relforcerowsecurity) and not (
      ${definition.tenant !== null}::bool
      and exists (select from pg_policy as p where p.polrelid = c.oid and p.polname = ${tenantPolicy}::name)
    )
    union all
    select format('it has the policy "%s"; drop it', polname)
    from pg_policy
    where polrelid = ${source.oid}::oid
      and not (${definition.tenant !== null}::bool and polname in (${tenantPolicy}::name, ${loginPolicy}::name))
    union all
    select format('it has the rule "%s"; drop it', rulename) from pg_rewrite where ev_class = ${source.oid}::oid
    union all
    select 'its replica identity is not the default one: alter table ' || ${table}::text || ' replica identity default'
    from source as c where c.relreplident <> 'd'
    union all
    select format(
      'the foreign key "%s" of %s points at it, and could only point at a hypertable with the time column: '
      'alter table %s drop constraint %I', k.conname, k.conrelid::regclass, k.conrelid::regclass, k.conname
    )
    from pg_constraint as k where k.confrelid = ${source.oid}::oid and k.contype = 'f'
    union all
    select format('the constraint "%s" is not validated: alter table %s validate constraint %I', conname, ${table}::text, conname)
    from pg_constraint where conrelid = ${source.oid}::oid and not convalidated
    union all
    select format('the check "%s" is NO INHERIT, which no partitioned table can have', conname)
    from pg_constraint where conrelid = ${source.oid}::oid and contype = 'c' and connoinherit
    union all
    select format('the exclusion constraint "%s" cannot be kept across chunks; drop it', conname)
    from pg_constraint where conrelid = ${source.oid}::oid and contype = 'x'
    union all
    select format(
      'the unique index "%s" does not hold the time column, and cannot be kept across chunks: %s',
      ic.relname,
      coalesce(
        format('alter table %s drop constraint %I', ${table}::text, k.conname),
        format('drop index concurrently %s', i.indexrelid::regclass)
      )
    )
    from pg_index as i
    join pg_class as ic on ic.oid = i.indexrelid
    left join pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = i.indrelid and k.contype in ('p', 'u')
    where i.indrelid = ${source.oid}::oid and i.indisunique
      and not exists (
        select
        from unnest(i.indkey::int2[]) with ordinality as key (attnum, n)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = key.attnum
        where key.n <= i.indnkeyatts and a.attname = ${definition.time}::name
      )
    union all
    select format('the index "%s" is not valid; drop it', indexrelid::regclass)
    from pg_index where indrelid = ${source.oid}::oid and not indisvalid
    union all
    select format('the trigger "%s" is a constraint trigger, which no partitioned table can have', tgname)
    from pg_trigger where tgrelid = ${source.oid}::oid and not tgisinternal and tgconstraint <> 0
    union all
    select format('the column "%s" is a virtual generated one, which a partition key table cannot carry here', attname)
    from pg_attribute where attrelid = ${source.oid}::oid and attgenerated = 'v' and not attisdropped
    union all
    select format('it has a column "%s", a name that the conversion needs', attname)
    from pg_attribute where attrelid = ${source.oid}::oid and attname in ('tidemark_xid', 'tidemark_sign') and not attisdropped
    union all
    select format('the publication "%s" publishes %s, and would publish every row again', p.pubname,
      case when p.puballtables then 'all tables' else 'its schema' end)
    from pg_publication as p
    where (p.puballtables and p.pubinsert)
      or exists (
        select from pg_publication_namespace as pn
        where pn.pnpubid = p.oid
          and pn.pnnspid in ((select relnamespace from source), 'tidemark_chunks'::regnamespace)
      )
    union all
    select format(
      'the publication "%s" does not publish through the root: alter publication %I set (publish_via_partition_root = true)',
      p.pubname, p.pubname
    )
    from pg_publication_rel as r join pg_publication as p on p.oid = r.prpubid
    where r.prrelid = ${source.oid}::oid and not p.pubviaroot
    union all
    select format('the publication "%s" filters its rows or columns; take it out before', p.pubname)
    from pg_publication_rel as r join pg_publication as p on p.oid = r.prpubid
    where r.prrelid = ${source.oid}::oid and (r.prqual is not null or r.prattrs is not null)
    union all
    select 'a logical subscription fills it, and would go on to fill the old table'
    from pg_subscription_rel where srrelid = ${source.oid}::oid
    union all
    select 'others use the function ' || p.oid::regprocedure || ' whose body is bound to it; write the body as a text'
    from pg_depend as d join pg_proc as p on p.oid = d.objid
    where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = ${source.oid}::oid`)
  return rows.map(([problem]) => problem as string)
}

/** Everything else that PostgreSQL knows to depend on the table or on its row type. */
async function dependentBlockers(connection: Connection, source: Source): Promise<string[]> {
  const { rows } = await connection.query(sql`
    select distinct pg_describe_object(d.classid, d.objid, d.objsubid) || ' depends on it'
    from pg_depend as d
    join pg_class as c on c.oid = ${source.oid}::oid
    where (
        (d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid)
        or (
          d.refclassid = 'pg_type'::regclass
          and d.refobjid in (c.reltype, (select typarray from pg_type where oid = c.reltype))
        )
      )
      and d.deptype in ('n', 'a')
      and not (
        -- what is carried, or goes with the table, or is reported above
        (d.classid = 'pg_class'::regclass and d.objid in (select indexrelid from pg_index where indrelid = c.oid))
        or (d.classid = 'pg_class'::regclass and d.deptype = 'a' and d.objid in (select oid from pg_class where relkind = 'S'))
        or d.classid in (
          'pg_attrdef'::regclass, 'pg_trigger'::regclass, 'pg_proc'::regclass, 'pg_statistic_ext'::regclass,
          'pg_publication_rel'::regclass, 'pg_policy'::regclass
        )
        or (d.classid = 'pg_constraint'::regclass and d.objid in (
          select oid from pg_constraint where conrelid = c.oid or confrelid = c.oid
        ))
        or (d.classid = 'pg_rewrite'::regclass and d.objid in (
          select r.oid from pg_rewrite as r join pg_class as v on v.oid = r.ev_class where v.relkind = 'v'
        ))
      )`)
  return rows.map(([problem]) => problem as string)
}

async function rowBlockers(
  connection: Connection,
  definition: HypertableDefinition,
  source: Source,
): Promise<string[]> {
  const table = relationName(definition)
  const time = identifier(definition.time)
  const problems: string[] = []
  const { rows } = await connection.query(sql`
    select count(*), (array_agg(left(s::text, 200)))[1:3]
    from (select * from ${table} where ${time} is null or not isfinite(${time})) as s`)
  const [count, examples] = rows[0] as [bigint, string[] | null]
  if (count > 0n)
    problems.push(
      `${count} rows have no place in time ("${definition.time}" is null or infinite); for example ${examples!.join(' and ')}`,
    )
  const key = definition.primaryKey
  if (key && !source.indexes.some((index) => index.constraint?.startsWith('PRIMARY KEY'))) {
    const again = await connection.query(sql`
      select array_agg(k)
      from (
        select left(row(${columnList(key)})::text, 200) as k
        from ${table}
        group by ${columnList(key)}
        having count(*) > 1
        limit 3
      ) as s`)
    const found = again.rows[0]![0] as string[] | null
    if (found)
      problems.push(
        `rows have the same declared primary key (${key.join(', ')}); for example ${found.join(' and ')}`,
      )
    const empty = await connection.query(sql`
      select count(*) from ${table}
      where ${join(
        key.map((column) => sql`${identifier(column)} is null`),
        ' or ',
      )}`)
    if ((empty.rows[0]![0] as bigint) > 0n)
      problems.push(`${empty.rows[0]![0]} rows have null in the declared primary key (${key.join(', ')})`)
  }
  return problems
}
