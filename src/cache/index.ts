export {
  AnswerCache,
  type CacheCounts,
  type CachedAnswer,
  type CachedOptions,
  type CacheOptions,
  type Computed,
  type Load,
  openCache,
} from './answer-cache.ts'
export type { LayerCounts } from './counters.ts'
export type { RedisChange } from './redis-health.ts'
export { RedisRateLimiter } from './redis-rate-limiter.ts'
