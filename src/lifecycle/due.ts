import { timestamptzText } from '../changelog/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { subtractInterval } from '../time/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { type ChunkRecord, listChunks, listFiles, partitionOf } from './chunk-record.ts'
import type { LifecycleContext, Subject } from './context.ts'
import { judgeWear } from './policy.ts'

export interface DueChunk {
  readonly chunk: ChunkRecord
  readonly isReady: boolean
}

/**
 * Hot chunks wholly before now - after, oldest first. One that the change log says was written to within `quietMs` waits,
 * unless it is twice as old as it has to be: late rows that keep coming would keep it hot for ever. When such a one could not
 * be moved (its rows are not only added, they are changed), it waits for `restlessMs`: each try exports it some times.
 */
export async function findDue(
  context: LifecycleContext,
  subject: Subject,
  after: NonNullable<HypertableDefinition['freeze']>['after'],
): Promise<DueChunk[]> {
  const { db, clock, settings } = context
  const cutoff = subtractInterval(clock.now(), after, null)
  const impatient = subtractInterval(cutoff, after, null)
  const { rows } = await db.query(sql`
    select k.id, (
      k.range_to <= ${timestamptzText(impatient)}::timestamptz
      and (
        k.move_failed_at is null
        or k.move_failed_at < clock_timestamp() - ${settings.restlessMs}::float8 * interval '1 millisecond'
      )
    ) or not exists (
      select
      from tidemark.change_log as l
      where l.hypertable_id = k.hypertable_id
        and l.range_from < k.range_to and l.range_to > k.range_from
        and l.logged_at > clock_timestamp() - ${settings.quietMs}::float8 * interval '1 millisecond'
    )
    from tidemark.chunk as k
    join pg_class as c
      on c.relname = k.relation_name and c.relnamespace = 'tidemark_chunks'::regnamespace
    where k.hypertable_id = ${subject.hypertable.id}::int
      and k.state in ('hot', 'freezing')
      and k.range_to <= ${timestamptzText(cutoff)}::timestamptz
      and pg_relation_size(c.oid) > 0
    order by k.range_from`)
  const ready = new Map(rows.map(([id, isReady]) => [id as bigint, isReady as boolean]))
  const chunks = await listChunks(db, subject.hypertable)
  return chunks.flatMap((chunk) => {
    const isReady = ready.get(chunk.id)
    return isReady === undefined ? [] : [{ chunk, isReady }]
  })
}

/** Cold chunks that are worth writing, by what the policy says of them. */
export async function findWorn(
  context: LifecycleContext,
  subject: Subject,
): Promise<{ readonly chunk: ChunkRecord; readonly wear: 'fold' | 'rewrite' }[]> {
  const { db, settings } = context
  const files = await listFiles(db, subject.hypertable, null)
  const worn: { chunk: ChunkRecord; wear: 'fold' | 'rewrite' }[] = []
  for (const chunk of await listChunks(db, subject.hypertable)) {
    if (chunk.state !== 'cold') continue
    const own = files.filter((file) => file.chunkId === chunk.id)
    const partition = partitionOf(chunk)
    let deltaRows = 0
    if (partition !== null) {
      const relation = identifier(partition.schema, partition.table)
      const { rows } = await db.query(sql`
        select case when pg_relation_size(format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass) = 0
          then 0 else (select count(*) from (select from only ${relation} limit ${settings.foldRows}::int8 + 1) as few) end`)
      deltaRows = Number(rows[0]![0])
    }
    const { rows } = await db.query(sql`
      select extract(epoch from clock_timestamp() - greatest(
        k.frozen_at,
        (
          select max(l.logged_at)
          from tidemark.change_log as l
          where l.hypertable_id = k.hypertable_id and l.range_from < k.range_to and l.range_to > k.range_from
        ),
        (
          select max(d.created_at)
          from tidemark.lake_deletion as d
          join tidemark.lake_file as f on f.id = d.file_id
          where f.chunk_id = k.id
        )
      ))::float8 * 1000
      from tidemark.chunk as k
      where k.id = ${chunk.id}::int8`)
    const wear = judgeWear(
      {
        deltaRows,
        fileRows: own.map((file) => file.rowCount),
        deletedRows: own.reduce((sum, file) => sum + file.deletedRows, 0),
        restedMs: rows[0]![0] as number,
      },
      settings,
    )
    if (wear !== 'rest') worn.push({ chunk, wear })
  }
  return worn
}
