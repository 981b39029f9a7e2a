import { noteDatasetChange, timestamptzText } from '../changelog/index.ts'
import { type Connection, type Database, isRetryable, type Queryable, retry } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { type Clock, type Instant, minusInfinityInstant, nextBucket, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, raw, sql } from '../util/sql.ts'
import { readVersions } from './catalog.ts'
import { bucketColumn } from './cell-table.ts'
import { cellRelation, deleteCells } from './cells.ts'
import { noteExpired } from './expired.ts'
import { countEpoch, lockVersion, readInvalid, writeInvalid } from './invalid.ts'
import { setOf, unite, workOf } from './invalid-ranges.ts'
import { keptFrom } from './refresh-work.ts'
import type { AggregateVersion } from './version.ts'

/** Cells that one transaction drops at most, as long as one bucket has no more of them. */
const maxCellsAtOnce = 100_000

/**
 * Drops cells that are older than `retain` of the aggregate. What they said is not valid from then on, so that a query of the
 * hypertable reads the rows, as long as they are there. Gives the number of cells.
 *
 * The oldest buckets first, some in each transaction, and each of them whole: what a reader sees in between is what a shorter
 * expiry would have left. Stopped anywhere, the next call goes on.
 *
 * @throws TidemarkError TM_CANCELLED, TM_BUSY: what is dropped by then stays dropped.
 */
export async function expireCells(
  { db, clock }: { readonly db: Database; readonly clock: Clock },
  definition: ContinuousAggregateDefinition,
  signal: AbortSignal | null = null,
  maxCells: number = maxCellsAtOnce,
): Promise<number> {
  const cutoff = keptFrom(definition, clock.now())
  if (cutoff === minusInfinityInstant) return 0
  const what = `dropping old cells of ${definition.name}`
  let cells = 0
  for (const version of await readVersions(db, definition.base)) {
    if (version.name !== definition.name) continue
    await noteExpired(db, version, cutoff)
    // the index still has what was dropped before until it is vacuumed: that is not looked at again
    let from: Instant = minusInfinityInstant
    for (;;) {
      if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what }, { cause: signal.reason })
      const to = await endOfBatch(db, version, { from, cutoff, maxCells })
      if (to === null) break
      const dropped = await retry({ what, signal, isRetryable }, () =>
        db.transaction({ mode: 'repeatable read', signal }, (connection) =>
          dropCells(connection, version, { from, to }),
        ),
      )
      // who has it computes its cells, and the next run drops what is left
      if (dropped === null) break
      cells += dropped
      from = to
    }
  }
  return cells
}

/** Where `maxCells` cells end, as a border of buckets behind the first one; null: there are no cells before the cutoff. */
async function endOfBatch(
  db: Queryable,
  version: AggregateVersion,
  { from, cutoff, maxCells }: { readonly from: Instant; readonly cutoff: Instant; readonly maxCells: number },
): Promise<Instant | null> {
  const bucket = identifier(bucketColumn)
  const { rows } = await db.query(sql`
    with past as (
      select ${bucket} as bucket from ${cellRelation(version)}
      where ${bucket} >= ${timestamptzText(from)}::timestamptz and ${bucket} < ${timestamptzText(cutoff)}::timestamptz
    )
    select
      (select bucket from past order by bucket limit 1),
      (select bucket from past order by bucket offset ${raw(String(maxCells))} limit 1)`)
  const [first, beyond] = rows[0] as [Instant | null, Instant | null]
  if (first === null) return null
  if (beyond === null) return cutoff
  return beyond > first ? beyond : nextBucket(version.materialization.bucket, first)
}

/** Null while somebody else has the version. */
async function dropCells(
  connection: Connection,
  version: AggregateVersion,
  range: TimeRange,
): Promise<number | null> {
  if (!(await lockVersion(connection, version.id))) return null
  const past = { from: minusInfinityInstant, to: range.to }
  const before = await readInvalid(connection, version.id)
  const { closed, openFrom } = workOf(before)
  const after = setOf({ closed: unite([...closed, { tenant: null, range: past }]), openFrom })
  await writeInvalid(connection, version.id, before, after)
  const deleted = await deleteCells(connection, version, range, null)
  await countEpoch(connection, version.id)
  await noteDatasetChange(connection, version.materialization.base.name)
  return deleted
}
