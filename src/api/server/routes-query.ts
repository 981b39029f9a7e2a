import type { FastifyInstance } from 'fastify'
import type { Answer } from '../../query/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'
import { Problem, QueryAnswer, QueryBody } from '../contract/index.ts'
import { answerQuery, readCacheLayer } from './cache-query.ts'
import { requestSignal } from './request-signal.ts'

export function installQueryRoute(app: FastifyInstance): void {
  app.post(
    '/api/v1/query',
    {
      schema: {
        summary:
          'Ask: aggregates per bucket and group, raw rows page by page, or the newest row of each series',
        description:
          'docs/reference/query.md explains every part. Answers hold the plan: what came from where.',
        tags: ['query'],
        body: QueryBody,
        response: { 200: QueryAnswer, '4xx': Problem, '5xx': Problem },
      },
      config: { access: 'query' },
      serializerCompiler: () => (data) => (typeof data === 'string' ? data : toJsonText(data)),
    },
    async (request, reply) => {
      const { dataset, timeoutMs, cache, ...query } = asObject(request.body)
      if (typeof dataset !== 'string') {
        throw new TidemarkError('TM_QUERY', {
          path: 'dataset',
          problem: 'give the name of a dataset, e.g. "metrics.cpu"',
        })
      }
      if (timeoutMs !== undefined && (!Number.isInteger(timeoutMs) || (timeoutMs as number) < 1)) {
        throw new TidemarkError('TM_QUERY', {
          path: 'timeoutMs',
          problem: 'must be a positive whole number of milliseconds',
        })
      }
      const layer = readCacheLayer(cache)
      const ask = (signal: AbortSignal): Promise<Answer> =>
        request.tm.queryUnknown(dataset, query, {
          signal,
          ...(timeoutMs === undefined ? {} : { timeoutMs: timeoutMs as number }),
        })
      const answer =
        layer === null
          ? await ask(requestSignal(reply))
          : await answerQuery(request, reply, {
              layer,
              definition: request.tm.queryable(dataset),
              query,
              timeoutMs: (timeoutMs as number | undefined) ?? null,
              ask,
            })
      return reply.type('application/json; charset=utf-8').send(answer)
    },
  )
}

function asObject(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new TidemarkError('TM_BODY', {
      problem: 'the body is not a JSON object',
      todo: 'send one query as JSON',
    })
  }
  return body as Record<string, unknown>
}
