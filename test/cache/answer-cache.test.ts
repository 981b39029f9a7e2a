import { describe, expect, it } from 'vitest'
import { type AnswerCache, type CachedOptions, openCache } from '../../src/cache/index.ts'
import { type CacheConfig, cacheConfigDefaults } from '../../src/schema/index.ts'
import { HandFeed, HandLog } from '../helpers/hand-feed.ts'

const all: CachedOptions = { scope: { kind: 'all' }, datasets: ['app.a'] }
const minute = 60_000

interface World {
  readonly cache: AnswerCache
  readonly log: HandLog
  readonly feed: HandFeed
  pass(ms: number): void
}

async function open(config: Partial<CacheConfig> = {}): Promise<World> {
  const log = new HandLog()
  const feed = new HandFeed(log)
  let now = 0
  const cache = await openCache({
    config: { ...cacheConfigDefaults, ...config },
    feed,
    identity: 'test',
    now: () => now,
  })
  return {
    cache,
    log,
    feed,
    pass: (ms) => {
      now += ms
    },
  }
}

/** A computation that ends when it is let. */
function held(): { load: () => Promise<{ body: string }>; give(body: string): Promise<void>; count: number } {
  const waiting: ((body: string) => void)[] = []
  const made = {
    count: 0,
    load: () => {
      made.count += 1
      return new Promise<{ body: string }>((resolve) => waiting.push((body) => resolve({ body })))
    },
    give: async (body: string) => {
      await expect.poll(() => waiting.length).toBeGreaterThan(0)
      waiting.shift()!(body)
    },
  }
  return made
}

async function ask(
  cache: AnswerCache,
  body: string,
  options = all,
  question: unknown = 'q',
): Promise<string> {
  const answer = await cache.cached('dashboard', question, options, async () => ({ body }))
  return `${answer.body} ${answer.outcome}`
}

