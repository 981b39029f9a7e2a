import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Tidemark } from '../../engine.ts'
import {
  createLogsRouter,
  createMetricsRouter,
  createSpansRouter,
  type Decoded,
  decodeOtlpLogs,
  decodeOtlpMetrics,
  decodeOtlpTraces,
  encodeOtlpResponse,
  encodeOtlpStatus,
  type OtlpEncoding,
  type OtlpSignal,
  type Routed,
} from '../../protocols/index.ts'
import type { Instant } from '../../time/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { Delivery, digestOf, maxKeptProblems, rawBy } from './deliver.ts'
import { answerErrors, installMissing, takeStreams, wholeBody } from './protocol-routes.ts'
import { requestSignal } from './request-signal.ts'
import { reserveRoom } from './reserve-room.ts'

const contentTypes = { json: 'application/json', protobuf: 'application/x-protobuf' } as const

interface DecodeOptions {
  readonly encoding: OtlpEncoding
  readonly receivedAt: Instant
  readonly maxProblems: number
}

/** What a signal's requests become: the two steps are one, because each knows the type of its points. */
interface Signal {
  readonly signal: OtlpSignal
  readonly option: string
  readonly dataset: string
  read(body: Buffer, options: DecodeOptions): Read
}

interface Read extends Omit<Decoded<never>, 'points'> {
  readonly routed: Routed
  readonly rawOf: (index: number) => unknown
}

const limits = { maxProblems: maxKeptProblems }

/** Metrics, logs and traces of OpenTelemetry. */
export async function installOtlpRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  options: { readonly bodyLimitBytes: number },
): Promise<void> {
  const { bodyLimitBytes } = options
  for (const [name, option, found] of signalsOf(tm)) {
    const url = `/v1/${name}`
    if (found === null) {
      installMissing(app, [['POST', url]], option)
      continue
    }
    await app.register(async (scope) => {
      takeStreams(scope)
      answerErrors(scope, bodyLimitBytes, (reply, { status, error }, request) => {
        const encoding = encodingOf(request) ?? 'json'
        return reply
          .code(status)
          .type(contentTypes[encoding])
          .send(encodeOtlpStatus(encoding, `${error.code}: ${error.message}`))
      })
      scope.post(
        url,
        {
          schema: {
            summary: `OTLP/HTTP: ${name} of OpenTelemetry`,
            description:
              'An export request in protobuf or JSON, gzipped or not; 200 when all of it is committed. What does not fit is kept as dead letters and ' +
              'told by `partialSuccess`. A request that comes again with the same content writes nothing. 503 with `Retry-After`: send it again.',
            tags: ['protocols'],
            consumes: Object.values(contentTypes),
            response: {
              200: Type.Unknown({ description: 'ExportServiceResponse, in the encoding of the request.' }),
              '4xx': Type.Unknown({ description: 'google.rpc.Status: not to be sent again (but 429).' }),
              '5xx': Type.Unknown({ description: 'google.rpc.Status: to be sent again.' }),
            },
          },
          config: { access: 'ingest' },
          onRequest: (request, reply) => reserveRoom(request, reply),
        },
        async (request, reply) => {
          const encoding = encodingOf(request)
          if (encoding === null)
            throw new TidemarkError('TM_MEDIA_TYPE', {
              found: request.headers['content-type'] ?? 'none',
              allowed: Object.values(contentTypes),
            })
          const body = await wholeBody(request.body, bodyLimitBytes)
          const { routed, rawOf, ...undecoded } = found.read(body, {
            ...limits,
            encoding,
            receivedAt: request.tm.now(),
          })
          const delivery = new Delivery(request.tm, {
            source: `otlp ${name}`,
            signal: requestSignal(reply),
            digest: digestOf(body),
          })
          await delivery.keep(found.dataset, undecoded)
          await delivery.write(found.dataset, routed, rawOf)
          return reply
            .type(contentTypes[encoding])
            .send(encodeOtlpResponse(name, encoding, delivery.refused, delivery.first))
        },
      )
    })
  }
}

type Found = Pick<Signal, 'dataset' | 'read'>

function signalsOf(tm: Tidemark): readonly (readonly [OtlpSignal, string, Found | null])[] {
  const { metrics, logs, spans, genAi } = tm.config.ingest.otlp
  const metricsRouter = metrics && createMetricsRouter(metrics, limits)
  const logsRouter = logs && createLogsRouter(logs, limits)
  const spansRouter = (spans || genAi) && createSpansRouter({ spans, genAi }, limits)
  const readWith = <P extends { readonly index: number }>(
    { points, problems, problemCount }: Decoded<P>,
    router: (points: readonly P[]) => Routed,
  ): Read => ({ routed: router(points), rawOf: rawBy(points, (point) => point), problems, problemCount })
  return [
    [
      'metrics',
      'ingest.otlp.metrics',
      metricsRouter && {
        dataset: metrics.into.name,
        read: (body, options) => readWith(decodeOtlpMetrics(body, options), metricsRouter),
      },
    ],
    [
      'logs',
      'ingest.otlp.logs',
      logsRouter && {
        dataset: logs.into.name,
        read: (body, options) => readWith(decodeOtlpLogs(body, options), logsRouter),
      },
    ],
    [
      'traces',
      'ingest.otlp.spans or ingest.otlp.genAi',
      spansRouter && {
        dataset: (spans ?? genAi)!.into.name,
        read: (body, options) => readWith(decodeOtlpTraces(body, options), spansRouter),
      },
    ],
  ]
}

function encodingOf(request: FastifyRequest): OtlpEncoding | null {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase()
  if (type === contentTypes.json) return 'json'
  return type === contentTypes.protobuf || type === 'application/protobuf' ? 'protobuf' : null
}
