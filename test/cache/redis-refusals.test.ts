import { beforeEach, describe, expect, it } from 'vitest'
import { type AnswerCache, openCache, type RedisChange } from '../../src/cache/index.ts'
import { RedisHealth } from '../../src/cache/redis-health.ts'
import { cacheConfigDefaults, redisCacheDefaults } from '../../src/schema/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import { HandFeed, HandLog } from '../helpers/hand-feed.ts'
import { startRedis, type TestRedis, whyNoRedis } from '../helpers/redis.ts'

let redis: TestRedis
let worlds = 0

interface Server {
  readonly cache: AnswerCache
  readonly log: HandLog
  readonly told: RedisChange[]
  ask(): Promise<string>
}

async function join(url: string): Promise<Server> {
  const log = new HandLog()
  const told: RedisChange[] = []
  const cache = await openCache({
    config: {
      memoryBytes: 0,
      redis: { ...redisCacheDefaults, url, timeoutMs: 2000 },
      layers: cacheConfigDefaults.layers,
    },
    feed: new HandFeed(log),
    identity: `refusals ${worlds++}`,
    eraMs: 1000,
    calmMs: 50,
    onRedis: (change) => told.push(change),
  })
  afterFile(() => cache.close())
  const options = { scope: { kind: 'all' as const }, datasets: ['app.a'] }
  const ask = async () =>
    String(
      (await cache.cached('dashboard', 'q', options, async () => ({ body: `${log.changes.length}` }))).body,
    )
  return { cache, log, told, ask }
}

const user = (url: string, password: string) => url.replace('//', `//app:${password}@`)
const codes = ({ told }: Server) => told.map(({ code }) => code)
const isUp = ({ cache }: Server) => cache.counts().redis?.isUp

describe('a Redis that takes the connection and refuses the work', () => {
  beforeEach(async ({ skip }) => {
    skip(whyNoRedis !== null, whyNoRedis ?? '')
    redis ??= await startRedis()
  })

  it('because of the password is down, and said to be so once; it is used when the password is right', async () => {
    expect(await redis.ask('ACL', 'SETUSER', 'app', 'on', '>right', '~*', '+@all')).toBe('+OK')
    const server = await join(user(redis.url, 'hunter2'))
    await expect.poll(() => server.told.length).toBe(1)
    const tries = server.cache.counts().redis!.errors
    await expect.poll(() => server.cache.counts().redis!.errors).toBeGreaterThan(tries)
    expect(server.told).toEqual([
      {
        isUp: false,
        target: new URL(redis.url).host,
        code: 'WRONGPASS',
        problem: 'it takes neither user nor password of cache.redis (REDIS_URL) (WRONGPASS)',
      },
    ])
    expect(JSON.stringify(server.told)).not.toContain('hunter2')
    expect(server.cache.counts().redis).toMatchObject({ isUp: false, isShared: false })
    expect(await server.ask()).toBe('0')
    await redis.ask('ACL', 'SETUSER', 'app', '>hunter2')
    await expect.poll(() => server.cache.counts().redis?.isShared, { timeout: 10_000 }).toBe(true)
    expect(server.told.slice(1)).toMatchObject([{ isUp: true, code: null, problem: null }])
  })

  it('because it is full is down as long as it refuses; everything goes on', async () => {
    const server = await join(redis.url)
    await expect.poll(() => server.cache.counts().redis?.isShared).toBe(true)
    expect(server.told).toEqual([])
    await redis.ask('CONFIG', 'SET', 'maxmemory', '1')
    server.log.commit('app.a')
    await server.cache.settled()
    // that it is full is seen when something is to be kept
    expect(await server.ask()).toBe('1')
    await expect.poll(() => isUp(server)).toBe(false)
    const { errors } = server.cache.counts().redis!
    for (let i = 2; i < 5; i++) {
      server.log.commit('app.a')
      await server.cache.settled()
      expect(await server.ask()).toBe(`${i}`)
    }
    await expect.poll(() => server.cache.counts().redis!.errors).toBeGreaterThan(errors)
    expect(codes(server)).toEqual(['OOM'])
    await redis.ask('CONFIG', 'SET', 'maxmemory', '0')
    const isAsked = async () => {
      server.log.commit('app.a')
      await server.cache.settled()
      await server.ask()
      return server.cache.counts().redis?.isShared
    }
    await expect.poll(isAsked, { timeout: 10_000 }).toBe(true)
    expect(codes(server)).toEqual(['OOM', null])
  })

  it('because it is a cluster, is down', async () => {
    const cluster = await startRedis(['--cluster-enabled', 'yes'])
    const server = await join(cluster.url)
    await expect.poll(() => codes(server)).toEqual(['CLUSTERDOWN'])
    expect(server.told[0]!.problem).toMatch(/^it is a cluster, and one server is needed/)
    await cluster.kill()
    await expect.poll(() => codes(server)).toEqual(['CLUSTERDOWN', 'gone'])
  })
})

it('what Redis says is told by its first word alone, and each change of state once', () => {
  const told: RedisChange[] = []
  let now = 0
  const health = new RedisHealth({
    url: 'rediss://me:hunter2@redis.example:6380/3',
    tell: (change) => told.push(change),
    calmMs: 1000,
    now: () => now,
  })
  health.connected()
  expect(told).toEqual([])
  for (let i = 0; i < 5; i++) health.refused('write', 'MOVED 3999 10.0.0.1:6381')
  health.refused('write', "ERR unknown command 'x', with args beginning with: 'secret of a tenant'")
  health.gone(null)
  expect(told.map(({ code, problem }) => [code, problem])).toEqual([
    ['MOVED', 'it is a cluster, and one server is needed (MOVED)'],
    ['ERR', 'it refuses what it is asked (ERR)'],
  ])
  expect(JSON.stringify(told)).not.toMatch(/hunter2|secret|10\.0\.0\.1/)
  expect(told[0]!.target).toBe('redis.example:6380')
  // up again after a while in which what was refused has passed, not at the first one that does
  health.connected()
  health.passed('write')
  health.passed('look')
  expect(told).toHaveLength(2)
  now += 1000
  health.passed('look')
  expect(told.at(-1)).toMatchObject({ isUp: true })
  // what is not asked again is forgotten in the end
  health.refused('unlock', 'OOM command not allowed')
  now += 11_000
  health.passed('look')
  expect(told.at(-1)).toMatchObject({ code: 'OOM' })
  now += 1000
  health.passed('look')
  expect(told.at(-1)).toMatchObject({ isUp: true })
  health.gone(Object.assign(new Error('connect ECONNREFUSED 10.0.0.1:1'), { code: 'ECONNREFUSED' }))
  health.gone(null)
  expect(told.at(-1)).toMatchObject({ code: 'gone', problem: 'it cannot be reached (ECONNREFUSED)' })
  expect(told).toHaveLength(6)
})
