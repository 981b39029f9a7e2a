import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { count } from '../../src/query/index.ts'
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
const hourly = continuousAggregate('metrics.requests_hourly', {
  from: requests,
  bucket: '1 hour',
  by: [],
  select: { n: count() },
})
const config = defineConfig({ datasets: [requests, hourly], shadow: { share: 1 } })
const clock = fixedClock(parseInstant('2026-03-04T00:00:00Z'))
const perHour = {
  from: '2026-03-01T00:00:00Z',
  to: '2026-03-02T00:00:00Z',
  bucket: '1 hour',
  by: ['host'],
  select: {
    n: { fn: 'count' },
    sum: { fn: 'sum', column: 'value' },
    avg: { fn: 'avg', column: 'value' },
    deviation: { fn: 'stddev', column: 'value' },
    p95: { fn: 'percentile', column: 'value', q: 0.95 },
  },
} as const

const inOrder = {
  ...perHour,
  select: {
    top: { fn: 'topK', column: 'host', k: 2 },
    grown: { fn: 'increase', column: 'value', series: ['host'] },
    speed: { fn: 'rate', column: 'value', series: ['host'] },
    held: { fn: 'timeWeightedAvg', column: 'value', series: ['host'] },
  },
} as const

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config, { clock })
  await engine.tm.insert(
    requests,
    Array.from({ length: 2000 }, (_, i) => ({
      time: new Date(Date.UTC(2026, 2, 1) + i * 40_000),
      host: `h${i % 3}`,
      value: Math.sin(i) * 1e6,
    })),
  )
})
afterAll(() => engine.close())

/** An answer, and the check behind it. */
async function ask(query: object = perHour) {
  const { tm } = engine
  const total = (): number => {
    const { checked, skipped, failed } = tm.shadowChecks
    return checked + skipped + failed
  }
  const before = total()
  const answer = await tm.queryUnknown(requests.name, query)
  await expect.poll(total).toBe(before + 1)
  return answer
}

describe('a shadow check', () => {
  it('agrees with right answers, from rows, from what is kept, and from the lake', async () => {
    const { tm } = engine
    await ask()
    expect((await ask()).plan.parts.map(({ source }) => source)).toEqual(['cache'])
    await tm.freeze(requests.name, { from: '2026-03-01T00:00:00Z', to: '2026-03-02T00:00:00Z' })
    await ask({ ...perHour, from: '2026-03-01T00:20:00Z' })
    await ask({ ...perHour, limit: 5, order: ['-n'] })
    await ask({ ...perHour, bucket: undefined, by: [] })
    await ask(inOrder)
    await ask({ ...inOrder, from: '2026-03-01T00:20:00Z', bucket: undefined, by: [] })
    await tm.thaw(requests.name, { from: '2026-03-01T00:00:00Z', to: '2026-03-02T00:00:00Z' })
    expect(tm.shadowChecks).toEqual({ checked: 7, different: 0, skipped: 0, failed: 0 })
    expect(await tm.alarms()).toEqual([])
  })

  it('leaves out what rounding may decide', async () => {
    const before = engine.tm.shadowChecks.skipped
    await ask({ ...perHour, limit: 5, order: ['-sum'] })
    expect(engine.tm.shadowChecks.skipped).toBe(before + 1)
  })

  it('raises an alarm about a wrong answer, once for one question', async () => {
    const { tm, test } = engine
    await ask()
    const { rows } = await test.db.query(sql`select tableoid::regclass::text from metrics.requests limit 1`)
    // writes that say they log themselves, and do not: what is kept is wrong from here on
    await test.db.execute(`
      begin;
      select tidemark.begin_logged_write((select id from tidemark.hypertable));
      update ${rows[0]![0]} set value = value + 1 where host = 'h1' and time < '2026-03-01T01:00:00Z';
      delete from ${rows[0]![0]} where host = 'h2' and time >= '2026-03-01T05:00:00Z' and time < '2026-03-01T06:00:00Z';
      commit`)
    await ask()
    await expect.poll(() => tm.alarms()).toHaveLength(1)
    await ask()
    await expect.poll(async () => (await tm.alarms())[0]?.count).toBe(2)
    const [alarm] = await tm.alarms()
    expect(alarm).toMatchObject({
      kind: 'shadow',
      dataset: 'metrics.requests',
      acknowledgedAt: null,
      detail: {
        query: { by: ['host'], range: { from: '2026-03-01T00:00:00Z' } },
        differences: expect.arrayContaining([
          {
            keys: { bucket: '2026-03-01T00:00:00Z', host: 'h1' },
            output: 'sum',
            problem: 'another value than raw rows give, beyond rounding',
          },
          {
            keys: { bucket: '2026-03-01T05:00:00Z', host: 'h2' },
            output: null,
            problem: 'raw rows do not give this row',
          },
        ]),
        answered: { parts: [{ source: 'cache' }] },
        raw: { parts: [{ source: 'hot' }] },
      },
    })
    expect((await tm.doctor()).find(({ check }) => check === 'alarms')).toMatchObject({ level: 'fail' })
  })

  it('is open again when it happens after somebody has seen to it', async () => {
    const { tm } = engine
    const [alarm] = await tm.alarms()
    await tm.acknowledgeAlarm(alarm!.id)
    expect(await tm.alarms()).toEqual([])
    expect(await tm.alarms({ all: true })).toHaveLength(1)
    expect((await tm.doctor()).find(({ check }) => check === 'alarms')).toMatchObject({ level: 'ok' })
    await ask()
    await expect.poll(() => tm.alarms()).toHaveLength(1)
    await expect(tm.acknowledgeAlarm('17000')).rejects.toThrow('there is no alarm')
    await expect(tm.acknowledgeAlarm('x')).rejects.toThrow('there is no alarm')
  })

  it('finds a cell of a continuous aggregate that is wrong', async () => {
    const { tm, test } = engine
    await tm.refresh(hourly.name)
    const { rows } = await test.db.query(sql`
      select format('update %I.%I set %I = %3$I + 1', table_schema, table_name, column_name)
      from information_schema.columns
      where table_schema = 'tidemark_aggregates' and data_type = 'bigint'
      limit 1`)
    await test.db.execute(rows[0]![0] as string)
    const counts = { ...perHour, by: [], select: { n: { fn: 'count' } } }
    // what the aggregate was before the refresh is presumed once more, and found to be otherwise
    await ask({ ...counts, to: '2026-03-01T00:30:00Z' })
    const { plan } = await ask({ ...counts, to: '2026-03-01T12:00:00Z' })
    expect(plan.aggregates).toMatchObject([{ name: hourly.name, used: true }])
    await expect
      .poll(async () => (await tm.alarms()).map(({ detail }) => detail))
      .toContainEqual(
        expect.objectContaining({
          differences: expect.arrayContaining([
            {
              keys: { bucket: '2026-03-01T00:00:00Z' },
              output: 'n',
              problem: '91 where raw rows give 90',
            },
          ]),
        }),
      )
  })

  it('does not keep the caller waiting, and ends with the engine', async () => {
    const { tm } = engine
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => tm.queryUnknown(requests.name, perHour)),
    )
    expect(answers).toHaveLength(4)
    await tm.close()
  })
})
