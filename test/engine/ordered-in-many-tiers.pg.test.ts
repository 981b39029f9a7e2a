import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { delta, first, increase, last, parseQuery, rate, timeWeightedAvg } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, formatInstant } from '../../src/time/index.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { createRandom } from '../helpers/split-tiers.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const traffic = hypertable('ordered.traffic', {
  columns: { time: t.timestamptz(), host: t.text(), bytes: t.int8(), load: t.float8().nullable() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['host', 'time'],
  changeCell: '1 hour',
})
const kept = {
  sent: increase('bytes'),
  speed: rate('bytes'),
  change: delta('load'),
  held: timeWeightedAvg('load'),
  line: timeWeightedAvg('load', { method: 'linear' }),
  oldest: first('load'),
  newest: last('load'),
}
const hourly = continuousAggregate('ordered.hourly', {
  from: traffic,
  bucket: '1 hour',
  by: ['host'],
  select: kept,
})
const daily = continuousAggregate('ordered.daily', {
  from: hourly,
  bucket: { every: '1 day', zone: 'America/New_York' },
  by: ['host'],
  select: { sent: 'sent', held: 'held', newest: 'newest' },
})
const config = defineConfig({ datasets: [traffic, hourly, daily], lake: { dir: 'lake', threads: 1 } })

const second = 1_000_000n
const hour = 3600n * second
const day = 24n * hour
// the clocks of New York are set on the 8th
const start = BigInt(Date.parse('2026-03-06T00:00:00Z')) * 1000n
const days = 6
const end = start + BigInt(days) * day
const clock = fixedClock(end + 3n * day)

const seed = Math.floor(Math.random() * 2 ** 31)
const random = createRandom(seed)
const below = (n: number): number => Math.floor(random() * n)
const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T

type Row = {
  readonly time: bigint
  readonly host: string
  readonly bytes: bigint
  readonly load: number | null
}

/** Few instants, so that many readings share one, and many lie on the border of a bucket or a chunk. */
function readings(count: number, from: bigint, to: bigint): Row[] {
  const step = pick([600n, 3600n, 7n]) * second
  return Array.from({ length: count }, () => ({
    time: from + BigInt(below(Number((to - from) / step) || 1)) * step,
    host: pick(['a', 'b', 'c']),
    bytes: BigInt(below(1000)),
    load: random() < 0.2 ? null : below(64) / 4,
  }))
}

function stretch(): { from: bigint; to: bigint } {
  const from = start + BigInt(below(days * 24)) * hour
  return { from, to: from + BigInt(1 + below(pick([3, 30, 100]))) * hour }
}

function wholeDays(): { from: bigint; to: bigint } {
  const at = below(days)
  return { from: start + BigInt(at) * day, to: start + BigInt(at + 1 + below(days - at)) * day }
}

let engine: TestEngine<typeof config>
/** Another process, which hears of what was moved only when it reads. */
let other: Tidemark<typeof config>
let dir: string
let rows: Row[] = []
beforeAll(async () => {
  engine = await createTestEngine(config, { clock })
  const { test, root } = engine
  other = await createTidemark(config, { connectionString: test.connectionString, root, clock })
  dir = await mkdtemp(join(tmpdir(), 'tidemark-ordered-'))
})
afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await other.close()
  await engine.close()
})

let files = 0
async function importToLake(imported: readonly Row[]): Promise<void> {
  const lines = imported.map(
    ({ time, host, bytes, load }) => `${formatInstant(time)},${host},${bytes},${load ?? ''}`,
  )
  const file = join(dir, `${++files}.csv`)
  await writeFile(file, `time,host,bytes,load\n${lines.join('\n')}\n`)
  const { rows: written } = await engine.tm.import(traffic.name, file, { cold: true })
  expect(written).toBe(imported.length)
}

