import type { HypertableRecord } from '../changelog/index.ts'
import { chunkSchema } from '../migrate/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import { type Chunk, type ChunkMap, chunkAt } from './chunk-map.ts'
import { guardChunkSql, uniqueColumns } from './cold-guards.ts'
import {
  type ApplyPartitionPolicies,
  chunkRelationName,
  createChunkTable,
  createChunkTables,
  type NewChunk,
} from './create-chunks.ts'

/** Whether rows of that time have a place: a partition, or a chunk that is past its retention and gets none any more. */
export function hasPlace(map: ChunkMap, time: Instant): boolean {
  const chunk = chunkAt(map, time)
  return chunk !== null && (chunk.relation !== null || chunk.state === 'dropped')
}

/** Chunks that hold `times` and have no partition at the moment: all their rows are in the lake. */
export function withoutPartition(map: ChunkMap, times: Iterable<Instant>): Chunk[] {
  const found = new Map<bigint, Chunk>()
  for (const time of times) {
    const chunk = chunkAt(map, time)
    if (chunk !== null && chunk.relation === null && chunk.state !== 'dropped') found.set(chunk.id, chunk)
  }
  return [...found.values()]
}

/**
 * A partition again for chunks that the catalog has; a cold one has its guards before anybody can see it. Not attached.
 * The caller holds the hypertable's row, and takes those of the chunks: a move that is under way knows of no partition. It
 * is not waited for, because at its end it needs the hypertable's row: 55P03, and the caller tries again.
 */
export async function createPartitionsAgain(
  connection: Connection,
  definition: HypertableDefinition,
  hypertable: HypertableRecord,
  chunks: readonly Chunk[],
  applyPolicies: ApplyPartitionPolicies,
): Promise<NewChunk[]> {
  const made: NewChunk[] = []
  await connection.query(sql`
    select id
    from tidemark.chunk
    where id = any (${chunks.map(({ id }) => id)}::int8[])
    order by id
    for update nowait`)
  for (const { id, range } of chunks) {
    const relation = chunkRelationName(definition.table, id)
    const chunk = { id, relation, range }
    const { rows } = await connection.query(sql`
      update tidemark.chunk
      set relation_name = ${relation}::text
      where id = ${id}::int8 and relation_name is null and state <> 'dropped'
      returning state`)
    // Somebody else was here between the map and now: the caller looks again.
    if (rows.length === 0) continue
    await createChunkTable(connection, definition, hypertable, chunk, { withIndexes: true, applyPolicies })
    if (rows[0]![0] === 'cold') {
      const partition = { schema: chunkSchema, table: relation }
      const unique = await uniqueColumns(connection, partition)
      const guarded = { id: hypertable.id, name: definition.name }
      await connection.execute(guardChunkSql(guarded, partition, range, unique))
    }
    made.push(chunk)
  }
  return made
}

/** Partitions for ranges: of chunks that are in the map without one, or of new chunks. Not attached. */
export async function createPartitions(
  connection: Connection,
  definition: HypertableDefinition,
  hypertable: HypertableRecord,
  map: ChunkMap,
  ranges: readonly TimeRange[],
  applyPolicies: ApplyPartitionPolicies,
): Promise<NewChunk[]> {
  const again = withoutPartition(
    map,
    ranges.map((range) => range.from),
  )
  const known = new Set(again.map((chunk) => chunk.range.from))
  const fresh = ranges.filter((range) => !known.has(range.from))
  return [
    ...(await createPartitionsAgain(connection, definition, hypertable, again, applyPolicies)),
    ...(fresh.length > 0
      ? await createChunkTables(connection, definition, hypertable, fresh, applyPolicies)
      : []),
  ]
}
