import { type Connection, type Database, retry } from '../postgres/index.ts'
import {
  bucketStart,
  type Instant,
  infinityInstant,
  minusInfinityInstant,
  type TimeRange,
} from '../time/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
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
import { cellSql, findTriggerProblems, type TriggerProblem } from './triggers.ts'

export interface AuditOptions {
  readonly signal?: AbortSignal | null
}

/** Cells whose rows changed without an entry. */
export interface UnloggedChange {
  readonly range: TimeRange
  /** Net difference in rows: 0 when rows were changed in place. */
  readonly rowDifference: bigint
}

export interface AuditReport {
  /** False for the first audit of a table (or after its cells changed): there was nothing to compare with. */
  readonly compared: boolean
  readonly cells: number
  readonly rows: bigint
  /** What was found; each is logged with source 'audit' now. */
  readonly unlogged: readonly UnloggedChange[]
  /** Triggers that are missing or do not fire always: `installTriggers` repairs them. */
  readonly triggers: readonly TriggerProblem[]
  /** Attached tables that the catalog does not know, and chunks of the catalog that are not attached. */
  readonly partitions: readonly {
    readonly relation: string
    readonly problem: 'not in the catalog' | 'not attached'
  }[]
}

/**
 * Looks for changes that no trigger saw: DISABLE TRIGGER, apply workers without row triggers, DETACH, ATTACH, DROP of a
 * partition, restored or edited files. The rows of each cell are counted and their hashes added up (order-free), and
 * compared with what the last audit saw; a cell that differs, and that no entry since then covers, is logged with source
 * 'audit', so that consumers look again.
 *
 * Cells are read through the table, so moving rows between partitions changes nothing. One REPEATABLE READ
 * transaction for each chunk; costs about 0.6 us a row (hash) over the scan.
 *
 * What it cannot see: a change that equals in PostgreSQL's sense of equality (1.0 to 1.00, -0 to 0), a change that
 * was undone, and an unlogged change in a cell where a write was logged since the audit before.
 *
 * @example
 * const { unlogged } = await auditHypertable(db, cpu)
 */
export async function auditHypertable(
  db: Database,
  table: TableName,
  options: AuditOptions = {},
): Promise<AuditReport> {
  const hypertable = await findHypertable(db, table)
  const known = await listPartitions(db, hypertable)
  const partitions = await findPartitionProblems(db, hypertable, known)
  const triggers = await findTriggerProblems(db, hypertable)
  const signal = options.signal ?? null
  const run = <T>(use: (connection: Connection) => Promise<T>): Promise<T> =>
    retry({ what: `auditing ${hypertable.schema}.${hypertable.table}`, signal }, () =>
      db.transaction({ mode: 'repeatable read', signal }, use),
    )
  const compared = await run((connection) => prepare(connection, hypertable))
  let cells = 0
  let rows = 0n
  let first: string | null = null
  const unlogged: UnloggedChange[] = []
  for (const piece of piecesOf(hypertable, known)) {
    const found = await run((connection) => auditPiece(connection, hypertable, piece, compared))
    cells += found.cells
    rows += found.rows
    unlogged.push(...found.unlogged)
    first ??= found.snapshot
  }
  if (first !== null) {
    const position = first
    await run((connection) => finish(connection, hypertable, position))
  }
  return { compared, cells, rows, unlogged: mergeAdjacent(unlogged), triggers, partitions }
}

function cellStart(hypertable: HypertableRecord, time: Instant): Instant {
  if (time === minusInfinityInstant || time === infinityInstant) return time
  const every = { kind: 'fixed', micros: hypertable.cellMicros, text: '' } as const
  return bucketStart({ every, zone: null }, time)
}

/** All time, cut at the first cell of each chunk, so that a piece reads few partitions. */
function piecesOf(hypertable: HypertableRecord, partitions: readonly Partition[]): TimeRange[] {
  const cuts = new Set<Instant>()
  for (const { isDefault, range } of partitions)
    if (!isDefault) for (const end of [range.from, range.to]) cuts.add(cellStart(hypertable, end))
  const borders = [...cuts]
    .filter((cut) => cut !== minusInfinityInstant && cut !== infinityInstant)
    .sort((a, b) => (a < b ? -1 : 1))
  return [allTime.from, ...borders].map((from, i) => ({ from, to: borders[i] ?? allTime.to }))
}

