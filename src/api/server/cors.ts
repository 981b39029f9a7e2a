import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ServerConfig } from '../../schema/index.ts'

const methods = 'GET, POST, PUT, PATCH, DELETE'
const sent =
  'authorization, content-type, content-encoding, idempotency-key, if-match, if-none-match, last-event-id'
const read =
  'etag, location, ratelimit-limit, ratelimit-remaining, ratelimit-reset, retry-after, x-request-id'

/**
 * Lets pages of declared origins use the API, by key or token: cookies go to pages of the server's own origin only. Routes that have
 * origins of their own (analytics) say it themselves.
 */
export function installCors(app: FastifyInstance, cors: ServerConfig['cors']): void {
  if (cors === null) return
  const { origins } = cors
  const allow = (request: FastifyRequest, reply: FastifyReply): boolean => {
    if (origins === '*') {
      reply.header('access-control-allow-origin', '*')
      return true
    }
    reply.header('vary', 'origin')
    const { origin } = request.headers
    if (origin === undefined || !origins.includes(origin)) return false
    reply.header('access-control-allow-origin', origin)
    return true
  }
  app.addHook('onRequest', async (request, reply) => {
    // a route for OPTIONS answers them itself, and the analytics' own route has them
    const isOwn = request.routeOptions.config?.hasOrigins === true
    if (isOwn || request.headers.origin === undefined) return
    const isAllowed = allow(request, reply)
    reply.header('access-control-expose-headers', read)
    const isPreflight =
      request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined
    if (!isPreflight) return
    if (isAllowed)
      reply.headers({
        'access-control-allow-methods': methods,
        'access-control-allow-headers': sent,
        'access-control-max-age': '3600',
      })
    return reply.code(204).send()
  })
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route says itself which origins' pages may use it. */
    readonly hasOrigins?: boolean
  }
}
