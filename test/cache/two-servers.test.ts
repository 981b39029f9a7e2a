import { setTimeout as sleep } from 'node:timers/promises'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { type AnswerCache, type CachedOptions, openCache } from '../../src/cache/index.ts'
import { cacheConfigDefaults, redisCacheDefaults } from '../../src/schema/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import { HandFeed, HandLog } from '../helpers/hand-feed.ts'
import { startRedis, type TestRedis, whyNoRedis } from '../helpers/redis.ts'

const all: CachedOptions = { scope: { kind: 'all' }, datasets: ['app.a'] }
/** Short, so that the tests are; in earnest ten seconds. */
const shortEraMs = 1500

let redis: TestRedis
let identities = 0

/** The database: what is committed is in the log; a server asks for it by `state`. */
interface World {
  readonly log: HandLog
  readonly url: string
  readonly identity: string
}

interface Server {
  readonly cache: AnswerCache
  readonly feed: HandFeed
  /** The answer to a question about what the database has in it; and where it came from. */
  ask(question?: unknown): Promise<string>
  /** Commits a change, and waits as a writer does before it says so. */
  write(): Promise<void>
}

function world(more: { readonly url?: string } = {}): World {
  return { log: new HandLog(), url: more.url ?? redis.url, identity: `two ${identities++}` }
}

async function join(
  { log, url, identity }: World,
  {
    timeoutMs = 2000,
    eraMs = shortEraMs,
    layers = cacheConfigDefaults.layers,
    now = undefined as (() => number) | undefined,
  } = {},
): Promise<Server> {
  const feed = new HandFeed(log)
  const cache = await openCache({
    config: { memoryBytes: 0, redis: { ...redisCacheDefaults, url, timeoutMs }, layers },
    feed,
    identity,
    eraMs,
    ...(now ? { now } : {}),
  })
  afterFile(() => cache.close())
  return {
    cache,
    feed,
    ask: async (question = 'q') => {
      const body = (): string => String(log.changes.length)
      const answer = await cache.cached('dashboard', question, all, async () => ({ body: body() }))
      return `${answer.body} ${answer.store ?? 'computed'}`
    },
    write: async () => {
      log.commit('app.a')
      await cache.settled()
    },
  }
}

const shares = (server: Server) => expect.poll(() => server.cache.counts().redis?.isShared).toBe(true)

