import { describe, expect, it } from 'vitest'
import { isRetryable, retry, retryableStates } from '../../src/postgres/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

function databaseError(sqlstate: string): TidemarkError {
  return new TidemarkError('TM_DATABASE', { sqlstate, problem: 'x' })
}

async function waitsOf(options: {
  tries?: number
  random?: () => number
  maxMs?: number
  baseMs?: number
}): Promise<number[]> {
  const waits: number[] = []
  const sleep = async (ms: number) => {
    waits.push(ms)
  }
  await retry({ what: 'x', random: () => 1, sleep, ...options }, async () => {
    throw databaseError('40001')
  }).catch(() => {})
  return waits
}

describe('retry', () => {
  it('tries again after a conflict and gives what succeeds', async () => {
    const seen: number[] = []
    const result = await retry({ what: 'x', sleep: async () => {} }, async (n) => {
      seen.push(n)
      if (n < 3) throw databaseError('40P01')
      return 'done'
    })
    expect(result).toBe('done')
    expect(seen).toEqual([1, 2, 3])
  })

  it('ends with TM_BUSY that holds the last error', async () => {
    const last = databaseError('55P03')
    const call = retry({ what: 'attaching a chunk', tries: 2, sleep: async () => {} }, async () => {
      throw last
    })
    await expect(call).rejects.toMatchObject({
      code: 'TM_BUSY',
      params: { what: 'attaching a chunk', tries: 2 },
      cause: last,
    })
  })

  it('ends with TM_READ_ONLY where the server does not become the primary', async () => {
    const call = retry({ what: 'an insert', tries: 2, sleep: async () => {} }, async () => {
      throw databaseError('25006')
    })
    await expect(call).rejects.toMatchObject({ code: 'TM_READ_ONLY', params: { what: 'an insert' } })
  })

  it('waits twice as long each time, up to maxMs', async () => {
    expect(await waitsOf({ tries: 6, baseMs: 50, maxMs: 300 })).toEqual([50, 100, 200, 300, 300])
  })

  it('waits a random part of that, so that those who collided part', async () => {
    expect(await waitsOf({ tries: 3, baseMs: 50, random: () => 0.5 })).toEqual([25, 50])
  })

  it('throws at once what another try cannot help', async () => {
    const refused = new TidemarkError('TM_DUPLICATE_KEY', { table: 't', detail: 'd' })
    let calls = 0
    const call = retry({ what: 'x', sleep: async () => {} }, async () => {
      calls += 1
      throw refused
    })
    await expect(call).rejects.toBe(refused)
    expect(calls).toBe(1)
  })

  it('ends when its signal aborts, also in the middle of a wait', async () => {
    const abort = new AbortController()
    const call = retry(
      { what: 'x', baseMs: 60_000, maxMs: 60_000, random: () => 1, signal: abort.signal },
      async () => {
        setTimeout(() => abort.abort(), 5)
        throw databaseError('40001')
      },
    )
    await expect(call).rejects.toMatchObject({ code: 'TM_CANCELLED' })
  })
})

describe('what is worth another try', () => {
  it.each(Object.keys(retryableStates))('SQLSTATE %s is', (state) => {
    expect(isRetryable(databaseError(state))).toBe(true)
    expect(isRetryable(new Error('wrapped', { cause: databaseError(state) }))).toBe(true)
  })

  it('a connection that could not be made is', () => {
    expect(isRetryable(new TidemarkError('TM_CONNECT', { target: 'x', problem: 'y' }))).toBe(true)
    expect(isRetryable(Object.assign(new Error('x'), { code: 'ECONNREFUSED' }))).toBe(true)
  })

  it.each(['40002', '40003', '08007', '23505', '42P01', '57014', '28P01', '3D000'])(
    'SQLSTATE %s is not',
    (state) => {
      expect(isRetryable(databaseError(state))).toBe(false)
    },
  )

  it('a commit whose outcome is unknown is not, nor any other error', () => {
    const cause = databaseError('08006')
    expect(isRetryable(new TidemarkError('TM_COMMIT_UNKNOWN', { target: 'x' }, { cause }))).toBe(false)
    expect(isRetryable(new Error('x'))).toBe(false)
    expect(isRetryable('x')).toBe(false)
  })
})