/** Whether there is an audit of the same database and the same cells; otherwise begins anew. */
async function prepare(connection: Connection, hypertable: HypertableRecord): Promise<boolean> {
  const { rows } = await connection.query(sql`
    select a.position is not null
      and a.cell_us = ${hypertable.cellMicros}::int8
      and (a.system_identifier, a.timeline, a.database_oid)
        is not distinct from (i.system_identifier, i.timeline, i.database_oid)
    from tidemark.change_audit as a, tidemark.change_identity() as i
    where a.hypertable_id = ${hypertable.id}::int`)
  if (rows[0]?.[0] === true) {
    await connection.query(sql`
      update tidemark.change_audit set trimmed_meanwhile = '{}' where hypertable_id = ${hypertable.id}::int`)
    return true
  }
  await connection.execute(sql`
    delete from tidemark.change_audit_cell where hypertable_id = ${raw(String(hypertable.id))};
    delete from tidemark.change_audit where hypertable_id = ${raw(String(hypertable.id))};
    insert into tidemark.change_audit (hypertable_id, cell_us, system_identifier, timeline, database_oid)
    select ${raw(String(hypertable.id))}, ${hypertable.cellMicros}, i.system_identifier, i.timeline, i.database_oid
    from tidemark.change_identity() as i`)
  return false
}

async function finish(connection: Connection, hypertable: HypertableRecord, position: string): Promise<void> {
  // Cells without rows need no record: what is not recorded was empty at the position of the audit.
  await connection.query(sql`
    delete from tidemark.change_audit_cell
    where hypertable_id = ${hypertable.id}::int and row_count = 0`)
  await connection.query(sql`
    update tidemark.change_audit
    set position = ${position}::pg_snapshot, trimmed = trimmed_meanwhile, audited_at = now()
    where hypertable_id = ${hypertable.id}::int`)
}

interface PieceReport {
  readonly cells: number
  readonly rows: bigint
  readonly unlogged: readonly UnloggedChange[]
  readonly snapshot: string
}

/**
 * One piece in one snapshot. `seen` is what the last audit saw of a cell, `now` what is there; a difference is explained
 * by an entry of a write that overlaps the cell and that the cell's position does not see, or whose range was kept by a
 * trim.
 */
async function auditPiece(
  connection: Connection,
  hypertable: HypertableRecord,
  piece: TimeRange,
  compared: boolean,
): Promise<PieceReport> {
  // RLS would make rows look deleted: an error is better.
  await connection.execute('set local row_security = off')
  const id = sql`${hypertable.id}::int`
  const time = identifier(hypertable.time)
  const cell = cellSql(hypertable.cellMicros)
  const rowHash = await rowHashSql(connection, hypertable)
  const { rows } = await connection.query(sql`
    with now as materialized (
      select
        ${cell.of(sql`r.${time}`)} as cell,
        count(*) as row_count,
        sum(${rowHash}::numeric) as row_hash
      from ${relationSql(hypertable)} as r
      where ${inPiece(sql`r.${time}`, piece)}
      group by 1
    ),
    seen as materialized (
      select s.cell, s.row_count, s.row_hash, s.position
      from tidemark.change_audit_cell as s
      where s.hypertable_id = ${id} and ${inPiece(sql`s.cell`, piece)}
    ),
    compared as (
      select
        coalesce(n.cell, s.cell) as cell,
        coalesce(n.row_count, 0) as row_count,
        coalesce(n.row_hash, 0) as row_hash,
        coalesce(s.row_count, 0) as seen_count,
        coalesce(s.row_hash, 0) as seen_hash,
        coalesce(s.position, a.position) as position,
        a.trimmed
      from now as n
      full join seen as s on s.cell = n.cell
      cross join (select position, trimmed from tidemark.change_audit where hypertable_id = ${id}) as a
    ),
    unexplained as materialized (
      select c.cell, c.row_count - c.seen_count as difference
      from compared as c
      where ${raw(compared ? 'true' : 'false')}
        and (c.row_count, c.row_hash) is distinct from (c.seen_count, c.seen_hash)
        and not c.trimmed && tstzrange(c.cell, c.cell + ${cell.width})
        and not exists (
          select
          from tidemark.change_log as l
          where l.hypertable_id = ${id}
            and l.xid >= pg_snapshot_xmin(c.position)
            and not pg_visible_in_snapshot(l.xid, c.position)
            and l.range_from < c.cell + ${cell.width}
            and l.range_to > c.cell
            -- an audit's own entry tells of a change from before the rows that it compared with now: it explains none since
            and l.source <> 'audit'
        )
    ),
    logged as (
      select tidemark.log_cells(
        ${id}, 'audit', ${cell.width}, array_agg(null::text), array_agg(u.cell)
      )
      from unexplained as u
      having count(*) > 0
    ),
    kept as (
      insert into tidemark.change_audit_cell as k (hypertable_id, cell, row_count, row_hash, position)
      select ${id}, c.cell, c.row_count, c.row_hash, pg_current_snapshot()
      from compared as c
      on conflict (hypertable_id, cell) do update
      set row_count = excluded.row_count, row_hash = excluded.row_hash, position = excluded.position
    )
    select
      (select count(*) from now),
      (select coalesce(sum(row_count), 0)::int8 from now),
      array(select cell from unexplained order by cell),
      array(select difference from unexplained order by cell),
      pg_current_snapshot(),
      (select count(*) from logged)`)
  const [cells, count, found, differences, snapshot] = rows[0] as [
    bigint,
    bigint,
    Instant[],
    bigint[],
    string,
  ]
  const unlogged = found.map((from, i) => ({
    range: { from, to: from + hypertable.cellMicros },
    rowDifference: differences[i]!,
  }))
  return { cells: Number(cells), rows: count, unlogged, snapshot }
}

