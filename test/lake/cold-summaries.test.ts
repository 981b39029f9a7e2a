import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ObjectStore } from '../../src/lake/contract.ts'
import { createColdTier } from '../../src/lake/tier.ts'
import {
  type Answer,
  defaultQueryLimits,
  executeQuery,
  parseQuery,
  type Tier,
} from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { type ColdFixture, createColdFixture } from './cold-fixture.ts'

const cpu = hypertable('summed.cpu', {
  columns: {
    time: t.timestamptz(),
    host: t.text(),
    region: t.text().nullable(),
    usage: t.float8().nullable(),
    ticks: t.int8(),
    price: t.numeric(12, 2).nullable(),
    note: t.text().nullable(),
  },
  time: 'time',
  orderBy: ['host', 'time'],
  chunk: '1 day',
})

const start = parseInstant('2026-03-28T00:00:00Z')
const minute = 60_000_000n
const clock = fixedClock(start + 4n * 1440n * minute)
const rows = Array.from({ length: 3 * 1440 }, (_, i) => ({
  time: start + BigInt(i) * minute + BigInt((i * 7919) % 50_000_000),
  host: `host_${i % 3}`,
  region: i % 4 === 0 ? null : `r${i % 2}`,
  usage: i % 11 === 0 ? null : (i % 97) + (i % 5) / 4,
  ticks: BigInt(i) * 3_000_000_000_000n,
  price: i % 13 === 0 ? null : `${i % 50}.${10 + (i % 90)}`,
  note: i % 2 === 0 ? null : 'x',
}))

it('a border inside the first bucket of a summary leaves its file to the rows', async () => {
  const fixture = await createColdFixture({ summaryShare: 100 })
  try {
    const sparse = rows.slice(0, 300).map((row, i) => ({
      ...row,
      time: parseInstant('2026-03-31T18:45:00Z') + BigInt(i) * minute,
    }))
    await fixture.add(cpu, sparse)
    const tier = createColdTier({ duckdb: fixture.duckdb, store: fixture.store })
    // April begins there at 18:30; the summary's first hour at 18:00
    const input = {
      from: '2026-02-28T18:30:00Z',
      to: '2026-04-30T18:30:00Z',
      bucket: '1 month',
      zone: 'Asia/Kolkata',
      select: { n: { fn: 'count' }, most: { fn: 'max', column: 'usage' } },
    }
    const node = parseQuery(input, { dataset: cpu, clock })
    const answer = await executeQuery(node, {
      tiers: [tier],
      snapshot: fixture.snapshot(),
      clock,
      signal: null,
      limits: defaultQueryLimits,
    })
    expect(compareAnswers(answer, naiveAnswer(node, sparse), node)).toEqual([])
    expect(fixture.listed[0]!.written.summary).not.toBeNull()
  } finally {
    await fixture.close()
  }
})

