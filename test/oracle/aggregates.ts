import { continuousAggregate } from '../../src/continuous/index.ts'
import type {
  ContinuousAggregateDefinition,
  HypertableDefinition,
  StoredDefinition,
} from '../../src/schema/index.ts'

/** Continuous aggregates of the oracle's tables: fixed and calendar buckets, one on another, filters, every kind of state. */

/** How many declarations of `oracle.by_hour` there are; each change makes a version of its own. */
export const variants = 3

type Declare = (name: string, options: object) => ContinuousAggregateDefinition
const declare = continuousAggregate as unknown as Declare

/**
 * The aggregates over the tables as they are declared now.
 *
 * @param variant of `oracle.by_hour`: with another output, with another key.
 */
export function aggregatesOver(
  definitions: readonly StoredDefinition[],
  variant: number,
): readonly ContinuousAggregateDefinition[] {
  const base = (name: string) =>
    definitions.find((definition) => definition.name === name) as HypertableDefinition | undefined
  const events = base('oracle.events')
  const keyed = base('oracle.keyed')
  const ledger = base('oracle.ledger')
  const usage = base('oracle.usage')
  // some lanes have a few of the tables only
  if (!events || !keyed || !ledger || !usage) return []
  const byHour = declare('oracle.by_hour', {
    from: events,
    bucket: '1 hour',
    by: variant === 2 ? ['tag', 'ok'] : ['tag'],
    select: {
      n: { fn: 'count' },
      num: { fn: 'sum', column: 'num' },
      least: { fn: 'min', column: 'num' },
      most: { fn: 'max', column: 'big' },
      mean: { fn: 'avg', column: 'fee' },
      devices: { fn: 'uniques', column: 'device' },
      p95: { fn: 'percentile', column: 'value', q: 0.95 },
      oldest: { fn: 'first', column: 'price' },
      newest: { fn: 'last', column: 'num' },
      ...(variant === 1 ? { days: { fn: 'countDistinct', column: 'day' } } : {}),
    },
  })
  return [
    byHour,
    declare('oracle.by_day', {
      from: byHour,
      bucket: '1 day',
      by: ['tag'],
      select: { n: 'n', num: 'num', devices: 'devices', p95: 'p95' },
    }),
    declare('oracle.keyed_berlin', {
      from: keyed,
      bucket: { every: '1 day', zone: 'Europe/Berlin' },
      by: ['tag', 'properties.plan'],
      where: { num: { gte: 0 } },
      select: {
        n: { fn: 'count' },
        most: { fn: 'max', column: 'value' },
        price: { fn: 'sum', column: 'price' },
        sizes: { fn: 'histogram', column: 'num', borders: [0, 3, 6] },
      },
    }),
    declare('oracle.ledger_lord_howe', {
      from: ledger,
      bucket: { every: '1 day', zone: 'Australia/Lord_Howe' },
      select: { n: { fn: 'count' }, amount: { fn: 'sum', column: 'amount' } },
    }),
    declare('oracle.usage_kolkata', {
      from: usage,
      bucket: { every: '1 day', zone: 'Asia/Kolkata' },
      by: ['tag'],
      select: {
        n: { fn: 'count' },
        most: { fn: 'max', column: 'num' },
        newest: { fn: 'last', column: 'value' },
      },
    }),
    declare('oracle.usage_new_york', {
      from: usage,
      bucket: { every: '1 month', zone: 'America/New_York' },
      select: { n: { fn: 'count' }, num: { fn: 'sum', column: 'num' } },
    }),
  ]
}

export const aggregateNames = [
  'oracle.by_hour',
  'oracle.by_day',
  'oracle.keyed_berlin',
  'oracle.ledger_lord_howe',
  'oracle.usage_kolkata',
  'oracle.usage_new_york',
] as const
