import type { Tidemark } from 'tidemark'
import type config from './tidemark.config.ts'
import { dailyCostSummary, errorRateByModel, hourlyRequestStats } from './tidemark.config.ts'

type Hub = Tidemark<typeof config>

/** Does at once what the worker does by itself, each as often as it declares. */
export async function refreshAggregates(tm: Hub): Promise<void> {
  for (const { name } of [hourlyRequestStats, dailyCostSummary, errorRateByModel]) await tm.refresh(name)
}

/** The panels of the hub, over all time, from what is kept: hours are merged into the percentiles and users of a month. */
export async function askAggregates(tm: Hub) {
  const latency = await tm.query(hourlyRequestStats, {
    bucket: '1 month',
    by: ['model'],
    select: { requests: 'requests', p50: 'p50', p95: 'p95', p99: 'p99', users: 'users' },
    order: ['bucket', '-requests', 'model'],
    limit: 12,
  })
  const costs = await tm.query(dailyCostSummary, {
    bucket: '1 day',
    select: { cost: 'cost', requests: 'requests' },
    order: ['-cost', 'bucket'],
    limit: 7,
  })
  const errors = await tm.query(errorRateByModel, {
    bucket: '1 month',
    by: ['model'],
    select: { requests: 'requests', errors: 'errors' },
    having: { errors: { gt: 0 } },
    order: ['bucket', '-errors', 'model'],
  })
  return { latency, costs, errors }
}
