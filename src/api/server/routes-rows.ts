import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import type { Tidemark } from '../../engine.ts'
import { TidemarkError } from '../../util/errors.ts'
import { Problem, WriteAnswer } from '../contract/index.ts'
import { requestSignal } from './request-signal.ts'

const conflictRules = ['error', 'ignore', 'update'] as const

export function installRowRoutes(app: FastifyInstance, tm: Tidemark): void {
  app.post<{ Params: { dataset: string }; Querystring: { onConflict?: string } }>(
    '/api/v1/datasets/:dataset/rows',
    {
      schema: {
        summary: 'Insert rows; the answer comes after they are committed, all or none',
        description:
          'A JSON array of row objects, NDJSON (one object a line) or CSV with a header line; gzip is taken. ' +
          '`onConflict=ignore` leaves rows that exist as they are, `update` overwrites them by primary key; the answer ' +
          'counts what was done.',
        tags: ['rows'],
        consumes: ['application/json', 'application/x-ndjson', 'text/csv'],
        params: Type.Object({ dataset: Type.String() }),
        querystring: Type.Object({
          onConflict: Type.Optional(Type.Union(conflictRules.map((rule) => Type.Literal(rule)))),
        }),
        body: Type.Array(Type.Record(Type.String(), Type.Unknown())),
        response: { 201: WriteAnswer, '4xx': Problem, '5xx': Problem },
      },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async (request, reply) => {
      const definition = tm.dataset(request.params.dataset)
      const rule = request.query.onConflict ?? 'error'
      if (!conflictRules.includes(rule as (typeof conflictRules)[number])) {
        throw new TidemarkError('TM_QUERY', {
          path: 'onConflict',
          problem: `"${rule}" is not one of ${conflictRules.join(', ')}`,
        })
      }
      const rows =
        typeof request.body === 'string' ? tm.parseCsv(definition, request.body) : asRows(request.body)
      const signal = requestSignal(reply)
      if (rule === 'update') {
        const upserted = await tm.upsertUnknown(definition.name, rows, { signal })
        return reply.code(201).send({ upserted })
      }
      const counts = await tm.insertCounted(definition.name, rows, {
        signal,
        onConflict: rule as 'error' | 'ignore',
      })
      return reply.code(201).send(counts)
    },
  )
}

function asRows(body: unknown): Record<string, unknown>[] {
  if (!Array.isArray(body)) {
    throw new TidemarkError('TM_BODY', {
      problem: 'the body is not a JSON array',
      todo: 'send an array of row objects',
    })
  }
  const wrong = body.findIndex((row) => typeof row !== 'object' || row === null || Array.isArray(row))
  if (wrong >= 0) {
    throw new TidemarkError('TM_BODY', {
      problem: `row ${wrong} is not an object`,
      todo: 'send an array of row objects',
    })
  }
  return body as Record<string, unknown>[]
}
