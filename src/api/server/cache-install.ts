import { createHash } from 'node:crypto'
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import type { Authenticator, SessionStore } from '../../access/index.ts'
import { type AnswerCache, openCache, type RedisChange, RedisRateLimiter } from '../../cache/index.ts'
import type { Tidemark } from '../../engine.ts'
import type { MetricSources } from '../../observe/index.ts'
import { canonicalJson } from '../../query/index.ts'
import { allTenants, cacheLayers, cacheWithRedis } from '../../schema/index.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Finished answers of this server. */
    readonly cache: AnswerCache
  }
}

const reading = new Set(['GET', 'HEAD', 'OPTIONS'])

export interface ServerCache {
  readonly cache: AnswerCache
  /** Null: this server counts for itself. */
  readonly limiter: RedisRateLimiter | null
}

/**
 * @throws TidemarkError TM_CONFIG when Redis is configured and its client is not installed; what keeps from asking the database who it
 * is, where servers share answers.
 */
export async function openServerCache(
  tm: Tidemark,
  redisUrl: string | null,
  log: FastifyBaseLogger | false = false,
): Promise<ServerCache> {
  const config = redisUrl === null ? tm.config.cache : cacheWithRedis(tm.config.cache, redisUrl)
  const identity = config.redis === null ? '' : await identityOf(tm)
  return {
    cache: await openCache({ config, feed: tm.feed, identity, onRedis: (change) => tellRedis(log, change) }),
    limiter: config.redis === null ? null : await RedisRateLimiter.open(config.redis, identity),
  }
}

/** Once for each change. The limiter has a connection of its own to the same Redis, which has nothing to add. */
function tellRedis(log: FastifyBaseLogger | false, { isUp, target, code, problem }: RedisChange): void {
  if (log === false) return
  if (isUp) log.info({ redis: target }, `Redis at ${target} is used again`)
  else
    log.warn(
      { redis: target, code },
      `Redis at ${target} is not used: ${problem}; everything goes on, slower`,
    )
}

/**
 * Finished answers, kept. Whatever is written through a route is out of them before the writer has his answer: every request that may
 * have written waits for the feed, also one that failed, because its transaction may have been committed.
 */
export function installCache(
  app: FastifyInstance,
  { cache, limiter }: ServerCache,
  authenticator: Authenticator | null,
): void {
  app.decorate('cache', cache)
  // one process remembers them by itself
  if (limiter !== null) authenticator?.shareSessions(sessionStore(cache))
  const asked = new WeakSet<FastifyRequest>()
  // after everything that refuses: whoever was refused has written nothing
  app.addHook('preHandler', async (request) => {
    if (!reading.has(request.method) && request.routeOptions.config.access !== 'query') asked.add(request)
  })
  app.addHook('onSend', async (request) => {
    if (asked.has(request)) await cache.settled()
  })
  app.addHook('onClose', async () => {
    await limiter?.close()
    await cache.close()
  })
}

/** L4. What is kept is who has signed in, under the hash of what his browser shows. */
function sessionStore(cache: AnswerCache): SessionStore {
  const nameOf = (session: string): string => `session ${session}`
  return {
    find: async (session, load) => {
      const options = { scope: allTenants, datasets: [], names: [nameOf(session)] }
      const { body } = await cache.cached('sessions', { session }, options, async () => {
        const text = await load()
        return text === null ? null : { body: text }
      })
      return body?.toString() ?? null
    },
    ended: (session) => cache.changed([nameOf(session)]),
  }
}

/** What /metrics shows of it. */
export function cacheSources({ cache }: ServerCache): Pick<MetricSources, 'caches' | 'isRedisUp'> {
  return {
    isRedisUp: () => cache.counts().redis?.isShared ?? null,
    caches: () => {
      const { layers } = cache.counts()
      return cacheLayers.map((layer) => {
        const { memoryHits, redisHits, joined, misses, bypassed, stale, entries, bytes, evicted } =
          layers[layer]
        return {
          layer,
          hits: memoryHits + redisHits,
          misses: misses + bypassed + joined,
          stale,
          entries,
          bytes,
          evictions: evicted,
        }
      })
    },
  }
}

/** Of the database, and of everything that decides what an answer is: servers of another release or declaration share nothing. */
async function identityOf(tm: Tidemark): Promise<string> {
  const { rows } = await tm.sql(
    'select system_identifier::text, timeline::text, database_oid::text from tidemark.change_identity()',
  )
  const { datasets, aggregates } = tm.config
  const text = canonicalJson({ database: rows[0], version: tm.version, datasets, aggregates })
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}
