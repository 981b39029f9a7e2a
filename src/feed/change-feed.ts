import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createListener, type Database, type Listener } from '../postgres/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { changesAfter, type FeedEntry, type FeedLook, type FeedPosition } from './changes-after.ts'
import type { ChangeFeed, FeedEvent } from './contract.ts'

export interface ChangeFeedOptions {
  readonly db: Database
  /**
   * Where to listen for others that have written; PostgreSQL itself, not a pooler. Null: changes of others are seen at the next poll.
   * Default null.
   */
  readonly listenTo?: string | null
  /** From one look to the next while nothing wakes the feed. ms, default 1000. */
  readonly pollMs?: number
  /** The same right after something has changed: more is likely to follow. ms, default 250. */
  readonly busyPollMs?: number
  /** PostgreSQL could not be asked. Told once, until it could again; by default a warning of the process. */
  readonly onError?: (error: Error) => void
}

const channel = 'tidemark_change'
/** Others are woken at most this often; what they are woken for is in the log. */
const notifyEveryMs = 50
const lookTimeoutMs = 10_000

/**
 * Follows the change logs of all hypertables and plain tables, with one statement for all of them. The place up to which it has told
 * is a snapshot in the memory of this process: docs/design/live.md. It asks only while somebody listens.
 *
 * @example
 * const feed = createChangeFeed({ db, listenTo: connectionString })
 * const stop = feed.subscribe((event) => { if (event.kind === 'reset') cache.clear() })
 * await feed.caughtUp()
 */
export function createChangeFeed(options: ChangeFeedOptions): ChangeFeed {
  return new LogFeed(options)
}

class LogFeed implements ChangeFeed {
  readonly #options: Required<ChangeFeedOptions>
  readonly #listeners = new Set<(event: FeedEvent) => void>()
  readonly #stop = new AbortController()
  /** By which it knows what it has told itself. */
  readonly #name = randomBytes(9).toString('base64url')
  #position: FeedPosition | null = null
  /** Ranges of dropped chunks that have been told, as keys. */
  #gone: ReadonlySet<string> | null = null
  #running: Promise<void> | null = null
  /** Whether the one that runs has asked PostgreSQL. */
  #hasAsked = false
  /** The look after the one that runs. */
  #queued: Promise<void> | null = null
  #timer: NodeJS.Timeout | null = null
  #listener: Listener | null = null
  #toldAt = Number.NEGATIVE_INFINITY
  #hasFailed = false
  /** The last look was at a standby. */
  #refusal: TidemarkError<'TM_READ_ONLY'> | null = null
  #notifying: NodeJS.Timeout | null = null
  #notified: Promise<void> = Promise.resolve()

