import { beginLoggedWrite, type HypertableRecord, timestamptzText } from '../changelog/index.ts'
import { chunkSchema } from '../migrate/index.ts'
import type { Connection, Database, Queryable } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { identifier, join, type Sql, sql } from '../util/sql.ts'
import { type ChunkMap, loadChunkMap, rangesOf } from './chunk-map.ts'
import { createPartitions, hasPlace } from './chunk-partitions.ts'
import { newChunkRange, rangeIndex } from './chunk-ranges.ts'
import {
  type ApplyPartitionPolicies,
  attachChunks,
  attachedCount,
  findDefaultPartition,
  lockHypertable,
} from './create-chunks.ts'
import { publicationOfInserts } from './publications.ts'

/** Rows that lie in no chunk: written outside by direct SQL, or by ingest when a chunk could not be made in time. */
export interface DefaultPartitionStatus {
  readonly relation: string
  readonly rows: bigint
  readonly bytes: bigint
  /** From the first row to the last, its end exclusive; null when there is none. */
  readonly range: TimeRange | null
}

export type DrainOutcome =
  /** Every row has its chunk, and the default partition is physically empty. */
  | { readonly kind: 'drained'; readonly rows: bigint; readonly chunks: number }
  /** Some rows stay: the cap on attached chunks is reached, or they are past the retention and go with the next expiry. */
  | { readonly kind: 'capped'; readonly rows: bigint; readonly chunks: number; readonly left: bigint }
  /** Not now; nothing was changed. `reason` says who or what is in the way, `isLasting` that it will not go away by itself. */
  | { readonly kind: 'blocked'; readonly reason: string; readonly isLasting?: true }

/** The default partition's file at most, and the rows that a drain holds in memory: those of a chunk, and those that stay. */
export const maxDrainBytes = 256 * 1024 * 1024

export async function defaultPartitionStatus(
  db: Queryable,
  definition: HypertableDefinition,
): Promise<DefaultPartitionStatus> {
  const { schema, table } = await findDefaultPartition(db, definition)
  const time = identifier(definition.time)
  const { rows } = await db.query(sql`
    select count(*), min(d.${time}), max(d.${time}), pg_relation_size(${identifierText(schema, table)}::regclass)
    from only ${identifier(schema, table)} as d`)
  const [count, first, last, bytes] = rows[0] as [bigint, Instant | null, Instant | null, bigint]
  const range = first === null || last === null ? null : { from: first, to: last + 1n }
  return { relation: `${schema}.${table}`, rows: count, bytes, range }
}

function identifierText(...names: string[]): string {
  return names.map((name) => `"${name.replaceAll('"', '""')}"`).join('.')
}

/** What the default partition held at a moment: equal marks mean that no row version came or went. */
interface Mark {
  readonly text: string
  readonly snapshot: string
  /** Every transaction that could have made or ended one of these versions is below it. */
  readonly nextXid: string
  readonly bytes: bigint
  readonly rows: bigint
}

async function markDefault(
  connection: Queryable,
  partition: { readonly schema: string; readonly table: string },
): Promise<Mark> {
  const { rows } = await connection.query(sql`
    select
      count(*),
      coalesce(sum(hashtextextended(d.ctid::text || ' ' || d.xmin::text, 0)), 0)::text,
      pg_current_snapshot(),
      pg_snapshot_xmax(pg_current_snapshot())::text,
      pg_relation_size(${identifierText(partition.schema, partition.table)}::regclass)
    from only ${identifier(partition.schema, partition.table)} as d`)
  const [count, hash, snapshot, nextXid, bytes] = rows[0] as [bigint, string, string, string, bigint]
  return { text: `${count}:${hash}`, snapshot, nextXid, bytes, rows: count }
}

/**
 * A row that came and went leaves the mark as it was, but a snapshot from in between sees it. The writes are in the
 * change log: is there one since the mark that reaches beyond the chunks? (Ingest logs what it puts into chunks itself.)
 */
