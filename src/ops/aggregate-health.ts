import type { AggregateHealth } from '../client/index.ts'
import { readValidity, readVersions, refreshEveryMs } from '../continuous/index.ts'
import type { Queryable } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import {
  type Clock,
  formatInstant,
  type Instant,
  infinityInstant,
  minusInfinityInstant,
  type TimeRange,
} from '../time/index.ts'
import { sql } from '../util/sql.ts'
import { type AggregateStatus, readAggregateStatus } from './aggregates.ts'
import { type JobReading, readJobReadings } from './job-health.ts'

/** What the catalog tells of continuous aggregates; which queries use them, whoever watches queries knows. */
export type KnownAggregate = Omit<AggregateHealth, 'usedBy'>

const maxRanges = 100

/** Of each continuous aggregate how far it is, and what is open. No table is scanned. */
export async function readAggregateHealth(
  connection: Queryable,
  declared: readonly ContinuousAggregateDefinition[],
  clock: Clock,
): Promise<KnownAggregate[]> {
  const now = clock.now()
  const statuses = await readAggregateStatus(connection, clock)
  const versions = await readVersions(connection, null)
  const details = await readDetails(connection)
  const jobs = await readJobReadings(connection)
  const names = [...new Set([...declared.map(({ name }) => name), ...versions.map(({ name }) => name)])]
  const found: KnownAggregate[] = []
  for (const name of names) {
    const mine = versions.filter((version) => version.name === name)
    const answering = mine.find(({ state }) => state === 'current') ?? mine[0]
    const definition = declared.find((one) => one.name === name) ?? answering?.materialization.definition
    // dropped since the first statement
    if (definition === undefined) continue
    const state = answering?.state ?? 'current'
    const status = statuses.find((one) => one.name === name && one.state === state)
    const job = jobs.find((one) => one.name === `refresh ${name}`)
    const ranges = answering === undefined ? null : await readInvalid(connection, answering)
    const built = mine.find((version) => version.state === 'building')
    found.push({
      name,
      from: definition.from.name,
      bucket: definition.bucket.every.text,
      versions: mine.map(({ id, state }) => ({
        version: id,
        state: state === 'building' ? 'building' : 'current',
        createdAt: formatInstant(details.get(id)?.createdAt ?? now),
      })),
      watermark: status?.watermark ?? null,
      lagMs: status?.lagMs ?? null,
      open: {
        entries: status?.missedEntries ?? 0,
        count: ranges?.length ?? 0,
        ranges: (ranges ?? [])
          .slice(0, maxRanges)
          .map(({ from, to }) => ({ from: text(from), to: text(to) })),
      },
      cells: mine.reduce((sum, { id }) => sum + (details.get(id)?.cells ?? 0), 0),
      bytes: statuses.filter((one) => one.name === name).reduce((sum, { bytes }) => sum + bytes, 0),
      retain: definition.retain?.text ?? null,
      refreshEveryMs: refreshEveryMs(definition),
      lastRefresh: lastRefreshOf(status, job),
      nextRefresh: job?.nextRunAt == null ? null : formatInstant(job.nextRunAt),
      error: status?.error ?? null,
      failures: status?.failures ?? 0,
      building:
        built === undefined
          ? null
          : progressOf(await readInvalid(connection, built), details.get(built.id)?.span ?? null, now),
      unknownBefore: status?.unknownBefore ?? null,
      isDeclared: declared.some((one) => one.name === name),
    })
  }
  return found
}

/** Ranges that have to be computed and have an end; null: nothing of it is valid. */
async function readInvalid(
  connection: Queryable,
  version: Parameters<typeof readValidity>[1][number],
): Promise<readonly TimeRange[] | null> {
  const [validity] = await readValidity((statement) => connection.query(statement), [version], null)
  if (validity === undefined || validity.startOver !== null) return null
  return united(validity.invalid.map(({ range }) => range)).filter(({ to }) => to !== infinityInstant)
}

/** Whosoever tenant's, in order. */
function united(ranges: readonly TimeRange[]): TimeRange[] {
  const all: TimeRange[] = []
  for (const range of [...ranges].sort((a, b) => (a.from < b.from ? -1 : 1))) {
    const last = all.at(-1)
    if (last === undefined || range.from > last.to) all.push(range)
    else if (range.to > last.to) all[all.length - 1] = { from: last.from, to: range.to }
  }
  return all
}

interface VersionDetail {
  readonly createdAt: Instant
  readonly cells: number
  /** Where rows of its hypertable can be; null: nowhere yet. */
  readonly span: TimeRange | null
}

async function readDetails(connection: Queryable): Promise<ReadonlyMap<number, VersionDetail>> {
  const { rows } = await connection.query(sql`
    select
      v.id, v.created_at,
      coalesce(pg_stat_get_live_tuples(to_regclass(format('tidemark_aggregates.%I', v.relation_name))), 0)::float8,
      k.range_from, k.range_to
    from tidemark.aggregate_version as v
    join tidemark.aggregate as a on a.id = v.aggregate_id
    cross join lateral (
      select min(c.range_from) as range_from, max(c.range_to) as range_to
      from tidemark.chunk as c
      where c.hypertable_id = a.hypertable_id and c.state <> 'dropped'
    ) as k
    where v.state <> 'retired'`)
  return new Map(
    rows.map(([id, createdAt, cells, from, to]) => [
      id as number,
      {
        createdAt: createdAt as Instant,
        cells: cells as number,
        span: from === null ? null : { from: from as Instant, to: to as Instant },
      },
    ]),
  )
}

/** ms of the time with rows, up to now, that are valid. */
function progressOf(
  invalid: readonly TimeRange[] | null,
  span: TimeRange | null,
  now: Instant,
): { readonly done: number; readonly total: number } {
  if (span === null) return { done: 0, total: 0 }
  const to = span.to < now ? span.to : now
  const total = to > span.from ? to - span.from : 0n
  if (invalid === null) return { done: 0, total: Number(total / 1000n) }
  let left = 0n
  for (const range of invalid) {
    const from = range.from > span.from ? range.from : span.from
    const end = range.to < to ? range.to : to
    if (end > from) left += end - from
  }
  return { done: Number((total - left) / 1000n), total: Number(total / 1000n) }
}

function lastRefreshOf(
  status: AggregateStatus | undefined,
  job: JobReading | undefined,
): KnownAggregate['lastRefresh'] {
  const at = status?.refreshedAt ?? null
  if (at === null) return null
  const number = (key: string): number | null => {
    const value = job?.lastResult?.[key]
    return typeof value === 'number' ? value : null
  }
  return { at, ms: job?.lastMs ?? null, rows: number('rows'), cells: number('cells') }
}

function text(instant: Instant): string {
  if (instant === minusInfinityInstant) return '-infinity'
  return formatInstant(instant)
}
