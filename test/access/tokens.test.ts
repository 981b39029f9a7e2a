import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Tokens } from '../../src/access/tokens.ts'
import { defineConfig, type JwtConfig, type JwtOptions } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'

const issuer = 'https://id.example.org'
const audience = 'tidemark'
const now = parseInstant('2026-05-01T00:00:00Z')
const seconds = Number(now / 1_000_000n)
type Pair = Awaited<ReturnType<typeof generateKeyPair>>
const algorithms = ['RS256', 'ES256', 'EdDSA'] as const
const pairs = {} as Record<(typeof algorithms)[number], Pair>
beforeAll(async () => {
  for (const alg of algorithms) pairs[alg] = await generateKeyPair(alg, { extractable: true })
})

function configOf(jwt: Partial<JwtOptions>): JwtConfig {
  const { auth } = defineConfig({
    datasets: [],
    server: { auth: { jwt: { issuer, audience, ...jwt } } },
  }).server
  return (auth as { readonly jwt: JwtConfig }).jwt
}

const clock = fixedClock(now)
let nowMs = 0
const verifier = (jwt: Partial<JwtOptions>): Tokens =>
  new Tokens(configOf(jwt), clock, {
    fetch: (url, init) => fetch(url, init),
    nowMs: () => nowMs,
    onProblem: () => {},
  })
const claims = { sub: 'user-1', tenant: 'acme', scope: 'query ingest openid' }
function sign(
  alg: (typeof algorithms)[number],
  payload: Record<string, unknown> = claims,
  over: { iss?: string; aud?: string; exp?: number; nbf?: number; kid?: string; key?: Pair } = {},
): Promise<string> {
  const jwt = new SignJWT(payload)
    .setProtectedHeader({ alg, ...(over.kid === undefined ? {} : { kid: over.kid }) })
    .setIssuer(over.iss ?? issuer)
    .setAudience(over.aud ?? audience)
    .setExpirationTime(over.exp ?? seconds + 60)
  if (over.nbf !== undefined) jwt.setNotBefore(over.nbf)
  return jwt.sign((over.key ?? pairs[alg]).privateKey)
}
const refusal = async (tokens: Tokens, token: string): Promise<{ code: string; message: string }> => {
  const error = await tokens.verify(token).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  return error as { code: string; message: string }
}

describe('a token', () => {
  it.each(algorithms)('signed by %s with a declared key says who somebody is', async (alg) => {
    const others = algorithms.filter((name) => name !== alg)
    const keys = [
      await exportSPKI(pairs[alg].publicKey),
      ...(await Promise.all(others.map((name) => exportJWK(pairs[name].publicKey)))),
    ]
    const verified = await verifier({ keys: keys as never }).verify(await sign(alg))
    expect(verified.principal).toEqual({
      kind: 'token',
      id: 'user-1',
      name: null,
      tenant: { kind: 'one', tenant: 'acme' },
      scopes: new Set(['query', 'ingest']),
      datasets: null,
    })
    // with the tolerance
    expect(verified.expiresAt).toBe(now + 90_000_000n)
  })

  it('is refused when it is of another issuer, for another service, too old or too new, or signed by somebody else', async () => {
    const tokens = verifier({ keys: [await exportSPKI(pairs.ES256.publicKey)] })
    const stranger = await generateKeyPair('ES256')
    const cases: readonly (readonly [string, RegExp])[] = [
      [await sign('ES256', claims, { iss: 'https://evil.example' }), /claim "iss"/],
      [await sign('ES256', claims, { aud: 'other' }), /claim "aud"/],
      [await sign('ES256', claims, { exp: seconds - 31 }), /has expired at 2026-04-30T23:59:29/],
      [await sign('ES256', claims, { nbf: seconds + 31 }), /claim "nbf"/],
      [await sign('ES256', { ...claims, sub: undefined }), /claim "sub"/],
      [await sign('ES256', claims, { key: stranger }), /not signed by a key/],
      [await sign('RS256'), /not signed by a key/],
      ['a.b.c', /not a signed JWT/],
    ]
    for (const [token, message] of cases) {
      const error = await refusal(tokens, token)
      expect(error).toMatchObject({ code: 'TM_UNAUTHORIZED', message: expect.stringMatching(message) })
      expect(error.message).not.toContain(token)
    }
    // the tolerance
    for (const over of [{ exp: seconds - 29 }, { nbf: seconds + 29 }])
      await expect(tokens.verify(await sign('ES256', claims, over))).resolves.toBeDefined()
  })

  it('is refused without a signature, and with a symmetric one made of the public key', async () => {
    const spki = await exportSPKI(pairs.RS256.publicKey)
    const tokens = verifier({ keys: [spki] })
    const none = new UnsecuredJWT(claims)
      .setIssuer(issuer)
      .setAudience(audience)
      .setExpirationTime(seconds + 60)
      .encode()
    const symmetric = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(issuer)
      .setAudience(audience)
      .setExpirationTime(seconds + 60)
      .sign(new TextEncoder().encode(spki))
    for (const token of [none, symmetric])
      expect(await refusal(tokens, token)).toMatchObject({ code: 'TM_UNAUTHORIZED' })
  })

  it('is of no tenant, of one, or of all, as its claims say; what is no list of texts is refused', async () => {
    const key = await exportSPKI(pairs.EdDSA.publicKey)
    const principal = async (payload: object, jwt: Partial<JwtOptions> = {}) =>
      (await verifier({ keys: [key], ...jwt }).verify(await sign('EdDSA', { sub: 'u', ...payload })))
        .principal
    expect((await principal({})).tenant).toEqual({ kind: 'none' })
    expect((await principal({ tenant: '' })).tenant).toEqual({ kind: 'none' })
    expect((await principal({ tenant: 42 })).tenant).toEqual({ kind: 'one', tenant: '42' })
    expect((await principal({ tenant: '*' })).tenant).toEqual({ kind: 'one', tenant: '*' })
    expect((await principal({ tenant: '*' }, { allTenants: '*' })).tenant).toEqual({ kind: 'all' })
    expect((await principal({}, { allTenants: '*' })).tenant).toEqual({ kind: 'none' })
    expect((await principal({}, { allTenants: true })).tenant).toEqual({ kind: 'all' })
    const mapped = await principal(
      {
        'https://example.org/org': 'globex',
        app: { roles: ['tidemark:query', 'admin'] },
        sets: 'metrics.cpu metrics.mem',
      },
      {
        claims: { tenant: 'https://example.org/org', scopes: 'app.roles', datasets: 'sets' },
        scopePrefix: 'tidemark:',
      },
    )
    expect(mapped).toMatchObject({
      tenant: { kind: 'one', tenant: 'globex' },
      scopes: new Set(['query']),
      datasets: new Set(['metrics.cpu', 'metrics.mem']),
    })
    for (const payload of [
      { tenant: { a: 1 } },
      { tenant: ['a'] },
      { scope: [1] },
      { scope: {} },
      { sub: 'a\nb' },
    ])
      await expect(principal(payload)).rejects.toMatchObject({ code: 'TM_UNAUTHORIZED' })
  })
})

