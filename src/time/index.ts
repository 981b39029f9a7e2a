export {
  assertBucketSpec,
  type BucketBordersOptions,
  bucketBorders,
  bucketOrigin,
  bucketStart,
  type FixedBucket,
  fixedBucket,
  nextBucket,
} from './bucket.ts'
export { bucketMisfit } from './bucket-fit.ts'
export { civilFromDays, daysFromCivil, daysInMonth, floorDivide, microsPerDay } from './civil.ts'
export { type FixedClock, fixedClock, systemClock } from './clock.ts'
export { dayOfText, infiniteDay, infinitePastDay, textOfDay } from './day.ts'
export {
  formatDay,
  formatInstant,
  type InstantInput,
  infinityInstant,
  instantFromDate,
  isFiniteInstant,
  isTimeOfRow,
  maxInstant,
  minInstant,
  minusInfinityInstant,
  type ParseInstantOptions,
  parseInstant,
  readInstant,
  timeColumnYears,
  toInstant,
  tryParseInstant,
} from './instant.ts'
export {
  addInterval,
  approximateMicros,
  boundMicros,
  intervalFromMicros,
  parseInterval,
  subtractInterval,
} from './interval.ts'
export { showValue, TimeProblem } from './problem.ts'
export { overlaps, parsePoint, type RangePoint } from './range.ts'
export type * from './types.ts'
export { instantOfLocal, localMicros, offsetAt, resolveZone, type Zone } from './zone.ts'
