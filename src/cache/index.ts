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
export { RedisRateLimiter } from './redis-rate-limiter.ts'
