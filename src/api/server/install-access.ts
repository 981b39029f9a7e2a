import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { type Authenticator, type RateLimiter, TokenBuckets } from '../../access/index.ts'
import type { Tidemark } from '../../engine.ts'
import { isLoopback, type ServerConfig } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { endRefusedUpgrades, guardRoutes } from './access.ts'
import { auditActs } from './audit-acts.ts'
import { checkHosts } from './check-host.ts'
import { installCors } from './cors.ts'
import { installKeyRoutes } from './routes-keys.ts'
import { installSessionRoutes } from './routes-session.ts'
import { installSecureHeaders } from './secure-headers.ts'
import { watchOpen } from './watch-open.ts'

export interface AccessOptions {
  /** Counts requests and failures. Default: in this process. */
  readonly limiter?: RateLimiter
  /** Between two looks at whether connections that stay open are still good, in ms. Default 5000. */
  readonly watchMs?: number
  /** Between two looks at whether the certificate has changed, in ms. Default 5000. */
  readonly tlsPollMs?: number
}

/**
 * Null: everybody may do everything.
 *
 * @throws TidemarkError TM_CONFIG for a public key that is none, or when everybody could from anywhere, without its being said.
 */
export function createAuthenticator(tm: Tidemark, onProblem: (error: unknown) => void): Authenticator | null {
  const { auth, host } = tm.config.server
  if (auth === null) assertLoopback(host)
  return auth === null || auth === 'none' ? null : tm.access.createAuthenticator(auth, { onProblem })
}

/**
 * Who may do what, before the first route: headers, other origins, who asks, how often, what administrators do. What comes back makes
 * the routes of access, after everything that looks at routes.
 */
export function installAccess(
  app: FastifyInstance,
  tm: Tidemark,
  options: AccessOptions & { readonly authenticator: Authenticator | null; readonly isTls: boolean },
): () => void {
  const { authenticator } = options
  const { auth, cors } = tm.config.server
  if (auth === null) app.decorate('isForThisMachine', true)
  installSecureHeaders(app, options)
  checkHosts(app, tm.config.server)
  installCors(app, cors)
  guardRoutes(app, tm, { authenticator, limiter: options.limiter ?? new TokenBuckets() })
  endRefusedUpgrades(app)
  auditActs(app, tm.access.audit)
  if (authenticator !== null) {
    watchOpen(app, authenticator, options.watchMs)
    app.addHook('onClose', () => authenticator.close())
  }
  return () => {
    installSessionRoutes(app, tm, authenticator)
    installKeyRoutes(app, tm, authenticator)
  }
}

/** As Fastify takes it. @throws TidemarkError TM_CONFIG for what is no address. */
export function trustOf(trust: ServerConfig['trustProxy']): boolean | string[] {
  if (typeof trust !== 'object') return trust
  for (const address of trust) {
    const [host = '', bits] = address.split('/')
    const isNetwork =
      bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (isIP(host) === 4 ? 32 : 128))
    if (isIP(host) === 0 || !isNetwork)
      throw new TidemarkError('TM_CONFIG', {
        path: 'server.trustProxy',
        problem: `${JSON.stringify(address)} is no address such as 10.0.0.1 or 10.0.0.0/8`,
      })
  }
  return [...trust]
}

/** @throws TidemarkError TM_CONFIG */
export function assertLoopback(host: string): void {
  if (isLoopback(host)) return
  throw new TidemarkError('TM_CONFIG', {
    path: 'server.auth',
    problem:
      `is missing, and server.host is ${host}, which others reach, too: everybody could read and write everything. Say ` +
      "auth: { keys: true } (tidemark keys create makes the first key), or auth: 'none' if that is what you want",
  })
}
