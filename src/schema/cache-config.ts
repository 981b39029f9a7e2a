import { checkKeys, type ProblemList } from './problems.ts'
import { Section } from './section.ts'

/** Kinds of finished answers that are kept, from L1 to L4. */
export const cacheLayers = ['dashboard', 'lists', 'reports', 'sessions'] as const

export type CacheLayer = (typeof cacheLayers)[number]

export interface CacheLayerOptions {
  /** How long an answer is given out as it is. Of sessions: how long after their last use. */
  readonly ttl?: string
  /** How much longer it may be given out while one caller computes it anew; '0 seconds': not at all. Sessions have none. */
  readonly stale?: string
  /** What each process holds of the layer, '16MB' or bytes; 0: nothing. */
  readonly memory?: string | number
}

export interface RedisCacheOptions {
  /** `redis://user:password@host:6379/0`, or `rediss://` with TLS. */
  readonly url: string
  /** How long a command may take. Then the server goes on without Redis, and tries again by itself. Default '250ms'. */
  readonly timeout?: string
  /** Bytes of one tenant's answers in Redis at most; those that end first go. Default 64 MiB. */
  readonly tenantMemory?: string | number
  /** Bytes of one answer in Redis at most, compressed; larger ones are kept by the process alone. Default 4 MiB. */
  readonly maxValue?: string | number
}

export interface CacheSectionOptions {
  /**
   * What each process holds of results (partial states of whole buckets), '64MB' or bytes: a window that slides computes its
   * newest edge only. Default 64 MiB; 0: every query is computed anew.
   */
  readonly memory?: string | number
  /** Where servers share finished answers. Default: REDIS_URL, where the command line serves; without it each keeps its own. */
  readonly redis?: string | RedisCacheOptions
  /** Finished answers of the server; false: none of that layer is kept. docs/guide/caching.md */
  readonly layers?: Readonly<Partial<Record<CacheLayer, CacheLayerOptions | false>>>
}

export interface CacheLayerConfig {
  readonly ttlMs: number
  readonly staleMs: number
  readonly memoryBytes: number
}

export interface RedisCacheConfig {
  readonly url: string
  readonly timeoutMs: number
  readonly tenantBytes: number
  readonly maxValueBytes: number
}

export interface CacheConfig {
  readonly memoryBytes: number
  readonly redis: RedisCacheConfig | null
  /** Null: the layer keeps nothing. */
  readonly layers: Readonly<Record<CacheLayer, CacheLayerConfig | null>>
}

const mebibyte = 1024 * 1024
const minute = 60_000

export const cacheConfigDefaults = Object.freeze({
  memoryBytes: 64 * mebibyte,
  redis: null,
  layers: Object.freeze({
    dashboard: Object.freeze({ ttlMs: 5 * minute, staleMs: 5 * minute, memoryBytes: 16 * mebibyte }),
    lists: Object.freeze({ ttlMs: 10 * minute, staleMs: 10 * minute, memoryBytes: 16 * mebibyte }),
    reports: Object.freeze({ ttlMs: 24 * 60 * minute, staleMs: 0, memoryBytes: 32 * mebibyte }),
    sessions: Object.freeze({ ttlMs: 30 * minute, staleMs: 0, memoryBytes: 4 * mebibyte }),
  }),
} satisfies CacheConfig)

/** What holds of Redis where only its URL is given. */
export const redisCacheDefaults = Object.freeze({
  timeoutMs: 250,
  tenantBytes: 64 * mebibyte,
  maxValueBytes: 4 * mebibyte,
} satisfies Omit<RedisCacheConfig, 'url'>)

const sectionKeys: Readonly<Record<keyof CacheSectionOptions, true>> = {
  memory: true,
  redis: true,
  layers: true,
}

/** The section `cache`. */
export function readCache(problems: ProblemList, input: unknown): CacheConfig {
  const cache = Section.read(problems, '.cache', input, Object.keys(sectionKeys))
  const layers = Section.read(problems, '.cache.layers', cache.input['layers'], cacheLayers)
  return Object.freeze({
    memoryBytes: cache.bytes('memory', cacheConfigDefaults.memoryBytes, 0) as number,
    redis: readRedis(problems, cache.input['redis']),
    layers: Object.freeze(
      Object.fromEntries(
        cacheLayers.map((layer) => [layer, readLayer(problems, layer, layers.input[layer])]),
      ) as Record<CacheLayer, CacheLayerConfig | null>,
    ),
  })
}

/** The same with Redis, where the configuration names none. */
export function cacheWithRedis(config: CacheConfig, url: string): CacheConfig {
  return config.redis
    ? config
    : Object.freeze({ ...config, redis: Object.freeze({ url, ...redisCacheDefaults }) })
}

function readLayer(problems: ProblemList, layer: CacheLayer, input: unknown): CacheLayerConfig | null {
  if (input === false) return null
  const d: CacheLayerConfig = cacheConfigDefaults.layers[layer]
  const keys = layer === 'sessions' ? ['ttl', 'memory'] : ['ttl', 'stale', 'memory']
  const section = Section.read(problems, `.cache.layers.${layer}`, input, keys)
  return Object.freeze({
    ttlMs: section.millis('ttl', d.ttlMs),
    staleMs: isZero(section.input['stale']) ? 0 : section.millis('stale', d.staleMs),
    memoryBytes: section.bytes('memory', d.memoryBytes, 0) as number,
  })
}

/** A duration is at least a millisecond everywhere else. */
function isZero(value: unknown): boolean {
  return typeof value === 'string' && /^0 ?[a-z]+$/.test(value)
}

function readRedis(problems: ProblemList, input: unknown): RedisCacheConfig | null {
  if (input === undefined || input === null) return null
  const path = '.cache.redis'
  if (typeof input === 'string')
    return Object.freeze({ url: readUrl(problems, path, input), ...redisCacheDefaults })
  if (!checkKeys(problems, path, input, ['url', 'timeout', 'tenantMemory', 'maxValue'])) return null
  const redis = new Section(problems, path, input)
  const d = redisCacheDefaults
  const config = {
    url: readUrl(problems, `${path}.url`, redis.input['url']),
    timeoutMs: redis.millis('timeout', d.timeoutMs),
    tenantBytes: redis.bytes('tenantMemory', d.tenantBytes, mebibyte) as number,
    maxValueBytes: redis.bytes('maxValue', d.maxValueBytes, 1024) as number,
  }
  if (config.maxValueBytes > config.tenantBytes)
    problems.add(`${path}.maxValue`, 'is more than tenantMemory, so that it would never fit')
  return Object.freeze(config)
}

/** The value is not shown: it may hold a password. */
function readUrl(problems: ProblemList, path: string, value: unknown): string {
  if (typeof value === 'string' && /^rediss?:\/\/./.test(value) && URL.canParse(value)) return value
  problems.add(path, 'must be a URL such as redis://host:6379 or rediss://user:password@host:6379/0')
  return ''
}
