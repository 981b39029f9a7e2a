import { type RateAnswer, type RateLimiter, TokenBuckets } from '../access/index.ts'
import type { RateRule, RedisCacheConfig } from '../schema/index.ts'
import { RedisGone, RedisLink, RedisRefused } from './redis-link.ts'

/**
 * TokenBuckets.take with Redis's clock. KEYS bucket; ARGV ms for each request, requests at once, requests that are taken. Answers whether
 * they were, how many are left, and ms until the next one may come and until the bucket is full.
 */
const take = `
local time = redis.call('time')
local now = time[1] * 1000 + time[2] / 1000
local each, burst, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = burst * each
local missing = math.max(0, tonumber(redis.call('get', KEYS[1]) or now) - now)
local held = math.floor((full - missing) / each + 1e-9)
local wanted = math.max(1, count)
if held < wanted then
  return { 0, math.max(0, held), tostring(missing + math.min(wanted, burst) * each - full), tostring(missing) }
end
missing = missing + count * each
if count > 0 then
  redis.call('set', KEYS[1], string.format('%.3f', now + missing), 'px', math.ceil(missing) + 1000)
end
return { 1, held - count, '0', tostring(missing) }`

/**
 * Rate limits that servers share. While Redis is not there each server counts for itself.
 *
 * @example
 * const limiter = await RedisRateLimiter.open(config.cache.redis, identity)
 * const { isAllowed } = await limiter.take('tenant:acme', { requests: 100, perMs: 1000, burst: 100 })
 */
export class RedisRateLimiter implements RateLimiter {
  readonly #link: RedisLink
  readonly #identity: string
  readonly #own = new TokenBuckets()

  private constructor(link: RedisLink, identity: string) {
    this.#link = link
    this.#identity = identity
  }

  /** @throws TidemarkError TM_CONFIG when the client is not installed. */
  static async open(
    { url, timeoutMs }: Pick<RedisCacheConfig, 'url' | 'timeoutMs'>,
    identity: string,
  ): Promise<RedisRateLimiter> {
    const link = await RedisLink.open({ url, timeoutMs, scripts: { take }, onConnected: async () => {} })
    return new RedisRateLimiter(link, identity)
  }

  get isUp(): boolean {
    return this.#link.isUp
  }

  async take(bucket: string, rule: RateRule, count = 1): Promise<RateAnswer> {
    if (!this.#link.isUp) return this.#own.take(bucket, rule, count)
    try {
      const key = `tm:{${this.#identity}}:rate:${encodeURIComponent(bucket)}`
      const args = [rule.perMs / rule.requests, rule.burst, count].map(String)
      const reply = await this.#link.run('take', [key], args)
      const [allowed, remaining, retryAfterMs, resetMs] = reply as [number, number, Buffer, Buffer]
      return {
        isAllowed: allowed === 1,
        remaining,
        retryAfterMs: Number(String(retryAfterMs)),
        resetMs: Number(String(resetMs)),
      }
    } catch (error) {
      if (error instanceof RedisGone || error instanceof RedisRefused)
        return this.#own.take(bucket, rule, count)
      throw error
    }
  }

  close(): Promise<void> {
    return this.#link.close()
  }
}
