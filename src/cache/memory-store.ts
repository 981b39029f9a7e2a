import type { CacheLayer } from '../schema/index.ts'
import type { CacheStore, EntryKey, Found, NewEntry, Tag, TagChange, Ticket } from './contract.ts'
import { FairMemory, type HeldCounts } from './fair-memory.ts'
import { type Hours, hoursOfAll, hoursOfChange, newEpoch, TagState } from './tag-state.ts'

interface Held {
  readonly entry: NewEntry
  readonly hours: readonly Hours[] | null
  readonly ticket: Ticket
  /** When it was new, in the time of `now`. */
  bornAt: number
  endsAt: number
}

export interface MemoryStoreOptions {
  /** Bytes of each layer; 0: nothing of it is held. */
  readonly layers: Readonly<Record<CacheLayer, number>>
  /** Milliseconds that never go back. Default `performance.now`. */
  readonly now?: () => number
  /** Tags that are known at most; what is forgotten makes wrong what hangs on it. Default 50,000, some 10 MB. */
  readonly maxTags?: number
}

/** Answers in this process. What has become wrong is noticed when it is asked for, and makes room like everything else. */
export class MemoryStore implements CacheStore {
  readonly #now: () => number
  readonly #maxTags: number
  readonly #layers = new Map<CacheLayer, FairMemory<Held>>()
  /** The least recently used first. */
  readonly #tags = new Map<Tag, TagState>()
  #era = newEpoch()

  constructor({ layers, now, maxTags }: MemoryStoreOptions) {
    this.#maxTags = maxTags ?? 50_000
    this.#now = now ?? (() => performance.now())
    for (const [layer, bytes] of Object.entries(layers))
      this.#layers.set(layer as CacheLayer, new FairMemory(bytes))
  }

  read(key: EntryKey, slideMs: number | null = null): Found {
    const ticket = this.#ticket(key)
    const memory = this.#layers.get(key.layer)!
    const held = memory.get(key.name)
    if (held === null) return { kept: null, ticket }
    const now = this.#now()
    if (held.endsAt <= now || !this.#isRight(key, held)) {
      memory.delete(key.name)
      return { kept: null, ticket }
    }
    if (slideMs !== null) {
      held.bornAt = now
      held.endsAt = now + slideMs
    }
    const { body, ranges, lifeMs } = held.entry
    return { kept: { body, ranges, lifeMs, ageMs: now - held.bornAt }, ticket }
  }

  write(key: EntryKey, ticket: Ticket, entry: NewEntry): boolean {
    const hours = hoursOfAll(entry.ranges)
    const bornAt = this.#now() - entry.ageMs
    const held = { entry, hours, ticket, bornAt, endsAt: bornAt + entry.lifeMs }
    if (!this.#isRight(key, held)) return false
    return this.#layers.get(key.layer)!.set(key.name, key.tenant, held, entry.body.length + overheadOf(key))
  }

  change(changes: readonly TagChange[]): void {
    for (const { tag, ranges } of changes) this.#tags.get(tag)?.change(hoursOfChange(ranges))
  }

  reset(): void {
    this.#era = newEpoch()
  }

  /** Whether nothing that the key is made of has changed since, wherever. */
  isCurrent(key: EntryKey, ticket: Ticket): boolean {
    return this.#isRight(key, { ticket, hours: null })
  }

  counts(layer: CacheLayer): HeldCounts {
    return this.#layers.get(layer)!.counts
  }

  get isEmpty(): boolean {
    return [...this.#layers.values()].every(({ counts }) => counts.entries === 0)
  }

  #ticket(key: EntryKey): Ticket {
    return { era: this.#era, versions: key.tags.map((tag) => this.#state(tag).version) }
  }

  #isRight(key: EntryKey, { ticket, hours }: Pick<Held, 'ticket' | 'hours'>): boolean {
    if (ticket.era !== this.#era) return false
    return key.tags.every(
      (tag, i) => this.#tags.get(tag)?.isUntouched(ticket.versions[i] as string, hours) ?? false,
    )
  }

  #state(tag: Tag): TagState {
    const state = this.#tags.get(tag) ?? TagState.begin(newEpoch())
    this.#tags.delete(tag)
    this.#tags.set(tag, state)
    if (this.#tags.size > this.#maxTags) this.#tags.delete(this.#tags.keys().next().value as Tag)
    return state
  }
}

/** What an entry takes beside its body, estimated upwards. */
function overheadOf({ name, tags }: EntryKey): number {
  return 800 + 2 * name.length + tags.length * 160
}
