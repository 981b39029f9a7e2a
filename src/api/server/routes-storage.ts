import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import type { Tidemark } from '../../engine.ts'
import { GrowthAnswer, Problem, StorageAnswer } from '../contract/index.ts'
import { assertOperator, mayHearOf } from './operators.ts'
import { requestSignal } from './request-signal.ts'

/** Where everything lies, and how it grows. */
export function installStorageRoutes(app: FastifyInstance, tm: Tidemark): void {
  const shared = {
    config: { access: 'admin' },
    serializerCompiler: () => (data: unknown) => JSON.stringify(data),
  } as const
  const problems = { '4xx': Problem, '5xx': Problem }
  app.get(
    '/api/v1/storage',
    {
      ...shared,
      schema: {
        summary: 'Every chunk, what will be done with it next, and what that waits for',
        description: 'Of the catalog and statistics; no table is scanned.',
        tags: ['operations'],
        response: { 200: StorageAnswer, ...problems },
      },
    },
    async (request, reply) => {
      assertOperator(request)
      const storage = await tm.operations.storage({ signal: requestSignal(reply) })
      const isOurs = mayHearOf(request)
      return { ...storage, datasets: storage.datasets.filter(({ name }) => isOurs(name)) }
    },
  )
  app.get<{ Querystring: { dataset?: string; from?: string; to?: string } }>(
    '/api/v1/storage/growth',
    {
      ...shared,
      schema: {
        summary: 'How large datasets were',
        description: 'By the hour, beyond 30 days by the day, for five years; a worker notes it.',
        tags: ['operations'],
        querystring: Type.Object({
          dataset: Type.Optional(Type.String({ description: 'Default: every one.' })),
          from: Type.Optional(Type.String({ description: 'As in a query; default: the first.' })),
          to: Type.Optional(Type.String()),
        }),
        response: { 200: GrowthAnswer, ...problems },
      },
    },
    async (request, reply) => {
      assertOperator(request)
      const { dataset, ...range } = request.query
      const datasets =
        dataset === undefined
          ? request.tm.datasets.map(({ name }) => name)
          : [request.tm.dataset(dataset).name]
      return tm.operations.growth({ datasets, ...range }, { signal: requestSignal(reply) })
    },
  )
}
