import { sql } from 'kysely'
import type { Tidemark } from 'tidemark'
import type config from './tidemark.config.ts'
import { events, hourly } from './tidemark.config.ts'

type Analytics = Tidemark<typeof config>

const hourMs = 3_600_000

export interface SummaryRow {
  readonly bucket: string
  readonly event_name: string
  readonly event_count: number
  readonly unique_users: number
}

/** The document's `get_summary`: the hours from `start` to `end`, both included, the newest first. Exact at any moment. */
export async function getSummary(tm: Analytics, start: Date, end: Date): Promise<readonly SummaryRow[]> {
  const { rows } = await tm.query(hourly, {
    from: new Date(Math.ceil(start.getTime() / hourMs) * hourMs),
    to: new Date((Math.floor(end.getTime() / hourMs) + 1) * hourMs),
    bucket: '1 hour',
    by: ['event_name'],
    select: { event_count: 'event_count', unique_users: 'unique_users' },
    order: ['-bucket', 'event_name'],
  })
  return rows.map(({ bucket, event_name, event_count, unique_users }) => ({
    bucket,
    event_name,
    event_count: Number(event_count),
    unique_users: Number(unique_users),
  }))
}

/** The document's RPC: which assets are made most. Creators of several days are counted once, exactly. */
export async function createFunctions(tm: Analytics): Promise<void> {
  await sql`
    create or replace function get_popular_asset_types(
      since timestamptz default now() - interval '30 days', most int default 10
    )
    returns table (asset_type text, generation_count int8, unique_creators int8)
    stable language sql as $$
      select p.asset_type, sum(p.generation_count)::int8,
        tidemark.count_distinct(tidemark.rollup_count_distinct(p.unique_creators_state))::int8
      from analytics_asset_popularity_ts as p
      where p.bucket >= since and p.asset_type is not null
      group by p.asset_type
      order by 2 desc, 1
      limit most
    $$`.execute(tm.kysely())
}

export interface PopularAsset {
  readonly asset_type: string
  readonly generation_count: number
  readonly unique_creators: number
}

export async function getPopularAssetTypes(tm: Analytics): Promise<readonly PopularAsset[]> {
  const { rows } = await tm.sql('select * from get_popular_asset_types()')
  return rows.map((row) => ({
    asset_type: String(row['asset_type']),
    generation_count: Number(row['generation_count']),
    unique_creators: Number(row['unique_creators']),
  }))
}

export async function countEvents(tm: Analytics): Promise<number> {
  const { rows } = await tm.queryUnknown(events.name, { select: { n: { fn: 'count' } } })
  return Number(rows[0]?.['n'])
}
