import type { FastifyRequest } from 'fastify'
import type { Credential } from '../../access/index.ts'
import { TidemarkError } from '../../util/errors.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Where a sender that has no header of its own may put its key: `p` of InfluxDB 1's clients, `key` of pages that send beacons. */
    readonly keyParameter?: 'p' | 'key'
  }
}

export const sessionCookie = 'tidemark_session'
/** Of a browser's WebSocket, which has no other header: `new WebSocket(url, ['tidemark', 'tidemark.bearer.<key or token>'])`. */
const protocolPrefix = 'tidemark.bearer.'
const maxLength = 8192
const printable = /^[\x21-\x7e]+$/

/**
 * What a request shows of who sends it; null: nothing.
 *
 * @throws TidemarkError TM_UNAUTHORIZED for what has not the form of any.
 */
export function findCredential(request: FastifyRequest): Credential | null {
  const { authorization } = request.headers
  if (authorization !== undefined) return bearer(readAuthorization(authorization))
  const query = (request.query ?? {}) as Readonly<Record<string, unknown>>
  if (isUpgrade(request)) {
    const offered = request.headers['sec-websocket-protocol'] ?? ''
    const found = offered
      .split(',')
      .map((word) => word.trim())
      .find((word) => word.startsWith(protocolPrefix))
    if (found !== undefined) return bearer(found.slice(protocolPrefix.length))
  }
  // EventSource has no headers either
  if (query['ticket'] !== undefined && (isUpgrade(request) || isEventSource(request)))
    return { kind: 'ticket', text: plain(query['ticket'], 'the parameter "ticket"') }
  const parameter = request.routeOptions.config?.keyParameter
  if (parameter !== undefined && query[parameter] !== undefined)
    return {
      ...bearer(plain(query[parameter], `the parameter "${parameter}"`)),
      ...(parameter === 'key' ? { isPublic: true } : {}),
    }
  const session = cookieOf(request.headers.cookie)
  return session === null ? null : { kind: 'session', text: session }
}

export function isUpgrade({ headers }: Pick<FastifyRequest, 'headers'>): boolean {
  return headers.upgrade?.toLowerCase() === 'websocket'
}

function isEventSource({ method, headers }: Pick<FastifyRequest, 'headers' | 'method'>): boolean {
  return method === 'GET' && headers.accept?.includes('text/event-stream') === true
}

/** For `handleProtocols` of `ws`: answers with the name of the protocol, never with what a key came in. */
export function chooseProtocol(offered: ReadonlySet<string>): string | false {
  for (const word of offered) if (!word.startsWith(protocolPrefix)) return word
  return false
}

function bearer(text: string): Credential {
  return { kind: 'bearer', text }
}

/** `Bearer`; `Token` of InfluxDB's clients, alone or behind a user; `Basic`, whose password it is. */
function readAuthorization(header: string): string {
  const match = /^(\w+) +(\S+) *$/.exec(header)
  const scheme = match?.[1]?.toLowerCase()
  const value = match?.[2] ?? ''
  if (header.length > maxLength) throw malformed('the header Authorization is too long')
  switch (scheme) {
    case 'bearer':
      return plain(value, 'the header Authorization')
    case 'token':
      return plain(value.slice(value.indexOf(':') + 1), 'the header Authorization')
    case 'basic': {
      const pair = Buffer.from(value, 'base64').toString('utf8')
      return plain(pair.slice(pair.indexOf(':') + 1), 'the password of the header Authorization')
    }
    default:
      throw malformed('the header Authorization is none of Bearer, Token and Basic')
  }
}

function plain(value: unknown, what: string): string {
  if (typeof value === 'string' && value.length <= maxLength && printable.test(value)) return value
  throw malformed(`${what} holds no key or token`)
}

function malformed(problem: string): TidemarkError {
  return new TidemarkError('TM_UNAUTHORIZED', {
    problem,
    todo: 'send Authorization: Bearer with an API key or a token',
  })
}

function cookieOf(header: string | undefined): string | null {
  if (header === undefined || header.length > maxLength) return null
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=')
    const name = pair.slice(0, at).trim()
    if (name === sessionCookie || name === `__Host-${sessionCookie}`) return pair.slice(at + 1).trim()
  }
  return null
}
