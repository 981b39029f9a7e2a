import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineConfig } from '../../src/schema/index.ts'
import { fixedClock, formatInstant } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { day, minute, start, type Visit, visitArbitrary, visits } from './fixture.ts'
import {
  naiveActiveUsers,
  naiveFunnel,
  naiveLifecycle,
  naivePaths,
  naiveRetention,
  naiveSessionRow,
  naiveSessions,
  naiveTopPages,
} from './naive.ts'

const days = 8
const now = start + 20n * day
const config = defineConfig({
  datasets: [visits],
  limits: { maxEvents: 500 },
  lake: { dir: 'lake', threads: 1 },
})
const range = { from: start + day / 2n, to: start + BigInt(days) * day - 60n * minute }
const asked = { from: formatInstant(range.from), to: formatInstant(range.to) } as const
const zone = 'Europe/Berlin'

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config, { clock: fixedClock(now) })
})
afterAll(() => engine.close())

/** Every kind of question against loops over the rows. */
async function assertAnswers(
  rows: readonly Visit[],
  sources: { hot: boolean; cold: boolean },
): Promise<void> {
  const { product } = engine.tm
  const within = 2n * day
  const steps = [
    (v: Visit) => v.what === 'view',
    (v: Visit) => v.what === 'add',
    (v: Visit) => (v.props?.n ?? 0) >= 2.5,
  ]
  const funnel = await product.funnel(visits, {
    ...asked,
    steps: ['view', 'add', { where: { 'props.n': { gte: 2.5 } } }],
    within: '2 days',
    by: 'plan',
  })
  const naive = { ...range, within, steps, order: 'ordered' as const, segment: (v: Visit) => v.plan }
  expect(funnel.rows).toEqual(naiveFunnel(rows, naive))
  const found = Object.fromEntries(funnel.plan.parts.map((part) => [part.source, part.rows! > 0]))
  expect(found).toEqual(sources)
  const strict = await product.funnel(visits, {
    ...asked,
    steps: ['view', 'view'],
    within: '2 days',
    order: 'strict',
  })
  expect(strict.rows).toEqual(
    naiveFunnel(rows, { ...naive, steps: [steps[0]!, steps[0]!], order: 'strict', segment: null }),
  )
  const retention = await product.retention(visits, { ...asked, zone, period: '1 day', periods: 5 })
  expect(retention.rows).toEqual(
    naiveRetention(rows, {
      ...{ ...range, now, zone, period: '1 day', periods: 5, kind: 'bounded' },
      ...{ cohort: () => true, returning: () => true },
    }),
  )
  const timeout = 30n * minute
  const sessions = await product.sessions(visits, asked)
  expect(sessions.rows).toEqual([naiveSessionRow(naiveSessions(rows, range, { timeout }))])
  const paged = naiveSessions(
    rows.filter((v) => v.page !== null),
    range,
    { timeout },
    (v) => v.page!,
  )
  const pages = await product.topPages(visits, asked)
  expect(pages.rows).toEqual(naiveTopPages(paged, 20))
  const paths = await product.paths(visits, { ...asked, start: '/', top: 2 })
  expect(paths.rows).toEqual(naivePaths(paged, { start: '/', end: null, depth: 5, top: 2 }))
  const active = await product.activeUsers(visits, { ...asked, zone })
  const windows = ['1 day', '7 days', '30 days']
  expect(active.rows).toEqual(naiveActiveUsers(rows, { ...range, bucket: '1 day', zone, windows }))
  const lifecycle = await product.lifecycle(visits, { ...asked, zone, period: '1 day' })
  expect(lifecycle.rows).toEqual(naiveLifecycle(rows, { ...range, period: '1 day', zone, since: null }))
}

function sample(seed: number, count: number): Visit[] {
  return fc.sample(visitArbitrary(days), { seed, numRuns: count })
}