describe('keys that an issuer publishes', () => {
  let server: Server
  let url: string
  let published: JWK[] = []
  let fetched = 0
  let isDown = false
  beforeAll(async () => {
    server = createServer((_request, response) => {
      fetched += 1
      response.statusCode = isDown ? 503 : 200
      response.end(JSON.stringify({ keys: published }))
    })
    await new Promise<void>((done) => void server.listen(0, '127.0.0.1', done))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
  })
  afterAll(() => new Promise((done) => void server.close(done)))
  const publish = async (...entries: (readonly [string, Pair])[]) => {
    published = await Promise.all(
      entries.map(async ([kid, pair]) => ({ ...(await exportJWK(pair.publicKey)), kid, use: 'sig' })),
    )
  }

  it('are fetched once, again for a key that is new, and kept while the issuer is away', async () => {
    const next = await generateKeyPair('ES256')
    await publish(['one', pairs.ES256])
    const tokens = verifier({ jwksUrl: url })
    const one = await sign('ES256', claims, { kid: 'one' })
    const two = await sign('ES256', claims, { kid: 'two', key: next })
    await Promise.all([tokens.verify(one), tokens.verify(one)])
    await tokens.verify(one)
    expect(fetched).toBe(1)
    // a key that nobody knows does not make the issuer be asked each time
    expect(await refusal(tokens, two)).toMatchObject({ code: 'TM_UNAUTHORIZED' })
    expect(fetched).toBe(1)
    await publish(['one', pairs.ES256], ['two', next])
    nowMs += 31_000
    await tokens.verify(two)
    await tokens.verify(one)
    expect(fetched).toBe(2)
    isDown = true
    nowMs += 3_600_000
    await tokens.verify(one)
    expect(fetched).toBe(3)
    // one that was taken back is forgotten
    isDown = false
    await publish(['two', next])
    nowMs += 3_600_000
    expect(await refusal(tokens, one)).toMatchObject({ code: 'TM_UNAUTHORIZED' })
    await tokens.verify(two)
  })

  it('that cannot be had are said to be the reason, and no token is taken', async () => {
    isDown = true
    const error = await refusal(verifier({ jwksUrl: `${url}?secret=1` }), await sign('ES256'))
    expect(error).toMatchObject({ code: 'TM_TOKEN_KEYS', message: expect.stringContaining('answered 503') })
    expect(error.message).not.toContain('secret')
    isDown = false
  })

  it('without an id are tried one after the other', async () => {
    const other = await generateKeyPair('ES256')
    published = await Promise.all([other, pairs.ES256].map(({ publicKey }) => exportJWK(publicKey)))
    await expect(verifier({ jwksUrl: url }).verify(await sign('ES256'))).resolves.toBeDefined()
    const stranger = await generateKeyPair('ES256')
    expect(
      await refusal(verifier({ jwksUrl: url }), await sign('ES256', claims, { key: stranger })),
    ).toMatchObject({
      code: 'TM_UNAUTHORIZED',
    })
  })
})

describe('a declared key', () => {
  it('that is private, symmetric, too short or of another kind is refused, and not shown', async () => {
    const secret = await exportJWK(pairs.ES256.privateKey)
    const cases: readonly (readonly [unknown, RegExp])[] = [
      [secret, /private key/],
      [{ kty: 'oct', k: 'c2VjcmV0' }, /symmetric/],
      ['-----BEGIN PRIVATE KEY-----\nAAAA', /private key/],
      ['hello', /no public key/],
      [{ kty: 'x' }, /no JWK/],
      ['-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', /no public key/],
      [await exportSPKI((await generateKeyPair('ES384')).publicKey), /none of RSA/],
    ]
    for (const [key, message] of cases) {
      let error: { code: string; message: string } | null = null
      try {
        verifier({ keys: [key as string] })
      } catch (thrown) {
        error = thrown as { code: string; message: string }
      }
      expect(error).toMatchObject({ code: 'TM_CONFIG', message: expect.stringMatching(message) })
      expect(error?.message).not.toContain(String(secret.d))
    }
  })
})
