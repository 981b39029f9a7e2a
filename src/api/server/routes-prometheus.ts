import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import type { Tidemark } from '../../engine.ts'
import { createPrometheusRouter, decodeRemoteWrite, type Sample } from '../../protocols/index.ts'
import { formatInstant } from '../../time/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { Delivery, digestOf, maxKeptProblems, rawBy } from './deliver.ts'
import { answerErrors, installMissing, takeStreams, wholeBody } from './protocol-routes.ts'
import { requestSignal } from './request-signal.ts'
import { reserveRoom } from './reserve-room.ts'

const urls = ['/api/v1/prometheus/write', '/api/v1/write'] as const

/** Prometheus remote write 1.0. */
export async function installPrometheusRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  options: { readonly bodyLimitBytes: number },
): Promise<void> {
  const config = tm.config.ingest.prometheus
  if (config === null) {
    installMissing(
      app,
      urls.map((url) => ['POST', url] as const),
      'ingest.prometheus',
    )
    return
  }
  const { bodyLimitBytes } = options
  const limits = { maxProblems: maxKeptProblems }
  const route = createPrometheusRouter(config, limits)
  const dataset = config.into.name
  await app.register(async (scope) => {
    takeStreams(scope)
    // Prometheus logs the first line of what it is answered
    answerErrors(scope, bodyLimitBytes, (reply, { status, error }) =>
      reply.code(status).type('text/plain; charset=utf-8').send(`${error.code}: ${error.message}`),
    )
    for (const url of urls)
      scope.post(
        url,
        {
          schema: {
            summary: 'Remote write 1.0 of Prometheus',
            description:
              'snappy around a protobuf WriteRequest; 204 when all samples are committed. A request that comes again with the same samples ' +
              'writes nothing. Samples that do not fit are kept as dead letters, the others are written: 400. 503 with `Retry-After`: send it again.',
            tags: ['protocols'],
            consumes: ['application/x-protobuf'],
            response: {
              204: Type.Null({ description: 'Committed.' }),
              '4xx': Type.String({ description: 'Not to be sent again (but 429).' }),
              '5xx': Type.String({ description: 'To be sent again.' }),
            },
          },
          config: { access: 'ingest', encoding: 'snappy' },
          onRequest: (request, reply) => reserveRoom(request, reply),
        },
        async (request, reply) => {
          const encoding = request.headers['content-encoding'] ?? 'none'
          if (encoding !== 'snappy')
            throw new TidemarkError('TM_MEDIA_TYPE', {
              found: `content-encoding ${encoding}`,
              allowed: ['snappy'],
            })
          const body = await wholeBody(request.body, bodyLimitBytes)
          const decoded = decodeRemoteWrite(body, { ...limits, maxBytes: bodyLimitBytes })
          const { points, problemCount } = decoded
          const delivery = new Delivery(request.tm, {
            source: 'prometheus',
            signal: requestSignal(reply),
            digest: digestOf(body),
          })
          await delivery.keep(dataset, decoded)
          await delivery.write(dataset, route(points), rawBy(points, rawOf))
          if (delivery.refused === 0) return reply.code(204).send()
          const count = points.length + problemCount
          return reply
            .code(400)
            .type('text/plain; charset=utf-8')
            .send(
              `${delivery.refused} of ${count} samples were not taken and are kept as dead letters, the others are stored; the first: ${delivery.first}`,
            )
        },
      )
  })
}

/** A sample as a dead letter has it. */
function rawOf({ measurement, tagKeys, tagValues, fieldValues, time, isStale }: Sample): unknown {
  return {
    metric: measurement,
    labels: Object.fromEntries(tagKeys.map((key, i) => [key, tagValues[i]])),
    value: fieldValues[0],
    time: formatInstant(time),
    stale: isStale,
  }
}
