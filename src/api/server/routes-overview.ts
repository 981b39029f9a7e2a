import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { OverviewAnswer, Problem } from '../contract/index.ts'
import { actorOf } from './access.ts'
import type { Observation } from './observe-requests.ts'
import { assertOperator } from './operators.ts'
import { installAggregateRoutes } from './routes-aggregates.ts'
import { installDeadLetterRoutes } from './routes-dead-letters.ts'
import { installJobRoutes } from './routes-jobs.ts'
import { installOperationRoutes } from './routes-operations.ts'
import { installStorageRoutes } from './routes-storage.ts'

/** Everything for those who run it: how it is, and what they do about it. */
export function installOperationsApi(
  app: FastifyInstance,
  tm: Tidemark,
  { aggregateUses, overview }: Pick<Observation, 'aggregateUses' | 'overview'>,
): void {
  installStorageRoutes(app, tm)
  installOperationRoutes(app, tm)
  installAggregateRoutes(app, tm, aggregateUses)
  installJobRoutes(app, tm)
  installDeadLetterRoutes(app, (request, act, subject, detail) =>
    tm.access.audit.record(actorOf(request), { act, subject, outcome: 'done', detail }),
  )
  app.get(
    '/api/v1/overview',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'Health: what is red and what to do about it, rates and latencies of the last minutes',
        description: 'Rates and latencies are of this process. Checks are made every 30 seconds at most.',
        tags: ['operations'],
        response: { 200: OverviewAnswer, '4xx': Problem, '5xx': Problem },
      },
      serializerCompiler: () => (data: unknown) => JSON.stringify(data),
    },
    async (request) => {
      assertOperator(request)
      return overview.read()
    },
  )
}
