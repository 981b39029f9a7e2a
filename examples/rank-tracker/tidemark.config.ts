import { avg, continuousAggregate, count, last, max, min } from 'tidemark'
import { defineConfig, hypertable, t, table } from 'tidemark/schema'

/** A rank tracker for many agencies: what they type in is changed all the time, what is checked for them is never changed. */

/** What the document keeps in Convex: every open page hears of a change. */
export const projects = table('projects', {
  columns: {
    agency: t.text(),
    id: t.text(),
    name: t.text(),
    domain: t.text().nullable(),
    settings: t.jsonb().default({}),
    created_at: t.timestamptz().defaultSql('now()'),
  },
  primaryKey: ['agency', 'id'],
  tenant: 'agency',
})

export const uiState = table('ui_state', {
  columns: { agency: t.text(), user_id: t.text(), key: t.text(), value: t.jsonb() },
  primaryKey: ['agency', 'user_id', 'key'],
  tenant: 'agency',
})

export const keywords = table('keywords', {
  columns: {
    agency: t.text(),
    id: t.text(),
    project: t.text(),
    phrase: t.text(),
    country: t.text().default('us'),
    tags: t.textArray().nullable(),
    active: t.bool().default(true),
    created_at: t.timestamptz().defaultSql('now()'),
  },
  primaryKey: ['agency', 'id'],
  tenant: 'agency',
  indexes: [{ columns: ['agency', 'project', 'phrase', 'country'], unique: true }],
})

/** Ninety days in PostgreSQL, everything older as Parquet: one table all the same. */
export const rankings = hypertable('rankings', {
  columns: {
    checked_at: t.timestamptz(),
    agency: t.text(),
    project: t.text(),
    keyword: t.text().comment('id of the keyword'),
    position: t.int4().nullable().comment('null: not among those that were looked at'),
    url: t.text().nullable(),
    stars: t.int8().nullable(),
  },
  time: 'checked_at',
  tenant: 'agency',
  primaryKey: ['agency', 'keyword', 'checked_at'],
  orderBy: ['project', 'keyword', 'checked_at'],
  chunk: '30 days',
  freeze: { after: '90 days' },
})

export const dailyKeywordStats = continuousAggregate('daily_keyword_stats', {
  from: rankings,
  bucket: '1 day',
  by: ['project', 'keyword'],
  select: {
    avg_position: avg('position'),
    best: min('position'),
    worst: max('position'),
    latest: last('position'),
    checks: count(),
  },
  refresh: { every: '5 minutes' },
})

/** Of the whole project, for its dashboard. */
export const dailyProjectStats = continuousAggregate('daily_project_stats', {
  from: rankings,
  bucket: '1 day',
  by: ['project'],
  select: {
    avg_position: avg('position'),
    top_10: count({ where: { position: { lte: 10 } } }),
    checks: count(),
  },
  refresh: { every: '5 minutes' },
})

export default defineConfig({
  datasets: [projects, uiState, keywords, rankings, dailyKeywordStats, dailyProjectStats],
  boards: ['boards/*.json'],
  server: { port: 4700, auth: { keys: true } },
})