async function wasWrittenSince(
  connection: Queryable,
  hypertable: HypertableRecord,
  mark: Mark,
): Promise<boolean> {
  const { rows } = await connection.query(sql`
    select exists (
      select
      from tidemark.change_log as l
      where l.hypertable_id = ${hypertable.id}::int
        and l.xid >= pg_snapshot_xmin(${mark.snapshot}::pg_snapshot)
        and not pg_visible_in_snapshot(l.xid, ${mark.snapshot}::pg_snapshot)
        and l.source not in ('ingest', 'partition', 'audit')
        and not tstzrange(l.range_from, l.range_to) <@ (
          select coalesce(range_agg(tstzrange(k.range_from, k.range_to)), '{}')
          from tidemark.chunk as k
          where k.hypertable_id = l.hypertable_id and k.relation_name is not null
        )
    )`)
  return rows[0]![0] as boolean
}

/** TRUNCATE, without which rows cannot be moved so that every snapshot sees them once, refuses such a table. */
async function findReference(db: Queryable, definition: HypertableDefinition): Promise<string | null> {
  const { rows } = await db.query(sql`
    select format('%I of %s', conname, conrelid::regclass)
    from pg_constraint
    where contype = 'f' and confrelid = ${identifierText(definition.schema, definition.table)}::regclass
    order by conname
    limit 1`)
  return (rows[0]?.[0] as string | undefined) ?? null
}

/** Who still has a snapshot from before: null when nobody. Every role sees backend_xmin of all others. */
async function findOlderSnapshot(db: Queryable, mark: Mark): Promise<string | null> {
  const { rows } = await db.query(sql`
    select a.pid, coalesce(a.application_name, ''), coalesce(a.state, a.backend_type, 'of role ' || a.usename)
    from pg_stat_activity as a
    -- a standby that tells what it needs has no database
    where (a.datname = current_database() or a.datid is null)
      and a.pid <> pg_backend_pid()
      and a.backend_xmin is not null
      and age(a.backend_xmin) > age(${mark.nextXid}::xid8::xid)
    order by age(a.backend_xmin) desc
    limit 1`)
  const row = rows[0]
  return row === undefined
    ? null
    : `process ${row[0]} (${row[1] || 'unnamed'}, ${row[2]}) has an older snapshot`
}

export interface DrainOptions {
  readonly lockTimeoutMs: number
  readonly applyPolicies: ApplyPartitionPolicies
  /** Also make chunks for these times. */
  readonly times?: readonly Instant[]
  /** See `maxDrainBytes`, the default. */
  readonly maxBytes?: number
  /** ms to wait for older snapshots to end. */
  readonly settleMs: number
  readonly sleep: (ms: number) => Promise<void>
  readonly signal?: AbortSignal | null
}

/**
 * Moves the rows of the default partition to chunks of their own, in one transaction with the attach that makes room.
 *
 * DELETE + INSERT would be wrong: a REPEATABLE READ reader whose snapshot is older, and who asks for the range
 * afterwards, is sent by partition pruning to the new chunk, where the rows are younger than its snapshot, and finds
 * nothing. So the rows are moved in a way that every snapshot sees alike:
 * 1. Note what the default partition holds. Wait until no snapshot is left from before: from here on everybody sees
 *    the same rows in it, for as long as nobody writes.
 * 2. ACCESS EXCLUSIVE on the table: whoever read or planned with the old set of partitions has ended. Look again: when
 *    a row version came or went, give up.
 * 3. COPY … FREEZE into the new chunks (visible to every snapshot), TRUNCATE the default partition (empty to every
 *    snapshot), attach, commit.
 */
