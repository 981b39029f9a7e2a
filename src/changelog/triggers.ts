import type { Queryable } from '../postgres/index.ts'
import { bucketStart, type Interval, minInstant } from '../time/index.ts'
import { identifier, join, printSqlInline, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import {
  allTime,
  findHypertable,
  type HypertableRecord,
  listPartitions,
  type Partition,
  relationSql,
  type TableName,
} from './hypertable.ts'
import { timestamptzText } from './timestamp.ts'
import { readTriggerState } from './trigger-state.ts'

export interface InstallTriggersOptions {
  /**
   * The table is filled by a logical subscription: adds row triggers, because an apply worker fires no statement
   * triggers. They cost ordinary writes a test of a setting per row. Default: as it is now.
   */
  readonly subscription?: boolean
}

/** The trigger for each row, which a table that a subscription fills has. */
const rowTrigger = 'tidemark_log_row'

/** One trigger as it has to be. */
interface WantedTrigger {
  readonly name: string
  /** From the event to the call. */
  readonly body: Sql
  readonly forEachRow: boolean
}

export interface TriggerProblem {
  /** `schema.table` */
  readonly relation: string
  readonly trigger: string
  /** `disabled` also when it is not ENABLE ALWAYS. */
  readonly problem: 'missing' | 'disabled'
}

/** Width and origin of the cells as SQL. */
interface CellSql {
  readonly width: Sql
  readonly of: (column: Sql) => Sql
}

/**
 * Cells lie as buckets of their width do. The origin is the first border that PostgreSQL can express: date_bin of a
 * time before its origin was one bin off in PostgreSQL 15.0-15.5.
 */
export function cellSql(cellMicros: bigint): CellSql {
  const every: Interval = { kind: 'fixed', micros: cellMicros, text: `${cellMicros} microseconds` }
  const origin = bucketStart({ every, zone: null }, minInstant) + cellMicros
  const width = raw(`interval ${quoteLiteral(every.text)}`)
  const originSql = raw(`timestamptz ${quoteLiteral(timestamptzText(origin))}`)
  return { width, of: (column) => sql`pg_catalog.date_bin(${width}, ${column}, ${originSql})` }
}

function statementFunction(hypertable: HypertableRecord): Sql {
  return identifier('tidemark', `log_change_${hypertable.id}`)
}

function rowFunction(hypertable: HypertableRecord): Sql {
  return identifier('tidemark', `log_row_${hypertable.id}`)
}

function tenantOf(hypertable: HypertableRecord, row: string): Sql {
  return hypertable.tenant === null
    ? raw('null::text')
    : sql`${raw(row)}.${identifier(hypertable.tenant)}::text`
}

/** Static SQL in a function per hypertable: its plans are cached, EXECUTE's would be made for every statement. */
function statementFunctionBody(hypertable: HypertableRecord): string {
  const cell = cellSql(hypertable.cellMicros)
  const cellsOf = (rows: string) =>
    sql`select ${tenantOf(hypertable, 'r')} as tenant, ${cell.of(sql`r.${identifier(hypertable.time)}`)} as cell from ${raw(rows)} as r`
  const collect = (rows: Sql) => sql`
    select pg_catalog.array_agg(touched.tenant), pg_catalog.array_agg(touched.cell)
    into touched_tenants, touched_cells
    from (${rows}) as touched;`
  return printSqlInline(sql`
declare
  touched_tenants text[];
  touched_cells timestamptz[];
begin
  if tg_op = 'INSERT' then${collect(sql`select distinct * from (${cellsOf('new_rows')}) as c`)}
  elsif tg_op = 'DELETE' then${collect(sql`select distinct * from (${cellsOf('old_rows')}) as c`)}
  else${collect(sql`${cellsOf('old_rows')} union ${cellsOf('new_rows')}`)}
  end if;
  perform tidemark.log_cells(${raw(String(hypertable.id))}, 'statement', ${cell.width}, touched_tenants, touched_cells);
  return null;
end;`)
}

function rowFunctionBody(hypertable: HypertableRecord): string {
  const cell = cellSql(hypertable.cellMicros)
  const log = (row: string) => sql`
    perform tidemark.log_row_cell(
      ${raw(String(hypertable.id))}, ${cell.width}, ${tenantOf(hypertable, row)},
      ${cell.of(sql`${raw(row)}.${identifier(hypertable.time)}`)}
    );`
  return printSqlInline(sql`
begin
  if tg_op <> 'INSERT' then${log('old')}
  end if;
  if tg_op <> 'DELETE' then${log('new')}
  end if;
  return null;
end;`)
}

/**
 * Security definer with an empty search_path: whoever may write the table need not be able to write the log, and
 * nobody's search_path decides what a name means. EXECUTE is only checked when a trigger is created, so nobody else
 * gets it.
 */
function createFunctionSql(name: Sql, body: string): Sql {
  return sql`
create or replace function ${name}() returns trigger
language plpgsql
security definer
set search_path = ''
as ${raw(quoteLiteral(body).trimStart())};
revoke all on function ${name}() from public`
}

/** True unless this very transaction said that it logs by itself (tidemark.begin_logged_write). */
function unlessLogged(hypertable: HypertableRecord): Sql {
  return raw(
    `nullif(pg_catalog.current_setting('tidemark.logged_by', true), '') is distinct from ` +
      `(${quoteLiteral(`${hypertable.id}:`)} || pg_catalog.pg_current_xact_id_if_assigned()::text)`,
  )
}

function statementTriggers(hypertable: HypertableRecord, when: Sql | null): WantedTrigger[] {
  const guard = when === null ? raw('') : sql` when (${when})`
  const call = sql`execute function ${statementFunction(hypertable)}()`
  const make = (event: string, tables: string): WantedTrigger => ({
    name: `tidemark_log_${event}`,
    body: sql`${raw(`after ${event}`)} on %on% referencing ${raw(tables)} for each statement${guard} ${call}`,
    forEachRow: false,
  })
  return [
    make('insert', 'new table as new_rows'),
    make('update', 'old table as old_rows new table as new_rows'),
    make('delete', 'old table as old_rows'),
  ]
}

function rangeCall(hypertable: HypertableRecord, range: Partition['range']): Sql {
  const bounds = [range.from, range.to].map((bound) => quoteLiteral(timestamptzText(bound)))
  return raw(
    `execute function tidemark.log_partition_change(${quoteLiteral(hypertable.id)}, ${bounds.join(', ')})`,
  )
}

function parentTriggers(hypertable: HypertableRecord, subscription: boolean): WantedTrigger[] {
  const wanted: WantedTrigger[] = [
    ...statementTriggers(hypertable, null),
    {
      name: 'tidemark_log_truncate',
      body: sql`after truncate on %on% for each statement ${rangeCall(hypertable, allTime)}`,
      forEachRow: false,
    },
  ]
  if (subscription) {
    const isReplica = raw(`pg_catalog.current_setting('session_replication_role') = 'replica'`)
    wanted.push({
      name: rowTrigger,
      body: sql`after insert or update or delete on %on% for each row when (${isReplica}) execute function ${rowFunction(hypertable)}()`,
      forEachRow: true,
    })
  }
  return wanted
}

function partitionTriggers(hypertable: HypertableRecord, partition: Omit<Partition, 'oid'>): WantedTrigger[] {
  const when = unlessLogged(hypertable)
  // The range of the default partition is everything: there the cells of the rows are worth their price.
  if (partition.isDefault) {
    return [
      ...statementTriggers(hypertable, when),
      {
        name: 'tidemark_log_truncate',
        body: sql`after truncate on %on% for each statement when (${when}) ${rangeCall(hypertable, allTime)}`,
        forEachRow: false,
      },
    ]
  }
  return [
    {
      name: 'tidemark_log_partition',
      body: sql`after insert or update or delete or truncate on %on% for each statement when (${when}) ${rangeCall(hypertable, partition.range)}`,
      forEachRow: false,
    },
  ]
}

function createTriggerSql(relation: TableName, trigger: WantedTrigger): Sql {
  const [before, after] = splitAtTable(trigger.body)
  return sql`create or replace trigger ${identifier(trigger.name)} ${before}${relationSql(relation)}${after};
${enableTriggerSql(relation, trigger)}`
}

/** Without ONLY the clones of a row trigger follow. */
function enableTriggerSql(relation: TableName, trigger: WantedTrigger): Sql {
  const only = raw(trigger.forEachRow ? '' : ' only')
  return sql`alter table${only} ${relationSql(relation)} enable always trigger ${identifier(trigger.name)}`
}

/** The body names its table once, as %on%. */
function splitAtTable(body: Sql): readonly [Sql, Sql] {
  const text = printSqlInline(body)
  const at = text.indexOf('%on%')
  return [raw(text.slice(0, at)), raw(text.slice(at + 4))]
}

/** The statements that give a new partition its triggers. For one that nobody else can see yet. */
export function partitionTriggersSql(hypertable: HypertableRecord, partition: Omit<Partition, 'oid'>): Sql {
  return join(
    partitionTriggers(hypertable, partition).map((trigger) => createTriggerSql(partition, trigger)),
    ';\n',
  )
}

/**
 * Gives a hypertable, its default partition and its chunks the triggers that write the change log. Idempotent, and
 * without a lock where nothing is missing: what is there and ENABLE ALWAYS is left alone. Creating a trigger takes
 * SHARE ROW EXCLUSIVE on its table, so give the transaction a lock_timeout. The table must be in the catalog.
 *
 * @example
 * await db.transaction({ lockTimeoutMs: 500 }, (connection) => installTriggers(connection, cpu))
 */
export async function installTriggers(
  connection: Queryable,
  table: TableName,
  options: InstallTriggersOptions = {},
): Promise<void> {
  const hypertable = await findHypertable(connection, table)
  const subscription = options.subscription ?? (await hasRowTrigger(connection, hypertable))
  await ensureFunction(connection, statementFunction(hypertable), statementFunctionBody(hypertable))
  if (subscription) await ensureFunction(connection, rowFunction(hypertable), rowFunctionBody(hypertable))
  for (const { relation, trigger, problem } of await missingTriggers(connection, hypertable, subscription)) {
    // Clones of the parent's row trigger came with it.
    const exists = problem === 'disabled' || (trigger.forEachRow && relation !== hypertable)
    await connection.execute(
      exists ? enableTriggerSql(relation, trigger) : createTriggerSql(relation, trigger),
    )
  }
  if (options.subscription === false) {
    await connection.execute(
      sql`drop trigger if exists ${identifier(rowTrigger)} on ${relationSql(hypertable)}`,
    )
    await connection.execute(sql`drop function if exists ${rowFunction(hypertable)}()`)
  }
}

/** Which triggers of the change log are missing or do not fire always. */
export async function findTriggerProblems(
  connection: Queryable,
  hypertable: HypertableRecord,
): Promise<TriggerProblem[]> {
  const subscription = await hasRowTrigger(connection, hypertable)
  const missing = await missingTriggers(connection, hypertable, subscription)
  return missing.map(({ relation, trigger, problem }) => ({
    relation: `${relation.schema}.${relation.table}`,
    trigger: trigger.name,
    problem,
  }))
}

interface MissingTrigger {
  readonly relation: TableName
  readonly trigger: WantedTrigger
  readonly problem: TriggerProblem['problem']
}

async function missingTriggers(
  connection: Queryable,
  hypertable: HypertableRecord,
  subscription: boolean,
): Promise<MissingTrigger[]> {
  const partitions = await listPartitions(connection, hypertable)
  const wanted = [
    ...parentTriggers(hypertable, subscription).map((trigger) => ({
      relation: hypertable as TableName,
      trigger,
    })),
    ...partitions.flatMap((partition) =>
      [
        ...partitionTriggers(hypertable, partition),
        // clones of the parent's, which can be disabled one by one
        ...(subscription ? parentTriggers(hypertable, true).filter((trigger) => trigger.forEachRow) : []),
      ].map((trigger) => ({ relation: partition as TableName, trigger })),
    ),
  ]
  const { rows } = await connection.query(sql`
    select n.nspname, c.relname, g.tgname, g.tgenabled::text
    from pg_trigger as g
    join pg_class as c on c.oid = g.tgrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where g.tgname like 'tidemark\\_log\\_%'
      and (n.nspname, c.relname) in (
        select * from unnest(
          ${wanted.map(({ relation }) => relation.schema)}::text[],
          ${wanted.map(({ relation }) => relation.table)}::text[]
        )
      )`)
  const enabled = new Map(rows.map(([schema, name, trigger, how]) => [`${schema}.${name}.${trigger}`, how]))
  const result: MissingTrigger[] = []
  for (const { relation, trigger } of wanted) {
    const how = enabled.get(`${relation.schema}.${relation.table}.${trigger.name}`)
    if (how === 'A') continue
    result.push({ relation, trigger, problem: how === undefined ? 'missing' : 'disabled' })
  }
  return result
}

async function hasRowTrigger(connection: Queryable, table: TableName): Promise<boolean> {
  return (await readTriggerState(connection, table, rowTrigger)) !== null
}

/** Replacing a function writes to the catalog: only when its text differs. */
async function ensureFunction(connection: Queryable, name: Sql, body: string): Promise<void> {
  const functionName = printSqlInline(name).split('.')[1]!.replaceAll('"', '')
  const { rows } = await connection.query(sql`
    select p.prosrc
    from pg_proc as p
    join pg_namespace as n on n.oid = p.pronamespace
    where n.nspname = 'tidemark' and p.proname = ${functionName}::text`)
  if (rows[0]?.[0] !== body) await connection.execute(createFunctionSql(name, body))
}
