import { type AggregateVersion, readValidity, readVersions, refreshEveryMs } from '../continuous/index.ts'
import type { Queryable } from '../postgres/index.ts'
import {
  type Clock,
  formatInstant,
  type Instant,
  infinityInstant,
  minusInfinityInstant,
} from '../time/index.ts'
import { backOffMs } from '../util/back-off.ts'
import { quoteLiteral, sql } from '../util/sql.ts'
import type { Check, Found } from './check.ts'

/** A version of a continuous aggregate; `tidemark status` shows it. */
export interface AggregateStatus {
  readonly name: string
  readonly hypertable: string
  /** `building`: a changed definition, which takes the place of the current one when it has caught up. */
  readonly state: 'building' | 'current'
  /** Cells are valid up to here, but for `invalidRanges`; null: nothing is yet. */
  readonly watermark: string | null
  /** From there to now, 0 where a refresh has nothing to do; null: nothing is valid yet. */
  readonly lagMs: number | null
  /** Stretches before the watermark that a refresh has to compute: late rows, and what it has not come to. */
  readonly invalidRanges: number
  /** Outputs are not known in buckets before, because their rows are gone and nobody kept them; null: all are. */
  readonly unknownBefore: string | null
  /** Entries of the change log that no refresh has seen. */
  readonly missedEntries: number
  /** With indexes. */
  readonly bytes: number
  readonly refreshedAt: string | null
  readonly error: string | null
  /** In a row. */
  readonly failures: number
  /** When the worker tries again what has failed; null: it has not. */
  readonly triedAgainAt: string | null
}

/** Versions of every aggregate in the database, also of those that are no longer declared. */
export async function readAggregateStatus(connection: Queryable, clock: Clock): Promise<AggregateStatus[]> {
  const versions = await readVersions(connection, null)
  const { rows } = await connection.query(sql`
    select
      v.id, v.refreshed_at, v.refresh_error, v.refresh_failures,
      coalesce(pg_total_relation_size(to_regclass(format('tidemark_aggregates.%I', v.relation_name))), 0),
      -- what has no end is not computed before rows come
      exists (select from tidemark.aggregate_invalid as i where i.version_id = v.id and i.range_to <> 'infinity'),
      v.refresh_failed_at, j.next_run_at
    from tidemark.aggregate_version as v
    join tidemark.aggregate as a on a.id = v.aggregate_id
    left join tidemark.job as j on j.name = 'refresh ' || a.schema_name || '.' || a.table_name
    where v.state <> 'retired'`)
  const kept = new Map(rows.map(([id, ...rest]) => [id as number, rest]))
  const now = clock.now()
  const found: AggregateStatus[] = []
  for (const version of versions) {
    const known = kept.get(version.id)
    // replaced since the first statement
    if (!known) continue
    const [validity] = await readValidity((statement) => connection.query(statement), [version], null)
    const [refreshedAt, error, failures, bytes, isWaiting, failedAt, nextRunAt] = known as [
      Instant | null,
      string | null,
      number,
      bigint,
      boolean,
      Instant | null,
      Instant | null,
    ]
    const { invalid, missed, startOver } = validity!
    const open = invalid.find(({ range }) => range.to === infinityInstant)
    const isNothing = startOver !== null || open?.range.from === minusInfinityInstant
    const isCaughtUp = missed === 0n && !isWaiting
    const watermark = isNothing ? null : (open?.range.from ?? now)
    found.push({
      name: version.name,
      hypertable: version.materialization.base.name,
      state: version.state as 'building' | 'current',
      watermark: watermark === null ? null : formatInstant(watermark),
      lagMs: watermark === null ? null : isCaughtUp ? 0 : Math.max(0, Number((now - watermark) / 1000n)),
      invalidRanges: invalid.filter(({ range }) => range.to !== infinityInstant).length,
      unknownBefore: unknownBeforeOf(version),
      missedEntries: Number(missed),
      bytes: Number(bytes),
      refreshedAt: refreshedAt === null ? null : formatInstant(refreshedAt),
      error,
      failures,
      triedAgainAt: failedAt === null ? null : triedAgainAt(version, failures, failedAt, nextRunAt),
    })
  }
  return found
}

function unknownBeforeOf({ unknownBefore, expiredBefore }: AggregateVersion): string | null {
  const marks = [...unknownBefore.values(), ...(expiredBefore === null ? [] : [expiredBefore])]
  if (marks.length === 0) return null
  return formatInstant(marks.reduce((most, at) => (at > most ? at : most)))
}

/** A version that is being built waits by itself; with the current one the whole job does. */
function triedAgainAt(
  { state, materialization }: AggregateVersion,
  failures: number,
  failedAt: Instant,
  nextRunAt: Instant | null,
): string | null {
  const due = nextRunAt === null || nextRunAt === minusInfinityInstant ? null : nextRunAt
  if (state === 'current') return due === null ? null : formatInstant(due)
  const waited = failedAt + BigInt(backOffMs(refreshEveryMs(materialization.definition), failures)) * 1000n
  return formatInstant(due !== null && due > waited ? due : waited)
}

/** What is wrong with continuous aggregates. */
export const checkAggregates: Check = async ({ connection, aggregates, clock }) => {
  const all = await readAggregateStatus(connection, clock)
  const declared = new Set(aggregates.map(({ name }) => name))
  const problems = all.flatMap((one): Found[] => {
    const { name, state, error, failures, refreshedAt, triedAgainAt } = one
    const who = state === 'building' ? `the new version of ${name}` : name
    if (!declared.has(name))
      return [
        {
          level: 'warn',
          message: `${name} is no longer declared and nobody refreshes it: the change log is kept for it, and retention waits for it`,
          todo: `declare it again, or drop it: tidemark migrate --drop-aggregate ${name} (in SQL: select tidemark.drop_aggregate(${quoteLiteral(name)}))`,
        },
      ]
    if (error !== null)
      return [
        {
          level: failures >= 3 ? 'fail' : 'warn',
          message: `${who} could not be refreshed (${failures} times in a row): ${error}`,
          todo: `answers stay right, and are slower; do what the message says${triedAgainAt === null ? '' : `. The worker tries again at ${triedAgainAt}`}`,
        },
      ]
    if (refreshedAt === null)
      return [
        {
          level: 'note',
          message: `${who} has never been refreshed: it is answered from rows, and the change log is kept for it`,
          todo: `run "tidemark refresh ${name}", or "tidemark worker"`,
        },
      ]
    return []
  })
  if (problems.length > 0) return problems
  return {
    level: 'ok',
    message:
      all.length === 0
        ? 'there is no continuous aggregate'
        : `${all.length} continuous aggregates are kept up`,
    todo: null,
  }
}
