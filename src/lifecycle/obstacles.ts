import { publicationOfInserts } from '../hot/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type Sql, sql } from '../util/sql.ts'
import { type ChunkFile, type ChunkRecord, partitionOf } from './chunk-record.ts'
import type { Subject } from './context.ts'

/**
 * What forbids that rows of a table leave PostgreSQL. Looked at before the export, and again under the lock of the flip,
 * which keeps out whoever would add such a thing to the partition (a foreign key, a rule: SHARE ROW EXCLUSIVE and more).
 *
 * @throws TidemarkError TM_MIGRATION that names what is in the way, and the way out.
 */
export async function assertMovable(
  db: Queryable,
  subject: Subject,
  chunk: Pick<ChunkRecord, 'relation'>,
): Promise<void> {
  const { definition } = subject
  const partition = partitionOf(chunk)
  const relations = [definition, ...(partition === null ? [] : [partition])]
  const schemas = relations.map((relation) => relation.schema)
  const tables = relations.map((relation) => relation.table)
  const declared = Object.entries(definition.columns).map(([name, column]) => [name, column.type] as const)
  const { rows } = await db.query(sql`
    with relation as (
      select c.oid, c.relhasrules, n.nspname || '.' || c.relname as name
      from unnest(${schemas}::text[], ${tables}::text[]) as r (schema_name, table_name)
      join pg_namespace as n on n.nspname = r.schema_name
      join pg_class as c on c.relnamespace = n.oid and c.relname = r.table_name
    ),
    declared as (
      select * from unnest(${declared.map(([name]) => name)}::text[], ${declared.map(([, type]) => type)}::text[]) as d (name, type)
    )
    select 'key', format('the foreign key %I of %s', k.conname, k.conrelid::regclass), k.conname
    from pg_constraint as k
    where k.contype = 'f' and k.conparentid = 0
      and (k.confrelid in (select oid from relation) or k.conrelid in (select oid from relation))
    union all
    select 'rule', format('the rule %I of %s', w.rulename, r.name), w.rulename
    from relation as r
    join pg_rewrite as w on w.ev_class = r.oid
    where r.relhasrules
    union all
    select 'column', format('the column %I of %s, which is not declared as it is there', a.attname, r.name), a.attname
    from relation as r
    join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join declared as d on d.name = a.attname
    where d.name is null
      -- varchar is text on the wire
      or (a.atttypid <> d.type::regtype and (a.atttypid, d.type) <> ('varchar'::regtype, 'text'))
    union all
    select 'column', format('the declared column %I, which %s does not have', d.name, r.name), d.name
    from relation as r
    cross join declared as d
    where not exists (
      select from pg_attribute as a where a.attrelid = r.oid and a.attname = d.name and not a.attisdropped
    )
    union all
    select 'subscription', format('a subscription fills %s', r.name), r.name
    from relation as r
    join pg_subscription_rel as s on s.srrelid = r.oid
    where not ${definition.appendOnly}::bool
    union all
    select 'publication', format('the publication %I sends deletes of %s', p.pubname, r.name), p.pubname
    from relation as r
    join pg_publication as p on p.pubdelete and ${publishes(sql`p`, sql`r`)}
    order by 1, 2
    limit 1`)
  refuseFirst(rows, (kind, what, name) => ({
    problem: `rows of ${definition.name} cannot go to the lake: ${what}`,
    todo: todos[kind]!(name),
  }))
}

/**
 * The first row of `kind, what, name` as an error.
 *
 * @throws TidemarkError TM_MIGRATION
 */
export function refuseFirst(
  rows: readonly (readonly unknown[])[],
  explain: (kind: string, what: string, name: string) => { readonly problem: string; readonly todo: string },
): void {
  const row = rows[0]
  if (row !== undefined)
    throw new TidemarkError('TM_MIGRATION', explain(...(row as [string, string, string])))
}

