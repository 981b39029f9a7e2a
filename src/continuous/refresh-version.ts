import { seesAllRows, snapshotOf } from '../hot/index.ts'
import { type Connection, type Database, isRetryable, retry } from '../postgres/index.ts'
import { intersect, type QueryContext, type QueryLimits, type Tier } from '../query/index.ts'
import {
  type BucketSpec,
  bucketStart,
  type Clock,
  formatInstant,
  type Instant,
  infinityInstant,
  minusInfinityInstant,
  nextBucket,
  type TimeRange,
} from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { deleteCells } from './cells.ts'
import { countEpoch, lockVersion, readFrozen, readInvalid, takeOver, writeInvalid } from './invalid.ts'
import { always, cutOut, keyOf, setOf, subtract, unite, type Work, widen, workOf } from './invalid-ranges.ts'
import { computeCells } from './refresh-cells.ts'
import { createRefreshSizes, type RefreshSizes } from './refresh-sizes.ts'
import { boundsOfTimes, newerEnd, newestWork } from './refresh-windows.ts'
import { keptFrom } from './refresh-work.ts'
import type { AggregateVersion } from './version.ts'

export interface RefreshContext {
  readonly db: Database
  /** Where rows and cells are read; in the order of preference. */
  readonly tiers: readonly Tier[]
  readonly clock: Clock
  readonly limits: QueryLimits
  readonly settings?: Partial<RefreshSettings>
  /** Told when a new version is not what the current one is. */
  readonly raise?: (alarm: RefreshAlarm) => Promise<void>
}

export interface RefreshAlarm {
  readonly kind: 'new version'
  readonly dataset: string
  /** Equal for alarms that are the same. */
  readonly fingerprint: string
  readonly detail: { readonly problem: string }
}

export interface RefreshSettings {
  /** Rows that one statement reads at most, about; a bucket with more is read whole. */
  readonly maxRows: number
  /** Bytes of cells in memory at once, about; a bucket with more is computed part of its keys by part. */
  readonly maxBytes: number
  /** ms that one statement may take. One that takes longer is tried again with less, three times, before TM_TIMEOUT. */
  readonly statementMs: number
  /** ms after which a transaction begins no other stretch. Others that refresh the same aggregate wait so long, nobody else does. */
  readonly batchMs: number
  /** Tries of a transaction that others got in the way of, before TM_BUSY. */
  readonly tries: number
}

export const refreshDefaults: RefreshSettings = Object.freeze({
  maxRows: 2_000_000,
  maxBytes: 128 * 1024 * 1024,
  statementMs: 600_000,
  batchMs: 500,
  tries: 12,
})

export interface RefreshOptions {
  readonly signal?: AbortSignal | null
  /** Computed anew whether it is valid or not, and nothing else is; ends may be open (±infinity). */
  readonly range?: TimeRange | null
  /** Whether the bucket that `now` lies in is computed, too, although its next row makes it invalid again. Default true. */
  readonly withRunning?: boolean
  /**
   * Of the worker, which comes again: what fails with a version that is being built is tried again after longer and longer, and does
   * not fail the current one. Default false.
   */
  readonly backsOff?: boolean
  readonly onProgress?: (progress: RefreshProgress) => void
}

export interface RefreshProgress {
  readonly aggregate: string
  readonly state: AggregateVersion['state']
  readonly batches: number
  /** Stretches that are left. */
  readonly rangesLeft: number
  /** Of the time that was to be computed. */
  readonly share: number
  readonly rows: number
  readonly cells: number
  readonly secondsLeft: number | null
}

export interface VersionRefresh {
  readonly version: number
  readonly state: AggregateVersion['state']
  /** Entries of the change log that were taken over. */
  readonly entries: bigint
  /** Why everything was computed anew; null: only what had changed was. */
  readonly startOver: string | null
  readonly batches: number
  readonly rows: number
  readonly cells: number
  /** Somebody else is refreshing it: what is left is theirs. */
  readonly isBusy: boolean
  /** Parts of `range` whose cells stay as they are, and why; times as ISO 8601 in UTC. */
  readonly left: readonly LeftPart[]
}

export interface LeftPart {
  readonly from: string
  readonly to: string
  readonly reason: string
}

/**
 * Computes the cells of a version that are not valid; docs/design/continuous-aggregates.md. Can be killed at any instruction and
 * called again; any number of callers may.
 *
 * @throws TidemarkError TM_AGGREGATE when its role does not see every row, TM_BUSY, TM_TIMEOUT, TM_CANCELLED (what is done by then
 * stays done).
 */