describe.each([
  ['held in memory', 32 * 1024 * 1024],
  ['read again by each query', 1],
  ['merged by DuckDB', 0],
])('summaries that are %s', (_, maxHeldSummaryBytes) => {
  let fixture: ColdFixture
  let tier: Tier
  beforeAll(async () => {
    fixture = await createColdFixture({ summaryShare: 100 })
    await fixture.add(cpu, rows)
    tier = createColdTier({ duckdb: fixture.duckdb, store: fixture.store, maxHeldSummaryBytes })
  })
  afterAll(() => fixture.close())

  const ask = (input: unknown): Promise<Answer> =>
    executeQuery(parseQuery(input, { dataset: cpu, clock }), {
      tiers: [tier],
      snapshot: fixture.snapshot(),
      clock,
      signal: null,
      limits: defaultQueryLimits,
    })

  async function expectRight(input: unknown, held = rows): Promise<{ files: number; summaries: number }> {
    const node = parseQuery(input, { dataset: cpu, clock })
    const answer = await ask(input)
    expect(
      compareAnswers(answer, naiveAnswer(node, held), node),
      JSON.stringify(input, (_, v) => (typeof v === 'bigint' ? `${v}n` : v)),
    ).toEqual([])
    const parts = answer.plan.parts
    return {
      files: parts.reduce((sum, part) => sum + (part.files ?? 0), 0),
      summaries: parts.reduce((sum, part) => sum + (part.summaries ?? 0), 0),
    }
  }

  const select = {
    n: { fn: 'count' },
    some: { fn: 'count', column: 'usage' },
    total: { fn: 'sum', column: 'ticks' },
    mean: { fn: 'avg', column: 'usage' },
    least: { fn: 'min', column: 'price' },
    most: { fn: 'max', column: 'usage' },
  }

  it('are written with the files of the fixture, by hour and host', () => {
    expect(fixture.listed).toHaveLength(3)
    for (const { written } of fixture.listed) {
      expect(written.summary?.layout.groups).toEqual(['host'])
      expect(written.summary?.layout.bucketMicros).toBe('3600000000')
    }
  })

  it('answer aligned buckets and groups without a look at the rows', async () => {
    expect(await expectRight({ bucket: '1 hour', by: ['host'], select })).toEqual({ files: 0, summaries: 3 })
    expect(await expectRight({ bucket: '6 hours', select })).toEqual({ files: 0, summaries: 3 })
    expect(await expectRight({ by: ['host'], select })).toEqual({ files: 0, summaries: 3 })
    expect(await expectRight({ select })).toEqual({ files: 0, summaries: 3 })
    expect(await expectRight({ bucket: '1 day', zone: 'Europe/Berlin', select })).toEqual({
      files: 0,
      summaries: 3,
    })
    expect(
      await expectRight({ bucket: '1 hour', where: { host: { in: ['host_1', 'absent'] } }, select }),
    ).toEqual({
      files: 0,
      summaries: 3,
    })
  })

  it('leave the edges of a range to the rows', async () => {
    const from = start + 90n * minute
    expect(
      await expectRight({ from, to: from + 2000n * minute, bucket: '1 hour', by: ['host'], select }),
    ).toEqual({
      files: 2,
      summaries: 2,
    })
    const aligned = start + 120n * minute
    expect(
      await expectRight({ from: aligned, to: aligned + 1440n * minute, bucket: '1 hour', select }),
    ).toEqual({
      files: 0,
      summaries: 2,
    })
    // little of a file is whole buckets: the rows alone
    expect(await expectRight({ from, to: from + 100n * minute, select })).toEqual({ files: 1, summaries: 0 })
  })

  it('are passed over for what they do not keep', async () => {
    for (const input of [
      { bucket: '1 hour', select: { d: { fn: 'stddev', column: 'usage' } } },
      { bucket: '1 hour', by: ['region'], select: { n: { fn: 'count' } } },
      { bucket: '1 hour', where: { region: 'r0' }, select: { n: { fn: 'count' } } },
      { bucket: '90 minutes', select: { n: { fn: 'count' } } },
      { bucket: '1 day', zone: 'Asia/Kolkata', select: { n: { fn: 'count' } } },
      { select: { n: { fn: 'count', where: { host: 'host_1' } } } },
      { select: { n: { fn: 'count', column: 'note' } } },
    ])
      expect((await expectRight(input)).summaries).toBe(0)
  })

  it('are passed over for a file with deleted rows', async () => {
    const [first] = fixture.listed
    // the file is sorted by host and time
    const inFile = rows
      .slice(0, 1440)
      .sort((a, b) => (a.host === b.host ? Number(a.time - b.time) : a.host < b.host ? -1 : 1))
    first!.deleted = [0, 5, 1439]
    const gone = new Set(first!.deleted.map((place) => inFile[place]))
    try {
      const left = rows.filter((row) => !gone.has(row))
      expect(await expectRight({ bucket: '1 hour', by: ['host'], select }, left)).toEqual({
        files: 1,
        summaries: 2,
      })
    } finally {
      first!.deleted = []
    }
  })

  it('give what the rows give, for random ranges, buckets and groups', async () => {
    const instant = fc.integer({ min: -100, max: 3 * 1440 + 100 }).map((m) => start + BigInt(m) * minute)
    const range = fc.oneof(
      fc.constant({}),
      fc.tuple(instant, instant).map(([a, b]) => (a < b ? { from: a, to: b } : { from: b, to: a + 1n })),
    )
    const shape = fc.record({
      bucket: fc.constantFrom(undefined, '1 hour', '2 hours', '1 day', '1 week', '20 minutes'),
      by: fc.constantFrom(undefined, ['host'], ['region']),
      where: fc.constantFrom(undefined, { host: 'host_2' }, { $not: { host: { gt: 'host_0' } } }),
      zone: fc.constantFrom(undefined, 'Europe/Berlin'),
    })
    await fc.assert(
      fc.asyncProperty(range, shape, async (stretch, { bucket, by, where, zone }) => {
        const zoned = bucket && zone ? { zone } : {}
        await expectRight({
          ...stretch,
          ...(bucket ? { bucket } : {}),
          ...zoned,
          ...(by ? { by } : {}),
          ...(where ? { where } : {}),
          select,
        })
      }),
      { numRuns: 40 },
    )
  }, 60_000)
})

describe('held summaries', () => {
  it('are read once, and again only when they had to go', async () => {
    const fixture = await createColdFixture({ summaryShare: 100 })
    try {
      await fixture.add(cpu, rows)
      let opened = 0
      const store: ObjectStore = {
        ...fixture.store,
        localFile(path, signal) {
          opened++
          return fixture.store.localFile(path, signal)
        },
      }
      const ask = async (tier: Tier, column: string): Promise<number> => {
        opened = 0
        const input = { bucket: '1 hour', by: ['host'], select: { most: { fn: 'max', column } } }
        const node = parseQuery(input, { dataset: cpu, clock })
        const answer = await executeQuery(node, {
          tiers: [tier],
          snapshot: fixture.snapshot(),
          clock,
          signal: null,
          limits: defaultQueryLimits,
        })
        expect(compareAnswers(answer, naiveAnswer(node, rows), node)).toEqual([])
        return opened
      }
      const roomy = createColdTier({ duckdb: fixture.duckdb, store })
      expect([await ask(roomy, 'usage'), await ask(roomy, 'usage')]).toEqual([3, 0])
      expect([await ask(roomy, 'price'), await ask(roomy, 'usage'), await ask(roomy, 'price')]).toEqual([
        3, 0, 0,
      ])
      // 24 hours, 3 hosts, 4 columns of 16 bytes: two of the three files
      const narrow = createColdTier({ duckdb: fixture.duckdb, store, maxHeldSummaryBytes: 10_000 })
      expect([await ask(narrow, 'usage'), await ask(narrow, 'usage')]).toEqual([3, 1])
    } finally {
      await fixture.close()
    }
  })
})
