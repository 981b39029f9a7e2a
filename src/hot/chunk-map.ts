import type { Queryable } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { rangeIndex } from './chunk-ranges.ts'

export type ChunkState = 'hot' | 'freezing' | 'cold' | 'dropped'

export interface Chunk {
  readonly id: bigint
  readonly range: TimeRange
  readonly state: ChunkState
  /** Its partition in schema tidemark_chunks; null when there is none. */
  readonly relation: string | null
}

/** The chunks of a hypertable at one epoch. */
export interface ChunkMap {
  readonly hypertableId: number
  readonly epoch: bigint
  readonly maxChunks: number
  /** Ascending, not overlapping. */
  readonly chunks: readonly Chunk[]
}

/** One row: index hypertable (schema_name, table_name), chunk (hypertable_id, range_from). */
export async function loadChunkMap(
  db: Queryable,
  definition: Pick<HypertableDefinition, 'schema' | 'table'>,
): Promise<ChunkMap> {
  const { rows } = await db.query(sql`
    select
      h.id,
      h.epoch,
      h.max_chunks,
      array(select k.id from tidemark.chunk as k where k.hypertable_id = h.id order by k.range_from),
      array(select k.range_from from tidemark.chunk as k where k.hypertable_id = h.id order by k.range_from),
      array(select k.range_to from tidemark.chunk as k where k.hypertable_id = h.id order by k.range_from),
      array(select k.state from tidemark.chunk as k where k.hypertable_id = h.id order by k.range_from),
      array(select k.relation_name from tidemark.chunk as k where k.hypertable_id = h.id order by k.range_from)
    from tidemark.hypertable as h
    where h.schema_name = ${definition.schema}::text and h.table_name = ${definition.table}::text`)
  const row = rows[0]
  if (row === undefined) {
    throw new TidemarkError('TM_MIGRATION', {
      problem: `${definition.schema}.${definition.table} is no hypertable in this database`,
      todo: 'run `tidemark migrate`',
    })
  }
  const [hypertableId, epoch, maxChunks, ids, froms, tos, states, relations] = row as [
    number,
    bigint,
    number,
    bigint[],
    Instant[],
    Instant[],
    ChunkState[],
    (string | null)[],
  ]
  const chunks = ids.map((id, i) => ({
    id,
    range: { from: froms[i]!, to: tos[i]! },
    state: states[i]!,
    relation: relations[i]!,
  }))
  return { hypertableId, epoch, maxChunks, chunks }
}

/** The chunk that holds `time`, or null. */
export function chunkAt(map: ChunkMap, time: Instant): Chunk | null {
  const index = rangeIndex(rangesOf(map), time)
  return index < 0 ? null : map.chunks[index]!
}

const rangesCache = new WeakMap<ChunkMap, readonly TimeRange[]>()

export function rangesOf(map: ChunkMap): readonly TimeRange[] {
  let ranges = rangesCache.get(map)
  if (ranges === undefined) {
    ranges = map.chunks.map((chunk) => chunk.range)
    rangesCache.set(map, ranges)
  }
  return ranges
}