export async function drainDefaultOnce(
  db: Database,
  definition: HypertableDefinition,
  options: DrainOptions,
): Promise<DrainOutcome> {
  const partition = await findDefaultPartition(db, definition)
  const name = `${partition.schema}.${partition.table}`
  const before = await markDefault(db, partition)
  const maxBytes = options.maxBytes ?? maxDrainBytes
  if (before.bytes > maxBytes) return tooLarge(name, `${before.bytes} bytes`, maxBytes)
  // Without a lock: a table that stays at its cap is asked every minute.
  const { chunks, maxChunks } = await loadChunkMap(db, definition)
  if (before.rows > 0n && attachedCount({ chunks }) >= maxChunks)
    return { kind: 'capped', rows: 0n, chunks: 0, left: before.rows }
  if ((options.times ?? []).length === 0 && before.rows > 0n) {
    const { rows } = await db.query(sql`
      select exists (
        select
        from only ${identifier(partition.schema, partition.table)} as d
        where ${notInAny(
          definition,
          chunks.filter((chunk) => chunk.state === 'dropped').map((chunk) => chunk.range),
        )}
      )`)
    if (rows[0]![0] === false) return { kind: 'capped', rows: 0n, chunks: 0, left: before.rows }
  }
  const reference = await findReference(db, definition)
  if (reference !== null) {
    const reason = `the foreign key ${reference} points at ${definition.name}, whose rows can then not be moved`
    return { kind: 'blocked', reason, isLasting: true }
  }
  let waited = 0
  for (;;) {
    const older = await findOlderSnapshot(db, before)
    if (older === null) break
    if (waited >= options.settleMs) return { kind: 'blocked', reason: older }
    await options.sleep(10)
    waited += 10
  }
  const transaction = { lockTimeoutMs: options.lockTimeoutMs, signal: options.signal ?? null }
  const moved = db.transaction<DrainOutcome>(transaction, async (connection) => {
    const { hypertable, map } = await lockHypertable(connection, definition)
    const parent = identifier(definition.schema, definition.table)
    const source = identifier(partition.schema, partition.table)
    await connection.execute(sql`
      lock table only ${parent} in access exclusive mode;
      lock table only ${source} in access exclusive mode`)
    const now = await markDefault(connection, partition)
    if (now.text !== before.text || (await wasWrittenSince(connection, hypertable, before)))
      return { kind: 'blocked', reason: `${name} is being written` }

    const room = map.maxChunks - attachedCount(map)
    const ranges = await planDrain(connection, definition, source, map, options.times ?? [], room)
    const sent = await resentBy(connection, definition, partition, source, ranges)
    if (sent !== null) {
      const reason =
        `the publication "${sent}" would send rows that stay in ${name} a second time: raise maxChunks, expire ` +
        'what is past its retention, or take the table out of it for the time of a drain'
      return { kind: 'blocked', reason, isLasting: true }
    }
    await beginLoggedWrite(connection, hypertable)
    await connection.query(sql`select tidemark.begin_cold_write(${hypertable.id}::int)`)
    // A move is no change: append-only tables let it pass, too.
    if (hypertable.appendOnly) await connection.query(sql`select tidemark.begin_row_move()`)
    const chunks = await createPartitions(
      connection,
      definition,
      hypertable,
      map,
      ranges,
      options.applyPolicies,
    )
    const columns = await readColumns(connection, partition)
    let moved = 0n
    for (const { relation, range } of chunks) {
      const target = identifier(chunkSchema, relation)
      const rows = await copyOut(connection, columns, source, inRange(definition, range), maxBytes)
      moved += await copyIn(connection, columns, target, rows)
    }
    const left = await copyOut(connection, columns, source, notInAny(definition, ranges), maxBytes)
    await connection.execute(sql`truncate only ${source}`)
    const kept = await copyIn(connection, columns, source, left)
    await attachChunks(connection, definition, hypertable, chunks)
    return kept === 0n
      ? { kind: 'drained', rows: moved, chunks: chunks.length }
      : { kind: 'capped', rows: moved, chunks: chunks.length, left: kept }
  })
  return moved.catch((error: unknown) => {
    if (error instanceof TooLarge)
      return tooLarge(name, `more than ${maxBytes} bytes as it is moved`, maxBytes)
    throw error
  })
}

/** Rows are larger on their way than in the file: values that PostgreSQL keeps compressed, or beside the table. */
class TooLarge extends Error {}

function tooLarge(name: string, has: string, maxBytes: number): DrainOutcome {
  const reason =
    `${name} has ${has}; one transaction moves ${maxBytes} at most; ` +
    'make chunks for later rows first, then move or delete rows by hand'
  return { kind: 'blocked', reason, isLasting: true }
}

