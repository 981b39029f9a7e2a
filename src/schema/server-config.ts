import { isLoopback, readHosts } from './host-names.ts'
import { type LiveConfig, type LiveSectionOptions, liveConfigDefaults, readLive } from './live-config.ts'
import {
  type ObserveConfig,
  type ObserveOptions,
  observeDefaults,
  observeKeys,
  readObserve,
} from './observe-config.ts'
import { checkKeys, type ProblemList } from './problems.ts'
import { Section } from './section.ts'

/** `{ requests: 100, per: '1 second' }`. */
export interface RateOptions {
  /** What comes in over time, on average. */
  readonly requests: number
  /** Default '1 second'. */
  readonly per?: string
  /** What may come at once after a quiet time. Default: `requests`. */
  readonly burst?: number
}

/** Tokens of your own sign-in (OpenID Connect, Auth0, Keycloak, …); docs/guide/access.md. */
export interface JwtOptions {
  /** `iss` of the tokens that are taken; a list where there are several. */
  readonly issuer: string | readonly string[]
  /** `aud` that a token has to name: a token that was made for another service is refused. */
  readonly audience: string | readonly string[]
  /** Where the issuer publishes its keys; https, or http on this machine. Fetched when needed, and again when a new key appears. */
  readonly jwksUrl?: string
  /** Public keys in place of that: SPKI as PEM, or JWK. */
  readonly keys?: readonly (string | Readonly<Record<string, unknown>>)[]
  /** Default: all three. Symmetric ones and `none` are never taken. */
  readonly algorithms?: readonly JwtAlgorithm[]
  /** How far the clocks of issuer and server may be apart. Default '30s'. */
  readonly tolerance?: string
  /** Names of claims, or paths into them with dots. */
  readonly claims?: {
    /** Whose rows; a token without it sees no tenant's. Default 'tenant'. */
    readonly tenant?: string
    /** A list, or a text with spaces. Default 'scope'. */
    readonly scopes?: string
    /** A list, or a text with spaces; a token without it may use every dataset. Default 'datasets'. */
    readonly datasets?: string
    /** Default 'name'. */
    readonly name?: string
  }
  /** What scopes begin with in tokens: with 'tidemark:' the scope 'tidemark:query' is query. Default ''. */
  readonly scopePrefix?: string
  /** The value of the tenant's claim that means every tenant; true: each token does, as where no table has a tenant. Default: none. */
  readonly allTenants?: string | true
}

export const jwtAlgorithms = ['RS256', 'ES256', 'EdDSA'] as const

export type JwtAlgorithm = (typeof jwtAlgorithms)[number]

export interface ServerSectionOptions extends ObserveOptions {
  /** Default '127.0.0.1': only this machine. Any other needs `auth`. */
  readonly host?: string
  /** Default 4680; 0 takes a free one. */
  readonly port?: number
  /**
   * Names by which it is asked, beside those of this machine; a request that names another one is refused. Default: without `auth` none,
   * with it any.
   */
  readonly hosts?: readonly string[]
  /** Who may use it; docs/guide/access.md. Default: everybody on this machine. 'none': everybody from anywhere, said aloud. */
  readonly auth?:
    | 'none'
    | {
        /** API keys. Default true. */
        readonly keys?: boolean
        readonly jwt?: JwtOptions
        /** How long a browser stays signed in. Default '8 hours'. */
        readonly session?: string
      }
  /** Pages of other origins that may use the API. Default: none. */
  readonly cors?: { readonly origins: '*' | readonly string[] }
  /** TLS 1.3, with these files (PEM), relative to the configuration; they are read again when they change. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string }
  readonly rateLimit?: {
    /** Of each key, and of each subject of tokens. Default: none. */
    readonly key?: RateOptions
    /** Of each tenant. Default: none. */
    readonly tenant?: RateOptions
    /** Credentials that are not good, of each address. Default 30 a minute. */
    readonly failures?: RateOptions
  }
  /** Whose `X-Forwarded-For` is believed: addresses or networks of proxies (10.0.0.0/8); true: anybody's. Default false. */
  readonly trustProxy?: boolean | readonly string[]
  /** Whether the dashboard is served at `/`. Its pages hold no data: what they show they ask for as whoever has signed in. Default true. */
  readonly dashboard?: boolean
  readonly audit?: {
    /** How long what was done by whom is kept. Default '365 days'. */
    readonly keep?: string
  }
  /** Room for live answers. */
  readonly live?: LiveSectionOptions
}

export interface RateRule {
  readonly requests: number
  readonly perMs: number
  readonly burst: number
}

export interface JwtConfig {
  readonly issuers: readonly string[]
  readonly audiences: readonly string[]
  readonly jwksUrl: string | null
  readonly keys: readonly (string | Readonly<Record<string, unknown>>)[]
  readonly algorithms: readonly JwtAlgorithm[]
  readonly toleranceMs: number
  readonly claims: {
    readonly tenant: string
    readonly scopes: string
    readonly datasets: string
    readonly name: string
  }
  readonly scopePrefix: string
  readonly allTenants: string | true | null
}

