import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Tidemark } from '../../src/engine.ts'
import { parseQuery } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { createRandom } from '../helpers/split-tiers.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const traffic = hypertable('late.traffic', {
  columns: { time: t.timestamptz(), host: t.text(), bytes: t.int8(), load: t.float8().nullable() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['host', 'time'],
})
const config = defineConfig({ datasets: [traffic], lake: { dir: 'lake', threads: 1 } })

const second = 1_000_000n
const day = 86_400n * second
const start = 1_767_225_600n * second
const clock = fixedClock(start + 10n * day)

let engine: TestEngine<typeof config>
let tm: Tidemark<typeof config>
beforeEach(async () => {
  engine = await createTestEngine(config, { clock })
  tm = engine.tm
})
afterEach(() => engine.close())

type Row = Readonly<Record<string, unknown>>

function readings(random: () => number, count: number, from: bigint, to: bigint): Row[] {
  return Array.from({ length: count }, () => ({
    time: from + (BigInt(Math.floor(random() * 5000)) * (to - from)) / 5000n,
    host: ['a', 'b', 'c'][Math.floor(random() * 3)]!,
    bytes: BigInt(Math.floor(random() * 1000)),
    load: random() < 0.2 ? null : Math.floor(random() * 64) / 4,
  }))
}

const select = {
  sent: { fn: 'increase', column: 'bytes' },
  speed: { fn: 'rate', column: 'bytes' },
  change: { fn: 'delta', column: 'load' },
  held: { fn: 'timeWeightedAvg', column: 'load' },
  line: { fn: 'timeWeightedAvg', column: 'load', method: 'linear', series: [] },
  busiest: { fn: 'topK', column: 'host', k: 2 },
  n: { fn: 'count' },
}

describe('readings that came late', () => {
  it('are in their place, whether the others are in PostgreSQL, in files, or in both', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31)
    const random = createRandom(seed)
    const rows = readings(random, 1500, start, start + 5n * day)
    const ask = async (): Promise<void> => {
      for (const shape of [
        {},
        { by: ['host'] },
        { bucket: '1 hour' },
        { bucket: '1 day', zone: 'America/New_York', by: ['host'] },
        { bucket: '7 hours', from: '2026-01-01T05:00:00Z', to: '2026-01-04T11:00:00Z', where: { host: 'a' } },
      ]) {
        const input = { ...shape, select }
        const node = parseQuery(input, { dataset: traffic, clock })
        const answer = await tm.queryUnknown(traffic.name, input)
        expect(
          compareAnswers(answer, naiveAnswer(node, rows), node),
          `seed ${seed}, ${JSON.stringify(shape)}`,
        ).toEqual([])
      }
    }
    await tm.insertUnknown(traffic.name, rows)
    await ask()
    await tm.freeze(traffic.name, { to: start + 4n * day })
    await ask()

    const late = readings(random, 20, start + 2n * day + 7200n * second, start + 2n * day + 10_800n * second)
    await tm.insertUnknown(traffic.name, late)
    rows.push(...late)
    await ask()
    const { plan } = await tm.queryUnknown(traffic.name, { select: { sent: select.sent } })
    // files before, within and behind the hour in which both have rows; PostgreSQL within it and for what is not frozen
    const width = ({ from, to }: { from: string | null; to: string | null }): number =>
      (Date.parse(to ?? '') - Date.parse(from ?? '')) / 3_600_000
    const within = plan.parts.filter((part) => width(part) <= 1)
    expect(within.map(({ source }) => source).sort()).toEqual(['cold', 'hot'])

    const scattered = readings(random, 60, start, start + 5n * day)
    await tm.insertUnknown(traffic.name, scattered)
    rows.push(...scattered)
    await ask()
  })
})
