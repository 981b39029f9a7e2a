import type { RateRule } from '../schema/index.ts'
import { BoundedMap } from './bounded-map.ts'

export interface RateAnswer {
  readonly isAllowed: boolean
  /** Requests that may come at once now. */
  readonly remaining: number
  /** Until the next one may come; 0 when it may. */
  readonly retryAfterMs: number
  /** Until as many may come at once as ever. */
  readonly resetMs: number
}

/**
 * Counts requests by names of buckets (`key:…`, `tenant:…`, `address:…`). One process counts for itself; an implementation over a
 * store that several share fits as well.
 */
export interface RateLimiter {
  /** Takes `count` requests out of the bucket, or none when there are not as many. With 0 it only looks: allowed is whether one is there. */
  take(bucket: string, rule: RateRule, count?: number): RateAnswer | Promise<RateAnswer>
}

/** Buckets that were used longest ago are forgotten beyond it, which makes them full: 100 bytes each. */
const maxBuckets = 100_000

/** Token buckets of this process: full at first, refilled evenly. */
export class TokenBuckets implements RateLimiter {
  /** When the bucket will be full, in ms: one number says how much is in it. */
  readonly #fullAt = new BoundedMap<string, number>(maxBuckets)
  readonly #nowMs: () => number

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs
  }

  take(bucket: string, rule: RateRule, count = 1): RateAnswer {
    const now = this.#nowMs()
    const msEach = rule.perMs / rule.requests
    const fullMs = rule.burst * msEach
    const missingMs = Math.max(0, (this.#fullAt.get(bucket) ?? now) - now)
    // a rounding error must not take a request away
    const held = Math.floor((fullMs - missingMs) / msEach + 1e-9)
    const wanted = Math.max(1, count)
    if (held < wanted)
      return {
        isAllowed: false,
        remaining: Math.max(0, held),
        retryAfterMs: missingMs + Math.min(wanted, rule.burst) * msEach - fullMs,
        resetMs: missingMs,
      }
    if (count > 0) this.#fullAt.set(bucket, now + missingMs + count * msEach)
    return {
      isAllowed: true,
      remaining: held - count,
      retryAfterMs: 0,
      resetMs: missingMs + count * msEach,
    }
  }
}
