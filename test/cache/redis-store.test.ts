import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { RedisLink, RedisRefused } from '../../src/cache/redis-link.ts'
import { redisScripts } from '../../src/cache/redis-scripts.ts'
import { RedisStore } from '../../src/cache/redis-store.ts'
import { newEpoch } from '../../src/cache/tag-state.ts'
import { afterFile } from '../helpers/after-file.ts'
import { startRedis, type TestRedis, whyNoRedis } from '../helpers/redis.ts'
import { changed, describeCacheStore, entry, keyOf } from '../suites/cache-store.ts'

let redis: TestRedis
let link: RedisLink
let stores = 0

describe('Redis', () => {
  beforeEach(({ skip }) => skip(whyNoRedis !== null, whyNoRedis ?? ''))
  beforeAll(async () => {
    if (whyNoRedis !== null) return
    redis = await startRedis()
    link = await openLink(redis.url)
  })

  describeCacheStore('answers in Redis', async () => ({
    store: await openStore(link),
    pass: (ms) => sleep(ms),
  }))

  it('holds so many bytes of one tenant, and nothing of another is lost for it', async () => {
    const store = await openStore(link, { tenantBytes: 100_000 })
    const other = keyOf('q', 'other')
    await store.write(other, (await store.read(other)).ticket, entry('kept'))
    const keys = Array.from({ length: 30 }, (_, i) => keyOf(i, 'loud'))
    for (const [i, key] of keys.entries()) {
      const body = Array.from({ length: 2200 }, (_, j) =>
        String.fromCharCode(33 + ((i * 31 + j * j * 17) % 90)),
      ).join('')
      await store.write(key, (await store.read(key)).ticket, { ...entry(body.repeat(3)), lifeMs: 60_000 + i })
    }
    const held = await Promise.all(keys.map(async (key) => (await store.read(key)).kept !== null))
    const count = held.filter(Boolean).length
    expect(count).toBeGreaterThan(5)
    expect(count).toBeLessThanOrEqual(30)
    // those that end last
    expect(held.slice(30 - count).every(Boolean)).toBe(true)
    expect((await store.read(other)).kept?.body.toString()).toBe('kept')
  })

  it('a value that is too large is not kept, and its lock is given back', async () => {
    const store = await openStore(link, { maxValueBytes: 1000 })
    const key = keyOf('large')
    const { ticket } = await store.read(key)
    const lock = await store.lock(key)
    expect(await store.lock(key)).toBeNull()
    const noise = Array.from({ length: 4000 }, () => Math.random().toString(36).slice(2)).join('')
    expect(await store.write(key, ticket, entry(noise), lock)).toBe(false)
    expect(await store.lock(key)).not.toBeNull()
  })

  it('a lock is released by who has it, or when its time is over', async () => {
    const store = await openStore(link, { lockMs: 300 })
    const key = keyOf('locked')
    const first = await store.lock(key)
    await store.unlock(key, 'of somebody else')
    expect(await store.lock(key)).toBeNull()
    await store.write(key, (await store.read(key)).ticket, entry('a'), first)
    const second = await store.lock(key)
    expect(second).not.toBeNull()
    await expect.poll(() => store.lock(key)).not.toBeNull()
  })

  it('a large value lies there compressed', async () => {
    const store = await openStore(link)
    const key = keyOf('compressed')
    await store.write(key, (await store.read(key)).ticket, entry('{"n":1},'.repeat(50_000)))
    const [name] = (await keysOf(redis)).filter((text) => text.includes(key.name) && text.includes(':e:'))
    expect(Number((await redis.ask('STRLEN', name!)).slice(1))).toBeLessThan(20_000)
  })

  it('what is no entry is none: cut off, overwritten, not inflatable', async () => {
    const store = await openStore(link)
    const key = keyOf('damaged')
    const noise = Array.from({ length: 4000 }, () => Math.random().toString(36).slice(2)).join('')
    await store.write(key, (await store.read(key)).ticket, entry(noise))
    const [name] = (await keysOf(redis)).filter((text) => text.includes(key.name) && text.includes(':e:'))
    await redis.ask('SETRANGE', name!, '600', '\u0000'.repeat(200))
    expect((await store.read(key)).kept).toBeNull()
    for (const value of ['', 'abc', 'abcdefghijkl', '\u0002\u0000\u0000\u0000{}']) {
      await redis.ask('SET', name!, value, 'EX', '60')
      expect((await store.read(key)).kept).toBeNull()
    }
  })

  it('a tag that Redis has thrown out makes wrong what hangs on it', async () => {
    const store = await openStore(link)
    const key = keyOf('evicted', 'x')
    const { ticket } = await store.read(key)
    await store.write(key, ticket, entry('a'))
    for (const name of await keysOf(redis)) if (name.includes(':t:')) await redis.ask('DEL', name)
    await store.change(changed('app.a', 'x'))
    expect((await store.read(key)).kept).toBeNull()
    await store.write(key, ticket, entry('b'))
    expect((await store.read(key)).kept).toBeNull()
  })

  it('every key ends by itself', async () => {
    // -1: it lives for ever; -2: it has just ended
    for (const name of await keysOf(redis)) expect(await redis.ask('PTTL', name), name).not.toBe(':-1')
  })

  it('scripts that Redis has forgotten are sent again', async () => {
    const store = await openStore(link)
    await redis.ask('SCRIPT', 'FLUSH')
    await store.write(keyOf('again'), (await store.read(keyOf('again'))).ticket, entry('a'))
    expect((await store.read(keyOf('again'))).kept?.body.toString()).toBe('a')
  })

  it('a Redis that is full refuses what is new, and is told of changes all the same', async () => {
    const full = await startRedis(['--maxmemory-policy', 'noeviction'])
    const store = await openStore(await openLink(full.url))
    const key = keyOf('q')
    await store.write(key, (await store.read(key)).ticket, entry('a'))
    await full.ask('CONFIG', 'SET', 'maxmemory', '500kb')
    await expect(store.write(key, (await store.read(key)).ticket, entry('b'))).rejects.toThrow(RedisRefused)
    expect((await store.read(key)).kept?.body.toString()).toBe('a')
    await store.change(changed('app.a'))
    await full.ask('CONFIG', 'SET', 'maxmemory', '0')
    expect((await store.read(key)).kept).toBeNull()
  })
})

async function openLink(url: string): Promise<RedisLink> {
  const opened = await RedisLink.open({
    url,
    timeoutMs: 5000,
    scripts: redisScripts,
    onConnected: async () => {},
  })
  afterFile(() => opened.close())
  for (let tries = 0; !opened.isUp && tries < 1000; tries++) await sleep(10)
  if (!opened.isUp) throw new Error('Redis was not reached')
  return opened
}

async function openStore(
  on: RedisLink,
  more: Partial<ConstructorParameters<typeof RedisStore>[0]> = {},
): Promise<RedisStore> {
  const store = new RedisStore({
    link: on,
    identity: `test ${stores++}`,
    tenantBytes: 10_000_000,
    maxValueBytes: 1_000_000,
    tagLifeMs: 120_000,
    lockMs: 10_000,
    eraMs: 60_000,
    ...more,
  })
  await store.begin(newEpoch(), (await store.look(false)).nowMs, false)
  return store
}

async function keysOf(server: TestRedis): Promise<string[]> {
  const reply = await server.ask('KEYS', '*')
  return reply.split('\r\n').filter((line) => line.startsWith('tm:'))
}
