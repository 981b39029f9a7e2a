/** What fails again and again is tried again after this long at most. */
const maxMs = 5 * 60_000

/**
 * How long to wait after so many failures in a row: an interval, doubled with each, five minutes at most. What runs less often than that
 * is tried again sooner than it would have run.
 *
 * @example
 * backOffMs(60_000, 1) // 120_000
 * backOffMs(60_000, 9) // 300_000
 */
export function backOffMs(everyMs: number, failures: number): number {
  return Math.min(everyMs * 2 ** failures, maxMs)
}