describe('servers that share Redis', () => {
  beforeEach(async ({ skip }) => {
    skip(whyNoRedis !== null, whyNoRedis ?? '')
    redis ??= await startRedis()
  })

  it('answer from what another one has computed, of any age that is right', async () => {
    const w = world()
    const x = await join(w)
    await shares(x)
    expect(await x.ask()).toBe('0 computed')
    // a clock that is wrong by an hour changes nothing: ages are those of Redis
    const dateNow = vi
      .spyOn(Date, 'now')
      .mockImplementation(() => performance.timeOrigin + performance.now() + 3_600_000)
    try {
      const y = await join(w, { now: () => performance.now() + 7_200_000 })
      await shares(y)
      await expect
        .poll(async () => (await redis.ask('KEYS', `*${w.identity}*:e:*`)).startsWith('*1'))
        .toBe(true)
      const found = await y.cache.cached('dashboard', 'q', all, async () => ({ body: 'never' }))
      expect(found).toMatchObject({ outcome: 'hit', store: 'redis' })
      expect(found.ageMs).toBeLessThan(60_000)
      expect(await y.ask()).toBe('0 memory')
    } finally {
      dateNow.mockRestore()
    }
  })

  it('give out what may become so old no longer, also a copy of it', async () => {
    const w = world()
    let clock = 0
    const x = await join(w)
    const y = await join(w, { now: () => performance.now() + clock })
    await shares(x)
    await shares(y)
    const load = (body: string) => async () => ({ body, maxAgeMs: 60_000 })
    await x.cache.cached('dashboard', 'brief', all, load('of x'))
    const ask = async () => {
      const { body, store } = await y.cache.cached('dashboard', 'brief', all, load('of y'))
      return `${body} ${store}`
    }
    await expect.poll(ask).toBe('of x redis')
    expect(await ask()).toBe('of x memory')
    // of its own copy; that of Redis ends by the clock of Redis
    clock += 60_001
    expect(await ask()).toBe('of x redis')
    const left = `return redis.call('pttl', redis.call('keys', '*${w.identity}*:e:dashboard:*')[1])`
    const leftMs = Number((await redis.ask('EVAL', left, '0')).slice(1))
    expect(leftMs).toBeGreaterThan(0)
    expect(leftMs).toBeLessThanOrEqual(60_000)
  })

  it('compute what is asked of both at once in one of them', async () => {
    const w = world()
    const [x, y] = [await join(w), await join(w)]
    await shares(x)
    await shares(y)
    let computed = 0
    const load = async () => {
      computed += 1
      await sleep(150)
      return { body: 'once' }
    }
    const answers = await Promise.all(
      [x, y, x, y, x, y].map(({ cache }) => cache.cached('dashboard', 'both', all, load)),
    )
    expect(answers.map(({ body }) => String(body))).toEqual(Array(6).fill('once'))
    expect(computed).toBe(1)
  })

  it('wait for one that computes as long as is bounded, and not when it keeps nothing', async () => {
    const w = world()
    const [x, y] = [await join(w), await join(w)]
    await shares(x)
    await shares(y)
    let release: () => void = () => {}
    const hanging = x.cache.cached('dashboard', 'hang', all, async () => {
      await new Promise<void>((resolve) => {
        release = resolve
      })
      return null
    })
    await expect.poll(async () => await redis.ask('KEYS', `*${w.identity}*:l:*`)).toMatch(/^\*1/)
    const started = performance.now()
    const waited = y.cache.cached('dashboard', 'hang', all, async () => ({ body: 'y' }))
    await sleep(200)
    release()
    expect((await hanging).body).toBeNull()
    expect(String((await waited).body)).toBe('y')
    expect(performance.now() - started).toBeLessThan(2500)
  })

  it('never give out what is older than an acknowledged write of theirs', async () => {
    const w = world()
    const [x, y] = [await join(w), await join(w)]
    await shares(x)
    await shares(y)
    await x.ask()
    await expect.poll(() => y.ask()).toMatch(/redis|memory/)
    await y.write()
    expect(await y.ask()).toBe('1 computed')
    // x has not been told yet; when it has, it takes what y has computed
    expect(await x.ask()).toBe('0 memory')
    x.feed.look()
    await expect.poll(() => x.ask()).toMatch(/^1 (redis|memory)/)
  })

  it('do not give out what a slow one has computed before a write and kept after it', async () => {
    const w = world()
    const [x, y] = [await join(w), await join(w)]
    await shares(x)
    await shares(y)
    let end: () => void = () => {}
    const slow = y.cache.cached('dashboard', 'q', all, async () => {
      const body = String(w.log.changes.length)
      await new Promise<void>((resolve) => {
        end = resolve
      })
      return { body }
    })
    await expect.poll(async () => await redis.ask('KEYS', `*${w.identity}*:l:*`)).toMatch(/^\*1/)
    await x.write()
    // its feed has told it nothing of it
    end()
    expect(String((await slow).body)).toBe('0')
    await expect.poll(async () => await redis.ask('KEYS', `*${w.identity}*:e:*`)).toMatch(/^\*1/)
    expect(await x.ask()).toBe('1 computed')
  })

  it('tell Redis of what a writer who died had not told', async () => {
    const w = world()
    const [x, y] = [await join(w), await join(w)]
    await shares(x)
    await shares(y)
    await x.ask()
    await expect.poll(() => y.ask()).toMatch(/redis|memory/)
    // committed, and the process is gone
    w.log.commit('app.a')
    await x.cache.close()
    const z = await join(w)
    await shares(z)
    // z began after the commit, and shares only since y has vouched, which tells of it first
    expect(await z.ask()).not.toMatch(/^0/)
    expect(await y.ask()).not.toMatch(/^0/)
  })

  it('do not trust what lay there while nobody looked', async () => {
    const w = world()
    const x = await join(w)
    await shares(x)
    await x.ask()
    await expect.poll(async () => await redis.ask('KEYS', `*${w.identity}*:e:*`)).toMatch(/^\*1/)
    await x.cache.close()
    w.log.commit('app.a')
    const y = await join(w)
    // before it shares, and after
    expect(await y.ask('other')).toBe('1 computed')
    expect(await y.ask()).toBe('1 computed')
    await shares(y)
    expect(await (await join(w)).ask()).not.toMatch(/^0/)
  })

  it('begin a new era when one of them does not know what has changed', async () => {
    const w = world()
    const [x, y] = [await join(w), await join(w)]
    await shares(x)
    await shares(y)
    await x.ask()
    await expect.poll(() => y.ask()).toMatch(/redis|memory/)
    w.log.commit('app.a')
    x.feed.tell({ kind: 'reset', reason: 'test' })
    await x.cache.settled()
    expect(await x.ask('q')).toBe('1 computed')
    y.feed.look()
    await shares(y)
    await expect.poll(() => y.ask()).toMatch(/^1 (redis|memory)/)
  })
})

