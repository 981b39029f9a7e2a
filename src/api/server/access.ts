import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  type Actor,
  type Authenticator,
  accessScopes,
  type Principal,
  type RateLimiter,
  type RouteAccess,
  type Verified,
} from '../../access/index.ts'
import type { Tidemark } from '../../engine.ts'
import { allTenants, noTenant } from '../../schema/index.ts'
import { type ScopedTidemark, scopedTo } from '../../scoped.ts'
import { TidemarkError } from '../../util/errors.ts'
import { findCredential, isUpgrade } from './credentials.ts'
import { RateLimits } from './rate-limits.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route. */
    readonly access?: RouteAccess
  }
  interface FastifyInstance {
    /** Every route, and who may call it. */
    readonly guardedRoutes: readonly GuardedRoute[]
    /** What counts requests, for routes that find out themselves who asks. */
    readonly rateLimits: RateLimits
  }
  interface FastifyRequest {
    /** Who asks; known before anything of a body is read. */
    principal: Principal
    /** What was shown for it, and until when it is good; null: nothing was. */
    verified: Verified | null
    /** The engine as he may use it. */
    tm: ScopedTidemark
  }
}

export interface GuardedRoute {
  readonly method: string
  readonly url: string
  readonly access: RouteAccess
}

export interface GuardOptions {
  readonly limiter: RateLimiter
  /** Null: everybody may do everything. */
  readonly authenticator: Authenticator | null
}

/** Where the server asks nobody who he is. */
const anybody: Principal = Object.freeze({
  kind: 'anonymous',
  id: 'anonymous',
  name: null,
  tenant: allTenants,
  scopes: new Set(accessScopes),
  datasets: null,
})

/** Whoever has shown nothing where the server does ask. */
const nobody: Principal = Object.freeze({
  kind: 'anonymous',
  id: 'nobody',
  name: null,
  tenant: noTenant,
  scopes: new Set<never>(),
  datasets: new Set<never>(),
})

/** A header that no form of another site can send, so that a browser's cookie alone does nothing. */
export const csrfHeader = 'x-tidemark-csrf'

/**
 * Finds out who asks, and whether he may, before anything else is done with a request. A route that does not say who may call it is
 * refused when it is made.
 */
export function guardRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  { limiter, authenticator }: GuardOptions,
): void {
  const limits = new RateLimits(limiter, tm.config.server.rateLimit)
  const engines = { anybody: scopedTo(tm, anybody.tenant), nobody: scopedTo(tm, noTenant, nobody.datasets) }
  app.decorateRequest('principal')
  app.decorateRequest('verified')
  app.decorateRequest('tm')
  const routes: GuardedRoute[] = []
  app.decorate('guardedRoutes', routes)
  app.decorate('rateLimits', limits)
  app.addHook('onRoute', ({ method, url, config }) => {
    const access = config?.access
    if (access === undefined)
      throw new TidemarkError('TM_CONFIG', {
        path: `route ${String(method)} ${url}`,
        problem: `says not who may call it; give it config.access: ${[...accessScopes, 'known', 'public'].join(', ')}`,
      })
    for (const one of [method].flat()) routes.push({ method: one, url, access })
  })
  app.addHook('onRequest', async (request, reply) => {
    const isOpen = authenticator === null
    request.principal = isOpen ? anybody : nobody
    request.verified = null
    request.tm = isOpen ? engines.anybody : engines.nobody
    // there is no such route: whoever asks
    if (request.is404) return
    const access = request.routeOptions.config.access as RouteAccess
    try {
      if (!isOpen && access !== 'public') {
        const verified = await verify(authenticator, limits, request)
        if (verified !== null) {
          request.verified = verified
          request.principal = verified.principal
          request.tm = scopedTo(tm, verified.principal.tenant, verified.principal.datasets)
        }
        assertMay(request, access)
      }
      if (access !== 'public') await limits.take(request, reply)
    } catch (error) {
      refuse(request, reply, error)
      throw error
    }
  })
}

