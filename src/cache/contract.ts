import type { CacheLayer } from '../schema/index.ts'
import type { TimeRange } from '../time/index.ts'

/**
 * What an answer is made of, or what has changed: rows of a dataset (of one tenant, of every), or something with a name. As text,
 * and one and the same in every process.
 */
export type Tag = string

/** Something that is kept: where, under which name, and what a change of makes it wrong. */
export interface EntryKey {
  readonly layer: CacheLayer
  /** Of the question, the tenant and what the asker may read: equal names have equal answers. */
  readonly name: string
  readonly tags: readonly Tag[]
  /** Whose room it takes. */
  readonly tenant: string
  /** Whether the feed tells of everything that changes it. Otherwise a process trusts its own copy for seconds only. */
  readonly isWatched: boolean
}

export interface Kept {
  readonly body: Buffer
  /** Half-open; null: of all time. Only changes that meet one of them count. */
  readonly ranges: readonly TimeRange[] | null
  readonly ageMs: number
  /** How old it may become. */
  readonly lifeMs: number
}

/** The state of an entry's tags at a moment: what is computed after it may be kept under it, and is right until one of them changes. */
export interface Ticket {
  readonly era: string
  readonly versions: readonly string[]
}

export interface Found {
  /** Null: there is nothing, or what there is may be wrong. */
  readonly kept: Kept | null
  /** Of this moment. */
  readonly ticket: Ticket
}

export interface NewEntry {
  readonly body: Buffer
  readonly ranges: readonly TimeRange[] | null
  /** How old it is already; it came from another store. */
  readonly ageMs: number
  /** How old it may become here. */
  readonly lifeMs: number
}

export interface TagChange {
  readonly tag: Tag
  /** Null: anywhere. */
  readonly ranges: readonly TimeRange[] | null
}

/**
 * Where finished answers are kept, bounded in bytes. The order is what makes them right: a ticket is taken before an answer is computed,
 * a change is told after it is committed; so what was computed before a change lies under versions that are no more.
 *
 * @example
 * const { kept, ticket } = await store.read(key)
 * if (kept === null) await store.write(key, ticket, await compute())
 */
export interface CacheStore {
  /** `slideMs`: what is found lives that much longer from now on. */
  read(key: EntryKey, slideMs?: number | null): Found | Promise<Found>
  /** False: it was not kept, because it is too large. What lies under an old ticket is never read. */
  write(key: EntryKey, ticket: Ticket, entry: NewEntry): boolean | Promise<boolean>
  /** When it resolves, nothing that was computed before is read, if it is made of these. */
  change(changes: readonly TagChange[]): void | Promise<void>
  /** The same of everything: what has changed is not known. */
  reset(): void | Promise<void>
}