describe('questions about events', () => {
  it('are answered alike by PostgreSQL, by files, and by both with late, deleted and unseen rows', async () => {
    const seed = Number(process.env['PRODUCT_SEED'] ?? Date.now() % 1_000_000)
    console.info(`PRODUCT_SEED=${seed}`)
    const { tm, test } = engine
    let rows = sample(seed, 150)
    await tm.insert(visits, rows)
    await assertAnswers(rows, { hot: true, cold: false })

    const whole = { from: formatInstant(start), to: formatInstant(start + 4n * day) }
    await tm.freeze('web.visits', whole)
    await assertAnswers(rows, { hot: true, cold: true })

    const late = sample(seed + 1, 60)
    await tm.insert(visits, late)
    await tm.delete(visits, { where: { who: 'bob', plan: 'free' } })
    rows = [...rows, ...late].filter((v) => !(v.who === 'bob' && v.plan === 'free'))
    await assertAnswers(rows, { hot: true, cold: true })

    const other = await test.connect()
    try {
      await other.query(sql`begin`)
      const at = formatInstant(start + 6n * day)
      await other.query(
        sql`insert into web.visits (at, who, what, page) values (${at}::timestamptz, 'eve', 'view', '/')`,
      )
      await assertAnswers(rows, { hot: true, cold: true })
    } finally {
      await other.close()
    }

    await tm.freeze('web.visits', { from: formatInstant(start - day), to: formatInstant(start + 30n * day) })
    await assertAnswers(rows, { hot: false, cold: true })
  }, 60_000)

  it('are refused where PostgreSQL has more events than may be brought over, and where they are wrong', async () => {
    const { tm } = engine
    await tm.insert(
      visits,
      sample(7, 501).map((v) => ({ ...v, at: v.at + 10n * day, who: 'ann' })),
    )
    const refused = async (input: object): Promise<string> => {
      const error: unknown = await tm
        .productUnknown('funnel', 'web.visits', input)
        .catch((cause: unknown) => cause)
      if (!isTidemarkError(error)) throw error
      return `${error.code} ${error.message}`
    }
    const steps = [{ where: { what: { ne: 'x' } } }]
    const sunny = { from: formatInstant(start), to: formatInstant(start + 19n * day), steps, within: '1 day' }
    expect(await refused(sunny)).toMatch(/^TM_LIMIT .*more than 500.*raise limits\.maxEvents/)
    expect(await refused({ ...sunny, from: undefined })).toMatch(/^TM_QUERY from/)
    expect(await refused({ ...sunny, steps: [] })).toMatch(/^TM_QUERY steps/)
    expect(await refused({ ...sunny, steps: ['a', { event: 'b', when: 1 }] })).toMatch(
      /^TM_QUERY steps\[1\]\.when/,
    )
    expect(await refused({ ...sunny, steps: ['a', { where: { nope: 1 } }] })).toMatch(
      /^TM_QUERY steps\[1\]\.where\.nope/,
    )
    expect(await refused({ ...sunny, steps: Array(21).fill('a') })).toMatch(/^TM_LIMIT the number of steps/)
    expect(await refused({ ...sunny, within: '1 month' })).toMatch(/^TM_QUERY within/)
    expect(await refused({ ...sunny, by: 'at' })).toMatch(/^TM_QUERY by/)
    expect(await refused({ ...sunny, windows: [] })).toMatch(/^TM_QUERY windows/)
    expect(await refused({ ...sunny, wihtin: '1 day' })).toMatch(/did you mean "within"/)
    const stopped = tm.productUnknown('funnel', 'web.visits', sunny, { signal: AbortSignal.abort() })
    await expect(stopped).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    const hurried = tm.productUnknown('paths', 'web.visits', asked, { timeoutMs: 1 })
    await expect(hurried).rejects.toMatchObject({ code: 'TM_TIMEOUT' })
    // what was stopped has left nothing behind
    for (let i = 0; i < 3; i++) await tm.productUnknown('paths', 'web.visits', asked)
    const late = tm.productUnknown('lifecycle', 'web.visits', {
      ...asked,
      period: '1 day',
      since: '2030-01-01',
    })
    await expect(late).rejects.toMatchObject({ code: 'TM_QUERY', params: { path: 'since' } })
  })
})