/**
 * Ranges for the rows of the default partition, found one after the other, and for the times asked for: new ones, and
 * those of chunks that have no partition. Rows of chunks that were dropped stay: the next expiry takes them.
 */
async function planDrain(
  connection: Connection,
  definition: HypertableDefinition,
  source: Sql,
  map: ChunkMap,
  times: readonly Instant[],
  room: number,
): Promise<TimeRange[]> {
  const time = identifier(definition.time)
  const all = [...rangesOf(map)]
  const wanted = new Set<TimeRange>()
  /** The range that holds `at`, which is wanted from now on where it needs a partition. */
  const add = (at: Instant): TimeRange => {
    if (hasPlace(map, at)) return all[rangeIndex(all, at)]!
    const known = all[rangeIndex(all, at)]
    const range = known ?? newChunkRange(definition.chunk, all, at)
    wanted.add(range)
    if (known !== undefined) return range
    all.push(range)
    all.sort((a, b) => (a.from < b.from ? -1 : 1))
    return range
  }
  for (const at of times) if (wanted.size < room) add(at)
  // Asked for first, then the newest rows: when the cap is near, those matter most.
  let before: Instant | null = null
  while (wanted.size < room) {
    const bound = before === null ? sql`true` : sql`d.${time} < ${timestamptzText(before)}::timestamptz`
    const { rows } = await connection.query(
      sql`select max(d.${time}) from only ${source} as d where ${bound}`,
    )
    const at = rows[0]![0] as Instant | null
    if (at === null) break
    before = add(at).from
  }
  return [...wanted]
}

/**
 * The publication that would send rows which stay: they are written anew into the default partition, which is published
 * as the table is. (Those that move go into tables that are attached afterwards.) Null where nothing stays.
 */
async function resentBy(
  connection: Connection,
  definition: HypertableDefinition,
  partition: { readonly schema: string; readonly table: string },
  source: Sql,
  ranges: readonly TimeRange[],
): Promise<string | null> {
  const publication = await publicationOfInserts(connection, definition, partition)
  if (publication === null) return null
  const { rows } = await connection.query(sql`
    select exists (select from only ${source} where ${notInAny(definition, ranges)})`)
  return rows[0]![0] === true ? publication : null
}

function inRange(definition: HypertableDefinition, range: TimeRange): Sql {
  const time = identifier(definition.time)
  return sql`(${time} >= ${timestamptzText(range.from)}::timestamptz and ${time} < ${timestamptzText(range.to)}::timestamptz)`
}

function notInAny(definition: HypertableDefinition, ranges: readonly TimeRange[]): Sql {
  if (ranges.length === 0) return sql`true`
  return sql`not (${join(
    ranges.map((range) => inRange(definition, range)),
    ' or ',
  )})`
}

async function copyOut(
  connection: Connection,
  columns: Sql,
  source: Sql,
  where: Sql,
  maxBytes: number,
): Promise<Uint8Array[]> {
  const statement = sql`copy (select ${columns} from only ${source} where ${where}) to stdout (format binary)`
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of connection.copyTo(statement)) {
    bytes += piece.byteLength
    if (bytes > maxBytes) throw new TooLarge()
    pieces.push(Buffer.from(piece))
  }
  return pieces
}

async function copyIn(
  connection: Connection,
  columns: Sql,
  target: Sql,
  pieces: readonly Uint8Array[],
): Promise<bigint> {
  const statement = sql`copy ${target} (${columns}) from stdin (format binary, freeze)`
  return BigInt(await connection.copyFrom(statement, pieces))
}

/** From the database, not from the declaration: a table may have columns that are not declared. */
async function readColumns(
  connection: Connection,
  partition: { readonly schema: string; readonly table: string },
): Promise<Sql> {
  const { rows } = await connection.query(sql`
    select a.attname
    from pg_attribute as a
    where a.attrelid = ${identifierText(partition.schema, partition.table)}::regclass
      and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    order by a.attnum`)
  return join(
    rows.map(([name]) => identifier(name as string)),
    ', ',
  )
}
