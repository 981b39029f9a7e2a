import type { FastifyInstance } from 'fastify'
import { accessScopes, type Principal, type RouteAccess } from '../../access/index.ts'
import type { Tidemark } from '../../engine.ts'
import { allTenants } from '../../schema/index.ts'
import { type ScopedTidemark, scopedTo } from '../../scoped.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who may call the route. */
    readonly access?: RouteAccess
  }
  interface FastifyRequest {
    /** Who asks; known before anything of a body is read. */
    principal: Principal
    /** The engine as he may use it. */
    tm: ScopedTidemark
  }
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

/** Finds out who asks, before anything else is done with a request. */
export function installAccess(app: FastifyInstance, tm: Tidemark): void {
  const engine = scopedTo(tm, anybody.tenant)
  app.decorateRequest('principal')
  app.decorateRequest('tm')
  app.addHook('onRequest', async (request) => {
    request.principal = anybody
    request.tm = engine
  })
}
