import { setTimeout as sleep } from 'node:timers/promises'
import type { ChangeFeed } from '../feed/index.ts'
import { type CacheConfig, type CacheLayer, type CacheLayerConfig, cacheLayers } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'
import type { EntryKey, Kept, Ticket } from './contract.ts'
import { Counters, type LayerCounts } from './counters.ts'
import { Flight } from './flight.ts'
import { entryKey, type Subject } from './keys.ts'
import { MemoryStore } from './memory-store.ts'
import type { RedisChange } from './redis-health.ts'
import { RedisShare, type RedisShareCounts } from './redis-share.ts'
import { nameTag } from './tags.ts'
import { Watch } from './watch.ts'

export interface CacheOptions {
  readonly config: CacheConfig
  readonly feed: ChangeFeed
  /** Of the database and of what is declared; `cacheIdentity` makes it. */
  readonly identity: string
  /** Milliseconds that never go back. Default `performance.now`. */
  readonly now?: () => number
  /** After so long without a server that vouches for it nothing in Redis is right any more. ms, default 10,000. */
  readonly eraMs?: number
  /** Called when Redis goes down, for another reason, or comes up again. */
  readonly onRedis?: ((change: RedisChange) => void) | undefined
  /** So long Redis must have refused nothing before it counts as up. ms, default 5,000. */
  readonly calmMs?: number | undefined
}

/** What a question is about; what is not said is nothing, or no restriction. */
export type CachedOptions = Pick<Subject, 'scope' | 'datasets'> &
  Partial<Pick<Subject, 'names' | 'restriction'>> & {
    /** The caller's; the computation goes on as long as anybody waits for it. */
    readonly signal?: AbortSignal | null
  }

export interface Computed {
  readonly body: Buffer | string
  /** What of time it is made of, half-open; a change elsewhere does not make it wrong. Default: all of it. */
  readonly ranges?: readonly TimeRange[] | null
  /** False: it is given to whoever asked, and not kept. Default true. */
  readonly mayKeep?: boolean
  /** How old it may become, where that is less than its layer says: what it is about moves with the time. */
  readonly maxAgeMs?: number
}

/** Null: there is nothing. That is not kept. */
export type Load = (signal: AbortSignal) => Promise<Computed | null>

export interface CachedAnswer {
  readonly body: Buffer | null
  readonly layer: CacheLayer
  /** `stale`: older than the layer's ttl, though nothing that it is made of has changed; it is being computed anew. */
  readonly outcome: 'hit' | 'stale' | 'miss'
  /** Where it was; null: it was computed. */
  readonly store: 'memory' | 'redis' | null
  readonly ageMs: number
}

export interface CacheCounts {
  readonly layers: Readonly<Record<CacheLayer, LayerCounts>>
  /** Null: servers share nothing. */
  readonly redis: RedisShareCounts | null
  /** How far this process is behind what is committed; nothing is given out beyond 5,000 ms. */
  readonly behindMs: number
}

/** Where an answer that is computed is to be kept. */
interface Keeping {
  readonly config: CacheLayerConfig
  readonly ticket: Ticket
  /** Of Redis; null: it is not used. */
  readonly shared: Ticket | null
  readonly lock: string | null
}

/** How long a copy is trusted of what the feed knows nothing of. */
const trustedMs = 2000
/** How long a server waits for another one that computes the same; then it does so itself. */
const longestWaitMs = 3000
const lockMs = 10_000
const firstPauseMs = 10
const longestPauseMs = 100
/** Answers that are computed anew behind their callers' backs, at once. */
const maxRefreshes = 8
const hourMs = 3_600_000

/**
 * Opens the cache of finished answers: in this process, and in Redis where that is configured, whether it is there now or not.
 *
 * @example
 * const cache = await openCache({ config: config.cache, feed: tm.feed, identity: await cacheIdentity(tm) })
 * const { body, outcome } = await cache.cached('lists', { path: '/keywords', sort: 'name' }, { scope, datasets: ['app.keywords'] },
 *   async (signal) => ({ body: await list(signal) }))
 *
 * @throws TidemarkError TM_CONFIG when Redis is configured and its client is not installed.
 */
export async function openCache({
  config,
  feed,
  identity,
  now,
  eraMs = 10_000,
  onRedis: onChange,
  calmMs,
}: CacheOptions): Promise<AnswerCache> {
  const longest = Math.max(...cacheLayers.map((layer) => lifeOf(config, layer)))
  const redis = config.redis
    ? await RedisShare.open({
        ...config.redis,
        ...{ identity, lockMs, eraMs, tagLifeMs: longest + hourMs, onChange, calmMs },
      })
    : null
  return new AnswerCache(config, feed, redis, now ?? (() => performance.now()))
}

/**
 * Finished answers, given out again for as long as they are right: what they are made of has not changed since. docs/design/cache.md
 */
