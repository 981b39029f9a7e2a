import { timestamptzText } from '../../changelog/index.ts'
import type { Connection, Database } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import type { Instant, TimeRange } from '../../time/index.ts'
import { identifier, printSqlInline, quoteLiteral, raw, type Sql, sql } from '../../util/sql.ts'
import { beginRowMove } from '../append-only.ts'
import { type Conversion, conversionNames } from './record.ts'
import { chunkRange, ensureChunks, imageSql } from './shadow.ts'
import { columnsSql, type Source, writable } from './source.ts'

/**
 * The queue and the triggers that fill it. CREATE TRIGGER takes SHARE ROW EXCLUSIVE, which waits for every
 * transaction that has written to the source and keeps new writers out until this one commits. So each change is
 * either committed before, and seen by every later snapshot, or in the queue; nothing is in between.
 *
 * Statement triggers with transition tables see COPY, both kinds of upsert, MERGE and cascades. An apply worker fires
 * only row triggers: a table that a subscription fills is refused before.
 */
export async function createQueue(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
): Promise<void> {
  const names = conversionNames(conversion)
  const columns = columnsSql(source.columns)
  const log = (sign: string, rows: string) =>
    sql`insert into ${names.queue} (${columns}, tidemark_sign) select ${columns}, ${raw(sign)} from ${raw(rows)};`
  const body = printSqlInline(sql`
begin
  if tg_op <> 'INSERT' then
    ${log('-1', 'tidemark_old')}
  end if;
  if tg_op <> 'DELETE' then
    ${log('1', 'tidemark_new')}
  end if;
  return null;
end;`)
  // Security definer: whoever may write the source need not be able to write the queue.
  await connection.execute(sql`
    create table ${names.queue} (
      like ${names.source},
      tidemark_xid xid8 not null default pg_current_xact_id(),
      tidemark_sign int2 not null
    );
    create index on ${names.queue} (${identifier(definition.time)});
    create function ${names.log}() returns trigger
    language plpgsql security definer set search_path = ''
    as ${raw(quoteLiteral(body).trimStart())};
    revoke all on function ${names.log}() from public`)
  // NOT NULL of the source is copied, but a null has to reach the queue in any case.
  for (const { name } of source.columns)
    await connection.execute(sql`alter table ${names.queue} alter column ${identifier(name)} drop not null`)
  await connection.execute(triggerStatements(conversion).join(';\n'))
}

export const conversionTriggers = Object.freeze({
  insert: 'tidemark_conversion_insert',
  update: 'tidemark_conversion_update',
  delete: 'tidemark_conversion_delete',
  truncate: 'tidemark_conversion_truncate',
})

function triggerStatements(conversion: Conversion): string[] {
  const { source, log } = conversionNames(conversion)
  const transitions = {
    insert: 'new table as tidemark_new',
    update: 'old table as tidemark_old new table as tidemark_new',
    delete: 'old table as tidemark_old',
  } as const
  const statements = (['insert', 'update', 'delete'] as const).map(
    (event) => sql`create trigger ${identifier(conversionTriggers[event])} after ${raw(event)} on ${source}
referencing ${raw(transitions[event])} for each statement execute function ${log}()`,
  )
  statements.push(
    sql`create trigger ${identifier(conversionTriggers.truncate)} before truncate on ${source}
for each statement execute function tidemark.refuse_truncate()`,
  )
  for (const trigger of Object.values(conversionTriggers))
    statements.push(sql`alter table ${source} enable always trigger ${identifier(trigger)}`)
  return statements.map(printSqlInline)
}

/** A slice of the queue by time: all of a row's entries lie in the same one. Both ends belong to it. */
interface Slice {
  readonly from: Instant
  readonly to: Instant
}

export interface CatchUp {
  /** Entries that were taken from the queue. */
  readonly entries: bigint
}

/**
 * Takes what has been committed from the queue to the shadow, in slices of about `batchRows` entries, each in one
 * transaction. Run again until little is left.
 */
export async function catchUp(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
  batchRows: number,
  run: (attempt: () => Promise<void>) => Promise<void>,
): Promise<CatchUp> {
  let entries = 0n
  let after: Instant | null = null
  for (;;) {
    const slice: Slice | null = await nextSlice(connection, conversion, definition, after, batchRows)
    if (!slice) return { entries }
    await run(async () => {
      entries += await applySlice(connection, conversion, definition, source, slice)
    })
    after = slice.to
  }
}

async function nextSlice(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
  after: Instant | null,
  batchRows: number,
): Promise<Slice | null> {
  const { queue } = conversionNames(conversion)
  const time = identifier(definition.time)
  const lower = after === null ? raw('') : sql` and ${time} > ${timestamptzText(after)}::timestamptz`
  // Rows without a place in time are left: they are looked for before the swap.
  const { rows } = await connection.query(sql`
    select min(t), max(t)
    from (
      select ${time} as t
      from ${queue}
      where isfinite(${time})${lower}
      order by ${time}
      limit ${batchRows}::int8
    ) as s`)
  const [from, to] = rows[0] as [Instant | null, Instant | null]
  return from === null || to === null ? null : { from, to }
}

