import type { FeedEvent } from '../feed/index.ts'
import type { TenantScope } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import type { LiveCaller, LiveCounts, LiveOptions, LiveSink, Subscription } from './contract.ts'
import { Question } from './question.ts'
import { type LiveRoom, TenantShares } from './tenant-shares.ts'
import { type Reader, Upstream, type UpstreamHost } from './upstream.ts'
import type { Version } from './version.ts'

export const liveDefaults = Object.freeze({
  maxSubscriptions: 10_000,
  maxPerPrincipal: 1000,
  maxQuestions: 5000,
  maxRows: 10_000,
  maxBytes: 256 * 1024 * 1024,
  tenantShare: 0.25,
  restMs: 200,
  concurrency: 4,
  maxStallMs: 30_000,
  lingerMs: 30_000,
  resyncMs: 300_000,
} satisfies Omit<LiveOptions, 'feed' | 'explain'>)

const stallCheckMs = 1000

/**
 * Live answers: whoever subscribes to a query gets the whole answer first, then what changes of it. Equal questions of one scope are
 * computed once, however many read them. Nobody has a queue: a reader is sent what lies between the version that he has and the
 * newest one, when he has taken what came before.
 *
 * @example
 * const hub = new LiveHub({ feed: tm.feed, explain })
 * const subscription = hub.subscribe(caller, { dataset: 'metrics.cpu', from: '-1 hour', … }, null, sink)
 */
export class LiveHub {
  readonly #options: LiveOptions
  readonly #upstreams = new Map<string, Upstream>()
  /** By the name of each dataset that may change them. */
  readonly #watching = new Map<string, Set<Upstream>>()
  readonly #subscriptions = new Set<ReaderState>()
  readonly #principals = new Map<string, number>()
  readonly #host: UpstreamHost
  readonly #shares: TenantShares
  #bytes = 0
  #computations = 0
  #partial = 0
  #messages = 0
  #dropped = 0
  #stopFeed: (() => void) | null = null
  #stallTimer: NodeJS.Timeout | null = null
  #running = 0
  readonly #waiting: (() => void)[] = []
  #isClosed = false

