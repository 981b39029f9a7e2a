import type { Clock, Instant } from './types.ts'

/** The machine's clock, to the millisecond. */
export const systemClock: Clock = Object.freeze({
  now: (): Instant => BigInt(Date.now()) * 1000n,
})

/** A clock for tests: stands still until it is told otherwise. */
export interface FixedClock extends Clock {
  set(instant: Instant): void
  advance(micros: bigint): void
}

export function fixedClock(start: Instant): FixedClock {
  let now = start
  return {
    now: () => now,
    set(instant) {
      now = instant
    },
    advance(micros) {
      now += micros
    },
  }
}
