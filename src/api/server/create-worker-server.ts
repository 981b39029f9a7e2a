import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { requestIdOf } from '../../observe/index.ts'
import { boundClose } from './bounded-close.ts'
import { createAuthenticator, installAccess, trustOf } from './install-access.ts'
import { observeRequests } from './observe-requests.ts'
import { badUrl, installProblems, sendProblem } from './problems.ts'
import { installMetricsRoute } from './routes-metrics.ts'
import { installProbeRoutes } from './routes-probes.ts'

const closeTimeoutMs = 5000
/** Nothing is sent here. */
const bodyLimitBytes = 1024

/**
 * What a process that only runs jobs answers: metrics and probes, to whom `server.metrics` allows it, and nothing else. The caller listens
 * and closes.
 *
 * @example
 * const app = createWorkerServer(tm)
 * await listen(app, { host: '127.0.0.1', port: 9464 })
 *
 * @throws TidemarkError TM_CONFIG for a public key that is none.
 */
export function createWorkerServer(
  tm: Tidemark,
  { logger }: { readonly logger: FastifyBaseLogger | false },
): FastifyInstance {
  const authenticator = createAuthenticator(tm, (error) =>
    app.log.warn({ err: error }, 'access: beside a request'),
  )
  const app = Fastify({
    trustProxy: trustOf(tm.config.server.trustProxy),
    ...(logger === false ? { logger: false } : { loggerInstance: logger }),
    bodyLimit: bodyLimitBytes,
    genReqId: ({ headers }) => requestIdOf(headers),
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request' }),
    forceCloseConnections: 'idle',
    frameworkErrors: (_error, request, reply) => sendProblem(reply, request, badUrl(request.raw)),
  })
  boundClose(app, closeTimeoutMs)
  const observation = observeRequests(app, tm)
  installProblems(app, { bodyLimitBytes })
  installAccess(app, tm, { authenticator, isTls: false })
  observation.installOrigins()
  installProbeRoutes(app, tm)
  installMetricsRoute(app, tm, observation)
  return app
}
