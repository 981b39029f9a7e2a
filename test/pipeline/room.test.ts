import { describe, expect, it } from 'vitest'
import { Room } from '../../src/pipeline/room.ts'

describe('room for what waits', () => {
  it('is lent in the order of asking, never more than there is', async () => {
    const room = new Room({ maxBytes: 10, maxWaitMs: 60_000 })
    const first = await room.take(6, null)
    const order: string[] = []
    const take = async (bytes: number, name: string) => {
      const release = await room.take(bytes, null)
      order.push(name)
      return release
    }
    const large = take(8, 'large')
    const small = take(2, 'small')
    expect(room.usedBytes).toBe(6)
    first()
    first()
    const releases = [await large, await small]
    expect(order).toEqual(['large', 'small'])
    expect(room.usedBytes).toBe(10)
    for (const release of releases) release()
    expect(room.usedBytes).toBe(0)
  })

  it('is given to a piece that is larger than all of it, alone', async () => {
    const room = new Room({ maxBytes: 10, maxWaitMs: 60_000 })
    const release = await room.take(1000, null)
    expect(room.usedBytes).toBe(10)
    let isIn = false
    const next = room.take(1, null).then((release) => {
      isIn = true
      return release
    })
    await Promise.resolve()
    expect(isIn).toBe(false)
    release()
    ;(await next)()
    expect(room.usedBytes).toBe(0)
  })

  it('says after how long to come again: what is ahead, as fast as room came back lately', async () => {
    let now = 0
    const room = new Room({ maxBytes: 10_000, maxWaitMs: 5, now: () => now })
    await expect(full(room)).resolves.toBe(60)
    const release = await room.take(4000, null)
    now += 5000
    release()
    await room.take(10_000, null)
    // 14,000 bytes came back in 5 s, and 12,000 are ahead
    await expect(room.take(2000, null)).rejects.toMatchObject({
      code: 'TM_OVERLOADED',
      status: 503,
      params: { retryAfterSeconds: 5 },
    })
  })

  it('is not taken by one who has gone, and those behind it go on', async () => {
    const room = new Room({ maxBytes: 10, maxWaitMs: 60_000 })
    const release = await room.take(5, null)
    const controller = new AbortController()
    const gone = room.take(10, controller.signal)
    const next = room.take(5, null)
    controller.abort()
    await expect(gone).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    ;(await next)()
    release()
    expect(room.usedBytes).toBe(0)
  })
})

async function full(room: Room): Promise<unknown> {
  const release = await room.take(10_000, null)
  try {
    await room.take(1, null)
    return null
  } catch (error) {
    return (error as { params: { retryAfterSeconds: number } }).params.retryAfterSeconds
  } finally {
    release()
  }
}