export interface AuthConfig {
  readonly keys: boolean
  readonly jwt: JwtConfig | null
  readonly sessionMs: number
}

export interface ServerConfig extends ObserveConfig {
  readonly host: string
  readonly port: number
  /** In lower case. */
  readonly hosts: readonly string[]
  /** Null: nothing is said, so everybody of this machine. */
  readonly auth: AuthConfig | 'none' | null
  readonly cors: { readonly origins: '*' | readonly string[] } | null
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null
  readonly rateLimit: {
    readonly key: RateRule | null
    readonly tenant: RateRule | null
    readonly failures: RateRule
  }
  readonly trustProxy: boolean | readonly string[]
  readonly dashboard: boolean
  readonly audit: { readonly keepMs: number }
  readonly live: LiveConfig
}

export const serverConfigDefaults = Object.freeze({
  host: '127.0.0.1',
  port: 4680,
  hosts: Object.freeze([]) as readonly string[],
  auth: null,
  cors: null,
  tls: null,
  rateLimit: Object.freeze({
    key: null,
    tenant: null,
    failures: Object.freeze({ requests: 30, perMs: 60_000, burst: 30 }),
  }),
  trustProxy: false,
  dashboard: true,
  audit: Object.freeze({ keepMs: 365 * 86_400_000 }),
  live: liveConfigDefaults,
  ...observeDefaults,
} satisfies ServerConfig)

const sectionKeys: Readonly<Record<keyof ServerSectionOptions, true>> = {
  host: true,
  port: true,
  hosts: true,
  auth: true,
  cors: true,
  tls: true,
  rateLimit: true,
  trustProxy: true,
  dashboard: true,
  audit: true,
  live: true,
  ...observeKeys,
}
const defaultSessionMs = 8 * 3_600_000
const defaultClaims = Object.freeze({
  tenant: 'tenant',
  scopes: 'scope',
  datasets: 'datasets',
  name: 'name',
})

/** The section `server`. */
export function readServer(problems: ProblemList, input: unknown): ServerConfig {
  const d = serverConfigDefaults
  const server = Section.read(problems, '.server', input, Object.keys(sectionKeys))
  const rates = Section.read(problems, '.server.rateLimit', server.input['rateLimit'], [
    'key',
    'tenant',
    'failures',
  ])
  const audit = Section.read(problems, '.server.audit', server.input['audit'], ['keep'])
  const rate = (key: string): RateRule | null =>
    rates.given(key) ? readRate(problems, `.server.rateLimit.${key}`, rates.input[key]) : null
  return Object.freeze({
    host: server.text('host', d.host),
    port: server.whole('port', d.port, 0, 65_535),
    hosts: readHosts(problems, server.input['hosts']),
    auth: readAuth(problems, server.input['auth']),
    cors: server.given('cors') ? readCors(problems, server.input['cors']) : d.cors,
    tls: server.given('tls') ? readTls(problems, server.input['tls']) : d.tls,
    rateLimit: Object.freeze({
      key: rate('key'),
      tenant: rate('tenant'),
      failures: rate('failures') ?? d.rateLimit.failures,
    }),
    trustProxy: readTrust(problems, server.input['trustProxy']),
    dashboard: server.boolean('dashboard', d.dashboard),
    audit: Object.freeze({ keepMs: audit.millis('keep', d.audit.keepMs) }),
    live: readLive(problems, server.input['live']),
    ...readObserve(problems, server),
  })
}

function readRate(problems: ProblemList, path: string, input: unknown): RateRule {
  const rate = Section.read(problems, path, input, ['requests', 'per', 'burst'])
  if (!rate.given('requests')) problems.add(`${path}.requests`, 'is missing; how many requests')
  const requests = rate.whole('requests', 1)
  return Object.freeze({
    requests,
    perMs: rate.millis('per', 1000),
    burst: rate.whole('burst', requests),
  })
}

function readAuth(problems: ProblemList, input: unknown): ServerConfig['auth'] {
  if (input === undefined || input === null) return null
  if (input === 'none') return 'none'
  const path = '.server.auth'
  if (typeof input !== 'object') {
    problems.add(path, "must be { keys: true }, { jwt: { … } }, both, or 'none'")
    return null
  }
  const auth = Section.read(problems, path, input, ['keys', 'jwt', 'session'])
  const keys = auth.boolean('keys', true)
  const jwt = auth.given('jwt') ? readJwt(problems, auth.input['jwt']) : null
  if (!keys && !auth.given('jwt'))
    problems.add(path, "takes neither keys nor tokens; say auth: 'none' if everybody may do everything")
  return Object.freeze({ keys, jwt, sessionMs: auth.millis('session', defaultSessionMs) })
}

