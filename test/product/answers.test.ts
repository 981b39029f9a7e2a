import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatInstant } from '../../src/time/index.ts'
import { type ColdFixture, createColdFixture } from '../lake/cold-fixture.ts'
import { askSplit, day, minute, start, type Visit, visitArbitrary, visits } from './fixture.ts'
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

const runs = Number(process.env['PRODUCT_RUNS'] ?? 40)
let fixture: ColdFixture

beforeAll(async () => {
  fixture = await createColdFixture()
})
afterAll(() => fixture.close())

/** Rows in files, rows that files have no longer, rows in PostgreSQL. */
interface Split {
  readonly cold: readonly Visit[]
  readonly deleted: readonly number[]
  readonly hot: readonly Visit[]
}

function splitArbitrary(days: number): fc.Arbitrary<Split> {
  const visit = visitArbitrary(days)
  return fc.record({
    cold: fc.array(visit, { maxLength: 60 }),
    deleted: fc.array(fc.nat(5), { maxLength: 4 }),
    hot: fc.array(visit, { maxLength: 60 }),
  })
}

/** Puts the rows where they belong; those that count. */
async function place({ cold, deleted, hot }: Split): Promise<readonly Visit[]> {
  fixture.listed.length = 0
  const files = await fixture.add(visits, cold as never)
  const gone = new Set<Visit>()
  for (const [i, file] of files.entries()) {
    const own = cold
      .filter((v) => v.at >= file.chunk.from && v.at < file.chunk.to)
      .sort((a, b) => Number(a.at - b.at))
    const place = deleted[i]
    // rows of one moment may lie in any order in the file
    if (place === undefined || place >= own.length) continue
    const row = own[place]!
    if (own.filter((v) => v.at === row.at).length > 1) continue
    gone.add(row)
    file.deleted = [place]
  }
  return [...cold.filter((v) => !gone.has(v)), ...hot]
}

/** `ask` and `expect` over random splits, each with a range and with both ways of reading files. */
function holds<T>(
  days: number,
  asked: fc.Arbitrary<T>,
  check: (all: readonly Visit[], asked: T & Range, ask: Ask) => Promise<void>,
): Promise<void> {
  const range = fc
    .tuple(fc.integer({ min: -4, max: days * 24 }), fc.integer({ min: 1, max: days * 24 }))
    .map(([from, length]) => ({
      from: start + BigInt(from) * 60n * minute,
      to: start + BigInt(from + length) * 60n * minute,
    }))
  return fc.assert(
    fc.asyncProperty(
      splitArbitrary(days),
      asked,
      range,
      fc.constantFrom('duckdb', 'duckdb', 'typescript'),
      async (split, asked, range, computeIn) => {
        const all = await place(split)
        const ask: Ask = async (kind, input, now) => {
          const texts = { from: formatInstant(range.from), to: formatInstant(range.to) }
          const options = { computeIn: computeIn as 'duckdb', ...(now === undefined ? {} : { now }) }
          const { rows, plan } = await askSplit(
            kind,
            { ...texts, ...input } as never,
            fixture,
            split.hot,
            options,
          )
          expect(plan.parts.map(({ source }) => source)).toEqual(['hot', 'cold'])
          return rows
        }
        await check(all, { ...asked, ...range }, ask)
      },
    ),
    { numRuns: runs },
  )
}

interface Range {
  readonly from: bigint
  readonly to: bigint
}
type Ask = (kind: Parameters<typeof askSplit>[0], input: object, now?: bigint) => Promise<readonly unknown[]>

const stepArbitrary = fc.constantFrom(
  { input: 'view', is: (v: Visit) => v.what === 'view' },
  { input: 'add', is: (v: Visit) => v.what === 'add' },
  { input: 'buy', is: (v: Visit) => v.what === 'buy' },
  { input: { where: { page: '/a' } }, is: (v: Visit) => v.page === '/a' },
  { input: { where: { what: { ne: 'buy' } } }, is: (v: Visit) => v.what !== 'buy' },
  {
    input: { event: 'view', where: { 'props.n': { gte: 2.5 } } },
    is: (v: Visit) => v.what === 'view' && (v.props?.n ?? 0) >= 2.5,
  },
)