describe('an answer', () => {
  it('is computed once, and given out until what it is made of changes', async () => {
    const { cache, log, feed } = await open()
    expect(await ask(cache, '1')).toBe('1 miss')
    expect(await ask(cache, '2')).toBe('1 hit')
    log.commit('app.b')
    feed.look()
    expect(await ask(cache, '3')).toBe('1 hit')
    log.commit('app.a', 'x')
    feed.look()
    expect(await ask(cache, '4')).toBe('4 miss')
    feed.tell({ kind: 'reset', reason: 'test' })
    expect(await ask(cache, '5')).toBe('5 miss')
    expect(cache.counts().layers.dashboard).toMatchObject({ memoryHits: 2, misses: 3, entries: 1 })
  })

  it('that says how old it may become is given out no longer, and never as a stale one', async () => {
    const { cache, pass } = await open()
    const brief = async (body: string, maxAgeMs: number) => {
      const answer = await cache.cached('dashboard', 'brief', all, async () => ({ body, maxAgeMs }))
      return `${answer.body} ${answer.outcome}`
    }
    expect(await brief('1', 10_000)).toBe('1 miss')
    pass(9_999)
    expect(await brief('2', 10_000)).toBe('1 hit')
    pass(1)
    expect(await brief('3', 3_600_000)).toBe('3 miss')
    // the layer's own bound holds all the same
    pass(11 * minute)
    expect(await brief('4', 3_600_000)).toBe('4 miss')
  })

  it('is of one question, one tenant, one restriction', async () => {
    const { cache } = await open()
    const asked: [CachedOptions, unknown][] = [
      [all, 'q'],
      [all, { q: 1 }],
      [{ ...all, scope: { kind: 'one', tenant: 'x' } }, 'q'],
      [{ ...all, scope: { kind: 'one', tenant: 'y' } }, 'q'],
      [{ ...all, scope: { kind: 'none' } }, 'q'],
      [{ ...all, restriction: new Set(['app.a']) }, 'q'],
      [{ ...all, restriction: new Set(['app.a', 'app.b']) }, 'q'],
      [{ ...all, datasets: ['app.a', 'app.b'] }, 'q'],
    ]
    for (const [i, [options, question]] of asked.entries())
      expect(await ask(cache, `${i}`, options, question)).toBe(`${i} miss`)
    for (const [i, [options, question]] of asked.entries())
      expect(await ask(cache, 'new', options, question)).toBe(`${i} hit`)
    expect(await ask(cache, 'x', all, { a: 1, b: 2 })).toBe('x miss')
    expect(await ask(cache, 'y', all, { b: 2, a: 1 })).toBe('x hit')
    expect((await cache.cached('lists', 'q', all, async () => ({ body: 'list' }))).outcome).toBe('miss')
  })

  it('past its ttl is given out while one caller computes it anew, unless it has changed', async () => {
    const { cache, log, feed, pass } = await open()
    await ask(cache, '1')
    pass(5 * minute + 1)
    const anew = held()
    const stale = await Promise.all([1, 2, 3].map(() => cache.cached('dashboard', 'q', all, anew.load)))
    expect(stale.map(({ body, outcome }) => `${body} ${outcome}`)).toEqual(Array(3).fill('1 stale'))
    expect(anew.count).toBe(1)
    await anew.give('2')
    await expect.poll(() => ask(cache, 'never')).toBe('2 hit')
    pass(5 * minute + 1)
    log.commit('app.a')
    feed.look()
    expect(await ask(cache, '3')).toBe('3 miss')
    // not for ever
    pass(10 * minute)
    expect(await ask(cache, '4')).toBe('4 miss')
  })

  it('that fails to be computed anew is given out until its time is over', async () => {
    const { cache, pass } = await open()
    await ask(cache, '1')
    pass(6 * minute)
    const fails = () => Promise.reject(new Error('no'))
    expect((await cache.cached('dashboard', 'q', all, fails)).outcome).toBe('stale')
    await expect.poll(() => cache.counts().layers.dashboard.errors).toBe(1)
    expect((await cache.cached('dashboard', 'q', all, fails)).outcome).toBe('stale')
    pass(4 * minute)
    await expect(cache.cached('dashboard', 'q', all, fails)).rejects.toThrow('no')
  })

  it('of reports is not given out past its ttl', async () => {
    const { cache, pass } = await open()
    const report = async () => (await cache.cached('reports', 'q', all, async () => ({ body: 'r' }))).outcome
    expect(await report()).toBe('miss')
    pass(23 * 60 * minute)
    expect(await report()).toBe('hit')
    pass(61 * minute)
    expect(await report()).toBe('miss')
  })

  it('that is nothing, an error, or must not be kept, is not kept', async () => {
    const { cache } = await open()
    expect((await cache.cached('dashboard', 'q', all, async () => null)).body).toBeNull()
    await expect(cache.cached('dashboard', 'q', all, () => Promise.reject(new Error('no')))).rejects.toThrow(
      'no',
    )
    await cache.cached('dashboard', 'q', all, async () => ({ body: 'x', mayKeep: false }))
    expect(await ask(cache, '1')).toBe('1 miss')
  })

  it('is changed only by what meets its ranges', async () => {
    const { cache, log, feed } = await open()
    const day = 86_400_000_000n
    const load = async () => ({ body: 'a', ranges: [{ from: day, to: 2n * day }] })
    const outcome = async () => (await cache.cached('dashboard', 'q', all, load)).outcome
    await outcome()
    log.commit('app.a', 'x', { from: 2n * day, to: 3n * day })
    feed.look()
    expect(await outcome()).toBe('hit')
    log.commit('app.a', 'x', { from: 0n, to: day + 1n })
    feed.look()
    expect(await outcome()).toBe('miss')
  })
})

