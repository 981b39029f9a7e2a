import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Authenticator, TokenBuckets, withoutSecrets } from '../../src/access/index.ts'
import { hashOf, keyText, newKeyId, newSecret, parseKeyText } from '../../src/access/secret.ts'
import type { Database } from '../../src/postgres/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

describe('a secret', () => {
  it('is 43 letters and digits of 256 random bits, and a key is read as it was written', () => {
    const seen = new Set<string>()
    for (let i = 0; i < 500; i++) {
      const [id, secret] = [newKeyId(), newSecret()]
      expect(secret).toMatch(/^[0-9A-Za-z]{43}$/)
      expect(parseKeyText(keyText(id, secret))).toEqual({ id, secret })
      seen.add(id).add(secret)
    }
    expect(seen.size).toBe(1000)
    for (const text of [
      '',
      'tm_',
      `tm_${'a'.repeat(12)}_${'b'.repeat(42)}`,
      `tm_${'a'.repeat(12)}_${'-'.repeat(43)}`,
    ])
      expect(parseKeyText(text)).toBeNull()
  })

  it('is taken out of whatever is logged, and the id of its key is left', () => {
    const id = newKeyId()
    const secret = newSecret()
    for (const text of [
      `Bearer ${keyText(id, secret)}`,
      `/write?u=a&p=${secret}&db=x`,
      `/stream?ticket=${secret}`,
      `/api/v1/analytics?key=${encodeURIComponent(keyText(id, secret))}#x`,
      `{"key":"${keyText(id, secret)}"}`,
    ])
      expect(withoutSecrets(text)).not.toContain(secret)
    expect(withoutSecrets(keyText(id, secret))).toContain(id)
    const token = `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.${'s'.repeat(86)}`
    expect(withoutSecrets(`jwt ${token} end`)).toBe('jwt [token] end')
    expect(withoutSecrets('/api/v1/query?from=-1 day')).toBe('/api/v1/query?from=-1 day')
  })
})

describe('what is remembered of keys', () => {
  const clock = fixedClock(parseInstant('2026-05-01T00:00:00Z'))
  const [id, secret] = [newKeyId(), newSecret()]
  const row = ['name', 'all', null, ['query'], null, null, false, hashOf(secret), null]
  const credential = { kind: 'bearer', text: keyText(id, secret) } as const
  const away = new TidemarkError('TM_CONNECT', { target: 'x', problem: 'gone' })

  function authenticatorOver(answer: () => Promise<unknown[][]>) {
    let asked = 0
    let nowMs = 0
    const db = {
      query: async () => {
        asked += 1
        const rows = await answer()
        return { rows, columns: [], rowCount: rows.length }
      },
    } as unknown as Database
    const authenticator = new Authenticator(
      db,
      clock,
      { keys: true, jwt: null, sessionMs: 1 },
      { nowMs: () => nowMs },
    )
    return {
      authenticator,
      asked: () => asked,
      pass: (ms: number) => {
        nowMs += ms
      },
    }
  }

  it('serves everybody who comes at once, and for three seconds', async () => {
    const { authenticator, asked, pass } = authenticatorOver(async () => [row])
    expect(authenticator.known(credential)).toBeNull()
    await Promise.all([1, 2, 3].map(() => authenticator.verify(credential)))
    expect(authenticator.known(credential)?.principal.id).toBe(id)
    pass(2999)
    await authenticator.verify(credential)
    expect(asked()).toBe(1)
    pass(1)
    expect(authenticator.known(credential)).toBeNull()
    await authenticator.verify(credential)
    expect(asked()).toBe(2)
    authenticator.forget(id)
    await authenticator.verify(credential)
    expect(asked()).toBe(3)
  })

  it('goes on for an hour while the database is away; what was never good is not let in', async () => {
    let isAway = false
    const { authenticator, pass } = authenticatorOver(async () => {
      if (isAway) throw away
      return [row]
    })
    await authenticator.verify(credential)
    isAway = true
    pass(10_000)
    await expect(authenticator.verify(credential)).resolves.toBeDefined()
    const unknown = { kind: 'bearer', text: keyText(newKeyId(), secret) } as const
    await expect(authenticator.verify(unknown)).rejects.toMatchObject({ code: 'TM_CONNECT' })
    const wrong = { kind: 'bearer', text: keyText(id, newSecret()) } as const
    await expect(authenticator.verify(wrong)).rejects.toMatchObject({ code: 'TM_UNAUTHORIZED' })
    pass(3_600_000)
    await expect(authenticator.verify(credential)).rejects.toMatchObject({ code: 'TM_CONNECT' })
    isAway = false
    await expect(authenticator.verify(credential)).resolves.toBeDefined()
  })

  it('keeps browsers signed in, too, while the database is away', async () => {
    const session = newSecret()
    const principal = {
      kind: 'key',
      id,
      name: null,
      tenant: { kind: 'all' },
      scopes: ['query'],
      datasets: null,
    }
    const ends = clock.now() + 86_400_000_000n
    let isAway = false
    let isSession = true
    const { authenticator, pass } = authenticatorOver(async () => {
      if (isAway) throw away
      const answer = isSession ? [principal, id, ends, null] : row
      isSession = !isSession
      return [answer]
    })
    const cookie = { kind: 'session', text: session } as const
    expect((await authenticator.verify(cookie)).principal).toMatchObject({ kind: 'session', id })
    isAway = true
    for (let i = 0; i < 5; i++) {
      pass(10_000)
      expect((await authenticator.verify(cookie)).principal.id).toBe(id)
    }
  })

  it('that was read before a change is not kept after it', async () => {
    const answers: ((rows: unknown[][]) => void)[] = []
    const { authenticator } = authenticatorOver(() => new Promise((resolve) => answers.push(resolve)))
    const early = authenticator.verify(credential)
    authenticator.forget(id)
    answers[0]?.([row])
    await early
    const late = authenticator.verify(credential)
    answers[1]?.([[...row.slice(0, 6), true, ...row.slice(7)]])
    await expect(late).rejects.toMatchObject({ message: expect.stringContaining('was revoked') })
  })
})

describe('a token bucket', () => {
  it('lets through what a count of the same says: never more than burst and rate', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.integer({ min: 1, max: 30 }),
        fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 1, maxLength: 200 }),
        (requests, burst, waits) => {
          let nowMs = 0
          const buckets = new TokenBuckets(() => nowMs)
          const rule = { requests, perMs: 1000, burst }
          let held = burst
          for (const wait of waits) {
            nowMs += wait
            held = Math.min(burst, held + (wait * requests) / 1000)
            const { isAllowed, retryAfterMs } = buckets.take('a', rule)
            if (Math.abs(held - Math.round(held)) > 1e-6) expect(isAllowed).toBe(held >= 1)
            if (isAllowed) held -= 1
            else {
              expect(retryAfterMs).toBeGreaterThan(0)
              const later = new TokenBuckets(() => nowMs)
              expect(later.take('a', rule).isAllowed).toBe(true)
            }
          }
          nowMs += buckets.take('a', rule, 0).retryAfterMs + 1e-3
          expect(buckets.take('a', rule).isAllowed).toBe(true)
        },
      ),
      { numRuns: 100 },
    )
  })
})
