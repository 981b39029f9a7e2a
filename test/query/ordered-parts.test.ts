import { expect, it } from 'vitest'
import { defaultQueryLimits, executeQuery, parseQuery } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { createMemoryTier, type MemoryTier } from '../helpers/memory-tier.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { createRandom } from '../helpers/split-tiers.ts'

const gauge = hypertable('ordered.gauge', {
  columns: { time: t.timestamptz(), host: t.text(), n: t.int4() },
  time: 'time',
  orderBy: ['host', 'time'],
})
const start = 1_767_225_600_000_000n
const second = 1_000_000n
const chunk = 10n * second
const clock = fixedClock(start)

type Row = {
  readonly time: bigint
  readonly host: string
  readonly n: number
}

/** At a second of the first chunks. */
const at = (seconds: number, n: number, host = 'a'): Row => ({
  time: start + BigInt(seconds) * second,
  host,
  n,
})

const select = {
  sent: { fn: 'increase', column: 'n' },
  speed: { fn: 'rate', column: 'n' },
  change: { fn: 'delta', column: 'n' },
  held: { fn: 'timeWeightedAvg', column: 'n' },
  line: { fn: 'timeWeightedAvg', column: 'n', method: 'linear', series: [] },
  oldest: { fn: 'first', column: 'n' },
  newest: { fn: 'last', column: 'n' },
  rows: { fn: 'count' },
}

/** Shares of chunks; each says of each chunk that it covers it, whether it has rows there or not. */
async function check(
  shares: readonly (readonly Row[])[],
  chunks: number,
  input: object,
): Promise<MemoryTier[]> {
  const coverage = Array.from({ length: chunks }, (_, i) => ({
    from: start + BigInt(i) * chunk,
    to: start + BigInt(i + 1) * chunk,
  }))
  const tiers = shares.map((rows, i) =>
    createMemoryTier({ dataset: gauge, name: `share ${i}`, rows, holds: 'share', coverage }),
  )
  const node = parseQuery({ ...input, select }, { dataset: gauge, clock })
  const answer = await executeQuery(node, {
    tiers,
    snapshot: { id: '10:20:', takenAt: start },
    clock,
    signal: null,
    limits: defaultQueryLimits,
  })
  expect(compareAnswers(answer, naiveAnswer(node, shares.flat()), node)).toEqual([])
  return tiers
}

it('shares that lie one behind the other, in other order in the next chunk, keep the order of readings', async () => {
  await check(
    [
      [at(1, 5), at(11, 7)],
      [at(6, 9), at(16, 3)],
    ],
    2,
    {},
  )
  await check(
    [
      [at(1, 5), at(17, 7)],
      [at(6, 9), at(12, 3)],
    ],
    2,
    {},
  )
  // one has nothing in the second chunk
  await check([[at(1, 5), at(11, 7)], [at(6, 9)]], 2, {})
  await check(
    [
      [at(1, 5), at(9, 2), at(17, 7), at(25, 1)],
      [at(4, 9), at(14, 3)],
    ],
    3,
    {},
  )
})

it('readings of one instant in several shares are one after the other by their values', async () => {
  await check(
    [
      [at(1, 5), at(5, 7)],
      [at(5, 6), at(9, 1)],
    ],
    1,
    {},
  )
  await check(
    [
      [at(1, 5), at(5, 7)],
      [at(5, 6), at(9, 1)],
      [at(5, 8), at(0, 1)],
    ],
    1,
    {},
  )
})

it('wherever the rows of each chunk lie', async () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  const random = createRandom(seed)
  const below = (n: number): number => Math.floor(random() * n)
  for (let run = 0; run < 2000; run += 1) {
    const chunks = 1 + below(5)
    const shares = Array.from({ length: 2 + below(2) }, (): Row[] => [])
    for (let i = 0; i < chunks; i += 1) {
      // in each chunk the shares have stretches, or everything among each other's
      const borders = shares.map(() => below(11)).sort((a, b) => a - b)
      const isMixed = random() < 0.3
      const order = shares.map((share) => share).sort(() => random() - 0.5)
      for (let k = below(8); k > 0; k -= 1) {
        const offset = below(10)
        const place = isMixed ? below(order.length) : borders.findIndex((border) => offset < border)
        order[place]?.push(at(i * 10 + offset, below(20), random() < 0.5 ? 'a' : 'b'))
      }
    }
    const from = start + BigInt(below(20)) * second
    const input = [
      {},
      { bucket: '7 seconds' },
      { by: ['host'] },
      { from, bucket: '1 minute' },
      { where: { host: 'a' } },
    ]
    const asked = input[below(input.length)] as object
    await check(shares, chunks, asked).catch((error: unknown) => {
      throw new Error(`seed ${seed}, run ${run}`, { cause: error })
    })
  }
})

it('a long share is asked at once where the others have nothing', async () => {
  const rows = Array.from({ length: 400 }, (_, i) => at(i, i % 7))
  const [long] = await check([rows, [at(101, 3), at(104, 3)]], 40, {})
  // before, among and behind the late readings
  expect(long!.scanned).toHaveLength(3)
})
