import type { ChunkState } from '../hot/index.ts'
import type { Queryable } from '../postgres/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import type { Subject } from './context.ts'

export interface ChunkLife {
  readonly id: bigint
  readonly range: TimeRange
  readonly state: ChunkState
  /** Its partition in tidemark_chunks; null: none. */
  readonly relation: string | null
  /** Whether its partition has any page, so whether it may hold rows. */
  readonly hasHotPages: boolean
  /** PostgreSQL's estimate for its partition; 0 without pages. */
  readonly hotRows: number
  /** With indexes; 0 without a partition. */
  readonly hotBytes: number
  readonly coldRows: number
  /** With summaries. */
  readonly coldBytes: number
  readonly files: number
  /** Rows of the files that no longer count. */
  readonly deletedRows: number
  /** What its partition took with its indexes when its rows went to the lake; null: not known, or it is hot. */
  readonly bytesBefore: number | null
  readonly frozenAt: Instant | null
  readonly moveError: string | null
  readonly moveFailures: number
}

/** Every chunk of a hypertable; catalog and statistics only, no table is read. */
export async function readChunkLives(db: Queryable, { hypertable }: Subject): Promise<ChunkLife[]> {
  const { rows } = await db.query(sql`
    select
      k.id, k.range_from, k.range_to,
      -- a mover that died has left its hint behind
      case when k.state = 'freezing' and coalesce(k.lease_until < now(), true) then 'hot' else k.state end,
      k.relation_name, coalesce(pg_relation_size(c.oid), 0) > 0,
      case when c.oid is null or pg_relation_size(c.oid) = 0 then 0 else pg_stat_get_live_tuples(c.oid) end::float8,
      coalesce(pg_total_relation_size(c.oid), 0)::float8,
      coalesce(f.row_count - f.deleted, 0)::float8,
      coalesce(f.bytes, 0)::float8,
      coalesce(f.files, 0)::int4,
      coalesce(f.deleted, 0)::float8,
      case when k.state = 'cold' then k.bytes_before end::float8,
      k.frozen_at, k.move_error, k.move_failures
    from tidemark.chunk as k
    left join pg_class as c
      on c.relname = k.relation_name and c.relnamespace = 'tidemark_chunks'::regnamespace
    left join lateral (
      select
        count(*) as files,
        sum(f.row_count) as row_count,
        sum(f.bytes + coalesce(f.summary_bytes, 0)) as bytes,
        coalesce(sum((
          select sum(cardinality(d.positions)) from tidemark.lake_deletion as d where d.file_id = f.id
        )), 0) as deleted
      from tidemark.lake_file as f
      where f.hypertable_id = k.hypertable_id and f.chunk_id = k.id
    ) as f on true
    where k.hypertable_id = ${hypertable.id}::int
    order by k.range_from`)
  return rows.map((row) => {
    const [id, from, to, state, relation, hasHotPages, hotRows, hotBytes, ...cold] = row as LifeRow
    const [coldRows, coldBytes, files, deletedRows, bytesBefore, frozenAt, moveError, moveFailures] = cold
    return {
      id,
      range: { from, to },
      state,
      relation,
      hasHotPages,
      hotRows,
      hotBytes,
      coldRows,
      coldBytes,
      files,
      deletedRows,
      bytesBefore,
      frozenAt,
      moveError,
      moveFailures,
    }
  })
}

type LifeRow = [
  id: bigint,
  from: Instant,
  to: Instant,
  ...Values<['state', 'relation', 'hasHotPages', 'hotRows', 'hotBytes']>,
  ...Values<
    ['coldRows', 'coldBytes', 'files', 'deletedRows', 'bytesBefore', 'frozenAt', 'moveError', 'moveFailures']
  >,
]

type Values<Keys extends readonly (keyof ChunkLife)[]> = { [I in keyof Keys]: ChunkLife[Keys[I]] }
