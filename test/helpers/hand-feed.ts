import type { ChangeFeed, DatasetChange, FeedEvent } from '../../src/feed/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

/** What has been committed; feeds tell it when they are told to. */
export class HandLog {
  readonly changes: DatasetChange[] = []

  commit(dataset: string, tenant: string | null = null, range: DatasetChange['range'] = null): void {
    this.changes.push({ dataset, tenant, range })
  }
}

/** A feed that looks when it is asked to, or when `look` is called, and never by itself. */
export class HandFeed implements ChangeFeed {
  readonly #log: HandLog
  readonly #listeners = new Set<(event: FeedEvent) => void>()
  #told: number
  looks = 0
  behindMs = 0
  isFollowed = true
  /** PostgreSQL cannot be asked. */
  isBroken = false

  constructor(log: HandLog) {
    this.#log = log
    this.#told = log.changes.length
  }

  look(): void {
    const changes = this.#log.changes.slice(this.#told)
    this.#told += changes.length
    if (changes.length > 0) this.tell({ kind: 'changed', changes })
  }

  tell(event: FeedEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  subscribe(listener: (event: FeedEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async caughtUp(): Promise<void> {
    this.looks += 1
    if (this.isBroken) throw new TidemarkError('TM_CANCELLED', { what: 'the feed' })
    this.look()
  }

  wake(): void {
    this.look()
  }

  wrote(): void {}

  async close(): Promise<void> {}
}
