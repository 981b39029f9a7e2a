import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Tidemark } from '../../engine.ts'
import {
  createLineProtocolDecoder,
  createLineRouter,
  lineOf,
  linePrecision,
  type Point,
} from '../../protocols/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { Delivery, maxKeptProblems, rawBy } from './deliver.ts'
import { answerErrors, bytesOf, installMissing, takeStreams, wholeBody } from './protocol-routes.ts'
import { requestSignal } from './request-signal.ts'
import { reserveRoom } from './reserve-room.ts'

/** Of a body, what is decoded and not yet written: this many points, or so many bytes of text. */
const piecePoints = 5000
const pieceBytes = 1024 * 1024
/** Memory of such a piece, as points and as rows. */
const pieceMemory = 16 * 1024 * 1024
const maxQueryBytes = 64 * 1024

/** The write API of InfluxDB 1 and 2, as Telegraf speaks it. Errors have InfluxDB's forms. */
export async function installInfluxRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  options: { readonly bodyLimitBytes: number },
): Promise<void> {
  const config = tm.config.ingest.lineProtocol
  if (config === null) {
    installMissing(
      app,
      [
        ['POST', '/write'],
        ['POST', '/api/v2/write'],
        ['GET', '/ping'],
        ['POST', '/query'],
      ],
      'ingest.lineProtocol',
    )
    return
  }
  const { bodyLimitBytes } = options
  const route = createLineRouter(config, { maxProblems: maxKeptProblems })
  const unrouted = config.catchAll?.into.name ?? 'line protocol'

  async function write(request: FastifyRequest, reply: FastifyReply): Promise<Delivery> {
    const { precision: word } = request.query as { precision?: string }
    const precision = linePrecision(word)
    if (precision === null)
      throw new TidemarkError('TM_QUERY', {
        path: 'precision',
        problem: `invalid precision "${word}"; use ns, us, ms or s`,
      })
    const signal = requestSignal(reply)
    const delivery = new Delivery(request.tm, { source: 'line protocol', signal, digest: null })
    const decoder = createLineProtocolDecoder({
      receivedAt: request.tm.now(),
      precision,
      maxProblems: maxKeptProblems,
    })
    let points: Point[] = []
    let bytes = 0
    let told = 0
    const flush = async (): Promise<void> => {
      const problemCount = decoder.problemCount - told
      told = decoder.problemCount
      await delivery.keep(unrouted, { problems: decoder.problems.splice(0), problemCount })
      const piece = points
      points = []
      bytes = 0
      if (piece.length > 0) await delivery.write(unrouted, route(piece), rawBy(piece, lineOf))
    }
    for await (const chunk of bytesOf(request.body, bodyLimitBytes)) {
      for (const point of decoder.push(chunk)) points.push(point)
      bytes += chunk.length
      // nothing more is read meanwhile, so the sender waits, too
      if (points.length >= piecePoints || bytes >= pieceBytes) await flush()
    }
    for (const point of decoder.end()) points.push(point)
    await flush()
    return delivery
  }

  const onRequest = (request: FastifyRequest, reply: FastifyReply): Promise<void> =>
    reserveRoom(request, reply, pieceMemory)
  const description =
    'Line protocol, gzipped or not; 204 when all points are committed. Points that do not fit are kept as dead letters, the others ' +
    'are written: 400 says how many were dropped. 503 with `Retry-After`: send the same again.'
  const schema = { tags: ['protocols'], consumes: ['text/plain'] }
  const answers = { 204: Type.Null({ description: 'Committed.' }) }
  const text = (words: string) => Type.Optional(Type.String({ description: words }))

  await app.register(async (scope) => {
    takeStreams(scope)
    answerErrors(scope, bodyLimitBytes, (reply, { status, error }) =>
      reply.code(status).header('x-influxdb-error', headerText(error.message)).send({ error: error.message }),
    )
    scope.addHook('onSend', async (_request, reply) => {
      reply.header('x-influxdb-version', `tidemark-${tm.version}`)
    })
    scope.post(
      '/write',
      {
        schema: {
          ...schema,
          summary: 'The write API of InfluxDB 1',
          description,
          querystring: Type.Object({
            db: text('Taken, and not kept.'),
            rp: text('Taken, and not kept.'),
            precision: text('n, u, ms, s, m, h; default n'),
          }),
          response: { ...answers, '4xx': InfluxError, '5xx': InfluxError },
        },
        config: { access: 'ingest', keyParameter: 'p' },
        serializerCompiler: () => (data) => JSON.stringify(data),
        onRequest,
      },
      async (request, reply) => {
        const delivery = await write(request, reply)
        if (delivery.refused === 0) return reply.code(204).send()
        const error = partialWrite(delivery)
        return reply.code(400).header('x-influxdb-error', headerText(error)).send({ error })
      },
    )
    scope.get(
      '/ping',
      {
        schema: {
          tags: ['protocols'],
          summary: 'Whether InfluxDB 1 or 2 is there, as clients ask',
          response: { 204: Type.Null({ description: 'It is.' }) },
        },
        config: { access: 'public' },
      },
      async (_request, reply) => reply.code(204).send(),
    )
    scope.post(
      '/query',
      {
        schema: {
          tags: ['protocols'],
          summary: 'CREATE DATABASE of InfluxDB 1, which senders say first; it does nothing',
          consumes: ['application/x-www-form-urlencoded'],
          querystring: Type.Object({ q: text('The statement; or in the body.') }),
          response: { 200: Type.Unknown(), '4xx': InfluxError },
        },
        config: { access: 'ingest', keyParameter: 'p' },
        serializerCompiler: () => (data) => JSON.stringify(data),
      },
      async (request) => {
        const body = (await wholeBody(request.body, maxQueryBytes)).toString('utf8')
        const { q } = request.query as { q?: string }
        const statement = q ?? new URLSearchParams(body).get('q') ?? ''
        if (/^\s*create\s+database\s+\S[^;]*;?\s*$/i.test(statement))
          return { results: [{ statement_id: 0 }] }
        throw new TidemarkError('TM_QUERY', {
          path: 'q',
          problem: 'only CREATE DATABASE is taken here; ask by POST /api/v1/query',
        })
      },
    )
  })

  await app.register(async (scope) => {
    takeStreams(scope)
    answerErrors(scope, bodyLimitBytes, (reply, { status, error }) =>
      reply.code(status).send({ code: codeOf(status), message: error.message }),
    )
    scope.post(
      '/api/v2/write',
      {
        schema: {
          ...schema,
          summary: 'The write API of InfluxDB 2',
          description,
          querystring: Type.Object({
            org: text('Taken, and not kept.'),
            bucket: text('Taken, and not kept.'),
            precision: text('ns, us, ms, s; default ns'),
          }),
          response: { ...answers, '4xx': Influx2Error, '5xx': Influx2Error },
        },
        config: { access: 'ingest', keyParameter: 'p' },
        serializerCompiler: () => (data) => JSON.stringify(data),
        onRequest,
      },
      async (request, reply) => {
        const delivery = await write(request, reply)
        if (delivery.refused === 0) return reply.code(204).send()
        return reply.code(400).send({ code: 'invalid', message: partialWrite(delivery) })
      },
    )
  })
}

const InfluxError = Type.Object({ error: Type.String() }, { $id: 'InfluxError', title: 'InfluxError' })
const Influx2Error = Type.Object(
  { code: Type.String({ examples: ['invalid'] }), message: Type.String() },
  { $id: 'Influx2Error', title: 'Influx2Error' },
)

/** Telegraf looks for "partial write", and does not send such points again. */
function partialWrite({ first, refused }: Delivery): string {
  return `partial write: ${first} dropped=${refused}`
}

/** The words of InfluxDB 2. */
function codeOf(status: number): string {
  switch (status) {
    case 404:
      return 'not found'
    case 413:
      return 'request too large'
    case 415:
      return 'invalid'
    case 429:
      return 'too many requests'
    case 503:
      return 'unavailable'
    default:
      return status >= 500 ? 'internal error' : 'invalid'
  }
}

/** Messages show what was sent, and headers hold ASCII alone. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 1000)
}
