import type { Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'
import type { Subject } from './context.ts'
import { assertMovable, publishes, refuseFirst } from './obstacles.ts'

/** A unique index, which rows that come into the lake by themselves have to keep, too. */
export interface UniqueKey {
  readonly columns: readonly string[]
  /** Whether a null makes a key unlike every other. */
  readonly nullsDistinct: boolean
}

/**
 * What forbids that rows come into the lake without having been in PostgreSQL: everything that PostgreSQL would do to
 * them, or check, and that nobody else does. Beyond what forbids a freeze.
 *
 * @throws TidemarkError TM_MIGRATION that names what is in the way, and the way out.
 */
export async function assertLoadable(db: Queryable, subject: Subject): Promise<void> {
  const { definition } = subject
  const declared = Object.entries(definition.columns)
  const { rows } = await db.query(sql`
    with relation as (
      select c.oid, c.relnamespace
      from pg_class as c
      where c.oid = format('%I.%I', ${definition.schema}::text, ${definition.table}::text)::regclass
    ),
    declared as (
      select *
      from unnest(
        ${declared.map(([name]) => name)}::text[],
        ${declared.map(([, column]) => column.nullable)}::bool[],
        ${declared.map(([, column]) => (column.precision === null ? null : `numeric(${column.precision},${column.scale ?? 0})`))}::text[]
      ) as d (name, nullable, modified)
    )
    select 'constraint', format('the %s constraint %I', case k.contype when 'c' then 'check' else 'exclusion' end, k.conname)
    from relation as r
    join pg_constraint as k on k.conrelid = r.oid and k.contype in ('c', 'x')
    -- which the import looks at itself
    where pg_get_constraintdef(k.oid) <> format('CHECK (isfinite(%I))', ${definition.time}::text)
    union all
    select 'column', format('the generated column %I', a.attname)
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    where a.attgenerated <> '' or a.attidentity <> ''
    union all
    select 'column', format('the type %s of %I', format_type(a.atttypid, a.atttypmod), a.attname)
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    join declared as d on d.name = a.attname
    where a.atttypmod <> -1 and format_type(a.atttypid, a.atttypmod) is distinct from d.modified
      or a.atttypmod = -1 and d.modified is not null
    union all
    select 'column', format('NOT NULL of %I, which is declared nullable', a.attname)
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    join declared as d on d.name = a.attname
    where a.attnotnull and d.nullable
    union all
    select 'index', format('the unique index %I', x.relname)
    from relation as r
    join pg_index as i on i.indrelid = r.oid and i.indisunique
    join pg_class as x on x.oid = i.indexrelid
    where i.indpred is not null
      or 0 = any (i.indkey::int2[])
      or exists (
        select
        from pg_attribute as a
        where a.attrelid = i.indrelid and a.attnum = any (i.indkey::int2[])
          and a.atttypid in ('jsonb'::regtype, 'text[]'::regtype)
      )
      or exists (
        select from pg_collation as c where c.oid = any (i.indcollation::oid[]) and not c.collisdeterministic
      )
    union all
    select 'trigger', format('the trigger %I', g.tgname)
    from relation as r
    join pg_trigger as g on g.tgrelid = r.oid
    where not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 4 <> 0 and g.tgname not like 'tidemark\\_%'
    union all
    select 'publication', format('the publication %I', p.pubname)
    from relation as r
    join pg_publication as p on p.pubinsert and ${publishes(sql`p`, sql`r`)}
    union all
    select 'right', 'the right to insert, or the policies of its rows,'
    from relation as r
    where not has_table_privilege(r.oid, 'insert') or row_security_active(r.oid)
    order by 1, 2
    limit 1`)
  refuseFirst(rows, (kind, what) => ({
    problem: `rows cannot be imported straight into the lake of ${definition.name}: ${what} ${lacks[kind]}`,
    todo: 'import them without cold, and freeze them',
  }))
  await assertMovable(db, subject, { relation: null })
}

/** By kind: what would be wrong. */
const lacks: Readonly<Record<string, string>> = {
  constraint: 'would not be checked',
  column: 'is what only PostgreSQL keeps',
  index: 'cannot be checked there',
  trigger: 'would not be fired',
  publication: 'would not send them',
  right: 'would be passed over',
}

/** Keys of the unique indexes of the table. */
export async function readUniqueKeys(db: Queryable, { definition }: Subject): Promise<UniqueKey[]> {
  const { rows } = await db.query(sql`
    select
      array(
        select a.attname::text
        from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where k.place <= i.indnkeyatts
        order by k.place
      ),
      not i.indnullsnotdistinct
    from pg_index as i
    where i.indrelid = format('%I.%I', ${definition.schema}::text, ${definition.table}::text)::regclass
      and i.indisunique
    order by i.indexrelid`)
  return rows.map(([columns, nullsDistinct]) => ({
    columns: columns as string[],
    nullsDistinct: nullsDistinct as boolean,
  }))
}
