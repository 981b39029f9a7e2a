/** What a layer of the cache has counted since the process began. */
export interface CacheCounts {
  readonly layer: string
  readonly hits: number
  readonly misses: number
  /** Given out although they were past their time, while one caller computed them anew. */
  readonly stale: number
  readonly entries: number
  readonly bytes: number
  readonly evictions: number
}

/** Live answers: of this moment, and since the process began. */
export interface LiveMeasures {
  readonly subscriptions: number
  readonly upstreams: number
  readonly computations: number
  readonly messages: number
  /** Subscriptions that were ended because their reader was too slow. */
  readonly dropped: number
}

/** What is measured beside the engine; each is asked when metrics are read, and answers at once. */
export interface MetricSources {
  readonly caches: () => readonly CacheCounts[]
  /** Null: none is configured. */
  readonly isRedisUp: () => boolean | null
  readonly live: () => LiveMeasures
  /** How long ago the change feed has told everything; null: nobody listens. */
  readonly feedLagMs: () => number | null
}

export const noSources: MetricSources = Object.freeze({
  caches: () => [],
  isRedisUp: () => null,
  live: () => ({ subscriptions: 0, upstreams: 0, computations: 0, messages: 0, dropped: 0 }),
  feedLagMs: () => null,
})
