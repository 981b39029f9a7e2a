import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorParams, errorRegistry, isTidemarkError, TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'

const bodyTypes = ['application/json', 'application/x-ndjson', 'text/csv']

/** Only registered errors speak; everything else is logged and answered as TM_INTERNAL with the request's id. */
export function installProblems(app: FastifyInstance, options: { readonly bodyLimitBytes: number }): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = knownError(error, request, options.bodyLimitBytes)
    if (known.status >= 500 && known.code !== 'TM_TIMEOUT') request.log.error({ err: error }, known.message)
    return sendProblem(reply, request, known)
  })
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, request, new TidemarkError('TM_ROUTE', { method: request.method, url: request.url })),
  )
}

export function sendProblem(
  reply: FastifyReply,
  request: FastifyRequest,
  error: TidemarkError,
): FastifyReply {
  if (error.code === 'TM_OVERLOADED')
    reply.header('retry-after', (error.params as ErrorParams<'TM_OVERLOADED'>).retryAfterSeconds)
  return reply
    .code(error.status)
    .type('application/problem+json; charset=utf-8')
    .send(
      toJsonText({
        type: `urn:tidemark:error:${error.code}`,
        title: errorRegistry[error.code].when,
        status: error.status,
        detail: error.message,
        code: error.code,
        retryable: error.retryable,
        instance: request.id,
        params: error.params,
      }),
    )
}

export function knownError(
  error: FastifyError,
  request: FastifyRequest,
  bodyLimitBytes: number,
): TidemarkError {
  if (isTidemarkError(error)) {
    // what PostgreSQL said of an unforeseen error can hold rows: it goes to the log only
    return error.code === 'TM_DATABASE'
      ? new TidemarkError('TM_INTERNAL', { id: request.id }, { cause: error })
      : error
  }
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new TidemarkError('TM_BODY_TOO_LARGE', {
        limitBytes: request.routeOptions.bodyLimit ?? bodyLimitBytes,
      })
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new TidemarkError('TM_MEDIA_TYPE', {
        found: request.headers['content-type'] ?? 'none',
        allowed: bodyTypes,
      })
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new TidemarkError('TM_BODY', {
        problem: error.message,
        todo: 'send the body with its true length',
      })
    case 'FST_ERR_VALIDATION':
      return new TidemarkError('TM_QUERY', {
        path: error.validationContext ?? 'request',
        problem: error.message,
      })
    default:
      return new TidemarkError('TM_INTERNAL', { id: request.id }, { cause: error })
  }
}
