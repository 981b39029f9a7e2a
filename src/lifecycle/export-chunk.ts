import type { WrittenFile } from '../lake/index.ts'
import type { Connection } from '../postgres/index.ts'
import { identifier, join, type Sql, sql } from '../util/sql.ts'
import { type ChunkFile, type ChunkRecord, listFiles, partitionOf, readDeletions } from './chunk-record.ts'
import type { LifecycleContext, MoveProgress, Subject } from './context.ts'
import { joinCopyStreams } from './copy-stream.ts'

/** Which files of the chunk the new one takes the place of: none of them (freeze, fold), or all. */
export type Replacing = 'none' | 'all'

/** One move of one chunk, as each of its steps needs it. */
export interface ChunkMove {
  readonly context: LifecycleContext
  readonly subject: Subject
  readonly chunkId: bigint
  /** Of its lease. */
  readonly owner: string
  readonly replacing: Replacing
  readonly signal: AbortSignal
  report(stage: MoveProgress['stage'], rows: number, bytes?: number): void
}

/** What a snapshot gave. */
export interface Exported {
  readonly chunk: ChunkRecord
  /** Null when no row was left: all of them had been deleted. */
  readonly file: WrittenFile | null
  readonly replaced: readonly ChunkFile[]
  readonly rowsFromPartition: number
  /** Null: made under the lock, where whatever is there was exported. */
  readonly seen: Seen | null
}

/** What tells the row versions that a snapshot sees from others, with transaction numbers as text. */
export interface Seen {
  readonly snapshot: string
  readonly xmin: string
  readonly xmax: string
  /** Sum of the hashed places of all of them; null where their age is enough. */
  readonly places: string | null
}

/** Of `p`, which may be of a transaction that ended after the snapshot. */
export function seenSql({ snapshot, xmin, xmax, places }: Seen): Sql {
  const isOld = sql`age(p.xmin) > age(${xmin}::xid8::xid)`
  if (places === null) return isOld
  // All 64 bits of p.xmin: as far below xmax as it is older.
  const xid = sql`(${xmax}::int8 - (age(p.xmin) - age(${xmax}::xid8::xid)))::text::xid8`
  return sql`case
    when ${isOld} then true
    when age(p.xmin) <= age(${xmax}::xid8::xid) then false
    else pg_visible_in_snapshot(${xid}, ${snapshot}::pg_snapshot)
  end`
}

/** What the connection's snapshot sees of the chunk. */
export async function readSeen(connection: Connection, chunk: ChunkRecord): Promise<Seen> {
  const { rows } = await connection.query(sql`
    select
      s.snapshot, pg_snapshot_xmin(s.snapshot)::text, pg_snapshot_xmax(s.snapshot)::text
    from (select pg_current_snapshot() as snapshot) as s`)
  const [snapshot, xmin, xmax] = rows[0] as [string, string, string]
  return { snapshot, xmin, xmax, places: await placesOfYoung(connection, chunk, xmin, xmax) }
}

/**
 * A transaction that still runs (anywhere in the cluster) may be older than rows of the chunk. Then the age of a row
 * version does not tell whether the snapshot has seen it, nor does its transaction's number where that may be a
 * savepoint's; so the places of all that it sees are added up, to be compared with those of the rows that the flip
 * deletes. Null where age is enough.
 */
async function placesOfYoung(
  connection: Connection,
  chunk: ChunkRecord,
  xmin: string,
  xmax: string,
): Promise<string | null> {
  const partition = partitionOf(chunk)
  if (partition === null || xmin === xmax) return null
  const relation = identifier(partition.schema, partition.table)
  const { rows } = await connection.query(sql`
    select exists (select from only ${relation} as p where not age(p.xmin) > age(${xmin}::xid8::xid))`)
  if (rows[0]![0] === false) return null
  const { rows: sums } = await connection.query(
    sql`select coalesce(sum(hashtidextended(p.ctid, 0)), 0)::text from only ${relation} as p`,
  )
  return sums[0]![0] as string
}

/** Writes all that the connection's snapshot sees into a file; null when there is nothing to move. */
export async function exportChunk(
  connection: Connection,
  move: ChunkMove,
  chunk: ChunkRecord,
  seen: Seen | null,
): Promise<Exported | null> {
  const { context, signal, replacing } = move
  const { definition, hypertable } = move.subject
  if (chunk.state === 'dropped') return null
  // RLS would hide rows; an error is better. Files may take long to read.
  await connection.execute('set local row_security = off; set local idle_in_transaction_session_timeout = 0')
  const files = await listFiles(connection, hypertable, chunk.id)
  const replaced = replacing === 'all' ? files : []
  const partition = partitionOf(chunk)
  let bytes = 0
  move.report('export', 0)
  const streams: AsyncIterable<Uint8Array>[] = []
  if (partition !== null) {
    const columns = join(
      Object.keys(definition.columns).map((name) => identifier(name)),
      ', ',
    )
    streams.push(
      connection.copyTo(
        sql`copy (select ${columns} from only ${identifier(partition.schema, partition.table)}) to stdout (format binary)`,
        { signal },
      ),
    )
  }
  let rowsOfFiles = 0
  for (const file of replaced) {
    // What is damaged must not be copied into a file that is then found to be right.
    await context.files.verify({ definition, file, signal })
    rowsOfFiles += file.rowCount - file.deletedRows
    if (file.deletedRows === file.rowCount) continue
    const positions = file.deletedRows === 0 ? null : await readDeletions(connection, file.id)
    const choice = positions === null ? ({ kind: 'all' } as const) : ({ kind: 'without', positions } as const)
    streams.push(context.files.rows({ definition, file, choice, signal }))
  }
  const file =
    streams.length === 0
      ? null
      : await context.files.write({
          definition,
          range: chunk.range,
          rows: joinCopyStreams(streams, (more) => {
            bytes += more
          }),
          signal,
          onProgress: ({ stage, rows }) => move.report(stage === 'read' ? 'export' : stage, rows, bytes),
        })
  if (file === null && replaced.length === 0) return null
  const rowsFromPartition = (file?.rowCount ?? 0) - rowsOfFiles
  return { chunk, file, replaced, rowsFromPartition, seen }
}
