import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Operation } from '../../client/index.ts'
import type { Tidemark } from '../../engine.ts'
import { OperationAnswer, OperationBody, OperationList, Problem } from '../contract/index.ts'
import { actorOf } from './access.ts'
import { assertOperator, mayHearOf } from './operators.ts'

/** Work on the store that goes on in the background: begun, looked at, cancelled. */
export function installOperationRoutes(app: FastifyInstance, tm: Tidemark): void {
  const { operations, access } = tm
  const shared = { serializerCompiler: () => (data: unknown) => JSON.stringify(data) } as const
  const problems = { '4xx': Problem, '5xx': Problem }
  const tags = ['operations']
  const byId = Type.Object({ id: Type.String() })

  app.post(
    '/api/v1/operations',
    {
      ...shared,
      config: { access: 'admin', isAudited: true },
      schema: {
        summary: 'Begins to freeze, thaw, compact, verify, refresh or sweep',
        description:
          'It goes on in the background of this process, whoever waits; at most 4 at once. Freeze without chunks, range or `all` ' +
          'takes what is due, compact what is worth it. Each can be stopped and begun again: what is done stays done.',
        tags,
        body: OperationBody,
        response: { 202: OperationAnswer, ...problems },
      },
    },
    async (request, reply) => {
      assertOperator(request)
      const wanted = operations.read(request.body)
      if (wanted.dataset !== undefined) request.tm.queryable(wanted.dataset)
      else assertEveryDataset(request)
      const actor = actorOf(request)
      const note = (
        { id, kind, dataset }: Operation,
        outcome: 'done' | 'failed',
        detail: Readonly<Record<string, unknown>>,
      ) =>
        access.audit.record(actor, {
          act: kind,
          subject: dataset,
          outcome,
          detail: { operation: id, ...detail },
        })
      const begun = await operations.start(wanted, actor.id, (ended) =>
        note(ended, 'failed', { code: ended.error?.code ?? null, message: ended.error?.message ?? null }),
      )
      const { kind: _, dataset: __, ...choice } = wanted
      await note(begun, 'done', { begun: true, ...choice })
      return reply.code(202).header('location', `/api/v1/operations/${begun.id}`).send(begun)
    },
  )
  app.get(
    '/api/v1/operations',
    {
      ...shared,
      config: { access: 'admin' },
      schema: {
        summary: 'Operations of this process that run, and the last 100; the newest first',
        tags,
        response: { 200: OperationList, ...problems },
      },
    },
    async (request) => {
      assertOperator(request)
      const isOurs = mayHearOf(request)
      return {
        operations: operations.list().filter(({ dataset }) => dataset === null || isOurs(dataset)),
      }
    },
  )
  app.get<{ Params: { id: string } }>(
    '/api/v1/operations/:id',
    {
      ...shared,
      config: { access: 'admin' },
      schema: {
        summary: 'How far it is',
        tags,
        params: byId,
        response: { 200: OperationAnswer, ...problems },
      },
    },
    async (request) => ours(request),
  )
  app.delete<{ Params: { id: string } }>(
    '/api/v1/operations/:id',
    {
      ...shared,
      config: { access: 'admin' },
      schema: {
        summary: 'Cancels it; what is done by then stays done',
        tags,
        params: byId,
        response: { 200: OperationAnswer, ...problems },
      },
    },
    async (request) => operations.cancel(ours(request).id),
  )

  function ours(request: FastifyRequest<{ Params: { id: string } }>): Operation {
    assertOperator(request)
    const found = operations.get(request.params.id)
    if (found.dataset !== null) request.tm.queryable(found.dataset)
    return found
  }
}

/** What is of the whole lake touches every dataset. @throws TidemarkError TM_FORBIDDEN */
function assertEveryDataset(request: FastifyRequest): void {
  for (const { name } of request.tm.config.datasets) request.tm.dataset(name)
}
