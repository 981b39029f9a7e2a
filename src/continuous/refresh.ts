import type { Queryable } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { bucketStart, infinityInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { readVersions } from './catalog.ts'
import { dropRetired } from './drop-retired.ts'
import { inheritCells } from './inherit.ts'
import {
  type RefreshContext,
  type RefreshOptions,
  refreshVersion,
  type VersionRefresh,
} from './refresh-version.ts'
import { findWork, type VersionWork } from './refresh-work.ts'
import { type SwapOutcome, swapVersion } from './swap.ts'
import type { AggregateVersion } from './version.ts'

export interface RefreshReport {
  readonly aggregate: string
  /** Of the versions that had something to do: the current one, and one that is being built. */
  readonly versions: readonly VersionRefresh[]
  /** Of the current version. */
  readonly rows: number
  readonly cells: number
  /** What became of a version that is being built; null: there is none. */
  readonly swap: SwapOutcome | null
  /** Why nothing became of it, where that does not fail the refresh (`backsOff`); null: nothing is wrong. */
  readonly buildError: string | null
  /** Somebody else is refreshing it. */
  readonly isBusy: boolean
  readonly elapsedMs: number
}

/**
 * Brings a continuous aggregate up to now: cells that are not valid are computed, a version that is being built goes on and takes the
 * place of the current one when it has caught up, tables of old versions are dropped. With nothing to do it is one statement.
 *
 * @example
 * const { rows, cells } = await refreshAggregate({ db, tiers, clock, limits }, hourly)
 *
 * @throws TidemarkError TM_MIGRATION when it has not been made yet, TM_AGGREGATE, TM_BUSY, TM_CANCELLED: what is done by then stays done.
 */
export async function refreshAggregate(
  context: RefreshContext,
  definition: ContinuousAggregateDefinition,
  options: RefreshOptions = {},
): Promise<RefreshReport> {
  const startedMs = performance.now()
  const { db, clock } = context
  const isForced = (options.range ?? null) !== null
  const now = clock.now()
  const until = (options.withRunning ?? true) ? infinityInstant : bucketStart(definition.bucket, now)
  const work = await findWork(db, definition, { now, until })
  if (work.length === 0)
    throw new TidemarkError('TM_MIGRATION', {
      problem: `the continuous aggregate ${definition.name} has not been made in this database`,
      todo: 'run `tidemark migrate`',
    })
  const versions: VersionRefresh[] = []
  let swap: SwapOutcome | null = null
  let buildError: string | null = null
  if (isForced || work.some(({ hasWork }) => hasWork)) {
    const known = await readVersions(db, definition.base)
    const mine = (state: AggregateVersion['state']): AggregateVersion | undefined =>
      known.find((version) => version.name === definition.name && version.state === state)
    const current = mine('current')
    const building = mine('building')
    const workOf = (version: AggregateVersion): VersionWork | undefined =>
      work.find(({ id }) => id === version.id)
    try {
      if (current && (isForced || (workOf(current)?.hasWork ?? true)))
        versions.push(await noting(db, current, () => refreshVersion(context, current, options)))
      if (building && !(options.backsOff && workOf(building)?.isBackingOff)) {
        // one success: what cannot be swapped in has failed, however well it was computed
        const build = async (): Promise<SwapOutcome | null> => {
          versions.push(await refreshVersion(context, building, options))
          if (isForced || versions.some(({ isBusy }) => isBusy)) return null
          const missing = current
            ? await inheritCells(context, { building, current }, options.signal ?? null)
            : null
          if (missing !== null) return { kind: 'waiting', problem: missing, compared: 0 }
          return swapVersion(context, { building, current: current ?? null }, options.signal ?? null)
        }
        const problemOf = (done: SwapOutcome | null): string | null =>
          done?.kind === 'different' ? done.problem : null
        try {
          swap = await noting(db, building, build, problemOf)
        } catch (error) {
          if (!options.backsOff || options.signal?.aborted) throw error
          buildError = error instanceof Error ? error.message : String(error)
        }
      }
    } finally {
      for (const tier of context.tiers) tier.forget?.(definition.base)
    }
    if (work.some(({ state }) => state === 'retired')) await dropRetired(db, definition)
  }
  const main = versions.find(({ state }) => state === 'current')
  return {
    aggregate: definition.name,
    versions,
    rows: main?.rows ?? 0,
    cells: main?.cells ?? 0,
    swap,
    buildError,
    isBusy: versions.some(({ isBusy }) => isBusy),
    elapsedMs: Math.round(performance.now() - startedMs),
  }
}

/** Writes down how it went: status and doctor tell what keeps failing. */
async function noting<T>(
  db: Queryable,
  { id }: AggregateVersion,
  run: () => Promise<T>,
  problemOf: (done: T) => string | null = () => null,
): Promise<T> {
  let done: T
  try {
    done = await run()
  } catch (error) {
    // the first error matters more than one of writing it down: it is what the caller hears
    await noteFailure(db, id, error instanceof Error ? error.message : String(error)).catch(() => {})
    throw error
  }
  const problem = problemOf(done)
  if (problem !== null) await noteFailure(db, id, problem)
  else
    await db.query(sql`
      update tidemark.aggregate_version
      set refreshed_at = clock_timestamp(), refresh_error = null, refresh_failed_at = null, refresh_failures = 0
      where id = ${id}::int4`)
  return done
}

async function noteFailure(db: Queryable, id: number, problem: string): Promise<void> {
  await db.query(sql`
    update tidemark.aggregate_version
    set refresh_error = ${problem}::text, refresh_failed_at = clock_timestamp(), refresh_failures = refresh_failures + 1
    where id = ${id}::int4`)
}
