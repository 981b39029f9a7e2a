import {
  findHypertable,
  type HypertableRecord,
  partitionTriggersSql,
  timestamptzText,
} from '../changelog/index.ts'
import { chunkSchema } from '../migrate/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import { type ChunkMap, loadChunkMap } from './chunk-map.ts'

/** What migrate gives a new partition besides its columns: append-only triggers, policies. */
export type ApplyPartitionPolicies = (
  connection: Queryable,
  definition: HypertableDefinition,
  partition: { readonly schema: string; readonly table: string },
) => Promise<void>

/** A table for a chunk, made and filled in by this transaction, not yet attached. */
export interface NewChunk {
  readonly id: bigint
  readonly relation: string
  readonly range: TimeRange
}

const maxTableBytes = 40

export function chunkRelationName(table: string, id: bigint): string {
  let cut = table
  while (Buffer.byteLength(cut) > maxTableBytes) cut = [...cut].slice(0, -1).join('')
  return `${cut}_c${id}`
}

/**
 * Locks the hypertable's row: creators of chunks come one after the other. Taken before any lock on a table, and held
 * to the end; readers and writers of rows never lock it.
 */
export async function lockHypertable(
  connection: Connection,
  definition: HypertableDefinition,
): Promise<{ readonly hypertable: HypertableRecord; readonly map: ChunkMap }> {
  await connection.query(sql`
    select id
    from tidemark.hypertable
    where schema_name = ${definition.schema}::text and table_name = ${definition.table}::text
    for no key update`)
  // Statements of their own: they see what the one before us committed.
  const hypertable = await findHypertable(connection, definition)
  return { hypertable, map: await loadChunkMap(connection, definition) }
}

/** @throws TidemarkError TM_CHUNK_CAP when there would be more attached chunks than declared. */
export function assertChunkCap(definition: HypertableDefinition, map: ChunkMap, more: number): void {
  const needed = attachedCount(map) + more
  if (needed > map.maxChunks)
    throw new TidemarkError('TM_CHUNK_CAP', { table: definition.name, needed, cap: map.maxChunks })
}

export function attachedCount(map: Pick<ChunkMap, 'chunks'>): number {
  return map.chunks.filter((chunk) => chunk.relation !== null).length
}

/**
 * Makes the tables of new chunks, with indexes, triggers and policies. LIKE instead of PARTITION OF, which would lock
 * the parent against everybody from here on; nobody can see these tables yet.
 */
export async function createChunkTables(
  connection: Connection,
  definition: HypertableDefinition,
  hypertable: HypertableRecord,
  ranges: readonly TimeRange[],
  applyPolicies: ApplyPartitionPolicies,
): Promise<NewChunk[]> {
  const { rows } = await connection.query(sql`
    insert into tidemark.chunk (hypertable_id, range_from, range_to)
    select ${hypertable.id}::int, r.range_from, r.range_to
    from unnest(
      ${ranges.map((range) => timestamptzText(range.from))}::timestamptz[],
      ${ranges.map((range) => timestamptzText(range.to))}::timestamptz[]
    ) as r (range_from, range_to)
    order by r.range_from
    returning id, range_from, range_to`)
  const chunks = rows.map((row): NewChunk => {
    const [id, from, to] = row as [bigint, bigint, bigint]
    return { id, relation: chunkRelationName(definition.table, id), range: { from, to } }
  })
  for (const chunk of chunks) {
    await createChunkTable(connection, definition, hypertable, chunk, { withIndexes: true, applyPolicies })
    await connection.query(sql`
      update tidemark.chunk set relation_name = ${chunk.relation}::text where id = ${chunk.id}::int8`)
  }
  return chunks
}

/** The table of a chunk with everything that a partition has, but not attached, and not in the catalog. */
export async function createChunkTable(
  connection: Connection,
  definition: HypertableDefinition,
  hypertable: HypertableRecord,
  chunk: NewChunk,
  options: { readonly withIndexes: boolean; readonly applyPolicies: ApplyPartitionPolicies },
): Promise<void> {
  const partition = { schema: chunkSchema, table: chunk.relation, isDefault: false, range: chunk.range }
  await connection.execute(sql`
    create table ${identifier(chunkSchema, chunk.relation)} (
      like ${identifier(definition.schema, definition.table)}
      including defaults including constraints including generated including storage
      including compression including statistics ${raw(options.withIndexes ? 'including indexes' : '')}
    );
    ${partitionTriggersSql(hypertable, partition)}`)
  await options.applyPolicies(connection, definition, partition)
}

/** Attaches them and lets every cache know. The caller holds ACCESS EXCLUSIVE on the default partition. */
export async function attachChunks(
  connection: Connection,
  definition: HypertableDefinition,
  hypertable: HypertableRecord,
  chunks: readonly NewChunk[],
): Promise<void> {
  const parent = identifier(definition.schema, definition.table)
  for (const { relation, range } of chunks) {
    await connection.execute(sql`
      alter table ${parent} attach partition ${identifier(chunkSchema, relation)}
      for values from (${boundSql(range.from)}) to (${boundSql(range.to)})`)
  }
  await bumpEpoch(connection, hypertable)
}

export function boundSql(instant: bigint): Sql {
  return raw(quoteLiteral(timestamptzText(instant)))
}

/** In the transaction that changes which chunk is where. */
export async function bumpEpoch(connection: Connection, hypertable: HypertableRecord): Promise<void> {
  await connection.query(sql`
    update tidemark.hypertable set epoch = epoch + 1 where id = ${hypertable.id}::int`)
}

/** `schema.table` of the default partition. @throws TidemarkError TM_MIGRATION when there is none. */
export async function findDefaultPartition(
  db: Queryable,
  definition: HypertableDefinition,
): Promise<{ readonly schema: string; readonly table: string }> {
  const { rows } = await db.query(sql`
    select dn.nspname, d.relname
    from pg_class as t
    join pg_namespace as n on n.oid = t.relnamespace
    join pg_partitioned_table as p on p.partrelid = t.oid
    join pg_class as d on d.oid = p.partdefid
    join pg_namespace as dn on dn.oid = d.relnamespace
    where n.nspname = ${definition.schema}::text and t.relname = ${definition.table}::text`)
  const row = rows[0]
  if (row === undefined) {
    throw new TidemarkError('TM_MIGRATION', {
      problem: `${definition.name} has no default partition`,
      todo: 'run `tidemark migrate`',
    })
  }
  return { schema: row[0] as string, table: row[1] as string }
}

/** The default partition is not empty, so that attaching takes a drain. */
export class DefaultNotEmpty extends Error {}

/**
 * ATTACH takes these locks, too; they are taken first to look whether the default partition is physically empty.
 * Rows in it, also deleted ones that an older snapshot still sees, would be hidden from that snapshot by partition
 * pruning once a chunk covers their time.
 */
export async function lockForAttach(connection: Connection, definition: HypertableDefinition): Promise<void> {
  const partition = await findDefaultPartition(connection, definition)
  const relation = identifier(partition.schema, partition.table)
  await connection.execute(sql`
    lock table only ${identifier(definition.schema, definition.table)} in share update exclusive mode;
    lock table only ${relation} in access exclusive mode`)
  const { rows } = await connection.query(sql`
    select pg_relation_size(format('%I.%I', ${partition.schema}::text, ${partition.table}::text)::regclass)`)
  if ((rows[0]![0] as bigint) > 0n) throw new DefaultNotEmpty()
}
