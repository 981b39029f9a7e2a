import type { CacheStore, EntryKey, Found, Kept, NewEntry, TagChange, Ticket } from './contract.ts'
import type { RedisLink } from './redis-link.ts'
import { decodeValue, encodeValue } from './redis-value.ts'
import { type Hours, hoursOfAll, hoursOfChange, newEpoch, TagState } from './tag-state.ts'
import { joinChanges } from './tags.ts'

export interface RedisStoreOptions {
  readonly link: RedisLink
  /** Of the database and of what is declared: servers that differ in it share nothing. */
  readonly identity: string
  readonly tenantBytes: number
  readonly maxValueBytes: number
  /** Longer than any entry lives. */
  readonly tagLifeMs: number
  /** How long a lock holds when nobody releases it. */
  readonly lockMs: number
  /** An era ends so long after the last moment that somebody has vouched for. */
  readonly eraMs: number
}

/** Tags of one command at most. */
const maxTags = 500

/**
 * Answers that servers share. Keys begin with the identity and the run id of Redis's process: after a start it may have the state of a
 * snapshot, entries and versions of before a change; those are never looked at again, and end by themselves.
 *
 * Every method throws RedisGone when Redis is not there or too slow, RedisRefused when it answers by an error.
 */
export class RedisStore implements CacheStore {
  readonly #options: RedisStoreOptions
  readonly #link: RedisLink

  constructor(options: RedisStoreOptions) {
    this.#options = options
    this.#link = options.link
  }

  async read(key: EntryKey, slideMs: number | null = null): Promise<Found> {
    const { tagLifeMs } = this.#options
    const keys = [this.#entry(key), this.#era, ...key.tags.map((tag) => this.#key(`t:${tag}`))]
    const args = [newEpoch(), String(tagLifeMs), String(slideMs ?? 0)]
    const reply = (await this.#link.run('read', keys, args)) as [
      Buffer | null,
      number,
      Buffer | null,
      ...Buffer[],
    ]
    const [value, leftMs, token, ...texts] = reply
    const states = texts.map((text) => TagState.parse(String(text)))
    const ticket = { era: String(token ?? ''), versions: states.map((state) => state?.version ?? '') }
    return { kept: value === null ? null : await keptOf(value, leftMs, ticket.era, states), ticket }
  }

  /** `lock`: what `lock` has given for the key; it is released with it. */
  async write(key: EntryKey, ticket: Ticket, entry: NewEntry, lock: string | null = null): Promise<boolean> {
    const { tenantBytes, maxValueBytes, tagLifeMs } = this.#options
    const value = await encodeValue(ticket, entry)
    const lifeMs = Math.floor(entry.lifeMs - entry.ageMs)
    if (value.length > maxValueBytes || lifeMs < 1) {
      if (lock !== null) await this.unlock(key, lock)
      return false
    }
    const tenant = encodeURIComponent(key.tenant)
    const keys = [
      this.#entry(key),
      this.#lock(key),
      this.#key(`h:${tenant}`),
      this.#key(`b:${tenant}`),
      ...key.tags.map((tag) => this.#key(`t:${tag}`)),
    ]
    await this.#link.run('write', keys, [
      value,
      String(lifeMs),
      String(tenantBytes),
      lock ?? '-',
      String(tagLifeMs),
    ])
    return true
  }

  async change(changes: readonly TagChange[]): Promise<void> {
    const joined = joinChanges(changes)
    for (let i = 0; i < joined.length; i += maxTags) {
      const some = joined.slice(i, i + maxTags)
      await this.#link.run(
        'change',
        some.map(({ tag }) => this.#key(`t:${tag}`)),
        some.map(({ ranges }) => textOfHours(hoursOfChange(ranges))),
      )
    }
  }

  /** Begins a new era, for every server. */
  async reset(): Promise<void> {
    await this.begin(newEpoch(), (await this.look(false)).nowMs, true)
  }

  /** Null: somebody else has it. */
  async lock(key: EntryKey): Promise<string | null> {
    const token = newEpoch()
    const taken = await this.#link.run('lock', [this.#lock(key)], [token, String(this.#options.lockMs)])
    return taken === 1 ? token : null
  }

  async unlock(key: EntryKey, token: string): Promise<void> {
    await this.#link.run('unlock', [this.#lock(key)], [token])
  }

  async look(wantsToJoin: boolean): Promise<EraState> {
    const reply = await this.#link.run('look', [this.#era], [wantsToJoin ? '1' : '0'])
    const [now, token, joins, vouched] = reply as [Buffer, Buffer | null, Buffer, Buffer]
    return {
      nowMs: Number(String(now)),
      token: token === null ? null : String(token),
      joins: Number(String(joins)),
      vouched: Number(String(vouched)),
    }
  }

  /** `nowMs`: of `look`. False: there is one already. `force` takes its place. */
  async begin(token: string, nowMs: number, force: boolean): Promise<boolean> {
    const endsAt = String(nowMs + this.#options.eraMs)
    return (await this.#link.run('begin', [this.#era], [token, endsAt, force ? '1' : '0'])) === 1
  }

  /** Every change that was committed before `nowMs` (of `look`) has been told. False: the era is no more. */
  async vouch(token: string, { joins, nowMs }: EraState): Promise<boolean> {
    const endsAt = String(nowMs + this.#options.eraMs)
    return (await this.#link.run('vouch', [this.#era], [token, String(joins), endsAt])) === 1
  }

  get #era(): string {
    return this.#key('era')
  }

  #entry({ layer, name }: EntryKey): string {
    return this.#key(`e:${layer}:${name}`)
  }

  #lock({ layer, name }: EntryKey): string {
    return this.#key(`l:${layer}:${name}`)
  }

  #key(rest: string): string {
    return `tm:{${this.#options.identity}}:${this.#link.runId}:${rest}`
  }
}

/** Who vouches that all changes are told, and for whom; docs/design/cache.md. */
export interface EraState {
  /** Redis's clock. */
  readonly nowMs: number
  /** Null: nobody vouches, and nothing that the feed watches over is right. */
  readonly token: string | null
  readonly joins: number
  readonly vouched: number
}

function textOfHours(hours: readonly Hours[] | null): string {
  return hours === null ? '' : hours.map(({ from, to }) => `${from},${to}`).join(';')
}

async function keptOf(
  value: Buffer,
  leftMs: number,
  era: string,
  states: readonly (TagState | null)[],
): Promise<Kept | null> {
  const found = decodeValue(value)
  if (found === null || leftMs <= 0 || found.versions.length !== states.length) return null
  if (era === '' || found.era !== era) return null
  const hours = hoursOfAll(found.ranges)
  const isRight = states.every((state, i) => state?.isUntouched(found.versions[i] as string, hours) ?? false)
  if (!isRight) return null
  const body = await found.body()
  if (body === null) return null
  const { ranges, lifeMs } = found
  return { body, ranges, lifeMs, ageMs: Math.max(0, lifeMs - leftMs) }
}
