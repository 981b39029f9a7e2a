import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Answer,
  defaultQueryLimits,
  executeQuery,
  parseQuery,
  type RowsRequest,
  type Tier,
} from '../../src/query/index.ts'
import { type HypertableDefinition, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { createMemoryTier } from '../helpers/memory-tier.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { createRandom, createSplitTiers } from '../helpers/split-tiers.ts'
import { everyType, fixedRows, paths, randomRows, start } from '../suites/tier-data.ts'

type Row = Readonly<Record<string, unknown>>

const clock = fixedClock(start + 10n ** 12n)
const hour = 3_600_000_000n
const within = { from: start - hour, to: start + 61n * hour }
const seed = Math.floor(Math.random() * 2 ** 31)

async function ask(
  tiers: readonly Tier[],
  input: unknown,
  dataset: HypertableDefinition = everyType,
): Promise<Answer> {
  return executeQuery(parseQuery(input, { dataset, clock }), {
    tiers,
    snapshot: { id: '10:20:', takenAt: start },
    clock,
    signal: null,
    limits: defaultQueryLimits,
  })
}

/** Few instants and values, so that ties and identical rows are common. */
const columns = { time: t.timestamptz(), host: t.text(), n: t.int4(), note: t.jsonb().nullable() }
const loose = hypertable('shares.loose', { columns, time: 'time' })
const keyed = hypertable('shares.keyed', { columns, time: 'time', primaryKey: ['host', 'n', 'time'] })

function someRows(random: () => number, count: number, isKeyed: boolean): Row[] {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  return Array.from({ length: count }, (_, i) => ({
    time: start + BigInt(Math.floor(random() * 12)) * 5n * hour,
    host: pick(['a', 'B', 'é', 'b', '\u{1F600}']),
    n: isKeyed ? i : pick([1, 2]),
    note: pick([null, null, { a: 1 }]),
  }))
}

const text = (row: Row): string => JSON.stringify(row)

describe('shares of one stretch', () => {
  it(`give the answer of all rows, whichever share each row is in (seed ${seed})`, async () => {
    const random = createRandom(seed)
    const rows = [...randomRows(seed, 250), ...fixedRows()]
    await fc.assert(
      fc.asyncProperty(queryArbitrary({ dataset: everyType, rows, paths }), async (input) => {
        const tiers = createSplitTiers({ dataset: everyType, rows, random, within, withCopy: random() < 0.5 })
        const node = parseQuery(input, { dataset: everyType, clock })
        expect(compareAnswers(await ask(tiers, input), naiveAnswer(node, rows), node)).toEqual([])
      }),
      { seed, numRuns: 100 },
    )
  }, 60_000)

  it(`give the newest buckets without the whole range (seed ${seed})`, async () => {
    const random = createRandom(seed)
    const rows = randomRows(seed, 250)
    for (let run = 0; run < 40; run++) {
      const input = {
        bucket: '1 hour',
        by: run % 2 ? ['tag'] : [],
        select: { n: { fn: 'count' }, top: { fn: 'max', column: 'whole' } },
        having: { n: { gte: 1 + (run % 3) } },
        order: [run % 4 < 2 ? '-bucket' : 'bucket'],
        limit: 1 + (run % 9),
      }
      const node = parseQuery(input, { dataset: everyType, clock })
      const tiers = createSplitTiers({ dataset: everyType, rows, random, within, withCopy: run % 3 === 0 })
      const answer = await ask(tiers, input)
      const naive = naiveAnswer(node, rows)
      // ties of the bucket are in the order of the groups in both
      expect(compareAnswers(answer, naive, node)).toEqual([])
    }
  })

  for (const dataset of [loose, keyed])
    it(`neither hide nor repeat a row of a table ${dataset.primaryKey ? 'with' : 'without'} a key when every row may move between two pages (seed ${seed})`, async () => {
      const random = createRandom(seed)
      for (let run = 0; run < 60; run++) {
        const rows = someRows(random, 80, dataset === keyed)
        const direction = random() < 0.5 ? 'asc' : 'desc'
        const limits = [1, 2, 3, 7, 20, 100]
        const seen: Row[] = []
        let cursor: string | null = null
        do {
          // other borders, other homes, now and then pages that a tier ends early
          const tiers = createSplitTiers({
            dataset,
            rows,
            random,
            within,
            withCopy: random() < 0.3,
            ...(random() < 0.4 ? { maxPageRows: 1 + Math.floor(random() * 4) } : {}),
          })
          const limit = limits[Math.floor(random() * limits.length)]
          const page: Answer = await ask(tiers, { direction, limit, cursor }, dataset)
          expect(page.rows.length).toBeLessThanOrEqual(limit as number)
          if (page.cursor !== null) {
            expect(page.rows.length).toBeGreaterThan(0)
            expect(page.cursor.length).toBeLessThan(400)
          }
          seen.push(...page.rows)
          cursor = page.cursor
        } while (cursor !== null)
        const whole = await ask([createMemoryTier({ dataset, rows })], { direction, limit: 1000 }, dataset)
        expect(seen.map(text), `run ${run}`).toEqual(whole.rows.map(text))
      }
    }, 60_000)

  it(`show late rows behind the page and no row twice (seed ${seed})`, async () => {
    const random = createRandom(seed)
    for (let run = 0; run < 40; run++) {
      const rows = someRows(random, 60, false).map((row, i) => ({ ...row, n: i }))
      const late: Row[] = []
      const seen: Row[] = []
      let cursor: string | null = null
      do {
        const tiers = createSplitTiers({ dataset: loose, rows: [...rows, ...late], random, within })
        const page: Answer = await ask(tiers, { limit: 5, cursor }, loose)
        seen.push(...page.rows)
        cursor = page.cursor
        if (late.length < 30) late.push({ ...someRows(random, 1, false)[0], n: 1000 + late.length })
      } while (cursor !== null)
      const ids = seen.map((row) => row['n'] as number)
      expect(new Set(ids).size).toBe(ids.length)
      expect(ids.filter((n) => n < 1000).sort((a, b) => a - b)).toEqual(rows.map(({ n }) => n))
    }
  })

  it(`give the newest row of each series by the rule of ties (seed ${seed})`, async () => {
    const random = createRandom(seed)
    const rows = [...fixedRows(), ...randomRows(seed, 200)]
    for (const latestBy of [[], ['tag'], ['ok', 'small'], ['fee']])
      for (let run = 0; run < 20; run++) {
        const input = { latestBy, columns: '*' }
        const whole = await ask([createMemoryTier({ dataset: everyType, rows })], input)
        const tiers = createSplitTiers({ dataset: everyType, rows, random, within, withCopy: run % 4 === 0 })
        const shared = await ask(tiers, input)
        const shown = (answer: Answer): string[] => answer.rows.map((row) => inspect(row))
        expect(shown(shared)).toEqual(shown(whole))
      }
  })

  it('of which one cannot answer are not answered from the others', async () => {
    const range = { from: start, to: start + hour }
    const row = { time: start, host: 'a', n: 1 }
    const able = createMemoryTier({ dataset: loose, rows: [row], holds: 'share', coverage: [range] })
    const unable = createMemoryTier({
      dataset: loose,
      rows: [row],
      holds: 'share',
      coverage: [range],
      cannot: () => 'it has no groups',
    })
    const input = { select: { n: { fn: 'count' } } }
    await expect(ask([able, unable], input, loose)).rejects.toThrow('cannot be read for it: it has no groups')
    const copy = createMemoryTier({
      dataset: loose,
      rows: [row, row],
      coverage: [range],
      estimatedRows: null,
    })
    expect((await ask([able, unable, copy], input, loose)).rows).toEqual([{ n: 2 }])
    expect((await ask([able, able], input, loose)).rows).toEqual([{ n: 2 }])
  })

  it('are read together, each with what it opened in the plan', async () => {
    const range = { from: start, to: start + hour }
    const row = { time: start, host: 'a', n: 1 }
    const hot = createMemoryTier({ name: 'hot', dataset: loose, rows: [row], holds: 'share' })
    let isBoth: (() => void) | null = null
    const both = new Promise<void>((resolve) => {
      isBoth = resolve
    })
    const waiting: Tier = {
      ...hot,
      scan: async (request, context) => {
        await both
        return hot.scan(request, context)
      },
    }
    const memory = createMemoryTier({ dataset: loose, rows: [row], holds: 'share', coverage: [range] })
    const cold: Tier = {
      ...memory,
      name: 'cold',
      scan: async (request, context) => {
        isBoth?.()
        const result = await memory.scan(request, context)
        return { ...result, bytesRead: 1234, detail: { files: 2, summaries: 1 } }
      },
    }
    const { rows, plan } = await ask([waiting, cold], { ...range, select: { n: { fn: 'count' } } }, loose)
    expect(rows).toEqual([{ n: 2 }])
    const why = 'one of 2 that share its rows'
    expect(plan.parts).toMatchObject([
      { source: 'cold', files: 2, summaries: 1, bytes: 1234, rows: 1, why },
      { source: 'hot', rows: 1, bytes: null, why },
    ])
    expect(plan.parts[1]).not.toHaveProperty('files')
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan)
  })

  it('are opened only when the page comes to them', async () => {
    const rows = (from: bigint, count: number): Row[] =>
      Array.from({ length: count }, (_, i) => ({ time: from + BigInt(i) * 60_000_000n, host: 'a', n: i }))
    const asked: RowsRequest[] = []
    const hot = createMemoryTier({ name: 'hot', dataset: loose, rows: rows(start, 200), holds: 'share' })
    const memory = createMemoryTier({
      dataset: loose,
      rows: rows(start - 100n * hour, 10),
      holds: 'share',
      coverage: [{ from: start - 100n * hour, to: start - 90n * hour }],
    })
    const cold: Tier = {
      ...memory,
      rows: (request, context) => {
        asked.push(request)
        return memory.rows(request, context)
      },
    }
    const newest = await ask([hot, cold], { direction: 'desc', limit: 50 }, loose)
    expect(newest.rows).toHaveLength(50)
    expect(asked).toEqual([])
    const all = await ask([hot, cold], { direction: 'desc', limit: 500 }, loose)
    expect(all.rows).toHaveLength(210)
    expect(asked).toHaveLength(1)
  })

  it('end a page where one of them has to, so that no more is held than shares allow', async () => {
    const rows = someRows(createRandom(seed), 100, true)
    const tiers = [0, 1].map((remainder) =>
      createMemoryTier({
        dataset: keyed,
        rows: rows.filter((row) => (row['n'] as number) % 2 === remainder),
        holds: 'share',
        maxPageRows: 3,
      }),
    )
    const page = await ask(tiers, { limit: 100 }, keyed)
    expect(page.rows.length).toBeGreaterThanOrEqual(3)
    expect(page.rows.length).toBeLessThan(6)
    expect(page.plan.parts).toHaveLength(2)
  })
})
