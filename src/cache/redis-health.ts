/** Whether Redis is used, and why not; told when that changes. */
export interface RedisChange {
  readonly isUp: boolean
  /** Host and port; never the user or the password. */
  readonly target: string
  /** The word that Redis refuses with, or 'gone'; null: it is up. */
  readonly code: string | null
  /** In words, without anything that was sent. */
  readonly problem: string | null
}

export interface RedisHealthOptions {
  readonly url: string
  readonly tell: (change: RedisChange) => void
  /** So long nothing must have been refused before it counts as up again. ms, default 5,000. */
  readonly calmMs?: number
  /** Milliseconds that never go back. Default `performance.now`. */
  readonly now?: () => number
}

/** What Redis says is not told: it may repeat what it was sent. */
const problems: Readonly<Record<string, string>> = {
  WRONGPASS: 'it takes neither user nor password of cache.redis (REDIS_URL)',
  NOAUTH: 'it wants a password, and cache.redis (REDIS_URL) has none',
  NOPERM: 'its user may not do what is needed: ~tm:* +@all -@dangerous +info',
  OOM: 'it is full, and throws nothing out: set maxmemory-policy allkeys-lru',
  READONLY: 'it is a replica, which takes no writes: name the server that is written to',
  MASTERDOWN: 'it is a replica that has lost its server: name the server that is written to',
  MISCONF: 'it takes no writes because it cannot save to its disk',
  LOADING: 'it is still loading its data',
  BUSY: 'it runs a script of somebody else',
  MOVED: 'it is a cluster, and one server is needed',
  ASK: 'it is a cluster, and one server is needed',
  CROSSSLOT: 'it is a cluster, and one server is needed',
  CLUSTERDOWN: 'it is a cluster, and one server is needed',
}

/** So many times calm is long enough for what was refused and was not asked again. */
const forgetFactor = 12

/**
 * Follows whether Redis does what it is asked. A server that takes the connection and refuses the work (it is full, a replica, a cluster,
 * or does not know the password) is down as one that is not there; what was refused has to pass before it is up.
 */
export class RedisHealth {
  readonly #options: Required<RedisHealthOptions>
  readonly #target: string
  /** What was refused, and whether it has passed since. */
  readonly #refused = new Map<string, boolean>()
  #refusedAt = 0
  #isConnected = false
  /** Null: up; undefined: not known yet. */
  #code: string | null | undefined
  #problem: string | null = null

  constructor(options: RedisHealthOptions) {
    this.#options = { calmMs: 5000, now: () => performance.now(), ...options }
    this.#target = targetOf(options.url)
  }

  /** Null: it is up, or nothing is known yet. */
  get problem(): string | null {
    return this.#problem
  }

  connected(): void {
    this.#isConnected = true
    // it has taken the password, and told who it is
    this.#refused.delete('connect')
    this.#look()
  }

  /** Not there: `error` says why, where that is known. */
  gone(error: unknown): void {
    this.#isConnected = false
    // this side has given it up, because of what it refused
    if (error === null && this.#refused.size > 0) return
    this.#set('gone', whyGone(error))
  }

  /** `what` names what was asked ('connect', or a script), `message` what Redis said. */
  refused(what: string, message: string): void {
    this.#refused.set(what, false)
    this.#refusedAt = this.#options.now()
    const code = /^[A-Z]{2,20}\b/.exec(message)?.[0] ?? 'ERR'
    this.#set(code, `${problems[code] ?? 'it refuses what it is asked'} (${code})`)
  }

  passed(what: string): void {
    if (this.#refused.size === 0) return
    if (this.#refused.has(what)) this.#refused.set(what, true)
    this.#look()
  }

  /** Up, when nothing is refused any more; not at once, or a server that is about full would be told of again and again. */
  #look(): void {
    if (this.#refused.size > 0) {
      const { calmMs, now } = this.#options
      const calm = now() - this.#refusedAt
      const hasPassed = [...this.#refused.values()].every((passed) => passed)
      if (calm < (hasPassed ? calmMs : forgetFactor * calmMs)) return
      this.#refused.clear()
    }
    if (this.#isConnected) this.#set(null, null)
  }

  #set(code: string | null, problem: string | null): void {
    const before = this.#code
    this.#code = code
    if (before === code) return
    this.#problem = problem
    // that it is there from the beginning is what everybody expects
    if (before === undefined && code === null) return
    this.#options.tell({ isUp: code === null, target: this.#target, code, problem })
  }
}

function targetOf(url: string): string {
  const { host, pathname } = new URL(url)
  return host === '' ? pathname : host
}

function whyGone(error: unknown): string {
  const { code, message, name } = (error ?? {}) as { code?: unknown; message?: unknown; name?: unknown }
  if (typeof code === 'string' && /^[A-Z][A-Z0-9_]+$/.test(code)) return `it cannot be reached (${code})`
  if (name === 'RedisGone' && typeof message === 'string') return message
  return 'the connection was lost'
}
