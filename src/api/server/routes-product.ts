import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { type ProductKind, productKinds } from '../../product/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'
import { Problem } from '../contract/index.ts'
import { answerProductQuestion, readCacheLayer } from './cache-query.ts'
import { requestSignal } from './request-signal.ts'

const ShownRange = Type.Object({
  from: Type.Union([Type.String(), Type.Null()]),
  to: Type.Union([Type.String(), Type.Null()]),
})

const EventsAnswer = Type.Object({
  rows: Type.Array(Type.Record(Type.String(), Type.Unknown())),
  plan: Type.Object({
    range: ShownRange,
    read: ShownRange,
    parts: Type.Array(
      Type.Object({
        source: Type.String({ description: 'hot, cold, or the name of a continuous aggregate' }),
        rows: Type.Union([Type.Integer(), Type.Null()]),
        files: Type.Union([Type.Integer(), Type.Null()]),
      }),
    ),
    elapsedMs: Type.Integer(),
    method: Type.Optional(Type.String({ description: 'active users: exact or uniques' })),
    errorBound: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    aggregates: Type.Optional(
      Type.Array(Type.Object({ name: Type.String(), used: Type.Boolean(), why: Type.String() })),
    ),
    cache: Type.Optional(
      Type.Object({ layer: Type.String(), outcome: Type.String(), ageMs: Type.Integer() }),
    ),
  }),
})

const summaries: Readonly<Record<ProductKind, string>> = {
  funnel: 'How many users go through steps, and how long it takes them',
  retention: 'Which users come back, by the period in which they began',
  sessions: 'How many sessions there were, how long, and how many had one event alone',
  topPages: 'The pages with the most views',
  paths: 'Where sessions go from place to place: the edges of a Sankey diagram',
  activeUsers: 'Different users of the last day, week, month at the end of each bucket',
  lifecycle: 'New, returning, resurrecting and dormant users of each period',
}

/** A route for each kind of question about events. Bodies are those of `tm.product`, and `timeoutMs`. */
export function installProductRoutes(app: FastifyInstance): void {
  for (const kind of productKinds)
    app.post<{ Params: { dataset: string } }>(
      `/api/v1/datasets/:dataset/${kind.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
      {
        schema: {
          summary: summaries[kind],
          description: 'docs/guide/product-analytics.md explains every part, and what the answer means.',
          tags: ['product analytics'],
          params: Type.Object({ dataset: Type.String() }),
          body: Type.Object(
            {
              from: Type.String(),
              timeoutMs: Type.Optional(Type.Integer({ minimum: 1 })),
              cache: Type.Optional(
                Type.Union([Type.Literal('dashboard'), Type.Literal('lists'), Type.Literal('reports')]),
              ),
            },
            { additionalProperties: true },
          ),
          response: { 200: EventsAnswer, '4xx': Problem, '5xx': Problem },
        },
        config: { access: 'query' },
        serializerCompiler: () => (data) => (typeof data === 'string' ? data : toJsonText(data)),
      },
      async (request, reply) => {
        const { timeoutMs, cache, ...question } = asObject(request.body)
        if (timeoutMs !== undefined && (!Number.isInteger(timeoutMs) || (timeoutMs as number) < 1))
          throw new TidemarkError('TM_QUERY', {
            path: 'timeoutMs',
            problem: 'must be a positive whole number of milliseconds',
          })
        const layer = readCacheLayer(cache)
        const { dataset } = request.params
        const ask = (signal: AbortSignal) =>
          request.tm.productUnknown(kind, dataset, question, {
            signal,
            ...(timeoutMs === undefined ? {} : { timeoutMs: timeoutMs as number }),
          })
        const definition = layer === null ? null : request.tm.dataset(dataset)
        // what is no hypertable the engine refuses
        const answer =
          layer === null || definition?.kind !== 'hypertable'
            ? await ask(requestSignal(reply))
            : await answerProductQuestion(request, reply, {
                ...{ layer, kind, definition, query: question, ask },
                timeoutMs: (timeoutMs as number | undefined) ?? null,
              })
        return reply.type('application/json; charset=utf-8').send(answer)
      },
    )
}

function asObject(body: unknown): Record<string, unknown> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>
  throw new TidemarkError('TM_BODY', {
    problem: 'the body is not a JSON object',
    todo: 'send one question as JSON',
  })
}
