import type { FastifyError, FastifyInstance } from 'fastify'
import Type from 'typebox'
import { withoutSecrets } from '../../access/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { Problem } from '../contract/index.ts'
import { knownError } from './problems.ts'
import { RowStream, type RowStreamOptions } from './row-stream.ts'

const rules = ['error', 'ignore', 'update'] as const
const nameForm = /^[\x21-\x7e]{1,100}$/

interface StreamRequest {
  Params: { dataset: string }
  Querystring: { onConflict?: string; stream?: string; from?: string }
}

/** Rows over a WebSocket: frames in, acknowledgements out. The scope knows WebSockets (`withSockets`). */
export function installStreamRoute(app: FastifyInstance, options: { readonly bodyLimitBytes: number }): void {
  app.route<StreamRequest>({
    method: 'GET',
    url: '/api/v1/datasets/:dataset/stream',
    exposeHeadRoute: false,
    schema: {
      summary: 'A WebSocket for rows; each frame is acknowledged after it is committed',
      description:
        'A frame is NDJSON or a JSON array, at most 1 MiB. Frames are numbered from `from` on and answered in their order by ' +
        '`{seq, accepted, rejected, …}`, or `{seq, error}`. With `stream` a frame that is sent again with its number within 48 hours writes nothing.',
      tags: ['rows'],
      params: Type.Object({ dataset: Type.String() }),
      querystring: Type.Object({
        onConflict: Type.Optional(Type.Union(rules.map((rule) => Type.Literal(rule)))),
        stream: Type.Optional(
          Type.String({ description: 'A name of the sender’s choice, 1 to 100 characters.' }),
        ),
        from: Type.Optional(
          Type.Integer({ minimum: 1, description: 'Number of the first frame; default 1.' }),
        ),
      }),
      response: { 101: Type.Null({ description: 'Switching to WebSocket.' }), '4xx': Problem },
    },
    config: { access: 'ingest' },
    // what is wrong is told before the protocol is switched
    onRequest: async (request) => {
      request.tm.dataset(request.params.dataset)
      readOptions(request.query)
    },
    handler: async (request) => {
      const todo = 'open it as a WebSocket, or POST to …/rows'
      throw new TidemarkError('TM_ROUTE', {
        method: request.method,
        url: withoutSecrets(request.url),
        todo,
      })
    },
    wsHandler: (socket, request) => {
      new RowStream(request.tm, socket, {
        ...readOptions(request.query),
        dataset: request.params.dataset,
        settled: () => app.cache.settled(),
        explain: (error) => {
          const known = knownError(error as FastifyError, request, options.bodyLimitBytes)
          if (known.status >= 500) request.log.error({ err: error }, known.message)
          return known
        },
      })
    },
  })
}

function readOptions(
  query: StreamRequest['Querystring'],
): Pick<RowStreamOptions, 'onConflict' | 'name' | 'from'> {
  const { onConflict = 'error', stream = null, from = '1' } = query
  const rule = rules.find((word) => word === onConflict)
  if (rule === undefined)
    throw new TidemarkError('TM_QUERY', {
      path: 'onConflict',
      problem: `"${onConflict}" is not one of ${rules.join(', ')}`,
    })
  if (stream !== null && !nameForm.test(stream))
    throw new TidemarkError('TM_QUERY', {
      path: 'stream',
      problem: 'must be 1 to 100 printable ASCII characters without spaces',
    })
  if (!/^[1-9]\d{0,14}$/.test(from))
    throw new TidemarkError('TM_QUERY', {
      path: 'from',
      problem: `"${from}" is not a whole number from 1 on`,
    })
  return { onConflict: rule, name: stream, from: Number(from) }
}
