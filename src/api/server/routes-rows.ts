import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { TidemarkError } from '../../util/errors.ts'
import { Problem, WriteAnswer } from '../contract/index.ts'
import { sendProblem } from './problems.ts'
import { requestSignal } from './request-signal.ts'
import { reserveRoom } from './reserve-room.ts'

const conflictRules = ['error', 'ignore', 'update'] as const
const yesOrNo = ['true', 'false'] as const
const acknowledges = ['durable', 'queued'] as const

interface RowsRequest {
  Params: { dataset: string }
  Querystring: { onConflict?: string; atomic?: string; ack?: string }
}

export function installRowRoutes(app: FastifyInstance): void {
  app.post<RowsRequest>(
    '/api/v1/datasets/:dataset/rows',
    {
      schema: {
        summary: 'Write rows; the answer comes after they are committed, or are on disk',
        description:
          'A JSON array of row objects (or an object with the list `rows`), NDJSON (one object a line) or CSV with a ' +
          'header line; gzip is taken. Good rows are written: 201 when all are, 207 when some were rejected, 422 when ' +
          'none was taken; `atomic=true`: all or none. `onConflict=ignore` leaves rows that exist as they are, `update` ' +
          'overwrites them by primary key. A request that is repeated with the same `Idempotency-Key` within 48 hours is ' +
          'answered as the first one was and writes nothing. 503 with `Retry-After`: rows come faster than they can be written. `ack=queued`: 202 as soon as the rows are ' +
          'on disk, from where they are written in the order of coming; `accepted` are those that will be.',
        tags: ['rows'],
        consumes: ['application/json', 'application/x-ndjson', 'text/csv'],
        params: Type.Object({ dataset: Type.String() }),
        headers: Type.Object({
          'idempotency-key': Type.Optional(Type.String({ description: '1 to 200 printable characters.' })),
        }),
        querystring: Type.Object({
          onConflict: Type.Optional(Type.Union(conflictRules.map((rule) => Type.Literal(rule)))),
          atomic: Type.Optional(Type.Union(yesOrNo.map((word) => Type.Literal(word)))),
          ack: Type.Optional(Type.Union(acknowledges.map((word) => Type.Literal(word)))),
        }),
        body: Type.Array(Type.Record(Type.String(), Type.Unknown())),
        response: { 201: WriteAnswer, 202: WriteAnswer, 207: WriteAnswer, '4xx': Problem, '5xx': Problem },
      },
      config: { access: 'ingest' },
      serializerCompiler: () => (data) => JSON.stringify(data),
      onRequest: (request, reply) => reserveRoom(request, reply),
    },
    async (request, reply) => {
      const { tm } = request
      const definition = tm.dataset(request.params.dataset)
      const onConflict = oneOf(conflictRules, 'onConflict', request.query.onConflict ?? 'error')
      const atomic = oneOf(yesOrNo, 'atomic', request.query.atomic ?? 'false') === 'true'
      const ack = oneOf(acknowledges, 'ack', request.query.ack ?? 'durable')
      const { body } = request
      const rows = typeof body === 'string' ? tm.parseCsv(definition, body) : listOf(body)
      const { isReplayed, isQueued, ...report } = await tm.ingestUnknown(definition.name, rows, {
        onConflict,
        atomic,
        ack,
        idempotencyKey: keyOf(request.headers['idempotency-key']),
        source: 'http',
        isReserved: true,
        signal: requestSignal(reply),
      })
      const { count, rows: rejected } = report.rejected
      const [first] = rejected
      if (report.accepted === 0 && report.dropped.count === 0 && first !== undefined) {
        const params = {
          table: definition.name,
          count,
          first: `row ${first.index}: ${first.message}`,
          rows: rejected,
        }
        return sendProblem(reply, request, new TidemarkError('TM_REJECTED', params))
      }
      return reply.code(isQueued ? 202 : count > 0 ? 207 : 201).send({ ...report, replayed: isReplayed })
    },
  )
}

function oneOf<T extends string>(words: readonly T[], path: string, given: string): T {
  if ((words as readonly string[]).includes(given)) return given as T
  throw new TidemarkError('TM_QUERY', { path, problem: `"${given}" is not one of ${words.join(', ')}` })
}

function keyOf(header: string | readonly string[] | undefined): string | null {
  return header === undefined ? null : String(header)
}

function listOf(body: unknown): readonly unknown[] {
  if (Array.isArray(body)) return body
  const inner = typeof body === 'object' && body !== null ? (body as { readonly rows?: unknown }).rows : null
  if (Array.isArray(inner) && Object.keys(body as object).length === 1) return inner
  throw new TidemarkError('TM_BODY', {
    problem: 'the body is neither a JSON array nor an object with the list `rows` alone',
    todo: 'send an array of row objects',
  })
}
