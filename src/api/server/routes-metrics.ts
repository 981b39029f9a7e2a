import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { TidemarkError } from '../../util/errors.ts'
import { Problem, SlowQueryList } from '../contract/index.ts'
import type { Observation } from './observe-requests.ts'

/** What the server tells of itself to those who run it. */
export function installMetricsRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  { metrics, slowQueries }: Pick<Observation, 'metrics' | 'slowQueries'>,
): void {
  const { metrics: access } = tm.config.server
  app.get(
    '/metrics',
    { schema: { hide: true }, config: { access, isQuiet: true } },
    async (request, reply) => {
      if (access !== 'public') assertOperator(request)
      const { text, contentType } = await metrics.read()
      return reply.type(contentType).send(text)
    },
  )
  app.get(
    '/api/v1/slow-queries',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'The last queries that took longer than server.slowQuery, newest first',
        description:
          'At most 100, of this process. Without the values of their conditions, unless `server.logValues` says so.',
        tags: ['operations'],
        response: { 200: SlowQueryList, '4xx': Problem },
      },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async (request, reply) => {
      assertOperator(request)
      return reply.send({ thresholdMs: tm.config.server.slowQueryMs, queries: slowQueries.all })
    },
  )
}

/** What is of all tenants is for nobody who is of one. */
function assertOperator(request: FastifyRequest): void {
  if (request.principal.tenant.kind === 'all') return
  throw new TidemarkError('TM_FORBIDDEN', {
    what: `${request.routeOptions.url} is of all tenants together, and this key or token is of one`,
    todo: 'use one without a tenant',
  })
}
