import { timestamptzText } from '../changelog/index.ts'
import { type Database, isRetryable, retry } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { type Clock, type Instant, minusInfinityInstant } from '../time/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { readVersions } from './catalog.ts'
import { bucketColumn } from './cell-table.ts'
import { cellRelation, deleteCells } from './cells.ts'
import { countEpoch, lockVersion, readInvalid, writeInvalid } from './invalid.ts'
import { setOf, unite, workOf } from './invalid-ranges.ts'
import { keptFrom } from './refresh-work.ts'

/**
 * Drops cells that are older than `retain` of the aggregate. What they said is not valid from then on, so that a query of the
 * hypertable reads the rows, as long as they are there. Gives the number of cells.
 */
export async function expireCells(
  { db, clock }: { readonly db: Database; readonly clock: Clock },
  definition: ContinuousAggregateDefinition,
  signal: AbortSignal | null = null,
): Promise<number> {
  const cutoff = keptFrom(definition, clock.now())
  if (cutoff === minusInfinityInstant) return 0
  let cells = 0
  for (const version of await readVersions(db, definition.base)) {
    if (version.name !== definition.name) continue
    const { rows } = await db.query(sql`
      select exists (
        select from ${cellRelation(version)}
        where ${identifier(bucketColumn)} < ${timestamptzText(cutoff)}::timestamptz
      )`)
    if (rows[0]?.[0] !== true) continue
    const past = { from: minusInfinityInstant, to: cutoff as Instant }
    cells += await retry({ what: `dropping old cells of ${definition.name}`, signal, isRetryable }, () =>
      db.transaction({ mode: 'repeatable read', signal }, async (connection) => {
        if (!(await lockVersion(connection, version.id))) return 0
        const before = await readInvalid(connection, version.id)
        const { closed, openFrom } = workOf(before)
        const after = setOf({ closed: unite([...closed, { tenant: null, range: past }]), openFrom })
        await writeInvalid(connection, version.id, before, after)
        const deleted = await deleteCells(connection, version, past, null)
        await countEpoch(connection, version.id)
        return deleted
      }),
    )
  }
  return cells
}
