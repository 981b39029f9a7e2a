import type { Database } from '../postgres/index.ts'
import type { AuthConfig } from '../schema/index.ts'
import type { Clock, Instant } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { BoundedMap } from './bounded-map.ts'
import type { Credential, Principal, Verified } from './contract.ts'
import { decodePass, encodePass, type IssuedPass, Passes, type StoredPass } from './passes.ts'
import { hashOf, isSameHash, isSecretForm, parseKeyText } from './secret.ts'
import { findKey, type StoredKey, touchKeys } from './stored-keys.ts'
import type { FetchKeys } from './token-keys.ts'
import { isTokenForm, Tokens } from './tokens.ts'

export interface AuthenticatorOptions {
  /** Told of what goes wrong beside requests. */
  readonly onProblem?: (error: unknown) => void
  /** Any clock that goes on evenly, in ms; how old is what is remembered is told by it. */
  readonly nowMs?: () => number
  readonly fetch?: FetchKeys
}

/** What another process revokes is taken here for so long at most. */
const keyMs = 3000
/** A token that was good is not checked again for so long. */
const tokenMs = 30_000
/** While PostgreSQL cannot be reached, what was good goes on: rows may be taken into the spool. */
const outageMs = 3_600_000
const touchMs = 60_000
const touchDelayMs = 1000
const ticketMs = 30_000
const maxRemembered = 10_000

interface Remembered<T> {
  readonly value: T
  readonly readAt: number
  readonly checkedAt: number
  /** The database could not be asked since. */
  readonly isAway: boolean
}

/** Sessions that servers share, by the hash of what is shown for them. What is not there is asked of the database. */
export interface SessionStore {
  find(name: string, load: () => Promise<string | null>): Promise<string | null>
  /** It has ended: nobody finds it any more. */
  ended(name: string): Promise<void>
}

