import { avg } from 'tidemark'
import type { RankTracker } from './load.ts'
import { dailyProjectStats, rankings } from './tidemark.config.ts'

/** As `POST /api/v1/query` takes it, whatever the age: where it is read is the planner's to choose, and the plan says it. */
export interface View {
  readonly from: string
  readonly bucket: string
}

/** The document's three ages: hours of the last day, days of the last quarter, weeks of the years before. */
export const views: Readonly<Record<'day' | 'quarter' | 'years', View>> = {
  day: { from: '-24 hours', bucket: '1 hour' },
  quarter: { from: '-90 days', bucket: '1 day' },
  years: { from: '-2 years', bucket: '1 week' },
}

export function positions(tm: RankTracker, keyword: string, { from, bucket }: View) {
  return tm.query(rankings, {
    from,
    bucket,
    where: { keyword },
    by: ['keyword'],
    select: { avg_position: avg('position') },
  })
}

/** What the dashboard of a project shows first. */
export function projectStats(tm: RankTracker, project: string) {
  return tm.query(dailyProjectStats, { from: '-30 days', where: { project } })
}
