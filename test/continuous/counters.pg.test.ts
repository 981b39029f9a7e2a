import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate, readVersions } from '../../src/continuous/index.ts'
import { increase, parseQuery, rate, timeWeightedAvg, topK } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { createRandom } from '../helpers/split-tiers.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { fillCells } from './cells-fixture.ts'

const traffic = hypertable('kept.traffic', {
  columns: { time: t.timestamptz(), host: t.text(), path: t.text(), bytes: t.int8(), load: t.float8() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['host', 'time'],
  changeCell: '1 hour',
})
const select = {
  sent: increase('bytes'),
  speed: rate('bytes'),
  load: timeWeightedAvg('load', { method: 'linear' }),
  paths: topK('path', 3),
}
const hourly = continuousAggregate('kept.traffic_hourly', {
  from: traffic,
  bucket: '1 hour',
  by: ['host'],
  select,
})
const config = defineConfig({ datasets: [traffic, hourly], cache: { memory: 0 } })

const second = 1_000_000n
const start = 1_767_225_600n * second
const clock = fixedClock(start + 5n * 86_400n * second)
const seed = Math.floor(Math.random() * 2 ** 31)

describe('counters and the most frequent values in a continuous aggregate', () => {
  let engine: TestEngine<typeof config>
  const random = createRandom(seed)
  const rows: Readonly<Record<string, unknown>>[] = Array.from({ length: 3000 }, () => ({
    time: start + BigInt(Math.floor(random() * 3 * 86_400)) * second,
    host: ['a', 'b', 'c'][Math.floor(random() * 3)],
    path: `/${Math.floor(40 * random() ** 2)}`,
    bytes: BigInt(Math.floor(random() * 1e6)),
    load: Math.floor(random() * 64) / 4,
  }))

  beforeAll(async () => {
    engine = await createTestEngine(config, { clock })
    await engine.tm.insertUnknown(traffic.name, rows)
    await engine.test.db.execute('analyze')
    for (const version of await readVersions(engine.test.db, traffic))
      await fillCells(engine.test.db, version, { from: start, to: start + 3n * 86_400n * second })
  })
  afterAll(() => engine.close())

  it.each([{ bucket: '1 hour', by: ['host'] }, { bucket: '1 day', by: ['host'] }, { bucket: '1 day' }, {}])(
    '%o: the cells give what the rows give, with what was counted between hours',
    async (shape) => {
      const input = { from: '2026-01-01', to: '2026-01-04', ...shape, select }
      const node = parseQuery(input, { dataset: traffic, clock })
      const answer = await engine.tm.queryUnknown(traffic.name, input)
      expect(answer.plan.parts.map(({ source }) => source)).toEqual(['kept.traffic_hourly'])
      expect(compareAnswers(answer, naiveAnswer(node, rows), node), `seed ${seed}`).toEqual([])
    },
  )

  it('ragged ends of a range are read from rows and put before and behind the cells', async () => {
    const input = { from: '2026-01-01T10:20:00Z', to: '2026-01-02T07:45:00Z', select }
    const node = parseQuery(input, { dataset: traffic, clock })
    const answer = await engine.tm.queryUnknown(traffic.name, input)
    expect(answer.plan.parts.map(({ source }) => source)).toEqual(['hot', 'kept.traffic_hourly', 'hot'])
    expect(compareAnswers(answer, naiveAnswer(node, rows), node), `seed ${seed}`).toEqual([])
  })
})
