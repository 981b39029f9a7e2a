import type { StorageGrowth } from '../client/index.ts'
import type { Database, Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import { readSizes } from './gauges.ts'

/** Two workers that meet write one sample, not two. */
const leastApartMs = 30 * 60_000
/** From then on one sample of each day is kept. */
const hourlyMs = 30 * 86_400_000
/** And from then on none: a dataset has some 2,500 samples at most. */
const keepMs = 5 * 365 * 86_400_000
/** Of one answer; 20 datasets of five years. */
const maxSamples = 50_000

/** Notes how large each dataset is, and forgets what is not needed any more. */
export async function sampleStorage(
  db: Database,
  definitions: readonly StoredDefinition[],
  now: Instant,
  signal: AbortSignal | null,
): Promise<{ readonly datasets: number; readonly forgotten: number }> {
  const sizes = await db.transaction(
    { mode: 'repeatable read read only', lockTimeoutMs: 5000, statementTimeoutMs: 60_000, signal },
    (connection) => readSizes(connection, definitions, now),
  )
  const { rowCount } = await db.query(
    sql`
    insert into tidemark.storage_sample (dataset, hot_rows, hot_bytes, cold_rows, cold_bytes)
    select s.dataset, s.hot_rows, s.hot_bytes, s.cold_rows, s.cold_bytes
    from unnest(
      ${sizes.map(({ name }) => name)}::text[],
      ${sizes.map(({ hotRows }) => Math.round(hotRows))}::int8[],
      ${sizes.map(({ hotBytes }) => hotBytes)}::int8[],
      ${sizes.map(({ chunks }) => chunks?.coldRows ?? 0)}::int8[],
      ${sizes.map(({ chunks }) => chunks?.coldBytes ?? 0)}::int8[]
    ) as s (dataset, hot_rows, hot_bytes, cold_rows, cold_bytes)
    where not exists (
      select
      from tidemark.storage_sample as o
      where o.dataset = s.dataset
        and o.at > clock_timestamp() - ${leastApartMs}::float8 * interval '1 millisecond'
    )
    on conflict do nothing`,
    { signal },
  )
  return { datasets: rowCount, forgotten: await thinSamples(db, signal) }
}

/** Of each day (UTC) that is over for a month its first sample stays. */
async function thinSamples(db: Queryable, signal: AbortSignal | null): Promise<number> {
  const { rowCount } = await db.query(
    sql`
    delete from tidemark.storage_sample as s
    where s.at < clock_timestamp() - ${keepMs}::float8 * interval '1 millisecond'
      or s.at < clock_timestamp() - ${hourlyMs}::float8 * interval '1 millisecond'
        and exists (
          select
          from tidemark.storage_sample as o
          where o.dataset = s.dataset and o.at < s.at
            and o.at >= date_trunc('day', s.at at time zone 'UTC') at time zone 'UTC'
        )`,
    { signal },
  )
  return rowCount
}

/** Ascending in time. */
export async function readGrowth(
  db: Queryable,
  choice: {
    readonly datasets: readonly string[]
    readonly from: Instant | null
    readonly to: Instant | null
  },
  signal: AbortSignal | null,
): Promise<StorageGrowth> {
  const { datasets, from, to } = choice
  const { rows } = await db.query(
    sql`
    select at, dataset, hot_rows::float8, hot_bytes::float8, cold_rows::float8, cold_bytes::float8
    from (
      select *
      from tidemark.storage_sample
      where dataset = any (${datasets}::text[])
        and (${from === null ? null : formatInstant(from)}::timestamptz is null or at >= ${from === null ? null : formatInstant(from)}::timestamptz)
        and (${to === null ? null : formatInstant(to)}::timestamptz is null or at < ${to === null ? null : formatInstant(to)}::timestamptz)
      order by at desc
      limit ${maxSamples}::int4
    ) as newest
    order by at, dataset`,
    { signal },
  )
  return {
    samples: rows.map(([at, dataset, hotRows, hotBytes, coldRows, coldBytes]) => ({
      at: formatInstant(at as Instant),
      dataset: dataset as string,
      hotRows: hotRows as number,
      hotBytes: hotBytes as number,
      coldRows: coldRows as number,
      coldBytes: coldBytes as number,
    })),
  }
}