export async function refreshVersion(
  context: RefreshContext,
  version: AggregateVersion,
  options: RefreshOptions = {},
): Promise<VersionRefresh> {
  const signal = options.signal ?? null
  const settings = { ...refreshDefaults, ...context.settings }
  const what = `refreshing ${version.name}`
  const again = <T>(run: () => Promise<T>): Promise<T> =>
    // whether a commit went through does not matter: what it would have done is seen, or done again
    retry(
      { what, tries: settings.tries, signal, isRetryable: (error) => isRetryable(error) || isUnknown(error) },
      run,
    )
  const { bucket, definition } = version.materialization
  // its own cells are what is computed: a new version from those of the old one would compare with itself
  const own = { ...context, tiers: context.tiers.filter(({ name }) => name !== version.name) }
  const now = context.clock.now()
  const forced = options.range ? widen(bucket, options.range) : null
  const taken = await again(() =>
    context.db.transaction({ mode: 'repeatable read', signal }, (connection) =>
      takeOver(connection, version, forced && openEndCut(forced, bucket, now)),
    ),
  )
  const from = keptFrom(definition, now)
  const total = { batches: 0, rows: 0, cells: 0 }
  const report = (isBusy: boolean): VersionRefresh => ({
    version: version.id,
    state: version.state,
    entries: taken?.entries ?? 0n,
    startOver: taken?.startOver ?? null,
    ...total,
    isBusy,
    left: forced && taken ? leftOf(forced, taken.frozen, from) : [],
  })
  if (taken === null) return report(true)
  const to = (options.withRunning ?? true) ? infinityInstant : bucketStart(bucket, now)
  const within = intersect({ from, to }, forced ?? always)
  if (!within) return report(false)
  const watch = createWatch(options, version)
  const sizes = createRefreshSizes(version, settings)
  for (;;) {
    if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what }, { cause: signal.reason })
    try {
      const batch = await again(() => runBatch(own, version, { within, sizes, settings, signal }))
      if (batch === null) return report(true)
      total.rows += batch.rows
      total.cells += batch.cells
      if (batch.windows > 0) total.batches += 1
      watch(total, batch.left)
      if (batch.left.length === 0) return report(false)
    } catch (error) {
      if (!isTidemarkError(error) || error.code !== 'TM_TIMEOUT') throw error
      if (!sizes.shrink()) throw tookTooLong(version, settings.statementMs, error)
    }
  }
}

function tookTooLong({ name }: AggregateVersion, limitMs: number, cause: unknown): TidemarkError {
  const todo =
    'look in pg_stat_activity for what it waits for or what else is running; where one bucket of it is too much, declare shorter buckets or fewer keys'
  return new TidemarkError(
    'TM_TIMEOUT',
    { what: `refreshing ${name}: a statement, even for a few rows,`, limitMs, todo },
    { cause },
  )
}

/** What is asked for and not computed. */
function leftOf(asked: TimeRange, frozen: readonly TimeRange[], keptSince: Instant): LeftPart[] {
  const parts = (ranges: readonly TimeRange[], reason: string): LeftPart[] =>
    ranges.flatMap((range) => {
      const part = intersect(range, asked)
      return part ? [{ from: formatInstant(part.from), to: formatInstant(part.to), reason }] : []
    })
  const before = { from: minusInfinityInstant, to: keptSince }
  const expired = keptSince === minusInfinityInstant ? [] : [before]
  return [
    ...parts(subtract(expired, frozen), 'the aggregate keeps no cells of that time (retain)'),
    ...parts(frozen, 'retention has dropped its rows; the cells stay as they are'),
  ]
}

function isUnknown(error: unknown): boolean {
  return isTidemarkError(error) && error.code === 'TM_COMMIT_UNKNOWN'
}

/** A forced range without an end has one behind the bucket that runs, or that it begins with: what comes later is not computed yet. */
function openEndCut({ from, to }: TimeRange, bucket: BucketSpec, now: Instant): TimeRange {
  if (to !== infinityInstant) return { from, to }
  return { from, to: nextBucket(bucket, from > now ? from : now) }
}

interface BatchOptions {
  readonly within: TimeRange
  readonly sizes: RefreshSizes
  readonly settings: RefreshSettings
  readonly signal: AbortSignal | null
}

interface Batch {
  readonly windows: number
  readonly rows: number
  readonly cells: number
  /** What remains to be done in `within`. */
  readonly left: readonly TimeRange[]
}

