import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { count, max, percentile, type QueryInput, sum, uniques } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { bucketBorders, formatInstant, parseInstant } from '../../src/time/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const base = hypertable('metrics.readings', {
  columns: {
    time: t.timestamptz(),
    site: t.text(),
    status: t.text().nullable(),
    size: t.int4(),
    ms: t.float8(),
  },
  time: 'time',
  chunk: '7 days',
})
const zones = ['Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe']
const select = {
  n: count(),
  size: sum('size'),
  p95: percentile('ms', 0.95),
  sizes: uniques('size'),
  newest: max('time'),
}
const half = continuousAggregate('views.half', {
  from: base,
  bucket: '30 minutes',
  by: ['site', 'status'],
  select,
})
const large = continuousAggregate('views.large', {
  from: half,
  bucket: '1 hour',
  by: ['site'],
  where: { status: 'ok' },
  select: { n: 'n', size: 'size' },
})
const days = zones.map((zone, i) =>
  continuousAggregate(`views.days_${i}`, {
    from: half,
    bucket: { every: '1 day', zone },
    by: ['site'],
    select: { n: 'n', size: 'size', p95: 'p95', sizes: 'sizes', newest: 'newest' },
  }),
)
const aggregates = [half, large, ...days]
const config = defineConfig({ datasets: [base, ...aggregates] })

let engine: TestEngine<typeof config>
// around the changes of all four zones
const around = [
  '2025-03-09T06:00:00Z',
  '2025-03-30T00:00:00Z',
  '2025-04-05T14:00:00Z',
  '2025-10-04T15:00:00Z',
  '2025-10-26T00:00:00Z',
  '2025-11-02T05:00:00Z',
]
const span = { from: parseInstant('2025-03-01T00:00:00Z'), to: parseInstant('2025-11-20T00:00:00Z') }

beforeAll(async () => {
  engine = await createTestEngine(config)
  const rows = around.flatMap((change) =>
    Array.from({ length: 250 }, (_, i) => ({
      time: parseInstant(change) + BigInt((i - 125) * 1_700_000_000 + i * 37),
      site: `s${i % 3}`,
      status: ['ok', 'slow', null][(i >> 2) % 3] as string | null,
      size: (i * 7919) % 1000,
      ms: ((i * 104_729) % 997) / 7,
    })),
  )
  await engine.tm.insert(base, rows)
}, 120_000)
afterAll(() => engine?.close())

const pick = <T>(values: readonly T[]) => fc.constantFrom(...values)
const question = fc.record({
  aggregate: pick(aggregates),
  bucket: pick(['own', null, '1 day', '7 days', '1 month'] as const),
  by: fc.subarray(['site']),
  where: pick([undefined, { site: 's1' }, { site: { in: ['s0', 's2'] } }, { $not: { site: { gt: 's0' } } }]),
  from: fc.option(fc.bigInt({ min: span.from, max: span.to })),
  width: fc.option(fc.bigInt({ min: 1n, max: 60n * 86_400_000_000n })),
  newestFirst: fc.boolean(),
  limit: pick([undefined, 1, 7]),
})

async function givesWhatRowsGive(numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(question, async (q) => {
      const { aggregate } = q
      const own = aggregate.bucket
      const to = q.from !== null && q.width !== null ? q.from + q.width : null
      const borders = bucketBorders(
        own,
        { from: span.from - 90n * 86_400_000_000n, to: span.to + 90n * 86_400_000_000n },
        { max: 100_000 },
      )
      const snapped = (instant: bigint | null) =>
        instant === null ? undefined : formatInstant(borders.find((border) => border >= instant) as bigint)
      const bucket =
        q.bucket === 'own' ? { bucket: own.every.text, zone: own.zone } : { bucket: q.bucket, zone: own.zone }
      const outputs = Object.keys(aggregate.select)
      const rest = {
        by: q.by,
        ...(q.limit === undefined ? {} : { limit: q.limit }),
        ...(q.bucket === null ? {} : { order: [q.newestFirst ? '-bucket' : 'bucket'] }),
      }
      const raw = {
        ...rest,
        ...(q.bucket === null ? {} : bucket),
        from: snapped(q.from),
        to: snapped(to),
        where: aggregate === large ? { $and: [{ status: 'ok' }, q.where ?? {}] } : q.where,
        select: Object.fromEntries(
          outputs.map((name) => [name, aggregate.select[name as keyof typeof aggregate.select]]),
        ),
      }
      const isEmpty = raw.from !== undefined && raw.from === raw.to
      const found = await engine.tm.queryUnknown(aggregate.name, {
        ...rest,
        ...(q.bucket === 'own' ? {} : { bucket: q.bucket }),
        from: q.from ?? undefined,
        to: to ?? undefined,
        where: q.where,
        select: Object.fromEntries(outputs.map((name) => [name, name])),
      })
      if (isEmpty) {
        // no bucket begins in the range
        expect(found.rows.filter((row) => row['n'] !== 0)).toEqual([])
        return
      }
      const expected = await engine.tm.queryUnknown(base.name, raw)
      expect(found.rows).toEqual(expected.rows)
      expect(found.columns).toEqual(expected.columns)
    }),
    { numRuns },
  )
}

it('the answer of an aggregate is that of the rows of its buckets', () => givesWhatRowsGive(40), 120_000)

it('is the same when it was refreshed, and after rows have changed', async () => {
  const everything = async () => {
    const answers = []
    for (const aggregate of aggregates) {
      const { by, bucket, select: calls } = aggregate
      const found = await engine.tm.queryUnknown(aggregate.name, {})
      const where = aggregate === large ? { status: 'ok' } : {}
      const raw = { bucket: bucket.every.text, zone: bucket.zone, by, where, select: calls }
      const expected = await engine.tm.queryUnknown(base.name, raw as QueryInput<typeof base>)
      expect(found.rows).toEqual(expected.rows)
      answers.push(found.rows.length)
    }
    return answers
  }
  const before = await everything()
  expect(before.every((rows) => rows > 10)).toBe(true)
  for (const name of ['views.half', 'views.days_3']) await engine.tm.refresh(name)
  expect(await everything()).toEqual(before)
  const { plan } = await engine.tm.queryUnknown(half.name, { by: ['site'], select: { n: 'n' } })
  expect(plan.parts.map(({ source }) => source)).toContain(half.name)
  await givesWhatRowsGive(30)
  await engine.tm.insert(base, [{ time: '2025-03-30T01:30:00Z', site: 's9', status: 'ok', size: 5, ms: 1 }])
  await engine.tm.delete(base, { where: { site: 's0' }, from: '2025-10-25', to: '2025-10-27' })
  await everything()
  await givesWhatRowsGive(30)
}, 120_000)
