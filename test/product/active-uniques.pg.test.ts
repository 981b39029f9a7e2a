import { afterAll, beforeAll, expect, it } from 'vitest'
import { exactUpTo, standardError } from '../../src/aggregate/index.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { uniques } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, formatInstant } from '../../src/time/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { day, minute, start, type Visit } from './fixture.ts'
import { naiveActiveUsers } from './naive.ts'

const events = hypertable('web.taps', {
  columns: {
    at: t.timestamptz(),
    who: t.text().nullable(),
    device: t.text().nullable(),
    plan: t.text().nullable(),
  },
  time: 'at',
  chunk: '7 days',
  events: { user: 'who', anonymous: 'device', event: 'plan' },
})
const hourly = continuousAggregate('web.hourly_taps', {
  from: events,
  bucket: '1 hour',
  by: ['plan'],
  select: { known: uniques('who'), unknown: uniques('device', { where: { who: null } }) },
})
const config = defineConfig({ datasets: [events, hourly] })

const days = 40
const now = start + BigInt(days) * day + 90n * minute
const windows = ['1 day', '7 days', '30 days']
const range = { from: start + 31n * day, to: now }
const asked = { from: formatInstant(range.from), to: formatInstant(range.to), zone: 'Europe/Berlin' }

/** Users come on many days each, so that a week is far from the sum of its days. */
function taps(seed: number, count: number): Visit[] {
  let state = seed
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const other = { what: '', visit: null, page: null, props: null }
  return Array.from({ length: count }, () => {
    const one = next(1_500)
    return {
      at: start + (BigInt(next(days * 24 * 60)) * day) / 1440n,
      who: one % 3 === 0 ? null : `user ${one}`,
      device: one % 7 === 0 ? null : `device ${one % 11 === 0 ? one + 1 : one}`,
      plan: one % 5 === 0 ? 'paid' : 'free',
      ...other,
    }
  })
}

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config, { clock: fixedClock(now) })
})
afterAll(() => engine.close())

it('users of windows are merges of the sketches of a continuous aggregate, within their bound', async () => {
  const seed = Number(process.env['PRODUCT_SEED'] ?? Date.now() % 1_000_000)
  console.info(`PRODUCT_SEED=${seed}`)
  const { tm } = engine
  const insert = (rows: readonly Visit[]) =>
    tm.insert(
      events,
      rows.map(({ at, who, device, plan }) => ({ at, who, device, plan })),
    )
  const counts = async (more: object = {}) => {
    const { rows, plan } = await tm.product.activeUsers(events, { ...asked, method: 'uniques', ...more })
    return { rows, plan, sources: plan.parts.map(({ source }) => source) }
  }
  let rows = taps(seed, 12_000)
  await insert(rows)
  // of rows alone it is the same sketch
  const fromRows = await counts()
  expect([...new Set(fromRows.sources)]).toEqual(['hot'])
  await tm.refresh('web.hourly_taps')
  const fromCells = await counts()
  expect(fromCells.rows).toEqual(fromRows.rows)
  expect(fromCells.plan).toMatchObject({
    method: 'uniques',
    errorBound: 'exact up to 512, beyond a standard error of 1.63 %',
    aggregates: [{ name: 'web.hourly_taps', used: true }],
  })
  expect(fromCells.sources).toContain('web.hourly_taps')
  // the end lies inside of an hour
  expect(fromCells.sources).toContain('hot')
  const told = fromCells.plan.parts.reduce((sum, part) => sum + (part.rows ?? 0), 0)
  expect(told).toBeGreaterThan(0)

  // rows that come late are in the answer before the aggregate has them
  const late = taps(seed + 1, 500).map((row) => ({ ...row, who: row.who && `${row.who} late` }))
  await insert(late)
  rows = [...rows, ...late]
  const exact = await tm.product.activeUsers(events, asked)
  expect(exact.rows).toEqual(naiveActiveUsers(rows, { ...range, bucket: '1 day', zone: asked.zone, windows }))
  expect(exact.plan).toMatchObject({ method: 'exact', errorBound: null })
  const estimated = await counts()
  for (const [i, { bucket, users }] of exact.rows.entries()) {
    const row = estimated.rows[i]!
    expect(row.bucket).toBe(bucket)
    for (const [w, count] of users.entries()) {
      // six standard errors: no seed in a billion
      const most = count <= exactUpTo ? 0 : 6 * standardError * count
      expect(Math.abs(row.users[w]! - count)).toBeLessThanOrEqual(most)
    }
  }
  // what makes the test one of sketches and of exact counts
  expect(exact.rows.at(-2)!.users[0]).toBeLessThan(exactUpTo)
  expect(exact.rows.at(-2)!.users[2]).toBeGreaterThan(exactUpTo)
  // a filter on a key comes from cells, too, and a window that is no hours from rows alone
  await tm.refresh('web.hourly_taps')
  const paid = await counts({ where: { plan: 'paid' } })
  const few = naiveActiveUsers(
    rows.filter(({ plan }) => plan === 'paid'),
    { ...range, bucket: '1 day', zone: asked.zone, windows },
  )
  expect(few.every(({ users }) => users[2]! <= exactUpTo)).toBe(true)
  expect(paid.rows).toEqual(few)
  expect(paid.sources).toContain('web.hourly_taps')
  const odd = await counts({ windows: ['90 minutes', '1 day'] })
  expect(odd.plan.aggregates).toMatchObject([
    { used: false, why: expect.stringMatching(/begins at .* inside of one of its buckets/) },
  ])
}, 60_000)

it('a method that is not known, and one of another question, are refused', async () => {
  const refused = (kind: 'activeUsers' | 'funnel', more: object) =>
    engine.tm.productUnknown(kind, 'web.taps', { ...asked, ...more })
  await expect(refused('activeUsers', { method: 'guess' })).rejects.toMatchObject({
    code: 'TM_QUERY',
    params: { path: 'method' },
  })
  await expect(refused('funnel', { method: 'uniques' })).rejects.toMatchObject({ code: 'TM_QUERY' })
})