/** One transaction: some stretches are computed in its snapshot, and are valid from then on. Null while somebody else has the version. */
function runBatch(
  context: RefreshContext,
  version: AggregateVersion,
  options: BatchOptions,
): Promise<Batch | null> {
  const { within, sizes, settings, signal } = options
  const { batchMs, statementMs } = settings
  const { materialization } = version
  const { base } = materialization
  const transaction = { mode: 'repeatable read', statementTimeoutMs: statementMs, signal } as const
  return context.db.transaction(transaction, async (connection) => {
    const started = performance.now()
    if (!(await lockVersion(connection, version.id))) return null
    const frozen = await readFrozen(connection, version)
    const before = await readInvalid(connection, version.id)
    const known = workOf(before)
    let { openFrom } = known
    let closed: Work['closed'] = cutOut(known.closed, frozen)
    const isSame = closed.map(keyOf).join() === known.closed.map(keyOf).join()
    if (openFrom !== null && isSame && newestWork(closed, within) === null)
      return { windows: 0, rows: 0, cells: 0, left: [] }

    const snapshot = await snapshotOf(context.db, connection, { dataset: base, signal })
    if (!seesAllRows(await snapshot.catalogVersion(base)))
      throw new TidemarkError('TM_AGGREGATE', {
        aggregate: version.name,
        problem: `the role that refreshes it does not see every row of ${base.name}, so its cells would be wrong for others`,
        todo: 'refresh as the owner of the table, or as a role with BYPASSRLS and SELECT on it',
      })
    // PostgreSQL takes every row for a group of its own, since it cannot know how many buckets there are, and then one process for cheaper
    await connection.query(sql`select set_config('parallel_tuple_cost', '0', true)`)
    const { tiers, clock, limits } = context
    const query: QueryContext = { tiers, snapshot, clock, signal, limits }
    if (openFrom === null) ({ closed, openFrom } = await openUp(connection, version, frozen, query))

    const total = { windows: 0, rows: 0, cells: 0 }
    do {
      const work = newestWork(closed, within)
      if (work === null) break
      const { piece, beyond, rows } = await newerEnd(materialization, work.range, sizes.maxRows(), query)
      const done: TimeRange[] = []
      if (piece !== null) {
        const window = { ...work, range: piece, estimatedRows: rows }
        const computed = await computeCells(connection, version, window, query, sizes)
        total.rows += computed.rows
        total.cells += computed.cells
        done.push(computed.range)
      }
      if (beyond !== null) {
        await deleteCells(connection, version, beyond, work.tenants)
        done.push(beyond)
      }
      closed = cutOut(closed, done, work.tenants === null ? null : new Set(work.tenants))
      total.windows += 1
    } while (performance.now() - started < batchMs)

    await writeInvalid(connection, version.id, before, setOf({ closed: unite(closed), openFrom }))
    await countEpoch(connection, version.id)
    const left = closed.flatMap(({ range }) => intersect(range, within) ?? [])
    return { ...total, left }
  })
}

/** Nothing of the version counts: work is what has rows, and there are no cells elsewhere. */
async function openUp(
  connection: Connection,
  version: AggregateVersion,
  frozen: readonly TimeRange[],
  query: QueryContext,
): Promise<{ readonly closed: Work['closed']; readonly openFrom: NonNullable<Work['openFrom']> }> {
  const { base, bucket } = version.materialization
  const bounds = await boundsOfTimes(base, always, query)
  const rows = bounds
    ? widen(bucket, bounds)
    : { from: bucketStart(bucket, query.clock.now()), to: bucketStart(bucket, query.clock.now()) }
  const outside = [
    { from: minusInfinityInstant, to: rows.from },
    { from: rows.to, to: infinityInstant },
  ]
  for (const range of subtract(outside, frozen)) await deleteCells(connection, version, range, null)
  const closed = bounds ? subtract([rows], frozen).map((range) => ({ tenant: null, range })) : []
  return { closed, openFrom: rows.to }
}

/** Tells `onProgress` of each batch. */
function createWatch(
  { onProgress }: RefreshOptions,
  { name, state }: AggregateVersion,
): (total: { batches: number; rows: number; cells: number }, left: readonly TimeRange[]) => void {
  const started = performance.now()
  let first: number | null = null
  return (total, left) => {
    if (!onProgress) return
    const micros = left.reduce((sum, { from, to }) => sum + Number(to - from), 0)
    // what the first batch did is not known to be more than nothing
    first ??= micros
    const share = micros === 0 ? 1 : first === 0 ? 0 : 1 - micros / first
    const seconds = (performance.now() - started) / 1000
    onProgress({
      aggregate: name,
      state,
      ...total,
      rangesLeft: left.length,
      share,
      secondsLeft: share === 0 ? null : (seconds / share) * (1 - share),
    })
  }
}
