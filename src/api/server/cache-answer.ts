import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CachedAnswer, Load } from '../../cache/index.ts'
import type { CacheLayer } from '../../schema/index.ts'
import { requestSignal } from './request-signal.ts'

export interface CachedRequest {
  readonly layer: CacheLayer
  /** What is asked, as JSON; two routes that answer differently name themselves in it. */
  readonly question: unknown
  /** Names of all tables that the answer is made of. */
  readonly datasets: readonly string[]
}

/**
 * The answer to a request, kept or computed; by tenant and by what the caller may use. Says in `x-tidemark-cache` which. A request
 * with `cache-control: no-cache` is computed.
 *
 * @example
 * const { body } = await answerCached(request, reply, { layer: 'lists', question: { list: name, ...parameters }, datasets: [name] },
 *   async (signal) => ({ body: toJsonText(await list(signal)) }))
 * return reply.type('application/json; charset=utf-8').send(body)
 */
export async function answerCached(
  request: FastifyRequest,
  reply: FastifyReply,
  { layer, question, datasets }: CachedRequest,
  load: Load,
): Promise<CachedAnswer> {
  // as HTTP has it (RFC 9111): whoever says so wants it computed
  if (/\bno-cache\b/i.test(request.headers['cache-control'] ?? '')) {
    const computed = await load(requestSignal(reply))
    reply.header('x-tidemark-cache', `bypass; layer=${layer}`)
    const body = computed === null ? null : Buffer.from(computed.body)
    return { body, layer, outcome: 'miss', store: null, ageMs: 0 }
  }
  const answer = await request.server.cache.cached(
    layer,
    question,
    {
      scope: request.tm.scope,
      restriction: request.principal.datasets,
      datasets,
      signal: requestSignal(reply),
    },
    load,
  )
  const { outcome, ageMs } = answer
  reply.header('x-tidemark-cache', `${outcome}; layer=${layer}; age=${Math.floor(ageMs / 1000)}`)
  return answer
}