/** An upgrade that is answered instead of taken leaves a socket that nobody ends: Node's server has let go of it. */
export function endRefusedUpgrades(app: FastifyInstance): void {
  app.addHook('onResponse', async (request) => {
    if (isUpgrade(request) && !request.raw.socket.destroyed) request.raw.socket.destroySoon?.()
  })
}

/** For the audit log. */
export function actorOf({ principal, id, ip }: FastifyRequest): Actor {
  return {
    kind: principal.kind,
    id: principal.id,
    tenant: principal.tenant,
    datasets: principal.datasets,
    requestId: id,
    address: ip,
  }
}

async function verify(
  authenticator: Authenticator,
  limits: RateLimits,
  request: FastifyRequest,
): Promise<Verified | null> {
  const address = request.ip
  try {
    const credential = findCredential(request)
    if (credential === null) return null
    if (credential.kind === 'session') assertOwnPage(request)
    let verified = authenticator.known(credential)
    if (verified === null) {
      // who has failed too often is not looked up; others at his address, who are known, go on
      await limits.assertFewFailures(address)
      verified = await authenticator.verify(credential)
    }
    if (credential.kind === 'bearer' && credential.isPublic === true) assertWritesOnly(verified)
    return verified
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.code !== 'TM_UNAUTHORIZED') throw error
    await limits.countFailure(address)
    throw error
  }
}

/** @throws TidemarkError TM_UNAUTHORIZED, TM_FORBIDDEN */
function assertMay({ principal, verified }: FastifyRequest, access: Exclude<RouteAccess, 'public'>): void {
  if (verified === null)
    throw new TidemarkError('TM_UNAUTHORIZED', {
      problem: 'this needs an API key or a token',
      todo: 'send Authorization: Bearer; docs/guide/access.md',
    })
  if (access === 'known' || principal.scopes.has(access)) return
  throw new TidemarkError('TM_FORBIDDEN', {
    what: `the ${principal.kind} "${principal.id}" lacks the scope ${access}; it has ${[...principal.scopes].join(', ') || 'none'}`,
    todo: `use a key or token that has the scope ${access}`,
  })
}

/** A key in a page is everybody's. @throws TidemarkError TM_FORBIDDEN */
function assertWritesOnly({ principal }: Verified): void {
  const more = [...principal.scopes].filter((scope) => scope !== 'ingest')
  if (more.length === 0) return
  throw new TidemarkError('TM_FORBIDDEN', {
    what: `the key "${principal.id}" stands in a page, where everybody can read it, and has the scope ${more.join(' and ')}`,
    todo: 'revoke it, and make one with the scope ingest alone',
  })
}

/** A browser sends its cookie by itself: also when a page of somebody else makes it ask. @throws TidemarkError TM_FORBIDDEN */
function assertOwnPage(request: FastifyRequest): void {
  const { method, headers } = request
  if (isUpgrade(request)) {
    const { origin, host } = headers
    if (origin !== undefined && URL.canParse(origin) && new URL(origin).host === host) return
    throw new TidemarkError('TM_FORBIDDEN', {
      what: 'a page of another origin may not open a WebSocket with the cookie of who is signed in here',
      todo: 'get a ticket by POST /api/v1/tickets and open it with ?ticket=',
    })
  }
  if (method === 'GET' || method === 'HEAD' || headers[csrfHeader] !== undefined) return
  throw new TidemarkError('TM_FORBIDDEN', {
    what: `${method} with a cookie needs the header ${csrfHeader}, which pages of other sites cannot send`,
    todo: `send ${csrfHeader}: 1`,
  })
}

function refuse({ raw }: FastifyRequest, reply: FastifyReply, error: unknown): void {
  if (error instanceof TidemarkError && error.code === 'TM_UNAUTHORIZED')
    reply.header('www-authenticate', 'Bearer realm="tidemark", Basic realm="tidemark"')
  // a body that is refused is not read; without this it would be, to its end
  const hasBody = raw.headers['transfer-encoding'] !== undefined || Number(raw.headers['content-length']) > 0
  if (hasBody) reply.header('connection', 'close')
}
