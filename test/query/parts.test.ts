import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Answer,
  defaultQueryLimits,
  executeQuery,
  parseQuery,
  type QueryLimits,
  type Tier,
} from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, type TimeRange } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { createMemoryTier, type MemoryTier } from '../helpers/memory-tier.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { everyType, fixedRows, paths, randomRows, start } from '../suites/tier-data.ts'

const clock = fixedClock(start + 10n ** 12n)
const hour = 3_600_000_000n
const past = start - 1000n * hour
const future = start + 1000n * hour

async function ask(
  tiers: readonly Tier[],
  input: unknown,
  dataset: Parameters<typeof parseQuery>[1]['dataset'] = everyType,
  limits: QueryLimits = defaultQueryLimits,
): Promise<Answer> {
  return executeQuery(parseQuery(input, { dataset, clock, limits }), {
    tiers,
    snapshot: { id: '10:20:', takenAt: start },
    clock,
    signal: null,
    limits,
  })
}

/** Every tier holds all rows and answers for its stretches only. */
function split(
  rows: readonly Readonly<Record<string, unknown>>[],
  cuts: readonly (readonly TimeRange[])[],
): Tier[] {
  return cuts.map((coverage, i) =>
    createMemoryTier({ name: `tier ${i}`, dataset: everyType, rows, coverage }),
  )
}

const count = { fn: 'count' }

describe('an answer from several parts', () => {
  const cuts = [
    [{ from: start + 30n * hour + 1n, to: future }],
    [
      { from: past, to: start + 5n * hour },
      { from: start + 9n * hour + 7n, to: start + 30n * hour + 1n },
    ],
    [{ from: start + 5n * hour, to: start + 9n * hour + 7n }],
  ]

  it('is the same whichever tier holds which stretch, also when a bucket is cut', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const rows = [...randomRows(seed, 300), ...fixedRows()]
    const tiers = split(rows, cuts)
    await fc.assert(
      fc.asyncProperty(queryArbitrary({ dataset: everyType, rows, paths }), async (input) => {
        const node = parseQuery(input, { dataset: everyType, clock })
        expect(compareAnswers(await ask(tiers, input), naiveAnswer(node, rows), node)).toEqual([])
      }),
      { seed, numRuns: 80 },
    )
  }, 60_000)

  it('names in its plan where each part came from, how much it read, and that it is one snapshot', async () => {
    const { plan } = await ask(split(fixedRows(), cuts), {
      from: start - 2n * hour,
      bucket: '12 hours',
      select: {
        n: count,
        p95: { fn: 'percentile', column: 'value', q: 0.95 },
        users: { fn: 'uniques', column: 'tag' },
      },
    })
    expect(plan.parts.map(({ source }) => source)).toEqual(['tier 1', 'tier 2', 'tier 1', 'tier 0'])
    expect(plan.parts[0]).toMatchObject({ from: '2026-03-28T10:00:00Z', to: '2026-03-28T17:00:00Z' })
    expect(plan.parts.at(-1)?.rows).toBeGreaterThan(0)
    expect(plan.snapshot).toBe('10:20:')
    expect(plan.freshness).toEqual({ asOf: '2026-03-28T12:00:00Z', lagMs: 1_000_000_000 })
    expect(plan.range).toEqual({ from: '2026-03-28T10:00:00Z', to: null })
    expect(Object.keys(plan.errorBounds)).toEqual(['p95', 'users'])
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
    expect(plan.ms.total).toBeGreaterThanOrEqual(plan.ms.read)
  })

  it('pages through rows over the borders of parts, with every page size', async () => {
    const rows = fixedRows()
    const tiers = split(rows, cuts)
    for (const direction of ['asc', 'desc'])
      for (const limit of [1, 3, 7, 1000]) {
        const ids: unknown[] = []
        let cursor: string | null = null
        do {
          const page: Answer = await ask(tiers, { columns: ['id'], direction, limit, cursor })
          ids.push(...page.rows.map((row) => row['id']))
          cursor = page.cursor
        } while (cursor !== null)
        expect([...ids].sort()).toEqual(rows.map((row) => row['id']).sort())
      }
  })

  it('pages in the range of the first page, however late the next is asked for', async () => {
    const tier = createMemoryTier({ dataset: everyType, rows: fixedRows() })
    const early = await ask([tier], { from: '-1000000 s', columns: ['id'], limit: 2 })
    clock.advance(10n ** 15n)
    try {
      const late = await ask([tier], { from: '-1000000 s', columns: ['id'], limit: 2, cursor: early.cursor })
      expect(late.rows).toHaveLength(2)
      expect(late.plan.range).toEqual(early.plan.range)
    } finally {
      clock.advance(-(10n ** 15n))
    }
  })

  it('takes the newest row of a series from the newest part that has one', async () => {
    const rows = fixedRows()
    const node = parseQuery({ latestBy: ['tag'] }, { dataset: everyType, clock })
    expect(
      compareAnswers(await ask(split(rows, cuts), { latestBy: ['tag'] }), naiveAnswer(node, rows), node),
    ).toEqual([])
  })

  it('merges equal groups that two tiers write differently', async () => {
    const rows = [
      { time: start, id: 1, tag: 'a', price: '1.0', value: -0 },
      { time: start + hour, id: 2, tag: 'a', price: '1.00', value: 0 },
      { time: start + 2n * hour, id: 3, tag: 'a', price: '01', value: Number.NaN },
      { time: start + 3n * hour, id: 4, tag: 'a', price: '1', value: Number.NaN },
    ]
    const tiers = split(rows, [
      [{ from: past, to: start + hour }],
      [{ from: start + hour, to: start + 2n * hour }],
      [{ from: start + 2n * hour, to: start + 3n * hour }],
      [{ from: start + 3n * hour, to: future }],
    ])
    expect((await ask(tiers, { by: ['price'], select: { n: count } })).rows).toEqual([{ price: '1', n: 4 }])
    expect((await ask(tiers, { by: ['value'], select: { n: count } })).rows).toEqual([
      { value: 0, n: 2 },
      { value: Number.NaN, n: 2 },
    ])
  })

  it('is refused when rows lie only where the query cannot be answered', async () => {
    const unable = createMemoryTier({
      dataset: everyType,
      rows: [],
      coverage: [{ from: start, to: future }],
      cannot: () => 'it has no groups',
    })
    await expect(ask([unable], { select: { n: count } })).rejects.toThrow(
      'query: rows from 2026-03-28T12:00:00Z to 2026-05-09T04:00:00Z cannot be read for it: it has no groups',
    )
  })

  it('waits for every part before it fails, and fails with the first error', async () => {
    let finished = false
    const slow: Tier = {
      ...createMemoryTier({ dataset: everyType, rows: [], coverage: [{ from: start, to: future }] }),
      scan: async () => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        finished = true
        return { cells: [], rowsRead: 0, bytesRead: 0 }
      },
    }
    const broken: Tier = {
      ...createMemoryTier({ dataset: everyType, rows: [], coverage: [{ from: past, to: start }] }),
      scan: async () => {
        throw new Error('the disk is gone')
      },
    }
    await expect(ask([slow, broken], { select: { n: count } })).rejects.toThrow('the disk is gone')
    expect(finished).toBe(true)
  })
})

