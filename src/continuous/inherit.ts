import { timestamptzText } from '../changelog/index.ts'
import { snapshotOf } from '../hot/index.ts'
import { type Connection, isRetryable, retry } from '../postgres/index.ts'
import {
  intersect,
  queryLimits,
  readNamedCells,
  type StateRequest,
  stateRequestKey,
  unknownState,
  windowAtEnd,
} from '../query/index.ts'
import {
  bucketMisfit,
  bucketStart,
  formatInstant,
  type Instant,
  minusInfinityInstant,
  nextBucket,
  subtractInterval,
  type TimeRange,
} from '../time/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import { readVersions } from './catalog.ts'
import { bucketColumn } from './cell-table.ts'
import { cellRelation, deleteCells, insertCells } from './cells.ts'
import { countEpoch, lockVersion, readFrozen } from './invalid.ts'
import type { RefreshContext } from './refresh-version.ts'
import { cannotAnswer } from './tier-fit.ts'
import { type AggregateVersion, sameShape } from './version.ts'

/** Cells of the old version that one transaction reads at most, as long as one bucket of the new one has no more of them. */
const maxCellsAtOnce = 100_000

interface Versions {
  readonly building: AggregateVersion
  readonly current: AggregateVersion
}

/** A state that the new version can make of the old one's cells. */
interface Inherited {
  /** Its place in the new version. */
  readonly place: number
  readonly request: StateRequest
  /** What the old one does not know of it either. */
  readonly unknownBefore: Instant
}

/**
 * Cells of a new version of buckets whose rows are gone, from those of the current one where its keys, filter and buckets allow that,
 * the newest first, some in each transaction. They are read as a query by the aggregate's name reads them: exact, with the rows of a
 * bucket's part that is still there. What is done by then is known from then on: `unknown_before` moves back in the same
 * transaction, so that a late row is merged into both versions, or is in the cells that are read here.
 *
 * Versions of the same cells are not meant: those are copied when they are swapped.
 *
 * @returns Why it has to be waited for; null: what can be known is.
 */
export async function inheritCells(
  context: RefreshContext,
  versions: Versions,
  signal: AbortSignal | null,
): Promise<string | null> {
  const { building, current } = versions
  const { materialization } = building
  const isPossible =
    !sameShape(building, current) &&
    bucketMisfit(current.materialization.bucket, materialization.bucket) === null &&
    context.tiers.some(({ name }) => name === current.name)
  if (!isPossible) return null
  const what = `taking over cells of ${building.name}`
  for (;;) {
    const next = await retry({ what, signal, isRetryable }, () =>
      context.db.transaction({ mode: 'repeatable read', signal }, (connection) =>
        inheritSome(context, connection, versions, signal),
      ),
    )
    if (next.isDone) return next.problem
  }
}

interface Progress {
  readonly isDone: boolean
  readonly problem: string | null
}

const done: Progress = { isDone: true, problem: null }

async function inheritSome(
  context: RefreshContext,
  connection: Connection,
  { building: { id }, current: { id: currentId } }: Versions,
  signal: AbortSignal | null,
): Promise<Progress> {
  // both: a late row is merged into both or none of them
  for (const one of [id, currentId].sort((a, b) => a - b))
    if (!(await lockVersion(connection, one)))
      return { isDone: true, problem: 'another process works on one of its versions' }
  const all = await readVersions(connection, null)
  const building = all.find((version) => version.id === id) ?? unreachable('a locked version is there')
  const current = all.find((version) => version.id === currentId) ?? unreachable('a locked version is there')
  const { bucket, base, keys, where } = building.materialization
  const inherited = inheritedStates(building, current)
  const marks = inherited.flatMap(({ place }) => building.unknownBefore.get(place) ?? [])
  const mark = marks.reduce<Instant | null>((least, at) => (least === null || at < least ? at : least), null)
  if (mark === null) return done
  const stopAt = inherited.reduce(
    (least, { unknownBefore }) => (unknownBefore < least ? unknownBefore : least),
    inherited[0]?.unknownBefore ?? minusInfinityInstant,
  )

  const frozen = await readFrozen(connection, building)
  const left = frozen.flatMap((range) => intersect(range, { from: stopAt, to: mark }) ?? [])
  const last = left.at(-1)
  if (!last) {
    await moveMarks(connection, building, inherited, minusInfinityInstant)
    return done
  }
  const waiting = await whyNotYet(context, connection, building, last)
  if (waiting !== null) return waiting

  const from = await startOfBatch(context, connection, building, current, last)
  const range = { from, to: last.to }
  const snapshot = await snapshotOf(context.db, connection, { dataset: base, signal })
  const { tiers, clock, limits } = context
  const { cells, isUsed } = await readNamedCells(
    current.materialization.definition,
    { dataset: base, bucket, by: keys, where, states: inherited.map(({ request }) => request), range },
    {
      tiers,
      snapshot,
      clock,
      signal,
      limits: queryLimits({ ...limits, maxCells: Math.max(limits.maxCells, 1_000_000) }),
    },
  )
  // this process does not read the current version's cells: nothing is known here
  const gone = await readFrozen(connection, current)
  if (!isUsed && gone.some((one) => intersect(one, range))) return done
  const places = new Map(inherited.map(({ place }, i) => [place, i]))
  await deleteCells(connection, building, range, null)
  await insertCells(
    connection,
    building,
    cells.map((cell) => ({
      ...cell,
      states: building.materialization.states.map((_, place) => {
        const at = places.get(place)
        return at === undefined ? unknownState : (cell.states[at] ?? unreachable('each state is computed'))
      }),
    })),
  )
  await moveMarks(connection, building, inherited, from)
  await countEpoch(connection, id)
  return { isDone: false, problem: null }
}