/**
 * Types that PostgreSQL can hash. A table that was there before may have columns of others (json, point, xml), which are
 * hashed by their bytes.
 */
const hashedTypes: readonly string[] = [
  ...[
    'timestamptz',
    'timestamp',
    'date',
    'time',
    'interval',
    'text',
    'varchar',
    'bpchar',
    'name',
    'bytea',
    'uuid',
  ],
  ...['bool', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'jsonb', 'text[]', 'inet'],
]

/**
 * The hash of row `r`: over the columns that hold something, each with a seed of its own. A whole record's hash would
 * change with every column that is added, and with it every cell of the table.
 */
async function rowHashSql(connection: Connection, table: TableName): Promise<Sql> {
  const { rows } = await connection.query(sql`
    select a.attname, a.attnum::int4, a.atttypid = any (${hashedTypes}::regtype[])
    from pg_attribute as a
    where a.attrelid = format('%I.%I', ${table.schema}::text, ${table.table}::text)::regclass
      and a.attnum > 0 and not a.attisdropped
    order by a.attnum`)
  const columns = rows.map(([name, number, isHashed]) => {
    const column = identifier('r', name as string)
    const seed = raw(String(number))
    const hash = isHashed
      ? sql`hash_record_extended(row(${column}), ${seed})`
      : sql`hashtextextended(encode(record_send(row(${column})), 'hex'), ${seed})`
    return sql`case when ${column} is null then 0 else ${hash} end`
  })
  return sql`hashint8extended(${join(columns, ' # ')}, 0)`
}

function inPiece(column: Sql, piece: TimeRange): Sql {
  const conditions = [sql`true`]
  if (piece.from !== minusInfinityInstant)
    conditions.push(sql`${column} >= ${timestamptzText(piece.from)}::timestamptz`)
  if (piece.to !== infinityInstant)
    conditions.push(sql`${column} < ${timestamptzText(piece.to)}::timestamptz`)
  return join(conditions, ' and ')
}

function mergeAdjacent(changes: readonly UnloggedChange[]): UnloggedChange[] {
  const merged: UnloggedChange[] = []
  for (const change of changes) {
    const last = merged.at(-1)
    if (last !== undefined && last.range.to === change.range.from) {
      merged[merged.length - 1] = {
        range: { from: last.range.from, to: change.range.to },
        rowDifference: last.rowDifference + change.rowDifference,
      }
    } else merged.push(change)
  }
  return merged
}

async function findPartitionProblems(
  db: Database,
  hypertable: HypertableRecord,
  partitions: readonly Partition[],
): Promise<AuditReport['partitions']> {
  const { rows } = await db.query(sql`
    select k.relation_name
    from tidemark.chunk as k
    where k.hypertable_id = ${hypertable.id}::int and k.relation_name is not null`)
  const known = new Set(rows.map(([name]) => `tidemark_chunks.${name as string}`))
  const attached = new Set(partitions.filter((p) => !p.isDefault).map((p) => `${p.schema}.${p.table}`))
  return [
    ...[...attached]
      .filter((relation) => !known.has(relation))
      .map((relation) => ({ relation, problem: 'not in the catalog' as const })),
    ...[...known]
      .filter((relation) => !attached.has(relation))
      .map((relation) => ({ relation, problem: 'not attached' as const })),
  ]
}
