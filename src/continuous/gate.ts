import type { Queryable } from '../postgres/index.ts'
import { intersect } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import {
  formatInstant,
  type Instant,
  infinityInstant,
  subtractInterval,
  type TimeRange,
} from '../time/index.ts'
import { readVersions } from './catalog.ts'
import { widen } from './invalid-ranges.ts'
import { awaitWriters } from './late-lock.ts'
import { keptFrom } from './refresh-work.ts'
import { readValidity, type VersionValidity } from './validity.ts'
import type { AggregateVersion } from './version.ts'

export interface DropRequest {
  readonly subject: { readonly definition: HypertableDefinition }
  readonly chunk: { readonly range: TimeRange }
  /** What ends by then is past the retention. */
  readonly cutoff: Instant
  readonly now: Instant
  /** Asked in its snapshot: inside the transaction that drops, after writers have been locked out. */
  readonly db: Queryable
}

/**
 * Whether every continuous aggregate has what it needs of a chunk: all buckets that touch it are valid, with everything that was
 * written until now. Afterwards they are never computed again, so a bucket that reaches beyond the chunk has to be past the
 * retention as a whole: a row that comes into its other part later than that is later than the retention.
 */
export async function mayDropChunk({
  subject,
  chunk,
  cutoff,
  now,
  db,
}: DropRequest): Promise<true | { readonly reason: string }> {
  await awaitWriters(db, subject.definition)
  const versions = await readVersions(db, subject.definition)
  if (versions.length === 0) return true
  const validity = await readValidity((statement) => db.query(statement), versions, null)
  for (const [i, version] of versions.entries()) {
    const reason = missingOf(version, validity[i] as VersionValidity, chunk.range, cutoff, now)
    if (reason !== null) return { reason }
  }
  return true
}

/**
 * Why chunks that are past the retention would stay if it came to them at this moment, in the order of `ranges`; null: they would go. A
 * reading for people: it takes no lock, and decides nothing.
 */
export async function readDropObstacles(
  db: Queryable,
  definition: HypertableDefinition,
  ranges: readonly TimeRange[],
  now: Instant,
): Promise<(string | null)[]> {
  const versions = await readVersions(db, definition)
  if (versions.length === 0 || definition.retain === null) return ranges.map(() => null)
  const cutoff = subtractInterval(now, definition.retain, null)
  const validity = await readValidity((statement) => db.query(statement), versions, null)
  return ranges.map((range) => {
    for (const [i, version] of versions.entries()) {
      const reason = missingOf(version, validity[i] as VersionValidity, range, cutoff, now)
      if (reason !== null) return reason
    }
    return null
  })
}

/** Why the version still needs rows of the range; null: it does not. */
function missingOf(
  { name, state, materialization: { bucket, definition } }: AggregateVersion,
  { startOver, invalid }: VersionValidity,
  range: TimeRange,
  cutoff: Instant,
  now: Instant,
): string | null {
  const who = state === 'building' ? `the new version of ${name}` : name
  const touched = widen(bucket, range)
  if (touched.to > cutoff)
    return `a bucket of ${who} that begins in it ends ${formatInstant(touched.to)}, which is not past the retention yet`
  // what the aggregate does not keep either
  const needed = intersect(touched, { from: keptFrom(definition, now), to: infinityInstant })
  if (!needed) return null
  if (startOver !== null) return `${who} has not been refreshed yet`
  for (const one of invalid) {
    const missing = intersect(widen(bucket, one.range), needed)
    if (missing)
      return `${who} has to be refreshed from ${formatInstant(missing.from)} to ${formatInstant(missing.to)} first`
  }
  return null
}
