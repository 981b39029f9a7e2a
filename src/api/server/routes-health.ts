import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { toJsonText } from '../../util/json.ts'
import { Health, Problem, StatusAnswer } from '../contract/index.ts'

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
      config: { access: 'public' },
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
  app.get(
    '/api/v1/status',
    {
      schema: {
        summary: 'Sizes, chunks, what is in the lake, jobs, dead letters',
        description: 'Of the catalog and statistics; no table is scanned.',
        tags: ['operations'],
        response: { 200: StatusAnswer, '5xx': Problem },
      },
      // figures of all tenants together: of the engine itself
      config: { access: 'admin' },
      serializerCompiler: () => (data) => (typeof data === 'string' ? data : toJsonText(data)),
    },
    async (_request, reply) => reply.type('application/json; charset=utf-8').send(await tm.status()),
  )
}
