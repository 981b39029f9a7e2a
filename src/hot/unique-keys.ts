import type { Connection } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'

/** What tells rows apart under a unique index. */
export interface UniqueKey {
  readonly columns: readonly string[]
  /** As PostgreSQL writes them in its error. */
  readonly shown: string
}

/**
 * The unique indexes, from the database: the declaration may not know them all.
 *
 * @param changed Only those that hold one of these columns.
 * @throws TidemarkError TM_COLD where one cannot be compared with files.
 */
export async function readUniqueKeys(
  connection: Connection,
  definition: HypertableDefinition,
  changed?: ReadonlySet<string>,
): Promise<UniqueKey[]> {
  const { rows } = await connection.query(sql`
    select
      ic.relname,
      i.indexprs is not null or i.indpred is not null or i.indnullsnotdistinct,
      array(
        select a.attname::text
        from unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
        join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.attnum
        where k.n <= i.indnkeyatts
        order by k.n
      ),
      array(
        select pg_get_indexdef(i.indexrelid, n, false)
        from generate_series(1, i.indnkeyatts::int) as n
        order by n
      )
    from pg_index as i
    join pg_class as c on c.oid = i.indrelid
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_class as ic on ic.oid = i.indexrelid
    where n.nspname = ${definition.schema}::text and c.relname = ${definition.table}::text and i.indisunique
    order by i.indisprimary desc, ic.relname`)
  const keys: UniqueKey[] = []
  for (const [name, isSpecial, columns, shown] of rows as unknown as [
    string,
    boolean,
    string[],
    string[],
  ][]) {
    if (changed !== undefined && !isSpecial && !columns.some((column) => changed.has(column))) continue
    const unsuited = columns.find((column) =>
      /^(jsonb|text\[\])$/.test(definition.columns[column]?.type ?? ''),
    )
    if (isSpecial || unsuited !== undefined) {
      const why =
        unsuited === undefined
          ? 'is over an expression or a part of the rows, or takes nulls for equal'
          : `holds "${unsuited}", which cannot be compared there`
      throw new TidemarkError('TM_COLD', {
        table: definition.name,
        what: `a write under the unique index "${name}", which ${why},`,
        todo: 'thaw the chunk first (tidemark thaw)',
      })
    }
    keys.push({ columns, shown: shown.join(', ') })
  }
  return keys
}
