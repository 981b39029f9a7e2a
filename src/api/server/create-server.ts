import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import type { Tidemark } from '../../engine.ts'
import type { LiveOptions } from '../../live/index.ts'
import { requestIdOf } from '../../observe/index.ts'
import { installBodies } from './bodies.ts'
import { boundClose } from './bounded-close.ts'
import { cacheSources, installCache, openServerCache } from './cache-install.ts'
import { type AccessOptions, createAuthenticator, installAccess, trustOf } from './install-access.ts'
import { liveSources, observeRequests } from './observe-requests.ts'
import { installOpenApi, installOpenApiRoute } from './openapi.ts'
import { badUrl, installProblems, sendProblem } from './problems.ts'
import { installAnalyticsRoute } from './routes-analytics.ts'
import { installBoardRoutes } from './routes-boards.ts'
import { installDashboard } from './routes-dashboard.ts'
import { installDatasetRoutes } from './routes-datasets.ts'
import { installHealthRoute } from './routes-health.ts'
import { installInfluxRoutes } from './routes-influx.ts'
import { installLiveRoutes } from './routes-live.ts'
import { installMetricsRoute, installSlowQueryRoute } from './routes-metrics.ts'
import { installOtlpRoutes } from './routes-otlp.ts'
import { installOperationsApi } from './routes-overview.ts'
import { installProbeRoutes } from './routes-probes.ts'
import { installProblemRoute } from './routes-problems.ts'
import { installProductRoutes } from './routes-product.ts'
import { installPrometheusRoutes } from './routes-prometheus.ts'
import { installQueryRoute } from './routes-query.ts'
import { installQuerySqlRoute } from './routes-query-sql.ts'
import { installRecordRoutes } from './routes-records.ts'
import { installReportRoutes } from './routes-reports.ts'
import { installRowRoutes } from './routes-rows.ts'
import { installSharedRoutes } from './routes-shared.ts'
import { installStreamRoute } from './routes-stream.ts'
import { withSockets } from './sockets.ts'
import { readTls, tlsFilesOf, watchTls } from './tls.ts'

export interface ServerOptions {
  /** Unpacked bytes of a request's body at most. Default: `limits.maxBodyBytes` of the configuration. */
  readonly bodyLimitBytes: number
  /** A request that has not arrived whole by then is cut off. Default 60,000 ms. */
  readonly requestTimeoutMs: number
  /** How long `close` waits for requests that run, before it cuts their connections. Default 10,000 ms. */
  readonly closeTimeoutMs: number
  /** Where servers share finished answers, unless `cache.redis` says so: the command line gives REDIS_URL. Default null: nowhere. */
  readonly redisUrl: string | null
  /** pino or compatible; false logs nothing. */
  readonly logger: FastifyBaseLogger | false
  /** Limits of live answers, where not the default ones. */
  readonly live?: Partial<LiveOptions>
  /** Folder of the built dashboard; null: none is served. Default: the package's, unless `server.dashboard` is false. */
  readonly dashboardDir?: string | null
  /** What counts requests, and how often what is open is looked at. */
  readonly access?: AccessOptions
}

export const serverDefaults = Object.freeze({
  requestTimeoutMs: 60_000,
  closeTimeoutMs: 10_000,
  redisUrl: null,
  logger: false,
} satisfies Omit<ServerOptions, 'bodyLimitBytes'>)

/**
 * The HTTP face: insert rows, query, datasets, health, OpenAPI. It parses, calls the engine and formats; it knows no
 * SQL. The caller listens and closes.
 *
 * @example
 * const app = await createServer(tm)
 * await listen(app, { host: '127.0.0.1', port: 4680 })
 *
 * @throws TidemarkError TM_CONFIG when a file that a step of `ingest.enrich` or `server.tls` needs is not there, or everybody could do
 * everything from other machines, without its being said.
 */
export async function createServer(
  tm: Tidemark,
  options: Partial<ServerOptions> = {},
): Promise<FastifyInstance> {
  const { bodyLimitBytes, requestTimeoutMs, closeTimeoutMs, redisUrl, logger, access } = {
    ...serverDefaults,
    bodyLimitBytes: tm.config.limits.maxBodyBytes,
    ...options,
  }
  // what of the configuration cannot be is told before anything is opened
  const tls = tlsFilesOf(tm.config.server.tls, tm.root)
  const https = tls && readTls(tls)
  const trustProxy = trustOf(tm.config.server.trustProxy)
  const authenticator = createAuthenticator(tm, (error) =>
    app.log.warn({ err: error }, 'access: beside a request'),
  )
  // a database of countries that is missing is told now, not to the first sender
  await tm.openEnrichment()
  await tm.openBoards()
  await tm.openSpool()
  const cache = await openServerCache(tm, redisUrl, logger)
  const fastifyOptions: FastifyServerOptions = {
    trustProxy,
    // a server with TLS is one like any other; the types tell the two apart
    ...(https === null ? {} : ({ https } as FastifyServerOptions)),
    ...(logger === false ? { logger: false } : { loggerInstance: logger }),
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    genReqId: ({ headers }) => requestIdOf(headers),
    // once for each request, without its URL: observe-requests.ts
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request' }),
    // a body that is refused half-way would otherwise be read to its end
    forceCloseConnections: 'idle',
    // what is wrong before a route is known: a URL whose percent-encoding is none
    frameworkErrors: (_error, request, reply) => sendProblem(reply, request, badUrl(request.raw)),
  }
  const app = Fastify(fastifyOptions)
  // query/ and schema/ check what arrives and name the path of each problem; the schemas are for OpenAPI
  app.setValidatorCompiler(() => () => true)
  boundClose(app, closeTimeoutMs)
  if (tls !== null) watchTls(app, tls, access?.tlsPollMs)
  let live: ReturnType<typeof installLiveRoutes> | null = null
  const observation = observeRequests(app, tm, {
    ...cacheSources(cache),
    ...liveSources(tm, () => live?.counts ?? null),
  })
  installProblems(app, { bodyLimitBytes })
  const installAccessRoutes = installAccess(app, tm, {
    ...(cache.limiter === null ? {} : { limiter: cache.limiter }),
    ...access,
    authenticator,
    isTls: tls !== null,
  })
  installCache(app, cache, authenticator)
  observation.installOrigins()
  installBodies(app)
  await installOpenApi(app, tm)
  installHealthRoute(app, tm)
  installAccessRoutes()
  installProbeRoutes(app, tm)
  installMetricsRoute(app, tm, observation)
  installSlowQueryRoute(app, tm, observation)
  installDatasetRoutes(app)
  installRowRoutes(app)
  installRecordRoutes(app)
  installQueryRoute(app)
  installQuerySqlRoute(app)
  installProductRoutes(app)
  installReportRoutes(app)
  installOperationsApi(app, tm, observation)
  installBoardRoutes(app)
  installSharedRoutes(app, tm)
  await installInfluxRoutes(app, tm, { bodyLimitBytes })
  await installPrometheusRoutes(app, tm, { bodyLimitBytes })
  await installOtlpRoutes(app, tm, { bodyLimitBytes })
  await withSockets(app, { bodyLimitBytes }, (scope) => {
    installStreamRoute(scope, { bodyLimitBytes })
    live = installLiveRoutes(scope, tm, options.live)
  })
  await installAnalyticsRoute(app, tm)
  if (tm.config.server.dashboard) await installDashboard(app, options.dashboardDir)
  installProblemRoute(app)
  installOpenApiRoute(app, tm)
  return app
}
