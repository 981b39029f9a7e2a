import type { Connection, Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'

/** Records of one dataset in one spool, and up to which of them they are known to be stored. */
export interface SpoolLane {
  readonly spool: string
  readonly dataset: string
  /** What tidemark.spool_position says, as far as this process knows. */
  stored: number
  /** Bytes a second that are written lately; null: not known yet. */
  rate: number | null
}

/** The record that a batch was read from. */
export interface SpoolMark {
  readonly lane: SpoolLane
  readonly sequence: number
}

/** The position is another than this process believes: what it would write was written by somebody, or is being written. */
export class PositionMoved extends Error {
  constructor({ spool, dataset }: SpoolLane) {
    super(`the position of ${dataset} in spool ${spool} is another`)
  }
}

/** 0: nothing of it is stored. */
export async function readPosition(db: Queryable, { spool, dataset }: SpoolLane): Promise<number> {
  const { rows } = await db.query(sql`
    select sequence from tidemark.spool_position where spool = ${spool}::uuid and dataset = ${dataset}::text`)
  return Number(rows[0]?.[0] ?? 0)
}

/**
 * Moves on in the transaction that writes the records. Another that has moved from the same place, and has not answered yet, is
 * waited for: so a record is written by one of them.
 *
 * @throws PositionMoved
 */
export async function storePosition(
  connection: Connection,
  lane: SpoolLane,
  sequence: number,
): Promise<void> {
  const { rowCount } = await connection.query(sql`
    insert into tidemark.spool_position as p (spool, dataset, sequence, bytes_per_second)
    values (${lane.spool}::uuid, ${lane.dataset}::text, ${sequence}::int8, ${lane.rate}::float8)
    on conflict (spool, dataset) do update
    set sequence = excluded.sequence, bytes_per_second = excluded.bytes_per_second, updated_at = clock_timestamp()
    where p.sequence = ${lane.stored}::int8`)
  if (rowCount === 0) throw new PositionMoved(lane)
}

/** The spool is gone, and its name never comes again. */
export async function forgetPositions(db: Queryable, spool: string): Promise<void> {
  await db.query(sql`delete from tidemark.spool_position where spool = ${spool}::uuid`)
}