function readJwt(problems: ProblemList, input: unknown): JwtConfig {
  const path = '.server.auth.jwt'
  const jwt = Section.read(problems, path, input, [
    'issuer',
    'audience',
    'jwksUrl',
    'keys',
    'algorithms',
    'tolerance',
    'claims',
    'scopePrefix',
    'allTenants',
  ])
  const claims = Section.read(problems, `${path}.claims`, jwt.input['claims'], Object.keys(defaultClaims))
  const names = (key: string): readonly string[] => {
    const value = jwt.input[key]
    const list = typeof value === 'string' ? [value] : value
    if (isTexts(list) && list.length > 0) return Object.freeze([...list])
    problems.add(`${path}.${key}`, 'must be a text, or a list of texts')
    return []
  }
  const jwksUrl = readJwksUrl(problems, `${path}.jwksUrl`, jwt.input['jwksUrl'])
  const keys = readKeys(problems, `${path}.keys`, jwt.input['keys'])
  if (!jwt.given('jwksUrl') && !jwt.given('keys'))
    problems.add(path, 'needs jwksUrl, where the keys of the issuer are, or keys')
  if (jwt.given('jwksUrl') && jwt.given('keys')) problems.add(path, 'takes jwksUrl or keys, not both')
  const algorithms = jwt.input['algorithms'] ?? jwtAlgorithms
  const areKnown =
    Array.isArray(algorithms) &&
    algorithms.length > 0 &&
    algorithms.every((name) => (jwtAlgorithms as readonly unknown[]).includes(name))
  if (!areKnown) problems.add(`${path}.algorithms`, `must be a list of ${jwtAlgorithms.join(', ')}`)
  return Object.freeze({
    issuers: names('issuer'),
    audiences: names('audience'),
    jwksUrl,
    keys,
    algorithms: Object.freeze(areKnown ? ([...algorithms] as JwtAlgorithm[]) : [...jwtAlgorithms]),
    toleranceMs: jwt.millis('tolerance', 30_000),
    claims: Object.freeze({
      tenant: claims.text('tenant', defaultClaims.tenant),
      scopes: claims.text('scopes', defaultClaims.scopes),
      datasets: claims.text('datasets', defaultClaims.datasets),
      name: claims.text('name', defaultClaims.name),
    }),
    scopePrefix: jwt.given('scopePrefix') ? jwt.text('scopePrefix', '') : '',
    allTenants:
      jwt.input['allTenants'] === true || !jwt.given('allTenants')
        ? ((jwt.input['allTenants'] ?? null) as true | null)
        : jwt.text('allTenants', '*'),
  })
}

/** The value is not shown: a URL may hold a password. */
function readJwksUrl(problems: ProblemList, path: string, value: unknown): string | null {
  if (value === undefined) return null
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : null
  if (url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname))) return url.href
  problems.add(path, 'must be a URL with https; http is taken on this machine only')
  return null
}

function readKeys(problems: ProblemList, path: string, value: unknown): JwtConfig['keys'] {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length === 0) {
    problems.add(path, 'must be a list of public keys')
    return []
  }
  value.forEach((key: unknown, i) => {
    const problem = problemOfKey(key)
    if (problem !== null) problems.add(`${path}[${i}]`, problem)
  })
  return Object.freeze([...value])
}

/** Never shows the key. */
function problemOfKey(key: unknown): string | null {
  if (typeof key === 'string') {
    if (key.includes('-----BEGIN PUBLIC KEY-----')) return null
    return key.includes('PRIVATE KEY')
      ? 'is a private key; only the public one is needed here'
      : 'is no public key as PEM (-----BEGIN PUBLIC KEY-----)'
  }
  if (typeof key !== 'object' || key === null || Array.isArray(key)) return 'must be PEM text or a JWK'
  const { kty, d, k } = key as { readonly kty?: unknown; readonly d?: unknown; readonly k?: unknown }
  if (kty === 'oct' || k !== undefined) return 'is a symmetric key; only public keys are taken'
  if (d !== undefined) return 'is a private key; only the public one is needed here'
  return ['RSA', 'EC', 'OKP'].includes(kty as string) ? null : 'is no JWK of the types RSA, EC or OKP'
}

function readCors(problems: ProblemList, input: unknown): ServerConfig['cors'] {
  const path = '.server.cors'
  if (!checkKeys(problems, path, input, ['origins'])) return null
  const { origins } = input
  if (origins === '*') return Object.freeze({ origins })
  const areOrigins =
    isTexts(origins) && origins.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin)
  if (!areOrigins) {
    problems.add(`${path}.origins`, "must be '*' or a list of origins such as https://example.org")
    return null
  }
  return Object.freeze({ origins: Object.freeze([...origins]) })
}

function readTls(problems: ProblemList, input: unknown): ServerConfig['tls'] {
  const tls = Section.read(problems, '.server.tls', input, ['certFile', 'keyFile'])
  for (const key of ['certFile', 'keyFile'])
    if (!tls.given(key)) problems.add(`.server.tls.${key}`, 'is missing; name a PEM file')
  return Object.freeze({ certFile: tls.text('certFile', ''), keyFile: tls.text('keyFile', '') })
}

function readTrust(problems: ProblemList, value: unknown): ServerConfig['trustProxy'] {
  if (value === undefined) return serverConfigDefaults.trustProxy
  if (typeof value === 'boolean') return value
  if (isTexts(value) && value.length > 0) return Object.freeze([...value])
  problems.add('.server.trustProxy', 'must be true, false, or a list of addresses of proxies (10.0.0.0/8)')
  return serverConfigDefaults.trustProxy
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string' && item !== '')
}
