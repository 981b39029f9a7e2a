import { beforeEach, expect, it } from 'vitest'
import { type RateLimiter, TokenBuckets } from '../../src/access/index.ts'
import { RedisRateLimiter } from '../../src/cache/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import { startRedis, type TestRedis, whyNoRedis } from '../helpers/redis.ts'

let redis: TestRedis
let rates = 0

beforeEach(async ({ skip }) => {
  skip(whyNoRedis !== null, whyNoRedis ?? '')
  redis ??= await startRedis()
})

async function open(identity = `rates ${rates++}`): Promise<RedisRateLimiter> {
  const limiter = await RedisRateLimiter.open({ url: redis.url, timeoutMs: 2000 }, identity)
  afterFile(() => limiter.close())
  await expect.poll(() => limiter.isUp).toBe(true)
  return limiter
}

const rule = { requests: 10, perMs: 60_000, burst: 5 }

it('counts as the buckets of a process do', async () => {
  const implementations: RateLimiter[] = [new TokenBuckets(), await open()]
  for (const limiter of implementations) {
    const steps: [number, boolean, number][] = [
      [0, true, 5],
      [1, true, 4],
      [3, true, 1],
      [2, false, 1],
      [1, true, 0],
      [1, false, 0],
      [0, false, 0],
    ]
    for (const [count, isAllowed, remaining] of steps)
      expect(await limiter.take('a', rule, count)).toMatchObject({ isAllowed, remaining })
    const refused = await limiter.take('a', rule)
    expect(refused.retryAfterMs).toBeGreaterThan(4000)
    expect(refused.retryAfterMs).toBeLessThanOrEqual(6000)
    expect(refused.resetMs).toBeGreaterThan(28_000)
    expect(refused.resetMs).toBeLessThanOrEqual(30_000)
    expect(await limiter.take('b', rule)).toMatchObject({ isAllowed: true, remaining: 4 })
  }
})

it('counts for all servers together, and fills up again', async () => {
  const [x, y] = [await open('shared'), await open('shared')]
  const quick = { requests: 20, perMs: 1000, burst: 4 }
  const answers = await Promise.all([x, y, x, y, x, y].map((limiter) => limiter.take('t', quick)))
  expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(4)
  await expect.poll(async () => (await y.take('t', quick)).isAllowed).toBe(true)
  expect(Number((await redis.ask('PTTL', 'tm:{shared}:rate:t')).slice(1))).toBeGreaterThan(0)
})

it('goes on by itself while Redis is gone', async () => {
  const own = await startRedis()
  const limiter = await RedisRateLimiter.open({ url: own.url, timeoutMs: 300 }, 'own')
  afterFile(() => limiter.close())
  await expect.poll(() => limiter.isUp).toBe(true)
  await own.kill()
  const answers = await Promise.all(Array.from({ length: 7 }, () => limiter.take('a', rule)))
  expect(answers.filter(({ isAllowed }) => isAllowed)).toHaveLength(5)
})
