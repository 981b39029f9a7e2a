import { continuousAggregate, count, countDistinct, uniques } from 'tidemark'
import { defineConfig, hypertable, t, view } from 'tidemark/schema'

/** Product analytics that lived in Redis and an hourly flush: the tables of the document that plans its move to a time-series database. */

export const events = hypertable('analytics_events_ts', {
  columns: {
    time: t.timestamptz(),
    event_name: t.text(),
    category: t.text(),
    user_id: t.text().nullable(),
    session_id: t.text().nullable(),
    properties: t.jsonb().nullable(),
    device_info: t.jsonb().nullable(),
    page_url: t.text().nullable(),
    referrer: t.text().nullable(),
    event_id: t.uuid().nullable().comment('not in the document: what a browser sends twice is one event'),
  },
  time: 'time',
  chunk: '1 day',
  indexes: [
    { name: 'idx_analytics_ts_category', columns: ['category', '-time'] },
    { name: 'idx_analytics_ts_event', columns: ['event_name', '-time'] },
    { name: 'idx_analytics_ts_user', columns: ['user_id', '-time'], where: 'user_id is not null' },
  ],
  /** `compress_segmentby = 'category, event_name'`. */
  orderBy: ['category', 'event_name', 'time'],
  freeze: { after: '7 days' },
  retain: '90 days',
  dedupe: { by: 'event_id', within: '7 days' },
})

/** Exact distinct users, as the document has them, and beside them a sketch of bounded size. */
export const hourly = continuousAggregate('analytics_hourly', {
  from: events,
  bucket: '1 hour',
  by: ['event_name', 'category'],
  select: {
    event_count: count(),
    unique_users: countDistinct('user_id'),
    unique_sessions: countDistinct('session_id'),
    users_estimate: uniques('user_id'),
  },
  refresh: { every: '30 minutes' },
  retain: '1 year',
})

/** Made of the hours: sets of users are merged, so that one who came in three hours is one. */
export const daily = continuousAggregate('analytics_daily', {
  from: hourly,
  bucket: '1 day',
  by: ['event_name', 'category'],
  select: { event_count: 'event_count', unique_users: 'unique_users', users_estimate: 'users_estimate' },
  refresh: { every: '1 hour' },
  retain: '5 years',
})

export const assetPopularity = continuousAggregate('stats.asset_popularity', {
  from: events,
  bucket: '1 day',
  by: ['properties.asset_type'],
  where: { event_name: 'asset_generated' },
  select: { generation_count: count(), unique_creators: countDistinct('user_id') },
  refresh: { every: '1 hour' },
})

/** The names and columns of the document's SQL. */
export const assetPopularityView = view(
  'analytics_asset_popularity_ts',
  `select bucket, "properties.asset_type" as asset_type, generation_count, unique_creators, unique_creators_state
   from stats.asset_popularity`,
  {
    columns: {
      bucket: t.timestamptz(),
      asset_type: t.text().nullable(),
      generation_count: t.int8(),
      unique_creators: t.int8(),
    },
  },
)

export default defineConfig({
  datasets: [events, hourly, daily, assetPopularity],
  views: [assetPopularityView],
  boards: ['boards/*.json'],
  ingest: { analytics: { into: events } },
})
