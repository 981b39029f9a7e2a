import type { Connection, Queryable } from '../../postgres/index.ts'
import { encodeDefinition, type HypertableDefinition } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { identifier, type Sql, sql } from '../../util/sql.ts'
import { chunkSchema } from '../table-ddl.ts'

/** The states that a conversion goes through, in this order; `cancelled` can be reached from each before the swap. */
export type ConversionState =
  | 'preparing'
  | 'copying'
  | 'indexing'
  | 'catching-up'
  | 'finishing'
  | 'done'
  | 'cancelled'

/** A foreign key of the source, which the new table gets in steps: on each chunk, validated, on the whole. */
export interface CarriedForeignKey {
  readonly name: string
  /** From FOREIGN KEY on. */
  readonly definition: string
  /** Schema and table that it points at. */
  readonly references: readonly [string, string]
}

/** A row of tidemark.conversion. */
export interface Conversion {
  readonly id: number
  readonly schema: string
  readonly table: string
  readonly state: ConversionState
  readonly sourceOid: number
  readonly sourceShape: string
  readonly hypertableId: number | null
  readonly swapXid: bigint | null
  readonly foreignKeys: readonly CarriedForeignKey[]
  readonly oldTable: string | null
  readonly rowsCopied: bigint
}

/** The working tables of a conversion. All but the shadow are gone after the swap; the shadow is the new table. */
export interface ConversionNames {
  readonly source: Sql
  readonly shadow: Sql
  readonly shadowName: { readonly schema: string; readonly table: string }
  readonly queue: Sql
  readonly queueName: string
  readonly log: Sql
  /** On the source, when it has no index that begins with the time. */
  readonly timeIndex: string
}

export function conversionNames(conversion: Pick<Conversion, 'id' | 'schema' | 'table'>): ConversionNames {
  const shadow = `conversion_${conversion.id}`
  return {
    source: identifier(conversion.schema, conversion.table),
    shadow: identifier(chunkSchema, shadow),
    shadowName: { schema: chunkSchema, table: shadow },
    queue: identifier(chunkSchema, `${shadow}_queue`),
    queueName: `${shadow}_queue`,
    log: identifier(chunkSchema, `${shadow}_log`),
    timeIndex: `tidemark_${shadow}_time`,
  }
}

/** The conversion of a table that has begun and not ended. */
export async function findConversion(
  from: Queryable,
  table: { readonly schema: string; readonly table: string },
): Promise<Conversion | null> {
  const { rows } = await from.query(sql`
    select
      id, state, source_oid, source_shape, hypertable_id, swap_xid, foreign_keys, old_table, rows_copied
    from tidemark.conversion
    where schema_name = ${table.schema}::text
      and table_name = ${table.table}::text
      and state not in ('done', 'cancelled')`)
  if (!rows[0]) return null
  const [id, state, sourceOid, sourceShape, hypertableId, swapXid, foreignKeys, oldTable, rowsCopied] =
    rows[0] as [
      number,
      ConversionState,
      number,
      string,
      number | null,
      bigint | null,
      CarriedForeignKey[],
      string | null,
      bigint,
    ]
  return {
    id,
    schema: table.schema,
    table: table.table,
    state,
    sourceOid,
    sourceShape,
    hypertableId,
    swapXid,
    foreignKeys,
    oldTable,
    rowsCopied,
  }
}

export async function insertConversion(
  connection: Connection,
  definition: HypertableDefinition,
  sourceOid: number,
  sourceShape: string,
): Promise<void> {
  await connection.query(sql`
    insert into tidemark.conversion (schema_name, table_name, state, source_oid, source_shape, definition)
    values (
      ${definition.schema}::text, ${definition.table}::text, 'preparing', ${sourceOid}::oid, ${sourceShape}::text,
      ${JSON.stringify(encodeDefinition(definition))}::jsonb
    )`)
}

/** From one state to the next; fails when another process has taken it there, or somewhere else, before. */
export async function advance(
  connection: Connection,
  conversion: Conversion,
  to: ConversionState,
): Promise<void> {
  const { rowCount } = await connection.query(sql`
    update tidemark.conversion
    set
      state = ${to}::text,
      finished_at = case when ${to}::text in ('done', 'cancelled') then now() end
    where id = ${conversion.id}::int and state = ${conversion.state}::text`)
  if (rowCount === 1) return
  throw new TidemarkError('TM_BUSY', {
    what: `converting ${conversion.schema}.${conversion.table}`,
    tries: 1,
    lastProblem: 'another process changed the state of the conversion',
  })
}
