import { assertBucketSpec, bucketStart, type Instant, nextBucket, TimeProblem } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { Schedule } from './contract.ts'

/** A report is no live query. */
const leastMicros = 60_000_000n

/** A period that has ended by then, and when the report about it is asked. */
export interface Due {
  /** Its end. */
  readonly period: Instant
  readonly at: Instant
}

/** @throws TidemarkError TM_QUERY */
export function assertSchedule({ period }: Schedule): void {
  const fail = (problem: string): never => {
    throw new TidemarkError('TM_QUERY', { path: 'schedule.every', problem })
  }
  try {
    assertBucketSpec(period)
  } catch (error) {
    if (error instanceof TimeProblem) fail(error.problem)
    throw error
  }
  const { every } = period
  if (every.kind === 'fixed' && every.micros < leastMicros) fail('is less than a minute')
}

/** The first report that is asked after an instant. */
export function nextDue({ period, delayMicros }: Schedule, after: Instant): Due {
  let end = bucketStart(period, after - delayMicros)
  while (end + delayMicros <= after) end = nextBucket(period, end)
  return { period: end, at: end + delayMicros }
}

/** Of the reports that should have been asked by now the last: those before it are not made up for. */
export function lastDue({ period, delayMicros }: Schedule, now: Instant): Due {
  const end = bucketStart(period, now - delayMicros)
  return { period: end, at: end + delayMicros }
}