describe('callers who ask the same at once', () => {
  it('are answered by one computation, also when it fails', async () => {
    const { cache } = await open()
    const one = held()
    const answers = Array.from({ length: 50 }, () => cache.cached('dashboard', 'q', all, one.load))
    await one.give('1')
    expect(new Set((await Promise.all(answers)).map(({ body }) => `${body}`))).toEqual(new Set(['1']))
    expect(one.count).toBe(1)
    let fails = 0
    const failing = Array.from({ length: 5 }, () =>
      cache.cached('dashboard', 'r', all, async () => {
        fails += 1
        throw new Error('no')
      }),
    )
    expect((await Promise.allSettled(failing)).every(({ status }) => status === 'rejected')).toBe(true)
    expect(fails).toBe(1)
  })

  it('after a change are not answered by a computation that began before it, and what that gives is not kept', async () => {
    const { cache, log } = await open()
    const slow = held()
    const before = cache.cached('dashboard', 'q', all, slow.load)
    log.commit('app.a')
    await cache.settled()
    const after = cache.cached('dashboard', 'q', all, slow.load)
    await expect.poll(() => slow.count).toBe(2)
    await slow.give('old')
    await slow.give('new')
    expect(`${(await before).body} ${(await after).body}`).toBe('old new')
    expect(await ask(cache, 'never')).toBe('new hit')
    expect(cache.counts().layers.dashboard.notHeld).toBe(1)
  })

  it('may go; the computation goes on for those who stay, and is given up when nobody does', async () => {
    const { cache } = await open()
    let given: AbortSignal | null = null
    const never = (signal: AbortSignal): Promise<never> => {
      given = signal
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    const [a, b] = [new AbortController(), new AbortController()]
    const first = cache.cached('dashboard', 'q', { ...all, signal: a.signal }, never)
    const second = cache.cached('dashboard', 'q', { ...all, signal: b.signal }, never)
    a.abort()
    await expect(first).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    expect(given!.aborted).toBe(false)
    b.abort()
    await expect(second).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    expect(given!.aborted).toBe(true)
    expect(await ask(cache, '1')).toBe('1 miss')
  })
})

describe('a writer', () => {
  it('waits until nothing from before is given out', async () => {
    const { cache, log } = await open()
    await ask(cache, '1')
    log.commit('app.a')
    expect(await ask(cache, '2')).toBe('1 hit')
    await cache.settled()
    expect(await ask(cache, '2')).toBe('2 miss')
  })

  it('who cannot wait for the feed makes everything wrong', async () => {
    const { cache, feed } = await open()
    await ask(cache, '1')
    feed.isBroken = true
    await cache.settled()
    expect(await ask(cache, '2')).toBe('2 miss')
  })

  it('waits for nothing where nothing is kept', async () => {
    const { cache, feed } = await open()
    await cache.settled()
    expect(feed.looks).toBe(0)
    await ask(cache, '1')
    await cache.settled()
    expect(feed.looks).toBe(1)
  })
})

it('while the feed is behind nothing is given out, nor kept', async () => {
  const { cache, feed } = await open()
  await ask(cache, '1')
  feed.behindMs = 6000
  expect(await ask(cache, '2')).toBe('2 miss')
  feed.behindMs = 0
  // what is there is right: whatever had changed has been told by now
  expect(await ask(cache, '3')).toBe('1 hit')
})

it('what the feed knows nothing of is trusted for two seconds, and wrong at once when it is said', async () => {
  const { cache, pass } = await open()
  const session = { scope: all.scope, datasets: [], names: ['session 1'] }
  const get = async (body: string) => {
    const answer = await cache.cached('sessions', 1, session, async () => ({ body }))
    return `${answer.body} ${answer.outcome}`
  }
  expect(await get('1')).toBe('1 miss')
  pass(1500)
  expect(await get('2')).toBe('1 hit')
  await cache.changed(['session 2'])
  expect(await get('2')).toBe('1 hit')
  await cache.changed(['session 1'])
  expect(await get('2')).toBe('2 miss')
  // being used makes it no younger
  for (let second = 1; second <= 4; second++) {
    pass(450)
    expect(await get('3')).toBe('2 hit')
  }
  pass(201)
  expect(await get('3')).toBe('3 miss')
})

it('what nothing can change lives for its ttl', async () => {
  const { cache, pass } = await open()
  const report = { scope: all.scope, datasets: [] }
  await cache.cached('reports', 'run 1', report, async () => ({ body: '1' }))
  pass(23 * 60 * minute)
  expect((await cache.cached('reports', 'run 1', report, async () => ({ body: '2' }))).outcome).toBe('hit')
})

it('a layer that is off keeps nothing', async () => {
  const { cache } = await open({ layers: { ...cacheConfigDefaults.layers, dashboard: null } })
  expect(await ask(cache, '1')).toBe('1 miss')
  expect(await ask(cache, '2')).toBe('2 miss')
  expect(cache.counts().layers.dashboard).toMatchObject({ bypassed: 2, entries: 0 })
})

it('closing ends what is computed behind stale answers', async () => {
  const { cache, pass } = await open()
  await ask(cache, '1')
  pass(6 * minute)
  let ended = false
  await cache.cached(
    'dashboard',
    'q',
    all,
    (signal) =>
      new Promise((_, reject) =>
        signal.addEventListener('abort', () => {
          ended = true
          reject(signal.reason)
        }),
      ),
  )
  await cache.close()
  expect(ended).toBe(true)
})
