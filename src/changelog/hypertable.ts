import type { Queryable } from '../postgres/index.ts'
import { type Instant, infinityInstant, minusInfinityInstant, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, type Sql, sql } from '../util/sql.ts'

/** What names a table; every definition is one. */
export interface TableName {
  readonly schema: string
  readonly table: string
}

/** A hypertable as the catalog of this database knows it. */
export interface HypertableRecord extends TableName {
  readonly id: number
  readonly time: string
  readonly tenant: string | null
  readonly maxChunks: number
  readonly cellMicros: bigint
  readonly epoch: bigint
  readonly appendOnly: boolean
}

export function relationSql(table: TableName): Sql {
  return identifier(table.schema, table.table)
}

/**
 * @throws TidemarkError TM_MIGRATION when the table is not (yet) a hypertable in this database.
 */
export async function findHypertable(db: Queryable, table: TableName): Promise<HypertableRecord> {
  const { rows } = await db.query(sql`
    select id, time_column, tenant_column, max_chunks, change_cell_us, epoch, append_only
    from tidemark.hypertable
    where schema_name = ${table.schema}::text and table_name = ${table.table}::text`)
  const row = rows[0]
  if (row === undefined) {
    throw new TidemarkError('TM_MIGRATION', {
      problem: `${table.schema}.${table.table} is no hypertable in this database`,
      todo: 'run `tidemark migrate`',
    })
  }
  const [id, time, tenant, maxChunks, cellMicros, epoch, appendOnly] = row as [
    number,
    string,
    string | null,
    number,
    bigint,
    bigint,
    boolean,
  ]
  return {
    schema: table.schema,
    table: table.table,
    id,
    time,
    tenant,
    maxChunks,
    cellMicros,
    epoch,
    appendOnly,
  }
}

/** An attached partition as PostgreSQL's own catalog has it. */
export interface Partition extends TableName {
  readonly oid: number
  readonly isDefault: boolean
  /** Its bounds; everything for the default partition. */
  readonly range: TimeRange
}

/** Attached partitions in the order of time, the default one last. */
export async function listPartitions(db: Queryable, table: TableName): Promise<Partition[]> {
  const { rows } = await db.query(sql`
    with partition as (
      select
        c.oid,
        n.nspname,
        c.relname,
        c.oid = p.partdefid as is_default,
        -- CASE, so that it is written in a style that is read back as the same time: "IST" is not
        case when set_config('datestyle', 'ISO', true) is not null then pg_get_expr(c.relpartbound, c.oid) end as bound
      from pg_class as t
      join pg_namespace as tn on tn.oid = t.relnamespace
      join pg_partitioned_table as p on p.partrelid = t.oid
      join pg_inherits as i on i.inhparent = t.oid and not i.inhdetachpending
      join pg_class as c on c.oid = i.inhrelid
      join pg_namespace as n on n.oid = c.relnamespace
      where tn.nspname = ${table.schema}::text and t.relname = ${table.table}::text
    )
    select
      oid,
      nspname,
      relname,
      is_default,
      -- MINVALUE and MAXVALUE are no quoted text
      coalesce((regexp_match(bound, 'FROM \\(''([^'']*)''\\)'))[1]::timestamptz, '-infinity') as range_from,
      coalesce((regexp_match(bound, 'TO \\(''([^'']*)''\\)'))[1]::timestamptz, 'infinity') as range_to
    from partition
    order by is_default, range_from`)
  return rows.map((row) => {
    const [oid, schema, name, isDefault, from, to] = row as [
      number,
      string,
      string,
      boolean,
      Instant,
      Instant,
    ]
    return { oid, schema, table: name, isDefault, range: { from, to } }
  })
}

export const allTime: TimeRange = Object.freeze({ from: minusInfinityInstant, to: infinityInstant })
