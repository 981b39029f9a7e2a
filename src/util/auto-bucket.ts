/** Lengths that people read well, in ms; the last is for ranges of any width. */
const steps: readonly (readonly [number, string])[] = [
  [1000, '1 second'],
  [5000, '5 seconds'],
  [10_000, '10 seconds'],
  [30_000, '30 seconds'],
  [60_000, '1 minute'],
  [300_000, '5 minutes'],
  [900_000, '15 minutes'],
  [1_800_000, '30 minutes'],
  [3_600_000, '1 hour'],
  [10_800_000, '3 hours'],
  [21_600_000, '6 hours'],
  [43_200_000, '12 hours'],
  [86_400_000, '1 day'],
  [604_800_000, '1 week'],
  [2_592_000_000, '1 month'],
  [7_776_000_000, '3 months'],
  [31_536_000_000, '1 year'],
]

/**
 * The bucket that cuts a range into a number of pieces that a chart shows well: the shortest one that makes at most `most` of them.
 *
 * @param leastMs of what is asked: the bucket of a continuous aggregate. Default 0.
 * @example
 * autoBucket(86_400_000) // '15 minutes'
 * autoBucket(86_400_000, 3_600_000) // '1 hour'
 */
export function autoBucket(rangeMs: number, leastMs = 0, most = 200): string {
  const fits = steps.find(([ms]) => ms >= leastMs && rangeMs / ms <= most)
  return (fits ?? (steps.at(-1) as readonly [number, string]))[1]
}
