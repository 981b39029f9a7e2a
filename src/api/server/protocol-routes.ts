import type { Readable } from 'node:stream'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import { withoutSecrets } from '../../access/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { knownError, retryAfterOf } from './problems.ts'

/**
 * Routes of a protocol that the configuration does not take: what to declare is said before anything of the body is read.
 */
export function installMissing(
  app: FastifyInstance,
  routes: readonly (readonly [method: HTTPMethods, url: string])[],
  option: string,
): void {
  for (const [method, url] of routes)
    app.route({
      method,
      url,
      schema: { hide: true },
      // nothing is read, and nothing is there to be used
      config: { access: 'public' },
      onRequest: async (request) => {
        const todo = `declare ${option} in the configuration (docs/guide/protocols.md)`
        throw new TidemarkError('TM_ROUTE', {
          method: request.method,
          url: withoutSecrets(request.url),
          todo,
        })
      },
      handler: async () => undefined,
    })
}

/** Bodies of any content type come as they are: as a stream of unpacked bytes. */
export function takeStreams(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
}

/**
 * The bytes of a body, as they come. It does not end the connection when it is left half-way, so that there is somebody to answer.
 *
 * @throws TidemarkError TM_BODY_TOO_LARGE
 */
export async function* bytesOf(body: unknown, limitBytes: number): AsyncGenerator<Buffer> {
  if (body === undefined || body === null) return
  let total = 0
  for await (const chunk of (body as Readable).iterator({ destroyOnReturn: false })) {
    total += (chunk as Buffer).length
    if (total > limitBytes) throw new TidemarkError('TM_BODY_TOO_LARGE', { limitBytes })
    yield chunk as Buffer
  }
}

export async function wholeBody(body: unknown, limitBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of bytesOf(body, limitBytes)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export interface ProtocolAnswer {
  readonly status: number
  readonly error: TidemarkError
}

/**
 * Errors in a protocol's own form. Senders go by the status alone: 429 and 5xx are sent again, any other is given up. So what may be
 * tried again, or of which nobody knows whether it was committed, is never one of the others.
 */
export function answerErrors(
  scope: FastifyInstance,
  bodyLimitBytes: number,
  send: (reply: FastifyReply, answer: ProtocolAnswer, request: FastifyRequest) => FastifyReply,
): void {
  scope.setErrorHandler((error: FastifyError, request, reply) => {
    const known = knownError(error, request, bodyLimitBytes)
    if (known.status >= 500 && known.code !== 'TM_TIMEOUT') request.log.error({ err: error }, known.message)
    const isAgain = known.retryable || known.code === 'TM_COMMIT_UNKNOWN'
    const status = isAgain && known.status !== 429 && known.status < 500 ? 503 : known.status
    const seconds = retryAfterOf(known)
    if (seconds !== null || isAgain) reply.header('retry-after', seconds ?? 1)
    // the rest of a body that nobody reads would be taken for the next request
    if (!request.raw.complete) reply.header('connection', 'close')
    return send(reply, { status, error: known }, request)
  })
}
