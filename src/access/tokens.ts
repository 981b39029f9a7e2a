import { errors, type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose'
import { allTenants, type JwtConfig, noTenant, type TenantScope } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { type AccessScope, accessScopes, type Principal, type Verified } from './contract.ts'
import { createTokenKeys, type TokenKeysOptions } from './token-keys.ts'

/** Headers of Node's server are at most 16 KiB together. */
const maxTokenLength = 8192
const maxText = 200
const newToken = 'get a new token from whoever issues them'

/** Three parts of base64url. */
export function isTokenForm(text: string): boolean {
  return text.length <= maxTokenLength && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)
}

/** Checks tokens and reads from their claims who somebody is. */
export class Tokens {
  readonly #config: JwtConfig
  readonly #clock: Clock
  readonly #keys: JWTVerifyGetKey

  /** @throws TidemarkError TM_CONFIG for a key that is none. */
  constructor(config: JwtConfig, clock: Clock, options: TokenKeysOptions) {
    this.#config = config
    this.#clock = clock
    this.#keys = createTokenKeys(config, options)
  }

  /** @throws TidemarkError TM_UNAUTHORIZED; TM_TOKEN_KEYS when the issuer's keys cannot be had. */
  async verify(token: string): Promise<Verified> {
    const { issuers, audiences, algorithms, toleranceMs } = this.#config
    const payload = await this.#check(token, {
      algorithms: [...algorithms],
      issuer: [...issuers],
      audience: [...audiences],
      clockTolerance: toleranceMs / 1000,
      currentDate: new Date(Number(this.#clock.now() / 1000n)),
      requiredClaims: ['exp', 'sub'],
    })
    const exp = payload.exp as number
    return {
      principal: principalOf(payload, this.#config),
      expiresAt: BigInt(Math.floor(exp * 1000) + toleranceMs) * 1000n,
      keyId: null,
    }
  }

  async #check(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    try {
      return (await jwtVerify(token, this.#keys, options)).payload
    } catch (error) {
      if (isTidemarkError(error)) throw error
      // a token that does not say which of the issuer's keys it was signed with
      if (error instanceof errors.JWKSMultipleMatchingKeys)
        for await (const key of error) {
          try {
            return (await jwtVerify(token, key, options)).payload
          } catch (refusal) {
            if (!(refusal instanceof errors.JWSSignatureVerificationFailed)) throw refused(refusal)
          }
        }
      throw refused(error)
    }
  }
}

/** What jose says names claims and algorithms, never the token. */
function refused(error: unknown): TidemarkError {
  if (error instanceof errors.JWTExpired)
    return unauthorized(`the token has expired${whenOf(error.payload.exp)}`, newToken, error)
  if (error instanceof errors.JWTClaimValidationFailed)
    return unauthorized(
      `the claim "${error.claim}" of the token is ${error.reason === 'missing' ? 'missing' : 'not what this server takes'}`,
      'issuer, audience and times are compared with server.auth.jwt of the configuration',
      error,
    )
  if (error instanceof errors.JOSEAlgNotAllowed)
    return unauthorized(
      'the token is signed by an algorithm that is not taken',
      'sign tokens by one of server.auth.jwt.algorithms',
      error,
    )
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWSSignatureVerificationFailed)
    return unauthorized('the token is not signed by a key that this server knows', newToken, error)
  return unauthorized('the token is not a signed JWT', newToken, error)
}

function whenOf(exp: unknown): string {
  return typeof exp === 'number' && exp >= 0 && exp < 1e11 ? ` at ${new Date(exp * 1000).toISOString()}` : ''
}

function unauthorized(problem: string, todo: string, cause?: unknown): TidemarkError {
  return new TidemarkError('TM_UNAUTHORIZED', { problem, todo }, { cause })
}

function principalOf(payload: JWTPayload, config: JwtConfig): Principal {
  const { claims, scopePrefix } = config
  const { sub } = payload
  if (!isPlain(sub)) throw unauthorized('the claim "sub" of the token is no plain text', newToken)
  const name = claimOf(payload, claims.name)
  const scopes = wordsOf(payload, claims.scopes) ?? []
  const datasets = wordsOf(payload, claims.datasets)
  return {
    kind: 'token',
    id: sub,
    name: isPlain(name) ? name : null,
    tenant: tenantOf(claimOf(payload, claims.tenant), config),
    scopes: new Set(
      scopes
        .filter((word) => word.startsWith(scopePrefix))
        .map((word) => word.slice(scopePrefix.length))
        .filter((word): word is AccessScope => (accessScopes as readonly string[]).includes(word)),
    ),
    datasets: datasets === null ? null : new Set(datasets),
  }
}

function tenantOf(claim: unknown, { allTenants: everybody, claims }: JwtConfig): TenantScope {
  if (everybody === true) return allTenants
  if (claim === undefined || claim === null || claim === '') return noTenant
  const tenant = Number.isSafeInteger(claim) ? String(claim) : claim
  if (!isPlain(tenant)) throw unauthorized(`the claim "${claims.tenant}" of the token is no tenant`, newToken)
  return everybody !== null && tenant === everybody ? allTenants : { kind: 'one', tenant }
}

/** A list of texts, or a text with spaces between them. Null: the token does not have it. */
function wordsOf(payload: JWTPayload, path: string): string[] | null {
  const claim = claimOf(payload, path)
  if (claim === undefined || claim === null) return null
  const words = typeof claim === 'string' ? claim.split(' ').filter((word) => word !== '') : claim
  if (Array.isArray(words) && words.every(isPlain)) return words
  throw unauthorized(`the claim "${path}" of the token is no list of texts`, newToken)
}

/** By its whole name, which may have dots (https://example.org/tenant); otherwise as a path. */
function claimOf(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path]
  return path
    .split('.')
    .reduce<unknown>(
      (at, key) =>
        typeof at === 'object' && at !== null && Object.hasOwn(at, key)
          ? (at as Record<string, unknown>)[key]
          : undefined,
      payload,
    )
}

/** It is shown in logs and on terminals. */
function isPlain(value: unknown): value is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return typeof value === 'string' && value.length <= maxText && /^[^\x00-\x1f\x7f]+$/.test(value)
}
