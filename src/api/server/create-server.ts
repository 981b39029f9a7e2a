import swagger from '@fastify/swagger'
import Fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { requestIdOf } from '../../observe/index.ts'
import { installAccess } from './access.ts'
import { installBodies } from './bodies.ts'
import { boundClose } from './bounded-close.ts'
import { observeRequests } from './observe-requests.ts'
import { installProblems } from './problems.ts'
import { installAnalyticsRoute } from './routes-analytics.ts'
import { installDatasetRoutes } from './routes-datasets.ts'
import { installHealthRoute } from './routes-health.ts'
import { installInfluxRoutes } from './routes-influx.ts'
import { installMetricsRoutes } from './routes-metrics.ts'
import { installOtlpRoutes } from './routes-otlp.ts'
import { installProbeRoutes } from './routes-probes.ts'
import { installProductRoutes } from './routes-product.ts'
import { installPrometheusRoutes } from './routes-prometheus.ts'
import { installQueryRoute } from './routes-query.ts'
import { installRowRoutes } from './routes-rows.ts'
import { installStreamRoute } from './routes-stream.ts'

export interface ServerOptions {
  /** Unpacked bytes of a request's body at most. Default: `limits.maxBodyBytes` of the configuration. */
  readonly bodyLimitBytes: number
  /** A request that has not arrived whole by then is cut off. Default 60,000 ms. */
  readonly requestTimeoutMs: number
  /** How long `close` waits for requests that run, before it cuts their connections. Default 10,000 ms. */
  readonly closeTimeoutMs: number
  /** pino or compatible; false logs nothing. */
  readonly logger: FastifyBaseLogger | false
}

export const serverDefaults = Object.freeze({
  requestTimeoutMs: 60_000,
  closeTimeoutMs: 10_000,
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
 * @throws TidemarkError TM_CONFIG when a file that a step of `ingest.enrich` needs is not there.
 */
export async function createServer(
  tm: Tidemark,
  options: Partial<ServerOptions> = {},
): Promise<FastifyInstance> {
  const { bodyLimitBytes, requestTimeoutMs, closeTimeoutMs, logger } = {
    ...serverDefaults,
    bodyLimitBytes: tm.config.limits.maxBodyBytes,
    ...options,
  }
  // a database of countries that is missing is told now, not to the first sender
  await tm.openEnrichment()
  await tm.openSpool()
  const app = Fastify({
    ...(logger === false ? { logger: false } : { loggerInstance: logger }),
    bodyLimit: bodyLimitBytes,
    requestTimeout: requestTimeoutMs,
    genReqId: ({ headers }) => requestIdOf(headers),
    // once for each request, without its URL: observe-requests.ts
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request' }),
    // a body that is refused half-way would otherwise be read to its end
    forceCloseConnections: 'idle',
  })
  // query/ and schema/ check what arrives and name the path of each problem; the schemas are for OpenAPI
  app.setValidatorCompiler(() => () => true)
  boundClose(app, closeTimeoutMs)
  const observation = observeRequests(app, tm)
  installProblems(app, { bodyLimitBytes })
  installAccess(app, tm)
  observation.installOrigins()
  installBodies(app)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tidemark',
        version: tm.version,
        description: 'Insert rows and ask one exact query over everything that is stored.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `schema${i}`) },
  })
  installHealthRoute(app, tm)
  installProbeRoutes(app, tm)
  installMetricsRoutes(app, tm, observation)
  installDatasetRoutes(app)
  installRowRoutes(app)
  installQueryRoute(app)
  installProductRoutes(app)
  await installInfluxRoutes(app, tm, { bodyLimitBytes })
  await installPrometheusRoutes(app, tm, { bodyLimitBytes })
  await installOtlpRoutes(app, tm, { bodyLimitBytes })
  await installStreamRoute(app, { bodyLimitBytes })
  await installAnalyticsRoute(app, tm)
  app.get('/openapi.json', { schema: { hide: true }, config: { access: 'public' } }, async () =>
    app.swagger(),
  )
  return app
}
