import { createPublicKey, type JsonWebKey } from 'node:crypto'
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose'
import type { JwtConfig } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { withoutSecrets } from './redact.ts'

type KeySet = ReturnType<typeof createLocalJWKSet>

/** What of `fetch` is used. */
export type FetchKeys = (url: string, init: { signal: AbortSignal; redirect: 'error' }) => Promise<Response>

export interface TokenKeysOptions {
  readonly fetch: FetchKeys
  /** Any clock that goes on evenly, in ms. */
  readonly nowMs: () => number
  /** Keys that could not be fetched anew, while the older ones go on. */
  readonly onProblem: (error: TidemarkError) => void
}

/** Older keys are fetched anew, so that one that the issuer takes back is forgotten. */
const maxAgeMs = 10 * 60_000
/** A token with an unknown key has them fetched, this often at most: anybody can make one. */
const minFetchMs = 30_000
const fetchMs = 5000
/** While there are none yet, whoever comes right after a try that failed is told the same. */
const minRetryMs = 1000
const maxBytes = 1024 * 1024

/** The public keys that tokens are checked with. */
export function createTokenKeys(config: JwtConfig, options: TokenKeysOptions): JWTVerifyGetKey {
  if (config.jwksUrl === null) return createLocalJWKSet({ keys: config.keys.map(readKey) })
  const keys = new RemoteKeys(config.jwksUrl, options)
  return (header, token) => keys.find(header, token)
}

/** An issuer's published keys: fetched when needed, kept while it cannot be reached. */
class RemoteKeys {
  readonly #url: string
  readonly #options: TokenKeysOptions
  #set: KeySet | null = null
  /** Of the last try, good or not. */
  #triedAt = Number.NEGATIVE_INFINITY
  #fetching: Promise<KeySet> | null = null
  #problem: TidemarkError<'TM_TOKEN_KEYS'> | null = null

  constructor(url: string, options: TokenKeysOptions) {
    this.#url = url
    this.#options = options
  }

  async find(...args: Parameters<JWTVerifyGetKey>): Promise<Awaited<ReturnType<JWTVerifyGetKey>>> {
    const set = await this.#current()
    try {
      return await set(...args)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || this.#ageMs < minFetchMs) throw error
    }
    return (await this.#fetch())(...args)
  }

  get #ageMs(): number {
    return this.#options.nowMs() - this.#triedAt
  }

  async #current(): Promise<KeySet> {
    const set = this.#set
    if (set !== null && this.#ageMs < maxAgeMs) return set
    if (set === null && this.#problem !== null && this.#ageMs < minRetryMs) throw this.#problem
    try {
      return await this.#fetch()
    } catch (error) {
      if (set === null) throw error
      this.#options.onProblem(error as TidemarkError)
      return set
    }
  }

  /** Whoever comes meanwhile waits for the same answer. */
  #fetch(): Promise<KeySet> {
    this.#fetching ??= this.#load().finally(() => {
      this.#fetching = null
    })
    return this.#fetching
  }

  async #load(): Promise<KeySet> {
    this.#triedAt = this.#options.nowMs()
    try {
      const response = await this.#options.fetch(this.#url, {
        signal: AbortSignal.timeout(fetchMs),
        redirect: 'error',
      })
      if (response.status !== 200) throw this.#refused(`it answered ${response.status}`)
      this.#set = createLocalJWKSet(JSON.parse(await this.#read(response)) as JSONWebKeySet)
      return this.#set
    } catch (error) {
      const { message, cause } = error as Error
      const reason = cause instanceof Error && cause.message !== '' ? cause.message : message
      this.#problem = isTidemarkError(error)
        ? (error as TidemarkError<'TM_TOKEN_KEYS'>)
        : this.#refused(reason, error)
      throw this.#problem
    }
  }

  async #read(response: Response): Promise<string> {
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length
      if (bytes > maxBytes) throw this.#refused(`it answered with more than ${maxBytes} bytes`)
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString('utf8')
  }

  /** The URL without its parameters: they may hold a secret. */
  #refused(problem: string, cause?: unknown): TidemarkError<'TM_TOKEN_KEYS'> {
    const { origin, pathname } = new URL(this.#url)
    const url = `${origin}${pathname}`
    return new TidemarkError('TM_TOKEN_KEYS', { url, problem: withoutSecrets(problem) }, { cause })
  }
}

/** The configuration has looked at what kind of key it is; whether it is one is seen here. */
function readKey(key: string | Readonly<Record<string, unknown>>, index: number): JWK {
  const path = `server.auth.jwt.keys[${index}]`
  const given = typeof key === 'string' ? {} : { kid: key['kid'], alg: key['alg'], use: key['use'] }
  let problem: string | null = null
  try {
    const object = createPublicKey(typeof key === 'string' ? key : { key: key as JsonWebKey, format: 'jwk' })
    const { modulusLength, namedCurve } = object.asymmetricKeyDetails ?? {}
    const type = object.asymmetricKeyType
    const isTaken =
      (type === 'rsa' && (modulusLength ?? 0) >= 2048) ||
      (type === 'ec' && namedCurve === 'prime256v1') ||
      type === 'ed25519'
    if (isTaken)
      return {
        ...object.export({ format: 'jwk' }),
        ...Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value === 'string')),
      } as JWK
    problem = 'is none of RSA from 2048 bits on, EC P-256, Ed25519'
  } catch (error) {
    throw new TidemarkError('TM_CONFIG', { path, problem: 'is no public key' }, { cause: error })
  }
  throw new TidemarkError('TM_CONFIG', { path, problem })
}
