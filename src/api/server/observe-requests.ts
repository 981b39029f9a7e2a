import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

import type { Tidemark } from '../../engine.ts'
import type { LiveCounts } from '../../live/index.ts'
import {
  AggregateUses,
  type CallOrigin,
  CatalogReader,
  type MetricSources,
  Metrics,
  noSources,
  OverviewReader,
  RecentTraffic,
  SlowQueries,
  traceOf,
} from '../../observe/index.ts'
import type { ScopedTidemark } from '../../scoped.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asked again and again by machines: its requests are logged as debug. */
    readonly isQuiet?: boolean
  }
  interface FastifyRequest {
    /** Who calls the engine, for logs; known when `principal` is. */
    origin: CallOrigin | null
  }
}

export interface Observation {
  readonly metrics: Metrics
  readonly slowQueries: SlowQueries
  readonly aggregateUses: AggregateUses
  readonly overview: OverviewReader
  /** Names whoever asks in what the engine tells; after it is known who does. */
  installOrigins(): void
}

/**
 * Counts and logs requests, each once, when it has ended: never what was sent or answered. Before everything else, so that refused
 * ones are counted, too.
 */
export function observeRequests(
  app: FastifyInstance,
  tm: Tidemark,
  sources: Partial<MetricSources> = {},
): Observation {
  const { slowQueryMs, logValues } = tm.config.server
  const metrics = new Metrics({ tm, sources })
  const slowQueries = new SlowQueries({
    thresholdMs: slowQueryMs,
    withValues: logValues,
    onSlow: (slow) => {
      metrics.queryWasSlow(slow.dataset)
      const { at: _, ...fields } = slow
      app.log.warn(fields, 'slow query')
    },
  })
  const traffic = new RecentTraffic()
  const aggregateUses = new AggregateUses(tm.aggregates.map(({ name }) => name))
  const overview = new OverviewReader({
    ...{
      tm,
      traffic,
      slowQueries,
      sources: { ...noSources, ...sources },
      catalog: new CatalogReader({ tm }),
    },
  })
  const stops = [tm.observe(traffic.observer), tm.observe(aggregateUses.observer)]
  const rows = new WeakMap<CallOrigin, number>()
  const add = (origin: CallOrigin | null, count: number): void => {
    if (origin !== null) rows.set(origin, (rows.get(origin) ?? 0) + count)
  }
  const stop = tm.observe({
    onQuery: (query) => {
      add(query.origin, query.rows ?? 0)
      slowQueries.see(query)
    },
    onWrite: ({ origin, report }) => add(origin, report?.accepted ?? 0),
  })
  app.addHook('onClose', async () => {
    for (const end of [stop, ...stops]) end()
    metrics.close()
  })
  app.decorateRequest('origin', null)
  app.addHook('onRequest', async (request, reply) => {
    const startedMs = performance.now()
    reply.header('x-request-id', request.id)
    metrics.requestBegan()
    whenEnded(request, reply, (status, isStream) => {
      const ms = performance.now() - startedMs
      const route = request.routeOptions.url ?? null
      metrics.requestEnded({ method: request.method, route, status, ms, isStream })
      const { origin } = request
      const level = request.routeOptions.config?.isQuiet === true ? 'debug' : 'info'
      request.log[level](
        {
          ...{ method: request.method, route, status, ms: Math.round(ms * 10) / 10 },
          rows: (origin === null ? null : rows.get(origin)) ?? null,
          // who is refused has no origin, and may be known
          principal: request.principal?.id ?? null,
          trace: traceOf(request.headers)?.trace,
        },
        isStream ? 'stream ended' : 'request',
      )
    })
  })
  return {
    metrics,
    slowQueries,
    aggregateUses,
    overview,
    installOrigins() {
      app.addHook('onRequest', async (request) => {
        const origin = Object.freeze({ request: request.id, principal: request.principal.id })
        request.origin = origin
        request.tm = withOrigin(request.tm, origin)
      })
    },
  }
}

/** What /metrics shows of live answers and of the feed. */
export function liveSources(
  { feed }: Pick<Tidemark, 'feed'>,
  counts: () => LiveCounts | null,
): Pick<MetricSources, 'live' | 'feedLagMs'> {
  return {
    live: () => {
      const { subscriptions = 0, questions = 0, computations = 0, messages = 0, dropped = 0 } = counts() ?? {}
      return { subscriptions, upstreams: questions, computations, messages, dropped }
    },
    feedLagMs: () => (feed.isFollowed && Number.isFinite(feed.behindMs) ? feed.behindMs : null),
  }
}

/** Calls back once, however the answer ends; 499: nobody was there any more to take it. */
function whenEnded(
  request: FastifyRequest,
  reply: FastifyReply,
  ended: (status: number, isStream: boolean) => void,
): void {
  const { raw } = reply
  let isEnded = false
  const once = (end: () => void) => () => {
    if (isEnded) return
    isEnded = true
    end()
  }
  const isEventStream = (): boolean => String(raw.getHeader('content-type')).startsWith('text/event-stream')
  const isSocket = request.headers.upgrade?.toLowerCase() === 'websocket'
  raw.once(
    'finish',
    once(() => ended(raw.statusCode, isEventStream())),
  )
  raw.once(
    'close',
    once(() => {
      if (isSocket) ended(101, true)
      else if (isEventStream()) ended(raw.statusCode, true)
      else ended(499, false)
    }),
  )
}

/** The same engine, which says with each call for whom it is. */
function withOrigin(tm: ScopedTidemark, origin: CallOrigin): ScopedTidemark {
  const named: Pick<ScopedTidemark, 'queryUnknown' | 'productUnknown' | 'ingestUnknown'> = {
    queryUnknown: (name, query, options) => tm.queryUnknown(name, query, { ...options, origin }),
    productUnknown: (kind, name, input, options) =>
      tm.productUnknown(kind, name, input, { ...options, origin }),
    ingestUnknown: (name, rows, options) => tm.ingestUnknown(name, rows, { ...options, origin }),
  }
  return Object.assign(Object.create(tm) as ScopedTidemark, named)
}