describe('Redis that hangs, dies, or comes back with what it had saved', () => {
  beforeEach(({ skip }) => skip(whyNoRedis !== null, whyNoRedis ?? ''))

  it('costs a caller one bound, the others nothing, and nobody an error; then it is used again', async () => {
    const own = await startRedis()
    const w = world({ url: own.url })
    const boundMs = 300
    const [x, y] = [await join(w, { timeoutMs: boundMs }), await join(w, { timeoutMs: boundMs })]
    await shares(x)
    await shares(y)
    await x.ask()
    await expect.poll(() => y.ask()).toMatch(/redis|memory/)
    own.pause()
    const took: number[] = []
    for (let i = 0; i < 5; i++) {
      const started = performance.now()
      expect(await x.ask(`new ${i}`)).toBe('0 computed')
      took.push(performance.now() - started)
    }
    // the bound, and what a busy machine adds
    expect(Math.max(...took)).toBeLessThan(boundMs + 1500)
    expect(took.filter((ms) => ms > boundMs * 0.9).length).toBeLessThanOrEqual(1)
    await x.write()
    expect(await x.ask()).toBe('1 computed')
    expect(x.cache.counts().redis).toMatchObject({ isUp: false, isShared: false })
    expect(x.cache.counts().redis?.pending).toBeGreaterThan(0)
    own.resume()
    await shares(x)
    expect(x.cache.counts().redis?.pending).toBe(0)
    expect(await x.ask()).toMatch(/^1/)
    y.feed.look()
    await shares(y)
    expect(await y.ask()).toMatch(/^1/)
    await expect
      .poll(async () => {
        await x.ask('again')
        return y.ask('again')
      })
      .toMatch(/redis|memory/)
  })

  it('gives out nothing of what it had saved before it died', async () => {
    const own = await startRedis()
    const w = world({ url: own.url })
    // it is back before the era is over that it had saved
    const x = await join(w, { eraMs: 10_000 })
    await shares(x)
    await x.ask()
    await expect.poll(async () => await own.ask('KEYS', '*:e:*')).toMatch(/^\*1/)
    expect(await own.ask('SAVE')).toBe('+OK')
    await x.write()
    await own.kill()
    expect(await x.ask('while it is gone')).toBe('1 computed')
    await own.start()
    // the entry, its tags and the era are there, from before the write
    expect(await own.ask('KEYS', '*:e:*')).toMatch(/^\*1/)
    expect(await own.ask('KEYS', '*:era')).toMatch(/^\*1/)
    await shares(x)
    expect(await x.ask()).toBe('1 computed')
    await expect.poll(async () => await own.ask('KEYS', '*:e:*')).toMatch(/^\*2/)
  })
})