describe('a limit that follows the bucket', () => {
  const points = hypertable('suite.points', {
    columns: { time: t.timestamptz(), host: t.text(), value: t.float8() },
    time: 'time',
  })
  /** Ten hosts, a row a minute each for a day; then nothing for ten years; then an hour more. */
  const rows = [...Array(1440).keys(), ...Array.from({ length: 60 }, (_, i) => 5_256_000 + i)].flatMap(
    (minute) =>
      ['a', 'b', 'c', 'd', 'e'].map((host, i) => ({
        time: start + BigInt(minute) * 60_000_000n + BigInt(i),
        host,
        value: (minute * 7 + i) % 100,
      })),
  )

  async function check(input: Record<string, unknown>, tier = memory()): Promise<MemoryTier> {
    const node = parseQuery(input, { dataset: points, clock })
    const answer = await ask([tier], input, points)
    expect(compareAnswers(answer, naiveAnswer(node, rows), node)).toEqual([])
    return tier
  }
  const memory = (hasIndex = true): MemoryTier => createMemoryTier({ dataset: points, rows, hasIndex })
  const width = ({ scanned }: MemoryTier): bigint =>
    scanned.reduce((sum, { from, to }) => sum + (to - from), 0n)

  it('reads the newest buckets only', async () => {
    const tier = await check({ bucket: '1 minute', select: { n: count }, order: ['-bucket'], limit: 5 })
    expect(width(tier)).toBeLessThanOrEqual(5n * 60_000_000n)
  })

  it('reads the oldest buckets only, also when no order is asked', async () => {
    for (const order of [['bucket'], ['bucket', '-n'], undefined]) {
      const tier = await check({ bucket: '1 minute', select: { n: count }, order, limit: 5 })
      expect(width(tier)).toBeLessThanOrEqual(5n * 60_000_000n)
    }
  })

  it('takes whole buckets when a bucket has several groups', async () => {
    for (const limit of [1, 4, 5, 6, 23]) {
      const tier = await check({
        bucket: '1 minute',
        by: ['host'],
        select: { top: { fn: 'max', column: 'value' } },
        order: ['-bucket', '-top'],
        limit,
      })
      expect(width(tier)).toBeLessThanOrEqual(40n * 60_000_000n)
    }
  })

  it('jumps over a stretch without rows instead of walking it', async () => {
    const tier = await check({ bucket: '1 minute', select: { n: count }, order: ['-bucket'], limit: 100 })
    expect(tier.scanned.length).toBeLessThanOrEqual(4)
  })

  it('goes on until enough groups survive having, and through everything when too few do', async () => {
    const select = { n: count, top: { fn: 'max', column: 'value' } }
    await check({ bucket: '1 minute', select, order: ['-bucket'], limit: 7, having: { top: { lt: 6 } } })
    await check({ bucket: '1 minute', select, order: ['-bucket'], limit: 7, having: { top: { gt: 1000 } } })
    await check({
      bucket: '1 hour',
      by: ['host'],
      select,
      order: ['bucket', 'host'],
      limit: 50,
      having: { n: { lt: 60 } },
    })
  })

  it('is right where a filter matches little, and where the tier has no index', async () => {
    const input = {
      bucket: '1 hour',
      select: { n: count },
      where: { value: 42 },
      order: ['-bucket'],
      limit: 30,
    }
    await check(input)
    await check(input, memory(false))
    await check({ ...input, to: '2026-03-29T01:30:30Z', from: '2026-03-28T13:13:13Z' }, memory(false))
    await check({ ...input, where: { value: -1 } }, memory(false))
  })

  it('is right for months and days of a zone, without an end of the range', async () => {
    for (const bucket of ['1 day', '1 month', '1 hour'])
      for (const order of ['-bucket', 'bucket'])
        await check({ bucket, zone: 'America/New_York', select: { n: count }, order: [order], limit: 3 })
  })

  it('says that it needs the ends when nothing tells where the rows of a calendar bucket end', async () => {
    const input = {
      bucket: '1 minute',
      zone: 'Europe/Berlin',
      select: { n: count },
      order: ['-bucket'],
      limit: 3,
    }
    await expect(ask([memory(false)], input, points)).rejects.toThrow('from: it is needed: no index tells')
    await expect(ask([memory(false)], { ...input, limit: null }, points)).rejects.toThrow(
      'from: it is needed',
    )
    await check({ ...input, from: '2026-03-28', to: '2026-03-30' }, memory(false))
  })

  it('reads everything when something else orders first, or gaps are filled', async () => {
    const byCount = await check({
      bucket: '1 hour',
      select: { n: count },
      order: ['-n', '-bucket'],
      limit: 2,
    })
    expect(byCount.scanned).toHaveLength(1)
    const range = { from: '2026-03-28T00:00:00Z', to: '2026-03-30T00:00:00Z' }
    const filled = await check({
      ...range,
      bucket: '1 hour',
      select: { n: count },
      order: ['-bucket'],
      limit: 3,
      fill: 'previous',
    })
    expect(filled.scanned).toHaveLength(1)
  })
})

