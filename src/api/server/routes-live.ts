import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Tidemark } from '../../engine.ts'
import { type LiveCaller, LiveHub, type LiveOptions } from '../../live/index.ts'
import { isTidemarkError, TidemarkError } from '../../util/errors.ts'
import { Problem } from '../contract/index.ts'
import { LiveEvents } from './live-events.ts'
import { LiveSocket } from './live-socket.ts'

interface LiveRequest {
  Querystring: { query?: string; resume?: string }
}

/** Live answers: over a WebSocket any number of them, as server-sent events one. The scope knows WebSockets (`withSockets`). */
export function installLiveRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  options: Partial<LiveOptions> = {},
): LiveHub {
  const explain = (error: unknown): TidemarkError => {
    if (isTidemarkError(error) && error.code !== 'TM_DATABASE') return error
    const id = randomUUID()
    app.log.error({ err: error, id }, 'a live answer failed')
    return new TidemarkError('TM_INTERNAL', { id }, { cause: error })
  }
  const { memoryBytes: maxBytes, tenantShare } = tm.config.server.live
  const hub = new LiveHub({ maxBytes, tenantShare, ...options, feed: tm.feed, explain })
  const events = new Set<LiveEvents>()
  app.addHook('preClose', async () => {
    hub.close()
    for (const stream of events)
      stream.end(new TidemarkError('TM_LIVE_LIMIT', { problem: 'the server is stopping', limit: 'no more' }))
  })
  app.route<LiveRequest>({
    method: 'GET',
    url: '/api/v1/live',
    exposeHeadRoute: false,
    config: { access: 'query' },
    schema: {
      summary: 'A query that is kept up to date: the answer, then what changes of it',
      description:
        'Server-sent events, `answer` first and then `change`, for one query. As a WebSocket: any number of subscriptions, ' +
        'see docs/reference/http.md. With the id of the last event (`Last-Event-ID`, `resume`) only what has changed since is sent, where that is known.',
      tags: ['query'],
      querystring: Type.Object({
        query: Type.Optional(
          Type.String({ description: 'As the body of POST /api/v1/query; JSON. Not for a WebSocket.' }),
        ),
        resume: Type.Optional(Type.String({ description: 'In place of Last-Event-ID.' })),
      }),
      response: {
        200: {
          description: 'Events.',
          content: { 'text/event-stream': { schema: Type.String() } },
        },
        101: Type.Null({ description: 'Switching to WebSocket.' }),
        '4xx': Problem,
        '5xx': Problem,
      },
    },
    onRequest: async (request) => {
      if (request.ws) assertOwnPage(request)
    },
    handler: async (request, reply) => {
      const { query, resume } = request.query
      const last = request.headers['last-event-id']
      const stream = new LiveEvents(hub, callerOf(request), {
        query: readQuery(query),
        resume: (typeof last === 'string' && last !== '' ? last : resume) ?? null,
        requestId: request.id,
      })
      events.add(stream)
      reply.raw.once('close', () => {
        events.delete(stream)
        stream.destroy()
      })
      await stream.first
      return (
        reply
          .type('text/event-stream; charset=utf-8')
          .header('cache-control', 'no-store')
          // a proxy that gathers answers would hold it back
          .header('x-accel-buffering', 'no')
          .send(stream)
      )
    },
    wsHandler: (socket, request) => {
      new LiveSocket(hub, socket, { caller: callerOf(request), requestId: request.id, explain })
    },
  })
  return hub
}

function callerOf({ principal, tm }: FastifyRequest): LiveCaller {
  return { engine: tm, principal: `${principal.kind} ${principal.id}`, datasets: principal.datasets }
}

function readQuery(text: string | undefined): unknown {
  if (text === undefined)
    throw new TidemarkError('TM_QUERY', {
      path: 'query',
      problem: 'is missing; give a query as JSON, or open it as a WebSocket',
    })
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TidemarkError('TM_QUERY', { path: 'query', problem: 'is not JSON' }, { cause })
  }
}

/**
 * Pages of any origin may open WebSockets, and browsers ask nobody. Whoever showed a key or token of his own has it from somewhere;
 * but nobody's page may use what a browser brings by itself, or that the server takes everybody on this machine.
 */
function assertOwnPage({ headers, principal }: FastifyRequest): void {
  const { origin, host } = headers
  if (origin === undefined || principal.kind === 'key' || principal.kind === 'token') return
  if (URL.canParse(origin) && new URL(origin).host === host) return
  throw new TidemarkError('TM_FORBIDDEN', {
    what: `pages of ${origin} may not open live connections here`,
    todo: 'open it from a page of this server, or with a key or token',
  })
}
