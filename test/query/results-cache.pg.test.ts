import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), host: t.text(), value: t.float8() },
  time: 'time',
  primaryKey: ['host', 'time'],
  chunk: '1 day',
  changeCell: '1 hour',
})
const clock = fixedClock(parseInstant('2026-03-04T00:00:00Z'))
const config = defineConfig({ datasets: [requests] })
const uncached = defineConfig({ datasets: [requests], cache: { memory: 0 } })

const perHour = {
  from: '2026-03-01T00:00:00Z',
  to: '2026-03-03T00:00:00Z',
  bucket: '1 hour',
  by: ['host'],
  select: { n: { fn: 'count' }, sum: { fn: 'sum', column: 'value' } },
} as const

let engine: TestEngine<typeof config>
/** Another process, with a cache of its own. */
let other: Tidemark
let plain: Tidemark

const sourcesOf = async (tm: Tidemark, query: object): Promise<string[]> =>
  (await tm.queryUnknown(requests.name, query)).plan.parts.map(({ source }) => source)

async function expectRight(tm: Tidemark, query: object = perHour): Promise<void> {
  const [answer, truth] = await Promise.all([
    tm.queryUnknown(requests.name, query),
    plain.queryUnknown(requests.name, query),
  ])
  expect(answer.rows).toEqual(truth.rows)
}

beforeAll(async () => {
  engine = await createTestEngine(config, { clock })
  const options = { connectionString: engine.test.connectionString, clock }
  other = await createTidemark(config, options)
  plain = await createTidemark(uncached, options)
  const rows = []
  for (let minute = 0; minute < 2 * 24 * 60; minute += 10)
    for (const host of ['a', 'b'])
      rows.push({
        time: new Date(Date.UTC(2026, 2, 1, 0, minute)),
        host,
        value: minute + (host === 'a' ? 0 : 0.5),
      })
  await engine.tm.insert(requests, rows)
})

afterAll(async () => {
  await other.close()
  await plain.close()
  await engine.close()
})

describe('results of whole buckets', () => {
  it('are computed once, and then kept', async () => {
    const { tm } = engine
    expect(await sourcesOf(tm, perHour)).toEqual(['hot'])
    expect(await sourcesOf(tm, perHour)).toEqual(['cache'])
    await expectRight(tm)
    expect(tm.resultsCache).toMatchObject({ buckets: 48, evictions: 0 })
  })

  it('serve every range of the same question, which reads what is new to it only', async () => {
    const { tm } = engine
    await expectRight(tm)
    const narrow = { ...perHour, from: '2026-03-01T06:00:00Z', to: '2026-03-01T12:00:00Z' }
    expect(await sourcesOf(tm, narrow)).toEqual(['cache'])
    const ragged = { ...perHour, from: '2026-03-01T06:20:00Z', to: '2026-03-03T00:00:00Z' }
    expect(await sourcesOf(tm, ragged)).toEqual(['hot', 'cache'])
    await expectRight(tm, ragged)
  })

  it('are computed again where a row was written, and nowhere else', async () => {
    await expectRight(engine.tm)
    await expectRight(other)
    await engine.test.db.query(sql`insert into metrics.requests values ('2026-03-01T05:05:00Z', 'a', 1000)`)
    for (const tm of [engine.tm, other]) {
      const { plan } = await tm.queryUnknown(requests.name, perHour)
      expect(plan.parts.map(({ source, from, to }) => [source, from, to])).toEqual(
        expect.arrayContaining([['hot', '2026-03-01T05:00:00Z', '2026-03-01T06:00:00Z']]),
      )
      await expectRight(tm)
    }
  })

  it('are put together from pieces where a window that slides cuts them', async () => {
    const begin = Date.UTC(2026, 1, 1)
    const dense = Array.from({ length: 3 * 3600 }, (_, i) => ({
      time: new Date(begin + i * 1000),
      host: i % 2 ? 'a' : 'b',
      value: i,
    }))
    await engine.tm.insert(requests, dense)
    // it has not seen them come
    const tm = await createTidemark(config, { connectionString: engine.test.connectionString, clock })
    const slid = (seconds: number) => ({
      from: new Date(begin + 600_000 + seconds * 1000),
      to: new Date(begin + 9_000_000 + seconds * 1000),
      bucket: '1 hour',
      select: {
        n: { fn: 'count' },
        sum: { fn: 'sum', column: 'value' },
        p: { fn: 'percentile', column: 'value', q: 0.9 },
        first: { fn: 'first', column: 'value' },
      },
    })
    const rowsRead: number[] = []
    for (let round = 0; round < 16; round++)
      for (const question of [slid(round * 7), { ...slid(round * 7), by: ['host'] }]) {
        const { plan } = await tm.queryUnknown(requests.name, question)
        rowsRead.push(plan.parts.reduce((sum, { rows }) => sum + (rows ?? 0), 0))
        await expectRight(tm, question)
      }
    // all, once for each question; then of a cut bucket what lies beside whole pieces, of a minute each
    expect(rowsRead.slice(0, 2)).toEqual([8400, 8400])
    expect(Math.max(...rowsRead.slice(2))).toBeLessThanOrEqual(2 * 120)
    // a late row is in the next answer, in a piece that was kept and in one that is read
    for (const second of [1200, 715, 9_060])
      await tm.insert(requests, [{ time: new Date(begin + second * 1000 + 1), host: 'a', value: 1e6 }])
    for (let round = 0; round < 3; round++) await expectRight(tm, slid(110 + round))
    await engine.test.db.query(sql`delete from metrics.requests where time < '2026-02-15Z'`)
    await expectRight(tm, slid(112))
    await tm.close()
  })

  it('are finished as each question asks, and no answer changes another', async () => {
    const { tm } = engine
    const host = { column: 'host' }
    const bucketed = { ...perHour, select: { p: { fn: 'percentile', column: 'value', q: 0.5 } } }
    const questions = [
      perHour,
      { ...perHour, select: { sum: perHour.select.sum, n: perHour.select.n } },
      { ...perHour, order: ['-sum'], limit: 5 },
      { ...perHour, order: ['-host'] },
      { ...perHour, having: { n: { gt: 6 } } },
      bucketed,
      { ...bucketed, select: { p: { fn: 'percentile', column: 'value', q: 0.95 } } },
      { ...bucketed, select: { first: { fn: 'first', ...host }, hosts: { fn: 'topK', ...host, k: 2 } } },
    ]
    for (let round = 0; round < 3; round++)
      for (const question of questions) {
        await expectRight(tm, question)
        const { rows } = await tm.queryUnknown(requests.name, question)
        for (const row of rows as Record<string, unknown>[]) {
          if (Array.isArray(row.hosts)) row.hosts.length = 0
          for (const name of Object.keys(row)) row[name] = null
        }
      }
  })
})
