import type { ChangeFeed, FeedEvent } from '../feed/index.ts'
import type { TagChange } from './contract.ts'
import type { MemoryStore } from './memory-store.ts'
import type { RedisShare } from './redis-share.ts'
import { tagsChanged } from './tags.ts'

export interface WatchOptions {
  readonly feed: ChangeFeed
  readonly memory: MemoryStore
  readonly redis: RedisShare | null
  /** Whether anything is held, or being computed to be held. */
  readonly isIdle: () => boolean
}

/** Nothing is given out while the feed is further behind than that. */
export const longestBehindMs = 5000
/** A writer waits so long for the feed; then everything that is kept is taken for wrong. */
const longestSettleMs = 2000

/** Carries what the feed tells to the stores. */
export class Watch {
  readonly #options: WatchOptions
  #stop: (() => void) | null = null
  readonly #closing = new AbortController()
  #timer: NodeJS.Timeout | null = null
  #beating: Promise<void> = Promise.resolve()

  constructor(options: WatchOptions) {
    this.#options = options
    if (options.redis === null) return
    this.follow()
    this.#schedule()
  }

  /** From now on it is known what changes. Until somebody asks, nothing is held, and PostgreSQL is left alone. */
  follow(): void {
    this.#stop ??= this.#options.feed.subscribe((event) => this.#take(event))
  }

  /** Whether all that was committed some seconds ago has been told. */
  get isTrusted(): boolean {
    return this.#stop !== null && this.#options.feed.behindMs < longestBehindMs
  }

  /**
   * Resolves when nothing that was kept before the call, and is made of what was committed before it, is read in this process, or by
   * servers that share Redis. Never fails, and takes two seconds at most, and the bound of a command of Redis.
   */
  async settled(): Promise<void> {
    const { feed, redis, isIdle } = this.#options
    if (redis === null && isIdle()) return
    try {
      await feed.caughtUp(AbortSignal.timeout(longestSettleMs))
    } catch {
      // what has changed is not known, so everything has
      this.#take({ kind: 'reset', reason: 'a writer could not wait for the feed' })
    }
    await redis?.flushed()
  }

  /** What the feed knows nothing of. */
  async changed(changes: readonly TagChange[]): Promise<void> {
    this.#options.memory.change(changes)
    await this.#options.redis?.tell(changes)
  }

  async close(): Promise<void> {
    this.#stop?.()
    this.#closing.abort()
    if (this.#timer !== null) clearTimeout(this.#timer)
    await this.#beating
  }

  /** At once in this process; Redis is told behind it, and not read meanwhile. Neither fails. */
  #take(event: FeedEvent): void {
    const { memory, redis } = this.#options
    // nothing is given out until it can be told again, which begins with a reset
    if (event.kind === 'refused') return
    if (event.kind === 'reset') {
      memory.reset()
      void redis?.tellAll()
      return
    }
    const changes = tagsChanged(event.changes)
    memory.change(changes)
    void redis?.tell(changes)
  }

  #schedule(): void {
    const { redis } = this.#options
    if (redis === null || this.#closing.signal.aborted) return
    // sooner, while this process is on its way to share
    const pauseMs = redis.counts.isShared ? redis.beatMs : redis.beatMs / 5
    this.#timer = setTimeout(() => {
      this.#beating = this.#beat().then(() => this.#schedule())
    }, pauseMs)
    this.#timer.unref()
  }

  async #beat(): Promise<void> {
    const { feed, redis } = this.#options
    // until then this process does not know all that changes
    if (!Number.isFinite(feed.behindMs)) return
    const confirm = (): Promise<void> =>
      feed.caughtUp(AbortSignal.any([this.#closing.signal, AbortSignal.timeout(longestBehindMs)]))
    try {
      await redis?.beat(confirm)
    } catch {
      // The next one comes; without it the era ends. Errors of Redis are counted by the link, the feed tells its own.
    }
  }
}
