import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { createAnalyticsRouter } from '../../protocols/index.ts'
import type { AnalyticsRoute } from '../../schema/index.ts'
import { systemClock } from '../../time/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { AnalyticsAnswer, Problem } from '../contract/index.ts'
import { parseJsonBody } from './json-body.ts'
import { requestSignal } from './request-signal.ts'
import { reserveRoom } from './reserve-room.ts'

const url = '/api/v1/analytics'
/** Trackers send at most 64,000 bytes. */
const bodyLimit = 1024 * 1024
const maxListed = 100

/** What trackers in browsers send: docs/reference/analytics-api.md. There is no route where the configuration takes no events. */
export async function installAnalyticsRoute(app: FastifyInstance, tm: Tidemark): Promise<void> {
  const route = tm.config.ingest.analytics
  if (route === null) return
  const steps = tm.config.ingest.enrich.find(({ into }) => into.name === route.into.name)?.steps ?? []
  const isAddressRead = steps.some(({ reads }) => reads.includes('ip'))
  const toRows = createAnalyticsRouter(route, { isAddressRead })
  await app.register(async (scope) => {
    // a beacon is text/plain, whatever it holds
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser<string>('*', { parseAs: 'string', bodyLimit }, (_request, body, done) =>
      done(null, body),
    )
    scope.options(
      url,
      { schema: { hide: true }, config: { access: 'public', hasOrigins: true } },
      async (request, reply) => {
        allowOrigin(route, request, reply)
        return reply
          .code(204)
          .headers({
            'access-control-allow-methods': 'POST',
            'access-control-allow-headers': 'content-type',
            'access-control-max-age': '86400',
          })
          .send()
      },
    )
    scope.post(
      url,
      {
        schema: {
          summary: 'Events of the tracker in browsers; the answer comes after they are committed',
          description:
            'A batch `{sentAt, dropped, events}`, or the list of events that older trackers send, whatever the content type says. ' +
            'Times are put right by the skew of the sender’s clock. An event whose id was written is counted as a duplicate. ' +
            'Events that do not fit are kept as dead letters and are no reason for 4xx. 503 with `Retry-After`: come again later.',
          tags: ['rows'],
          consumes: ['text/plain', 'application/json'],
          response: { 200: AnalyticsAnswer, '4xx': Problem, '5xx': Problem },
        },
        config: { access: 'ingest', keyParameter: 'key', hasOrigins: true },
        serializerCompiler: () => (data) => JSON.stringify(data),
        bodyLimit,
        onRequest: async (request, reply) => {
          allowOrigin(route, request, reply)
          await reserveRoom(request, reply)
        },
      },
      async (request, reply) => {
        const batch = toRows({
          body: parseJsonBody(request.body as string),
          receivedAt: systemClock.now(),
          userAgent: request.headers['user-agent'] ?? null,
          address: request.ip,
        })
        if (typeof batch === 'string')
          throw new TidemarkError('TM_BODY', {
            problem: batch,
            todo: 'send { sentAt, events: [...] }, docs/reference/analytics-api.md',
          })
        if (batch.dropped > 0) request.log.warn({ dropped: batch.dropped }, 'a tracker had to drop events')
        const { name } = route.into
        const source = 'analytics'
        const { tm } = request
        const report = await tm.ingestUnknown(name, batch.rows, {
          source,
          isReserved: true,
          signal: requestSignal(reply),
        })
        await tm.keepStrays(
          source,
          batch.old.map(({ row, ...letter }) => ({
            ...letter,
            dataset: name,
            reason: 'time',
            raw: row,
            isRow: true,
          })),
        )
        const rejected = [
          ...report.rejected.rows.map((row) => ({ ...row, index: batch.indexes[row.index] as number })),
          ...batch.old.map(({ row: _, ...letter }) => ({ ...letter, reason: 'time' })),
        ].sort((a, b) => a.index - b.index)
        return reply.send({
          accepted: report.accepted,
          duplicates: report.duplicates,
          rejected: {
            count: report.rejected.count + batch.old.length,
            rows: rejected.slice(0, maxListed),
          },
          dropped: report.dropped,
        })
      },
    )
  })
}

/**
 * Lets pages of declared origins read the answer, and takes nothing from others. Cookies play no part.
 *
 * @throws TidemarkError TM_ORIGIN
 */
function allowOrigin({ origins }: AnalyticsRoute, request: FastifyRequest, reply: FastifyReply): void {
  const { origin, host } = request.headers
  if (origins === '*') reply.header('access-control-allow-origin', '*')
  else {
    reply.header('vary', 'origin')
    // not from a page, or from one of this server
    if (origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)) return
    if (!origins.includes(origin)) throw new TidemarkError('TM_ORIGIN', { origin, allowed: origins })
    reply.header('access-control-allow-origin', origin)
  }
  reply.header('access-control-expose-headers', 'retry-after')
}
