import { timestamptzText } from '../changelog/index.ts'
import type { ReadSnapshot } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import { postgresSnapshot } from './read-snapshot.ts'

/** Whether retention has dropped a chunk of the range (null: of any). Index: chunk (hypertable_id, range_from). */
export async function hasDroppedChunks(
  snapshot: ReadSnapshot,
  dataset: HypertableDefinition,
  range: TimeRange | null,
): Promise<boolean> {
  const [from, to] = range === null ? ['-infinity', 'infinity'] : [range.from, range.to].map(timestamptzText)
  const { rows } = await postgresSnapshot(snapshot).query(
    sql`
      select exists (
        select
        from tidemark.hypertable h
        join tidemark.chunk k on k.hypertable_id = h.id
        where h.schema_name = ${dataset.schema}::text and h.table_name = ${dataset.table}::text
          and k.state = 'dropped' and k.range_from < ${to}::timestamptz and k.range_to > ${from}::timestamptz
      )`,
    null,
  )
  return rows[0]?.[0] === true
}
