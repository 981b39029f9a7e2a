import type { TenantScope } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { LiveOptions } from './contract.ts'

/** What the hub has room for. */
export type LiveRoom = 'subscriptions' | 'questions' | 'bytes'

const words: Readonly<Record<LiveRoom, string>> = {
  subscriptions: 'subscriptions',
  questions: 'different questions',
  bytes: 'bytes of live answers',
}

/**
 * What each tenant holds of the hub's room: none may take all of it from the others. Whoever reads every tenant's rows is bounded by
 * the room alone, and those who have no tenant share one part.
 */
export class TenantShares {
  readonly #limits: Readonly<Record<LiveRoom, number>>
  readonly #share: number
  readonly #held = new Map<string, Record<LiveRoom, number>>()

  constructor({
    maxSubscriptions,
    maxQuestions,
    maxBytes,
    tenantShare,
  }: Pick<LiveOptions, 'maxSubscriptions' | 'maxQuestions' | 'maxBytes' | 'tenantShare'>) {
    const part = (whole: number): number => Math.max(1, Math.floor(whole * tenantShare))
    this.#share = tenantShare
    this.#limits = {
      subscriptions: part(maxSubscriptions),
      questions: part(maxQuestions),
      bytes: part(maxBytes),
    }
  }

  /** Whether two hold room together. */
  static areSame(a: TenantScope, b: TenantScope): boolean {
    return keyOf(a) === keyOf(b)
  }

  /** Whether as much more may be held for him. */
  has(scope: TenantScope, room: LiveRoom, more: number): boolean {
    return scope.kind === 'all' || more <= 0 || this.#of(scope, room) + more <= this.#limits[room]
  }

  /** @throws TidemarkError TM_LIVE_LIMIT */
  assert(scope: TenantScope, room: LiveRoom, more: number): void {
    if (this.has(scope, room, more)) return
    const added = room === 'bytes' ? `, and this one is ${more} more` : ''
    throw new TidemarkError('TM_LIVE_LIMIT', {
      problem: `your tenant holds ${this.#of(scope, room)} ${words[room]}${added}`,
      limit: `${this.#limits[room]} of a tenant, which is ${this.#share} of what the server holds: server.live.tenantShare`,
    })
  }

  add(scope: TenantScope, room: LiveRoom, more: number): void {
    if (scope.kind === 'all') return
    const key = keyOf(scope)
    const held = this.#held.get(key) ?? { subscriptions: 0, questions: 0, bytes: 0 }
    held[room] += more
    if (Object.values(held).every((count) => count === 0)) this.#held.delete(key)
    else this.#held.set(key, held)
  }

  #of(scope: TenantScope, room: LiveRoom): number {
    return this.#held.get(keyOf(scope))?.[room] ?? 0
  }
}

function keyOf(scope: TenantScope): string {
  return scope.kind === 'one' ? `=${scope.tenant}` : scope.kind
}