  constructor(options: ChangeFeedOptions) {
    this.#options = {
      listenTo: null,
      pollMs: 1000,
      busyPollMs: 250,
      onError: (error) => process.emitWarning(error),
      ...options,
    }
  }

  get isFollowed(): boolean {
    return this.#listeners.size > 0
  }

  get behindMs(): number {
    return performance.now() - this.#toldAt
  }

  subscribe(listener: (event: FeedEvent) => void): () => void {
    this.#assertOpen()
    // one function may listen twice
    const own = (event: FeedEvent): void => listener(event)
    this.#listeners.add(own)
    const { listenTo } = this.#options
    if (listenTo !== null)
      this.#listener ??= createListener({
        connectionString: listenTo,
        channel,
        // its own writes have woken it already
        onNotify: (from) => {
          if (from !== this.#name) this.wake()
        },
      })
    const refusal = this.#refusal
    if (this.#listeners.size === 1) this.wake()
    // the others have been told
    else if (refusal !== null)
      queueMicrotask(() => {
        if (this.#listeners.has(own)) own({ kind: 'refused', error: refusal })
      })
    return () => {
      this.#listeners.delete(own)
      if (this.#listeners.size === 0) this.#rest()
    }
  }

  async caughtUp(signal: AbortSignal | null = null): Promise<void> {
    this.#assertOpen()
    if (this.#listeners.size === 0) return
    const told = this.#look()
    if (signal === null) return told
    told.catch(() => {})
    const cancelled = (): TidemarkError =>
      new TidemarkError('TM_CANCELLED', { what: 'waiting for the change feed' }, { cause: signal.reason })
    if (signal.aborted) throw cancelled()
    let stop: () => void = () => {}
    const aborted = new Promise<never>((_, reject) => {
      stop = () => reject(cancelled())
      signal.addEventListener('abort', stop, { once: true })
    })
    try {
      await Promise.race([told, aborted])
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }

  wake(): void {
    if (this.#listeners.size === 0 || this.#stop.signal.aborted) return
    // what has failed is asked again by the timer
    this.#look().catch(() => {})
  }

  wrote(): void {
    if (this.#stop.signal.aborted) return
    this.wake()
    this.#notifying ??= setTimeout(() => {
      this.#notifying = null
      this.#notified = this.#notify()
    }, notifyEveryMs).unref()
  }

  async close(): Promise<void> {
    this.#stop.abort()
    this.#listeners.clear()
    this.#rest()
    if (this.#notifying !== null) clearTimeout(this.#notifying)
    await Promise.all([this.#running, this.#queued, this.#notified].map((ended) => ended?.catch(() => {})))
    await this.#listener?.close()
  }

  #assertOpen(): void {
    if (!this.#stop.signal.aborted) return
    throw new TidemarkError('TM_DATABASE', { sqlstate: '08003', problem: 'the change feed is closed' })
  }

  /** A hint, in a transaction of its own after the commit: in that of the writer it would take a lock of the whole server. */
  async #notify(): Promise<void> {
    try {
      await this.#options.db.query(sql`select pg_notify(${channel}::text, ${this.#name}::text)`)
    } catch (error) {
      // the others look by themselves
      if (!isTidemarkError(error)) throw error
    }
  }

  #rest(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#listeners.size === 0) this.#refusal = null
  }

  /**
   * A look that begins after the call, at the end of this turn: of whoever has written and then waits until that is told, in one turn of
   * the process, it is the same one, and not the next.
   */
  #look(): Promise<void> {
    if (this.#queued !== null) return this.#queued
    if (this.#running === null) return this.#start()
    if (!this.#hasAsked) return this.#running
    this.#queued = this.#running
      .catch(() => {})
      .then(() => {
        this.#queued = null
        return this.#start()
      })
    return this.#queued
  }

  #start(): Promise<void> {
    this.#hasAsked = false
    const running = this.#run().finally(() => {
      if (this.#running === running) this.#running = null
    })
    this.#running = running
    return running
  }

  async #run(): Promise<void> {
    this.#rest()
    await nextTurn()
    this.#stop.signal.throwIfAborted()
    this.#hasAsked = true
    let isBusy = false
    try {
      const startedAt = performance.now()
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(lookTimeoutMs)])
      const look = await changesAfter(this.#options.db, this.#position, signal)
      if (look.position === null) this.#refuse()
      this.#refusal = null
      this.#hasFailed = false
      const event = this.#take(look, look.position)
      if (event !== null) {
        isBusy = true
        this.#tell(event)
      }
      this.#toldAt = startedAt
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      if (!this.#hasFailed && !this.#stop.signal.aborted) this.#options.onError(error)
      this.#hasFailed = true
      throw error
    } finally {
      this.#schedule(isBusy)
    }
  }

  #tell(event: FeedEvent): void {
    for (const listener of [...this.#listeners]) listener(event)
  }

  /** On a standby nobody knows what runs; when it is promoted, that is another history. */
  #refuse(): never {
    const problem = 'recovery is in progress, where no snapshot names the transactions that run'
    const error = new TidemarkError('TM_READ_ONLY', { what: 'following changes', problem })
    this.#toldAt = Number.NEGATIVE_INFINITY
    const isNew = this.#refusal === null
    this.#refusal = error
    if (isNew) this.#tell({ kind: 'refused', error })
    throw error
  }

  #schedule(isBusy: boolean): void {
    if (this.#listeners.size === 0 || this.#stop.signal.aborted) return
    this.#rest()
    const { pollMs, busyPollMs } = this.#options
    this.#timer = setTimeout(() => this.wake(), isBusy ? busyPollMs : pollMs).unref()
  }

  /** Moves on, and says what there is to tell. */
  #take(look: FeedLook, position: FeedPosition): FeedEvent | null {
    const before = this.#position
    this.#position = position
    const dropped = this.#dropped(look.gone)
    if (!look.isKnown) return { kind: 'reset', reason: reasonOf(before, position) }
    if (look.isSubscriber)
      return { kind: 'reset', reason: 'a subscription writes into the database, and not all of it is logged' }
    const changes = [...look.changes, ...dropped]
    return changes.length === 0 ? null : { kind: 'changed', changes }
  }

  /** Retention logs nothing: which ranges are gone now, and were not before. */
  #dropped(gone: readonly FeedEntry[] | null): readonly FeedEntry[] {
    if (gone === null) return []
    const known = this.#gone
    this.#gone = new Set(gone.map(keyOf))
    return known === null ? [] : gone.filter((entry) => !known.has(keyOf(entry)))
  }
}

function keyOf({ dataset, range }: FeedEntry): string {
  return `${dataset} ${range?.from} ${range?.to}`
}

function reasonOf(before: FeedPosition | null, now: FeedPosition): string {
  if (before === null) return 'nothing has been followed before'
  if (before.history !== now.history) return 'the server was started anew, has failed over, or is another one'
  return 'more has changed than can be told, or the log was trimmed before it was read'
}
