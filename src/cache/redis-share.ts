import type { EntryKey, Found, NewEntry, Tag, TagChange, Ticket } from './contract.ts'
import type { RedisChange } from './redis-health.ts'
import { type RedisCounts, RedisGone, RedisLink, RedisRefused } from './redis-link.ts'
import { redisScripts } from './redis-scripts.ts'
import { RedisStore, type RedisStoreOptions } from './redis-store.ts'
import { newEpoch } from './tag-state.ts'
import { joinChanges } from './tags.ts'

export interface RedisShareOptions extends Omit<RedisStoreOptions, 'link'> {
  readonly url: string
  readonly timeoutMs: number
  readonly onChange?: ((change: RedisChange) => void) | undefined
  readonly calmMs?: number | undefined
}

export interface RedisShareCounts extends RedisCounts {
  /** Whether answers are shared now: Redis is there, and somebody vouches that it has been told of all changes. */
  readonly isShared: boolean
  /** Tags whose changes Redis has not been told of yet. */
  readonly pending: number
}

/** So many tags that wait to be told are taken for everything. */
const maxPending = 10_000

/**
 * Redis as one of several servers uses it: what has changed is told before anything is read again, and nothing is read unless it is known
 * that Redis was told of all changes (docs/design/cache.md, "Eras"). No error leaves it: what fails was not there.
 */
export class RedisShare {
  readonly #link: RedisLink
  readonly #store: RedisStore
  /** From one vouching to the next. */
  readonly beatMs: number
  /** What Redis has not been told of. */
  #pending = new Map<Tag, TagChange>()
  /** What it is being told of. */
  #telling = new Map<Tag, TagChange>()
  /** How often everything had to be taken for changed, and of how many of those Redis knows. */
  #lost = 0
  #lostTold = 0
  #flushing: Promise<void> | null = null
  /** Of the process of Redis that is known. */
  #runId = ''
  /** The era whose changes this process knows all of. */
  #joined: string | null = null
  #place: { readonly token: string; readonly number: number } | null = null

  private constructor(link: RedisLink, store: RedisStore, eraMs: number) {
    this.#link = link
    this.#store = store
    this.beatMs = eraMs / 10
  }

  /** @throws TidemarkError TM_CONFIG when the client is not installed. */
  static async open({
    url,
    timeoutMs,
    onChange,
    calmMs,
    ...options
  }: RedisShareOptions): Promise<RedisShare> {
    let share: RedisShare | null = null
    const link = await RedisLink.open({
      ...{ url, timeoutMs, onChange, calmMs },
      scripts: redisScripts,
      onConnected: async () => share?.catchUp(),
    })
    share = new RedisShare(link, new RedisStore({ ...options, link }), options.eraMs)
    return share
  }

  get counts(): RedisShareCounts {
    const counts = this.#link.counts
    return {
      ...counts,
      isShared: counts.isUp && this.#joined !== null,
      pending: this.#pending.size + this.#telling.size + (this.#isAllPending ? 1 : 0),
    }
  }

