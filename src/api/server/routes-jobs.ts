import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { JobList, Problem } from '../contract/index.ts'
import { assertOperator, mayHearOf } from './operators.ts'
import { requestSignal } from './request-signal.ts'

/** Background jobs, of whichever process runs them. */
export function installJobRoutes(app: FastifyInstance, tm: Tidemark): void {
  app.get(
    '/api/v1/jobs',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'Background jobs with what each waits for, and the processes that run them',
        tags: ['operations'],
        response: { 200: JobList, '4xx': Problem, '5xx': Problem },
      },
      serializerCompiler: () => (data: unknown) => JSON.stringify(data),
    },
    async (request, reply) => {
      assertOperator(request)
      const { jobs, workers } = await tm.operations.jobs({ signal: requestSignal(reply) })
      const isOurs = mayHearOf(request)
      return { jobs: jobs.filter(({ dataset }) => dataset === null || isOurs(dataset)), workers }
    },
  )
}