/** Those that the current version's cells give, each by itself. */
function inheritedStates(
  { materialization: { base, keys, where, states, bucket } }: AggregateVersion,
  current: AggregateVersion,
): readonly Inherited[] {
  const theirs = new Map(current.materialization.states.map((request, i) => [stateRequestKey(request), i]))
  return states.flatMap((request, place): Inherited[] => {
    const asked = {
      dataset: base,
      range: null,
      bucket: null,
      by: keys,
      where,
      states: [request],
      maxCells: 1,
    }
    const at = theirs.get(stateRequestKey(request))
    if (at === undefined || cannotAnswer(asked, current.materialization) !== null) return []
    const before = [current.unknownBefore.get(at), current.expiredBefore]
      .filter((instant) => instant !== null && instant !== undefined)
      .reduce((most, instant) => (instant > most ? instant : most), minusInfinityInstant)
    // a bucket that is not known as a whole is not known
    const isBorder = before === minusInfinityInstant || bucketStart(bucket, before) === before
    return [{ place, request, unknownBefore: isBorder ? before : nextBucket(bucket, before) }]
  })
}

/**
 * A bucket that reaches beyond what was dropped is frozen as a whole, so it must lie before the retention as a whole: until then rows may
 * come into its other part.
 */
async function whyNotYet(
  { clock }: RefreshContext,
  connection: Connection,
  { hypertableId, materialization: { base, bucket } }: AggregateVersion,
  { to }: TimeRange,
): Promise<Progress | null> {
  const { rows } = await connection.query(sql`
    select max(range_to) from tidemark.chunk where hypertable_id = ${hypertableId}::int4 and state = 'dropped'`)
  const goneTo = rows[0]?.[0] as Instant
  if (to <= goneTo) return null
  if (base.retain === null) return done
  const cutoff = subtractInterval(clock.now(), base.retain, null)
  if (to <= cutoff) return null
  const from = bucketStart(bucket, to - 1n)
  const problem = `its bucket from ${formatInstant(from)} to ${formatInstant(to)} is half gone and half within the retention; it can be taken over when all of it is past`
  return { isDone: true, problem }
}

/** Where whole buckets at the end of a stretch begin that have about so many cells of the current version. */
async function startOfBatch(
  { limits, settings }: RefreshContext,
  connection: Connection,
  { materialization: { bucket } }: AggregateVersion,
  current: AggregateVersion,
  stretch: TimeRange,
): Promise<Instant> {
  const column = identifier(bucketColumn)
  const { rows } = await connection.query(sql`
    select ${column} from ${cellRelation(current)}
    where ${column} >= ${timestamptzText(stretch.from)}::timestamptz and ${column} < ${timestamptzText(stretch.to)}::timestamptz
    order by ${column} desc
    offset ${Math.min(maxCellsAtOnce, settings?.maxRows ?? maxCellsAtOnce)}::int8
    limit 1`)
  const most = Math.max(1, Math.floor(limits.maxBuckets / 2))
  const { from } = windowAtEnd(bucket, stretch, most, true)
  const found = rows[0]?.[0] as Instant | undefined
  if (found === undefined || found < from) return from
  const behind = nextBucket(bucket, found)
  return behind < stretch.to ? behind : bucketStart(bucket, stretch.to - 1n)
}

/** From `from` on inherited states are known now, as far as the old version knows them. */
async function moveMarks(
  connection: Connection,
  { id, unknownBefore }: AggregateVersion,
  inherited: readonly Inherited[],
  from: Instant,
): Promise<void> {
  const marks = new Map(unknownBefore)
  for (const { place, unknownBefore: theirs } of inherited) {
    const before = theirs > from ? theirs : from
    if (before === minusInfinityInstant) marks.delete(place)
    else marks.set(place, before)
  }
  const unknown = Object.fromEntries([...marks].map(([place, before]) => [place, formatInstant(before)]))
  await connection.query(sql`
    update tidemark.aggregate_version
    set unknown_before = ${JSON.stringify(unknown)}::jsonb || case when unknown_before ? 'expired'
      then jsonb_build_object('expired', unknown_before -> 'expired') else '{}' end
    where id = ${id}::int4`)
}
