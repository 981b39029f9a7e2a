import type { DatasetInfo } from 'tidemark/client'
import { questionOf } from '../../dashboard/src/chart/question.ts'
import { plainAggregate } from '../../dashboard/src/pages/explore/aggregates.ts'
import { toPanel } from '../../dashboard/src/pages/explore/panel-of.ts'
import { type ExploreState, emptyState } from '../../dashboard/src/pages/explore/state.ts'
import { hypertable, t } from '../../src/schema/index.ts'

/** A table with a column of each kind, as the pages know it and as the server does. */

export const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    status: t.text().nullable(),
    ok: t.bool(),
    latencyMs: t.float8(),
    tokens: t.int4(),
    bytes: t.int8().nullable(),
    cost: t.numeric(),
    tags: t.textArray(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
})
export const info: DatasetInfo = {
  name: requests.name,
  kind: 'hypertable',
  time: 'time',
  primaryKey: null,
  comment: null,
  aggregate: null,
  columns: Object.entries(requests.columns).map(([name, { type, nullable }]) => ({
    name,
    type,
    nullable,
    hasDefault: false,
    comment: null,
  })),
}
export const now = Date.parse('2026-11-20T12:00:00Z')
export const clock = { now: () => BigInt(now) * 1000n }
export const options = { width: 1000, zone: 'UTC', now }

export const asked = (state: Partial<ExploreState>, over = info) =>
  questionOf(
    toPanel({ ...emptyState, dataset: over.name, select: [plainAggregate], ...state }, over),
    { from: state.from === undefined ? emptyState.from : state.from, to: state.to ?? null },
    over,
    options,
  )