  constructor(options: Pick<LiveOptions, 'feed' | 'explain'> & Partial<LiveOptions>) {
    this.#options = { ...liveDefaults, ...options }
    this.#shares = new TenantShares(this.#options)
    this.#host = {
      options: this.#options,
      inTurn: (run) => this.#inTurn(run),
      hold: (upstream, bytes) => this.#hold(upstream, bytes),
      computed: (isPartial) => {
        this.#computations += 1
        if (isPartial) this.#partial += 1
      },
      ended: (upstream) => this.#remove(upstream),
    }
  }

  get counts(): LiveCounts {
    return {
      subscriptions: this.#subscriptions.size,
      questions: this.#upstreams.size,
      bytes: this.#bytes,
      pending: [...this.#upstreams.values()].filter(({ isPending }) => isPending).length,
      computations: this.#computations,
      partial: this.#partial,
      messages: this.#messages,
      dropped: this.#dropped,
    }
  }

  /**
   * The first message is a whole answer, or, where `resume` names a version that is still known, what has changed since. Errors of
   * the answer come through the sink, and end the subscription.
   *
   * @throws TidemarkError TM_QUERY, TM_UNKNOWN_DATASET, TM_FORBIDDEN, TM_LIMIT; TM_LIVE_LIMIT
   */
  subscribe(caller: LiveCaller, query: unknown, resume: string | null, sink: LiveSink): Subscription {
    const { scope } = caller.engine
    this.#admit(caller.principal)
    this.#shares.assert(scope, 'subscriptions', 1)
    const question = new Question(caller, query, this.#options.maxRows)
    const upstream = this.#upstreams.get(question.id) ?? this.#open(question)
    const reader = new ReaderState(upstream, sink, resume === null ? null : upstream.remembered(resume), {
      sent: () => {
        this.#messages += 1
      },
      ended: () => {
        this.#subscriptions.delete(reader)
        this.#shares.add(scope, 'subscriptions', -1)
        const left = (this.#principals.get(caller.principal) ?? 1) - 1
        if (left === 0) this.#principals.delete(caller.principal)
        else this.#principals.set(caller.principal, left)
      },
    })
    this.#principals.set(caller.principal, (this.#principals.get(caller.principal) ?? 0) + 1)
    this.#subscriptions.add(reader)
    this.#shares.add(scope, 'subscriptions', 1)
    if (upstream.present !== null) void this.#refresh(upstream).then(() => reader.release())
    return reader
  }

  /** What others keep up to date may lack what was committed a moment ago: whoever comes is given what a query would give him. */
  async #refresh(upstream: Upstream): Promise<void> {
    try {
      await this.#options.feed.caughtUp()
    } catch (error) {
      // PostgreSQL is away: he is given what there is, and the rest when it is back
      if (!isTidemarkError(error)) throw error
    }
    await upstream.settled()
  }

  close(): void {
    this.#isClosed = true
    this.#stopFeed?.()
    this.#stopFeed = null
    if (this.#stallTimer !== null) clearInterval(this.#stallTimer)
    for (const reader of [...this.#subscriptions]) reader.close()
    for (const upstream of [...this.#upstreams.values()]) upstream.end()
  }

  #admit(principal: string): void {
    const { maxSubscriptions, maxPerPrincipal } = this.#options
    if (this.#isClosed)
      throw new TidemarkError('TM_LIVE_LIMIT', { problem: 'the server is stopping', limit: 'no more' })
    if (this.#subscriptions.size >= maxSubscriptions)
      throw new TidemarkError('TM_LIVE_LIMIT', {
        problem: `there are ${this.#subscriptions.size} subscriptions`,
        limit: `${maxSubscriptions} of a server`,
      })
    const own = this.#principals.get(principal) ?? 0
    if (own >= maxPerPrincipal)
      throw new TidemarkError('TM_LIVE_LIMIT', {
        problem: `you have ${own} subscriptions`,
        limit: `${maxPerPrincipal} of one key or user`,
      })
  }

  #open(question: Question): Upstream {
    const { maxQuestions } = this.#options
    this.#makeRoom(question.scope, 'questions', 1)
    if (this.#upstreams.size >= maxQuestions) this.#endIdle()
    if (this.#upstreams.size >= maxQuestions)
      throw new TidemarkError('TM_LIVE_LIMIT', {
        problem: `${this.#upstreams.size} different questions are kept up to date`,
        limit: `${maxQuestions} of a server`,
      })
    // followed before it is asked, so that nothing that is committed after the answer's snapshot is overlooked
    this.#stopFeed ??= this.#options.feed.subscribe((event) => this.#hear(event))
    this.#stallTimer ??= setInterval(() => this.#dropStalled(), stallCheckMs).unref()
    const upstream = new Upstream(question, this.#host)
    this.#upstreams.set(question.id, upstream)
    this.#shares.add(question.scope, 'questions', 1)
    for (const dataset of question.watches) {
      const watching = this.#watching.get(dataset) ?? new Set()
      watching.add(upstream)
      this.#watching.set(dataset, watching)
    }
    return upstream
  }

  #remove(upstream: Upstream): void {
    const { question } = upstream
    if (this.#upstreams.get(question.id) === upstream) this.#upstreams.delete(question.id)
    this.#shares.add(question.scope, 'questions', -1)
    for (const dataset of question.watches) {
      const watching = this.#watching.get(dataset)
      watching?.delete(upstream)
      if (watching?.size === 0) this.#watching.delete(dataset)
    }
    if (this.#upstreams.size > 0) return
    this.#stopFeed?.()
    this.#stopFeed = null
    if (this.#stallTimer !== null) clearInterval(this.#stallTimer)
    this.#stallTimer = null
  }

  /** Those that are only kept for a reader who may come back. */
  #endIdle(isOne: (upstream: Upstream) => boolean = () => true): void {
    for (const upstream of [...this.#upstreams.values()])
      if (upstream.readers === 0 && isOne(upstream)) upstream.end()
  }

  /** In the part of its tenant: nobody else's gives way for it, nor does it itself. */
  #makeRoom(scope: TenantScope, room: LiveRoom, more: number, itself: Upstream | null = null): void {
    if (!this.#shares.has(scope, room, more))
      this.#endIdle((one) => one !== itself && TenantShares.areSame(one.question.scope, scope))
    this.#shares.assert(scope, room, more)
  }

  #hear(event: FeedEvent): void {
    if (event.kind === 'refused')
      for (const upstream of [...this.#upstreams.values()]) upstream.giveUp(event.error)
    else if (event.kind === 'reset') for (const upstream of this.#upstreams.values()) upstream.touchAll()
    else
      for (const change of event.changes)
        for (const upstream of this.#watching.get(change.dataset) ?? []) upstream.touch(change)
  }

  #hold(upstream: Upstream, bytes: number): void {
    const { maxBytes } = this.#options
    const { scope } = upstream.question
    this.#makeRoom(scope, 'bytes', bytes, upstream)
    // one that is computed for nobody does not end itself: what it holds is counted until it ends
    if (bytes > 0 && this.#bytes + bytes > maxBytes) this.#endIdle((one) => one !== upstream)
    if (bytes > 0 && this.#bytes + bytes > maxBytes)
      throw new TidemarkError('TM_LIVE_LIMIT', {
        problem: `live answers take ${this.#bytes} bytes, and this one ${bytes} more`,
        limit: `${maxBytes} bytes of a server`,
      })
    this.#bytes += bytes
    this.#shares.add(scope, 'bytes', bytes)
  }

  #dropStalled(): void {
    const { maxStallMs } = this.#options
    for (const reader of [...this.#subscriptions]) {
      if (reader.stalledMs <= maxStallMs) continue
      this.#dropped += 1
      reader.failed(new TidemarkError('TM_SLOW_READER', { limitMs: maxStallMs }))
    }
  }

  async #inTurn<T>(run: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#options.concurrency)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running += 1
    try {
      return await run()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#running -= 1
    }
  }
}

/** A reader: which version he has, and whether what was sent to him has arrived. It has no queue. */
class ReaderState implements Reader, Subscription {
  readonly #upstream: Upstream
  readonly #sink: LiveSink
  readonly #events: { readonly sent: () => void; readonly ended: () => void }
  #has: Version | null
  /** He came back: he is told that he is up to date, too. */
  #isResuming: boolean
  #isWaiting = false
  /** Until what there is has been looked at again. */
  #isHeld: boolean
  /** Since when there is something that he cannot be sent. */
  #stalledAt: number | null = null
  #isEnded = false

  constructor(
    upstream: Upstream,
    sink: LiveSink,
    has: Version | null,
    events: { readonly sent: () => void; readonly ended: () => void },
  ) {
    this.#upstream = upstream
    this.#sink = sink
    this.#has = has
    this.#isResuming = has !== null
    this.#isHeld = upstream.present !== null
    this.#events = events
    upstream.add(this)
  }

  get stalledMs(): number {
    return this.#stalledAt === null ? 0 : performance.now() - this.#stalledAt
  }

  changed(): void {
    const { present } = this.#upstream
    if (this.#isEnded || this.#isHeld || present === null || (present === this.#has && !this.#isResuming))
      return
    if (this.#isWaiting) {
      this.#stalledAt ??= performance.now()
      return
    }
    const body = this.#has === null ? present.whole : present.since(this.#has)
    this.#has = present
    this.#isResuming = false
    this.#isWaiting = true
    this.#stalledAt = null
    this.#events.sent()
    this.#sink.send(body, present.resume)
  }

  release(): void {
    this.#isHeld = false
    this.changed()
  }

  taken(): void {
    this.#isWaiting = false
    this.#stalledAt = null
    this.changed()
  }

  failed(error: TidemarkError): void {
    if (this.#isEnded) return
    this.close()
    this.#sink.end(error)
  }

  close(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#events.ended()
    this.#upstream.remove(this)
  }
}
