import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import {
  hasRealRankings,
  loadRankings,
  makeRankings,
  type Ranking,
  readRankings,
  realRankings,
} from '../../examples/rank-tracker/load.ts'
import { positions, projectStats, views } from '../../examples/rank-tracker/queries.ts'
import config, { keywords, projects, rankings } from '../../examples/rank-tracker/tidemark.config.ts'
import { createServer, listen } from '../../src/api/index.ts'
import { createClient } from '../../src/client/index.ts'
import { avg, count } from '../../src/index.ts'
import { allTenants } from '../../src/schema/index.ts'
import { sharedDataAbsent } from '../helpers/shared-data.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { askBoards } from './ask-boards.ts'

const operator = {
  kind: 'cli',
  id: 'test',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
} as const

describe('the rank tracker', () => {
  let engine: TestEngine<typeof config>
  let app: FastifyInstance
  let url: string
  const now = new Date()
  const made = [...makeRankings(8, 800, now)]
  const secretOf = async (agency: string) =>
    (
      await engine.tm.access.keys.create(
        {
          name: agency,
          scopes: ['ingest', 'query'],
          tenant: { kind: 'one', tenant: agency },
          datasets: null,
          expiresAt: null,
        },
        operator,
      )
    ).secret
  const clientOf = async (agency: string) =>
    createClient<typeof config>({ url, apiKey: await secretOf(agency), WebSocket: WebSocket as never })

  beforeAll(async () => {
    engine = await createTestEngine(config)
    expect(await loadRankings(engine.tm, 'acme', made, now)).toEqual({
      rankings: 6400,
      keywords: 8,
      movedDays: 0,
    })
    await loadRankings(engine.tm, 'other', [...makeRankings(3, 5, now)], now)
    for (const { name } of config.aggregates) await engine.tm.refresh(name)
    app = await createServer(engine.tm)
    url = await listen(app, { host: '127.0.0.1', port: 0 })
  })
  afterAll(async () => {
    await app?.close()
    await engine?.close()
  })

  it('answers the three ages of its document through one query, each from where it is', async () => {
    const keyword = 'made-up/https://example.org/3'
    const start = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate())
    const dayOf = ({ day }: Ranking) => Date.parse(`${day}T00:00:00Z`)
    const mine = made.filter(({ url }) => url.endsWith('/3'))
    const quarter = await positions(engine.tm, keyword, views.quarter)
    const days = mine.filter((one) => dayOf(one) >= now.getTime() - 90 * 86_400_000)
    expect(quarter.rows.map((row) => row.avg_position)).toEqual(
      expect.arrayContaining(days.map(({ rank }) => rank)),
    )
    const years = await positions(engine.tm, keyword, views.years)
    expect(years.rows.length).toBeGreaterThanOrEqual(104)
    const sources = (plan: typeof years.plan) => new Set(plan.parts.map(({ source }) => source))
    expect([...sources(years.plan)]).toContain('public.daily_keyword_stats')
    expect([...sources((await positions(engine.tm, keyword, views.day)).plan)]).toEqual(['hot'])
    // raw rows of two years lie in the lake, and are the same
    const raw = await engine.tm.query(rankings, { from: '-2 years', where: { keyword }, limit: 1000 })
    expect(sources(raw.plan)).toContain('cold')
    expect(raw.rows.map(({ position }) => position)).toEqual(
      mine.filter((one) => dayOf(one) >= yearsBefore(now, 2)).map(({ rank }) => rank),
    )
    const stats = (await projectStats(engine.tm, 'made-up')).rows.filter(({ agency }) => agency === 'acme')
    expect(stats.at(-1)).toMatchObject({
      checks: 8,
      top_10: made.filter((one) => dayOf(one) === start && one.rank <= 10).length,
    })
  })

  it('shows each agency its own in each panel of its board', async () => {
    const rowsOf = async (tenant: string) => askBoards(engine.tm, 'rank-tracker', { kind: 'one', tenant })
    const [acme, other] = [await rowsOf('acme'), await rowsOf('other')]
    expect(Object.entries(acme).filter(([, count]) => count === 0)).toEqual([])
    expect([acme['keyword-table'], acme['newest']]).toEqual([8, 8])
    expect([other['keyword-table'], other['newest']]).toEqual([3, 3])
  })

  it('keywords are added, changed and removed over HTTP, also ten thousand at once, by whose they are', async () => {
    const [mine, theirs] = [await clientOf('acme'), await clientOf('other')]
    const rows = mine.records(keywords)
    const added = await rows.create({ id: 'k1', project: 'made-up', phrase: 'postgres' } as never)
    expect(added).toMatchObject({ agency: 'acme', country: 'us', active: true })
    const changed = await rows.update(added, { active: false })
    expect(changed).toMatchObject({ active: false })
    // somebody else has changed it since
    await expect(rows.delete(added)).rejects.toMatchObject({ code: 'TM_VERSION' })
    await rows.delete(changed)
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      id: `b${i}`,
      project: 'bulk',
      phrase: `phrase ${i}`,
    }))
    expect((await rows.bulk({ op: 'create', rows: many } as never)).failed).toEqual([])
    const { rows: counted } = await engine.tm.query(keywords, {
      by: ['agency'],
      where: { project: 'bulk' },
      select: { n: count() },
    })
    expect(counted).toEqual([{ agency: 'acme', n: 10_000 }])
    const seen = await theirs.query('public.rankings', {
      from: '-30 days',
      by: ['agency'],
      select: { p: avg('position') },
    })
    expect(seen.rows.map(({ agency }) => agency)).toEqual(['other'])
  })

  it('an open page hears of a new project at once, and nobody else does', async () => {
    const [mine, theirs] = [await clientOf('acme'), await clientOf('other')]
    const heard: Record<string, unknown[]> = { mine: [], theirs: [] }
    const stop = new AbortController()
    for (const [name, client] of Object.entries({ mine, theirs }))
      client.subscribe('public.projects', {}, {
        onChange: (answer: { rows: readonly { id: string }[] }) => {
          heard[name] = answer.rows.map(({ id }) => id)
        },
        signal: stop.signal,
      } as never)
    await expect.poll(() => heard['mine']).toContain('made-up')
    await mine.records(projects).create({ id: 'new', name: 'New' } as never)
    await expect.poll(() => heard['mine']).toContain('new')
    expect(heard['theirs']).not.toContain('new')
    stop.abort()
  })
})

it.skipIf(!hasRealRankings())('holds the real rankings, to the last one', async () => {
  const engine = await createTestEngine(config)
  const lists = new Set(['Rust'])
  async function* some(): AsyncGenerator<Ranking> {
    for await (const one of readRankings(realRankings))
      if (lists.has(one.list) && one.day >= '2025-01-01') yield one
  }
  const all: Ranking[] = []
  for await (const one of some()) all.push(one)
  const report = await loadRankings(engine.tm, 'acme', all, new Date())
  // a repository twice in a list on one day counts once
  expect(report.rankings).toBe(new Set(all.map(({ day, url }) => `${day} ${url}`)).size)
  const { rows } = await engine.tm.query(rankings, { select: { n: count(), mean: avg('stars') } })
  expect(Number(rows[0]!.n)).toBe(report.rankings)
  await engine.close()
})
if (!hasRealRankings()) console.log(`skipped: ${sharedDataAbsent}`)

function yearsBefore(date: Date, years: number): number {
  const before = new Date(date)
  before.setUTCFullYear(before.getUTCFullYear() - years)
  return before.getTime()
}