describe('questions about events', () => {
  it('follow users through a funnel as a loop over their events does', () =>
    holds(
      5,
      fc.record({
        steps: fc.array(stepArbitrary, { minLength: 1, maxLength: 4 }),
        within: fc.constantFrom(1n, 15n * minute, 60n * minute, day, 3n * day),
        order: fc.constantFrom('ordered', 'strict'),
        by: fc.constantFrom(null, 'plan', 'props.n'),
        paid: fc.boolean(),
      }),
      async (all, { from, to, steps, within, order, by, paid }, ask) => {
        const rows = await ask('funnel', {
          steps: steps.map(({ input }) => input),
          within: `${within} microseconds`,
          order,
          ...(by ? { by } : {}),
          ...(paid ? { where: { plan: 'paid' } } : {}),
        })
        expect(rows).toEqual(
          naiveFunnel(paid ? all.filter((v) => v.plan === 'paid') : all, {
            ...{ from, to, within, order: order as 'strict', steps: steps.map(({ is }) => is) },
            segment:
              by === null
                ? null
                : by === 'plan'
                  ? (v) => v.plan
                  : (v) => (v.props ? String(v.props.n) : null),
          }),
        )
      },
    ))

  it('find who came back, in days of any zone', () =>
    holds(
      12,
      fc.record({
        period: fc.constantFrom('1 day', '1 week', '2 days', '1 month'),
        zone: fc.constantFrom(null, 'Europe/Berlin', 'America/New_York'),
        periods: fc.integer({ min: 1, max: 6 }),
        kind: fc.constantFrom('bounded', 'unbounded'),
        cohort: fc.option(stepArbitrary, { nil: null }),
        returning: fc.option(stepArbitrary, { nil: null }),
        now: fc.integer({ min: 0, max: 20 }),
      }),
      async (all, { from, to, period, zone, periods, kind, cohort, returning, now: days }, ask) => {
        const now = start + BigInt(days) * day
        const rows = await ask(
          'retention',
          {
            ...{ period, periods, kind, cohort: cohort?.input, returning: returning?.input },
            ...(zone ? { zone } : {}),
          },
          now,
        )
        expect(rows).toEqual(
          naiveRetention(all, {
            ...{ from, to, now, period, zone, periods, kind: kind as 'bounded' },
            cohort: cohort?.is ?? (() => true),
            returning: returning?.is ?? (() => true),
          }),
        )
      },
    ))

  it('cut events into sessions, by a column or by silence', () =>
    holds(
      5,
      fc.record({
        by: fc.constantFrom(
          'visit' as const,
          { timeout: 1n },
          { timeout: 30n * minute },
          { timeout: 5n * 60n * minute },
        ),
        bucket: fc.constantFrom(null, '1 hour', '1 day'),
        zone: fc.constantFrom(null, 'Europe/Berlin'),
      }),
      async (all, { from, to, by, bucket, zone }, ask) => {
        const rows = await ask('sessions', {
          ...(by === 'visit' ? { session: 'visit' } : { timeout: `${by.timeout} microseconds` }),
          ...(bucket ? { bucket } : {}),
          ...(zone ? { zone } : {}),
        })
        const sessions = naiveSessions(all, { from, to }, by)
        if (bucket === null) return expect(rows).toEqual([naiveSessionRow(sessions)])
        const starts = (rows as { bucket: string }[]).map((row) => row.bucket)
        const bucketOf = (own: readonly Visit[]) =>
          starts.findLast((one) => BigInt(Date.parse(one)) * 1000n <= own[0]!.at)
        expect(rows).toEqual(
          starts.map((one) => ({
            bucket: one,
            ...naiveSessionRow(sessions.filter((own) => bucketOf(own) === one)),
          })),
        )
      },
    ))

  it('rank pages', () =>
    holds(
      5,
      fc.record({
        by: fc.constantFrom('visit' as const, { timeout: 30n * minute }),
        top: fc.integer({ min: 1, max: 5 }),
        views: fc.option(stepArbitrary, { nil: null }),
      }),
      async (all, { from, to, by, top, views }, ask) => {
        const rows = await ask('topPages', {
          ...{ top, views: views?.input },
          ...(by === 'visit' ? { session: 'visit' } : {}),
        })
        const seen = all.filter((v) => v.page !== null && (views?.is(v) ?? true))
        expect(rows).toEqual(
          naiveTopPages(
            naiveSessions(seen, { from, to }, by, (v) => v.page!),
            top,
          ),
        )
      },
    ))

  it('draw the edges of paths, forward from a place and back from one', () =>
    holds(
      3,
      fc.record({
        by: fc.constantFrom('visit' as const, { timeout: 120n * minute }),
        anchor: fc.constantFrom({}, { start: '/a' }, { end: '/b' }),
        depth: fc.integer({ min: 2, max: 6 }),
        top: fc.integer({ min: 1, max: 4 }),
      }),
      async (all, { from, to, by, anchor, depth, top }, ask) => {
        const rows = await ask('paths', {
          ...{ depth, top, ...anchor },
          ...(by === 'visit' ? { session: 'visit' } : { timeout: '120 minutes' }),
        })
        const sessions = naiveSessions(
          all.filter((v) => v.page !== null),
          { from, to },
          by,
          (v) => v.page!,
        )
        expect(rows).toEqual(naivePaths(sessions, { start: null, end: null, ...anchor, depth, top }))
      },
    ))

  it('count active users in windows, over a change of the clocks too', () =>
    holds(
      6,
      fc.record({
        bucket: fc.constantFrom('1 day', '6 hours', '1 month'),
        zone: fc.constantFrom(null, 'Europe/Berlin'),
        windows: fc.uniqueArray(fc.constantFrom('1 day', '7 days', '3 hours', '1 month'), { minLength: 1 }),
      }),
      async (all, { from, to, bucket, zone, windows }, ask) => {
        const rows = await ask('activeUsers', { bucket, windows, ...(zone ? { zone } : {}) })
        expect(rows).toEqual(naiveActiveUsers(all, { from, to, bucket, zone, windows }))
      },
    ))

  it('tell new users from those who come back', () =>
    holds(
      12,
      fc.record({
        period: fc.constantFrom('1 day', '2 days', '1 week'),
        zone: fc.constantFrom(null, 'Europe/Berlin'),
        since: fc.constantFrom(null, start + 2n * day),
      }),
      async (all, { from, to, period, zone, since }, ask) => {
        // what has been looked at ends where the range does
        if (since !== null && since >= to) return
        const rows = await ask('lifecycle', {
          period,
          ...(zone ? { zone } : {}),
          ...(since === null ? {} : { since: formatInstant(since) }),
        })
        expect(rows).toEqual(naiveLifecycle(all, { from, to, period, zone, since }))
      },
    ))
})
