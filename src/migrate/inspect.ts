import type { Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'

/** What a table is in the database, read from PostgreSQL's own catalog, in PostgreSQL's own spelling. */
export interface ActualRelation {
  readonly schema: string
  readonly table: string
  /** pg_class.relkind: r table, p partitioned table, v view, m materialized view, f foreign table, … */
  readonly relkind: string
  readonly comment: string | null
  /** PostgreSQL's estimate; null before the first ANALYZE. */
  readonly estimatedRows: number | null
  readonly columns: readonly ActualColumn[]
  readonly indexes: readonly ActualIndex[]
  /** Names of triggers that are ENABLE ALWAYS. */
  readonly alwaysTriggers: readonly string[]
  readonly checks: readonly string[]
}

export interface ActualColumn {
  readonly name: string
  /** As format_type writes it. */
  readonly type: string
  readonly notNull: boolean
  readonly default: string | null
  readonly identity: 'a' | 'd' | ''
  readonly generated: string
  readonly comment: string | null
}

export interface ActualIndex {
  readonly name: string
  readonly isPrimary: boolean
  readonly isUnique: boolean
  readonly isValid: boolean
  /** Its key columns when all are plain columns, else empty. */
  readonly columns: readonly string[]
  /** `unique ` and everything from USING on: equal for indexes that differ only in name and table. */
  readonly signature: string
}

/** By `schema.table`; what does not exist is absent. */
export async function readRelations(
  from: Queryable,
  names: readonly { readonly schema: string; readonly table: string }[],
): Promise<ReadonlyMap<string, ActualRelation>> {
  const { rows } = await from.query(sql`
    with wanted as (
      select c.oid, n.nspname, c.relname, c.relkind, c.reltuples, n.oid = pg_my_temp_schema() as is_temporary
      from unnest(${names.map((n) => n.schema)}::text[], ${names.map((n) => n.table)}::text[]) as w (schema, name)
      join pg_namespace as n on n.nspname = w.schema
      join pg_class as c on c.relnamespace = n.oid and c.relname = w.name
    )
    select
      w.nspname,
      w.relname,
      w.relkind::text,
      obj_description(w.oid, 'pg_class'),
      w.reltuples::float8,
      (
        select coalesce(
          json_agg(
            json_build_object(
              'name', a.attname,
              'type', format_type(a.atttypid, a.atttypmod),
              'notNull', a.attnotnull,
              'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
              'identity', a.attidentity,
              'generated', a.attgenerated,
              'comment', col_description(a.attrelid, a.attnum)
            )
            order by a.attnum
          ),
          '[]'
        )
        from pg_attribute as a
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = w.oid and a.attnum > 0 and not a.attisdropped
      ),
      (
        select coalesce(
          json_agg(
            json_build_object(
              'name', ic.relname,
              'isPrimary', i.indisprimary,
              'isUnique', i.indisunique,
              'isValid', i.indisvalid,
              'columns', case
                when 0 = any (i.indkey::int2[]) then '[]'::json
                else (
                  select json_agg(ka.attname order by k.n)
                  from unnest(i.indkey::int2[]) with ordinality as k (attnum, n)
                  join pg_attribute as ka on ka.attrelid = i.indrelid and ka.attnum = k.attnum
                  where k.n <= i.indnkeyatts
                )
              end,
              'signature',
              case when i.indisunique then 'unique ' else '' end
              || substr(
                pg_get_indexdef(i.indexrelid),
                length(
                  'CREATE ' || case when i.indisunique then 'UNIQUE ' else '' end || 'INDEX '
                  || quote_ident(ic.relname) || ' ON ' || case when w.relkind = 'p' then 'ONLY ' else '' end
                  -- PostgreSQL shows one's own temporary schema under this name
                  || case when w.is_temporary then 'pg_temp' else quote_ident(w.nspname) end || '.' || quote_ident(w.relname) || ' '
                ) + 1
              )
            )
            order by ic.relname
          ),
          '[]'
        )
        from pg_index as i
        join pg_class as ic on ic.oid = i.indexrelid
        where i.indrelid = w.oid
      ),
      (
        select coalesce(array_agg(t.tgname::text), '{}')
        from pg_trigger as t
        where t.tgrelid = w.oid and t.tgenabled = 'A'
      ),
      (
        select coalesce(array_agg(k.conname::text), '{}')
        from pg_constraint as k
        where k.conrelid = w.oid and k.contype = 'c'
      )
    from wanted as w`)
  return new Map(
    rows.map((row) => {
      const [schema, table, relkind, comment, tuples, columns, indexes, alwaysTriggers, checks] = row as [
        string,
        string,
        string,
        string | null,
        number,
        ActualColumn[],
        ActualIndex[],
        string[],
        string[],
      ]
      const estimatedRows = tuples < 0 ? null : tuples
      return [
        `${schema}.${table}`,
        { schema, table, relkind, comment, estimatedRows, columns, indexes, alwaysTriggers, checks },
      ]
    }),
  )
}

/** What the catalog remembers of a declared relation. */
export interface CatalogEntry {
  readonly name: string
  readonly kind: 'table' | 'hypertable' | 'view'
  /** Of a hypertable. */
  readonly id: number | null
  readonly definition: unknown
}

/** Everything that was ever declared here; empty where the catalog has not been made yet. */
export async function readCatalog(from: Queryable): Promise<ReadonlyMap<string, CatalogEntry>> {
  const { rows: found } = await from.query(sql`
    select count(*)::int4
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'tidemark' and c.relname in ('hypertable', 'relation')`)
  if (found[0]![0] !== 2) return new Map()
  const { rows } = await from.query(sql`
    select schema_name || '.' || table_name, 'hypertable', id, definition
    from tidemark.hypertable
    -- what is being converted stands under the name of its shadow
    where schema_name <> 'tidemark_chunks'
    union all
    select schema_name || '.' || relation_name, kind, null, definition from tidemark.relation
    order by 1`)
  return new Map(
    rows.map((row) => {
      const [name, kind, id, definition] = row as [string, CatalogEntry['kind'], number | null, unknown]
      return [name, { name, kind, id, definition }]
    }),
  )
}

/** Hypertables whose conversion has swapped the tables and has still something to clear away. */
export async function readUnfinishedConversions(from: Queryable): Promise<ReadonlySet<string>> {
  const { rows: found } = await from.query(sql`
    select count(*)::int4
    from pg_class as c
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'tidemark' and c.relname = 'conversion'`)
  if (found[0]![0] === 0) return new Set()
  const { rows } = await from.query(sql`
    select schema_name || '.' || table_name from tidemark.conversion where state = 'finishing'`)
  return new Set(rows.map(([name]) => name as string))
}
