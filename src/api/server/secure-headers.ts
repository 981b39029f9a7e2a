import type { FastifyInstance } from 'fastify'

/** What every answer says to browsers; a route that serves pages says otherwise. */
const headers = {
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  // rows are the business of whoever asked, and of no cache between
  'cache-control': 'no-store',
} as const

/** @param isTls over TLS browsers are told to come by it only, for a year. */
export function installSecureHeaders(app: FastifyInstance, { isTls }: { readonly isTls: boolean }): void {
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers(headers)
    if (isTls) reply.header('strict-transport-security', 'max-age=31536000')
  })
}
