import type { IncomingMessage } from 'node:http'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { withoutSecrets } from '../../access/index.ts'
import { type ErrorParams, errorRegistry, isTidemarkError, TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'
import { isOverHttp, problemType } from '../contract/index.ts'

const bodyTypes = ['application/json', 'application/x-ndjson', 'text/csv']

/** Only registered errors speak; everything else is logged and answered as TM_INTERNAL with the request's id. */
export function installProblems(app: FastifyInstance, options: { readonly bodyLimitBytes: number }): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = knownError(error, request, options.bodyLimitBytes)
    if (known.status >= 500 && known.code !== 'TM_TIMEOUT') request.log.error({ err: error }, known.message)
    return sendProblem(reply, request, known)
  })
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      request,
      new TidemarkError('TM_ROUTE', { method: request.method, url: withoutSecrets(request.url) }),
    ),
  )
}

/** A URL that cannot be decoded, so that no route is meant. */
export function badUrl({ method = 'GET', url = '' }: IncomingMessage): TidemarkError {
  return new TidemarkError('TM_ROUTE', {
    method,
    url: url.slice(0, 200),
    todo: 'the URL is not percent-encoded UTF-8',
  })
}

export function sendProblem(
  reply: FastifyReply,
  request: FastifyRequest,
  error: TidemarkError,
): FastifyReply {
  const seconds = retryAfterOf(error)
  if (seconds !== null) reply.header('retry-after', seconds)
  return reply
    .code(error.status)
    .type('application/problem+json; charset=utf-8')
    .send(problemText(error, request.id))
}

/** RFC 9457, as JSON; `instance` is the id under which the log knows more. */
export function problemText(error: TidemarkError, instance: string): string {
  return toJsonText({
    type: problemType(error.code),
    title: errorRegistry[error.code].when,
    status: error.status,
    detail: error.message,
    code: error.code,
    retryable: error.retryable,
    instance,
    params: error.params,
  })
}

/** Null: the error does not say when to come again. */
export function retryAfterOf(error: TidemarkError): number | null {
  if (error.code !== 'TM_OVERLOADED' && error.code !== 'TM_RATE_LIMIT') return null
  return (error.params as ErrorParams<'TM_OVERLOADED' | 'TM_RATE_LIMIT'>).retryAfterSeconds
}

export function knownError(
  error: FastifyError,
  request: FastifyRequest,
  bodyLimitBytes: number,
): TidemarkError {
  if (isTidemarkError(error)) {
    // what PostgreSQL said of an unforeseen error can hold rows: it goes to the log only, as what no caller has to do with
    return isOverHttp(error.code)
      ? error
      : new TidemarkError('TM_INTERNAL', { id: request.id }, { cause: error })
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