/**
 * REPEATABLE READ: the entries that are summed up are the entries that are deleted.
 *
 * What the shadow holds of a range is the source at some snapshot s (of the copy, or of the last catch-up). The entries
 * not visible in s and visible now are exactly what has happened between; the sum of signs for each row value is how
 * many copies of it came or went. Order plays no part, so transactions may have committed in any.
 */
async function applySlice(
  connection: Connection,
  conversion: Conversion,
  definition: HypertableDefinition,
  source: Source,
  slice: Slice,
): Promise<bigint> {
  const names = conversionNames(conversion)
  const inSlice = (alias: string) =>
    sql`${identifier(alias, definition.time)} >= ${timestamptzText(slice.from)}::timestamptz and ${identifier(alias, definition.time)} <= ${timestamptzText(slice.to)}::timestamptz`
  await ensureChunks(
    connection,
    conversion,
    definition,
    source,
    await chunksOf(connection, definition, names.queue, slice),
  )
  if (definition.appendOnly) await beginRowMove(connection)
  // Silences the triggers of the chunks: nobody reads the change log of a table that is not there yet.
  await connection.query(sql`select tidemark.begin_logged_write(${conversion.hypertableId}::int)`)
  // Who copied a range saw what its snapshot saw; the last range that begins at or before the time holds it.
  const net = (sign: '<' | '>') => sql`
    select
      ${imageSql(source, 'q')} as image,
      min(q.ctid) as example,
      min(${identifier('q', definition.time)}) as at,
      abs(sum(q.tidemark_sign)) as n
    from ${names.queue} as q
    join lateral (
      select r.snapshot
      from tidemark.conversion_range as r
      where r.conversion_id = ${conversion.id}::int and r.range_from <= ${identifier('q', definition.time)}
      order by r.range_from desc
      limit 1
    ) as r
      on q.tidemark_xid >= pg_snapshot_xmin(r.snapshot) and not pg_visible_in_snapshot(q.tidemark_xid, r.snapshot)
    where ${inSlice('q')}
    group by 1
    having sum(q.tidemark_sign) ${raw(sign)} 0`
  // Deletes first: an update may keep a unique key. Only rows of the times in question are read, each once and by
  // index (lateral: the tables are not analysed yet), and compared by hash; then they are deleted by their place.
  const { rows: surplus } = await connection.query(sql`
    with net as materialized (${net('<')}),
    candidate as (
      select s.relation, s.place, s.image
      from (select distinct at from net) as moment
      cross join lateral (
        select s.tableoid as relation, s.ctid as place, ${imageSql(source, 's')} as image
        from ${names.shadow} as s
        where ${identifier('s', definition.time)} = moment.at
        offset 0
      ) as s
    )
    select n.nspname, c.relname, array_agg(found.place::text)
    from (
      select k.relation, k.place, net.n, row_number() over (partition by net.image) as number
      from net
      join candidate as k on k.image = net.image
    ) as found
    join pg_class as c on c.oid = found.relation
    join pg_namespace as n on n.oid = c.relnamespace
    where found.number <= found.n
    group by 1, 2`)
  for (const [schema, chunk, places] of surplus as [string, string, string[]][])
    await connection.query(
      sql`delete from only ${identifier(schema, chunk)} where ctid = any(${places}::tid[])`,
    )
  const columns = writable(source.columns)
  await connection.query(sql`
    with net as materialized (${net('>')})
    insert into ${names.shadow} (${columnsSql(columns)}) overriding system value
    select ${columnsSql(columns, 'q')}
    from net
    cross join lateral (select * from ${names.queue} as q where q.ctid = net.example offset 0) as q
    cross join generate_series(1, net.n)`)
  const { rowCount } = await connection.query(sql`delete from ${names.queue} as q where ${inSlice('q')}`)
  return BigInt(rowCount)
}

/** The chunks that rows of a table between two times need, found one after the other by the index on time. */
export async function chunksOf(
  connection: Connection,
  definition: HypertableDefinition,
  table: Sql,
  slice: Slice,
  most = Number.POSITIVE_INFINITY,
): Promise<TimeRange[]> {
  const time = identifier(definition.time)
  const ranges: TimeRange[] = []
  let from = slice.from
  while (ranges.length < most) {
    const { rows } = await connection.query(sql`
      select min(${time})
      from ${table}
      where ${time} >= ${timestamptzText(from)}::timestamptz
        and ${time} <= ${timestamptzText(slice.to)}::timestamptz
        and isfinite(${time})`)
    const at = rows[0]![0] as Instant | null
    if (at === null) break
    const range = chunkRange(definition, at)
    ranges.push(range)
    if (range.to > slice.to) break
    from = range.to
  }
  return ranges
}

/** Whether anything is left, also what has no place in time. */
export async function queueLength(db: Pick<Database, 'query'>, conversion: Conversion): Promise<bigint> {
  const { rows } = await db.query(sql`select count(*) from ${conversionNames(conversion).queue}`)
  return rows[0]![0] as bigint
}
