import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Authenticator, Verified } from '../../access/index.ts'
import type { Tidemark } from '../../engine.ts'
import { formatInstant } from '../../time/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { PrincipalAnswer, Problem, SessionAnswer, TicketAnswer } from '../contract/index.ts'
import { csrfHeader } from './access.ts'
import { findCredential, sessionCookie } from './credentials.ts'

/** Who one is; signing a browser in and out; tickets for what browsers open without headers. */
export function installSessionRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  authenticator: Authenticator | null,
): void {
  const problems = { '4xx': Problem, '5xx': Problem }
  const tags = ['access']
  const config = { access: 'known' } as const
  const asJson = { serializerCompiler: () => (data: unknown) => JSON.stringify(data) }

  app.get(
    '/api/v1/me',
    {
      schema: {
        summary: 'Who you are, and what you may do',
        tags,
        response: { 200: PrincipalAnswer, ...problems },
      },
      config,
      ...asJson,
    },
    async ({ principal, verified }) => ({
      kind: principal.kind,
      id: principal.id,
      name: principal.name,
      tenant: principal.tenant.kind === 'one' ? principal.tenant.tenant : null,
      allTenants: principal.tenant.kind === 'all',
      scopes: [...principal.scopes],
      datasets: principal.datasets === null ? null : [...principal.datasets],
      expiresAt: verified?.expiresAt == null ? null : formatInstant(verified.expiresAt),
    }),
  )
  app.post(
    '/api/v1/session',
    {
      schema: {
        summary: 'Signs a browser in by a key or token: an HttpOnly cookie stands for it from here on',
        description: `Requests with the cookie that are not GET need the header ${csrfHeader}, of any value.`,
        tags,
        response: { 201: SessionAnswer, ...problems },
      },
      config,
      ...asJson,
    },
    async (request, reply) => {
      const { by, who } = needed(request, authenticator)
      const { text, expiresAt } = await by.startSession(who)
      const seconds = Number((expiresAt - tm.now()) / 1_000_000n)
      setCookie(request, reply, text, Math.max(1, seconds))
      return reply.code(201).send({ expiresAt: formatInstant(expiresAt) })
    },
  )
  app.delete(
    '/api/v1/session',
    {
      schema: { summary: 'Signs the browser out', tags, response: { ...problems } },
      config,
    },
    async (request, reply) => {
      const { by } = needed(request, authenticator)
      const credential = findCredential(request)
      if (credential?.kind === 'session') await by.endSession(credential.text)
      setCookie(request, reply, '', 0)
      return reply.code(204).send()
    },
  )
  app.post(
    '/api/v1/tickets',
    {
      schema: {
        summary: 'A ticket that opens one WebSocket or event stream within 30 seconds, in place of a header',
        tags,
        response: { 201: TicketAnswer, ...problems },
      },
      config,
      ...asJson,
    },
    async (request, reply) => {
      const { by, who } = needed(request, authenticator)
      const { text, expiresAt } = await by.issueTicket(who)
      return reply.code(201).send({ ticket: text, expiresAt: formatInstant(expiresAt) })
    },
  )
}

/** @throws TidemarkError TM_ROUTE where the server asks nobody who he is. */
function needed(
  { verified, method, url }: FastifyRequest,
  authenticator: Authenticator | null,
): { readonly by: Authenticator; readonly who: Verified } {
  if (authenticator !== null && verified !== null) return { by: authenticator, who: verified }
  throw new TidemarkError('TM_ROUTE', {
    method,
    url,
    todo: 'nobody has to sign in here; declare server.auth in the configuration (docs/guide/access.md)',
  })
}

/** `__Host-`: of this host alone, and over TLS alone. */
function setCookie({ protocol }: FastifyRequest, reply: FastifyReply, value: string, seconds: number): void {
  const isSecure = protocol === 'https'
  reply.header(
    'set-cookie',
    [
      `${isSecure ? '__Host-' : ''}${sessionCookie}=${value}`,
      'Path=/',
      'HttpOnly',
      'SameSite=Strict',
      `Max-Age=${seconds}`,
      ...(isSecure ? ['Secure'] : []),
    ].join('; '),
  )
}