export class AnswerCache {
  readonly #config: CacheConfig
  readonly #feed: ChangeFeed
  readonly #memory: MemoryStore
  readonly #redis: RedisShare | null
  readonly #watch: Watch
  readonly #counters = new Counters()
  readonly #flights = new Map<string, Flight<CachedAnswer>>()
  readonly #refreshes = new Map<string, Flight<unknown>>()
  /** What goes on behind answers: keeping them in Redis. */
  readonly #behind = new Set<Promise<unknown>>()
  #isClosed = false

  /** @internal */
  constructor(config: CacheConfig, feed: ChangeFeed, redis: RedisShare | null, now: () => number) {
    this.#config = config
    this.#feed = feed
    this.#redis = redis
    const bytes = cacheLayers.map((layer) => [layer, config.layers[layer]?.memoryBytes ?? 0] as const)
    this.#memory = new MemoryStore({ layers: Object.fromEntries(bytes) as Record<CacheLayer, number>, now })
    this.#watch = new Watch({
      feed,
      memory: this.#memory,
      redis,
      isIdle: () => this.#memory.isEmpty && this.#flights.size === 0 && this.#refreshes.size === 0,
    })
  }

  /**
   * The answer to a question: one that is kept, or what `load` gives, which is kept. Of callers who ask the same meanwhile, on servers
   * that share Redis too, one computes. What `load` throws everybody gets, and nothing is kept.
   *
   * @throws TidemarkError TM_CANCELLED; what `load` throws.
   */
  async cached(
    layer: CacheLayer,
    question: unknown,
    options: CachedOptions,
    load: Load,
  ): Promise<CachedAnswer> {
    const key = entryKey({ names: [], restriction: null, ...options, layer, question })
    const count = this.#counters.of(layer)
    const signal = options.signal ?? null
    const config = this.#config.layers[layer]
    if (this.#isClosed || config === null) {
      count.bypassed += 1
      return this.#compute(key, signal ?? new AbortController().signal, load, null)
    }
    this.#watch.follow()
    // what is trusted for seconds is trusted no longer for being used
    const { kept, ticket } = this.#memory.read(key, key.isWatched ? slideOf(key, config) : null)
    if (kept && this.#watch.isTrusted) {
      const isStale = kept.ageMs > config.ttlMs
      if (isStale) this.#refresh(key, config, load)
      count[isStale ? 'stale' : 'memoryHits'] += 1
      return answerOf(key, kept, isStale ? 'stale' : 'hit', 'memory')
    }
    const running = this.#flights.get(key.name)
    // what began before a change must not answer whoever came after it
    if (running && !running.isGivenUp && this.#memory.isCurrent(key, running.ticket)) {
      count.joined += 1
      return running.wait(signal)
    }
    const flight = new Flight(ticket, (given) => this.#find(key, config, ticket, given, load))
    this.#flights.set(key.name, flight)
    void flight.ended.then(() => {
      if (this.#flights.get(key.name) === flight) this.#flights.delete(key.name)
    })
    return flight.wait(signal)
  }

  /**
   * Resolves when no answer from before what was committed until now is given out by this server any more, nor by Redis. Whoever has
   * written calls it before he says so. Never fails.
   */
  settled(): Promise<void> {
    return this.#watch.settled()
  }

  /** Answers that name one of these are wrong from now on: at once here, within two seconds on other servers. */
  async changed(names: readonly string[]): Promise<void> {
    await this.#watch.changed(names.map((name) => ({ tag: nameTag(name), ranges: null })))
  }

  counts(): CacheCounts {
    const layers = cacheLayers.map(
      (layer) => [layer, { ...this.#counters.of(layer), ...this.#memory.counts(layer) }] as const,
    )
    return {
      layers: Object.fromEntries(layers) as Record<CacheLayer, LayerCounts>,
      redis: this.#redis?.counts ?? null,
      behindMs: this.#feed.behindMs,
    }
  }

  /** Waits for what goes on behind answers (bounded), and leaves Redis. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const flight of this.#refreshes.values()) flight.giveUp()
    await Promise.all([...this.#refreshes.values()].map(({ ended }) => ended))
    await Promise.all(this.#behind)
    await this.#watch.close()
    await this.#redis?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Looks in Redis, waits there for who computes the same, and computes. */
  async #find(
    key: EntryKey,
    config: CacheLayerConfig,
    ticket: Ticket,
    signal: AbortSignal,
    load: Load,
  ): Promise<CachedAnswer> {
    const count = this.#counters.of(key.layer)
    // nothing is kept while it is not known what changes
    if (!this.#watch.isTrusted) {
      count.bypassed += 1
      return this.#compute(key, signal, load, null)
    }
    const slide = slideOf(key, config)
    const until = performance.now() + longestWaitMs
    let shared = (await this.#redis?.read(key, slide)) ?? null
    let lock: string | null = null
    for (let pauseMs = firstPauseMs; shared !== null; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
      if (shared.kept) {
        this.#adopt(key, config, ticket, shared.kept)
        const isStale = shared.kept.ageMs > config.ttlMs
        if (isStale) this.#refresh(key, config, load)
        count[isStale ? 'stale' : 'redisHits'] += 1
        return answerOf(key, shared.kept, isStale ? 'stale' : 'hit', 'redis')
      }
      const locked = await this.#redis!.lock(key)
      if (locked !== 'taken') {
        lock = locked?.token ?? null
        break
      }
      if (performance.now() >= until) break
      await sleep(pauseMs, undefined, { signal })
      shared = await this.#redis!.read(key, slide)
    }
    count.misses += 1
    return this.#compute(key, signal, load, { config, ticket, shared: shared?.ticket ?? null, lock })
  }

  /** Behind whoever got a stale answer; one of all servers does it. */
  #refresh(key: EntryKey, config: CacheLayerConfig, load: Load): void {
    if (this.#isClosed || this.#refreshes.has(key.name) || this.#refreshes.size >= maxRefreshes) return
    const { ticket } = this.#memory.read(key)
    const flight = new Flight(ticket, (signal) => this.#renew(key, config, ticket, signal, load))
    this.#refreshes.set(key.name, flight)
    void flight.ended.then(() => this.#refreshes.delete(key.name))
  }

  async #renew(
    key: EntryKey,
    config: CacheLayerConfig,
    ticket: Ticket,
    signal: AbortSignal,
    load: Load,
  ): Promise<void> {
    const shared = (await this.#redis?.read(key, null)) ?? null
    if (shared?.kept && shared.kept.ageMs <= config.ttlMs)
      return this.#adopt(key, config, ticket, shared.kept)
    const locked = shared === null ? null : await this.#redis!.lock(key)
    if (locked === 'taken') return
    this.#counters.of(key.layer).refreshes += 1
    const keep = { config, ticket, shared: shared?.ticket ?? null, lock: locked?.token ?? null }
    await this.#compute(key, signal, load, keep)
  }

  /** What another server has computed; `ticket` is from before it was read. */
  #adopt(key: EntryKey, config: CacheLayerConfig, ticket: Ticket, kept: Kept): void {
    const lifeMs = Math.min(kept.lifeMs, memoryLifeOf(key, config, kept.ageMs))
    this.#memory.write(key, ticket, { ...kept, lifeMs })
  }

  async #compute(
    key: EntryKey,
    signal: AbortSignal,
    load: Load,
    keep: Keeping | null,
  ): Promise<CachedAnswer> {
    let computed: Computed | null = null
    try {
      computed = await load(signal)
    } catch (error) {
      this.#counters.of(key.layer).errors += 1
      throw error
    } finally {
      // others wait no longer for what is not kept
      if (keep?.lock && (computed === null || computed.mayKeep === false))
        this.#goOn(this.#redis!.unlock(key, keep.lock))
    }
    const body = typeof computed?.body === 'string' ? Buffer.from(computed.body) : (computed?.body ?? null)
    if (keep && computed?.mayKeep !== false && body !== null) {
      const lifeMs = computed?.maxAgeMs ?? Number.POSITIVE_INFINITY
      this.#keep(key, keep, { body, ranges: computed?.ranges ?? null, ageMs: 0, lifeMs })
    }
    return answerOf(key, { body, ageMs: 0 }, 'miss', null)
  }

  #keep(key: EntryKey, { config, ticket, shared, lock }: Keeping, entry: Kept): void {
    const memoryMs = Math.min(entry.lifeMs, memoryLifeOf(key, config, 0))
    const isHeld = this.#memory.write(key, ticket, { ...entry, lifeMs: memoryMs })
    if (!isHeld) this.#counters.of(key.layer).notHeld += 1
    if (shared === null) return
    const lifeMs = Math.min(entry.lifeMs, config.ttlMs + config.staleMs)
    this.#goOn(this.#redis!.write(key, shared, { ...entry, lifeMs }, lock))
  }

  #goOn(work: Promise<unknown>): void {
    this.#behind.add(work)
    void work.finally(() => this.#behind.delete(work))
  }
}

/** Sessions live so long after they were used last. */
function slideOf({ layer }: EntryKey, { ttlMs }: CacheLayerConfig): number | null {
  return layer === 'sessions' ? ttlMs : null
}

function memoryLifeOf({ isWatched }: EntryKey, { ttlMs, staleMs }: CacheLayerConfig, ageMs: number): number {
  const lifeMs = ttlMs + staleMs
  return isWatched ? lifeMs : Math.min(lifeMs, ageMs + trustedMs)
}

function answerOf(
  { layer }: EntryKey,
  { body, ageMs }: { readonly body: Buffer | null; readonly ageMs: number },
  outcome: CachedAnswer['outcome'],
  store: CachedAnswer['store'],
): CachedAnswer {
  return { body, layer, outcome, store, ageMs }
}

function lifeOf(config: CacheConfig, layer: CacheLayer): number {
  const { ttlMs, staleMs } = config.layers[layer] ?? { ttlMs: 0, staleMs: 0 }
  return ttlMs + staleMs
}
