import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { Problem, SlowQueryList } from '../contract/index.ts'
import type { Observation } from './observe-requests.ts'
import { assertOperator } from './operators.ts'

/** What a process tells of itself to those who run it. */
export function installMetricsRoute(
  app: FastifyInstance,
  tm: Tidemark,
  { metrics }: Pick<Observation, 'metrics'>,
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
}

/** What was slow of what it was asked. */
export function installSlowQueryRoute(
  app: FastifyInstance,
  tm: Tidemark,
  { slowQueries }: Pick<Observation, 'slowQueries'>,
): void {
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
