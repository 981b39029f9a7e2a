import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createColdTier } from '../../src/lake/tier.ts'
import { defaultQueryLimits, executeQuery, parseQuery, type Tier } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { createRandom } from '../helpers/split-tiers.ts'
import { type ColdFixture, createColdFixture } from './cold-fixture.ts'

type Row = Readonly<Record<string, unknown>>

const before = hypertable('lake.meters', {
  columns: { time: t.timestamptz(), bytes: t.int4() },
  time: 'time',
  chunk: '1 day',
})
const meters = hypertable('lake.meters', {
  columns: { time: t.timestamptz(), bytes: t.int4(), host: t.text().nullable() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['host', 'time'],
})

const second = 1_000_000n
const day = 86_400n * second
const start = 1_767_225_600n * second
const clock = fixedClock(start + 9n * day)
const seed = Math.floor(Math.random() * 2 ** 31)

let fixture: ColdFixture
let tiers: Tier[]
beforeEach(async () => {
  fixture = await createColdFixture()
  const { duckdb, store } = fixture
  tiers = [createColdTier({ duckdb, store }), createColdTier({ duckdb, store, computeIn: 'typescript' })]
})
afterEach(() => fixture.close())

function readings(random: () => number, count: number, days: number, withHost: boolean): Row[] {
  return Array.from({ length: count }, () => ({
    time: start + BigInt(Math.floor(random() * days * 4000)) * (day / 4000n),
    bytes: Math.floor(random() * 1000),
    ...(withHost ? { host: random() < 0.5 ? 'a' : null } : {}),
  }))
}

async function expectRight(rows: readonly Row[]): Promise<void> {
  for (const shape of [{}, { bucket: '1 hour' }, { bucket: '2 days', by: ['host'] }])
    for (const tier of tiers) {
      const input = {
        ...shape,
        select: {
          sent: { fn: 'increase', column: 'bytes' },
          speed: { fn: 'rate', column: 'bytes', series: [] },
          held: { fn: 'timeWeightedAvg', column: 'bytes' },
          n: { fn: 'count' },
        },
      }
      const node = parseQuery(input, { dataset: meters, clock })
      const answer = await executeQuery(node, {
        tiers: [tier],
        snapshot: fixture.snapshot(),
        clock,
        signal: null,
        limits: defaultQueryLimits,
      })
      expect(
        compareAnswers(answer, naiveAnswer(node, rows), node),
        `seed ${seed}, ${JSON.stringify(shape)}`,
      ).toEqual([])
    }
}

describe('readings in files', () => {
  it('are put in order where one statement cannot read all files of a stretch', async () => {
    const random = createRandom(seed)
    // files of which one kind has no column for the host, in the same chunks
    const old = readings(random, 300, 3, false)
    const young = readings(random, 300, 5, true)
    await fixture.add(before, old)
    await fixture.add(meters, young)
    await expectRight([...old, ...young])
  })

  it('are put in order among more files with deleted rows than a statement reads', async () => {
    const random = createRandom(seed)
    const rows: Row[] = []
    for (let i = 0; i < 60; i++) {
      const some = readings(random, 4, 1, true).map((row, n) => ({
        ...row,
        // no two of one instant: the file has one order
        time: (row['time'] as bigint) + BigInt(n),
        bytes: 100 * i + n,
      }))
      const [file] = await fixture.add(meters, some)
      file!.deleted = [0]
      // which one comes first in a file follows from its order
      const first = [...some].sort(inFileOrder)[0]
      rows.push(...some.filter((row) => row !== first))
    }
    await expectRight(rows)
  })
})

/** Hosts that are null come last. */
function inFileOrder(a: Row, b: Row): number {
  if (a['host'] !== b['host']) return a['host'] === null ? 1 : -1
  return (a['time'] as bigint) < (b['time'] as bigint) ? -1 : 1
}