  /** Whether an answer may be read from Redis, and kept there. */
  canUse(key: EntryKey): boolean {
    if (!this.#link.isUp || this.#isAllPending || this.#joined === null) return false
    return !key.tags.some((tag) => this.#pending.has(tag) || this.#telling.has(tag))
  }

  /** Null: Redis is of no use now. */
  async read(key: EntryKey, slideMs: number | null): Promise<Found | null> {
    if (!this.canUse(key)) return null
    const found = await orNull(this.#store.read(key, slideMs))
    if (found === null || !this.canUse(key)) return null
    return found.ticket.era === this.#joined ? found : null
  }

  async write(key: EntryKey, ticket: Ticket, entry: NewEntry, lock: string | null): Promise<boolean> {
    if (this.canUse(key)) return (await orNull(this.#store.write(key, ticket, entry, lock))) === true
    if (lock !== null) await this.unlock(key, lock)
    return false
  }

  /** `taken`: by somebody else. Null: Redis is of no use now. */
  async lock(key: EntryKey): Promise<{ readonly token: string } | 'taken' | null> {
    if (!this.canUse(key)) return null
    const locked = this.#store.lock(key).then((token) => (token === null ? 'taken' : { token }))
    return orNull(locked)
  }

  async unlock(key: EntryKey, token: string): Promise<void> {
    if (this.#link.isUp) await orNull(this.#store.unlock(key, token))
  }

  /** Not read again until Redis knows. Resolves when it does, or when it is not there. */
  async tell(changes: readonly TagChange[]): Promise<void> {
    for (const change of joinChanges([...this.#pending.values(), ...changes]))
      this.#pending.set(change.tag, change)
    if (this.#pending.size > maxPending) {
      this.#pending.clear()
      this.#lost += 1
    }
    await this.flushed()
  }

  /** What has changed is not known: begins a new era, for every server. One that vouches for nothing only begins to join anew. */
  async tellAll(): Promise<void> {
    this.#place = null
    if (this.#joined === null) return
    this.#lost += 1
    await this.flushed()
  }

  /** Resolves when Redis knows what was pending at the call, or is not there. */
  async flushed(): Promise<void> {
    // one may run already, and the next one takes everything
    for (let i = 0; i < 2 && this.#link.isUp && this.#hasPending; i++) await this.#flush()
  }

  /** Before a new connection is used. @throws whatever keeps Redis from being told. */
  async catchUp(): Promise<void> {
    // another process of Redis, whose keys are others: nobody has vouched for anything there
    if (this.#runId !== this.#link.runId) {
      this.#runId = this.#link.runId
      this.#joined = null
      this.#place = null
    }
    while (this.#hasPending) await this.#flushOrThrow()
  }

  /**
   * To be called again and again: vouches that Redis has been told of everything, or joins those who do. `confirm` resolves when the feed
   * has told everything that was committed before.
   */
  async beat(confirm: () => Promise<void>): Promise<void> {
    if (!this.#link.isUp) return
    const wantsToJoin = this.#joined === null && this.#place === null
    const state = await this.#store.look(wantsToJoin)
    const { token, nowMs } = state
    if (token !== null && token === this.#joined) {
      await confirm()
      await this.flushed()
      if (this.#hasPending || !this.#link.isUp) return
      if (!(await this.#store.vouch(token, state)) && this.#joined === token) this.#joined = null
      return
    }
    this.#joined = null
    if (token === null) {
      // Nobody has vouched for a while: what lies there may be of any age, and no entry of the new era is older than this process's feed.
      this.#place = null
      const begun = newEpoch()
      if (await this.#store.begin(begun, nowMs, false)) this.#joined = begun
      return
    }
    if (wantsToJoin) this.#place = { token, number: state.joins }
    else if (this.#place?.token !== token) this.#place = null
    if (this.#place !== null && state.vouched >= this.#place.number) {
      this.#joined = token
      this.#place = null
    }
  }

  close(): Promise<void> {
    return this.#link.close()
  }

  get #isAllPending(): boolean {
    return this.#lostTold < this.#lost
  }

  get #hasPending(): boolean {
    return this.#isAllPending || this.#pending.size > 0 || this.#telling.size > 0
  }

  /** What Redis refuses it has to be told by the next connection, after a pause. */
  async #flush(): Promise<void> {
    try {
      await this.#flushOrThrow()
    } catch {
      this.#link.drop()
    }
  }

  #flushOrThrow(): Promise<void> {
    this.#flushing ??= this.#tellPending().finally(() => {
      this.#flushing = null
    })
    return this.#flushing
  }

  async #tellPending(): Promise<void> {
    if (this.#isAllPending) {
      const { nowMs } = await this.#store.look(false)
      const lost = this.#lost
      const token = newEpoch()
      await this.#store.begin(token, nowMs, true)
      this.#joined = token
      this.#lostTold = lost
    }
    this.#telling = this.#pending
    this.#pending = new Map()
    try {
      await this.#store.change([...this.#telling.values()])
    } catch (error) {
      const both = joinChanges([...this.#telling.values(), ...this.#pending.values()])
      this.#pending = new Map(both.map((change) => [change.tag, change]))
      throw error
    } finally {
      this.#telling = new Map()
    }
  }
}

/** What fails, or is refused, was not there; the link counts it. */
async function orNull<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise
  } catch (error) {
    if (error instanceof RedisGone || error instanceof RedisRefused) return null
    throw error
  }
}