describe('limits', () => {
  const tier = (): Tier => createMemoryTier({ dataset: everyType, rows: fixedRows() })
  const limited = (over: Partial<QueryLimits>): QueryLimits => ({ ...defaultQueryLimits, ...over })

  it('stop an answer with too many rows, and name the way out', async () => {
    await expect(
      ask([tier()], { by: ['id'], select: { n: count } }, everyType, limited({ maxRows: 10 })),
    ).rejects.toThrow(
      /the number of rows is \d+, over the limit of 10; ask for fewer with limit, or raise limits.maxRows/,
    )
    const { rows } = await ask(
      [tier()],
      { by: ['id'], select: { n: count }, limit: 10 },
      everyType,
      limited({ maxRows: 10 }),
    )
    expect(rows).toHaveLength(10)
    await expect(
      ask([tier()], { latestBy: ['id'] }, everyType, limited({ maxRows: 10 })),
    ).rejects.toMatchObject({ code: 'TM_LIMIT' })
  })

  it('count the cells of all parts together', async () => {
    const tiers = split(fixedRows(), [
      [{ from: past, to: start + hour }],
      [{ from: start + hour, to: future }],
    ])
    await expect(
      ask(tiers, { by: ['id'], select: { n: count } }, everyType, limited({ maxCells: 30 })),
    ).rejects.toMatchObject({
      code: 'TM_LIMIT',
    })
  })

  it('stop gaps from being filled without end', async () => {
    const input = {
      from: '1970-01-01',
      to: '2026-01-01',
      bucket: '1 second',
      select: { n: count },
      fill: 'null',
    }
    await expect(ask([tier()], input)).rejects.toMatchObject({ code: 'TM_LIMIT' })
    const calendar = {
      from: '0001-01-01',
      to: '9999-01-01',
      bucket: '1 day',
      zone: 'Europe/Berlin',
      select: { n: count },
    }
    await expect(ask([tier()], calendar)).rejects.toMatchObject({ code: 'TM_LIMIT' })
  })
})