/** What moves rows, adds late ones, takes some away. */
const steps: readonly (() => Promise<void>)[] = [
  async () => {
    const { from, to } = stretch()
    const late = readings(1 + below(30), from, to)
    await engine.tm.insert(traffic, late)
    rows.push(...late)
  },
  async () => {
    // as psql writes: also where no chunk is, into the default partition
    const late = readings(1 + below(4), start - 3n * day, end + 2n * day)
    const values = late.map(
      ({ time, host, bytes, load }) => `('${formatInstant(time)}', '${host}', ${bytes}, ${load})`,
    )
    await engine.test.db.execute(`insert into ordered.traffic values ${values.join(', ')}`)
    rows.push(...late)
  },
  async () => {
    const { from, to } = wholeDays()
    const late = readings(5 + below(60), from, to)
    await importToLake(late)
    rows.push(...late)
  },
  async () => {
    const { from, to } = stretch()
    const host = pick(['a', 'b', 'c'])
    const isMeant = (row: Row): boolean => row.host === host && row.time >= from && row.time < to
    const deleted = await engine.tm.delete(traffic, { where: { host }, from, to })
    expect(deleted).toBe(rows.filter(isMeant).length)
    rows = rows.filter((row) => !isMeant(row))
  },
  async () => {
    await engine.tm.freeze(traffic.name, wholeDays())
  },
  async () => {
    await engine.tm.freeze(traffic.name, wholeDays())
  },
  async () => {
    await engine.tm.thaw(traffic.name, wholeDays())
  },
  async () => {
    await engine.tm.compact(traffic.name, pick([{}, wholeDays()]))
  },
  async () => {
    await engine.tm.refresh(hourly.name, pick([{}, stretch()]))
  },
  async () => {
    await engine.tm.refresh(hourly.name)
    await engine.tm.refresh(daily.name)
  },
]

function randomQuery(): Record<string, unknown> {
  const series = pick([{}, {}, { series: [] as string[] }, { series: ['host'] }])
  const all: Record<string, unknown> = {
    ...kept,
    sent: { fn: 'increase', column: 'bytes', ...series },
    line: { fn: 'timeWeightedAvg', column: 'load', method: 'linear', ...series },
    some: { fn: 'rate', column: 'bytes', where: { host: 'b' } },
    n: { fn: 'count' },
  }
  const names = Object.keys(all).filter(() => random() < 0.5)
  const select = Object.fromEntries(['sent', ...names].map((name) => [name, all[name]]))
  const { from, to } = stretch()
  const ragged = BigInt(below(3)) * 601n * second
  return {
    select,
    ...pick([{}, { from: from + ragged, to }, { from }, { to }]),
    ...pick([
      {},
      { bucket: '1 hour' },
      { bucket: '3 hours' },
      { bucket: '7 hours' },
      { bucket: '1 day' },
      { bucket: '1 day', zone: 'America/New_York' },
      { bucket: '1 week', zone: 'America/New_York' },
      { bucket: '1 day', zone: 'Asia/Kolkata' },
    ]),
    ...pick([{}, { by: ['host'] }]),
    ...pick([{}, {}, { where: { host: pick(['a', 'c']) } }]),
  }
}

it('what depends on the order of readings is right wherever they lie', async () => {
  const initial = readings(1000, start, end)
  await engine.tm.insert(traffic, initial)
  rows.push(...initial)
  for (let round = 0; round < 15; round += 1) {
    await pick(steps)()
    for (let i = 0; i < 8; i += 1) {
      const input = randomQuery()
      const node = parseQuery(input, { dataset: traffic, clock })
      const shown = JSON.stringify(input, (_, value) =>
        typeof value === 'bigint' ? formatInstant(value) : value,
      )
      const answer = await pick([engine.tm, other])
        .queryUnknown(traffic.name, input)
        .catch((error: unknown) => {
          throw new Error(`seed ${seed}, round ${round}, ${shown}`, { cause: error })
        })
      expect(
        compareAnswers(answer, naiveAnswer(node, rows), node),
        `seed ${seed}, round ${round}, ${shown}\n${JSON.stringify(answer.plan.parts, null, 1)}`,
      ).toEqual([])
    }
  }
}, 120_000)