/** Whether a publication sends changes of a relation: by its name, its schema, or because it sends everything. */
export function publishes(publication: Sql, relation: Sql): Sql {
  return sql`(
    ${publication}.puballtables
    or exists (
      select from pg_publication_rel as t where t.prpubid = ${publication}.oid and t.prrelid = ${relation}.oid
    )
    or exists (
      select
      from pg_publication_namespace as s
      join pg_class as c on c.relnamespace = s.pnnspid
      where s.pnpubid = ${publication}.oid and c.oid = ${relation}.oid
    )
  )`
}

/** By kind of an obstacle and its name. */
const todos: Readonly<Record<string, (name: string) => string>> = {
  key: () =>
    'PostgreSQL cannot check a key whose rows are in the lake: drop it, or declare the table without freeze',
  rule: () => 'a rule would see the move as a deletion: drop it',
  column: () => 'run `tidemark migrate`, or declare the column: what is not declared would be lost',
  subscription: () =>
    'an update or delete that arrives for a row in the lake would be skipped in silence: declare the table ' +
    'appendOnly, or without freeze',
  publication: (name) =>
    'its subscribers would delete what moves: ' +
    `alter publication "${name.replaceAll('"', '""')}" set (publish = 'insert, update')`,
}

/**
 * Whether the partition is where the catalog says. Under a lock of the partition.
 *
 * @throws TidemarkError TM_MIGRATION when somebody detached it by hand.
 */
export async function assertAttached(db: Queryable, subject: Subject, chunk: ChunkRecord): Promise<void> {
  const partition = partitionOf(chunk)
  if (partition === null) return
  const { definition } = subject
  const { rows } = await db.query(sql`
    select c.oid
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_inherits as i on i.inhrelid = c.oid and not i.inhdetachpending
    where n.nspname = ${partition.schema}::text and c.relname = ${partition.table}::text
      and i.inhparent = format('%I.%I', ${definition.schema}::text, ${definition.table}::text)::regclass`)
  if (rows.length === 1) return
  throw new TidemarkError('TM_MIGRATION', {
    problem: `${partition.schema}.${partition.table} is not attached to ${definition.name}`,
    todo: 'it was detached by hand: attach it again, or take the chunk out of tidemark.chunk',
  })
}

/**
 * Rows that come back into PostgreSQL are inserted, and a publication sends what is inserted: subscribers, who have kept
 * their copy, would have each row twice, or stop at the duplicate key.
 *
 * @throws TidemarkError TM_MIGRATION that names the publication.
 */
export async function assertNotPublished(db: Queryable, subject: Subject, chunk: ChunkRecord): Promise<void> {
  const { definition } = subject
  const publication = await publicationOfInserts(db, definition, partitionOf(chunk) ?? definition)
  if (publication === null) return
  throw new TidemarkError('TM_MIGRATION', {
    problem: `the publication "${publication}" would send rows of ${definition.name} that come back from the lake as new ones`,
    todo: 'take the table out of the publication, thaw, and add it again',
  })
}

/**
 * A process that was started with an older declaration does not know columns that a newer one has put into files: in rows that it takes
 * back they would be empty. Columns that the table has no longer do not matter.
 *
 * @throws TidemarkError TM_MIGRATION that names the column.
 */
export async function assertComesBackWhole(
  db: Queryable,
  { definition }: Subject,
  files: readonly Pick<ChunkFile, 'layout'>[],
): Promise<void> {
  const unknown = new Set(
    files
      .flatMap(({ layout }) => Object.keys(layout.columns))
      .filter((name) => !Object.hasOwn(definition.columns, name)),
  )
  if (unknown.size === 0) return
  const { rows } = await db.query(sql`
    select a.attname
    from pg_attribute as a
    where a.attrelid = format('%I.%I', ${definition.schema}::text, ${definition.table}::text)::regclass
      and a.attname = any (${[...unknown]}::text[]) and a.attnum > 0 and not a.attisdropped
    order by a.attnum
    limit 1`)
  if (rows.length === 0) return
  throw new TidemarkError('TM_MIGRATION', {
    problem: `rows of ${definition.name} cannot come back from the lake: the column "${rows[0]![0] as string}" is not declared`,
    todo: 'declare it, or start this process anew with the newest declaration: what is not declared would be lost',
  })
}
