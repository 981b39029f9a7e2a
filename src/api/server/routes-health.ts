import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { Health } from '../contract/index.ts'

export function installHealthRoute(app: FastifyInstance, tm: Tidemark): void {
  const startedAt = performance.now()
  app.get(
    '/api/v1/health',
    {
      schema: {
        summary: 'Whether the server and its database answer',
        tags: ['operations'],
        response: { 200: Health, 503: Health },
      },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async (_request, reply) => {
      const postgres = await tm.ping()
      return reply.code(postgres.reachable ? 200 : 503).send({
        status: postgres.reachable ? 'ok' : 'down',
        version: tm.version,
        postgres,
        uptimeMs: Math.round(performance.now() - startedAt),
      })
    },
  )
}
