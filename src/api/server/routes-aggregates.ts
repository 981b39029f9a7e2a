import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import type { AggregateUses } from '../../observe/index.ts'
import { AggregateList, Problem } from '../contract/index.ts'
import { assertOperator, mayHearOf } from './operators.ts'
import { requestSignal } from './request-signal.ts'

/** Continuous aggregates: how far each is, and who uses it. */
export function installAggregateRoutes(app: FastifyInstance, tm: Tidemark, uses: AggregateUses): void {
  app.get(
    '/api/v1/aggregates',
    {
      config: { access: 'admin' },
      schema: {
        summary: 'Continuous aggregates: watermark, what is open, versions, and the queries that used them',
        description: '`usedBy` counts answers of this process, since it began.',
        tags: ['operations'],
        response: { 200: AggregateList, '4xx': Problem, '5xx': Problem },
      },
      serializerCompiler: () => (data: unknown) => JSON.stringify(data),
    },
    async (request, reply) => {
      assertOperator(request)
      const isOurs = mayHearOf(request)
      const found = await tm.operations.aggregates({ signal: requestSignal(reply) })
      const ours = found.filter(({ name }) => isOurs(name))
      return { aggregates: ours.map((aggregate) => ({ ...aggregate, usedBy: uses.of(aggregate.name) })) }
    },
  )
}