/** Finds out who somebody is by what he shows. Has memory: one of them for each server, closed with it. */
export class Authenticator {
  readonly #db: Database
  readonly #clock: Clock
  readonly #auth: AuthConfig
  readonly #tokens: Tokens | null
  readonly #passes: Passes
  readonly #onProblem: (error: unknown) => void
  readonly #nowMs: () => number
  /** By id; null: there is none. */
  readonly #keys = new BoundedMap<string, Remembered<StoredKey | null>>(maxRemembered)
  /** By the hash of what was shown. */
  readonly #verified = new BoundedMap<string, { readonly verified: Verified; readonly until: number }>(
    maxRemembered,
  )
  readonly #sessions = new BoundedMap<string, Remembered<StoredPass | null>>(maxRemembered)
  #shared: SessionStore | null = null
  readonly #loading = new Map<string, Promise<unknown>>()
  readonly #touchedAt = new BoundedMap<string, number>(maxRemembered)
  readonly #untold = new Set<string>()
  #timer: NodeJS.Timeout | null = null
  #telling: Promise<void> = Promise.resolve()

  constructor(db: Database, clock: Clock, auth: AuthConfig, options: AuthenticatorOptions = {}) {
    this.#db = db
    this.#clock = clock
    this.#auth = auth
    this.#passes = new Passes(db, clock)
    this.#onProblem = options.onProblem ?? (() => {})
    this.#nowMs = options.nowMs ?? (() => performance.now())
    this.#tokens =
      auth.jwt === null
        ? null
        : new Tokens(auth.jwt, clock, {
            fetch: options.fetch ?? ((url, init) => fetch(url, init)),
            nowMs: this.#nowMs,
            onProblem: this.#onProblem,
          })
  }

  /** Who it is, when that is known without asking anybody; null: it is not known, which says nothing. */
  known(credential: Credential): Verified | null {
    const { text } = credential
    if (credential.kind === 'ticket') return null
    if (credential.kind === 'session') {
      const found = isSecretForm(text) ? this.#sessions.get(nameOf(text)) : undefined
      if (found === undefined || found.value === null || !this.#isFresh(found)) return null
      const { keyId } = found.value
      const key = keyId === null ? undefined : this.#keys.get(keyId)
      return this.#sessionNow(found.value, key !== undefined && this.#isFresh(key) ? key.value : null)
    }
    const parsed = this.#auth.keys ? parseKeyText(text) : null
    if (parsed !== null) {
      const found = this.#keys.get(parsed.id)
      if (found === undefined || found.value === null || !this.#isFresh(found)) return null
      const judged = this.#judge(found.value, hashOf(parsed.secret))
      return typeof judged === 'string' ? null : judged
    }
    const token = this.#verified.get(nameOf(text))
    if (token === undefined || token.until <= this.#nowMs() || this.#isOver(token.verified.expiresAt))
      return null
    return token.verified
  }

  /**
   * @throws TidemarkError TM_UNAUTHORIZED; TM_TOKEN_KEYS, TM_CONNECT and whatever else of the database, when it cannot be found out.
   */
  async verify(credential: Credential): Promise<Verified> {
    const { kind, text } = credential
    if (kind === 'session') return this.#verifySession(text)
    if (kind === 'ticket') return this.#verifyTicket(text)
    const parsed = parseKeyText(text)
    if (parsed !== null && this.#auth.keys) return this.#verifyKey(parsed.id, hashOf(parsed.secret))
    if (this.#tokens !== null && isTokenForm(text)) return this.#verifyToken(this.#tokens, text)
    const taken = [...(this.#auth.keys ? ['API keys (tm_…)'] : []), ...(this.#tokens ? ['signed JWTs'] : [])]
    throw unauthorized(
      `what was sent is no credential that this server takes: ${taken.join(' and ')}`,
      'send it whole, as Authorization: Bearer',
    )
  }

  /**
   * Whether somebody who was let in may still be there: his key was not revoked, nothing has expired. For connections that stay open.
   */
  async isStillGood({ keyId, expiresAt }: Verified): Promise<boolean> {
    if (this.#isOver(expiresAt)) return false
    if (keyId === null) return true
    const key = await this.#key(keyId)
    return key !== null && !key.isRevoked && !this.#isOver(key.expiresAt)
  }

  /** Of a key that was changed through this process: the next request looks at it anew. */
  forget(keyId: string): void {
    this.#keys.delete(keyId)
    // what is on its way was read before
    this.#loading.delete(keyId)
    this.#sessions.deleteWhere(({ value }) => value?.keyId === keyId)
  }

  /** From now on what this process does not remember of sessions is asked there first. */
  shareSessions(store: SessionStore): void {
    this.#shared = store
  }

  /** Signs a browser in. */
  startSession(verified: Verified): Promise<IssuedPass> {
    return this.#passes.issue('session', verified, this.#auth.sessionMs)
  }

  async endSession(text: string): Promise<void> {
    if (!isSecretForm(text)) return
    const name = nameOf(text)
    await this.#passes.endSession(text)
    // after the database: what is read before it would be remembered again
    this.#sessions.delete(name)
    this.#loading.delete(name)
    await this.#shared?.ended(name)
  }

  /** Opens one WebSocket within 30 seconds, for programs in browsers: they cannot send a header with it. */
  issueTicket(verified: Verified): Promise<IssuedPass> {
    return this.#passes.issue('ticket', verified, ticketMs)
  }

  /** Tells the database what is left to tell. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#tell()
    await this.#telling
  }

  async #verifyKey(id: string, hash: Uint8Array): Promise<Verified> {
    const key = await this.#key(id)
    const judged = key === null ? 'there is no such API key' : this.#judge(key, hash)
    if (typeof judged !== 'string') return judged
    throw unauthorized(judged, 'send a key that is good; tidemark keys create makes one')
  }

  /** Or what is wrong. Each of its secrets is compared, whichever fits. */
  #judge(key: StoredKey, hash: Uint8Array): Verified | string {
    let good: { readonly until: Instant | null } | null = null
    let isReplaced = false
    for (const secret of key.secrets) {
      if (!isSameHash(secret.hash, hash)) continue
      if (this.#isOver(secret.expiresAt)) isReplaced = true
      else good = { until: secret.expiresAt }
    }
    // whoever has no secret of a key is not told more about it
    if (good === null && !isReplaced) return 'there is no such API key'
    if (key.isRevoked) return `the API key ${key.id} was revoked`
    if (this.#isOver(key.expiresAt)) return `the API key ${key.id} has expired`
    if (good === null) return `the secret of the API key ${key.id} was replaced, and its overlap is over`
    return this.#ofKey(key, 'key', good.until)
  }

  #ofKey(key: StoredKey, kind: Principal['kind'], until: Instant | null): Verified {
    const { id, name, tenant, scopes, datasets } = key
    this.#touch(id)
    return {
      principal: { kind, id, name, tenant, scopes, datasets },
      expiresAt: earlier(key.expiresAt, until),
      keyId: id,
    }
  }

  async #verifyToken(tokens: Tokens, text: string): Promise<Verified> {
    const verified = await tokens.verify(text)
    this.#verified.set(nameOf(text), { verified, until: this.#nowMs() + tokenMs })
    return verified
  }

  async #verifySession(text: string): Promise<Verified> {
    const pass = isSecretForm(text)
      ? await this.#remembered(this.#sessions, nameOf(text), () => this.#findSession(text))
      : null
    const keyId = pass?.keyId ?? null
    const key = keyId === null ? null : await this.#key(keyId)
    const verified = pass === null ? null : this.#sessionNow(pass, key)
    if (verified === null) throw unauthorized('you are signed in no longer', 'sign in again')
    return verified
  }

  async #findSession(text: string): Promise<StoredPass | null> {
    if (this.#shared === null) return this.#passes.findSession(text)
    const found = await this.#shared.find(nameOf(text), async () => {
      const pass = await this.#passes.findSession(text)
      return pass === null ? null : encodePass(pass)
    })
    return found === null ? null : decodePass(found)
  }

  /** With a key it is what the key is now, and ends with it. */
  #sessionNow({ principal, keyId, expiresAt }: StoredPass, key: StoredKey | null): Verified | null {
    if (this.#isOver(expiresAt)) return null
    if (keyId === null) return { principal: { ...principal, kind: 'session' }, expiresAt, keyId }
    if (key === null || key.isRevoked || this.#isOver(key.expiresAt)) return null
    return this.#ofKey(key, 'session', expiresAt)
  }

  async #verifyTicket(text: string): Promise<Verified> {
    const pass = isSecretForm(text) ? await this.#passes.useTicket(text) : null
    const isGood = pass !== null && !this.#isOver(pass.expiresAt)
    const key = isGood && pass.keyId !== null ? await this.#key(pass.keyId) : null
    if (!isGood || (pass.keyId !== null && (key === null || key.isRevoked || this.#isOver(key.expiresAt))))
      throw unauthorized(
        'the ticket is not, or no longer, good: it opens one connection, within 30 seconds',
        'get a new one by POST /api/v1/tickets',
      )
    // the ticket has done its part; what it stands for ends with its key
    if (key !== null) return this.#ofKey(key, pass.principal.kind, pass.credentialExpiresAt)
    return { principal: pass.principal, expiresAt: pass.credentialExpiresAt, keyId: null }
  }

  #key(id: string): Promise<StoredKey | null> {
    return this.#remembered(this.#keys, id, () => findKey(this.#db, id))
  }

  #isFresh({ checkedAt }: Remembered<unknown>): boolean {
    return this.#nowMs() - checkedAt < keyMs
  }

  #isOver(end: Instant | null): boolean {
    return end !== null && end <= this.#clock.now()
  }

  /** What is fresh, or what the database says now. Whoever asks for the same meanwhile waits for the same answer. */
  async #remembered<T>(
    memory: BoundedMap<string, Remembered<T>>,
    name: string,
    load: () => Promise<T>,
  ): Promise<T> {
    const found = memory.get(name)
    if (found !== undefined && this.#isFresh(found)) return found.value
    const loading = (this.#loading.get(name) as Promise<T> | undefined) ?? this.#load(memory, name, load)
    if (found === undefined || !found.isAway || this.#nowMs() - found.readAt > outageMs) return loading
    // nobody waits for a database that is away while something is known
    loading.catch(() => {})
    return found.value
  }

  #load<T>(memory: BoundedMap<string, Remembered<T>>, name: string, load: () => Promise<T>): Promise<T> {
    const startedAt = this.#nowMs()
    const found = memory.get(name)
    const remember = (entry: Remembered<T>): T => {
      if (this.#loading.get(name) === made) memory.set(name, entry)
      return entry.value
    }
    const made: Promise<T> = load()
      .then(
        (value) => remember({ value, readAt: startedAt, checkedAt: startedAt, isAway: false }),
        (error: unknown) => {
          const isAway = isTidemarkError(error) && error.retryable
          if (!isAway || found === undefined || startedAt - found.readAt > outageMs) throw error
          return remember({ ...found, checkedAt: this.#nowMs(), isAway })
        },
      )
      .finally(() => {
        if (this.#loading.get(name) === made) this.#loading.delete(name)
      })
    this.#loading.set(name, made)
    return made
  }

  #touch(id: string): void {
    const now = this.#nowMs()
    if (now - (this.#touchedAt.get(id) ?? Number.NEGATIVE_INFINITY) < touchMs) return
    this.#touchedAt.set(id, now)
    this.#untold.add(id)
    if (this.#timer !== null) return
    this.#timer = setTimeout(() => this.#tell(), touchDelayMs)
    this.#timer.unref()
  }

  #tell(): void {
    this.#timer = null
    if (this.#untold.size === 0) return
    const ids = [...this.#untold]
    this.#untold.clear()
    this.#telling = this.#telling
      .then(() => touchKeys(this.#db, ids, this.#clock.now()))
      .catch((error) => this.#onProblem(error))
  }
}

function earlier(a: Instant | null, b: Instant | null): Instant | null {
  if (a === null || b === null) return a ?? b
  return a < b ? a : b
}

/** Of what is remembered: memory holds no secret. */
function nameOf(text: string): string {
  return hashOf(text).toString('base64')
}

function unauthorized(problem: string, todo: string): TidemarkError {
  return new TidemarkError('TM_UNAUTHORIZED', { problem, todo })
}
