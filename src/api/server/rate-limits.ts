import type { FastifyReply, FastifyRequest } from 'fastify'
import type { RateAnswer, RateLimiter } from '../../access/index.ts'
import type { RateRule, ServerConfig } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'

/** Of a link, where keys have no limit: some readers of a full board. */
const shareRule: RateRule = { requests: 50, perMs: 1000, burst: 300 }

/** Requests of keys and tenants, and failures of addresses. */
export class RateLimits {
  readonly #limiter: RateLimiter
  readonly #rules: ServerConfig['rateLimit']

  constructor(limiter: RateLimiter, rules: ServerConfig['rateLimit']) {
    this.#limiter = limiter
    this.#rules = rules
  }

  /** Counts one request, and says in headers what is left: of the limit that is nearest. @throws TidemarkError TM_RATE_LIMIT */
  async take(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { key, tenant } = this.#rules
    const { principal, verified } = request
    let nearest: { readonly answer: RateAnswer; readonly rule: RateRule } | null = null
    const count = async (what: string, bucket: string, rule: RateRule): Promise<void> => {
      const answer = await this.#limiter.take(bucket, rule)
      if (!answer.isAllowed || nearest === null || answer.remaining < nearest.answer.remaining)
        nearest = { answer, rule }
      tell(reply, nearest.answer, nearest.rule)
      if (!answer.isAllowed) throw tooMany(what, rule, answer)
    }
    if (key !== null) {
      const who =
        verified === null
          ? `address:${networkOf(request.ip)}`
          : `${principal.kind === 'token' ? 'token' : 'key'}:${verified.keyId ?? principal.id}`
      await count(verified === null ? 'this address' : `the ${principal.kind} "${principal.id}"`, who, key)
    }
    if (tenant !== null && principal.tenant.kind === 'one')
      await count(`the tenant "${principal.tenant.tenant}"`, `tenant:${principal.tenant.tenant}`, tenant)
  }

  /** Of a link to a board, whose readers are nobody: all of them together, and with its tenant. @throws TidemarkError TM_RATE_LIMIT */
  async takeShare({ principal: { id, tenant } }: FastifyRequest, reply: FastifyReply): Promise<void> {
    const ofKey = this.#rules.key ?? shareRule
    const answer = await this.#limiter.take(`share:${id}`, ofKey)
    tell(reply, answer, ofKey)
    if (!answer.isAllowed) throw tooMany('the link', ofKey, answer)
    const ofTenant = this.#rules.tenant
    if (ofTenant === null || tenant.kind !== 'one') return
    const all = await this.#limiter.take(`tenant:${tenant.tenant}`, ofTenant)
    if (!all.isAllowed) throw tooMany('the tenant of the link', ofTenant, all)
  }

  /** @throws TidemarkError TM_RATE_LIMIT */
  async assertFewFailures(address: string): Promise<void> {
    const rule = this.#rules.failures
    const answer = await this.#limiter.take(failuresOf(address), rule, 0)
    if (!answer.isAllowed) throw tooMany('credentials of this address that are not good', rule, answer)
  }

  async countFailure(address: string): Promise<void> {
    await this.#limiter.take(failuresOf(address), this.#rules.failures)
  }
}

/** The headers of draft-ietf-httpapi-ratelimit-headers, as clients know them. */
function tell(reply: FastifyReply, { remaining, resetMs }: RateAnswer, { burst }: RateRule): void {
  reply.headers({
    'ratelimit-limit': String(burst),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(Math.ceil(resetMs / 1000)),
  })
}

function tooMany(what: string, rule: RateRule, { retryAfterMs }: RateAnswer): TidemarkError {
  return new TidemarkError('TM_RATE_LIMIT', {
    what,
    limit: `${rule.requests} requests in ${rule.perMs / 1000} s`,
    retryAfterSeconds: Math.max(1, Math.ceil(retryAfterMs / 1000)),
  })
}

function failuresOf(address: string): string {
  return `failures:${networkOf(address)}`
}

/** Whoever has one IPv6 address has 2^64 of them. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)
  if (mapped !== null) return mapped[1] as string
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length)
  return `${[...before, ...Array<string>(missing).fill('0'), ...after].slice(0, 4).join(':')}::/64`
}
